"""Nothing in the manual can drift: its Python runs, its commands run, its generated parts are generated again."""

import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import tutti
from tutti.capabilities.transcription.models.adapter import ADAPTERS, find_adapter
from tutti.capabilities.transcription.quirks import QUIRKS
from tutti.cli.main import COMMANDS
from tutti.settings import settings

ROOT = Path(__file__).resolve().parents[1]
MANUAL = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROVENANCE = ROOT / "docs" / "provenance" / "README.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(page.read_text()) if kind == language]


def pages_with(language: str) -> list[Path]:
    return [page for page in MANUAL if blocks(page, language)]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that looks like a clone's root to the examples, and may be written to; with a cache of its own."""
    monkeypatch.setenv("TUTTI_CACHE_DIR", str(tmp_path / "cache"))
    settings.cache_clear()
    (tmp_path / "examples").mkdir()
    for path in (ROOT / "examples").glob("*.flac"):
        (tmp_path / "examples" / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    settings.cache_clear()


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("page", pages_with("python"), ids=lambda page: page.name)
def test_python_in_the_manual_runs(page: Path) -> None:
    code = "\n".join(blocks(page, "python"))
    exec(compile(code, str(page), "exec"), {"__name__": "manual"})


@pytest.mark.parametrize("page", pages_with("sh"), ids=lambda page: page.name)
def test_commands_in_the_manual_run(page: Path, workplace: Path) -> None:
    """In the order they stand, in one folder: a command may take up what the one before it wrote."""
    for command in [line for body in blocks(page, "sh") for line in body.splitlines() if line.startswith("tutti ")]:
        script = Path(sys.executable).with_name("tutti")
        answer = subprocess.run(
            [script, *shlex.split(command)[1:]], cwd=workplace, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, f"{command}\n{answer.stderr}"


@pytest.mark.parametrize("page", [*MANUAL, PROVENANCE], ids=lambda page: page.name)
def test_links_in_the_manual_lead_somewhere(page: Path) -> None:
    assert [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()] == []


def write_docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_docs", ROOT / "scripts" / "write_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["command-line.md", "models.md"])
def test_generated_pages_are_up_to_date(name: str) -> None:
    pages = write_docs().pages()
    assert set(pages) == {"command-line.md", "models.md"}
    assert (ROOT / "docs" / name).read_text() == pages[name], "run `make docs`"


def test_every_command_has_its_help_in_the_manual() -> None:
    text = (ROOT / "docs" / "command-line.md").read_text()
    assert [name for name in COMMANDS if f"## tutti {name}\n" not in text] == []


def test_version_package_and_changelog_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    released = re.findall(r"^## \[(\d[^\]]*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert project["version"] == tutti.__version__ == released[0]


def test_every_make_target_named_in_the_manual_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in MANUAL for name in re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.MULTILINE)}
    assert named - targets == set()


def quirk_rows() -> dict[str, list[str]]:
    """The cells behind the name of each row in the table of quirks: models, faithful, corrected, test."""
    rows = re.findall(r"^\| \d+ \| `(\w+)` \| (.*) \|$", PROVENANCE.read_text(), re.MULTILINE)
    return {name: cells.split(" | ") for name, cells in rows}


def test_every_quirk_is_told_with_the_models_it_concerns() -> None:
    concerned = {name: find_adapter(name).quirks for name in ADAPTERS}
    told = {name: set(re.findall(r"`(\w+)`", models)) for name, (models, *_) in quirk_rows().items()}
    assert told == {quirk: {name for name, quirks in concerned.items() if quirk in quirks} for quirk in QUIRKS}


def test_every_quirk_names_the_test_that_shows_it() -> None:
    for *_, cell in quirk_rows().values():
        path, _, name = cell.strip("`").partition("::")
        assert f"def {name}(" in (ROOT / path).read_text()


def test_every_file_named_as_the_source_of_a_model_is_there() -> None:
    here = {path.relative_to(ROOT / "src" / "tutti").as_posix() for path in (ROOT / "src" / "tutti").rglob("*.py")}
    built = re.findall(r"^\| Built anew \| (.*) \|$", PROVENANCE.read_text(), re.MULTILINE)
    named = {name for cell in built for name in re.findall(r"`([\w/]+\.py)`", cell)}
    inside = "capabilities/transcription/"
    assert len(named) > 10
    assert [name for name in named if name not in here and inside + name not in here] == []
