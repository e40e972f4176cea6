"""What is wrong with a pattern, and what is odd: is it within its bars, is it percussion, could a drummer play it?

The drummer has two hands for everything but the pedals, and two feet for those: a double pedal lets both feet kick.
Each limb is held to what it can do (`_HANDS`, `_FEET`), and strokes are dealt out so that no limb does more, if there
is a way. Three things ask for no limb of their own, because takes on electronic kits are full of them:

- a second sound of the same drum within 20 ms: head and rim of one stroke, or its bounce
- a faint stroke, or a soft one on a rim, within 30 ms of a louder one elsewhere: a pad that was only shaken
- a soft open hi-hat, which may be splashed with the foot

Limits are from the records of the fastest drummers; bounces, moves and what counts as shaken were chosen on the
training takes of the Groove MIDI Dataset. 890 of those 897 are valid, and of the 124 held out 122
(tests/capabilities/groove/test_validate.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.capabilities.groove.types import Finding
from tutti.music.drum_kit import class_of_key

__all__ = ["is_valid", "validate"]

_PERCUSSION_KEYS = range(27, 88)
"""Of General MIDI (level 2)."""
_EARLY_BEATS = 0.125
"""How far ahead of its bar a stroke may be: half a sixteenth."""
_TICKS = 480
"""A quarter note's; strokes on one tick are at one instant."""
_DENSITY = (0.5, 16.0)
"""Strokes a beat."""
_HAT_MS = 20.0
"""An open hi-hat and one that is shut, this near, are at the same time."""

# keys that strike the same as another: Roland's hi-hat edges, rims and second samples
_STRUCK = {22: 42, 26: 46, 31: 37, 35: 36, 40: 38, 59: 51}
# what else is on the same surface, so that a hand need not move: side stick, open hi-hat, bell
_SURFACE = {37: 38, 46: 42, 53: 51}
_PEDALS = (36, 44)
_RIMS = (37, 58)
"""Side stick, and the rim of Roland's floor tom."""
_OPEN, _SHUT = 46, (42, 44)

_SAME_STROKE_MS = 20.0
_SHAKEN_MS = 30.0
_FAINT_VELOCITY, _SOFT_VELOCITY = 20, 64
_NEIGHBOURS = 8
"""How many strokes to each side can have shaken a pad; no more than that are played at once."""
_BOUNCES = 2
"""A stick or beater is thrown and may bounce so often; buzz rolls and drags are played like that."""
_SPLASH_MS = 150.0
"""Between two splashes of a foot."""


@dataclass(frozen=True, slots=True)
class _Limbs:
    """What one of a pair can do, and what both can."""

    name: str
    move_ms: float
    """From a stroke to one elsewhere."""
    throw_ms: float
    """From one stroke to the next on the same surface that is not its bounce."""
    burst: int
    burst_ms: float
    """`burst` gaps between strokes of both take at least so long."""


# Records: 1208 single strokes a minute with two hands, some 1400 with two feet: 100 and 85 ms for each limb. A burst
# may be as fast as a buzz roll (38 a second) for hands, and as the record for feet.
_HANDS = _Limbs("hands", move_ms=50, throw_ms=100, burst=16, burst_ms=420)
_FEET = _Limbs("feet", move_ms=150, throw_ms=85, burst=8, burst_ms=340)


def validate(
    pattern: Pattern,
    *,
    bpm_range: tuple[float, float] | None = None,
    style: str | None = None,
    played_by_hand: bool = True,
) -> tuple[Finding, ...]:
    """Errors, then warnings, each in order of time.

    `bpm_range` is the tempo range of `style`. Without `played_by_hand` nobody needs to be able to play it: rolls of a
    drum machine are faster than hands.
    """
    found = [*_whole(pattern, bpm_range, style), *_placed(pattern), *_struck_twice(pattern), *_hats(pattern)]
    if played_by_hand:
        found += _played(pattern)
    return tuple(sorted(found, key=lambda one: (one.level, one.bar or 0, one.beat or 0, one.code, one.voice or "")))


def is_valid(findings: Iterable[Finding]) -> bool:
    """No errors?"""
    return all(finding.level != "error" for finding in findings)


def _whole(pattern: Pattern, bpm_range: tuple[float, float] | None, style: str | None) -> Iterator[Finding]:
    density = len(pattern) / pattern.beats
    if not pattern.hits:
        yield Finding("error", "empty", "The pattern has no strokes. Add some.")
    elif not _DENSITY[0] <= density <= _DENSITY[1]:
        more = "Add strokes or declare fewer bars." if density < _DENSITY[0] else "Leave some out."
        said = f"The pattern has {density:.2g} strokes a beat; {_DENSITY[0]:g} to {_DENSITY[1]:g} are usual. {more}"
        yield Finding("warning", "density", said)
    if bpm_range is not None and not bpm_range[0] <= pattern.bpm <= bpm_range[1]:
        usual = f"{bpm_range[0]:g}-{bpm_range[1]:g} bpm of {style or 'the style'}"
        yield Finding("warning", "tempo", f"{pattern.bpm:.4g} bpm is outside the {usual}. Choose a tempo in it.")


def _placed(pattern: Pattern) -> Iterator[Finding]:
    for hit in pattern:
        if class_of_key(hit.key) is None and hit.key not in _PERCUSSION_KEYS:
            said = f"Key {hit.key} is no General MIDI percussion. Use {_PERCUSSION_KEYS[0]} to {_PERCUSSION_KEYS[-1]}."
            yield _finding(pattern, hit, "unknown_key", said)
        if hit.beat < -_EARLY_BEATS:
            said = f"The stroke is {-hit.beat:.3g} beats ahead of the first bar; {_EARLY_BEATS:g} at most. Move it."
            yield _finding(pattern, hit, "outside_bars", said)
        elif hit.beat >= pattern.beats:
            said = f"The stroke is past the last of {pattern.bars} bars. Move it, or declare more bars."
            yield _finding(pattern, hit, "outside_bars", said)


def _struck_twice(pattern: Pattern) -> Iterator[Finding]:
    seen: set[tuple[int, int]] = set()
    for hit in pattern:
        place = (math.floor(hit.beat * _TICKS + 0.5), _STRUCK.get(hit.key, hit.key))
        if place in seen:
            said = f"{_voice(hit.key)} is struck twice at one instant. Leave one stroke out."
            yield _finding(pattern, hit, "struck_twice", said)
        seen.add(place)


def _hats(pattern: Pattern) -> Iterator[Finding]:
    hats = [hit for hit in pattern if _STRUCK.get(hit.key, hit.key) in (_OPEN, *_SHUT)]
    for before, hit in pairwise(hats):
        is_open = [_STRUCK.get(one.key, one.key) == _OPEN for one in (before, hit)]
        if is_open[0] != is_open[1] and (hit.beat - before.beat) * pattern.beat_ms <= _HAT_MS:
            said = "The hi-hat is struck open and shut at the same time. Leave one stroke out."
            yield _finding(pattern, hit, "hihat_open_and_shut", said, level="warning")


def _played(pattern: Pattern) -> Iterator[Finding]:
    struck = np.array([_STRUCK.get(hit.key, hit.key) for hit in pattern], np.int64)
    on_pedal = np.isin(struck, _PEDALS)
    for limbs, own in ((_HANDS, np.flatnonzero(~on_pedal)), (_FEET, np.flatnonzero(on_pedal))):
        strokes = _Strokes.of([pattern.hits[row] for row in own], pattern.beat_ms)
        times_ms = strokes.times_ms[strokes.own]
        rows = own[strokes.own].tolist()
        hits = [pattern.hits[row] for row in rows]
        crowded = np.flatnonzero(times_ms[limbs.burst :] - times_ms[: -limbs.burst] < limbs.burst_ms)
        # one finding for each roll, where it is first too fast
        for start in crowded[np.diff(crowded, prepend=-2) > 1].tolist():
            rate = limbs.burst / limbs.burst_ms * 1000
            said = f"More than {rate:.0f} strokes a second, faster than two {limbs.name} can. Leave some out."
            yield _finding(pattern, hits[start + limbs.burst], f"too_fast_for_{limbs.name}", said)
        for index in _unplayable(strokes, limbs):
            near = times_ms > times_ms[index] - limbs.throw_ms
            names = {_voice(hits[i].key) for i in np.flatnonzero(near[: index + 1]).tolist()}
            said = (
                f"Two {limbs.name} cannot play {_listed(names)} so close: one needs {limbs.move_ms:g} ms to get "
                f"elsewhere and {limbs.throw_ms:g} ms to strike again. Leave a stroke out or move it."
            )
            yield _finding(pattern, hits[index], f"too_many_{limbs.name}", said)


@dataclass(frozen=True, slots=True)
class _Strokes:
    """Strokes of hands or of feet, by time (strokes,)."""

    times_ms: NDArray[np.float64]
    surfaces: NDArray[np.int64]
    splashes: NDArray[np.bool_]
    """Could it be a foot's splash?"""
    own: NDArray[np.bool_]
    """Does it ask for a limb? A pad that was shaken does not."""

    @classmethod
    def of(cls, hits: list[Hit], beat_ms: float) -> _Strokes:
        # to a microsecond, so that a gap of just a limit is one also where thirds of a beat are not exact
        times_ms = np.round(np.array([hit.beat for hit in hits]) * beat_ms, 3)
        struck = np.array([_STRUCK.get(hit.key, hit.key) for hit in hits], np.int64)
        surfaces = np.array([_SURFACE.get(key, key) for key in struck.tolist()], np.int64)
        velocity = np.array([hit.velocity for hit in hits], np.int64)
        shaken = np.zeros(len(hits), np.bool_)
        for step in range(1, min(_NEIGHBOURS, len(hits) - 1) + 1):
            together = (times_ms[step:] - times_ms[:-step] <= _SHAKEN_MS) & (surfaces[step:] != surfaces[:-step])
            shaken[step:] |= together & (velocity[:-step] > velocity[step:])
            shaken[:-step] |= together & (velocity[step:] > velocity[:-step])
        soft = velocity <= _SOFT_VELOCITY
        shaken &= (velocity < _FAINT_VELOCITY) | (soft & np.isin(struck, _RIMS))
        shaken &= ~np.isin(struck, _PEDALS)
        return cls(times_ms, surfaces, soft & (struck == _OPEN), ~shaken)


_Limb = tuple[float, int, int]
"""When it struck last (ms), on what, and how many bounces ago it was thrown."""
_RESTED: _Limb = (-math.inf, 0, 0)


def _unplayable(strokes: _Strokes, limbs: _Limbs) -> Iterator[int]:
    """Of the strokes that ask for a limb, those that no dealing out reaches; after each the drummer is rested.

    Every way to deal out is followed at once. There are few: limbs that rested long enough are all alike.
    """
    ways: set[tuple[_Limb, _Limb, float]] = {(_RESTED, _RESTED, -math.inf)}
    began_ms: dict[int, float] = {}
    columns = (strokes.times_ms, strokes.surfaces, strokes.splashes)
    rested_ms = max(limbs.move_ms, limbs.throw_ms)
    rows = zip(*(column[strokes.own].tolist() for column in columns), strict=True)
    for index, (time_ms, surface, is_splash) in enumerate(rows):
        if time_ms - began_ms.get(surface, -math.inf) < _SAME_STROKE_MS:
            continue
        began_ms[surface] = time_ms
        after: set[tuple[_Limb, _Limb, float]] = set()
        for first, second, splashed_ms in ways:
            can_splash = time_ms - splashed_ms >= _SPLASH_MS
            for limb, other in ((first, second), (second, first)):
                struck = _strike(limb, time_ms, surface, limbs)
                if struck is not None:
                    idle = other if time_ms - other[0] < rested_ms else _RESTED
                    after.add((min(struck, idle), max(struck, idle), -math.inf if can_splash else splashed_ms))
            if is_splash and can_splash:
                after.add((first, second, time_ms))
        if not after:
            yield index
            after = {(_RESTED, _RESTED, -math.inf)}
        ways = after


def _strike(limb: _Limb, time_ms: float, surface: int, limbs: _Limbs) -> _Limb | None:
    """The limb after it, or None where it cannot."""
    last_ms, on, bounces = limb
    gap_ms = time_ms - last_ms
    if on != surface:
        return (time_ms, surface, 0) if gap_ms >= limbs.move_ms else None
    if gap_ms >= limbs.throw_ms:
        return (time_ms, surface, 0)
    return (time_ms, surface, bounces + 1) if bounces < _BOUNCES else None


def _voice(key: int) -> str:
    return class_of_key(key) or f"key {key}"


def _listed(names: set[str]) -> str:
    *most, last = sorted(names)
    return f"{', '.join(most)} and {last}" if most else last


def _finding(
    pattern: Pattern, hit: Hit, code: str, message: str, *, level: Literal["error", "warning"] = "error"
) -> Finding:
    # a stroke just ahead of a bar line belongs to the bar after it
    bar = max(0, math.floor((hit.beat + _EARLY_BEATS) / pattern.bar_beats))
    beat = round(hit.beat - bar * pattern.bar_beats + 1, 3)
    return Finding(level, code, message, bar + 1, beat, _voice(hit.key))
