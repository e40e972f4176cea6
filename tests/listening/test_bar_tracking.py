from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tutti.listening import bar_tracking
from tutti.listening.bar_tracking import BarPath, track_bars

FPS = 50.0
Array = NDArray[np.float64]


def answers(
    times_s: Sequence[float], places: Sequence[int], duration_s: float, certain: float = 0.9
) -> tuple[Array, Array]:
    beat = np.full(round(duration_s * FPS), 0.01)
    downbeat = np.full_like(beat, 0.001)
    for time_s, place in zip(times_s, places, strict=True):
        frame = round(time_s * FPS)
        beat[frame] = certain
        downbeat[frame] = certain * (0.8 if place == 1 else 0.05)
    return beat, downbeat


def tracked(
    beat: Array, downbeat: Array, metres: Sequence[int] = (3, 4), bpm: tuple[float, float] = (55, 215)
) -> BarPath:
    return max(track_bars(beat, downbeat, FPS, metres, bpm), key=lambda path: path.log_likelihood)


def steady(
    period_s: float, first_s: float, count: int, first_place: int, per_bar: int
) -> tuple[list[float], list[int]]:
    times_s = [first_s + row * period_s for row in range(count)]
    return times_s, [(first_place - 1 + row) % per_bar + 1 for row in range(count)]


@pytest.mark.parametrize("per_bar", [3, 4])
@pytest.mark.parametrize("first_place", [1, 3])
@pytest.mark.parametrize("period_s", [0.3, 0.5, 0.84])
def test_steady_beats_are_found_with_their_metre_and_pickup(per_bar: int, first_place: int, period_s: float) -> None:
    times_s, places = steady(period_s, 0.2, 33, first_place, per_bar)
    path = tracked(*answers(times_s, places, times_s[-1] + 0.1))
    assert path.beats_per_bar == per_bar
    assert path.frames / FPS == pytest.approx(times_s, abs=0.011)
    assert path.places.tolist() == places


def test_a_tempo_that_drifts_is_followed() -> None:
    periods_s = 0.5 * np.exp(0.25 * np.sin(np.linspace(0, 4, 60)))
    times_s = (0.4 + np.cumsum(periods_s)).tolist()
    places = [row % 4 + 1 for row in range(60)]
    path = tracked(*answers(times_s, places, times_s[-1] + 0.3))
    assert path.frames / FPS == pytest.approx(times_s, abs=0.011)
    assert path.places.tolist() == places


def test_beats_nobody_played_are_filled_in_and_strays_left_out() -> None:
    times_s, places = steady(0.5, 0.1, 40, 1, 4)
    beat, downbeat = answers(times_s, places, 20.0)
    for row in (9, 17, 18, 30):
        beat[round(times_s[row] * FPS)] = 0.01
        downbeat[round(times_s[row] * FPS)] = 0.001
    beat[[161, 400, 402]] = 0.6
    path = tracked(beat, downbeat)
    assert path.frames / FPS == pytest.approx(times_s, abs=0.011)
    assert path.places.tolist() == places


def test_in_a_band_of_few_tempi_improbable_stretches_are_bridged() -> None:
    times_s, places = steady(0.5, 0.1, 60, 1, 4)
    beat, downbeat = answers(times_s, places, 30.0)
    beat[400:900] = np.random.default_rng(0).uniform(0.001, 0.019, 500)
    downbeat[400:900] = 0.0
    path = tracked(beat, downbeat, bpm=(119.0, 121.0))
    assert path.frames / FPS == pytest.approx(times_s, abs=0.05)
    assert np.isfinite(path.log_likelihood)


@pytest.mark.parametrize("frames", [0, 1, 30, 55])
def test_what_is_shorter_than_the_slowest_beat_has_none(frames: int) -> None:
    three, four = track_bars(np.full(frames, 0.5), np.full(frames, 0.1), FPS, (3, 4), (55, 215))
    assert (three.beats_per_bar, four.beats_per_bar) == (3, 4)
    assert len(three.frames) == len(four.places) == 0
    assert four.log_likelihood == -np.inf


@pytest.mark.parametrize("silent", [0.0, 1e-9, 0.3, 1.0])
def test_certainties_and_monotony_are_survived(silent: float) -> None:
    path = tracked(np.full(500, silent), np.full(500, silent / 3))
    assert np.isfinite(path.log_likelihood)
    assert set(np.diff(path.frames)) <= set(range(13, 56))


def test_more_lengths_than_a_byte_counts_are_told_apart() -> None:
    times_s, places = steady(2.8, 0.5, 3, 1, 2)
    path = tracked(*answers(times_s, places, 7.0), metres=(2,), bpm=(18, 215))
    assert len(path.frames) >= 3
    assert set(np.diff(path.frames)) <= set(range(13, 168))
    assert set(np.round(np.array(times_s) * FPS)) <= set(path.frames)


def cost(length: int, following: int, usual: float) -> float:
    unusual = bar_tracking._USUAL_WEIGHT * np.log2(following / usual) ** 2
    return float(bar_tracking._STEADINESS * abs(following / length - 1) + unusual)


def likeliest(beat: Array, downbeat: Array, metre: int, lengths: range, usual: float) -> float:
    """The same score by trying every sequence of beats: a beat and how long it lasts, then the next."""
    frames = len(beat)
    quiet = np.concatenate([[0.0], np.cumsum(np.log((1 - beat) / (bar_tracking._SHARPNESS - 1)))])

    def at(frame: int, place: int) -> float:
        return float(np.log(downbeat[frame] if place == 0 else beat[frame] - downbeat[frame]))

    @cache
    def rest(frame: int, place: int, length: int) -> float:
        after = frame + length
        if after >= frames:
            return float(quiet[frames] - quiet[frame + 1])
        here = quiet[after] - quiet[frame + 1] + at(after, (place + 1) % metre)
        return max(
            here - cost(length, following, usual) + rest(after, (place + 1) % metre, following) for following in lengths
        )

    return max(
        float(quiet[first]) + at(first, place) + rest(first, place, length)
        for first in range(lengths[-1])
        for place in range(metre)
        for length in lengths
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(8, 40), st.integers(1, 4), st.integers(2, 5), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_no_sequence_of_beats_is_likelier(frames: int, metre: int, shortest: int, more: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = range(shortest, shortest + more + 1)
    if frames <= lengths[-1]:
        return
    beat = rng.uniform(0.05, 0.9, frames)
    downbeat = beat * rng.uniform(0.05, 0.9, frames)
    usual = float(rng.uniform(shortest, shortest + more))
    bpm_range = (3600 / lengths[-1], 3600 / (shortest + 1e-6))
    other, path = track_bars(beat, downbeat, 60.0, (2, metre), bpm_range, 3600 / usual)
    assert other.beats_per_bar == 2
    assert path.log_likelihood == pytest.approx(likeliest(beat, downbeat, metre, lengths, usual), abs=1e-6)
    assert path.log_likelihood == pytest.approx(score(path, beat, downbeat, lengths, usual), abs=1e-6)
    assert (np.diff(path.places) % metre == 1 % metre).all()


def score(path: BarPath, beat: Array, downbeat: Array, lengths: range, usual: float) -> float:
    """Of the path itself, its last beat lasting as long as does it good."""
    quiet = np.log((1 - beat) / (bar_tracking._SHARPNESS - 1))
    quiet[path.frames] = 0.0
    struck = zip(path.frames, path.places, strict=True)
    arrivals = [np.log(downbeat[f] if place == 1 else beat[f] - downbeat[f]) for f, place in struck]
    steps = [int(step) for step in np.diff(path.frames)]
    changes = sum(cost(before, after, usual) for before, after in pairwise(steps))
    if steps:
        last = [length for length in lengths if path.frames[-1] + length >= len(beat)]
        changes += min(cost(steps[-1], length, usual) for length in last)
    return float(quiet.sum() + sum(arrivals) - changes)
