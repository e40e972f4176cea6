"""From hits in seconds to bars on paper: drum hits and beats in, a sheet out. numpy only.

Everything is placed against the beats as heard, each of its own length, never against a constant tempo. `feel` decides
on which part of which beat a hit was meant, `touch` what is a flam, a roll, a ghost note or an accent, `repeats` which
bars are the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from statistics import median

import numpy as np

from tutti.capabilities.drums.feel import LATTICE, Grid, read_rhythm
from tutti.capabilities.drums.repeats import RepeatStyle, mark_fills, mark_repeats
from tutti.capabilities.drums.touch import Roll, accents, bounces, flams, ghosts, rolls
from tutti.errors import OptionError
from tutti.music.beats import Beats
from tutti.music.drum_hits import DrumHits, hit_id
from tutti.music.drum_kit import DRUM_CLASSES
from tutti.music.sections import Sections
from tutti.notation.sheet import Bar, Sheet, Stroke, Swing

__all__ = ["FEET", "ScorePosition", "quantise", "score_positions"]

FEET = frozenset({"kick", "hihat_pedal"})
"""What the feet play: the lower voice."""

_ROW = {name: row for row, name in enumerate(DRUM_CLASSES)}
_PARTS = (1, 2, 3, 4, 6, 8, 12)
_PARTS_COMPOUND = (1, 3, 2, 6, 4, 12)
_COMPOUND_METRES = ((6, 8), (9, 8), (12, 8))
_NEW_TEMPO = 0.08
_STEADY_BARS = 4
_GRACE_QUARTERS = Fraction(1, 16)


def quantise(
    hits: DrumHits,
    beats: Beats,
    *,
    title: str = "",
    sections: Sections | None = None,
    repeats: RepeatStyle = "bars",
    doubtful_below: float = 0.5,
) -> Sheet:
    """The chart of `hits` against `beats`; every hit is on it exactly once, as a head or among a head's `also`.

    The grid goes on before the first and after the last beat as far as there are hits. Bars after the last hit are
    left out. `sections` become rehearsal marks. Hits with a confidence below `doubtful_below` are marked. `repeats`:
    see `repeats.mark_repeats`. The same input gives the same sheet. Raises OptionError for hits without beats.
    """
    if not len(hits):
        return Sheet(title)
    if len(beats.grid) < 2:
        raise OptionError(
            f"A chart needs at least two beats to place {len(hits)} hits; there are {len(beats.grid)}. Give the bpm."
        )
    paper = _paper(hits, beats)
    strokes, swing = _strokes(hits, paper.grid, doubtful_below)
    sheet = paper.sheet(strokes, title, swing)
    sheet = _with_rehearsal_marks(sheet, sections)
    return mark_repeats(mark_fills(sheet), repeats)


@dataclass(frozen=True, slots=True)
class ScorePosition:
    """Where a hit is on the sheet, swing and rolls played out."""

    id: str
    instrument: str
    quarters: Fraction
    """From the beginning of the first bar (a pickup counts as a whole bar)."""
    time_s: float
    """The same in the recording, each bar at its own steady tempo."""


def score_positions(sheet: Sheet) -> tuple[ScorePosition, ...]:
    """Every hit of the sheet at the place its notation means, in order: what a player who reads perfectly would play.

    Takes a sheet written out in full; raises OptionError for one with repeat signs.
    """
    if any(bar.opens_repeat or bar.closes_repeat or bar.ending for bar in sheet.bars):
        raise OptionError("Positions are those of a sheet without repeat signs. Take them before `mark_repeats`.")
    found = []
    begin = Fraction(0)
    for row, bar in enumerate(sheet.bars):
        end_s = sheet.bars[row + 1].start_s if row + 1 < len(sheet.bars) else bar.start_s + _bar_s(sheet, row)
        for stroke, position in _played_out(bar, sheet.swing):
            time_s = bar.start_s + float(position / bar.quarters) * (end_s - bar.start_s)
            found.append(ScorePosition(*stroke, max(Fraction(0), begin + position), max(0.0, time_s)))
        begin += bar.quarters
    return tuple(sorted(found, key=lambda one: (one.quarters, _ROW[one.instrument])))


def _bar_s(sheet: Sheet, row: int) -> float:
    """How long the last bar lasts (seconds): as long for its size as the one before it, or by the tempo."""
    bar = sheet.bars[row]
    if row:
        before = sheet.bars[row - 1]
        return (bar.start_s - before.start_s) * float(bar.quarters / before.quarters)
    return float(bar.quarters / bar.beat_quarters) * 60 / (bar.bpm or 120.0)


def _played_out(bar: Bar, swing: Swing | None) -> list[tuple[tuple[str, str], Fraction]]:
    """(id, instrument) of every hit of the bar, and where it is played (quarters from the bar line)."""
    found = []
    for stroke in bar.strokes:
        position = swung(stroke.position, bar, swing)
        if stroke.grace:
            position -= _GRACE_QUARTERS
        step = Fraction(0)
        if stroke.tremolo:
            same_voice = {s.position for s in bar.strokes if (s.instrument in FEET) == (stroke.instrument in FEET)}
            after = min((p for p in same_voice if p > stroke.position), default=bar.quarters)
            step = (swung(after, bar, swing) - position) / (1 + len(stroke.also))
        for count, name in enumerate((stroke.id, *stroke.also)):
            found.append(((name, stroke.instrument), position + count * step))
    return found


def swung(position: Fraction, bar: Bar, swing: Swing | None) -> Fraction:
    """Where a note written at `position` (quarters) of `bar` is played.

    Swung eighths are those of beats written in no more than two parts; 16ths beside them are even. Swung 16ths are all
    that lie in straight beats. Triplets and duplets are what they are.
    """
    if swing is None or position >= bar.quarters:
        return position
    parts = bar.divisions[int(position / bar.beat_quarters)]
    if bar.beat_quarters == 1:
        swings = parts in ((1, 2) if swing.unit == "eighth" else (1, 2, 4, 8))
    else:
        swings = bar.beat_quarters == Fraction(3, 2) and swing.unit == "16th" and parts in (1, 3, 6, 12)
    if not swings:
        return position
    unit = Fraction(1) if swing.unit == "eighth" else Fraction(1, 2)
    begin = position // unit * unit
    into = (position - begin) / unit
    long = Fraction(swing.first, swing.first + swing.second)
    into = into * 2 * long if into < Fraction(1, 2) else long + (into * 2 - 1) * (1 - long)
    return begin + into * unit


@dataclass(frozen=True, slots=True)
class _Paper:
    """The grid made longer so that it covers all hits and whole bars."""

    grid: Grid
    first_heard: int
    """The row of the first beat that was heard."""

    def sheet(self, strokes: Sequence[tuple[int, Stroke]], title: str, swing: Swing | None) -> Sheet:
        """Bars of `strokes`, each with its slot in the grid."""
        starts = np.flatnonzero(self.grid.places == 0)
        worth = self.grid.beat_quarters
        by_bar: dict[int, list[Stroke]] = defaultdict(list)
        rows_of = np.searchsorted(starts, [slot // LATTICE for slot, _ in strokes], "right") - 1
        positions = [Fraction(part, LATTICE) * worth for part in range(LATTICE * int(self.grid.bar_lengths.max()))]
        for row, (slot, stroke) in zip(map(int, rows_of), strokes, strict=True):
            by_bar[row].append(replace(stroke, position=positions[slot - int(starts[row]) * LATTICE]))
        heard_from = int(np.searchsorted(starts, self.first_heard))  # a part of a bar is printed only with strokes
        rows = range(min(heard_from, min(by_bar)), max(by_bar) + 1)
        bars = []
        for row in rows:
            beats = int(self.grid.bar_lengths[starts[row]])
            numerator, denominator = _metre(beats, worth)
            struck = by_bar[row]
            if worth == Fraction(1, 2) and (numerator, denominator) in _COMPOUND_METRES:
                struck = _on_32nds(struck)  # printed in dotted quarters, finer than their twelfths there are none
            placed = tuple(sorted(struck, key=lambda s: (s.position, not s.grace, _ROW[s.instrument])))
            bar = Bar(numerator, denominator, placed, start_s=float(self.grid.times_s[starts[row]]))
            bars.append(replace(bar, divisions=_divisions_of(bar)))
        begin = int(starts[rows[0]])
        opening = bars[0].strokes[0].position if bars[0].strokes else None
        has_pickup = begin < self.first_heard and opening is not None and opening >= bars[0].beat_quarters
        bars = _with_tempi(bars, [int(self.grid.bar_lengths[starts[row]]) for row in rows], self._bar_ends_s(rows))
        return Sheet(title, tuple(bars), swing, has_pickup)

    def _bar_ends_s(self, rows: range) -> list[float]:
        starts = [*np.flatnonzero(self.grid.places == 0), len(self.grid.places)]
        return [float(self.grid.times_s[starts[row + 1]]) for row in rows]


def _metre(beats: int, worth: Fraction) -> tuple[int, int]:
    return (beats, 4) if worth == 1 else (3 * beats, 8) if worth == Fraction(3, 2) else (beats, 8)


def _paper(hits: DrumHits, beats: Beats) -> _Paper:
    """The grid of `beats`, begun early enough for the first hit and ended late enough for the last, in whole bars."""
    times_s, positions = list(beats.grid.times_s), list(beats.grid.positions)
    starts = [row for row, position in enumerate(positions) if position == 1]
    usual = beats.beats_per_bar
    if len(starts) < 2:  # no bar is whole
        usual = max(usual, 2 if beats.beat_quarters == Fraction(3, 2) else 4)
    whole = [end - start for start, end in pairwise(starts)]
    opening = positions[starts[0] - 1] if starts and starts[0] else whole[0] if whole else usual
    closing = max(usual, positions[-1])
    lengths = [opening] * (starts[0] if starts else 0)
    for length in whole:
        lengths += [length] * length
    lengths += [closing] * (len(positions) - len(lengths))

    first_s, last_s = times_s[1] - times_s[0], times_s[-1] - times_s[-2]
    before = max(0, int(np.ceil((times_s[0] - hits[0].time_s) / first_s)) + 1)
    before += (positions[0] - 1 - before) % opening
    early = [(positions[0] - 1 - row) % opening for row in range(before, 0, -1)]
    left = closing - positions[-1]
    after = max(0, int(np.ceil((hits[-1].time_s - times_s[-1]) / last_s)) + 1)
    after = left if after <= left else left + -(-(after - left) // usual) * usual
    late = [positions[-1] + row if row < left else (row - left) % usual for row in range(after)]
    grid = Grid(
        np.array(
            [times_s[0] - first_s * row for row in range(before, 0, -1)]
            + times_s
            + [times_s[-1] + last_s * (row + 1) for row in range(after + 1)]
        ),
        np.array([*early, *(position - 1 for position in positions), *late]),
        np.array([*[opening] * before, *lengths, *[closing if row < left else usual for row in range(after)]]),
        beats.beat_quarters,
    )
    return _Paper(grid, before)


def _strokes(hits: DrumHits, grid: Grid, doubtful_below: float) -> tuple[list[tuple[int, Stroke]], Swing | None]:
    """Every hit as a stroke with its slot, or among the `also` of one."""
    bounced = bounces(hits)
    grace = flams(hits, grid, bounced)
    heads = [row for row in range(len(hits)) if row not in grace and row not in bounced]
    reading = read_rhythm(
        np.array([hits[row].time_s for row in heads]), np.array([_ROW[hits[row].instrument] for row in heads]), grid
    )
    slots = dict(zip(heads, map(int, reading.slots), strict=True))
    rolled: dict[int, Roll] = {roll.head: roll for roll in rolls(hits, slots, grid)}
    inside = {row for roll in rolled.values() for row in roll.inside}
    soft, loud = ghosts(hits), accents(hits)
    also: dict[int, list[int]] = {head: list(roll.inside) for head, roll in rolled.items()}
    for row, first in bounced.items():
        also.setdefault(first, []).append(row)
    main: dict[tuple[int, str], int] = {}
    for row in heads:
        if row in inside:
            continue
        place = slots[row], hits[row].instrument
        if place in main:
            also.setdefault(main[place], []).append(row)
        else:
            main[place] = row

    def stroke(row: int, is_grace: bool = False) -> Stroke:
        return Stroke(
            hit_id(row),
            Fraction(0),
            hits[row].instrument,
            ghost=row in soft and not is_grace,
            accent=row in loud and not is_grace,
            grace=is_grace,
            tremolo=3 if row in rolled else 0,
            doubtful=hits[row].confidence < doubtful_below,
            also=tuple(hit_id(other) for other in also.get(row, ())),
        )

    placed = [(slot, stroke(row)) for (slot, _), row in main.items()]
    heads_of = {row: head for head, rows in also.items() for row in rows}
    for row, struck in grace.items():
        placed.append((slots[heads_of.get(struck, struck)], stroke(row, is_grace=True)))
    return placed, reading.swing


def _on_32nds(strokes: Sequence[Stroke]) -> list[Stroke]:
    """Each at the 32nd at or before it; strokes of one piece that meet become one head."""
    moved: dict[tuple[Fraction, str, bool], Stroke] = {}
    for stroke in sorted(strokes, key=lambda s: s.position):
        place = Fraction(int(stroke.position * 8), 8)
        key = (place, stroke.instrument, stroke.grace)
        if key in moved:
            first = moved[key]
            moved[key] = replace(first, also=(*first.also, stroke.id, *stroke.also))
        else:
            moved[key] = replace(stroke, position=place)
    return list(moved.values())


def _divisions_of(bar: Bar) -> tuple[int, ...]:
    """The fewest parts of each beat on which all its strokes lie."""
    worth = bar.beat_quarters
    choices = _PARTS_COMPOUND if worth == Fraction(3, 2) else _PARTS
    beats = int(bar.quarters / worth)
    parts: list[set[int]] = [set() for _ in range(beats)]
    for position in {stroke.position for stroke in bar.strokes}:
        place = position / worth
        parts[int(place)].add(place.denominator)
    return tuple(next(n for n in choices if all(n % part == 0 for part in struck)) for struck in parts)


def _with_tempi(bars: list[Bar], beats: list[int], ends_s: list[float]) -> list[Bar]:
    """The tempo at the first bar, and where a new one has come to stay."""
    found = [60 * count / (end_s - bar.start_s) for bar, count, end_s in zip(bars, beats, ends_s, strict=True)]
    result = []
    shown = 0.0
    for row, bar in enumerate(bars):
        ahead = found[row : row + _STEADY_BARS]
        tempo = median(ahead)
        steady = len(ahead) == _STEADY_BARS and max(ahead) - min(ahead) < _NEW_TEMPO / 2 * tempo
        changed = shown and steady and abs(tempo / shown - 1) > _NEW_TEMPO
        worth_differs = row > 0 and bar.beat_quarters != bars[row - 1].beat_quarters
        if not shown:
            tempo = median(found[: _first_change(found)])
        if not shown or changed or worth_differs:
            shown = tempo
            bar = replace(bar, bpm=round(tempo, 2))
        result.append(bar)
    return result


def _first_change(bpm: Sequence[float]) -> int:
    """How many bars keep about the tempo of the first ones."""
    start = median(bpm[:_STEADY_BARS])
    return next((row for row, one in enumerate(bpm) if abs(one / start - 1) > _NEW_TEMPO and row), len(bpm))


def _with_rehearsal_marks(sheet: Sheet, sections: Sections | None) -> Sheet:
    """Each section's label at the bar line nearest to its start; of two at one bar the later counts."""
    if not sections or not sheet.bars:
        return sheet
    starts_s = np.array([bar.start_s for bar in sheet.bars])
    end_s = starts_s[-1] + _bar_s(sheet, len(sheet.bars) - 1)
    bars = list(sheet.bars)
    for section in sections:
        row = int(np.argmin(np.abs(starts_s - section.start_s)))
        if section.start_s < end_s - (end_s - starts_s[-1]) / 2:
            bars[row] = replace(bars[row], rehearsal=section.label)
    return replace(sheet, bars=tuple(bars))
