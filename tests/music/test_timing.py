import math
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.errors import OptionError
from tutti.music.timing import BeatGrid, Tempo, TempoMap, TimeSignature


def tempo_maps() -> st.SearchStrategy[TempoMap]:
    bpm = st.floats(4, 1000)
    steps = st.lists(st.tuples(st.floats(0.01, 500), bpm), max_size=8)

    def build(first_bpm: float, later: list[tuple[float, float]]) -> TempoMap:
        beats = accumulate(step for step, _ in later)
        tempi = [Tempo(beat, tempo) for beat, (_, tempo) in zip(beats, later, strict=True)]
        return TempoMap((Tempo(0.0, first_bpm), *tempi))

    return st.builds(build, bpm, steps)


def test_seconds_and_beats_by_hand() -> None:
    tempo_map = TempoMap((Tempo(0, 60), Tempo(4, 120), Tempo(8, 30)))
    assert tempo_map.starts_s == (0.0, 4.0, 6.0)
    assert [tempo_map.to_seconds(beat) for beat in (0, 2, 4, 6, 8, 9)] == [0, 2, 4, 5, 6, 8]
    assert [tempo_map.to_beat(time_s) for time_s in (0, 2, 4, 5, 6, 8)] == [0, 2, 4, 6, 8, 9]
    assert [tempo_map.bpm_at(time_s) for time_s in (0, 3.9, 4, 5.9, 6, 99)] == [60, 60, 120, 120, 30, 30]


def test_before_the_start_the_first_tempo_holds() -> None:
    tempo_map = TempoMap.constant(90)
    assert tempo_map.to_beat(-2) == -3
    assert tempo_map.to_seconds(-3) == -2


def test_the_default_is_midi_s_own_120_bpm() -> None:
    assert TempoMap() == TempoMap.constant(120)
    assert TempoMap().to_seconds(1) == 0.5


@given(tempo_maps())
def test_tempi_begin_where_they_are_said_exactly(tempo_map: TempoMap) -> None:
    for tempo, time_s in zip(tempo_map.tempi, tempo_map.starts_s, strict=True):
        assert tempo_map.to_seconds(tempo.beat) == time_s
        assert tempo_map.to_beat(time_s) == tempo.beat
        assert tempo_map.bpm_at(time_s) == tempo.bpm


@given(tempo_maps(), st.floats(0, 1e5))
def test_seconds_to_beats_and_back_is_the_identity(tempo_map: TempoMap, value: float) -> None:
    assert tempo_map.to_seconds(tempo_map.to_beat(value)) == pytest.approx(value, rel=1e-12, abs=1e-9)
    assert tempo_map.to_beat(tempo_map.to_seconds(value)) == pytest.approx(value, rel=1e-12, abs=1e-9)


@given(tempo_maps(), st.floats(0, 1e4), st.floats(1e-3, 1e3))
def test_time_never_runs_back(tempo_map: TempoMap, time_s: float, step_s: float) -> None:
    assert tempo_map.to_beat(time_s + step_s) > tempo_map.to_beat(time_s)
    assert tempo_map.to_seconds(time_s + step_s) > tempo_map.to_seconds(time_s)


@pytest.mark.parametrize(
    ("tempi", "message"),
    [
        ((), "begins at beat 0"),
        ((Tempo(1, 90),), "begins at beat 0"),
        ((Tempo(0, 90), Tempo(2, 80), Tempo(2, 70)), r"beats \[0, 2, 2\]"),
        ((Tempo(0, 90), Tempo(4, 80), Tempo(2, 70)), r"beats \[0, 4, 2\]"),
    ],
)
def test_tempo_maps_that_make_no_sense(tempi: tuple[Tempo, ...], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TempoMap(tempi)


@pytest.mark.parametrize(
    ("beat", "bpm"), [(-1, 90), (math.nan, 90), (math.inf, 90), (0, 0), (0, -5), (0, math.inf), (0, math.nan)]
)
def test_tempo_tempi_that_make_no_sense(beat: float, bpm: float) -> None:
    with pytest.raises(OptionError):
        Tempo(beat, bpm)


@pytest.mark.parametrize(("numerator", "denominator", "quarters"), [(4, 4, 4), (3, 4, 3), (6, 8, 3), (2, 2, 4)])
def test_a_bar_in_quarter_notes(numerator: int, denominator: int, quarters: float) -> None:
    assert TimeSignature(numerator, denominator).quarters_per_bar == quarters


@pytest.mark.parametrize("wrong", [(0, 4), (65, 4), (4, 0), (4, 3), (4, 128), (4, 4, -1.0), (4, 4, math.nan)])
def test_time_signatures_that_make_no_sense(wrong: tuple[int, ...]) -> None:
    with pytest.raises(OptionError):
        TimeSignature(*wrong)


WALTZ = BeatGrid((1.0, 1.5, 2.0, 2.6, 3.2, 3.7), (3, 1, 2, 3, 1, 2))


def test_a_grid_knows_its_beats() -> None:
    assert len(WALTZ) == 6
    assert list(WALTZ)[:2] == [(1.0, 3), (1.5, 1)]
    assert WALTZ.downbeats_s == (1.5, 3.2)
    assert WALTZ.bpm == pytest.approx(120)
    assert len(BeatGrid()) == 0


@pytest.mark.parametrize(
    ("times_s", "positions", "message"),
    [
        ((0, 1), (1,), "2 times but 1 positions"),
        ((0, 1, 1), (1, 2, 3), "rise"),
        ((-1, 1), (1, 2), "not negative"),
        ((0, math.nan), (1, 2), "finite"),
        ((0,), (0,), "count from 1"),
        ((0, 1), (1, 3), "comes 2, or 1; got 3"),
        ((0, 1), (2, 2), "comes 3, or 1; got 2"),
    ],
)
def test_grids_that_make_no_sense(times_s: tuple[float, ...], positions: tuple[int, ...], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        BeatGrid(times_s, positions)


@pytest.mark.parametrize("grid", [BeatGrid(), BeatGrid((1.0,), (1,))])
def test_one_beat_has_no_tempo(grid: BeatGrid) -> None:
    for ask in (lambda: grid.bpm, grid.tempo_map, grid.time_signatures):
        with pytest.raises(OptionError, match="at least two beats"):
            ask()


def test_a_grid_s_tempo_map_and_bars_by_hand() -> None:
    tempo_map = WALTZ.tempo_map()
    # a second before the first beat, at half a second each, is two beats; the first downbeat is beat 3
    assert [tempo_map.to_seconds(beat) for beat in range(8)] == pytest.approx([0, 0.5, 1, 1.5, 2, 2.6, 3.2, 3.7])
    assert WALTZ.time_signatures() == (TimeSignature(3, 4, 0.0),)


def test_bars_of_changing_length_after_a_pickup() -> None:
    grid = BeatGrid(tuple(range(11)), (4, 1, 2, 3, 4, 1, 2, 3, 1, 2, 3))
    assert grid.time_signatures() == (TimeSignature(1, 4, 0.0), TimeSignature(4, 4, 1.0), TimeSignature(3, 4, 5.0))


def test_bars_without_a_downbeat_end_where_the_highest_position_does() -> None:
    assert BeatGrid((0, 1, 2), (2, 3, 4)).time_signatures() == (TimeSignature(3, 4, 0.0), TimeSignature(4, 4, 3.0))


@given(
    st.floats(0, 100),
    st.lists(st.floats(0.1, 3), min_size=1, max_size=60),
    st.integers(1, 7),
    st.data(),
)
def test_every_beat_is_a_whole_beat_of_the_map_and_every_downbeat_starts_a_bar(
    first_s: float, intervals_s: list[float], per_bar: int, data: st.DataObject
) -> None:
    shift = data.draw(st.integers(0, per_bar - 1))
    times_s = tuple(accumulate(intervals_s, initial=first_s))
    grid = BeatGrid(times_s, tuple((i + shift) % per_bar + 1 for i in range(len(times_s))))
    tempo_map = grid.tempo_map()
    beats = [round(tempo_map.to_beat(time_s)) for time_s in times_s]
    rounding_s = 1e-6 if beats[0] else 1.001e-3
    assert [tempo_map.to_seconds(beat) for beat in beats] == pytest.approx(times_s, abs=rounding_s)
    assert beats == [beats[0] + i for i in range(len(beats))]
    if len(grid.downbeats_s) > 1:
        signature = grid.time_signatures()[-1]
        assert signature.numerator == per_bar
        downbeats = [beat for beat, position in zip(beats, grid.positions, strict=True) if position == 1]
        assert {(beat - signature.beat) % per_bar for beat in downbeats} == {0}
        assert downbeats[0] >= signature.beat
