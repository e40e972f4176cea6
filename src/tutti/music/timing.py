"""Musical time: beats and bars against seconds."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from tutti.errors import OptionError

__all__ = ["BeatGrid", "Tempo", "TempoMap", "TimeSignature"]


@dataclass(frozen=True, slots=True)
class TimeSignature:
    """`numerator` beats of a `denominator`-th note each, from `beat` on (counted in quarter notes from the start)."""

    numerator: int = 4
    denominator: int = 4
    beat: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.numerator <= 64 or self.denominator not in (1, 2, 4, 8, 16, 32, 64) or not self.beat >= 0:
            raise OptionError(f"{self.numerator}/{self.denominator} from beat {self.beat} is not a time signature.")


@dataclass(frozen=True, slots=True)
class Tempo:
    """`bpm` quarter notes a minute from `beat` on (quarter notes from the start)."""

    beat: float
    bpm: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.bpm) and self.bpm > 0 and math.isfinite(self.beat) and self.beat >= 0):
            raise OptionError(f"A tempo needs beat >= 0 and bpm > 0, both finite; got {self.beat} and {self.bpm}.")


@dataclass(frozen=True)
class TempoMap:
    """A tempo that changes in steps; the first one holds from beat 0."""

    tempi: tuple[Tempo, ...] = (Tempo(0.0, 120.0),)

    def __post_init__(self) -> None:
        beats = [tempo.beat for tempo in self.tempi]
        if not beats or beats[0] != 0 or any(b <= a for a, b in pairwise(beats)):
            raise OptionError("A tempo map begins at beat 0 and its beats rise; got beats " + str(beats[:10]) + ".")

    @cached_property
    def _starts_s(self) -> tuple[float, ...]:
        """When each tempo begins, in seconds."""
        starts = [0.0]
        for tempo, following in pairwise(self.tempi):
            starts.append(starts[-1] + (following.beat - tempo.beat) * 60.0 / tempo.bpm)
        return tuple(starts)

    @cached_property
    def _beats(self) -> tuple[float, ...]:
        return tuple(tempo.beat for tempo in self.tempi)

    def to_seconds(self, beat: float) -> float:
        """Seconds at `beat` (quarter notes, 0 or more)."""
        row = max(0, bisect_right(self._beats, beat) - 1)
        return self._starts_s[row] + (beat - self.tempi[row].beat) * 60.0 / self.tempi[row].bpm

    def to_beat(self, time_s: float) -> float:
        """The beat at `time_s`, the inverse of `to_seconds`."""
        row = max(0, bisect_right(self._starts_s, time_s) - 1)
        return self.tempi[row].beat + (time_s - self._starts_s[row]) * self.tempi[row].bpm / 60.0


@dataclass(frozen=True, slots=True)
class BeatGrid:
    """Beats as heard: times in seconds, rising, and each beat's place in its bar, counted from 1."""

    times_s: tuple[float, ...]
    positions: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.times_s) != len(self.positions):
            raise OptionError(f"A beat grid has {len(self.times_s)} times but {len(self.positions)} positions.")
        if any(not math.isfinite(t) or t < 0 for t in self.times_s) or any(b <= a for a, b in pairwise(self.times_s)):
            raise OptionError("A beat grid's times are finite, not negative, and rise.")
        if any(position < 1 for position in self.positions):
            raise OptionError("Positions in a bar count from 1.")

    @property
    def downbeats_s(self) -> tuple[float, ...]:
        return tuple(t for t, position in zip(self.times_s, self.positions, strict=True) if position == 1)
