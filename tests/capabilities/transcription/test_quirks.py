"""Each quirk of segment starts and note decoding, kept and mended. Networks and generation have theirs elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from tutti.capabilities.transcription.codec import CODECS, EOS, UNK, CodecName, EventKind
from tutti.capabilities.transcription.quirks import QUIRKS, Quirk, kept_quirks
from tutti.capabilities.transcription.token_notes import NoteBuilder, note_builder
from tutti.capabilities.transcription.token_rows import (
    DecodingReport,
    TokenNote,
    TokenRow,
    moment_s,
    start_step,
    start_time_s,
)

Said = tuple[EventKind, int] | int

NOTE: tuple[Said, ...] = (("program", 5), ("velocity", 1), ("pitch", 60))
TIED: tuple[Said, ...] = (("program", 5), ("pitch", 60), ("tie", 0))
END: tuple[Said, ...] = (("program", 5), ("velocity", 0), ("pitch", 60))


def decode(
    rule: CodecName, segments: list[list[Said]], *kept: Quirk, end_s: float = 100.0
) -> tuple[list[tuple[float, float]], DecodingReport]:
    """Onset and offset of every note, to the microsecond."""
    builder = note_builder(rule, frozenset(kept))
    notes = _notes(builder, segments, rule, end_s)
    return [(round(note.onset_s, 6), round(note.offset_s, 6)) for note in notes], builder.report


def _notes(
    builder: NoteBuilder, segments: list[list[Said]], rule: CodecName = "mt3", end_s: float = 100.0
) -> list[TokenNote]:
    rows = [[one if isinstance(one, int) else CODECS[rule].encode(*one) for one in said] for said in segments]
    notes = [note for row in rows for note in builder.push([TokenRow(np.array(row, np.int64))])]
    return [*notes, *builder.finish(end_s)]


def test_a_variant_keeps_all_or_none_but_the_exceptions() -> None:
    concerned: tuple[Quirk, ...] = ("float_start", "no_eos_empties")
    assert kept_quirks(concerned, "faithful", ()) == set(concerned)
    assert kept_quirks(concerned, "corrected", ()) == frozenset()
    assert kept_quirks(concerned, "faithful", ["no_eos_empties"]) == {"float_start"}
    assert kept_quirks(concerned, "corrected", ["no_eos_empties"]) == {"no_eos_empties"}
    assert kept_quirks((), "corrected", QUIRKS) == frozenset()


def test_float_start_takes_a_step_from_some_segments() -> None:
    literal = {segment: start_time_s(segment, "mt3", {"float_start"}) for segment in range(200)}
    exact = {segment: start_time_s(segment, "mt3", frozenset()) for segment in range(200)}
    early = [segment for segment in range(200) if exact[segment] - literal[segment] > 0.009]
    assert early[:12] == [15, 30, 45, 55, 60, 75, 90, 95, 105, 110, 120, 125]
    assert len(early) == 19
    assert exact[15] == 30.72
    assert literal[15] == pytest.approx(30.71)
    others = set(range(200)) - set(early)
    assert all(literal[segment] == pytest.approx(exact[segment], abs=1e-9) for segment in others)
    assert moment_s(15, 7, "mt3", {"float_start"}) == literal[15] + 0.07
    assert moment_s(15, 7, "mt3", frozenset()) == 30.79


def test_exact_starts_are_the_steps_before_the_first_sample() -> None:
    assert [start_step(segment, "mt3") for segment in (0, 1, 2, 125)] == [0, 204, 409, 25_600]
    assert [start_step(segment, "ismir2021") for segment in (0, 1, 2)] == [0, 409, 819]
    assert [start_step(segment, "ymt3") for segment in (0, 1, 2, 3)] == [0, 205, 410, 614]


def test_no_eos_empties_a_segment_that_the_network_did_not_end() -> None:
    said: list[list[Said]] = [[("tie", 0), ("drum", 40)], [("tie", 0), ("drum", 40), EOS]]
    kept, report = decode("mt3", said, "no_eos_empties")
    assert kept == [(2.04, 2.05)]
    assert (report.discarded_rows, report.unended_rows) == (1, 1)
    mended, report = decode("mt3", said)
    assert mended == [(0.0, 0.01), (2.04, 2.05)]
    assert (report.discarded_rows, report.unended_rows) == (0, 1)


def test_no_eos_empties_takes_unk_for_an_end() -> None:
    said: list[list[Said]] = [[("tie", 0), ("drum", 40), UNK, ("drum", 41)]]
    assert len(decode("mt3", said, "no_eos_empties")[0]) == 1
    assert len(decode("mt3", said)[0]) == 2


def test_state_persists_over_segments() -> None:
    said: list[list[Said]] = [
        [("tie", 0), ("program", 5), ("velocity", 1), ("drum", 40)],
        [("tie", 0), ("pitch", 60), ("shift", 50), *END],
    ]
    builders = [note_builder("mt3", {"state_persists"}), note_builder("mt3", frozenset())]
    notes = [
        (note.program, note.velocity) for builder in builders for note in _notes(builder, said) if not note.is_drum
    ]
    assert notes == [(5, 127), (0, 100)]
    assert [builder.report.invalid_events for builder in builders] == [0, 1]  # its end is of program 5


def test_tieless_segment_is_dropped_and_cuts_what_rings() -> None:
    said: list[list[Said]] = [
        [("tie", 0), ("shift", 100), *NOTE],
        [("shift", 50), ("drum", 40), EOS],
        [*TIED, ("shift", 50), *END],
    ]
    kept, report = decode("ymt3", said, "tieless_segment_dropped")
    assert (kept, report.discarded_rows) == ([(1.0, 2.05)], 1)
    mended, report = decode("ymt3", said)
    assert (mended, report.discarded_rows) == ([(1.0, 2.05), (2.55, 2.56)], 0)


def test_long_notes_are_cut_to_10_ms() -> None:
    said: list[list[Said]] = [[("tie", 0), *NOTE], *[[*TIED]] * 5, [*TIED, *END]]
    kept, report = decode("ymt3", said, "long_notes_cut")
    assert (kept, report.cut_notes) == ([(0.0, 0.01)], 1)
    mended, report = decode("ymt3", said)
    assert (mended, report.cut_notes) == ([(0.0, 12.29)], 0)


def test_leftovers_are_cut_to_10_ms() -> None:
    said: list[list[Said]] = [[("tie", 0), *NOTE]]
    kept, report = decode("ymt3", said, "leftovers_cut", end_s=1.5)
    assert (kept, report.cut_notes) == ([(0.0, 0.01)], 1)
    mended, report = decode("ymt3", said, end_s=1.5)
    assert (mended, report.cut_notes) == ([(0.0, 1.5)], 0)


def test_unrounded_cut_ends_a_note_that_the_segment_begins_with() -> None:
    # segment 3 begins at 6.1438 s, its first step is 6.14 s: there the pitch is struck again
    said: list[list[Said]] = [[("tie", 0)], [("tie", 0)], [("tie", 0), *NOTE], [("tie", 0), *NOTE, ("shift", 50), *END]]
    assert start_time_s(3, "ymt3", {"unrounded_cut"}) == 6.1438125
    assert decode("ymt3", said, "unrounded_cut")[0] == [(4.1, 6.14), (6.14, 6.15)]
    assert decode("ymt3", said)[0] == [(4.1, 6.14), (6.14, 6.64)]


def test_unrounded_cut_misses_a_note_that_begins_on_the_border() -> None:
    # step 205 of segment 0 is where segment 1 begins; no segment after it ties the note
    said: list[list[Said]] = [[("tie", 0), ("shift", 205), *NOTE], [("tie", 0)], [("tie", 0)], [("tie", 0)]]
    kept, report = decode("ymt3", said, "unrounded_cut", end_s=8.0)
    assert (kept, report.invalid_events) == ([(2.05, 8.0)], 1)
    mended, report = decode("ymt3", said, end_s=8.0)
    assert (mended, report.invalid_events) == ([(2.05, 4.1)], 0)


def test_an_end_on_the_border_is_no_invalid_event() -> None:
    said: list[list[Said]] = [[("tie", 0), ("shift", 100), *NOTE, ("shift", 205), *END], [("tie", 0)]]
    variants: list[list[Quirk]] = [[], ["unrounded_cut"]]
    for kept in variants:
        notes, report = decode("ymt3", said, *kept)
        assert (notes, report.invalid_events) == ([(1.0, 2.05)], 0)
