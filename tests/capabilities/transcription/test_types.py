import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import mido
import pytest
from pydantic import ValidationError

from tutti.capabilities.transcription.families import FAMILIES
from tutti.capabilities.transcription.types import FORMATS, Family, Options, Provenance, Transcription
from tutti.errors import OutputError, UnknownFormatError
from tutti.music.beats import Beats
from tutti.music.json_file import from_json
from tutti.music.midi import read_midi, read_midi_score
from tutti.music.notes import Note, Notes
from tutti.music.timing import BeatGrid

RESULT = Transcription(
    Notes.of([Note(0.5, 1.0, 60, 80, 25), Note(1.0, 1.05, 38, 90, 0, True)]),
    2.0,
    Provenance("0.0.0", "m", "0" * 64, "cpu", "fp32", "song.wav", {}),
    ("NaN samples were replaced.",),
)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_saves_by_suffix(tmp_path: Path, suffix: str) -> None:
    path = RESULT.save(tmp_path / f"song.{suffix.upper()}")
    assert path.stat().st_size > 100
    assert list(tmp_path.iterdir()) == [path]


def test_saved_notes_read_back(tmp_path: Path) -> None:
    assert from_json(RESULT.save(tmp_path / "a.json").read_text()) == RESULT.notes
    again = read_midi(RESULT.save(tmp_path / "a.mid"))
    assert [(n.pitch, n.program, n.is_drum) for n in again] == [(60, 25, False), (38, 0, True)]


def test_json_says_what_made_it() -> None:
    document = json.loads(RESULT.to_json())
    assert document["provenance"]["model"] == "m"
    assert document["warnings"] == ["NaN samples were replaced."]
    assert document["duration_s"] == 2.0


def test_mido_gets_the_same_notes() -> None:
    file = RESULT.to_mido()
    assert isinstance(file, mido.MidiFile)
    assert sum(m.type == "note_on" and m.velocity > 0 for track in file.tracks for m in track) == 2


def test_an_unknown_suffix_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormatError, match="mid, json, jams, png"):
        RESULT.save(tmp_path / "song.pdf")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        RESULT.save(tmp_path / "nowhere" / "song.mid")


@pytest.mark.parametrize(
    "wrong",
    [
        {"onset_threshold": 0.0}, {"onset_threshold": 1.0}, {"min_note_s": -1}, {"device": "tpu"},
        {"precision": "int3"}, {"instruments": ("kazoo",)}, {"speed": 2},
        {"programs": (128,)}, {"programs": (-1,)}, {"quantise": 0}, {"quantise": 49}, {"quantise": 4, "tempo_bpm": 0},
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Options(**wrong)  # type: ignore[arg-type]


def test_the_families_to_ask_for_are_those_the_network_knows_and_the_drums() -> None:
    assert get_args(Family) == (*FAMILIES, "drums")


@pytest.mark.parametrize("wrong", [{"tempo_bpm": 120}, {"quantise": None, "tempo_bpm": 120}])
def test_a_tempo_is_for_quantising(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="give quantise as well"):
        Options(**wrong)
    assert Options(quantise=4, tempo_bpm=120).tempo_bpm == 120


QUANTISED = replace(RESULT, beats=Beats(BeatGrid((0.25, 0.75, 1.25, 1.75), (1, 2, 3, 1)), 0.9, False, "test"))


def test_quantised_notes_are_written_in_the_tempo_and_metre_of_their_beats() -> None:
    score = read_midi_score(QUANTISED.to_midi_bytes())
    assert score.tempo_map.bpm_at(1.0) == pytest.approx(120)
    assert score.tempo_map.to_beat(0.25) == pytest.approx(1.0)
    assert [(s.numerator, s.denominator) for s in score.time_signatures] == [(1, 4), (3, 4)]
    assert [round(n.onset_s, 3) for n in score.notes] == [0.5, 1.0]
    tempi = [message.tempo for track in QUANTISED.to_mido().tracks for message in track if message.type == "set_tempo"]
    assert tempi == [250_000, 500_000]  # microseconds to the first beat, and from there on
    assert json.loads(QUANTISED.to_json())["beats"] == [[0.25, 1], [0.75, 2], [1.25, 3], [1.75, 1]]
    assert "beats" not in json.loads(RESULT.to_json())


def test_each_instrument_can_be_a_transcription_of_its_own() -> None:
    parts = QUANTISED.split()
    assert list(parts) == ["guitar", "drums"]
    assert parts["drums"] == replace(QUANTISED, notes=Notes.of(RESULT.notes.drums))
