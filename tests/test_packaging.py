"""What a stranger gets: the wheel's content, and a package that needs no extra."""

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    package = ROOT / "src"
    there = {
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path)
    }
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert shipped == there
    suffixes = {Path(name).suffix for name in shipped}
    assert {".py", ".toml", ".safetensors", ".typed"} <= suffixes


def test_the_wheel_holds_licence_and_notice_and_stays_small(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    for name in ("LICENSE", "NOTICE"):
        assert any(entry.endswith(f".dist-info/licenses/{name}") for entry in names)
    weights = [entry for entry in wheel.infolist() if entry.filename.endswith(".safetensors")]
    assert max(entry.file_size for entry in weights) <= 12_000_000
    sizes = {Path(entry.filename).stem: entry.file_size for entry in weights}
    assert sizes.pop("tutti-mt3-tiny") <= 8_000_000
    assert sizes.pop("tutti-groove") <= 10_000_000
    assert sum(sizes.values()) <= 12_000_000


def test_the_console_script_is_installed() -> None:
    (script,) = entry_points(group="console_scripts", name="tutti")
    assert script.value == "tutti.cli.main:main"


def names_of(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def test_everything_asked_for_is_pinned_without_an_address() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pins = {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}
    assert all(len(pin.specifier) == 1 and str(pin.specifier).startswith("==") for pin in pins.values())
    assert all(pin.url is None for pin in pins.values())
    extras = [text for extra in PROJECT["optional-dependencies"].values() for text in extra]
    assert names_of([*PROJECT["dependencies"], *extras]) - set(pins) == set()


def closure(names: set[str]) -> set[str]:
    """`names` and everything they pull in here, extras apart."""
    seen: set[str] = set()
    waiting = sorted(names)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for text in requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(requirement.name))
    return seen


def test_inference_runs_when_only_its_own_packages_can_be_imported(tmp_path: Path) -> None:
    base = closure(names_of(PROJECT["dependencies"]))
    extras = names_of([text for extra in PROJECT["optional-dependencies"].values() for text in extra])
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from importlib.metadata import packages_distributions\n"
        f"forbidden = {extras - base!r}\n"
        "roots = {root for root, owners in packages_distributions().items()\n"
        "         if {owner.lower().replace('_', '-') for owner in owners} <= forbidden}\n"
        "assert 'pytest' in roots, roots\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in roots:\n"
        "            raise ModuleNotFoundError(f'{name} is no dependency of inference', name=name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
        "import tutti\n"
        "result = tutti.transcribe(sys.argv[1])\n"
        "for suffix in ('mid', 'json', 'jams', 'png'):\n"
        "    result.save(f'{sys.argv[2]}/x.{suffix}')\n"
        "from tutti.cli.main import main\n"
        "main(['doctor'])\n"
    )
    recording = ROOT / "examples" / "guitar_solo.flac"
    answer = subprocess.run([sys.executable, program, recording, tmp_path], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "x.mid").stat().st_size > 100
