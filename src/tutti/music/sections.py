"""The form of a piece: stretches with labels, end to end."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tutti.errors import OptionError

__all__ = ["Section", "Sections"]


@dataclass(frozen=True, slots=True)
class Section:
    """From `start_s` to `end_s` (seconds) something that `label` names."""

    start_s: float
    end_s: float
    label: str

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start_s) and math.isfinite(self.end_s) and 0 <= self.start_s < self.end_s):
            raise OptionError(f"A section needs 0 <= start_s < end_s, both finite; got {self.start_s}, {self.end_s}.")
        if not self.label.strip():
            raise OptionError(f"A section needs a label; the one at {self.start_s} s has none.")

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Sections:
    """Sections in order, each beginning where the one before ends."""

    sections: tuple[Section, ...] = ()

    def __post_init__(self) -> None:
        for before, after in pairwise(self.sections):
            if before.end_s != after.start_s:
                raise OptionError(f"Sections leave a gap or overlap: {before.end_s} s, then {after.start_s} s.")

    @classmethod
    def between(cls, boundaries_s: Sequence[float], labels: Iterable[str]) -> Sections:
        """One section for each label; `boundaries_s` has one more entry than there are labels."""
        names = tuple(labels)
        if len(boundaries_s) != len(names) + 1:
            raise OptionError(f"{len(names)} sections have {len(names) + 1} boundaries; got {len(boundaries_s)}.")
        return cls(tuple(Section(*span, name) for span, name in zip(pairwise(boundaries_s), names, strict=True)))

    def __iter__(self) -> Iterator[Section]:
        return iter(self.sections)

    def __len__(self) -> int:
        return len(self.sections)

    def __getitem__(self, index: int) -> Section:
        return self.sections[index]

    @property
    def boundaries_s(self) -> tuple[float, ...]:
        """Where one section gives way to the next, the piece's start and end included."""
        return tuple(section.start_s for section in self.sections) + tuple(s.end_s for s in self.sections[-1:])

    def at(self, time_s: float) -> Section | None:
        """The section that sounds at `time_s`, or None outside all of them."""
        row = bisect_right(self.sections, time_s, key=lambda section: section.start_s) - 1
        return self.sections[row] if row >= 0 and time_s < self.sections[row].end_s else None
