from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.capabilities.transcription.finishing import (
    anchored,
    drop_leakage,
    finish,
    group_programs,
    keep_instruments,
    quantise,
    split_instruments,
    steady_beats,
)
from tutti.capabilities.transcription.types import Options
from tutti.errors import OptionError
from tutti.music.beats import Beats
from tutti.music.notes import Note, Notes, PedalEvent
from tutti.music.timing import BeatGrid

PIANO, BRIGHT, VIBRAPHONE, BASS, VIOLIN, CELLO, RAIN = 0, 1, 11, 33, 40, 42, 96


def note(onset_s: float, pitch: int = 60, program: int = PIANO, length_s: float = 0.25, **rest: float) -> Note:
    return Note(onset_s, onset_s + length_s, pitch, int(rest.get("velocity", 80)), program, confidence=0.5)


def kick(onset_s: float) -> Note:
    return Note(onset_s, onset_s + 0.05, 36, 90, 0, True)


BAND = Notes.of(
    [note(0.0), note(0.5, 45, BASS), note(1.0, 70, VIOLIN), note(1.5, 50, CELLO), note(2.0, 80, RAIN), kick(0.0)],
    [PedalEvent(0.0, 1.0, PIANO), PedalEvent(0.0, 1.0, BASS)],
)


def played_by(notes: Notes) -> set[object]:
    return {"drums" if each.is_drum else each.program for each in notes}


def test_nothing_is_done_that_was_not_asked_for() -> None:
    short = replace(note(3.0), offset_s=3.02)
    crumbs = Notes.of([*BAND, short], BAND.pedal)
    assert finish(crumbs, Options()) == crumbs
    assert finish(crumbs, Options(min_note_s=0.03)) == BAND
    assert finish(BAND, Options(min_note_s=10)) == Notes.of(BAND.drums)


@pytest.mark.parametrize(
    ("families", "programs", "kept"),
    [
        ((), (), {PIANO, BASS, VIOLIN, CELLO, RAIN, "drums"}),
        (("drums",), (), {"drums"}),
        (("strings",), (), {VIOLIN, CELLO}),
        ((), (VIOLIN, RAIN), {VIOLIN, RAIN}),
        (("drums", "piano"), (BASS,), {PIANO, BASS, "drums"}),
        ((), (99,), set()),
    ],
)
def test_families_and_programs_name_what_is_kept(
    families: tuple[str, ...], programs: tuple[int, ...], kept: set[object]
) -> None:
    notes = keep_instruments(BAND, families, programs)
    assert played_by(notes) == kept
    assert {event.program for event in notes.pedal} == kept & {PIANO, BASS}
    assert finish(BAND, Options(instruments=families, programs=programs)) == notes  # type: ignore[arg-type]


def test_programs_become_those_of_their_families() -> None:
    notes = group_programs(Notes.of([*BAND, note(3.0, 60, BRIGHT)], [PedalEvent(0, 1, BRIGHT)]))
    assert played_by(notes) == {PIANO, BASS, VIOLIN, RAIN, "drums"}  # a cello is strings, rain no family
    assert notes.pedal == (PedalEvent(0, 1, PIANO),)
    assert {each.confidence for each in notes if not each.is_drum} == {0.5}


def song(*echoes: Note) -> Notes:
    """A hundred piano notes and half as many of a bass, a beat of 0.5 s, and what is added."""
    piano = [note(0.5 * row, 60 + row % 12) for row in range(100)]
    return Notes.of([*piano, *(note(row + 0.2, 40, BASS) for row in range(50)), kick(0.0), *echoes])


def test_a_tiny_instrument_that_only_doubles_is_leakage() -> None:
    echoes = [note(0.5 * row + 0.02, 60 + row % 12 + shift, VIBRAPHONE) for row, shift in enumerate((0, 12, -24, 0))]
    assert drop_leakage(song(*echoes)) == song()
    assert drop_leakage(drop_leakage(song(*echoes))) == song()


def test_what_an_echo_plays_by_itself_stays() -> None:
    own = note(0.75, 71, VIBRAPHONE)
    doubles = [note(0.5 * row, 60 + row % 12, VIBRAPHONE) for row in range(2)]
    assert drop_leakage(song(*doubles, own)) == song(own)


@pytest.mark.parametrize(
    "echoes",
    [
        pytest.param([note(0.5 * row, 60 + row % 12, VIBRAPHONE) for row in range(9)], id="5 % is no tiny share"),
        pytest.param(
            [note(0.5, 61, VIBRAPHONE), *(note(row + 0.3, 90, VIBRAPHONE) for row in (3, 4))], id="most is its own"
        ),
        pytest.param([note(0.5 * row + 0.031, 60 + row, VIBRAPHONE) for row in range(4)], id="31 ms late"),
        pytest.param([note(0.5 * row, 67 + row, VIBRAPHONE) for row in range(4)], id="a fifth above"),
        pytest.param([note(9.25, 61, VIBRAPHONE), note(9.25, 61, VIOLIN)], id="two tiny ones double each other"),
        pytest.param([replace(kick(0.5), pitch=61)], id="drums"),
    ],
)
def test_everything_else_stays(echoes: list[Note]) -> None:
    assert drop_leakage(song(*echoes)) == song(*echoes)


def test_drums_and_a_quiet_bass_do_not_cost_a_piece_its_notes() -> None:
    """Half bass, many drums: what a filter by shares of the piece would empty."""
    bass = [note(0.5 * row, 40, BASS) for row in range(60)]
    piece = Notes.of([*bass, *(kick(0.5 * row) for row in range(200)), *(note(row + 0.1, 64) for row in range(2))])
    assert drop_leakage(piece) == piece


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(50, 75), st.sampled_from([0, 33, 40])), max_size=60))
def test_leakage_is_only_ever_what_coincides(rows: list[tuple[int, int, int]]) -> None:
    notes = Notes.of(note(onset / 10, pitch, program) for onset, pitch, program in rows)
    kept = list(drop_leakage(notes))
    for each in notes:
        doubled = any(
            other.program != each.program
            and abs(other.onset_s - each.onset_s) <= 0.03
            and (other.pitch - each.pitch) % 12 == 0
            for other in notes
        )
        assert each in kept or doubled


GRID = BeatGrid((0.5, 1.0, 1.5, 2.1, 2.7), (1, 2, 3, 4, 1))  # 120 bpm, then 100


def spans(notes: Notes) -> list[tuple[float, float]]:
    return [(round(each.onset_s, 6), round(each.offset_s, 6)) for each in notes]


@pytest.mark.parametrize(
    ("onset_s", "length_s", "expected"),
    [
        (0.52, 0.47, (0.5, 1.0)),
        (0.61, 0.3, (0.625, 0.875)),  # a sixteenth is 125 ms at 120 bpm
        (1.63, 0.5, (1.65, 2.1)),  # and 150 ms at 100 bpm
        (0.76, 0.01, (0.75, 0.875)),  # at least one part long
        (0.02, 0.2, (0.0, 0.25)),  # before the first beat
        (2.99, 1.18, (3.0, 4.2)),  # after the last
    ],
)
def test_notes_come_to_lie_on_parts_of_beats(onset_s: float, length_s: float, expected: tuple[float, float]) -> None:
    notes = quantise(Notes.of([note(onset_s, length_s=length_s)]), GRID, 4)
    assert spans(notes) == [expected]
    assert notes[0].confidence == 0.5


def test_notes_that_come_to_begin_together_are_one_and_none_rings_into_the_next() -> None:
    loud = replace(note(0.51, length_s=0.1), velocity=120)
    notes = quantise(Notes.of([note(0.48, length_s=0.6), loud, note(0.99), note(0.51, 64), kick(0.49)]), GRID, 4)
    assert spans(notes) == [(0.5, 0.625), (0.5, 1.0), (0.5, 0.75), (1.0, 1.25)]
    assert [each.velocity for each in notes] == [90, 120, 80, 80]


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0.01, 5), st.integers(60, 62)), max_size=30), st.integers(1, 48))
def test_a_quantised_piece_is_on_the_grid_and_stays_there(rows: list[tuple[float, float, int]], parts: int) -> None:
    notes = quantise(Notes.of(note(onset, pitch, length_s=length) for onset, length, pitch in rows), GRID, parts)
    tempo_map = GRID.tempo_map()
    for each in notes:
        steps = [tempo_map.to_beat(time_s) * parts for time_s in (each.onset_s, each.offset_s)]
        assert steps == pytest.approx([round(step) for step in steps], abs=1e-6)
    by_pitch = [[each for each in notes if each.pitch == pitch] for pitch in (60, 61, 62)]
    assert all(a.offset_s <= b.onset_s for track in by_pitch for a, b in pairwise(track))
    assert spans(quantise(notes, GRID, parts)) == spans(notes)


def test_one_beat_is_no_grid() -> None:
    with pytest.raises(OptionError, match="at least two beats"):
        quantise(BAND, BeatGrid((1.0,), (1,)), 4)


def test_the_options_quantise_only_where_there_are_beats() -> None:
    notes, options = Notes.of([note(0.52)]), Options(quantise=4)
    assert finish(notes, options, None) == notes
    assert spans(finish(notes, options, Beats(GRID, 1.0, False, "test"))) == [(0.5, 0.75)]
    assert finish(notes, Options(), Beats(GRID, 1.0, False, "test")) == notes


def test_steady_beats_lie_where_the_notes_are() -> None:
    jitter = (0.004, -0.006, 0.002, -0.003)
    times_s = [0.31 + 0.5 * row + jitter[row % 4] for row in range(40)] + [0.31 + 0.25 + row for row in range(9)]
    beats = steady_beats(Notes.of(map(note, times_s)), 120.0, 4, 20.0)
    assert beats.grid.times_s[0] == pytest.approx(0.31, abs=0.003)
    assert beats.bpm == pytest.approx(120.0)
    assert beats.grid.positions[:5] == (1, 2, 3, 4, 1)
    assert beats.grid.times_s[-1] >= 20.0


@pytest.mark.parametrize(("first_s", "expected_s"), [(0.0, 0.0), (0.004, 0.0), (0.0624, 0.0), (0.0626, 0.0626)])
def test_a_sliver_before_the_first_beat_is_no_beat(first_s: float, expected_s: float) -> None:
    beats = Beats(BeatGrid((first_s, 0.5 + first_s, 1.0), (2, 3, 4)), 0.8, True, "test")
    found = anchored(beats, 4)
    assert found.grid.times_s == (expected_s, *beats.grid.times_s[1:])
    assert replace(found, grid=beats.grid) == beats


def test_too_few_beats_are_left_alone() -> None:
    for grid in (BeatGrid(), BeatGrid((0.01,), (1,))):
        assert anchored(Beats(grid, 0.0, True, "test"), 4).grid == grid


def test_a_song_to_a_click_that_begins_at_once_has_one_tempo() -> None:
    beats = steady_beats(Notes.of(note(0.003 + 0.5 * row) for row in range(16)), 120.0, 4, 8.0)
    assert [round(tempo.bpm) for tempo in beats.grid.tempo_map().tempi[1:]] == [120] * (len(beats.grid) - 2)
    assert beats.grid.tempo_map().tempi[0].bpm == pytest.approx(120, abs=1)


def test_steady_beats_need_no_notes() -> None:
    assert steady_beats(Notes(), 60.0, 4, 2.0).grid.times_s == (0.0, 1.0, 2.0)


def test_every_instrument_becomes_a_part_with_a_name_of_its_own() -> None:
    parts = split_instruments(BAND)
    assert list(parts) == ["piano", "bass", "violin", "cello", "fx_1_rain", "drums"]
    assert Notes.of((each for part in parts.values() for each in part), BAND.pedal) == BAND
    assert parts["piano"].pedal == (PedalEvent(0.0, 1.0, PIANO),)
    assert parts["drums"].pedal == ()
    assert split_instruments(Notes()) == {}
