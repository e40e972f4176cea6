"""A drum pattern against the beats of its bars: what every part of `groove` takes and gives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from os import PathLike

from tutti.errors import OptionError
from tutti.music.files import write_atomic
from tutti.music.timing import TimeSignature

__all__ = ["Hit", "Pattern"]

MIN_BPM, MAX_BPM = 20.0, 400.0
MAX_BARS = 10_000
"""Of a pattern that comes from outside."""


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """One stroke."""

    beat: float
    """Quarter notes from the first downbeat; a little below 0 for a stroke just ahead of it."""
    key: int
    """General MIDI percussion key."""
    velocity: int
    """1-127."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.beat):
            raise OptionError(f"A hit needs a finite beat; got {self.beat}.")
        if not 0 <= self.key <= 127:
            raise OptionError(f"A hit's key is 0-127; got {self.key}.")
        if not 1 <= self.velocity <= 127:
            raise OptionError(f"A hit's velocity is 1-127; got {self.velocity}.")


@dataclass(frozen=True, slots=True)
class Pattern:
    """Hits in order of time and key, at one tempo and in one metre."""

    hits: tuple[Hit, ...]
    bpm: float
    """Quarter notes a minute."""
    bars: int
    metre: TimeSignature = field(default_factory=lambda: TimeSignature(4, 4))

    def __post_init__(self) -> None:
        if not (math.isfinite(self.bpm) and MIN_BPM <= self.bpm <= MAX_BPM):
            raise OptionError(f"A pattern's tempo is {MIN_BPM:g}-{MAX_BPM:g} bpm; got {self.bpm}.")
        if self.bars < 1:
            raise OptionError(f"A pattern has at least one bar; got {self.bars}.")
        object.__setattr__(self, "hits", tuple(sorted(self.hits)))

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    @property
    def bar_beats(self) -> float:
        """Quarter notes in a bar."""
        return self.metre.quarters_per_bar

    @property
    def beats(self) -> float:
        """Quarter notes in all bars."""
        return self.bars * self.bar_beats

    @property
    def beat_ms(self) -> float:
        """Milliseconds of a quarter note."""
        return 60_000 / self.bpm

    @property
    def duration_s(self) -> float:
        return self.beats * self.beat_ms / 1000

    def with_hits(self, hits: Iterable[Hit]) -> Pattern:
        return replace(self, hits=tuple(hits))

    def cut(self, first_bar: int, bars: int, *, early_beats: float = 0.125) -> Pattern:
        """`bars` bars from `first_bar` on, moved to the start; strokes up to `early_beats` ahead of a bar line go with
        the bar after it."""
        begin = first_bar * self.bar_beats
        end = begin + bars * self.bar_beats - early_beats
        kept = (replace(hit, beat=hit.beat - begin) for hit in self.hits if begin - early_beats <= hit.beat < end)
        return replace(self, hits=tuple(kept), bars=bars)

    def save(self, path: str | PathLike[str]) -> None:
        """Write a type 1 MIDI file, atomically (`outputs.pattern_midi` has other drum maps and resolutions). Raises
        OutputError."""
        from tutti.capabilities.groove.outputs import pattern_midi

        write_atomic(path, pattern_midi(self))
