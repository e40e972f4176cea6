"""Musical time: beats and bars against seconds.

A beat of a tempo map is a quarter note, as in MIDI: `bpm` counts quarter notes a minute whatever the time signature.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from tutti.errors import OptionError

__all__ = ["BeatGrid", "Tempo", "TempoMap", "TimeSignature"]

_AT_ONCE_S = 1e-3


@dataclass(frozen=True, slots=True)
class TimeSignature:
    """`numerator` beats of a `denominator`-th note each, from `beat` on (counted in quarter notes from the start)."""

    numerator: int = 4
    denominator: int = 4
    beat: float = 0.0

    def __post_init__(self) -> None:
        sound = 1 <= self.numerator <= 64 and self.denominator in (1, 2, 4, 8, 16, 32, 64)
        if not (sound and math.isfinite(self.beat) and self.beat >= 0):
            raise OptionError(f"{self.numerator}/{self.denominator} from beat {self.beat} is not a time signature.")

    @property
    def quarters_per_bar(self) -> float:
        return 4 * self.numerator / self.denominator


@dataclass(frozen=True, slots=True)
class Tempo:
    """`bpm` quarter notes a minute from `beat` on (quarter notes from the start)."""

    beat: float
    bpm: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.bpm) and self.bpm > 0 and math.isfinite(self.beat) and self.beat >= 0):
            raise OptionError(f"A tempo needs beat >= 0 and bpm > 0, both finite; got {self.beat} and {self.bpm}.")


@dataclass(frozen=True, slots=True)
class TempoMap:
    """A tempo that changes in steps; the first one holds from beat 0, which is at 0 s, and before it.

    `to_seconds` and `to_beat` are inverse to each other: exactly where a tempo begins, to rounding in between.
    """

    tempi: tuple[Tempo, ...] = (Tempo(0.0, 120.0),)
    starts_s: tuple[float, ...] = field(init=False, repr=False, compare=False)
    """When each of `tempi` begins (seconds)."""
    _beats: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        beats = tuple(tempo.beat for tempo in self.tempi)
        if not beats or beats[0] != 0 or any(b <= a for a, b in pairwise(beats)):
            raise OptionError(f"A tempo map begins at beat 0 and its beats rise; got beats {list(beats[:10])}.")
        starts_s = [0.0]
        for tempo, following in pairwise(self.tempi):
            starts_s.append(starts_s[-1] + (following.beat - tempo.beat) * 60 / tempo.bpm)
        object.__setattr__(self, "starts_s", tuple(starts_s))
        object.__setattr__(self, "_beats", beats)

    @classmethod
    def constant(cls, bpm: float) -> TempoMap:
        return cls((Tempo(0.0, bpm),))

    def to_seconds(self, beat: float) -> float:
        """Seconds at `beat` (quarter notes)."""
        row = max(0, bisect_right(self._beats, beat) - 1)
        return self.starts_s[row] + (beat - self._beats[row]) * 60 / self.tempi[row].bpm

    def to_beat(self, time_s: float) -> float:
        """The beat at `time_s`, the inverse of `to_seconds`."""
        row = self._row(time_s)
        return self._beats[row] + (time_s - self.starts_s[row]) * self.tempi[row].bpm / 60

    def bpm_at(self, time_s: float) -> float:
        """The tempo at `time_s`; where one begins, that one."""
        return self.tempi[self._row(time_s)].bpm

    def _row(self, time_s: float) -> int:
        return max(0, bisect_right(self.starts_s, time_s) - 1)


@dataclass(frozen=True, slots=True)
class BeatGrid:
    """Beats as heard: times in seconds, rising, and each beat's place in its bar, counted from 1.

    After a place comes the next one, or 1: bars may differ in length, and the first may be a pickup.
    """

    times_s: tuple[float, ...] = ()
    positions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.times_s) != len(self.positions):
            raise OptionError(f"A beat grid has {len(self.times_s)} times but {len(self.positions)} positions.")
        if any(not math.isfinite(t) or t < 0 for t in self.times_s) or any(b <= a for a, b in pairwise(self.times_s)):
            raise OptionError("A beat grid's times are finite, not negative, and rise.")
        if any(position < 1 for position in self.positions):
            raise OptionError("Positions in a bar count from 1.")
        for before, after in pairwise(self.positions):
            if after not in (1, before + 1):
                raise OptionError(f"After position {before} in a bar comes {before + 1}, or 1; got {after}.")

    def __len__(self) -> int:
        return len(self.times_s)

    def __iter__(self) -> Iterator[tuple[float, int]]:
        """Pairs of time (seconds) and position in the bar."""
        return iter(zip(self.times_s, self.positions, strict=True))

    @property
    def downbeats_s(self) -> tuple[float, ...]:
        return tuple(time_s for time_s, position in self if position == 1)

    @property
    def bpm(self) -> float:
        """The tempo of the middle interval between beats. Raises OptionError for fewer than two beats."""
        return 60 / median(self._intervals_s())

    def tempo_map(self) -> TempoMap:
        """A tempo for every beat, each beat a quarter note and on a whole beat of the map.

        What comes before the first beat becomes whole beats too, as near as possible to the tempo of the first
        interval; a first beat within a millisecond counts as at 0 s. The last interval's tempo goes on. Raises
        OptionError for fewer than two beats.
        """
        lead_in = self._lead_in_beats()
        tempi = [Tempo(0.0, 60 * lead_in / self.times_s[0])] if lead_in else []
        times_s = self.times_s if lead_in else (0.0, *self.times_s[1:])
        tempi += [Tempo(float(lead_in + row), 60 / (b - a)) for row, (a, b) in enumerate(pairwise(times_s))]
        return TempoMap(tuple(tempi))

    def time_signatures(self) -> tuple[TimeSignature, ...]:
        """n/4 for every bar of n beats, where it changes, at the beats of `tempo_map`.

        Beats before the first downbeat that fill no whole bar come first, as a shorter bar. The length of a last,
        perhaps unfinished bar is taken from the bar before it. Raises OptionError for fewer than two beats.
        """
        starts = [i for i, position in enumerate(self.positions) if position == 1]
        lead_in = self._lead_in_beats()
        lengths = [after - before for before, after in pairwise(starts)] or [max(self.positions)]
        before_first = lead_in + (starts[0] if starts else lengths[0] - self.positions[0] + 1)
        pickup = before_first % lengths[0]
        signatures = [TimeSignature(pickup, 4)] if pickup else []
        signatures.append(TimeSignature(lengths[0], 4, float(pickup)))
        for start, length in zip(starts, lengths, strict=False):  # the last bar has no length
            if length != signatures[-1].numerator:
                signatures.append(TimeSignature(length, 4, float(before_first + start - starts[0])))
        return tuple(signatures)

    def _intervals_s(self) -> list[float]:
        if len(self.times_s) < 2:
            raise OptionError(f"A tempo needs at least two beats; this grid has {len(self.times_s)}.")
        return [after - before for before, after in pairwise(self.times_s)]

    def _lead_in_beats(self) -> int:
        """Whole beats between 0 s and the first beat."""
        first_interval_s = self._intervals_s()[0]
        return max(1, round(self.times_s[0] / first_interval_s)) if self.times_s[0] > _AT_ONCE_S else 0
