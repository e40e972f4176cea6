"""What is measured of patterns whose answers are known."""

import math

import numpy as np
import pytest

from tests.capabilities.groove.small_groove import HAT, KICK, OPEN, RIDE, SNARE, TAKES, pattern_of, rock, take
from tutti.capabilities.groove.features import features_of, strokes_of, swing_percent
from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.capabilities.groove.prompts import read_pattern


def moved(pattern: Pattern, late_ms: list[float], key: int | None = None) -> Pattern:
    """The strokes (on `key`) later, one after the other, by `late_ms` over and over."""
    count, hits = 0, []
    for hit in pattern:
        by = 0.0
        if key in (None, hit.key):
            by = late_ms[count % len(late_ms)]
            count += 1
        hits.append(Hit(hit.beat + by / pattern.beat_ms, hit.key, hit.velocity))
    return pattern.with_hits(hits)


def test_a_rock_beat_is_what_it_is() -> None:
    found = features_of(rock(4))
    expected = {
        "notes_per_bar": 12, "voices": 3, "share_kick": 1 / 6, "share_snare": 1 / 6, "share_closed_hat": 2 / 3,
        "share_open_hat": 0, "share_ride": 0, "share_toms": 0, "share_crash": 0, "share_pedal_hat": 0,
        "velocity_mean": (8 * 80 + 4 * 100) / 12, "velocity_sd": np.std([80] * 8 + [100] * 4), "lean_ms": 0,
        "offset_sd_ms": 0, "residual_sd_ms": 0, "ghost_share": 0, "simultaneity": 1.5, "jaccard": 1, "swing_8th": 50,
        "syncopation": 2, "on_beat": 8 / 12, "off_beat": 4 / 12, "backbeat": 1, "rolls": 0, "kick_velocity": 100,
        "kick_velocity_sd": 0, "closed_hat_velocity": 80, "kick_late_ms": 0, "velocity_icc": 1,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    # nothing is late, so that nothing varies; no sixteenths; no ride
    assert all(math.isnan(found[name]) for name in ("hat_lag1", "kit_lag1", "swing_16th", "ride_velocity"))


def test_lean_is_the_mean_and_voices_are_against_it() -> None:
    found = features_of(moved(rock(4), [12.0], SNARE))
    assert found["lean_ms"] == pytest.approx(2)
    assert found["snare_late_ms"] == pytest.approx(10)
    assert found["kick_late_ms"] == pytest.approx(-2)


def test_what_is_repeated_in_every_bar_is_no_residue() -> None:
    found = features_of(moved(rock(4), [12.0, -7.0, 3.0, 0.0, 5.0, -9.0, 14.0, 1.0], HAT))
    assert found["residual_sd_ms"] == pytest.approx(0, abs=1e-9)
    assert found["offset_icc"] == pytest.approx(1)
    assert found["offset_sd_ms"] > 4


def test_what_is_drawn_anew_is_residue() -> None:
    noise = np.random.default_rng(0).normal(0, 10, 400).tolist()
    found = features_of(moved(rock(40), noise))
    assert abs(found["offset_icc"]) < 0.15
    assert abs(found["hat_lag1"]) < 0.15
    assert found["residual_sd_ms"] == pytest.approx(10, rel=0.15)


def test_lag_tells_drift_from_alternation() -> None:
    bars = 16
    slow = [10 * math.sin(n / 9) for n in range(8 * bars)]
    assert features_of(moved(rock(bars), slow, HAT))["hat_lag1"] > 0.9
    # late and early by turns, but the other way round in every second bar, so that no place has a habit
    turns = [(10.0 if (n + n // 8) % 2 else -10.0) for n in range(8 * bars)]
    assert features_of(moved(rock(bars), turns, HAT))["hat_lag1"] < -0.7


def test_jaccard_is_what_bars_share() -> None:
    one = [(0.0, KICK, 99), (1.0, SNARE, 99), (2.0, KICK, 99)]
    two = [(4.0, KICK, 99), (5.0, SNARE, 99), (7.0, KICK, 99)]
    assert features_of(pattern_of(*one, *two, bars=2))["jaccard"] == 0.5
    assert features_of(pattern_of(*one, (4.0, HAT, 99), bars=2))["jaccard"] == 0


def test_ghosts_are_soft_snares() -> None:
    found = features_of(pattern_of((0.0, SNARE, 44), (1.0, SNARE, 45), (2.0, KICK, 10), (3.0, 40, 20)))
    assert found["ghost_share"] == pytest.approx(2 / 3)


def test_rolls_are_snares_in_quick_succession() -> None:
    found = features_of(pattern_of(*((n / 8, SNARE, 90) for n in range(4)), (2.0, SNARE, 90)))
    assert found["rolls"] == pytest.approx(3 / 4)


def test_syncopation_is_a_weak_stroke_with_nothing_after() -> None:
    assert features_of(pattern_of((0.25, KICK, 99), (0.5, KICK, 99)))["syncopation"] == 1  # the eighth is empty after
    assert features_of(pattern_of((0.75, KICK, 99)))["syncopation"] == 2  # -3, and nothing on the beat, -1
    assert features_of(pattern_of((0.75, KICK, 99), (1.0, KICK, 99), (2.0, KICK, 99)))["syncopation"] == 0


@pytest.mark.parametrize("percent", [50, 58, 62, 66.667, 72])
def test_swing_is_where_second_notes_lie(percent: float) -> None:
    shuffle = [(n + part, RIDE, 90) for n in range(16) for part in (0.0, percent / 100)]
    assert swing_percent(pattern_of(*shuffle, bars=4), 2) == pytest.approx(percent, abs=0.01)
    sixteenths = [(n / 2 + part / 2, HAT, 90) for n in range(32) for part in (0.0, percent / 100)]
    assert swing_percent(pattern_of(*sixteenths, bars=4), 4) == pytest.approx(percent, abs=0.01)
    late = moved(pattern_of(*shuffle, bars=4), [15.0])
    assert swing_percent(late, 2) == pytest.approx(percent, abs=0.01)  # a steady lean is none


def test_faster_strokes_say_nothing_of_swing() -> None:
    triplets = [(n + part / 3, HAT, 90) for n in range(16) for part in range(3)]
    assert math.isnan(swing_percent(pattern_of(*triplets, bars=4), 2))
    few = [(n + part, HAT, 90) for n in range(3) for part in (0.0, 0.6)]
    assert math.isnan(swing_percent(pattern_of(*few), 2))


def test_swing_may_be_asked_of_some_voices() -> None:
    hats = [(n + part, HAT, 90) for n in range(8) for part in (0.0, 0.6)]
    kicks = [(n + part, KICK, 90) for n in range(8) for part in (0.0, 0.5)]
    pattern = pattern_of(*hats, *kicks, bars=2)
    assert swing_percent(pattern, 2) == pytest.approx(60)  # hats tell
    assert swing_percent(pattern, 2, lambda name: name == "kick") == pytest.approx(50)
    assert swing_percent(pattern_of(*kicks, bars=2), 2) == pytest.approx(50)  # without hats, all


def test_in_seven_eight_bars_and_pairs_begin_anew() -> None:
    bar = [(n + part, HAT, 90) for n in range(3) for part in (0.0, 0.6)] + [(3.0, OPEN, 90)]
    found = features_of(pattern_of(*((b * 3.5 + beat, *rest) for b in range(4) for beat, *rest in bar),
                                   bars=4, metre="7/8"))  # fmt: skip
    assert found["swing_8th"] == pytest.approx(60)
    assert found["notes_per_bar"] == pytest.approx(7 / 3.5 * 4)  # bars of four beats: metres compare
    assert found["jaccard"] == 1


def test_a_stroke_ahead_of_the_bar_line_belongs_to_the_bar_after() -> None:
    s = strokes_of(pattern_of((-0.02, KICK, 99), (3.98, KICK, 99), (3.8, HAT, 99), bars=2))
    assert list(zip(s.bar.tolist(), s.step.tolist(), strict=True)) == [(0, 0), (0, 15), (1, 0)]
    assert s.offset_ms.tolist() == pytest.approx([-12, 30, -12])


def test_of_nothing_nothing_is_known_and_percussion_is_no_kit() -> None:
    for pattern in (pattern_of(), pattern_of((0.0, 54, 99))):
        found = features_of(pattern)
        known = {name: value for name, value in found.items() if not math.isnan(value)}
        assert known == {"notes_per_bar": 0, "voices": 0, "syncopation": 0}
    assert features_of(pattern_of((0.0, KICK, 99)))["share_kick"] == 1


def test_takes_have_features_of_people() -> None:
    every = [features_of(read_pattern(path)[0]) for path in TAKES]
    assert all(5 < found["residual_sd_ms"] < 45 for found in every)
    assert np.nanmedian([found["hat_lag1"] for found in every]) > 0.3
    assert np.mean([found["kit_lag1"] for found in every]) > 0.2
    for found in every:
        assert sum(found[name] for name in found if name.startswith("share_")) == pytest.approx(1)
        for name in ("swing_8th", "swing_16th"):
            assert math.isnan(found[name]) or 40 < found[name] < 80


def test_a_jazz_take_swings_and_a_rock_take_does_not() -> None:
    assert features_of(take("jazz"))["swing_8th"] > 55
    assert features_of(take("pop"))["swing_8th"] == pytest.approx(50, abs=3)
