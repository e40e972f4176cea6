import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tutti.capabilities.transcription.types import FORMATS, Options, Provenance, Transcription
from tutti.cli.transcribe import app
from tutti.errors import AudioFormatError, OptionError, UnknownFormatError, UnknownModelError, UsageError
from tutti.music.midi import read_midi
from tutti.music.notes import Note, Notes


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Any, Options]]:
    """Stand in for the network; what it was asked is recorded."""
    calls: list[tuple[Any, Options]] = []

    def run(source: Any, options: Options, on_progress: Any) -> Transcription:
        calls.append((source, options))
        on_progress("listening", 1, 1)
        if options.model == "none":
            raise UnknownModelError("No model 'none'.")
        if "bad" in str(source):
            raise AudioFormatError("It holds no audio.")
        provenance = Provenance("0", options.model, "0" * 64, "cpu", "fp32", str(source), options.model_dump())
        return Transcription(Notes.of([Note(0.1, 0.5, 60, 80)]), 1.0, provenance, ("quiet recording",))

    module = ModuleType("tutti.capabilities.transcription.run")
    module.run = run  # type: ignore[attr-defined]
    module.hears_many = lambda _options: False  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(tmp_path)
    return calls


def tutti(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_every_format_is_written_and_the_line_says_where(asked: list[Any], tmp_path: Path) -> None:
    result = tutti("song.wav", "-o", "out", "--format", ",".join(FORMATS))
    assert result.exit_code == 0
    assert result.stdout.startswith(f"song.wav → {', '.join(f'out/song.{name}' for name in FORMATS)} (1 notes, ")
    assert "warning: quiet recording" in result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"song.{name}" for name in FORMATS)
    assert asked == [(Path("song.wav"), Options())]


def test_flags_reach_the_capability(asked: list[Any]) -> None:
    flags = ("--device", "cpu", "--onset-threshold", "0.4", "--instruments", "piano", "--instruments", "drums")
    assert tutti("song.wav", *flags).exit_code == 0
    assert asked[0][1] == Options(device="cpu", onset_threshold=0.4, instruments=("piano", "drums"))


def test_some_failed_is_one_and_json_says_which(asked: list[Any]) -> None:
    result = tutti("bad.wav", "good.wav", "--json")
    assert result.exit_code == 1
    bad, good = map(json.loads, result.stdout.splitlines())
    assert (bad["status"], bad["error"]["code"]) == ("failed", "not_audio")
    assert (good["status"], good["notes"], good["outputs"]) == ("done", 1, ["good.mid"])
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("a.wav", "--format", "pdf"), UnknownFormatError),
        (("a.wav", "b.wav", "-o", "x.mid"), UsageError),
        (("a.wav", "a.mp3"), UsageError),
        (("a.wav", "--onset-threshold", "2"), OptionError),
        (("a.wav", "--device", "abacus"), OptionError),
        (("a.wav", "--instruments", "kazoo"), OptionError),
    ],
)
def test_wrong_usage_is_told_before_any_work(
    arguments: tuple[str, ...], error: type[Exception], asked: list[Any]
) -> None:
    assert isinstance(tutti(*arguments).exception, error)
    assert asked == []


def test_an_unknown_model_ends_the_batch(asked: list[Any]) -> None:
    assert isinstance(tutti("a.wav", "b.wav", "--model", "none").exception, UnknownModelError)
    assert len(asked) == 1


def test_every_option_has_a_flag_with_help() -> None:
    text = " ".join(tutti("--help").stdout.split())
    for name, field in Options.model_fields.items():
        assert f"--{name.replace('_', '-')} " in text
        assert str(field.description) in text


def test_a_file_per_instrument_is_written_beside_the_whole(asked: list[Any], tmp_path: Path) -> None:
    result = tutti("song.wav", "-o", "out", "--format", "mid,json", "--split", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["instruments"] == ["piano"]
    names = ["song.json", "song.mid", "song.piano.json", "song.piano.mid"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert read_midi(tmp_path / "out" / "song.piano.mid") == read_midi(tmp_path / "out" / "song.mid")
    assert len(asked) == 1


def test_a_part_does_not_take_the_place_of_another_input(asked: list[Any], tmp_path: Path) -> None:
    result = tutti("song.wav", "song.piano.wav", "--split", "--json")
    assert result.exit_code == 1
    song, piano = map(json.loads, result.stdout.splitlines())
    assert (song["status"], song["error"]["code"], piano["status"]) == ("failed", "output", "done")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["song.piano.mid", "song.piano.piano.mid"]
    assert len(asked) == 2


def test_many_inputs_worked_on_together_are_split_too(
    asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["tutti.capabilities.transcription.run"]

    def run_many(sources: list[Any], options: Options, on_progress: Any) -> Any:
        yield 0, AudioFormatError("It holds no audio.")
        yield 1, module.run(sources[1], options, on_progress)

    monkeypatch.setattr(module, "run_many", run_many, raising=False)
    monkeypatch.setattr(module, "hears_many", lambda _options: True)
    result = tutti("one.wav", "two.wav", "--split")
    assert result.exit_code == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["two.mid", "two.piano.mid"]
    assert len(asked) == 1
