from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.errors import OptionError
from tutti.music.beats import Beats
from tutti.music.timing import BeatGrid


def heard(positions: tuple[int, ...], beat_quarters: Fraction = Fraction(1)) -> Beats:
    times_s = tuple(1.0 + 0.5 * row for row in range(len(positions)))
    return Beats(BeatGrid(times_s, positions), 0.8, True, "tutti-beats", beat_quarters)


@st.composite
def whole_grids(draw: st.DrawFn) -> Beats:
    """Uneven times, bars of one length, beginning anywhere in a bar."""
    length = draw(st.integers(1, 7))
    first = draw(st.integers(0, length - 1))
    steps_s = draw(st.lists(st.floats(0.2, 1.5), min_size=4 * length, max_size=60))
    times_s = [sum(steps_s[: row + 1]) for row in range(len(steps_s))]
    return Beats(
        BeatGrid(tuple(times_s), tuple((first + i) % length + 1 for i in range(len(times_s)))), 0.5, False, "x"
    )


def test_a_user_s_tempo_covers_the_recording() -> None:
    beats = Beats.at_bpm(120, 0.25, 4.1)
    assert beats.grid.times_s[0] == 0.25
    assert beats.grid.times_s[-1] == 4.25
    assert beats.grid.positions == (1, 2, 3, 4, 1, 2, 3, 4, 1)
    assert (beats.method, beats.bpm_unreliable, beats.confidence) == ("user", False, 1.0)
    assert beats.bpm == pytest.approx(120)


def test_beats_before_a_user_s_first_downbeat_are_counted_back() -> None:
    beats = Beats.at_bpm(60, 2.5, 6.0, beats_per_bar=3)
    assert beats.grid.times_s == (0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5)
    assert beats.grid.positions == (2, 3, 1, 2, 3, 1, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 0, 10), "above 0"), ((float("nan"), 0, 10), "above 0"), ((120, float("inf"), 1), "finite"),
     ((120, 0, -1), "finite"), ((120, 0, 10, 0), "at least one beat"), ((1e9, 0, 3600), "Check the bpm")],
)  # fmt: skip
def test_tempi_that_make_no_sense(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Beats.at_bpm(*arguments)  # type: ignore[arg-type]


def test_half_and_double_are_offered_as_far_as_one_counts() -> None:
    assert Beats.at_bpm(100, 0, 9).alternatives_bpm == pytest.approx((50, 200))
    assert Beats.at_bpm(170, 0, 9).alternatives_bpm == pytest.approx((85,))


def test_halving_keeps_the_first_downbeat_and_the_count() -> None:
    beats = heard((3, 4, *(1, 2, 3, 4) * 3)).halved()
    assert beats.grid.times_s == (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
    assert beats.grid.positions == (4, 1, 2, 3, 4, 1, 2)
    assert beats.confidence == 0.8


def test_halving_an_odd_pickup() -> None:
    beats = heard((4, 1, 2, 3, 4, 1)).halved()
    assert beats.grid.times_s == (1.5, 2.5, 3.5)
    assert beats.grid.positions == (1, 2, 3)


def test_doubling_divides_bars() -> None:
    beats = heard((4, 1, 2, 3, 4, 1)).doubled()
    assert beats.grid.positions == (3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2)
    assert beats.grid.times_s == tuple(1.0 + 0.25 * row for row in range(12))


def test_doubling_keeps_bars_of_other_lengths() -> None:
    assert heard((1, 2, 3, 4, 1, 2, 1, 2, 3, 4)).doubled().grid.positions == (
        1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 1, 2, 1, 2, 3, 4, 1, 2, 3, 4,
    )  # fmt: skip


@given(whole_grids())
def test_doubled_then_halved_is_the_same(beats: Beats) -> None:
    again = beats.doubled().halved()
    if beats.grid.positions[0] == 1:  # else the middle of the bar it begins in may count as the first downbeat
        assert again == beats
    elif len(beats.grid.downbeats_s):
        assert len(again.grid) in (len(beats.grid), len(beats.grid) + 1)


@given(whole_grids(), st.integers(-9, 9))
def test_shifting_and_back_is_the_same(beats: Beats, move: int) -> None:
    moved = beats.shifted(move)
    assert moved.shifted(-move) == beats
    expected = [t for t, p in zip(beats.grid.times_s[move:], beats.grid.positions, strict=False) if p == 1]
    if move >= 0:
        assert set(expected) <= set(moved.grid.downbeats_s)


def test_shifting_a_song_that_changes_metre() -> None:
    assert heard((1, 2, 3, 4, 1, 2, 1, 2, 3, 4)).shifted(1).grid.positions == (4, 1, 2, 3, 4, 1, 2, 1, 2, 3)
    assert heard((1, 2, 3, 4)).shifted(-1).grid.positions == (2, 3, 4, 1)


def test_the_nearest_beat_begins_a_bar() -> None:
    beats = Beats.at_bpm(120, 0.0, 8.0)
    moved = beats.with_downbeat_near(1.07)
    assert moved.grid.times_s == beats.grid.times_s
    assert moved.grid.downbeats_s == (1.0, 3.0, 5.0, 7.0)
    assert beats.with_downbeat_near(2.1) == beats
    assert beats.with_downbeat_near(500.0).grid.positions[-1] == 1
    assert heard(()).with_downbeat_near(1.0) == heard(())


def test_another_metre() -> None:
    beats = heard((3, 4, *(1, 2, 3, 4) * 3))
    waltz = beats.with_metre(3, 4)
    assert waltz.grid.positions == (2, 3, *(1, 2, 3) * 4)
    assert waltz.beat_quarters == 1
    jig = beats.with_metre(6, 8)
    assert jig.grid.times_s == beats.grid.times_s
    assert jig.grid.positions == (1, 2) * 7
    assert jig.beat_quarters == Fraction(3, 2)


def test_metres_counted_in_eighths_divide_the_beats() -> None:
    seven = heard((1, 2, 3, 4) * 4).with_metre(7, 8)
    assert seven.beat_quarters == Fraction(1, 2)
    assert len(seven.grid) == 32
    assert seven.grid.positions[:15] == (1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7, 1)
    assert seven.with_metre(4, 4) == heard((1, 2, 3, 4) * 4)
    assert len(heard((1, 2), Fraction(3, 2)).with_metre(5, 8).grid) == 6


@pytest.mark.parametrize("metre", [(4, 16), (0, 4), (4, 0), (2, 2), (99, 4)])
def test_metres_that_a_chart_does_not_have(metre: tuple[int, int]) -> None:
    with pytest.raises(OptionError, match="no metre"):
        heard((1, 2, 3, 4)).with_metre(*metre)


def test_nothing_to_count() -> None:
    nothing = Beats(BeatGrid(), 0.0, True, "x")
    for same in (nothing.halved(), nothing.doubled(), nothing.shifted(1), nothing.with_metre(3, 4)):
        assert len(same.grid) == 0
    with pytest.raises(OptionError, match="at least two beats"):
        _ = nothing.bpm


@given(whole_grids(), st.sampled_from([(4, 4), (6, 8), (7, 8), (5, 4), (3, 8)]))
def test_times_are_never_moved(beats: Beats, metre: tuple[int, int]) -> None:
    again = beats.with_metre(*metre)
    assert set(beats.grid.times_s) <= set(again.grid.times_s)
    assert all(b == a + 1 or b == 1 for a, b in pairwise(again.grid.positions))
