"""Nothing in the manual can drift: its Python runs, its commands run, its generated parts are generated again."""

import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import tutti
from tutti.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
MANUAL = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(page.read_text()) if kind == language]


def pages_with(language: str) -> list[Path]:
    return [page for page in MANUAL if blocks(page, language)]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a clone's root to the examples, and may be written to."""
    (tmp_path / "examples").mkdir()
    for path in (ROOT / "examples").glob("*.flac"):
        (tmp_path / "examples" / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


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


@pytest.mark.parametrize("page", MANUAL, ids=lambda page: page.name)
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
