"""Two transcriptions held against each other: what they share, and where and how they differ."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

from tutti.errors import OptionError
from tutti.music.instruments import program_name
from tutti.music.notes import Note, Notes

__all__ = ["Comparison", "Counts", "Pair", "compare", "instrument_of"]

_MOVED_S = 0.5
"""So far a note may have moved and still be the same one."""
_LENGTH_RATIO = 0.2
_ROUNDING_S = 5e-5
"""Distances are counted in tenths of milliseconds, as mir_eval does: exactly the tolerance is within it."""

Pair = tuple[Note, Note]
"""A note of the first transcription and its counterpart in the second."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many notes of one instrument fall where. Those of other instruments count where the first side has them."""

    matched: int = 0
    moved: int = 0
    other_instrument: int = 0
    only_a: int = 0
    only_b: int = 0


@dataclass(frozen=True)
class Comparison:
    """Every note of `a` and `b` is in exactly one of `matched`, `moved`, `other_instrument`, `only_a`, `only_b`."""

    a: Notes
    b: Notes
    tolerance_s: float
    matched: tuple[Pair, ...]
    """The same pitch and instrument, onsets within the tolerance."""
    moved: tuple[Pair, ...]
    """The same pitch and instrument, onsets further apart, up to half a second."""
    other_instrument: tuple[Pair, ...]
    """The same pitch, onsets within the tolerance, played by another instrument."""
    only_a: tuple[Note, ...]
    only_b: tuple[Note, ...]

    @property
    def is_identical(self) -> bool:
        """Whether both hold equal notes: times, pitches, velocities, programs. The pedal does not count."""
        return self.a.notes == self.b.notes

    @property
    def is_same_within_tolerance(self) -> bool:
        """Whether every note has its match, of whatever length and loudness."""
        return len(self.matched) == len(self.a) == len(self.b)

    @cached_property
    def other_length(self) -> tuple[Pair, ...]:
        """Matched pitched notes whose ends are apart by more than the tolerance and a fifth of the first's length."""
        return tuple((a, b) for a, b in self.matched if not a.is_drum and not self._ends_alike(a, b))

    @property
    def other_velocity(self) -> tuple[Pair, ...]:
        """Matched notes of different velocity."""
        return tuple((a, b) for a, b in self.matched if a.velocity != b.velocity)

    @cached_property
    def by_instrument(self) -> dict[str, Counts]:
        """Counts by name, the instrument with most notes first."""
        tallies = {
            "matched": Counter(instrument_of(a) for a, _ in self.matched),
            "moved": Counter(instrument_of(a) for a, _ in self.moved),
            "other_instrument": Counter(instrument_of(a) for a, _ in self.other_instrument),
            "only_a": Counter(map(instrument_of, self.only_a)),
            "only_b": Counter(map(instrument_of, self.only_b)),
        }
        total = sum(tallies.values(), Counter())
        return {
            name: Counts(**{kind: tally[name] for kind, tally in tallies.items()}) for name, _ in total.most_common()
        }

    def _ends_alike(self, a: Note, b: Note) -> bool:
        return abs(a.offset_s - b.offset_s) <= max(self.tolerance_s, _LENGTH_RATIO * a.duration_s)


def compare(a: Notes, b: Notes, tolerance_s: float = 0.05) -> Comparison:
    """Hold `b` against `a`; onsets within `tolerance_s` (seconds, 0–0.5) are at the same time.

    Notes are paired nearest first: same pitch and instrument within the tolerance, then same pitch with another
    instrument within the tolerance (no drums: their pitch is the instrument), then same pitch and instrument up to half
    a second apart. Raises OptionError for a tolerance out of range.
    """
    if not 0 <= tolerance_s <= _MOVED_S:
        raise OptionError(f"A tolerance is 0-{_MOVED_S} s; got {tolerance_s}.")
    matched, rest_a, rest_b = _nearest(a.notes, b.notes, tolerance_s, lambda n: (n.is_drum, n.program, n.pitch))
    other, rest_a, rest_b = _nearest(rest_a, rest_b, tolerance_s, lambda n: (n.is_drum, n.pitch))
    moved, rest_a, rest_b = _nearest(rest_a, rest_b, _MOVED_S, lambda n: (n.is_drum, n.program, n.pitch))
    return Comparison(a, b, tolerance_s, matched, moved, other, rest_a, rest_b)


def instrument_of(note: Note) -> str:
    """What a table calls the instrument of `note`: the General MIDI name of its program, or "Drums"."""
    return "Drums" if note.is_drum else program_name(note.program)


def _nearest(
    a: Sequence[Note], b: Sequence[Note], within_s: float, key: Callable[[Note], Hashable]
) -> tuple[tuple[Pair, ...], tuple[Note, ...], tuple[Note, ...]]:
    """Pairs of notes with equal keys, those with the nearest onsets first, and what is left of either side."""
    rows: dict[Hashable, list[int]] = {}
    for row, note in enumerate(b):
        rows.setdefault(key(note), []).append(row)
    candidates = []
    for index, note in enumerate(a):
        near = rows.get(key(note), [])
        begin = bisect_left(near, note.onset_s - within_s - _ROUNDING_S, key=lambda row: b[row].onset_s)
        end = bisect_right(near, note.onset_s + within_s + _ROUNDING_S, key=lambda row: b[row].onset_s)
        for row in near[begin:end]:
            apart_s = round(abs(b[row].onset_s - note.onset_s), 4), abs(b[row].offset_s - note.offset_s)
            candidates.append((*apart_s, index, row))
    taken_a: dict[int, int] = {}
    taken_b: set[int] = set()
    for _, _, index, row in sorted(candidates):
        if index not in taken_a and row not in taken_b:
            taken_a[index] = row
            taken_b.add(row)
    return (
        tuple((a[index], b[row]) for index, row in sorted(taken_a.items())),
        tuple(note for index, note in enumerate(a) if index not in taken_a),
        tuple(note for row, note in enumerate(b) if row not in taken_b),
    )
