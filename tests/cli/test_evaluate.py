import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tutti.capabilities.drums.types import Options
from tutti.cli.evaluate import app
from tutti.cli.main import COMMANDS
from tutti.errors import AudioFormatError, ChartFileError, MidiError, OptionError, UnknownModelError, UsageError
from tutti.music.drum_hits import DrumHit, DrumHits
from tutti.music.midi import write_midi
from tutti.music.notes import Note, Notes


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Any, Options]]:
    """Stand in for the network, which hears a kick at 0.5 s and a snare at 1.03 s; what it was asked is recorded."""
    calls: list[tuple[Any, Options]] = []

    def run(source: Any, options: Options, on_progress: Any) -> Any:
        calls.append((source, options))
        on_progress("hits", 1, 1)
        if options.model == "none":
            raise UnknownModelError("No model 'none'.")
        if "bad" in str(source):
            raise AudioFormatError("It holds no audio.")
        return SimpleNamespace(hits=DrumHits.of([DrumHit(0.5, "kick", 90), DrumHit(1.03, "snare", 60)]))

    module = ModuleType("tutti.capabilities.drums.run")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    (tmp_path / "truth").mkdir()
    for name in ("song", "bad", "notes"):
        (tmp_path / "truth" / f"{name}.txt").write_text("0.5 KD\n1.0 SDG\n")
    monkeypatch.chdir(tmp_path)
    return calls


def evaluate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["drums", *arguments, "--truth", "truth"])


def test_a_recording_is_heard_and_measured(asked: list[Any]) -> None:
    result = evaluate("song.wav", "--model", "annoteator", "--stems", "none", "--device", "cpu")
    assert result.exit_code == 0
    assert asked == [(Path("song.wav"), Options(model="annoteator", stems="none", device="cpu"))]
    header, song, together = result.stdout.splitlines()
    assert header.split("  ")[-1] == "velocity r"
    assert song.split() == ["song.wav", "1.000", "0.500", "1.000", "1.000", "-", "-", "-", "1.000", "-"]
    assert together.split() == ["all", "1", *song.split()[1:]]
    assert len({len(line) for line in (header, song, together)}) == 1


def test_hits_that_are_known_already_are_measured_without_listening(asked: list[Any], tmp_path: Path) -> None:
    write_midi(Notes.of([Note(0.5, 0.6, 36, 100, 0, True)]), tmp_path / "song.mid")
    (tmp_path / "notes.csv").write_text("time_s,instrument\n0.5,kick\n1.0,snare\n")
    result = evaluate("song.mid", "notes.csv", "--json")
    assert result.exit_code == 0
    assert asked == []
    song, notes, together = map(json.loads, result.stdout.splitlines())
    assert (song["input"], song["status"], song["true_hits"], song["given_hits"]) == ("song.mid", "done", 2, 1)
    assert (song["f1_50ms"], notes["f1_50ms"]) == (pytest.approx(2 / 3), 1.0)
    assert (together["input"], together["files"], together["true_hits"], together["given_hits"]) == (None, 2, 4, 3)
    assert together["f1_50ms"] == pytest.approx(6 / 7)


def test_one_without_truth_is_told_and_the_rest_is_finished(asked: list[Any]) -> None:
    result = evaluate("other.wav", "bad.wav", "song.wav", "--json")
    assert result.exit_code == 1
    other, bad, song, together = map(json.loads, result.stdout.splitlines())
    assert (other["status"], other["error"]["code"]) == ("failed", "input_not_found")
    assert (bad["status"], bad["error"]["code"]) == ("failed", "not_audio")
    assert (song["status"], together["files"]) == ("done", 1)
    assert (
        "other.wav: There is no truth for it. Looked in 'truth' for other.mid, other.midi, other.json" in result.stderr
    )
    assert "bad.wav: It holds no audio." in result.stderr
    assert [source for source, _ in asked] == [Path("bad.wav"), Path("song.wav")]  # nothing is heard for nothing


@pytest.mark.parametrize(("text", "code"), [("0.5 bell\n", MidiError.code), (None, ChartFileError.code)])
def test_truth_that_cannot_be_read_is_a_fault_of_that_input(asked: list[Any], text: str | None, code: str) -> None:
    Path("truth/song.txt").unlink()
    Path("truth/song.json" if text is None else "truth/song.txt").write_text(text or "{}")
    result = evaluate("song.wav", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["code"] == code
    assert asked == []


def test_nothing_measured_prints_no_table(asked: list[Any]) -> None:
    result = evaluate("other.wav")
    assert (result.exit_code, result.stdout, asked) == (1, "", [])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("song.wav", "--model", "none"), UnknownModelError),
        (("song.wav", "--device", "abacus"), OptionError),
        (("-",), UsageError),
    ],
)
@pytest.mark.usefixtures("asked")
def test_wrong_usage_ends_everything(arguments: tuple[str, ...], error: type[Exception]) -> None:
    assert isinstance(evaluate(*arguments).exception, error)


@pytest.mark.usefixtures("asked")
def test_truth_must_be_a_folder_and_something_must_be_named() -> None:
    assert CliRunner().invoke(app, ["drums", "song.wav"]).exit_code == 2
    assert CliRunner().invoke(app, ["drums", "song.wav", "--truth", "gone"]).exit_code == 2
    assert CliRunner().invoke(app, ["drums", "--truth", "truth"]).exit_code == 2


def test_it_is_a_command_with_subcommands() -> None:
    assert set(COMMANDS["evaluate"].load().commands) == {"drums", "transcription"}
