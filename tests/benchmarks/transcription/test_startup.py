import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from benchmarks.transcription import recording as recordings
from benchmarks.transcription import startup
from benchmarks.transcription.sets import Piece
from benchmarks.transcription.startup import Figure, differing_notes, figure_table


def note(onset_s: float, offset_s: float, pitch: int = 60) -> dict[str, Any]:
    return {
        "onset_s": onset_s,
        "offset_s": offset_s,
        "pitch": pitch,
        "velocity": 80,
        "program": 0,
        "is_drum": False,
    }


def test_equal_notes_do_not_differ() -> None:
    assert differing_notes([note(1, 2), note(3, 4)], [note(3, 4), note(1, 2)], 10) == 0


def test_a_changed_note_counts_on_both_sides() -> None:
    assert differing_notes([note(1, 2)], [note(1, 2.001)], 10) == 2


def test_what_lies_behind_the_limit_is_not_looked_at() -> None:
    assert differing_notes([note(1, 12), note(11, 12)], [note(1, 10.5)], 10) == 0


def test_the_table_says_what_was_missed() -> None:
    text = figure_table([Figure("a", "1 s", "< 2 s", True), Figure("b", "3 s", "< 2 s", False)])

    assert "| a | 1 s | < 2 s | yes |" in text
    assert "| b | 3 s | < 2 s | **no** |" in text


COMMAND = """#!{python}
import json, pathlib, sys
audio, target = sys.argv[2], sys.argv[4]
if "600" in audio and {fails}:
    sys.exit("cannot read it")
if sys.stderr.isatty():
    print("working", file=sys.stderr, flush=True)
note = {{"onset_s": 1.0, "offset_s": 2.0, "pitch": 60, "velocity": 80, "program": 0, "is_drum": False}}
pathlib.Path(target).write_text(json.dumps({{"notes": [note]}}))
"""


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, fails: bool = False) -> None:
    """A command that writes one note, in place of the installed one."""
    script = folder / "command"
    script.write_text(COMMAND.format(python=sys.executable, fails=fails))
    script.chmod(0o755)
    monkeypatch.setattr(startup, "TUTTI", script)
    monkeypatch.setattr(startup, "recording", lambda duration_s, data: data / f"{duration_s:.0f}s.flac")


def test_the_long_run_sees_progress_and_equal_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch)

    figures = startup.long_figures(3.0, 1, tmp_path)

    assert [figure.met for figure in figures[2:]] == [True, True]
    assert figures[3].measured == "0"
    assert figures[3].name.endswith("out of 1")


def test_a_failing_command_ends_the_benchmark_with_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, fails=True)

    with pytest.raises(SystemExit, match=r"(?s)failed on 600s.flac:.*cannot read it"):
        startup.long_figures(3.0, 1, tmp_path)


def test_a_shorter_recording_begins_like_a_longer_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 3000, 2))
    for name, samples in zip(("piano", "drums"), noise, strict=True):
        soundfile.write(tmp_path / f"{name}.flac", samples, recordings.SAMPLE_RATE_HZ)
        piece = Piece(name, tmp_path / f"{name}.flac", ())
        monkeypatch.setattr(recordings, f"{name}_rendered", lambda _, p=piece: [p])
    monkeypatch.setattr(recordings, "CACHE", tmp_path / "cache")

    long, _ = soundfile.read(recordings.recording(2.0, tmp_path))
    short, _ = soundfile.read(recordings.recording(1.0, tmp_path))

    assert len(long) == 2 * recordings.SAMPLE_RATE_HZ
    assert np.array_equal(short, long[: len(short)])
    assert short.std() > 0.1
