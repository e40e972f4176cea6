"""Notes to tokens, and back through the note decoding."""

from itertools import count, takewhile
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.capabilities.transcription.codec import CODECS, EOS, Codec, CodecName
from tutti.capabilities.transcription.note_tokens import segment_tokens
from tutti.capabilities.transcription.token_notes import note_builder
from tutti.capabilities.transcription.token_rows import TokenRow, start_step
from tutti.music.notes import Note

MT3 = CODECS["mt3"]


def events(tokens: list[int], codec: Codec = MT3) -> list[tuple[str, int]]:
    assert tokens[-1] == EOS
    decoded = [codec.decode(token) for token in tokens[:-1]]
    return [(event.kind, event.value) for event in decoded if event is not None]


def test_a_drum_and_two_instruments_as_upstream_writes_them() -> None:
    notes = [Note(0, 1, 37, 127, 0, True), Note(1, 3, 61, 127, 0), Note(2, 4, 62, 127, 40)]
    assert events(segment_tokens(notes, 0, 401, MT3)) == [
        ("tie", 0),
        *[("velocity", 1), ("drum", 37)],
        *[("shift", 100), ("program", 0), ("pitch", 61)],
        *[("shift", 200), ("program", 40), ("pitch", 62)],
        *[("shift", 300), ("program", 0), ("velocity", 0), ("pitch", 61)],
        *[("shift", 400), ("program", 40), ("pitch", 62)],
    ]


def test_loudness_is_written_where_the_vocabulary_has_it() -> None:
    notes = [Note(1, 3, 61, 1), Note(2, 4, 62, 127)]
    written = events(segment_tokens(notes, 0, 500, CODECS["ismir2021"]), CODECS["ismir2021"])
    assert [value for kind, value in written if kind == "velocity"] == [1, 127, 0]


def test_what_rings_on_is_tied_by_program_and_pitch() -> None:
    notes = [Note(0.5, 4, 64, 90, 1), Note(0.2, 4, 60, 90, 1), Note(0.4, 4, 72, 90, 0), Note(0.1, 4, 36, 90, 0, True)]
    written = events(segment_tokens(notes, 100, 200, MT3))
    assert written == [("program", 0), ("pitch", 72), ("program", 1), ("pitch", 60), ("pitch", 64), ("tie", 0)]


def test_the_program_of_the_last_tie_is_not_said_again() -> None:
    notes = [Note(0.5, 1.5, 64, 90, 7)]
    written = events(segment_tokens(notes, 100, 200, MT3))
    assert written == [("program", 7), ("pitch", 64), ("tie", 0), ("shift", 50), ("velocity", 0), ("pitch", 64)]


@pytest.mark.parametrize(
    ("begin", "written"),
    [
        (0, [("tie", 0), ("shift", 40), ("program", 0), ("velocity", 1), ("pitch", 60)]),
        (40, [("tie", 0), ("program", 0), ("velocity", 1), ("pitch", 60)]),
        (100, [("tie", 0)]),
    ],
)
def test_on_the_border_a_note_begins_after_it_and_ends_before_it(begin: int, written: list[tuple[str, int]]) -> None:
    assert events(segment_tokens([Note(0.4, 1, 60, 90)], begin, max(begin + 10, 100), MT3)) == written


def test_a_pitch_struck_again_ends_before_it_begins() -> None:
    notes = [Note(0, 2, 60, 90), Note(1, 1.5, 60, 90), Note(1, 1.2, 60, 90)]
    assert events(segment_tokens(notes, 0, 200, MT3))[4:] == [
        *[("shift", 100), ("velocity", 0), ("pitch", 60), ("velocity", 1), ("pitch", 60)],
        *[("shift", 150), ("velocity", 0), ("pitch", 60)],
    ]


def test_a_note_lasts_at_least_one_step() -> None:
    written = events(segment_tokens([Note(0.5, 0.501, 60, 90)], 0, 200, MT3))
    assert [value for kind, value in written if kind == "shift"] == [50, 51]


def test_ends_come_first_among_all_instruments_or_within_one() -> None:
    notes = [Note(0.5, 1, 60, 90, 5), Note(1, 2, 60, 90, 2), Note(1, 1.1, 36, 90, 0, True)]
    order = {
        name: [value for kind, value in events(segment_tokens(notes, 0, 110, CODECS[name]), CODECS[name])[5:]]
        for name in ("mt3", "ymt3")
    }
    assert order["mt3"] == [100, 0, 60, 2, 1, 60, 36]
    assert order["ymt3"] == [100, 2, 60, 5, 0, 60, 1, 36]


def test_a_segment_longer_than_the_shifts_is_refused() -> None:
    with pytest.raises(ValueError, match="ymt3 has no event shift 300"):
        segment_tokens([Note(3, 4, 60, 90)], 0, 400, CODECS["ymt3"])


@st.composite
def melodies(draw: st.DrawFn) -> list[Note]:
    """Notes within 10 s on the grid of 10 ms, no two of a pitch and program at once."""
    notes = []
    for program, pitch, is_drum in draw(st.sets(st.tuples(st.integers(0, 3), st.integers(60, 62), st.booleans()))):
        steps = sorted(draw(st.sets(st.integers(0, 1000), min_size=2, max_size=12)))
        for onset, offset in zip(steps[::2], steps[1::2], strict=False):
            end = onset + 1 if is_drum else offset
            notes.append(Note(onset / 100, end / 100, pitch, 100, program, is_drum))
    return sorted(set(notes))


def there_and_back(notes: list[Note], rule: CodecName) -> list[Note]:
    codec = CODECS[rule]
    builder: Any = note_builder(rule, frozenset())
    found = []
    for segment in takewhile(lambda segment: start_step(segment, rule) <= 1001, count()):
        tokens = segment_tokens(notes, start_step(segment, rule), start_step(segment + 1, rule), codec)
        found += builder.push([TokenRow(np.array(tokens))])
    return sorted(note.to_note() for note in found + builder.finish(20.0))


@given(melodies(), st.sampled_from(["mt3", "ymt3"]))
def test_notes_survive_the_way_through_tokens(notes: list[Note], rule: CodecName) -> None:
    found = there_and_back(notes, rule)
    assert [(n.pitch, n.program, n.is_drum) for n in found] == [(n.pitch, n.program, n.is_drum) for n in notes]
    assert np.allclose([n.onset_s for n in found], [n.onset_s for n in notes], rtol=0, atol=1e-9)
    assert np.allclose([n.offset_s for n in found], [n.offset_s for n in notes], rtol=0, atol=0.01)
