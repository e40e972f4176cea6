"""Drum hits: what a drummer played and when. Times in seconds, pieces by the names of `music.drum_kit`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tutti.errors import OptionError
from tutti.music.drum_kit import DRUM_CLASSES

__all__ = ["DrumHit", "DrumHits", "hit_id"]

_ORDER = {name: place for place, name in enumerate(DRUM_CLASSES)}


def hit_id(index: int) -> str:
    """What the hit at `index` of its DrumHits is called in every file: "h0", "h1" and so on."""
    return f"h{index}"


@dataclass(frozen=True, slots=True)
class DrumHit:
    """One stroke on one piece."""

    time_s: float
    instrument: str
    """One of DRUM_CLASSES."""
    velocity: int
    """How loud, 1-127."""
    confidence: float = 1.0
    """How sure the listener is, 0-1."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.time_s) and self.time_s >= 0):
            raise OptionError(f"A hit needs a finite time_s >= 0; got {self.time_s}.")
        if self.instrument not in _ORDER:
            raise OptionError(f"There is no drum {self.instrument!r}. Use one of: {', '.join(DRUM_CLASSES)}.")
        if not 1 <= self.velocity <= 127:
            raise OptionError(f"A hit's velocity is 1-127; got {self.velocity}.")
        if not 0 <= self.confidence <= 1:
            raise OptionError(f"A hit's confidence is 0-1; got {self.confidence}.")


@dataclass(frozen=True, slots=True)
class DrumHits:
    """Hits in order of time, then of DRUM_CLASSES. The hit at `index` is called `hit_id(index)` in every file."""

    hits: tuple[DrumHit, ...] = ()

    def __post_init__(self) -> None:
        in_order = sorted(self.hits, key=lambda hit: (hit.time_s, _ORDER[hit.instrument]))
        object.__setattr__(self, "hits", tuple(in_order))

    @classmethod
    def of(cls, hits: Iterable[DrumHit]) -> DrumHits:
        return cls(tuple(hits))

    def __iter__(self) -> Iterator[DrumHit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, index: int) -> DrumHit:
        return self.hits[index]

    @property
    def summary(self) -> dict[str, int]:
        """How often each piece that occurs is hit, in the order of DRUM_CLASSES."""
        counts = dict.fromkeys(DRUM_CLASSES, 0)
        for hit in self.hits:
            counts[hit.instrument] += 1
        return {name: count for name, count in counts.items() if count}
