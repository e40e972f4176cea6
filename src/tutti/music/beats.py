"""Beats as a listener gives them: the grid, what one beat is worth on paper, and how far to trust it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from tutti.errors import OptionError
from tutti.music.timing import BeatGrid

__all__ = ["Beats", "beats_of_metre"]

_COMPOUND = Fraction(3, 2)
_EIGHTH = Fraction(1, 2)
_MAX_BEATS = 1_000_000


def beats_of_metre(numerator: int, denominator: int) -> tuple[int, Fraction]:
    """How many beats a bar of this metre has, and what one is worth in quarter notes.

    6/8, 9/8 and 12/8 are counted in dotted quarters, other n/8 in eighths. Raises OptionError for metres that no drum
    chart is in.
    """
    if denominator not in (4, 8) or not 1 <= numerator <= 32:
        raise OptionError(f"{numerator}/{denominator} is no metre for a drum chart. Use n/4 or n/8, n from 1 to 32.")
    if denominator == 8 and numerator in (6, 9, 12):
        return numerator // 3, _COMPOUND
    return numerator, Fraction(4, denominator)


@dataclass(frozen=True, slots=True)
class Beats:
    """Where the beats of a recording are.

    A beat is worth `beat_quarters` quarter notes: 1 in n/4, 3/2 in 6/8, 9/8 and 12/8, 1/2 in 5/8 and 7/8, whose beats
    are counted in eighths. A bar of n beats is thus n/4, 3n/8 or n/8.

    Every method gives new beats; the confidence of the listener stays with them.
    """

    grid: BeatGrid
    confidence: float
    """0-1, calibrated: the share of such answers that are right."""
    bpm_unreliable: bool
    """True when the tempo should be checked by ear."""
    method: str
    """What found them, such as "tutti-beats", "madmom", "librosa", "user"."""
    beat_quarters: Fraction = Fraction(1)
    literal_strength: float | None = None
    """The tracker's own tempo strength, where it has one (madmom's comb); below 0.5 counts as unreliable there."""

    @classmethod
    def at_bpm(
        cls,
        bpm: float,
        first_downbeat_s: float,
        duration_s: float,
        beats_per_bar: int = 4,
        beat_quarters: Fraction = Fraction(1),
    ) -> Beats:
        """A steady `bpm` (beats a minute) over `duration_s`, as a user gives it: from the first beat at or after 0 s
        to the first at or after the end."""
        if not (math.isfinite(bpm) and bpm > 0):
            raise OptionError(f"A tempo is a number of beats a minute above 0; got {bpm}.")
        if not (math.isfinite(first_downbeat_s) and math.isfinite(duration_s) and duration_s >= 0):
            raise OptionError(f"Beats need a finite downbeat and length; got {first_downbeat_s} s and {duration_s} s.")
        if beats_per_bar < 1:
            raise OptionError(f"A bar has at least one beat; got {beats_per_bar}.")
        beat_s = 60 / bpm
        if duration_s / beat_s > _MAX_BEATS:
            raise OptionError(f"{bpm} bpm over {duration_s:.0f} s is more than {_MAX_BEATS} beats. Check the bpm.")
        first = math.ceil(-first_downbeat_s / beat_s - 1e-9)
        last = max(first + 1, math.ceil((duration_s - first_downbeat_s) / beat_s - 1e-9))
        rows = range(first, last + 1)
        times_s = tuple(max(0.0, first_downbeat_s + row * beat_s) for row in rows)
        grid = BeatGrid(times_s, tuple(row % beats_per_bar + 1 for row in rows))
        return cls(grid, 1.0, False, "user", beat_quarters)

    @property
    def bpm(self) -> float:
        """Beats a minute, of the middle interval. Raises OptionError for fewer than two beats."""
        return self.grid.bpm

    @property
    def alternatives_bpm(self) -> tuple[float, ...]:
        """What else the tempo may be called, half and double, as far as a drummer would count it (30-300)."""
        return tuple(bpm for bpm in (self.bpm / 2, self.bpm * 2) if 30 <= bpm <= 300)

    @property
    def beats_per_bar(self) -> int:
        """Of most bars; where no bar is whole, the highest place counted."""
        lengths = Counter(after - before for before, after in pairwise(self._downbeats()))
        return lengths.most_common(1)[0][0] if lengths else max(self.grid.positions, default=4)

    def halved(self) -> Beats:
        """Every second beat, first downbeat kept, as many beats to a bar as before: bars are twice as long."""
        return self._merged(2)

    def doubled(self) -> Beats:
        """A beat more between every two, as many beats to a bar as before: bars are half as long."""
        return self._split(2)

    def shifted(self, beats: int) -> Beats:
        """With every downbeat `beats` later (earlier when negative)."""
        length = self.beats_per_bar
        earlier = [(self.grid.positions[0] - back - 1) % length + 1 for back in range(1, length)] if self.grid else []
        move = beats % length
        positions = (*reversed(earlier[:move]), *self.grid.positions)[: len(self.grid)]
        return replace(self, grid=BeatGrid(self.grid.times_s, positions))

    def with_downbeat_near(self, time_s: float) -> Beats:
        """The same beats, the one nearest to `time_s` beginning a bar."""
        times_s, positions = self.grid.times_s, self.grid.positions
        if not times_s:
            return self
        nearest = min(range(len(times_s)), key=lambda row: abs(times_s[row] - time_s))
        return self.shifted(positions[nearest] - 1)

    def with_metre(self, numerator: int, denominator: int) -> Beats:
        """In this metre throughout, first downbeat kept.

        A beat of n/4 and one of 6/8, 9/8 or 12/8 is the same beat read otherwise. Other n/8 are counted in eighths,
        so that beats are divided (a quarter in two, a dotted quarter in three), and put together again on the way
        back. Raises OptionError for other metres.
        """
        per_bar, worth = beats_of_metre(numerator, denominator)
        found = self
        if worth == _EIGHTH != self.beat_quarters:
            found = self._split(int(self.beat_quarters / worth))
        elif worth != _EIGHTH == self.beat_quarters:
            found = self._merged(int(worth / self.beat_quarters))
        downbeats = found._downbeats()
        return replace(found._numbered(downbeats[0] if downbeats else 0, per_bar), beat_quarters=worth)

    def _downbeats(self) -> list[int]:
        return [row for row, position in enumerate(self.grid.positions) if position == 1]

    def _numbered(self, downbeat: int, length: int) -> Beats:
        """All bars of `length`, one of them from `downbeat` on."""
        positions = tuple((row - downbeat) % length + 1 for row in range(len(self.grid)))
        return replace(self, grid=BeatGrid(self.grid.times_s, positions))

    def _merged(self, parts: int) -> Beats:
        downbeats, length = self._downbeats(), self.beats_per_bar
        start = downbeats[0] if downbeats else 0
        kept = range(start % parts, len(self.grid), parts)
        first = (start - start % parts) // parts
        positions = tuple((row - first) % length + 1 for row in range(len(kept)))
        return replace(self, grid=BeatGrid(tuple(self.grid.times_s[row] for row in kept), positions))

    def _split(self, parts: int) -> Beats:
        """Each beat in `parts`, the last as long as the one before; a bar becomes as many bars."""
        times_s = self.grid.times_s
        if len(times_s) < 2:
            return self
        ends_s = (*times_s[1:], 2 * times_s[-1] - times_s[-2])
        finer = [a + (b - a) * part / parts for a, b in zip(times_s, ends_s, strict=True) for part in range(parts)]
        lengths = self._bar_lengths()
        positions = [
            ((position - 1) * parts + part) % length + 1
            for position, length in zip(self.grid.positions, lengths, strict=True)
            for part in range(parts)
        ]
        return replace(self, grid=BeatGrid(tuple(finer), tuple(positions)))

    def _bar_lengths(self) -> Sequence[int]:
        """For each beat the length of its bar (beats); a last bar is taken to be as long as most are."""
        positions = self.grid.positions
        lengths: list[int] = []
        length = self.beats_per_bar
        for row in reversed(range(len(positions))):
            if row + 1 < len(positions) and positions[row + 1] == 1:
                length = positions[row]
            lengths.append(max(length, positions[row]))
        return lengths[::-1]
