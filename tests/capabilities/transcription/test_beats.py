import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tutti.capabilities.transcription.beats import find_beats, readable_twice
from tutti.capabilities.transcription.types import Options
from tutti.errors import Cancelled
from tutti.music.notes import Note, Notes

GROOVE = Path(__file__).parents[3] / "examples" / "drum_groove.flac"
NOTES = Notes.of(Note(0.25 + 0.5 * row, 0.4 + 0.5 * row, 60, 80) for row in range(8))


@pytest.fixture(scope="module")
def groove() -> tuple[NDArray[np.float32], int]:
    samples, rate_hz = soundfile.read(GROOVE, dtype="float32", frames=8 * 44_100)
    return samples, rate_hz


@pytest.mark.usefixtures("tiny_models")
def test_beats_are_heard_in_the_recording(groove: tuple[NDArray[np.float32], int]) -> None:
    calls: list[tuple[str, float, float]] = []
    beats, _ = find_beats(groove, NOTES, 8.0, Options(quantise=4), lambda *call: calls.append(call))
    assert beats is not None
    assert beats.method == "tutti-beats"
    assert len(beats.grid) > 4
    assert {call[0] for call in calls} == {"beats"}
    assert calls[-1][1] == pytest.approx(8.0, abs=0.1)


def test_a_given_tempo_is_taken_and_nothing_is_read() -> None:
    beats, warnings = find_beats("no such file", NOTES, 5.0, Options(quantise=2, tempo_bpm=120))
    assert beats is not None
    assert beats.grid.times_s[0] == pytest.approx(0.25)
    assert warnings == ()


def test_nothing_is_looked_for_unless_it_is_asked_for() -> None:
    assert find_beats("no such file", NOTES, 5.0, Options()) == (None, ())


def test_silence_has_no_beats_and_says_so() -> None:
    beats, warnings = find_beats((np.zeros(3 * 44_100, np.float32), 44_100), Notes(), 3.0, Options(quantise=4))
    assert beats is None
    assert warnings == ("no beats were heard; nothing was quantised. Give the tempo with tempo_bpm.",)


def test_a_caller_can_stop(groove: tuple[NDArray[np.float32], int]) -> None:
    with pytest.raises(Cancelled):
        find_beats(groove, NOTES, 8.0, Options(quantise=4), cancelled=lambda: True)


def test_a_stream_is_copied_only_when_it_must_be_read_twice() -> None:
    stream = io.BytesIO(b"sound")
    for options in (Options(), Options(quantise=4, tempo_bpm=90)):
        with readable_twice(stream, options) as source:
            assert source is stream
    with readable_twice(stream, Options(quantise=4)) as source:
        assert isinstance(source, Path)
        assert source.read_bytes() == b"sound"
    assert not source.exists()
    with readable_twice("song.wav", Options(quantise=4)) as source:
        assert source == "song.wav"


def test_a_copy_keeps_the_name_of_its_stream(tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_bytes(b"sound")
    with (tmp_path / "song.wav").open("rb") as file, readable_twice(file, Options(quantise=4)) as source:
        assert isinstance(source, Path)
        assert source.name == "song.wav"


def test_a_steady_tempo_needs_no_framework() -> None:
    code = (
        "import sys; from tutti.capabilities.transcription.beats import find_beats; "
        "from tutti.capabilities.transcription.types import Options; from tutti.music.notes import Notes; "
        "find_beats('', Notes(), 5.0, Options(quantise=2, tempo_bpm=120)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
