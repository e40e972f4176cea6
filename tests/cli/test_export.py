from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.capabilities.transcription.small_models import write_model
from tutti.capabilities.transcription.onnx_folder import read_manifest
from tutti.cli.export import app
from tutti.cli.main import COMMANDS
from tutti.errors import CardError
from tutti.settings import settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TUTTI_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TUTTI_CARDS_DIR", str(tmp_path / "cards"))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def test_a_model_is_exported_where_it_is_looked_for(home: Path) -> None:
    write_model(home, "small", "mt3")
    result = CliRunner().invoke(app, ["onnx", "--model", "small"], catch_exceptions=False)
    assert result.stdout == f"{home / 'onnx' / 'small-fp32'}\n"
    assert read_manifest(home / "onnx" / "small-fp32").card == "small"


def test_another_folder_and_precision_may_be_chosen(home: Path) -> None:
    write_model(home, "small", "mt3")
    options = ["onnx", "--model", "small", "-o", str(home / "here"), "--precision", "int8"]
    assert CliRunner().invoke(app, options, catch_exceptions=False).stdout == f"{home / 'here'}\n"
    assert read_manifest(home / "here").precision == "int8"
    assert not (home / "onnx").exists()


def test_other_models_are_refused(home: Path) -> None:
    assert home.is_dir()
    with pytest.raises(CardError, match="not of the MT3 family"):
        CliRunner().invoke(app, ["onnx", "--model", "tutti-notes"], catch_exceptions=False)


def test_it_is_a_command() -> None:
    assert COMMANDS["export"].load().commands.keys() == {"onnx"}
