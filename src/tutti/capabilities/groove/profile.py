"""What a style does to what the network played: where voices lean, how far strokes stray, how loud they differ, swing.

Timing is taken apart into the place a voice has on a sixteenth of the bar, the same all through the pattern, and what
strays around it. A style may set the first, scale the second, or leave both as they were played.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tutti.capabilities.groove.features import GHOST_VELOCITY
from tutti.capabilities.groove.humanise import Division, free_ghost_places, rolled, swing_set, swung
from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.capabilities.groove.styles import Lean, Style
from tutti.music.drum_kit import class_of_key, key_of_class

__all__ = ["Asked", "applied", "figures_asked"]


@dataclass(frozen=True, slots=True)
class Asked:
    """The public figures of a style, or what was asked instead of them; None leaves it as played."""

    swing_percent: float | None = None
    swing_division: Division = "16th"
    micro_timing_ms: float | None = None
    ghost_note_prob: float | None = None
    velocity_variation: float | None = None


def figures_asked(style: Style | None, **asked: float | str | None) -> Asked:
    """The figures of `style`, with those in `asked` that are not None instead."""
    own = {name: getattr(style, name) for name in Asked.__slots__} if style is not None else {}
    return Asked(**{**own, **{name: value for name, value in asked.items() if value is not None}})


def applied(pattern: Pattern, style: Style | None, asked: Asked, rng: np.random.Generator) -> Pattern:
    """`pattern`, as the network played it, in the hands of `style` with the figures `asked`."""
    if asked.ghost_note_prob is not None:
        pattern = _with_ghosts(pattern, asked.ghost_note_prob, rng)
    if style is not None and style.levels:
        pattern = _levelled(pattern, style.levels)
    if asked.velocity_variation is not None:
        pattern = _with_velocity_spread(pattern, asked.velocity_variation)
    straight = frozenset(places.voice for places in style.straight if rng.random() < places.chance) if style else ()
    leans = style.lean if style is not None else ()
    pattern = _timed(pattern, leans, *_amounts(style, asked), rng)
    if style is not None and style.rolls is not None:
        pattern = rolled(pattern, style.rolls.chance, style.rolls.divisions, rng, style.rolls.ramp)
    if asked.swing_percent is None:
        return pattern
    voices = _but(straight)
    if leans:  # it is straight now but for leans, which are no swing
        return swung(pattern, asked.swing_percent, asked.swing_division, voices)
    return swing_set(pattern, asked.swing_percent, asked.swing_division, voices)


def _but(straight: frozenset[str] | tuple[()]) -> Callable[[str | None], bool]:
    return lambda name: name not in straight


def _amounts(style: Style | None, asked: Asked) -> tuple[float, float | None]:
    """By how much leans are scaled, and the standard deviation (ms) of what strays; None leaves that as played."""
    usual = style.micro_timing_ms if style is not None else None
    if style is None or style.stray_ms is None or not usual:
        return 1.0, asked.micro_timing_ms
    more = 1.0 if asked.micro_timing_ms is None else asked.micro_timing_ms / usual
    return more, style.stray_ms * more


def _places(pattern: Pattern) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """For each hit: its group (voice and sixteenth of the bar), that sixteenth, and its offset from it (ms)."""
    beats = np.array([hit.beat for hit in pattern])
    sixteenth = np.floor(beats * 4 + 0.5).astype(np.int64)
    steps = round(pattern.bar_beats * 4)
    keys = np.array([hit.key for hit in pattern], np.int64)
    step = sixteenth % steps
    return keys * steps + step, step, (beats - sixteenth / 4) * pattern.beat_ms


def _means(values: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    _, index = np.unique(groups, return_inverse=True)
    means: NDArray[np.float64] = (np.bincount(index, values) / np.bincount(index))[index]
    return means


def _timed(
    pattern: Pattern, leans: tuple[Lean, ...], more: float, stray_ms: float | None, rng: np.random.Generator
) -> Pattern:
    if not len(pattern) or (not leans and stray_ms is None):
        return pattern
    groups, steps, late_ms = _places(pattern)
    placed = _means(late_ms, groups)
    stray = late_ms - placed
    if stray_ms is not None:
        spread = float(stray.std())
        # a voice that comes once does not stray from itself; of too few strokes nothing can be told
        stray = stray * (stray_ms / spread) if spread > 0.1 else stray
        stray = np.clip(stray, -3 * stray_ms, 3 * stray_ms)
        stray -= _means(stray, groups)
    if leans:
        drawn: dict[int, float] = {}
        for group, step, hit in zip(groups.tolist(), steps.tolist(), pattern, strict=True):
            if group not in drawn:
                drawn[group] = more * _lean_of(leans, class_of_key(hit.key), step, pattern.beat_ms, rng)
        placed = np.array([drawn[group] for group in groups.tolist()])
    moved = (placed + stray - late_ms) / pattern.beat_ms
    return pattern.with_hits(replace(hit, beat=hit.beat + by) for hit, by in zip(pattern, moved.tolist(), strict=True))


def _lean_of(leans: tuple[Lean, ...], voice: str | None, step: int, beat_ms: float, rng: np.random.Generator) -> float:
    own = [lean for lean in leans if lean.voice == voice]
    chosen = next((lean for lean in own if lean.steps is not None and step in lean.steps), None)
    chosen = chosen or next((lean for lean in own if lean.steps is None), None)
    if chosen is None:
        return 0.0
    low, high = chosen.late_ms
    if chosen.grid_per_beat is None:
        return float(rng.uniform(low, high))
    tick_ms = beat_ms / chosen.grid_per_beat
    first, last = math.ceil(low / tick_ms), math.floor(high / tick_ms)
    if first > last:  # the grid is so coarse that none of its lines is in between
        return tick_ms * round((low + high) / 2 / tick_ms)
    return tick_ms * int(rng.integers(first, last + 1))


_ACCENT_KEPT = 0.3
"""Power to which the ratio of a stroke's velocity to its voice's is kept where a machine plays."""


def _levelled(pattern: Pattern, levels: Mapping[str, int]) -> Pattern:
    loud: dict[str, list[int]] = defaultdict(list)
    for hit in pattern:
        if hit.velocity >= GHOST_VELOCITY or class_of_key(hit.key) != "snare":
            loud[class_of_key(hit.key) or ""].append(hit.velocity)
    hits = []
    for hit in pattern:
        name = class_of_key(hit.key) or ""
        if name in levels and (name != "snare" or hit.velocity >= GHOST_VELOCITY):
            accent = (hit.velocity / float(np.mean(loud[name]))) ** _ACCENT_KEPT
            hit = replace(hit, velocity=int(np.clip(round(levels[name] * accent), 1, 127)))
        hits.append(hit)
    return pattern.with_hits(hits)


def _with_velocity_spread(pattern: Pattern, variation: float) -> Pattern:
    """Velocities whose distance from the mean of their voice on their sixteenth is `variation` of it, as a standard
    deviation over all."""
    if not len(pattern):
        return pattern
    groups, _, _ = _places(pattern)
    velocities = np.array([hit.velocity for hit in pattern], np.float64)
    # a ghost note and a backbeat on one sixteenth are two things, not one that varies
    soft = velocities < GHOST_VELOCITY
    groups = groups * 2 + soft
    usual = _means(velocities, groups)
    away = velocities / usual - 1
    spread = float(away.std())
    if spread < 0.005:
        return pattern
    wanted = np.rint(usual * (1 + away * variation / spread)).astype(int)
    wanted = np.where(
        soft, np.clip(wanted, 1, GHOST_VELOCITY - 1), np.clip(wanted, GHOST_VELOCITY, 127)
    )  # nor become one
    return pattern.with_hits(
        replace(hit, velocity=velocity) for hit, velocity in zip(pattern, wanted.tolist(), strict=True)
    )


def _with_ghosts(pattern: Pattern, share: float, rng: np.random.Generator) -> Pattern:
    """With ghost notes added where they fit, or the softest taken away, until they are `share` of the snares.

    Places that are added come back in every bar before another is taken: ghosts are part of what is repeated. Where
    they run out, snares between the beats are softened.
    """
    snares = [hit for hit in pattern if class_of_key(hit.key) == "snare"]
    ghosts = sorted((hit for hit in snares if hit.velocity < GHOST_VELOCITY), key=lambda hit: hit.velocity)
    loud = len(snares) - len(ghosts)
    wanted = round(loud * share / (1 - share)) if share < 1 else len(snares)
    if len(ghosts) > wanted:
        gone = set(map(id, ghosts[: len(ghosts) - wanted]))
        return pattern.with_hits(hit for hit in pattern if id(hit) not in gone)
    steps = round(pattern.bar_beats * 4)
    free = free_ghost_places(pattern)
    order = {step: place for place, step in enumerate(rng.permutation(steps).tolist())}
    free.sort(key=lambda place: (order[place % steps], place))
    key = key_of_class("snare")
    added = [
        Hit(place / 4 + float(rng.normal(0, 0.01)), key, int(rng.integers(20, GHOST_VELOCITY)))
        for place in free[: wanted - len(ghosts)]
    ]
    played = pattern.with_hits([*pattern, *added])
    return played if len(ghosts) + len(added) == wanted else _softened(played, share)


def _softened(pattern: Pattern, share: float) -> Pattern:
    """With the softest of the snares between the beats made ghost notes, until they are `share` of all."""
    snares = [hit for hit in pattern if class_of_key(hit.key) == "snare"]
    short = round(share * len(snares)) - sum(hit.velocity < GHOST_VELOCITY for hit in snares)
    between = [hit for hit in snares if hit.velocity >= GHOST_VELOCITY and math.floor(hit.beat * 4 + 0.5) % 4]
    softer = {id(hit) for hit in sorted(between, key=lambda hit: hit.velocity)[: max(0, short)]}
    return pattern.with_hits(
        replace(hit, velocity=20 + hit.velocity * (GHOST_VELOCITY - 21) // 127) if id(hit) in softer else hit
        for hit in pattern
    )
