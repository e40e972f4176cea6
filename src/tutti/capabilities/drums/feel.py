"""On which part of which beat each hit was meant: a small Bayesian model of a drummer reading from paper.

A beat is written in one of a few divisions. Given a division, a stroke is meant for one of its slots, likelier for the
strong ones and for those where this piece has been hit at the same place in other bars, and comes early or late by an
error whose spread is estimated per take. Finer divisions, and a change of division inside a bar, cost something; the
cheapest path through all beats is the answer. Swing moves the slots of the even divisions for the whole take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tutti.music.drum_kit import DRUM_CLASSES
from tutti.notation.sheet import Swing

__all__ = ["LATTICE", "Grid", "Reading", "read_rhythm"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LATTICE = 24
"""Every slot is a whole number of this part of a beat."""

_SWINGS = ((5, 4), (4, 3), (3, 2), (5, 3), (2, 1))
_SWING_COST = 4.0
_SWUNG_NOTE_COST = {"eighth": 1.4, "16th": 0.4}
"""What a swung note must gain (nats): an off-beat eighth is likelier anyhow than the 16th or triplet it may be."""
_SPREAD_S = (0.006, 0.018)
_SAME_SLOT = ((0.5, 0.85), (0.5, 7.0))
"""What it costs (nats) to put two strokes on one piece into one slot, by the 32nds between them: a stick that rebounds
is one stroke on paper."""
_CHORD_S = 0.03
_ON_NEXT_BEAT = 1 / 16
"""A stroke less than this before a beat (beats; half a 32nd) counts with it, so that the strokes around a beat are read
together."""
_FIRST_SPREAD_S = 0.012
_REVISIONS = 1
_LEADS_S: Floats = np.linspace(-0.1, 0.1, 21, dtype=np.float64)
_MAX_LEAD_BEATS = 0.17
_LEAD_COST_PER_S = 12.0
_LEAD_CHANGE_COST_PER_S = 65.0
"""What it costs (nats) that a whole beat is early or late, and that the next one is so by another amount."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Beats that cover all hits. Arrays are (beats,)."""

    times_s: Floats
    """When each begins; one entry more than there are beats."""
    places: Ints
    """Which beat of its bar, from 0."""
    bar_lengths: Ints
    """Beats in its bar."""
    beat_quarters: Fraction

    def locate(self, times_s: Floats) -> tuple[Ints, Floats]:
        """For each time the beat it falls in, and how far into it (0-1)."""
        beats = np.clip(np.searchsorted(self.times_s, times_s, "right") - 1, 0, len(self.places) - 1)
        return beats, (times_s - self.times_s[beats]) / np.diff(self.times_s)[beats]


@dataclass(frozen=True, slots=True)
class Reading:
    """What `read_rhythm` makes of hits. Arrays are (hits,)."""

    slots: Ints
    """Where each is written, in LATTICE parts of a beat from the first beat of the grid."""
    errors_s: Floats
    """How late each was played, the take's own lead or lag left out."""
    swing: Swing | None


@dataclass(frozen=True, slots=True)
class _Division:
    slots: tuple[int, ...]
    """Where its parts are written, in LATTICE parts; the last is the next beat."""
    sounds: tuple[float, ...]
    """Where they are played (0-1)."""
    weights: tuple[float, ...]
    """How likely a stroke is meant for each."""
    triplet: bool
    cost: float
    """Of writing a beat so, where its parts are not too short to play."""
    loose: float = 0.0
    """Further spread of the off-beat (beats): how long swung notes are differs from bar to bar."""


# how likely a stroke is meant for each slot of a beat in so many parts, when nothing else is known
_EVEN_4 = (0.5, 0.125, 0.25, 0.125)
_EVEN_8 = (0.38, 0.04, 0.12, 0.04, 0.22, 0.04, 0.12, 0.04)
_THREE = (0.46, 0.27, 0.27)
_SIX = (0.3, 0.14, 0.14, 0.14, 0.14, 0.14)
_TWELVE = (0.21, *(0.079 if part % 2 == 0 else 0.066 for part in range(1, 12)))
_COMPOUND_6 = (0.3, 0.09, 0.22, 0.09, 0.21, 0.09)


def _even(weights: Sequence[float], cost: float, triplet: bool = False) -> _Division:
    parts = len(weights)
    slots = tuple(LATTICE * part // parts for part in range(parts + 1))
    return _Division(slots, tuple(slot / LATTICE for slot in slots), (*weights, weights[0]), triplet, cost)


def _divisions(beat_quarters: Fraction, swing: Swing | None) -> tuple[_Division, ...]:
    long = swing.first / (swing.first + swing.second) if swing else 0.5
    if beat_quarters == Fraction(3, 2):
        eighths = (_even(_THREE, 0.0), _even(_COMPOUND_6, 1.0), _even(_TWELVE, 4.5))
        duplets = (_even((0.5, 0.5), 5.0, triplet=True), _even(_EVEN_4, 5.5, triplet=True))
        return (*(_swung_16ths(division, long, pairs=3) for division in eighths), *duplets)
    straight, fine = _even(_EVEN_4, 0.0), _even(_EVEN_8, 4.0)
    triplets = (_even(_THREE, 2.0, True), _even(_SIX, 3.0, True), _even(_TWELVE, 7.0, True))
    if swing is None:
        return (straight, fine, *triplets)
    if swing.unit == "eighth":
        pair = _Division((0, 12, 24), (0.0, long, 1.0), (0.55, 0.45, 0.55), True, 0.0, loose=0.02)
        return (pair, _even(_EVEN_4, 2.5), _even(_EVEN_8, 5.0), *triplets)
    return (_swung_16ths(straight, long, pairs=2), _swung_16ths(fine, long, pairs=2), *triplets)


def _swung_16ths(division: _Division, long: float, pairs: int) -> _Division:
    def sound(place: float) -> float:
        whole, into = divmod(place * pairs, 1)
        return (whole + (into * 2 * long if into < 0.5 else long + (into * 2 - 1) * (1 - long))) / pairs

    sounds = tuple(map(sound, division.sounds))
    return _Division(division.slots, sounds, division.weights, division.triplet, division.cost)


@dataclass(frozen=True, slots=True)
class _Events:
    """Strokes that sound together are one event. Hits are in order of event."""

    event: Ints  # (hits,)
    instrument: Ints  # (hits,)
    beat: Ints  # (events,)
    place: Floats  # (events,)
    beat_s: Floats  # (events,)
    at: Floats  # (events,): 32nd notes into the beat
    first_hit: Ints  # (events,)
    by_piece: Ints
    """(hits,): the event of each hit, hits in order of beat, then piece."""
    instrument_by_piece: Ints  # (hits,), in that order
    begins_piece: NDArray[np.bool_]
    """(hits,): where in that order another beat or piece begins."""
    before_beat: Ints
    """(pairs,): events whose piece is struck again right on the next beat."""
    before_beat_gap: Floats  # (pairs,): 32nd notes from one to the other


@dataclass(frozen=True, slots=True)
class _Path:
    slot: Ints  # (events,), in LATTICE parts of a beat
    late_s: Floats  # (events,): beyond the lead or lag of the beat
    lead_s: Floats  # (events,): how late the beat is as a whole
    moved: NDArray[np.bool_]  # (events,): swing plays it elsewhere than it is written
    paired: NDArray[np.bool_]  # (events,): in a beat of two swung eighths


def read_rhythm(times_s: Floats, instruments: Ints, grid: Grid) -> Reading:
    """Read hits at `times_s` (rising) of `instruments` (rows of DRUM_CLASSES) against `grid`, which covers them."""
    if not len(times_s):
        return Reading(np.zeros(0, np.int64), np.zeros(0), None)
    events, order = _events(times_s - _lead(times_s, grid), instruments, grid)
    path = _best_path(events, grid, _divisions(grid.beat_quarters, None), _FIRST_SPREAD_S, None)
    swing = _swing(events, grid, path)
    divisions = _divisions(grid.beat_quarters, swing)
    if swing is not None:
        path = _best_path(events, grid, divisions, _FIRST_SPREAD_S, None)
    for _ in range(_REVISIONS):
        kept_s = np.abs(path.late_s[~path.moved])
        spread_s = float(np.clip(1.48 * np.median(kept_s), *_SPREAD_S)) if len(kept_s) else _FIRST_SPREAD_S
        path = _best_path(events, grid, divisions, spread_s, _evidence(events, grid, path))
    if swing is not None and swing.unit == "eighth":
        path, swing = _swing_or_triplets(path, events, swing)
    slots = np.zeros(len(times_s), np.int64)
    slots[order] = (events.beat * LATTICE + path.slot)[events.event]
    errors_s = np.zeros(len(times_s))
    errors_s[order] = (path.late_s + path.lead_s)[events.event]
    return Reading(slots, errors_s, swing)


def _lead(times_s: Floats, grid: Grid) -> float:
    """How late the take is as a whole (seconds, negative when it leads): by the strokes near a beat, fewer of which
    say less."""
    beats, places = grid.locate(times_s)
    late_s = (places - np.round(places)) * np.diff(grid.times_s)[beats]
    near = late_s[(np.abs(places - np.round(places)) < 0.12) & (np.abs(late_s) < 0.05)]
    return float(np.median(near)) * len(near) / (len(near) + 4) if len(near) else 0.0


def _events(times_s: Floats, instruments: Ints, grid: Grid) -> tuple[_Events, Ints]:
    """Events, and the hits in their order."""
    order = np.argsort(times_s, kind="stable")
    event = np.zeros(len(times_s), np.int64)
    begin_s, members, count = -np.inf, set[int](), -1
    chord_s = np.minimum(_CHORD_S, 0.09 * np.diff(grid.times_s)[grid.locate(times_s)[0]])
    for row, hit in enumerate(order):
        if times_s[hit] - begin_s > chord_s[hit] or int(instruments[hit]) in members:
            begin_s, members, count = times_s[hit], set(), count + 1
        members.add(int(instruments[hit]))
        event[row] = count
    mean_s = np.bincount(event, times_s[order]) / np.bincount(event)
    beat, place = _beats_of(mean_s, grid)
    piece = beat[event] * len(DRUM_CLASSES) + instruments[order]
    by_piece = np.argsort(piece, kind="stable")
    begins_piece = np.diff(piece[by_piece], prepend=-1) > 0
    first_hit: Ints = np.searchsorted(event, np.arange(len(beat)))
    beat_s = np.diff(grid.times_s)[beat]
    at = place * float(8 * grid.beat_quarters)
    pieces = instruments[order]
    by_beat = event[by_piece], pieces[by_piece], begins_piece
    in_pieces = np.argsort(pieces, kind="stable")
    earlier, later = event[in_pieces[:-1]], event[in_pieces[1:]]
    same_piece = np.diff(pieces[in_pieces]) == 0
    on_next = same_piece & (beat[later] == beat[earlier] + 1) & (place[later] < _ON_NEXT_BEAT)
    gap = (at[later] - at[earlier] + float(8 * grid.beat_quarters))[on_next]
    return _Events(event, pieces, beat, place, beat_s, at, first_hit, *by_beat, earlier[on_next], gap), order


def _beats_of(times_s: Floats, grid: Grid) -> tuple[Ints, Floats]:
    """The beat each event belongs to, and how far into it, negative right before it."""
    beat, place = grid.locate(times_s)
    beat = beat + ((place > 1 - _ON_NEXT_BEAT) & (beat + 1 < len(grid.places)))
    return beat, (times_s - grid.times_s[beat]) / np.diff(grid.times_s)[beat]


def _swing(events: _Events, grid: Grid, straight: _Path) -> Swing | None:
    """The swing that explains the take best, if every note it moves is explained better for it on average.

    Judged with the lead that the strokes on the beats around have: swung notes would pass for a lead of their own.
    """
    if grid.beat_quarters == Fraction(1, 2):
        return None
    beats = len(grid.places)
    on_beat = straight.slot % LATTICE == 0
    of_beat = (events.beat + straight.slot // LATTICE)[on_beat]
    late_s = np.bincount(of_beat, (straight.late_s + straight.lead_s)[on_beat], minlength=beats)
    count = np.bincount(of_beat, minlength=beats)
    around = np.ones(5)
    lead_s: Floats = np.convolve(late_s, around, "same") / (np.convolve(count, around, "same") + 1)

    def cost(swing: Swing | None) -> float:
        costs = []
        for division in _divisions(grid.beat_quarters, swing):
            each = _slot_costs(events, division, _FIRST_SPREAD_S, None)(lead_s[events.beat])
            chosen = np.argmin(each, axis=1)
            per_beat = np.bincount(events.beat, each[np.arange(len(chosen)), chosen], minlength=beats)
            away = np.array(division.sounds) != np.array(division.slots) / LATTICE
            if swing is not None:
                per_beat += np.bincount(events.beat, _SWUNG_NOTE_COST[swing.unit] * away[chosen], minlength=beats)
            clashing = _clashing(events, grid, division, chosen[:, None])[:, 0]
            costs.append(per_beat + clashing + _writing(events, grid, division))
        return float(np.min(costs, axis=0).sum())

    units: tuple[Literal["eighth", "16th"], ...] = ("eighth", "16th") if grid.beat_quarters == 1 else ("16th",)
    best, least = None, cost(None) - _SWING_COST
    for unit in units:
        for parts in _SWINGS:
            if (found := cost(Swing(unit, *parts))) < least:
                best, least = Swing(unit, *parts), found
    return best


def _best_path(
    events: _Events, grid: Grid, divisions: tuple[_Division, ...], spread_s: float, evidence: Floats | None
) -> _Path:
    """The cheapest way to write all beats, each with a division and a lead of its own."""
    beats = len(grid.places)
    beat_s = np.diff(grid.times_s)
    costs = np.zeros((beats, len(divisions), len(_LEADS_S)))
    per_slot = [_slot_costs(events, division, spread_s, evidence) for division in divisions]
    busy, first = np.unique(events.beat, return_index=True)
    rows = np.arange(len(events.beat))
    for column, division in enumerate(divisions):
        chosen = np.zeros((len(rows), len(_LEADS_S)), np.int64)
        least = np.zeros(chosen.shape)
        for state, each_lead_s in enumerate(_LEADS_S):
            each = per_slot[column](np.full(len(rows), each_lead_s))
            chosen[:, state] = np.argmin(each, axis=1)
            least[:, state] = each[rows, chosen[:, state]]
        costs[busy, column] = np.add.reduceat(least, first, axis=0)
        costs[:, column] += _clashing(events, grid, division, chosen) + _writing(events, grid, division)[:, None]
    costs += _LEAD_COST_PER_S * np.abs(_LEADS_S)
    too_far = np.abs(_LEADS_S) > _MAX_LEAD_BEATS * beat_s[:, None]
    costs += np.where(too_far, 1e6, 0.0)[:, None, :]
    division_of, lead_of = _cheapest(costs, np.array([d.triplet for d in divisions]), grid.places == 0)
    which = division_of[events.beat]
    lead_s: Floats = _LEADS_S[lead_of][events.beat]
    each = np.full((len(rows), LATTICE), np.inf)
    written, sounds = np.zeros((len(divisions), LATTICE), np.int64), np.zeros((len(divisions), LATTICE))
    for column, division in enumerate(divisions):
        own = which == column
        width = len(division.slots)
        each[own, :width] = per_slot[column](lead_s)[own]
        written[column, :width], sounds[column, :width] = division.slots, division.sounds
    chosen = _without_clashes(events, grid, each, written[which])
    slot, sound = written[which, chosen], sounds[which, chosen]
    late_s = (events.place - sound) * events.beat_s - lead_s
    loose = np.array([bool(d.loose) for d in divisions])
    return _Path(slot, late_s, lead_s, sound != slot / LATTICE, loose[which])


def _writing(events: _Events, grid: Grid, division: _Division) -> Floats:
    """(beats,): what it costs to write each beat in `division`; nothing where there is nothing to write."""
    part_s = np.diff(grid.times_s) / (len(division.slots) - 1)
    busy = np.bincount(events.beat, minlength=len(part_s)) > 0
    cost: Floats = busy * (division.cost + np.clip((0.07 - part_s) / 0.01, 0, 4))
    return cost


def _slot_costs(
    events: _Events, division: _Division, spread_s: float, evidence: Floats | None
) -> Callable[[Floats], Floats]:
    """For leads (events,), seconds: (events, slots), what it costs to take an event as meant for a slot (nats)."""
    late_s = (events.place[:, None] - np.array(division.sounds)) * events.beat_s[:, None]
    spread = np.full(late_s.shape, spread_s)
    if division.loose:
        spread[:, 1:-1] = np.hypot(spread[:, 1:-1], division.loose * events.beat_s[:, None])
    weights = np.array(division.weights)
    expected = np.log(spread / spread_s) - np.log(weights)
    if evidence is not None:
        known = evidence[:, np.array(division.slots)]
        trust = (evidence[:, -1] / (evidence[:, -1] + 3))[:, None]
        gain = np.log(1 - trust + trust * known / np.maximum(evidence[:, -1:], 1) / weights)
        members = np.bincount(events.event)[:, None]
        mean = np.add.reduceat(gain, events.first_hit, axis=0) / members
        expected -= np.clip(mean, -2.5, 2.5)

    def costs(lead_s: Floats) -> Floats:
        late = np.abs(late_s - lead_s[:, None]) / spread
        near = np.minimum(late, 2.0)
        found: Floats = near * (late - near / 2) + expected  # a square up to two spreads, then a line
        return found

    return costs


def _clashing(events: _Events, grid: Grid, division: _Division, chosen: Ints) -> Floats:
    """(beats, states): what strokes on one piece in one slot cost, for slots `chosen` (events, states)."""
    slot = chosen[events.by_piece]
    earlier, later = events.by_piece[:-1], events.by_piece[1:]
    penalty = np.interp(events.at[later] - events.at[earlier], *_SAME_SLOT) * ~events.begins_piece[1:]
    result = np.zeros((len(grid.places), chosen.shape[1]))
    rows, states = np.nonzero((slot[1:] == slot[:-1]) & (penalty > 0)[:, None])
    np.add.at(result, (events.beat[later[rows]], states), penalty[rows])
    over = np.interp(events.before_beat_gap, *_SAME_SLOT)[:, None] * (
        chosen[events.before_beat] == len(division.slots) - 1
    )
    np.add.at(result, events.beat[events.before_beat], over)
    return result


def _without_clashes(events: _Events, grid: Grid, costs: Floats, written: Ints) -> Ints:
    """The cheapest slot of each event; strokes on one piece keep out of each other's slot, and of one that the beat
    before took, where they can. `written` (events, slots): what each slot is in LATTICE parts."""
    chosen: Ints = np.argmin(costs, axis=1)
    order, at = events.by_piece, events.at
    whole = float(8 * grid.beat_quarters)
    starts = np.flatnonzero(events.begins_piece)
    crowded = np.zeros(len(order), bool)
    crowded[1:] = (np.diff(chosen[order]) <= 0) & ~events.begins_piece[1:]
    rows = zip(
        *(array.tolist() for array in (starts, np.append(starts[1:], len(order)), events.instrument_by_piece[starts])),
        *(array.tolist() for array in (events.beat[order[starts]], np.logical_or.reduceat(crowded, starts))),
        strict=True,
    )
    taken: dict[int, tuple[int, float]] = {}
    """For each piece the beat that a stroke before it has taken, and how many 32nds before that beat it was played."""
    for begin, end, name, beat, clash in rows:
        early = taken.get(name)
        follows = early is not None and early[0] == beat and chosen[order[begin]] == 0
        if clash or follows:
            members = order[begin:end]
            own = costs[members]
            if early is not None and follows:
                own = own.copy()
                own[:, 0] += np.interp(at[members] + early[1], *_SAME_SLOT)
            chosen[members] = _apart(own, np.interp(np.diff(at[members]), *_SAME_SLOT))
        last = order[end - 1]
        if written[last, chosen[last]] == LATTICE:
            taken[name] = beat + 1, whole - float(at[last])
    return chosen


def _apart(costs: Floats, penalty: Floats) -> Ints:
    """The cheapest column for each row, each to the right of the one before, or the same at that row's penalty."""
    rows, width = costs.shape
    best = costs[0]
    stays = np.zeros((rows, width), bool)
    origin = np.zeros((rows, width), np.int64)
    for row in range(1, rows):
        low = np.minimum.accumulate(best)
        origin[row, 1:] = np.maximum.accumulate(np.where(best == low, np.arange(width), 0))[:-1]
        left = np.concatenate([[np.inf], low[:-1]])
        stays[row] = best + penalty[row - 1] < left
        best = costs[row] + np.where(stays[row], best + penalty[row - 1], left)
    chosen = np.zeros(rows, np.int64)
    column = int(np.argmin(best))
    for row in reversed(range(rows)):
        chosen[row] = column
        column = column if stays[row, column] else int(origin[row, column])
    return chosen


def _cheapest(costs: Floats, triplet: NDArray[np.bool_], starts_bar: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Division and lead of each beat on the cheapest way through all of them (Viterbi)."""
    beats, kinds, leads = costs.shape
    change = (triplet[:, None] != triplet) + 0.3 * (1 - np.eye(kinds))
    lead_change = _LEAD_CHANGE_COST_PER_S * np.abs(_LEADS_S[:, None] - _LEADS_S)
    best = costs[0]
    from_lead, from_kind = np.zeros(costs.shape, np.int64), np.zeros(costs.shape, np.int64)
    for beat in range(1, beats):
        ways = best[:, :, None] + lead_change
        from_lead[beat] = ways.argmin(axis=1)
        led = ways.min(axis=1)
        kinds_ways = led[:, None, :] + (change * (0.25 if starts_bar[beat] else 0.55))[:, :, None]
        from_kind[beat] = kinds_ways.argmin(axis=0)
        best = kinds_ways.min(axis=0) + costs[beat]
    kind, lead = np.zeros(beats, np.int64), np.zeros(beats, np.int64)
    kind[-1], lead[-1] = divmod(int(np.argmin(best)), leads)
    for beat in reversed(range(1, beats)):
        kind[beat - 1] = from_kind[beat, kind[beat], lead[beat]]
        lead[beat - 1] = from_lead[beat, kind[beat - 1], lead[beat]]
    return kind, lead


def _evidence(events: _Events, grid: Grid, path: _Path) -> Floats:
    """(hits, LATTICE + 2): how often the same piece is hit in each slot of that beat of the bar, the next beat
    included, in other bars of that length; in the last column how often at all."""
    beat, piece = events.beat[events.event], events.instrument
    slot = path.slot[events.event]
    _, kind = np.unique(grid.bar_lengths * 64 + grid.places, return_inverse=True)
    kind = np.append(kind, kind[:1])
    counts = np.zeros((kind.max() + 1, len(DRUM_CLASSES), LATTICE))
    np.add.at(counts, (kind[beat + slot // LATTICE], piece, slot % LATTICE), 1)
    own = np.column_stack([counts[kind[beat], piece], counts[kind[beat + 1], piece, 0]])
    own[np.arange(len(slot)), slot] -= 1
    return np.column_stack([own, own.sum(axis=1)])


def _swing_or_triplets(path: _Path, events: _Events, swing: Swing) -> tuple[_Path, Swing | None]:
    """Where most beats are full triplets the swung pairs are written as triplets too, and no swing is printed."""
    in_pairs = path.paired & (path.slot == LATTICE // 2)
    full = ~path.paired & (path.slot == LATTICE // 3)
    if len(set(events.beat[full].tolist())) <= len(set(events.beat[in_pairs].tolist())):
        return path, swing
    return replace(path, slot=np.where(in_pairs, LATTICE * 2 // 3, path.slot)), None
