"""What a pattern is like, in numbers: how much is played on what, how loud, how early, and how alike its bars are.

Offsets are from the nearest straight sixteenth. A residual is an offset less the mean of its voice on its sixteenth of
the bar: what is left when swing and every habit that is repeated are taken out. The hat is closed hi-hat and ride.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tutti.capabilities.groove.pattern import Pattern
from tutti.music.drum_kit import DRUM_CLASSES, class_of_key

__all__ = ["GHOST_VELOCITY", "features_of", "strokes_of", "swing_percent"]

GHOST_VELOCITY = 45
"""A snare below it is a ghost note."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LOW, _HIGH = ("kick",), ("hihat_closed", "hihat_open", "hihat_pedal", "ride", "ride_bell", "crash", "splash", "china")
_SHARES = {
    "kick": ("kick",),
    "snare": ("snare", "side_stick"),
    "closed_hat": ("hihat_closed",),
    "open_hat": ("hihat_open",),
    "pedal_hat": ("hihat_pedal",),
    "ride": ("ride", "ride_bell"),
    "toms": ("tom_high", "tom_mid", "tom_low"),
    "crash": ("crash", "splash", "china"),
}
_HAT = ("hihat_closed", "ride")
_TIMEKEEPERS = ("hihat_closed", "hihat_open", "hihat_pedal", "ride", "ride_bell")
_SWINGS = (0.5, 0.58, 2 / 3, 0.72)
"""Where the second strokes of pairs are looked for."""
_LEAST_SWING, _MOST_SWING = 0.4, 0.78
"""Strokes that lie elsewhere on average are something else: early for the next pair, or late for their own."""

WhichVoice = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Strokes:
    """Hits of a pattern as arrays (hits,), by time."""

    beat: Floats
    voice: Ints
    """Place in DRUM_CLASSES."""
    velocity: Floats
    bar: Ints
    step: Ints
    """Nearest sixteenth of the bar."""
    offset_ms: Floats
    residual_ms: Floats
    steps: int
    """Sixteenths in a bar."""

    def of(self, names: tuple[str, ...]) -> NDArray[np.bool_]:
        """(hits,): is it one of these classes?"""
        return np.isin(self.voice, [DRUM_CLASSES.index(name) for name in names])


def strokes_of(pattern: Pattern) -> Strokes:
    """Hits on pieces of the kit; others are left out."""
    rows = [(hit.beat, DRUM_CLASSES.index(name), hit.velocity) for hit in pattern if (name := class_of_key(hit.key))]
    beat, number, velocity = np.array(rows, np.float64).reshape(-1, 3).T
    voice: Ints = number.astype(np.int64)
    sixteenth: Ints = np.floor(beat * 4 + 0.5).astype(np.int64)
    steps = round(pattern.bar_beats * 4)
    offset_ms = (beat - sixteenth / 4) * pattern.beat_ms
    bar: Ints = sixteenth // steps
    step: Ints = sixteenth % steps
    residual = offset_ms - _group_means(offset_ms, voice * steps + step)
    return Strokes(beat, voice, velocity, bar, step, offset_ms, residual, steps)


def _group_means(values: Floats, groups: Ints) -> Floats:
    _, index = np.unique(groups, return_inverse=True)
    sums = np.bincount(index, values)
    means: Floats = (sums / np.bincount(index))[index] if len(values) else values
    return means


def features_of(pattern: Pattern) -> dict[str, float]:
    """Every feature by name; NaN where a pattern has nothing that could tell."""
    s = strokes_of(pattern)
    bars = pattern.bars * pattern.bar_beats / 4  # bars of four beats: metres compare
    count = len(s.beat)
    hat = s.of(_HAT)
    snare = s.of(("snare",))
    groups = s.voice * s.steps + s.step
    found = {
        "notes_per_bar": count / bars,
        "voices": float(len(np.unique(s.voice))),
        "velocity_mean": _mean(s.velocity),
        "velocity_sd": _sd(s.velocity),
        "lean_ms": _mean(s.offset_ms),
        "offset_sd_ms": _sd(s.offset_ms),
        "residual_sd_ms": _sd(s.residual_ms),
        "offset_icc": _icc(s.offset_ms, groups),
        "velocity_icc": _icc(s.velocity, groups),
        "hat_lag1": _lag1(s.residual_ms[hat]),
        "kit_lag1": _lag1(_kit_clock(s)),
        "ghost_share": _mean((s.velocity[snare] < GHOST_VELOCITY).astype(float)),
        "simultaneity": count / max(1, len(np.unique(s.bar * s.steps + s.step))) if count else np.nan,
        "jaccard": _jaccard(s),
        "swing_8th": swing_percent(pattern, 2),
        "swing_16th": swing_percent(pattern, 4),
        "syncopation": _syncopation(s, bars),
        "on_beat": _mean((s.step % 4 == 0).astype(float)),
        "off_beat": _mean((s.step % 4 == 2).astype(float)),
        "backbeat": _backbeat(s),
        "rolls": _mean((np.diff(np.sort(s.beat[snare])) < 0.19).astype(float)),
    }
    for name, classes in _SHARES.items():
        own = s.of(classes)
        found[f"share_{name}"] = _mean(own.astype(float))
        if name in ("kick", "snare", "closed_hat", "ride"):
            found[f"{name}_velocity"] = _mean(s.velocity[own])
            found[f"{name}_velocity_sd"] = _sd(s.velocity[own])
            found[f"{name}_late_ms"] = _mean(s.offset_ms[own]) - found["lean_ms"]
    return {name: float(value) for name, value in found.items()}


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else np.nan


def _sd(values: Floats) -> float:
    return float(values.std()) if len(values) > 1 else np.nan


def _lag1(values: Floats) -> float:
    """Correlation of each with the next."""
    if len(values) < 8 or values.std() == 0:
        return np.nan
    centred = values - values.mean()
    return float((centred[1:] * centred[:-1]).sum() / (centred**2).sum())


def _kit_clock(s: Strokes) -> Floats:
    """Mean residual of each sixteenth that is struck, in order."""
    _, index = np.unique(s.bar * s.steps + s.step, return_inverse=True)
    clock: Floats = np.bincount(index, s.residual_ms) / np.bincount(index) if len(index) else np.zeros(0)
    return clock


def _icc(values: Floats, groups: Ints) -> float:
    """One-way intraclass correlation: the share of variance that lies between groups."""
    names, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    free = len(values) - len(names)
    if len(names) < 2 or free < 1:
        return np.nan
    within = float(((values - _group_means(values, groups)) ** 2).sum()) / free
    means = np.bincount(index, values) / sizes
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (len(names) - 1)
    typical = (len(values) - (sizes**2).sum() / len(values)) / (len(names) - 1)
    total = between + (typical - 1) * within
    return (between - within) / total if total > 0 else np.nan


def _jaccard(s: Strokes) -> float:
    """How much of what is struck in a bar or the next is struck in both; mean over neighbouring bars."""
    if not len(s.bar):
        return np.nan
    places = s.voice * s.steps + s.step
    bars = [set(places[s.bar == bar].tolist()) for bar in range(int(s.bar.max()) + 1)]
    shared = [len(a & b) / len(a | b) for a, b in pairwise(bars) if a | b]
    return float(np.mean(shared)) if shared else np.nan


_WEIGHTS = (0, -3, -2, -3, -1, -3, -2, -3)  # of the sixteenths of a half bar, after Longuet-Higgins and Lee


def _syncopation(s: Strokes, bars: float) -> float:
    """Kicks and snares on weak sixteenths that are followed by nothing on the next stronger one, by how much weaker
    they are, a bar; after Witek et al., PLoS ONE 9, 2014, for one voice at a time."""
    total = 0.0
    for name in ("kick", "snare"):
        own = s.of((name,)) & (s.velocity >= GHOST_VELOCITY)
        struck = np.unique(s.bar[own] * s.steps + s.step[own])
        present = set(struck.tolist())
        for place in struck.tolist():
            weight = _WEIGHTS[place % 8]
            ahead = next((step for step in range(place + 1, place + 9) if _WEIGHTS[step % 8] > weight), None)
            if ahead is not None and ahead not in present:
                total += _WEIGHTS[ahead % 8] - weight
    return total / bars


def _backbeat(s: Strokes) -> float:
    """Share of the loud snares that fall on the second and fourth beat."""
    loud = s.of(("snare", "side_stick")) & (s.velocity >= 60)
    return _mean((s.step[loud] % 8 == 4).astype(float))


def swing_percent(
    pattern: Pattern, divisions: int, voices: WhichVoice = lambda _name: True, near_percent: float | None = None
) -> float:
    """Where the second stroke of a pair lies, as the percentage of the pair that the first is given: 50 is straight.

    `divisions` of a beat are 2 (pairs of eighths) or 4 (of sixteenths). Only pairs count in which a voice has a single
    stroke between its ends: where it has more it plays something faster, which says nothing of swing. The pair begins
    at the mean place of first strokes, so that a steady lean has no part in it. Of `voices` hats and rides tell it, or
    all where those have too few; `near_percent` says where to look. NaN with fewer than four pairs.
    """
    kept = _swing_of(pattern, divisions, lambda name: name in _TIMEKEEPERS and voices(name), near_percent)
    return _swing_of(pattern, divisions, voices, near_percent) if np.isnan(kept) else kept


def _swing_of(pattern: Pattern, divisions: int, voices: WhichVoice, near_percent: float | None) -> float:
    pair = 2 / divisions
    rows = [(hit.beat, DRUM_CLASSES.index(name)) for hit in pattern if (name := class_of_key(hit.key)) and voices(name)]
    beats, voice = np.array(rows, np.float64).reshape(-1, 2).T
    bar, in_bar = np.divmod(beats + pair / 8, pattern.bar_beats)  # in 7/8 pairs begin anew with each bar
    number, place = np.divmod(in_bar, pair)
    place = place / pair - 1 / 8
    first, inside = place < 1 / 8, (place >= 1 / 8) & (place < 7 / 8)
    pairs = np.stack([bar, number, voice], axis=1)[inside]
    _, which, strokes = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    seconds = place[inside][strokes[which.ravel()] == 1]
    if len(seconds) < 4 or not first.any():
        return np.nan
    starts = _SWINGS if near_percent is None else (near_percent / 100,)
    begin = float(place[first].mean())
    found = [(swing - begin, count) for swing, count in (_settled(seconds, start) for start in starts)]
    likely = [one for one in found if _LEAST_SWING <= one[0] <= _MOST_SWING and one[1] >= 4]
    return 100 * max(likely, key=lambda one: one[1])[0] if likely else np.nan


def _settled(seconds: Floats, swing: float) -> tuple[float, int]:
    """The mean of the strokes nearer to `swing` than to half way on either side, sought till it stays; their number."""
    count = 0
    for _ in range(5):
        own = seconds[(seconds > 0.75 * swing) & (seconds < (3 * swing + 1) / 4)]
        count = len(own)
        if not count:
            break
        swing = float(own.mean())
    return swing, count
