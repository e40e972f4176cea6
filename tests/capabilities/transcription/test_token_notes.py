"""Tokens to notes: upstream's own expectations, golden answers of upstream's code, and whole songs against segments."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutti.capabilities.transcription.codec import CODECS, EOS, PAD, UNK, CodecName, EventKind
from tutti.capabilities.transcription.quirks import QUIRKS, Quirk
from tutti.capabilities.transcription.token_notes import note_builder
from tutti.capabilities.transcription.token_rows import (
    DecodingReport,
    TokenNote,
    TokenRow,
    moment_s,
    start_time_s,
)
from tutti.capabilities.transcription.ymt3_programs import general_midi_program, upstream_midi_program
from tutti.music.notes import Notes

GOLDEN = json.loads((Path(__file__).parents[2] / "data/mt3/note_decoding.json").read_text())["cases"]
RULES: tuple[CodecName, ...] = get_args(CodecName)
NOTHING: frozenset[Quirk] = frozenset()

Said = tuple[EventKind, int] | int
"""An event, or an id as it is."""
Heard = tuple[float, float, int, int, bool, int]
"""onset, offset, pitch, program, whether a drum, velocity"""


def row(rule: CodecName, *said: Said) -> TokenRow:
    return TokenRow(np.array([one if isinstance(one, int) else CODECS[rule].encode(*one) for one in said], np.int64))


def decode(
    rule: CodecName, segments: Sequence[Sequence[TokenRow]], kept: Set[Quirk] = NOTHING, end_s: float = 100.0
) -> tuple[list[TokenNote], DecodingReport]:
    builder = note_builder(rule, kept, len(segments[0]) if segments else 1)
    notes = [note for rows in segments for note in builder.push(rows)]
    return [*notes, *builder.finish(end_s)], builder.report


def heard(notes: Sequence[TokenNote]) -> list[Heard]:
    ordered = sorted((n.onset_s, n.offset_s, n.pitch, n.program, n.is_drum, n.velocity) for n in notes)
    return _rounded(ordered)


def _rounded(notes: Sequence[Heard]) -> list[Heard]:
    return [(round(note[0], 6), round(note[1], 6), *note[2:]) for note in notes]


def one_row(rule: CodecName, *segments: Sequence[Said], kept: Set[Quirk] = NOTHING) -> tuple[list[Heard], int, int]:
    notes, report = decode(rule, [[row(rule, *said)] for said in segments], kept)
    return heard(notes), report.invalid_events, report.dropped_events


# What magenta/mt3's own tests expect (run_length_encoding_test, note_sequences_test, metrics_utils_test; Apache-2.0).


def test_an_onset_and_its_end() -> None:
    said: list[Said] = [("shift", 5), ("velocity", 127), ("pitch", 60), ("shift", 25), ("velocity", 0), ("pitch", 60)]
    assert one_row("ismir2021", said) == ([(0.05, 0.25, 60, 0, False, 127)], 0, 0)


def test_an_onset_ends_the_note_of_its_pitch() -> None:
    said: list[Said] = [("shift", 5), ("velocity", 127), ("pitch", 60), ("shift", 10), ("pitch", 60)]
    end: list[Said] = [("shift", 25), ("velocity", 0), ("pitch", 60)]
    expected = [(0.05, 0.1, 60, 0, False, 127), (0.1, 0.25, 60, 0, False, 127)]
    assert one_row("ismir2021", [*said, *end]) == (expected, 0, 0)


def test_a_drum_between_a_note_and_its_end() -> None:
    said: list[Said] = [("shift", 5), ("program", 40), ("velocity", 127), ("pitch", 60)]
    said += [("shift", 15), ("velocity", 127), ("drum", 37)]
    said += [("shift", 25), ("program", 40), ("velocity", 0), ("pitch", 60)]
    expected = [(0.05, 0.25, 60, 40, False, 127), (0.15, 0.16, 37, 0, True, 127)]
    assert one_row("ismir2021", said) == (expected, 0, 0)


def test_ids_that_mean_nothing_are_counted_and_skipped() -> None:
    said: list[Said] = [("shift", 5), -1, ("velocity", 1), ("pitch", 60), -2, ("shift", 25), ("pitch", 61), 9999, PAD]
    assert one_row("ismir2021", said)[0] == [(0.05, 0.26, 60, 0, False, 1), (0.25, 0.26, 61, 0, False, 1)]
    assert one_row("ismir2021", said)[1:] == (4, 0)


@pytest.mark.parametrize(("steps", "dropped"), [(204, 0), (205, 2)])
def test_what_lies_behind_the_next_start_is_dropped_but_not_what_lies_on_it(steps: int, dropped: int) -> None:
    # the second segment begins at 2.04 s
    notes, _, count = one_row("mt3", [("tie", 0), ("shift", steps), ("drum", 40)], [("tie", 0)])
    assert [note[0] for note in notes] == [2.04] * (dropped == 0)
    assert count == dropped


def test_the_last_segment_has_no_border() -> None:
    assert one_row("mt3", [("tie", 0), ("shift", 900), ("drum", 40)]) == ([(9.0, 9.01, 40, 0, True, 100)], 0, 0)


def test_without_ties_notes_ring_from_segment_to_segment() -> None:
    first: list[Said] = [("shift", 20), ("velocity", 127), ("pitch", 59)]
    second: list[Said] = [("shift", 20), ("velocity", 63), ("pitch", 60)]
    third: list[Said] = [("shift", 20), ("velocity", 0), ("pitch", 59), ("pitch", 60)]
    expected = [(0.2, 8.39, 59, 0, False, 127), (4.29, 8.39, 60, 0, False, 63)]
    assert one_row("ismir2021", first, second, third) == (expected, 0, 0)


def test_ties_continue_notes_and_their_lack_ends_them() -> None:
    first: list[Said] = [("tie", 0), ("shift", 20), ("program", 32), ("velocity", 1), ("pitch", 59)]
    second: list[Said] = [("program", 32), ("pitch", 59), ("tie", 0), ("shift", 20), ("velocity", 1), ("drum", 42)]
    expected = [(0.2, 4.09, 59, 32, False, 127), (2.24, 2.25, 42, 0, True, 127)]
    assert one_row("mt3", first, second, [("tie", 0)]) == (expected, 0, 0)


# What those tests leave open.


@pytest.mark.parametrize(
    ("said", "invalid"),
    [
        ([("pitch", 60), ("tie", 0)], 1),  # tied, but it does not ring
        ([("tie", 0), ("tie", 0)], 1),
        ([("tie", 0), ("velocity", 0), ("pitch", 60)], 1),  # ends, but it does not ring
        ([("tie", 0), ("velocity", 0), ("drum", 40)], 1),
        ([("tie", 0), ("shift", 9), ("program", 1), ("shift", 5), ("velocity", 0), ("program", 0)], 2),  # back in time
        ([("tie", 0), ("shift", 9), ("shift", 5), ("velocity", 0), ("shift", 14), ("program", 0)], 0),  # shifts add up
        ([("tie", 0), UNK], 1),
        ([("tie", 0), EOS, ("pitch", 60), PAD], 0),
    ],
)
def test_events_that_make_no_sense_in_mt3(said: list[Said], invalid: int) -> None:
    assert one_row("mt3", said) == ([], invalid, 0)


@pytest.mark.parametrize(
    ("said", "invalid"),
    [
        ([("pitch", 60), ("tie", 0)], 1),  # a pitch before any program
        ([("tie", 0), ("velocity", 1), ("pitch", 60)], 1),
        ([("program", 0), ("tie", 0), ("pitch", 60)], 1),  # no velocity
        ([("program", 0), ("tie", 0), ("velocity", 0), ("pitch", 60)], 1),  # ends, but it is not active
        ([("tie", 0), ("shift", 0)], 1),
        ([("tie", 0), ("tie", 0)], 1),
        ([("tie", 0), PAD, UNK, -5, 596], 2),
        ([("tie", 0), EOS, ("shift", 0)], 0),
    ],
)
def test_events_that_make_no_sense_in_ymt3(said: list[Said], invalid: int) -> None:
    assert one_row("ymt3", said) == ([], invalid, 0)


def test_shifts_of_ymt3_are_absolute_and_may_go_back() -> None:
    said: list[Said] = [("tie", 0), ("shift", 20), ("drum", 40), ("shift", 5), ("drum", 41), ("shift", 7), ("drum", 42)]
    assert [note[:3] for note in one_row("ymt3", said)[0]] == [(0.05, 0.06, 41), (0.07, 0.08, 42), (0.2, 0.21, 40)]


def test_an_end_and_an_onset_at_once_are_read_in_that_order() -> None:
    onset: list[Said] = [("tie", 0), ("shift", 5), ("program", 0), ("velocity", 1), ("pitch", 60)]
    both: list[Said] = [("shift", 9), ("pitch", 60), ("velocity", 0), ("pitch", 60), ("shift", 20), ("pitch", 60)]
    assert [note[:2] for note in one_row("ymt3", [*onset, *both])[0]] == [(0.05, 0.09), (0.09, 0.2)]


def test_a_note_of_another_channel_ends_a_note_and_the_longer_of_two_counts() -> None:
    def note(on: int, off: int) -> list[Said]:
        return [("shift", on), ("program", 3), ("velocity", 1), ("pitch", 60), *_end(off)]

    def _end(off: int) -> list[Said]:
        return [("shift", off), ("velocity", 0), ("pitch", 60)]

    rows = [row("ymt3", ("tie", 0), *note(10, 150)), row("ymt3", ("tie", 0), *note(10, 30), *note(100, 120))]
    notes, _ = decode("ymt3", [rows])
    assert [(n.onset_s, n.offset_s, n.channel) for n in notes] == [(0.1, 1.0, 0), (1.0, 1.2, 1)]


def test_a_note_that_rings_on_ends_where_another_channel_struck_it_long_ago() -> None:
    tied: list[Said] = [("program", 3), ("pitch", 60), ("tie", 0)]
    ringing: list[list[Said]] = [
        [("tie", 0), ("shift", 10), ("program", 3), ("velocity", 1), ("pitch", 60)],
        tied,
        [*tied, ("shift", 50), ("velocity", 0), ("pitch", 60)],
    ]
    struck: list[Said] = [("tie", 0), ("shift", 20), ("program", 3), ("velocity", 1), ("pitch", 60)]
    others: list[list[Said]] = [[*struck, ("shift", 40), ("velocity", 0), ("pitch", 60)], [("tie", 0)], [("tie", 0)]]
    notes, _ = decode("ymt3", [[row("ymt3", *a), row("ymt3", *b)] for a, b in zip(ringing, others, strict=True)])
    assert sorted((n.onset_s, n.offset_s, n.channel) for n in notes) == [(0.1, 0.2, 0), (0.2, 0.4, 1)]


@pytest.mark.parametrize("rule", RULES)
def test_confidence_is_that_of_the_tokens_that_make_the_onset(rule: CodecName) -> None:
    said: list[Said] = [("tie", 0), ("shift", 5), ("program", 1), ("velocity", 1), ("pitch", 60), ("pitch", 61)]
    said += [("shift", 7), ("velocity", 0), ("pitch", 60), ("pitch", 61), EOS]
    tokens = row(rule, *said).tokens
    probabilities = np.array([0.5, 0.5, 0.2, 0.3, 0.4, 0.9, *[0.1] * 5])
    notes, _ = decode(rule, [[TokenRow(tokens, np.log(probabilities))]])
    assert {n.pitch: n.confidence for n in notes} == {
        60: pytest.approx((0.2 * 0.3 * 0.4) ** (1 / 3)),
        61: pytest.approx(0.9),
    }
    assert {n.confidence for n in decode(rule, [[TokenRow(tokens)]])[0]} == {None}


def test_log_probabilities_must_match_the_tokens() -> None:
    with pytest.raises(ValueError, match="2 tokens have 3 log-probabilities"):
        TokenRow(np.zeros(2, np.int64), np.zeros(3))


@pytest.mark.parametrize("rule", RULES)
def test_nothing_comes_of_nothing(rule: CodecName) -> None:
    assert decode(rule, []) == ([], DecodingReport())
    notes, report = decode(rule, [[row(rule)], [row(rule)]])
    assert (notes, report) == ([], DecodingReport(rows=2, unended_rows=2))


def test_channels_must_match_the_rule_and_the_rows() -> None:
    with pytest.raises(ValueError, match="mt3 has one channel"):
        note_builder("mt3", NOTHING, 13)
    with pytest.raises(ValueError, match="shorter"):
        note_builder("ymt3", NOTHING, 2).push([row("ymt3")])


def test_singing_has_programs_of_its_own() -> None:
    assert [general_midi_program(program) for program in (0, 65, 100, 101, 127)] == [0, 65, 53, 52, 127]
    assert [upstream_midi_program(program) for program in (100, 101, 96, 127)] == [65, 53, 96, 127]
    groups = {upstream_midi_program(program) for program in range(96)}
    assert groups == {0, 2, 8, 16, 24, 30, 33, 48, 56, 64, 72, 80, 88}
    assert all(upstream_midi_program(program) == program for program in groups)


# Against upstream's code and against whole songs.


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_notes_are_those_of_upstreams_own_code(case: dict[str, Any]) -> None:
    segments = [[TokenRow(np.array(tokens, np.int64)) for tokens in rows] for rows in case["segments"]]
    notes, report = decode(case["rule"], segments, set(case["kept"]))
    assert heard(notes) == _rounded([tuple(note) for note in case["notes"]])
    assert (report.invalid_events, report.dropped_events) == (case["invalid_events"], case["dropped_events"])


def _phrases(rule: CodecName) -> list[list[int] | None]:
    """Tokens that often make notes of few pitches, and at times anything; None ends a row."""
    codec = CODECS[rule]
    encode = codec.encode
    notes = [
        [encode("program", program), encode("velocity", velocity), encode("pitch", pitch)]
        for program in (0, 1)
        for velocity in (0, 1)
        for pitch in (60, 61)
    ]
    ties = [[note[0], note[2]] for note in notes]
    shifts = [[encode("shift", value)] for value in (0, 1, 2, 40, 100, 200, 203, 204, 205)]
    wild = [[token] for token in (-3, PAD, UNK, EOS, codec.size - 1, codec.size + 3)]
    others = [[encode("drum", 36)], [encode("drum", 38)], [encode("pitch", 60)], [encode("velocity", 0)]]
    tie = [encode("tie")]
    return [*notes, *notes, *ties, *shifts, *wild, *others, tie, tie, [EOS, PAD], *[None] * 4]


def _rows(phrases: list[list[int] | None]) -> list[TokenRow]:
    rows: list[list[int]] = [[]]
    for phrase in phrases:
        if phrase is None:
            rows.append([])
        else:
            rows[-1] += phrase
    return [TokenRow(np.array(tokens, np.int64)) for tokens in rows]


Song = tuple[CodecName, list[list[TokenRow]]]


@st.composite
def songs(draw: st.DrawFn) -> Song:
    rule: CodecName = draw(st.sampled_from(RULES))
    channels = draw(st.sampled_from([1, 3])) if rule == "ymt3" else 1
    rows = _rows(draw(st.lists(st.sampled_from(PHRASES[rule]), max_size=60)))
    return rule, [rows[begin : begin + channels] for begin in range(0, len(rows) - channels + 1, channels)]


PHRASES = {rule: _phrases(rule) for rule in RULES}
SETTINGS = st.sets(st.sampled_from(QUIRKS))


@given(songs(), SETTINGS)
@settings(max_examples=80, deadline=None)
def test_any_tokens_make_notes_that_end_after_they_begin(song: Song, kept: set[Quirk]) -> None:
    rule, segments = song
    notes, report = decode(rule, segments, kept)
    assert all(note.offset_s > note.onset_s for note in notes)
    assert len(Notes.of(note.to_note() for note in notes)) == len(notes)
    assert report.rows == sum(len(rows) for rows in segments)


@given(songs(), SETTINGS)
@settings(max_examples=80, deadline=None)
def test_segments_one_by_one_give_the_notes_of_the_whole_song(song: Song, kept: set[Quirk]) -> None:
    rule, segments = song
    notes, _ = decode(rule, segments, kept, 12.0)
    whole = _whole_song_ymt3(segments, kept, 12.0) if rule == "ymt3" else _whole_song_mt3(rule, segments, kept)
    assert heard(notes) == _rounded(sorted(whole))


@pytest.mark.parametrize("rule", ["mt3", "ismir2021", "ymt3"])
def test_notes_come_with_their_segment(rule: CodecName) -> None:
    said: list[Said] = [("tie", 0), ("shift", 5), ("program", 0), ("velocity", 1), ("pitch", 60)]
    rows = [row(rule, *said, ("shift", 150), ("velocity", 0), ("pitch", 60), EOS)]
    builder = note_builder(rule, NOTHING)
    given = [[note.segment for note in builder.push(rows)] for _ in range(50)]
    assert given == [[segment] for segment in range(50)]


# The rules once more, plainly, for a whole song at once.


def _whole_song_mt3(rule: CodecName, segments: list[list[TokenRow]], kept: Set[Quirk]) -> list[Heard]:
    codec, notes = CODECS[rule], []
    active: dict[tuple[int, int], tuple[float, int]] = {}
    now, velocity, program = 0.0, 100, 0

    def close(key: tuple[int, int], time_s: float) -> None:
        onset, loudness = active.pop(key)
        notes.append((onset, max(time_s, onset + 0.01), *key, False, loudness))

    for number, (tokens,) in enumerate(segments):
        ids = tokens.tokens.tolist()
        stops = [i for i, t in enumerate(ids) if t == EOS or (t == UNK and "no_eos_empties" in kept)]
        ids = ids[: stops[0]] if stops else [] if "no_eos_empties" in kept else ids
        limit = start_time_s(number + 1, rule, kept) if number + 1 < len(segments) else math.inf
        if "state_persists" not in kept:
            velocity, program = 100, 0
        tied: set[tuple[int, int]] = set()
        in_ties, steps, time = rule == "mt3", 0, moment_s(number, 0, rule, kept)
        for event in map(codec.decode, ids):
            if event is None:
                continue
            if event.kind == "shift":
                steps += event.value
                time = moment_s(number, steps, rule, kept)
                if time > limit:
                    break
                continue
            steps = 0
            if time < now:
                continue
            now, key = time, (event.value, program)
            if event.kind == "velocity":
                velocity = codec.to_velocity(event.value)
            elif event.kind == "program":
                program = event.value
            elif event.kind == "drum" and velocity > 0:
                notes.append((now, now + 0.01, event.value, 0, True, velocity))
            elif event.kind == "tie" and in_ties:
                for other in set(active) - tied:
                    close(other, now)
                in_ties = False
            elif event.kind == "pitch" and in_ties:
                tied.add(key)
            elif event.kind == "pitch":
                if key in active:
                    close(key, now)
                if velocity > 0:
                    active[key] = (now, velocity)
    now = max([now, *(onset + 0.01 for onset, _ in active.values())])
    for key in list(active):
        close(key, now)
    return notes


_Change = tuple[float, bool, int, int, int]
"""time, whether a drum, pitch, velocity, program: sorts as upstream does"""


def _whole_song_ymt3(segments: list[list[TokenRow]], kept: Set[Quirk], end_s: float) -> list[Heard]:
    notes = []
    for channel in range(len(segments[0]) if segments else 0):
        changes: list[_Change] = []
        before: list[tuple[int, int]] = []
        for number, rows in enumerate(segments):
            ties, new, active = _changes_of_row(rows[channel], number, kept)
            start_s = start_time_s(number, "ymt3", kept)
            if "unrounded_cut" not in kept:
                before = _ringing(changes, start_s)
            changes += [
                (start_s, False, pitch, 0, program) for program, pitch in before if (program, pitch) not in ties
            ]
            changes += new
            before = active
        notes += _notes_of_channel(sorted(changes), kept, end_s)
    trimmed = []
    for on, off, pitch, program, is_drum in sorted(notes):
        later = [n[0] for n in notes if n[0] > on and n[2:] == (pitch, program, is_drum)]
        together = [n[1] for n in notes if n[0] == on and n[2:] == (pitch, program, is_drum)]
        off = min([max(together), *later])
        off = on + 0.01 if off - on < 0.01 and not is_drum else off
        trimmed.append((on, off, pitch, program, is_drum, 100))
    return sorted(set(trimmed))


def _ringing(changes: list[_Change], start_s: float) -> list[tuple[int, int]]:
    """(program, pitch) of the notes that ring at a segment's start, where no change to them is to come."""
    ringing = set()
    for time, is_drum, pitch, velocity, program in sorted(changes):
        ringing.discard((program, pitch))
        if velocity > 0 and not is_drum and time < start_s:
            ringing.add((program, pitch))
    return list(ringing)


def _changes_of_row(
    tokens: TokenRow, number: int, kept: Set[Quirk]
) -> tuple[list[tuple[int, int]], list[_Change], list[tuple[int, int]]]:
    """(ties, changes, what is left open)"""
    ids = tokens.tokens.tolist()
    events = [CODECS["ymt3"].decode(token) for token in ids]
    kinds = [event.kind if event else None for event in events]
    firsts = [index for index, kind in enumerate(kinds) if kind in ("tie", "shift")]
    ties: list[tuple[int, int]] = []
    program = velocity = None
    begin = 0
    if firsts and kinds[firsts[0]] == "tie":
        begin = firsts[0] + 1
        for event in events[:begin]:
            if event and event.kind == "program":
                program = event.value
            elif event and event.kind == "pitch" and program is not None:
                ties.append((program, event.value))
    elif "tieless_segment_dropped" in kept:
        return [], [], []
    changes: list[_Change] = []
    active, steps = list(ties), 0
    for token, event in list(zip(ids, events, strict=True))[begin:]:
        time = moment_s(number, steps, "ymt3", kept)
        if token == EOS:
            break
        if event is None or event.kind == "tie":
            continue
        if event.kind == "shift":
            steps = event.value if event.value > 0 else steps
        elif event.kind == "program":
            program = event.value
        elif event.kind == "velocity":
            velocity = event.value
        elif event.kind == "drum":
            changes.append((time, True, event.value, 1, 128))
        elif program is not None and velocity is not None:
            if velocity == 0 and (program, event.value) not in active:
                continue
            if velocity == 0:
                active.remove((program, event.value))
            else:
                active.append((program, event.value))
            changes.append((time, False, event.value, velocity, program))
    return ties, changes, active


def _notes_of_channel(
    changes: list[_Change], kept: Set[Quirk], end_s: float
) -> list[tuple[float, float, int, int, bool]]:
    notes: list[tuple[float, float, int, int, bool]] = []
    active: dict[tuple[int, int], float] = {}
    for time, is_drum, pitch, velocity, program in changes:
        if is_drum:
            notes.append((time, time + 0.01, pitch, 0, True))
            continue
        onset = active.pop((pitch, program), None)
        if onset is not None:
            notes.append((onset, time, pitch, program, False))
        if velocity > 0:
            active[pitch, program] = time
    for (pitch, program), onset in active.items():
        notes.append((onset, onset + 0.01 if "leftovers_cut" in kept else end_s, pitch, program, False))
    lasting = []
    for on, off, pitch, program, is_drum in notes:
        off = on + 0.01 if "long_notes_cut" in kept and off - on > 10 else off
        off = on + 0.01 if off - on < 0.01 and not is_drum else off
        lasting.append((on, off, pitch, program, is_drum))
    return lasting
