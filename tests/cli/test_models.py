import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.capabilities.transcription.test_conversion_process import in_this_process
from tests.capabilities.transcription.upstream import SMALL, small_state
from tutti.capabilities.transcription import conversion_process
from tutti.capabilities.transcription.models.adapter import adapter_of
from tutti.capabilities.transcription.models.mt3_network import build_network
from tutti.cli.models import app
from tutti.errors import DownloadError, HashMismatchError, OptionError, UnknownFormatError, UnknownModelError
from tutti.settings import settings
from tutti.weights.cards import find_card
from tutti.weights.store import hash_of

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


# weights that are converted


@pytest.fixture
def tiny_mt3(far: Path) -> Path:
    """A published checkpoint of MT3-PyTorch, small, which the card `made` knows."""
    path = far.parent / "mt3=1.pth"
    torch.save(small_state("mt3_pytorch"), path)
    sizes = "".join(f"{name} = {size}\n" for name, size in SMALL.items())
    adapter = adapter_of(find_card("mt3_pytorch"))
    with torch.device("meta"):
        network = build_network(replace(adapter, network=replace(adapter.network, **SMALL)))
    numbers = sum(parameter.numel() for parameter in network.parameters())
    (far.parent / "cards" / "made.toml").write_text(
        CARD.replace('"far"', '"made"')
        .replace("far.safetensors", "made.safetensors")
        .replace(f'sha256 = "{HASH}"\n', "")
        .replace(f"size_bytes = {len(CONTENT)}", f"size_bytes = {4 * numbers}")
        .replace("SOURCE", "converted")
        + f'[[upstream]]\nname = "mt3=1.pth"\nsize_bytes = {path.stat().st_size}\nsha256 = "{hash_of(path)}"\n'
        + f'locations = ["{path.as_uri()}"]\n[config]\nadapter = "mt3_pytorch"\n[config.network]\n{sizes}'
    )
    return path


@pytest.fixture
def near_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversions without a process of their own, which takes seconds to start."""
    monkeypatch.setattr(conversion_process.subprocess, "run", in_this_process)


def test_convert_makes_weights_that_the_card_finds(tiny_mt3: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a real process, as everybody runs it."""
    monkeypatch.chdir(tiny_mt3.parent)
    path = tiny_mt3.parent / "cache" / "converted" / "made.safetensors"
    assert tutti_models("path", "made") == f"{path}\n"
    assert "made" not in tutti_models("verify")
    assert tutti_models("convert", tiny_mt3.name, "--card", "made") == f"{path}\n"
    assert "made: ok" in tutti_models("verify").splitlines()
    assert json.loads(tutti_models("info", "made"))["locations"] == ["converted"]


@pytest.mark.usefixtures("near_process")
def test_pull_fetches_the_published_file_and_converts_it(tiny_mt3: Path) -> None:
    path = tiny_mt3.parent / "cache" / "converted" / "made.safetensors"
    assert tutti_models("pull", "made") == f"{path}\n"
    assert tutti_models("verify", "made") == "made: ok\n"
    tiny_mt3.unlink()
    assert tutti_models("pull", "made") == f"{path}\n"


@pytest.mark.usefixtures("near_process")
def test_convert_writes_where_it_is_told(tiny_mt3: Path) -> None:
    out = tiny_mt3.parent / "out.safetensors"
    assert tutti_models("convert", str(tiny_mt3), "--card", "made", "-o", str(out)) == f"{out}\n"
    assert out.is_file()
    assert not (tiny_mt3.parent / "cache").exists()
    with pytest.raises(UnknownFormatError, match=r"End it in \.safetensors"):
        tutti_models("convert", str(tiny_mt3), "--card", "made", "-o", str(out.with_suffix(".pth")))


@pytest.mark.usefixtures("near_process")
def test_convert_takes_another_file_only_when_told(tiny_mt3: Path) -> None:
    torch.save(dict(reversed(small_state("mt3_pytorch").items())), tiny_mt3)
    with pytest.raises(HashMismatchError, match="--any-file"):
        tutti_models("convert", str(tiny_mt3), "--card", "made")
    tutti_models("convert", str(tiny_mt3), "--card", "made", "--any-file")
    with pytest.raises(OptionError, match="made has no setting memory_rows"):
        tutti_models("convert", str(tiny_mt3), "--card", "made", "--any-file", "--memory-rows", "3")
