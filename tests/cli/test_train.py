import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from tutti.cli.train import app
from tutti.errors import MissingExtraError, TrainingError


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, Path, dict[str, Any]]]:
    made: list[tuple[Path, Path, dict[str, Any]]] = []

    def train(config_path: Path, run_dir: Path, **how: Any) -> Path:
        made.append((config_path, run_dir, how))
        return run_dir / "small.safetensors"

    module = ModuleType("tutti.capabilities.transcription.train")
    module.train = train  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return made


def test_the_recipe_gets_what_was_asked(calls: list[Any], tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.touch()
    flags = ["--run-dir", str(tmp_path / "run"), "--device", "cpu", "--precision", "bf16", "--max-minutes", "2"]
    result = CliRunner().invoke(app, ["transcription", "--config", str(config), *flags])
    assert result.exit_code == 0
    how = {"device": "cpu", "precision": "bf16", "max_minutes": 2.0, "resume": None}
    assert calls == [(config, tmp_path / "run", how)]
    assert result.stdout == f"{tmp_path / 'run' / 'small.safetensors'}\n"


def test_a_run_goes_on_in_its_own_folder(calls: list[Any], tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.touch()
    (tmp_path / "checkpoint.ckpt").touch()
    result = CliRunner().invoke(app, ["transcription", "--config", str(config), "--resume", str(tmp_path)])
    assert result.exit_code == 0
    assert calls[0][1] == tmp_path
    assert calls[0][2]["resume"] == tmp_path / "checkpoint.ckpt"


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.touch()
    monkeypatch.delitem(sys.modules, "tutti.capabilities.transcription.train", raising=False)
    monkeypatch.delitem(sys.modules, "tutti.training.loop", raising=False)
    monkeypatch.setitem(sys.modules, "lightning.fabric", None)
    monkeypatch.setitem(sys.modules, "lightning", None)
    result = CliRunner().invoke(app, ["transcription", "--config", str(config)])
    assert isinstance(result.exception, MissingExtraError)
    assert str(result.exception) == "Training needs the extra `train`. Run: pip install 'tutti[train]'"


@pytest.mark.parametrize("arguments", [[], ["--config", "gone.toml"], ["--config", ".", "--max-minutes", "-1"]])
def test_a_recipe_needs_a_config_that_is_there(calls: list[Any], arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["transcription", *arguments]).exit_code == 2
    assert calls == []


@pytest.mark.parametrize("name", ["transcription", "drums", "beats"])
def test_a_folder_without_a_checkpoint_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {"beats": "tutti.training.beats"}
    module = ModuleType(modules.get(name, f"tutti.capabilities.{name}.train"))
    module.train = None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    config = tmp_path / "small.toml"
    config.touch()
    result = CliRunner().invoke(app, [name, "--config", str(config), "--resume", str(tmp_path)])
    assert isinstance(result.exception, TrainingError)
    assert str(result.exception) == (
        f"No checkpoint at {tmp_path / 'checkpoint.ckpt'}. Begin the run without --resume."
    )


@pytest.mark.parametrize(("name", "says"), [("drums", "hears the hits"), ("beats", "hears beats and downbeats")])
def test_every_recipe_has_its_help(name: str, says: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert says in result.stdout
    assert "--max-minutes" in result.stdout
