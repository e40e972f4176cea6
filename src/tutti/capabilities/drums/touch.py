"""How a stroke was meant besides its place: flams, rolls, ghost notes and accents."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tutti.capabilities.drums.feel import LATTICE, Grid
from tutti.music.drum_hits import DrumHits

__all__ = ["Roll", "accents", "bounces", "flams", "ghosts", "rolls"]

_FLAM_S = (0.012, 0.045)
_ALONE_S = 0.07
_HANDS = ("snare", "tom_high", "tom_mid", "tom_low")
_APART = 2.2
"""Ashman's D from which two groups of values count as two."""
_THIRTY_SECOND = 0.85
"""Strokes less than this many 32nds apart may belong to a roll: 32nds themselves can be written."""
_BOUNCE_S = 0.015


@dataclass(frozen=True, slots=True)
class Roll:
    """Strokes too fast to write one by one. Rows of the hits."""

    head: int
    inside: tuple[int, ...]


def _by_instrument(hits: DrumHits) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = defaultdict(list)
    for row, hit in enumerate(hits):
        rows[hit.instrument].append(row)
    return rows


def bounces(hits: DrumHits) -> dict[int, int]:
    """Strokes less than 15 ms after another on the same piece, and that one: a pad that triggers twice."""
    found: dict[int, int] = {}
    for rows in _by_instrument(hits).values():
        for first, again in pairwise(rows):
            if hits[again].time_s - hits[first].time_s < _BOUNCE_S:
                found[again] = found.get(first, first)
    return found


def flams(hits: DrumHits, grid: Grid, bounced: Container[int]) -> dict[int, int]:
    """Grace strokes, and the stroke each belongs to: a stroke right before another on the same piece that is no softer,
    with nothing else close to the two, and too near for a 32nd."""
    found = {}
    for name, all_rows in _by_instrument(hits).items():
        if name not in _HANDS:
            continue
        rows = [row for row in all_rows if row not in bounced]
        times_s = [hits[row].time_s for row in rows]
        beat_s = np.diff(grid.times_s)[grid.locate(np.array(times_s))[0]]
        thirty_second_s = beat_s / float(8 * grid.beat_quarters)
        for place, (soft, struck) in enumerate(pairwise(rows)):
            gap_s = times_s[place + 1] - times_s[place]
            before_s = times_s[place] - times_s[place - 1] if place else math.inf
            after_s = times_s[place + 2] - times_s[place + 1] if place + 2 < len(rows) else math.inf
            near = _FLAM_S[0] <= gap_s <= min(_FLAM_S[1], 0.65 * thirty_second_s[place])
            if near and hits[soft].velocity <= hits[struck].velocity and min(before_s, after_s) > _ALONE_S:
                found[soft] = struck
    return found


def rolls(hits: DrumHits, slots: Mapping[int, int], grid: Grid) -> list[Roll]:
    """Runs of three or more strokes on one piece, faster than 32nds, that no division could keep
    apart.

    The last stroke stays on its own where it falls on an eighth: rolls end on a note.
    """
    found = []
    for rows in _by_instrument(hits).values():
        written = [row for row in rows if row in slots]
        if len(written) < 3:
            continue
        times_s = np.array([hits[row].time_s for row in written])
        beat_s = np.diff(grid.times_s)[grid.locate(times_s)[0]] / float(grid.beat_quarters)
        close = np.diff(times_s) < _THIRTY_SECOND * beat_s[:-1] / 8
        for run in _runs(close):
            members = [written[place] for place in run]
            places = [slots[row] for row in members]
            if len(members) < 3 or len(set(places)) == len(places):
                continue
            ends = places[-1] > places[0] and places[-1] % (LATTICE // 2) == 0
            found.append(Roll(members[0], tuple(members[1:-1] if ends else members[1:])))
    return found


def _runs(close: Iterable[bool]) -> list[range]:
    """Stretches of places of which each is close to the next."""
    found, begin, place = [], 0, 0
    for place, near in enumerate(close, start=1):
        if not near:
            found.append(range(begin, place))
            begin = place
    return [*found, range(begin, place + 1)]


def ghosts(hits: DrumHits) -> frozenset[int]:
    """Snare strokes of the softer of two groups, where the snare is clearly played at two strengths."""
    rows = _by_instrument(hits)["snare"]
    split = _split([hits[row].velocity for row in rows])
    if split is None or split.low_mean > 0.6 * split.high_mean:
        return frozenset()
    return frozenset(row for row in rows if hits[row].velocity <= split.at)


def accents(hits: DrumHits) -> frozenset[int]:
    """Strokes of the hands on drums that stand out from the others on that piece, ghost notes left out."""
    soft = ghosts(hits)
    found: set[int] = set()
    for name, rows in _by_instrument(hits).items():
        full = [row for row in rows if row not in soft]
        split = _split([hits[row].velocity for row in full]) if name in _HANDS else None
        if split is not None and split.high_share <= 0.4 and split.low_mean <= 0.8 * split.high_mean:
            found.update(row for row in full if hits[row].velocity > split.at)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class _Split:
    at: float
    low_mean: float
    high_mean: float
    high_share: float


def _split(velocities: Iterable[int]) -> _Split | None:
    """Two groups of velocities, parted where they vary least within (Otsu), if they are two."""
    values = np.sort(np.array(list(velocities), float))
    edges = np.flatnonzero(np.diff(values)) + 1
    least = max(3, math.ceil(0.05 * len(values)))
    edges = edges[(edges >= least) & (edges <= len(values) - least)]
    if not len(edges):
        return None
    within = [values[:edge].var() * edge + values[edge:].var() * (len(values) - edge) for edge in edges]
    edge = int(edges[int(np.argmin(within))])
    low, high = values[:edge], values[edge:]
    spread = math.hypot(max(low.std(), 2.0), max(high.std(), 2.0))
    if math.sqrt(2) * (high.mean() - low.mean()) / spread < _APART:
        return None
    return _Split((low[-1] + high[0]) / 2, float(low.mean()), float(high.mean()), len(high) / len(values))
