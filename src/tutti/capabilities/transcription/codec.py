"""The vocabularies in which the MT3 family writes music down: events, and the token ids that stand for them.

A vocabulary is declared as a row of event ranges; every id is computed from it. Facts from magenta/mt3
(`event_codec.py`, `vocabularies.py`, Apache-2.0) and the YourMT3 paper (Chang et al., MLSP 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

__all__ = ["CODECS", "EOS", "PAD", "UNK", "Codec", "CodecName", "Event", "EventKind", "EventRange"]

PAD, EOS, UNK = 0, 1, 2
"""Ids before the events; PAD also starts every segment."""

EventKind = Literal["shift", "pitch", "velocity", "tie", "program", "drum"]
CodecName = Literal["mt3", "ismir2021", "ymt3"]


@dataclass(frozen=True, slots=True)
class Event:
    """What one token says.

    `value` is 10 ms steps from the segment's start (shift), a MIDI pitch, a velocity bin with 0 for the end of a note,
    a General MIDI program, a percussion key, or 0 (tie).
    """

    kind: EventKind
    value: int


@dataclass(frozen=True, slots=True)
class EventRange:
    kind: EventKind
    size: int
    """Values 0 to size - 1."""


@dataclass(frozen=True)
class Codec:
    """A vocabulary. Steps of time are 10 ms in all of them."""

    name: CodecName
    ranges: tuple[EventRange, ...]
    size: int
    """Ids the network knows; those behind the last event are padding."""

    @cached_property
    def _first(self) -> dict[EventKind, int]:
        first, ids = UNK + 1, {}
        for span in self.ranges:
            ids[span.kind] = first
            first += span.size
        return ids

    @cached_property
    def _events(self) -> tuple[Event | None, ...]:
        events = [Event(span.kind, value) for span in self.ranges for value in range(span.size)]
        padding = self.size - UNK - 1 - len(events)
        return (*[None] * (UNK + 1), *events, *[None] * padding)

    def count(self, kind: EventKind) -> int:
        """How many values events of this kind have; 0 where the vocabulary lacks them."""
        return next((span.size for span in self.ranges if span.kind == kind), 0)

    def encode(self, kind: EventKind, value: int = 0) -> int:
        """The id of an event. Raises ValueError when the vocabulary lacks it."""
        if not 0 <= value < self.count(kind):
            raise ValueError(f"{self.name} has no event {kind} {value}")
        return self._first[kind] + value

    def decode(self, token: int) -> Event | None:
        """The event of an id, None for PAD, EOS, UNK, padding and ids out of range."""
        return self._events[token] if 0 <= token < self.size else None

    @property
    def velocity_bins(self) -> int:
        """Loudness steps beside 0, which ends a note."""
        return self.count("velocity") - 1

    def to_velocity(self, value: int) -> int:
        """MIDI velocity of a bin: 0 for 0, else int(127 value / bins)."""
        return 0 if value == 0 else 127 * value // self.velocity_bins

    def to_velocity_bin(self, velocity: int) -> int:
        """Inverse of `to_velocity`, rounded up."""
        return -(-velocity * self.velocity_bins // 127)


CODECS: dict[CodecName, Codec] = {
    codec.name: codec
    for codec in (
        Codec(
            "mt3",
            (
                EventRange("shift", 1001),
                EventRange("pitch", 128),
                EventRange("velocity", 2),
                EventRange("tie", 1),
                EventRange("program", 128),
                EventRange("drum", 128),
            ),
            1536,
        ),
        Codec(
            "ismir2021",
            (
                EventRange("shift", 1001),
                EventRange("pitch", 128),
                EventRange("velocity", 128),
                EventRange("tie", 1),
                EventRange("program", 128),
                EventRange("drum", 128),
            ),
            1664,
        ),
        Codec(
            "ymt3",
            (
                EventRange("shift", 206),
                EventRange("pitch", 128),
                EventRange("velocity", 2),
                EventRange("tie", 1),
                EventRange("program", 128),
                EventRange("drum", 128),
            ),
            596,
        ),
    )
}
