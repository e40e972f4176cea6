"""Notes: what transcription gives and everything later reads. Times in seconds, pitch a MIDI number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from operator import attrgetter

from tutti.errors import OptionError

__all__ = ["Note", "Notes", "PedalEvent"]


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """One note. Order: onset, then pitch, program, offset."""

    onset_s: float
    pitch: int
    """MIDI number 0–127; for drums the General MIDI percussion key."""
    program: int
    """General MIDI program 0–127, counted from 0; always 0 for drums: kits are not told apart."""
    offset_s: float
    velocity: int
    """1–127."""
    is_drum: bool
    confidence: float | None = field(default=None, compare=False)
    """How sure the listener was, 0–1, where one listened and said so; no part of what makes two notes equal."""

    def __init__(
        self,
        onset_s: float,
        offset_s: float,
        pitch: int,
        velocity: int,
        program: int = 0,
        is_drum: bool = False,
        confidence: float | None = None,
    ) -> None:
        if not (math.isfinite(onset_s) and math.isfinite(offset_s) and 0.0 <= onset_s < offset_s):
            raise OptionError(f"A note needs 0 <= onset_s < offset_s, both finite; got {onset_s} and {offset_s}.")
        if not 0 <= pitch <= 127:
            raise OptionError(f"A note's pitch is a MIDI number 0-127; got {pitch}.")
        if not 1 <= velocity <= 127:
            raise OptionError(f"A note's velocity is 1-127; got {velocity}.")
        if not 0 <= program <= 127:
            raise OptionError(f"A note's program is 0-127; got {program}.")
        if confidence is not None and not 0.0 <= confidence <= 1.0:
            raise OptionError(f"A note's confidence is 0-1, or None where it is not known; got {confidence}.")
        if is_drum:
            program = 0
        for name, value in (
            ("onset_s", float(onset_s)),
            ("offset_s", float(offset_s)),
            ("pitch", int(pitch)),
            ("velocity", int(velocity)),
            ("program", int(program)),
            ("is_drum", bool(is_drum)),
            ("confidence", None if confidence is None else float(confidence)),
        ):
            object.__setattr__(self, name, value)

    @property
    def duration_s(self) -> float:
        return self.offset_s - self.onset_s


@dataclass(frozen=True, slots=True, order=True)
class PedalEvent:
    """The sustain pedal held down from `onset_s` to `offset_s` (seconds)."""

    onset_s: float
    offset_s: float
    program: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.onset_s) and math.isfinite(self.offset_s) and 0.0 <= self.onset_s < self.offset_s):
            raise OptionError(
                f"A pedal event needs 0 <= onset_s < offset_s, both finite; got {self.onset_s} and {self.offset_s}."
            )
        if not 0 <= self.program <= 127:
            raise OptionError(f"A pedal event's program is 0-127; got {self.program}.")


# The order of the two types above; as a key it sorts long pieces several times faster than their comparison does.
_IN_ORDER = attrgetter("onset_s", "pitch", "program", "offset_s", "velocity", "is_drum")
_PEDAL_IN_ORDER = attrgetter("onset_s", "offset_s", "program")


@dataclass(frozen=True, slots=True)
class Notes:
    """A sorted, immutable sequence of notes with the pedal that goes with them."""

    notes: tuple[Note, ...] = ()
    pedal: tuple[PedalEvent, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", tuple(sorted(self.notes, key=_IN_ORDER)))
        object.__setattr__(self, "pedal", tuple(sorted(self.pedal, key=_PEDAL_IN_ORDER)))

    @classmethod
    def of(cls, notes: Iterable[Note], pedal: Iterable[PedalEvent] = ()) -> Notes:
        return cls(tuple(notes), tuple(pedal))

    def __iter__(self) -> Iterator[Note]:
        return iter(self.notes)

    def __len__(self) -> int:
        return len(self.notes)

    def __getitem__(self, index: int) -> Note:
        return self.notes[index]

    @property
    def end_s(self) -> float:
        """Latest offset in seconds; 0 when there are no notes."""
        return max((note.offset_s for note in self.notes), default=0.0)

    def sustained(self) -> Notes:
        """The same notes ringing on while the pedal is down, each at most to the next onset of its own pitch.

        This is the offset that piano transcription is scored against (Hawthorne et al., ICLR 2019).
        """
        by_program: dict[int, list[PedalEvent]] = {}
        for event in self.pedal:
            by_program.setdefault(event.program, []).append(event)
        next_onset: dict[tuple[int, int, bool], float] = {}
        ringing = []
        for note in reversed(self.notes):
            key = (note.pitch, note.program, note.is_drum)
            offset_s = note.offset_s
            if not note.is_drum:
                held = (e.offset_s for e in by_program.get(note.program, ()) if e.onset_s <= offset_s < e.offset_s)
                offset_s = min(max(held, default=offset_s), max(next_onset.get(key, math.inf), offset_s))
            ringing.append(replace(note, offset_s=offset_s))
            next_onset[key] = note.onset_s
        return Notes(tuple(ringing), self.pedal)

    @property
    def pitched(self) -> tuple[Note, ...]:
        return tuple(note for note in self.notes if not note.is_drum)

    @property
    def drums(self) -> tuple[Note, ...]:
        return tuple(note for note in self.notes if note.is_drum)
