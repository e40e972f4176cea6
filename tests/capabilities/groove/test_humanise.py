"""Swing to the tick, drift that wanders, and what neither may touch."""

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.capabilities.groove.small_groove import HAT, KICK, OPEN, SNARE, pattern_of, rock, take
from tutti.capabilities.groove.features import features_of, swing_percent
from tutti.capabilities.groove.humanise import (
    Division,
    Feel,
    accented,
    drifted,
    flammed,
    free_ghost_places,
    ghosted,
    humanise,
    leaned,
    rolled,
    swing_set,
    swung,
    velocities_spread,
)
from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.errors import OptionError
from tutti.music.timing import TimeSignature

WHOLE = Feel(62, "16th", 12, {"snare": 9, "kick": -4}, 0.5, 0.2, 0.5, 0.5, 0.5)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@st.composite
def patterns(draw: Callable[..., Any]) -> Pattern:
    metre = TimeSignature(*map(int, draw(st.sampled_from(["4/4", "3/4", "7/8", "6/8"])).split("/")))
    bars = draw(st.integers(1, 2))
    beats = st.floats(-0.1, bars * metre.quarters_per_bar - 0.01) | st.integers(0, 23).map(lambda step: step / 4)
    keys = st.sampled_from([KICK, SNARE, HAT, OPEN, 43, 54])
    hits = draw(st.lists(st.builds(Hit, beats, keys, st.integers(1, 127)), max_size=30))
    return Pattern(tuple(hits), draw(st.sampled_from([60, 90.5, 180])), bars, metre)


@pytest.mark.parametrize(
    ("ticks", "division", "percent", "tick"),
    [
        (480, "8th", 50, 240), (480, "16th", 50, 120),
        (480, "8th", 66, 317), (480, "8th", 62, 298), (480, "16th", 62, 149), (480, "16th", 66, 158),
        (96, "8th", 66, 63), (96, "8th", 62, 60), (96, "16th", 62, 30), (96, "16th", 66, 32),
        (960, "8th", 66, 634), (960, "8th", 62, 595), (960, "16th", 62, 298), (960, "16th", 66, 317),
        (480, "8th", 75, 360), (480, "16th", 75, 180),
    ],
)  # fmt: skip
def test_the_second_note_of_a_pair_lies_at_its_percentage(
    ticks: int, division: Division, percent: float, tick: int
) -> None:
    pair = {"8th": 1.0, "16th": 0.5}[division]
    straight = pattern_of(*((pair * (n + 0.5), HAT, 90) for n in range(4)), bars=1)
    for played in (swung(straight, percent, division), humanise(straight, Feel(percent, division))):
        assert [round((hit.beat - pair * n) * ticks) for n, hit in enumerate(played)] == [tick] * 4


@given(patterns(), st.sampled_from(["8th", "16th"]), st.floats(50, 75))
@settings(max_examples=100, deadline=None)
def test_swing_leaves_straight_alone_and_the_ends_of_pairs(pattern: Pattern, division: Division, swing: float) -> None:
    assert swung(pattern, 50, division) == pattern
    pair = {"8th": 1.0, "16th": 0.5}[division]
    played = swung(pattern, swing, division)
    ends = [hit for hit in pattern if (hit.beat % pattern.bar_beats) % pair == 0]
    assert all(hit in played.hits for hit in ends)
    for before, after in zip(pattern, sorted(played, key=lambda hit: hit.beat), strict=True):
        assert -1e-9 <= after.beat - before.beat <= pair / 4 + 1e-9


def test_strokes_off_the_line_swing_with_it() -> None:
    early, late = 0.5 - 0.03, 0.5 + 0.04
    played = swung(pattern_of((early, HAT, 90), (late, SNARE, 90), (0.25, KICK, 90), (0.75, KICK, 90)), 66, "8th")
    assert [hit.beat for hit in played] == pytest.approx([0.33, 0.66 - 0.03, 0.66 + 0.04, 0.83])


def test_voices_may_stay_straight() -> None:
    straight = pattern_of((0.25, HAT, 90), (0.25, KICK, 90))
    played = swung(straight, 60, "16th", lambda name: name != "kick")
    assert {hit.key: hit.beat for hit in played} == {KICK: 0.25, HAT: pytest.approx(0.3)}


def test_in_seven_eight_pairs_begin_anew_with_each_bar() -> None:
    strokes = [3.0, 3.25, 3.49, 3.5, 4.0, 6.5]
    played = swung(pattern_of(*((beat, HAT, 90) for beat in strokes), bars=2, metre="7/8"), 66, "8th")
    assert [hit.beat for hit in played] == pytest.approx([3.0, 3.25, 3.49, 3.5, 4.16, 6.5])


FELT: dict[str, Division] = {
    "hiphop": "16th", "rock_92": "8th", "funk": "16th", "pop": "8th", "soul": "8th", "jazz": "8th", "latin": "8th",
}  # fmt: skip
"""What is swung, or would be, in each take of 4/4."""


@pytest.mark.parametrize("name", FELT)
@pytest.mark.parametrize("percent", [50.0, 54.0, 58.0, 62.0, 66.7, 72.0])
def test_what_was_played_comes_to_swing_as_is_asked(name: str, percent: float) -> None:
    pattern, parts = take(name), {"8th": 2, "16th": 4}[FELT[name]]
    played = swing_set(pattern, percent, FELT[name])
    near = swing_percent(played, parts, near_percent=percent)
    said = swing_percent(played, parts)  # of two kinds of second notes it may take the other
    assert (said if abs(said - percent) < 5 else near) == pytest.approx(percent, abs=0.2)
    assert near == pytest.approx(percent, abs=1.5)
    assert len(played) == len(pattern)
    ends = [hit for hit in pattern if abs(hit.beat - round(hit.beat)) < 1 / 20]
    assert len(ends) > 20
    assert set(ends) <= set(played.hits)


def test_too_few_strokes_count_as_straight() -> None:
    played = swing_set(pattern_of((0.0, HAT, 90), (0.25, HAT, 90)), 60)
    assert [hit.beat for hit in played] == pytest.approx([0, 0.3])


@given(patterns(), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_the_same_seed_plays_the_same_in_whatever_order_hits_came(pattern: Pattern, seed: int) -> None:
    hits = list(pattern.hits)
    random.Random(seed).shuffle(hits)
    assert humanise(pattern.with_hits(hits), WHOLE, seed) == humanise(pattern, WHOLE, seed)


def test_seeds_play_differently_and_nothing_changes_without_feel() -> None:
    assert humanise(rock(), WHOLE, 1) != humanise(rock(), WHOLE, 2)
    assert humanise(rock(), Feel(), 1) == rock()


@given(patterns(), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_strokes_stay_strokes(pattern: Pattern, seed: int) -> None:
    feel = Feel(60, "8th", 40, {"kick": 20}, 1.0, 1.0)
    played = humanise(pattern, feel, seed)
    assert sorted(hit.key for hit in played) == sorted(hit.key for hit in pattern)
    assert all(1 <= hit.velocity <= 127 for hit in played)


def test_the_first_beat_is_early_as_often_as_late() -> None:
    one = pattern_of((0.0, KICK, 100), (1.0, SNARE, 100))
    offsets_ms = np.array([drifted(one, 12, rng(seed)).hits[0].beat * one.beat_ms for seed in range(500)])
    assert abs(offsets_ms.mean()) < 2
    assert 0.4 < (offsets_ms < 0).mean() < 0.6
    assert offsets_ms.std() == pytest.approx(12, rel=0.15)


def test_drift_of_less_than_a_tick_is_still_there() -> None:
    offsets = [hit.beat - round(hit.beat * 4) / 4 for hit in drifted(rock(8), 0.2, rng())]
    assert np.std(offsets) * 600 == pytest.approx(0.2, rel=0.5)


def test_people_drift_together_and_slowly() -> None:
    played = drifted(rock(64), 10, rng(3))
    found = features_of(played)
    assert found["residual_sd_ms"] == pytest.approx(10, rel=0.25)
    assert found["hat_lag1"] > 0.3
    assert found["kit_lag1"] > 0.3
    jitter = rng(3).normal(0, 10 / 600, len(played))
    alone = rock(64).with_hits(
        Hit(hit.beat + by, hit.key, hit.velocity) for hit, by in zip(rock(64), jitter, strict=True)
    )
    assert features_of(alone)["hat_lag1"] < 0.15


def test_milliseconds_become_beats_by_the_tempo() -> None:
    for bpm in (60, 120):
        played = leaned(rock(1, bpm), lambda hit, step: 10.0 if hit.key == SNARE and step == 4 else 0.0)
        moved = {hit.beat for hit in played} - {hit.beat for hit in rock(1)}
        assert sorted(moved) == pytest.approx([1 + 0.01 * bpm / 60])


def test_accents_leave_beats_alone() -> None:
    sixteenths = pattern_of(*((n / 4, HAT, 100) for n in range(4)))
    assert [hit.velocity for hit in accented(sixteenths, 1.0)] == [100, 72, 86, 72]
    assert [hit.velocity for hit in accented(sixteenths, 0.5)] == [100, 86, 93, 86]
    assert accented(sixteenths, 0) == sixteenths


def test_velocities_spread_as_is_asked() -> None:
    steady = pattern_of(*((n / 4, HAT, 60) for n in range(1600)), bars=100)
    loud = np.array([hit.velocity for hit in velocities_spread(steady, 0.2, rng())])
    assert loud.std() / loud.mean() == pytest.approx(0.2, rel=0.2)
    assert {hit.velocity for hit in velocities_spread(pattern_of((0.0, HAT, 1)), 1.0, rng(5))} <= set(range(1, 128))


@given(patterns())
@settings(max_examples=60, deadline=None)
def test_ghosts_come_on_free_places_of_the_grid_alone(pattern: Pattern) -> None:
    places = free_ghost_places(pattern)
    added = [hit for hit in ghosted(pattern, 1.0, rng()) if hit not in pattern.hits]
    assert {hit.beat * 4 for hit in added} == set(places)
    hands = {math.floor(hit.beat * 4 + 0.5) for hit in pattern if hit.key in (SNARE, 43, 54)}
    for hit in added:
        assert hit.beat * 4 % 2 == 1
        assert hit.beat * 4 not in hands
        assert hit.key == SNARE
        assert hit.velocity < 45
    assert ghosted(pattern, 0.0, rng()) == pattern


def test_a_share_of_free_places_gets_a_ghost() -> None:
    added = len(ghosted(rock(64), 0.3, rng())) - len(rock(64))
    assert added / len(free_ghost_places(rock(64))) == pytest.approx(0.3, abs=0.08)


def test_flams_are_ahead_of_loud_snares() -> None:
    played = flammed(pattern_of((0.0, SNARE, 100), (2.0, SNARE, 70), (3.0, KICK, 120)), 1.0, rng())
    (grace,) = (hit for hit in played if hit.velocity == 45)
    assert grace.key == SNARE
    assert grace.beat == pytest.approx(-0.028 * 100 / 60)  # it is not pushed into the pattern
    assert len(played) == 4
    close = pattern_of((0.0, SNARE, 100), (0.06, SNARE, 100))
    assert len(flammed(close, 1.0, rng())) == 3  # none between the two


def test_rolls_are_even_and_ramped() -> None:
    eighths = pattern_of(*((n / 2, HAT, 100) for n in range(8)), (1.0, SNARE, 99))
    played = rolled(eighths, 1.0, (8,), rng(1), ramp=0.4)
    assert (1.0, SNARE, 99) in [(hit.beat, hit.key, hit.velocity) for hit in played]
    hats = [hit for hit in played if hit.key == HAT]
    assert len(hats) > 16
    assert all(hit.beat * 8 == round(hit.beat * 8) for hit in hats)
    assert len({hit.beat for hit in hats}) == len(hats)
    assert {min(hit.velocity for hit in hats), max(hit.velocity for hit in hats)} == {60, 100}


def test_beats_without_hats_or_with_open_ones_are_not_rolled() -> None:
    pattern = pattern_of((0.0, KICK, 99), (1.0, HAT, 99), (1.5, OPEN, 99))
    assert rolled(pattern, 1.0, (8,), rng()) == pattern


@pytest.mark.parametrize(
    "fields",
    [
        {"swing_percent": 49.9}, {"swing_percent": 75.1}, {"swing_percent": math.nan}, {"micro_timing_ms": -1},
        {"micro_timing_ms": 61}, {"micro_timing_ms": math.nan}, {"accents": 1.1}, {"velocity_variation": -0.1},
        {"ghost_note_prob": 2}, {"flam_prob": math.nan}, {"roll_prob": -1}, {"lean_ms": {"gong": 1}},
        {"lean_ms": {"kick": 61}}, {"lean_ms": {"kick": math.nan}},
    ],
)  # fmt: skip
def test_feels_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        Feel(**fields)


def test_swing_out_of_range_is_refused() -> None:
    for percent in (49.0, 76.0, math.nan):
        with pytest.raises(OptionError, match="50-75 %"):
            swung(rock(), percent)
        with pytest.raises(OptionError, match="50-75 %"):
            swing_set(rock(), percent)
