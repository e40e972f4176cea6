"""What a style makes of what was played: leans that repeat, figures that are reached."""

import math
from typing import Any

import numpy as np
import pytest

from tests.capabilities.groove.small_groove import HAT, KICK, OPEN, SNARE, pattern_of, rock, take
from tutti.capabilities.groove.features import GHOST_VELOCITY, features_of, strokes_of, swing_percent
from tutti.capabilities.groove.humanise import drifted, free_ghost_places, velocities_spread
from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.capabilities.groove.profile import Asked, applied, figures_asked
from tutti.capabilities.groove.styles import Style, find_style, list_available_styles


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def style(**fields: Any) -> Style:
    return Style.model_validate({"name": "Test", "id": "test", "description": "x", "bpm": (60, 180), **fields})


def played(bars: int = 16, bpm: float = 90) -> Pattern:
    """Rock as a person plays it, with sixteenths."""
    sixteenths = [(n / 4, HAT, 70) for n in range(1, 16 * bars, 2)]
    beat = rock(bars, bpm)
    beat = beat.with_hits([*beat, *(Hit(*hit) for hit in sixteenths)])
    return velocities_spread(drifted(beat, 15, rng(1)), 0.1, rng(2))


def offsets(pattern: Pattern, key: int) -> dict[int, np.ndarray[Any, Any]]:
    """Milliseconds late on each sixteenth of the bar."""
    own = pattern.with_hits(hit for hit in pattern if hit.key == key)
    s = strokes_of(own)
    return {step: s.offset_ms[s.step == step] for step in sorted(set(s.step.tolist()))}


def test_nothing_asked_leaves_it_as_it_was_played() -> None:
    assert applied(played(), None, Asked(), rng()) == played()
    assert applied(played(), style(), figures_asked(style()), rng()) == played()


def test_what_is_asked_comes_before_the_style_s_own() -> None:
    own = style(swing_percent=60, ghost_note_prob=0.2, swing_division="8th")
    assert figures_asked(own, swing_percent=55.0, ghost_note_prob=None) == Asked(55.0, "8th", None, 0.2, None)
    assert figures_asked(None, micro_timing_ms=3.0) == Asked(micro_timing_ms=3.0)


def test_leans_are_the_same_in_every_bar_and_in_their_range() -> None:
    lean = [
        {"voice": "snare", "steps": [4], "late_ms": (-25, -7)},
        {"voice": "snare", "late_ms": (2, 6)},
        {"voice": "hihat_closed", "late_ms": (-8, 0)},
    ]
    own = style(lean=lean, stray_ms=0, micro_timing_ms=20)
    drawn = set()
    for seed in range(6):
        made = applied(played(), own, figures_asked(own), rng(seed))
        for values in (*offsets(made, SNARE).values(), *offsets(made, HAT).values(), *offsets(made, KICK).values()):
            assert np.ptp(values) == pytest.approx(0, abs=1e-6)
        snare, hat = offsets(made, SNARE), offsets(made, HAT)
        assert -25 <= snare[4][0] <= -7
        assert 2 <= snare[12][0] <= 6
        assert all(-8 <= values[0] <= 0 for values in hat.values())
        assert len({round(float(values[0]), 4) for values in hat.values()}) > 8  # one for each sixteenth
        assert all(values[0] == pytest.approx(0, abs=1e-9) for values in offsets(made, KICK).values())
        drawn.add(round(float(snare[4][0]), 6))
    assert len(drawn) == 6


@pytest.mark.parametrize("bpm", [85, 90, 93.7])
def test_leans_on_a_machine_s_grid_are_whole_ticks(bpm: float) -> None:
    own = style(lean=[{"voice": "snare", "late_ms": (-25, -7), "grid_per_beat": 96}], stray_ms=0, micro_timing_ms=20)
    tick_ms = 60_000 / bpm / 96
    found = set()
    for seed in range(20):
        made = applied(played(bpm=bpm), own, figures_asked(own), rng(seed))
        for values in offsets(made, SNARE).values():
            ticks = values[0] / tick_ms
            assert ticks == pytest.approx(round(ticks), abs=1e-6)
            assert -25 <= values[0] <= -7
            found.add(round(ticks))
    assert found == set(range(math.ceil(-25 / tick_ms), math.floor(-7 / tick_ms) + 1))


def test_a_grid_too_coarse_for_the_range_gives_its_nearest_line() -> None:
    own = style(lean=[{"voice": "snare", "late_ms": (5, 15), "grid_per_beat": 12}], stray_ms=0, micro_timing_ms=20)
    made = applied(played(bpm=60), own, figures_asked(own), rng())
    assert all(values == pytest.approx(0, abs=1e-6) for values in offsets(made, SNARE).values())


@pytest.mark.parametrize("stray", [3.0, 7.5, 20.0])
def test_what_strays_has_the_deviation_that_is_asked(stray: float) -> None:
    own = style(stray_ms=stray, micro_timing_ms=10)
    made = applied(played(), own, figures_asked(own), rng())
    assert features_of(made)["residual_sd_ms"] == pytest.approx(stray, rel=0.05)
    half = applied(played(), own, figures_asked(own, micro_timing_ms=5.0), rng())
    assert features_of(half)["residual_sd_ms"] == pytest.approx(stray / 2, rel=0.05)
    bare = applied(played(), None, Asked(micro_timing_ms=stray), rng())
    assert features_of(bare)["residual_sd_ms"] == pytest.approx(stray, rel=0.05)


def test_straying_keeps_the_place_a_voice_has() -> None:
    before = applied(played(), None, Asked(micro_timing_ms=10.0), rng())
    after = applied(played(), None, Asked(micro_timing_ms=2.0), rng())
    for key in (KICK, SNARE, HAT):
        ours, theirs = offsets(before, key), offsets(after, key)
        assert {step: values.mean() for step, values in ours.items()} == pytest.approx(
            {step: values.mean() for step, values in theirs.items()}, abs=1.0
        )
    assert features_of(after)["hat_lag1"] > 0.25  # it is made smaller, not drawn anew


def test_no_timing_at_all_is_the_grid_of_its_habits() -> None:
    made = applied(played(), None, Asked(micro_timing_ms=0.0), rng())
    assert features_of(made)["residual_sd_ms"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("variation", [0.0, 0.08, 0.2])
def test_velocity_varies_as_is_asked(variation: float) -> None:
    made = applied(played(), None, Asked(velocity_variation=variation), rng())
    s = strokes_of(made)
    groups = s.voice * 16 + s.step
    away = np.concatenate([s.velocity[groups == g] / s.velocity[groups == g].mean() - 1 for g in np.unique(groups)])
    assert away.std() == pytest.approx(variation, rel=0.08, abs=0.004)
    assert all(1 <= hit.velocity <= 127 for hit in made)


def test_what_does_not_vary_cannot_be_made_to() -> None:
    assert applied(rock(), None, Asked(velocity_variation=0.3), rng()) == rock()


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_ghosts_stay_ghosts_however_much_velocities_vary(share: float) -> None:
    made = applied(played(), None, Asked(ghost_note_prob=share, velocity_variation=0.4), rng())
    snares = [hit.velocity for hit in made if hit.key == SNARE]
    assert np.mean(np.array(snares) < GHOST_VELOCITY) == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.5, 0.66])
def test_ghosts_become_their_share_where_there_is_room(share: float) -> None:
    made = applied(rock(16), None, Asked(ghost_note_prob=share), rng(4))
    assert features_of(made)["ghost_share"] == pytest.approx(share, abs=0.03)
    added = [hit for hit in made if hit.velocity < 45]
    free = set(free_ghost_places(rock(16)))
    assert {round(hit.beat * 4) for hit in added} <= free
    assert all(abs(hit.beat * 4 - round(hit.beat * 4)) < 0.2 for hit in added)


def test_ghosts_are_repeated_in_every_bar_before_others_come() -> None:
    made = applied(rock(16), None, Asked(ghost_note_prob=0.5), rng(4))
    steps = [round(hit.beat * 4) % 16 for hit in made if hit.velocity < 45]
    assert len(set(steps)) == 2  # of 32 loud snares 32 ghosts: two places, in each of 16 bars


def test_without_room_snares_between_the_beats_are_softened() -> None:
    crowded = pattern_of(*((n / 4, SNARE, 100 - n) for n in range(16)))
    made = applied(crowded, None, Asked(ghost_note_prob=0.5), rng())
    assert [hit.beat for hit in made] == [hit.beat for hit in crowded]
    soft = [hit for hit in made if hit.velocity < 45]
    assert len(soft) == 8
    assert all(hit.beat % 1 for hit in soft)
    assert all(hit in crowded.hits for hit in made if hit not in soft)


def test_too_many_ghosts_are_taken_away_the_softest_first() -> None:
    soft = [(0.25 + n / 2, SNARE, 20 + n) for n in range(8)]
    pattern = pattern_of((1.0, SNARE, 100), (3.0, SNARE, 100), *soft)
    made = applied(pattern, None, Asked(ghost_note_prob=0.5), rng())
    assert sorted(hit.velocity for hit in made) == [26, 27, 100, 100]
    none = applied(pattern, None, Asked(ghost_note_prob=0.0), rng())
    assert sorted(hit.velocity for hit in none) == [100, 100]


@pytest.mark.parametrize("percent", [50.0, 57.0, 62.0, 66.7])
def test_swing_is_exact(percent: float) -> None:
    made = applied(played(), None, Asked(swing_percent=percent), rng())
    assert swing_percent(made, 4, lambda _: True, percent) == pytest.approx(percent, abs=0.2)
    own = style(lean=[{"voice": "kick", "late_ms": (0, 0)}], stray_ms=0, micro_timing_ms=1, swing_percent=percent)
    made = applied(played(), own, figures_asked(own), rng())
    assert swing_percent(made, 4) == pytest.approx(percent, abs=0.01)


def test_straight_voices_stay_so_by_chance() -> None:
    # kicks on the off sixteenths, so that swing would move them
    pattern = pattern_of(*((n / 4, key, 90) for n in range(64) for key in (KICK, HAT)), bars=4)
    own = style(straight=[{"voice": "kick", "steps": [], "chance": 0.6}], swing_percent=62,
                lean=[{"voice": "kick", "late_ms": (0, 0)}])  # fmt: skip
    straight = 0
    for seed in range(60):
        made = applied(pattern, own, figures_asked(own), rng(seed))
        kicks = [hit.beat for hit in made if hit.key == KICK and round(hit.beat * 4 - 0.2) % 2]
        hats = [hit.beat for hit in made if hit.key == HAT]
        assert hats[1] == pytest.approx(0.31)
        straight += kicks[0] == pytest.approx(0.25)
    assert 0.4 < straight / 60 < 0.8


def test_levels_are_a_machine_s_with_smaller_accents() -> None:
    own = style(levels={"hihat_closed": 84, "snare": 108})
    pattern = pattern_of(*((n / 2, HAT, 60 if n % 2 else 120) for n in range(8)), (1.0, SNARE, 90), (1.75, SNARE, 30),
                         (0.0, KICK, 77))  # fmt: skip
    made = applied(pattern, own, Asked(), rng())
    hats = sorted({hit.velocity for hit in made if hit.key == HAT})
    assert hats[0] < 84 < hats[1]
    assert 1.1 < hats[1] / hats[0] < 1.4
    assert sorted(hit.velocity for hit in made if hit.key == SNARE) == [30, 108]
    assert [hit.velocity for hit in made if hit.key == KICK] == [77]


def test_rolls_come_with_their_chance() -> None:
    own = style(rolls={"chance": 0.5, "divisions": [8], "ramp": 0.5})
    made = applied(rock(32), own, Asked(), rng())
    fine = {math.floor(hit.beat) for hit in made if hit.beat * 2 != round(hit.beat * 2)}
    assert len(fine) / 128 == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("name", list_available_styles())
def test_every_style_can_be_applied_to_a_take_and_to_nothing(name: str) -> None:
    own = find_style(name)
    made = applied(take("funk").cut(0, 8), own, figures_asked(own), rng())
    assert len(made) > 60
    assert all(1 <= hit.velocity <= 127 for hit in made)
    assert min(hit.beat for hit in made) > -0.25
    empty = pattern_of(bars=2)
    assert len(applied(empty, own, figures_asked(own), rng())) == 0
    assert made == applied(take("funk").cut(0, 8), own, figures_asked(own), rng())
    assert OPEN not in {hit.key for hit in made} - {hit.key for hit in take("funk")}
