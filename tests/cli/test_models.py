import io
import json
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tutti.cli.models import app
from tutti.errors import DownloadError, UnknownModelError
from tutti.settings import settings

CONTENT = b"weights of a model"
HASH = sha256(CONTENT).hexdigest()
CARD = f"""
name = "far"
capability = "transcription"
framework = "torch"
description = "Far away."
licence = "MIT"
source = "the tests"
parameters = 1
file = "far.safetensors"
size_bytes = {len(CONTENT)}
sha256 = "{HASH}"
locations = ["SOURCE"]
"""


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the weights of the card `far` come from; cache and cards lie beside that file."""
    monkeypatch.setenv("TUTTI_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TUTTI_CARDS_DIR", str(tmp_path / "cards"))
    monkeypatch.delenv("TUTTI_OFFLINE", raising=False)
    source = tmp_path / "source.safetensors"
    source.write_bytes(CONTENT)
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "far.toml").write_text(CARD.replace("SOURCE", source.as_uri()))
    settings.cache_clear()
    yield source
    settings.cache_clear()


def tutti_models(*arguments: str, code: int = 0) -> str:
    """What `tutti models ARGUMENTS` prints on standard output."""
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == code, result.stderr
    return result.stdout


@pytest.mark.usefixtures("far")
def test_the_list_tells_which_weights_are_here() -> None:
    rows = {line.split()[0]: line.split()[1:] for line in tutti_models("list").splitlines()}
    assert rows["name"] == ["capability", "licence", "size", "here"]
    assert rows["far"] == ["transcription", "MIT", "0.0", "MB", "no"]
    assert rows["tutti-notes"][-1] == "yes"
    tutti_models("pull", "far")
    assert [line.split()[-1] for line in tutti_models("list").splitlines() if line.startswith("far")] == ["yes"]


@pytest.mark.usefixtures("far")
def test_the_list_as_json_holds_the_cards() -> None:
    rows = {row["name"]: row for row in json.loads(tutti_models("list", "--json"))}
    assert rows["far"]["sha256"] == HASH
    assert (rows["far"]["here"], rows["tutti-notes"]["here"]) == (False, True)


@pytest.mark.usefixtures("far")
def test_info_is_the_whole_card() -> None:
    card = json.loads(tutti_models("info", "far"))
    assert card["description"] == "Far away."
    assert card["scores"] == []
    assert card["training"] is None


@pytest.mark.usefixtures("far")
@pytest.mark.parametrize("command", ["info", "pull", "path", "verify"])
def test_an_unknown_name_is_left_to_the_entry_point(command: str) -> None:
    with pytest.raises(UnknownModelError, match="Did you mean 'far'"):
        tutti_models(command, "farr")


def test_pull_fetches_and_prints_the_path(far: Path) -> None:
    path = far.parent / "cache" / "weights" / HASH / "far.safetensors"
    assert tutti_models("path", "far") == f"{path}\n"
    assert not path.exists()
    assert tutti_models("pull", "far") == f"{path}\n"
    assert path.read_bytes() == CONTENT


def test_pull_takes_a_uri(far: Path) -> None:
    path = far.parent / "cache" / "weights" / HASH / "source.safetensors"
    assert tutti_models("pull", far.as_uri()) == f"{path}\n"
    assert path.read_bytes() == CONTENT


def test_a_fetch_that_fails_is_left_to_the_entry_point(far: Path) -> None:
    far.unlink()
    with pytest.raises(DownloadError, match="Could not fetch far"):
        tutti_models("pull", "far")


def test_a_bar_on_standard_error_counts_where_somebody_watches(far: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    from tutti.cli.models import pull_model

    watched, printed = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", watched)
    monkeypatch.setattr(sys, "stdout", printed)
    monkeypatch.setenv("TERM", "xterm")
    pull_model(f"{far.as_uri()}")
    assert "source.safetensors" in watched.getvalue()
    assert f"{len(CONTENT)}/{len(CONTENT)} bytes" in watched.getvalue()
    assert printed.getvalue().endswith("source.safetensors\n")
    assert len(printed.getvalue().splitlines()) == 1


def test_nobody_watching_standard_error_stays_empty(far: Path) -> None:
    result = CliRunner().invoke(app, ["pull", far.as_uri()])
    assert result.exit_code == 0
    assert result.stderr == ""


@pytest.mark.usefixtures("far")
def test_verify_checks_what_is_here() -> None:
    assert "tutti-notes: ok" in tutti_models("verify").splitlines()
    assert "far" not in tutti_models("verify")
    tutti_models("pull", "far")
    assert "far: ok" in tutti_models("verify").splitlines()
    assert tutti_models("verify", "far") == "far: ok\n"


@pytest.mark.usefixtures("far")
def test_verify_of_what_is_not_here_fails() -> None:
    result = CliRunner().invoke(app, ["verify", "far", "tutti-notes"])
    assert result.exit_code == 1
    assert result.stderr.startswith("far: The weights of far are not at ")
    assert result.stdout == "tutti-notes: ok\n"


@pytest.mark.usefixtures("far")
def test_verify_of_a_wrong_file_fails_and_pull_mends_it() -> None:
    path = Path(tutti_models("pull", "far").strip())
    path.write_bytes(CONTENT[::-1] + b"!")
    result = CliRunner().invoke(app, ["verify"])
    assert result.exit_code == 1
    assert f"far: {path} is not the file that the card of far names." in result.stderr
    tutti_models("pull", "far")
    assert tutti_models("verify", "far") == "far: ok\n"


@pytest.mark.usefixtures("far")
@pytest.mark.parametrize(
    "arguments", [["list"], ["list", "--json"], ["info", "far"], ["path", "far"], ["pull", "far"], ["verify"]]
)
def test_no_command_loads_a_framework(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom tutti.cli.main import main\n"
        f"try: main(['models', *{arguments!r}])\n"
        "finally: print(sorted({'torch', 'jax', 'numpy', 'onnxruntime'} & set(sys.modules)), file=sys.stderr)\n"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == "[]\n"
    assert answer.stdout
