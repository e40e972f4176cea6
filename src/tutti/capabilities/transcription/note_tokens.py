"""Notes to the tokens of one segment: what a network of the MT3 family is taught to answer.

A segment begins with the notes that ring into it, as (program, pitch) pairs, and a tie token. Then follow, step by
step, the ends and onsets of notes. The form is that of magenta/mt3 (`note_sequences.py`, `run_length_encoding.py`,
Apache-2.0) or, by the codec, of YourMT3.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

from tutti.capabilities.transcription.codec import EOS, Codec, EventKind
from tutti.capabilities.transcription.token_rows import STEPS_PER_S
from tutti.music.notes import Note

__all__ = ["segment_tokens"]


class _Change(NamedTuple):
    """One end or onset. Sorts as in magenta/mt3: by step, ends before onsets, drums last, then program and pitch."""

    step: int
    is_onset: bool
    is_drum: bool
    program: int
    pitch: int
    velocity: int
    """0 ends a note."""

    @property
    def ymt3_order(self) -> tuple[int, bool, int, bool, int]:
        """As in YourMT3: ends come first within a program only."""
        return (self.step, self.is_drum, self.program, self.is_onset, self.pitch)


def segment_tokens(notes: Iterable[Note], begin_step: int, end_step: int, codec: Codec) -> list[int]:
    """The tokens of the segment from `begin_step` to before `end_step` (10 ms steps), EOS at their end.

    `notes` may come in any order; what sounds outside the segment only makes no difference. A note lasts at least one
    step, and at most until its pitch is struck again in the same program; of several that begin in the same step the
    longest counts. Raises ValueError when the segment is longer than the shifts of `codec` reach.
    """
    tied: list[tuple[int, int]] = []
    changes: list[_Change] = []
    for note, onset, offset in _in_steps(notes, end_step):
        if onset < begin_step < offset and not note.is_drum:
            tied.append((note.program, note.pitch))
        if begin_step < offset < end_step and not note.is_drum:
            changes.append(_Change(offset, False, False, note.program, note.pitch, 0))
        if begin_step <= onset < end_step:
            changes.append(_Change(onset, True, note.is_drum, note.program, note.pitch, note.velocity))
    tokens = _Tokens(codec)
    for program, pitch in sorted(tied):
        tokens.change("program", program)
        tokens.add("pitch", pitch)
    tokens.add("tie", 0)
    for change in sorted(changes, key=attrgetter("ymt3_order") if codec.name == "ymt3" else None):
        tokens.change("shift", change.step - begin_step)
        if not change.is_drum:
            tokens.change("program", change.program)
        tokens.change("velocity", codec.to_velocity_bin(change.velocity))
        tokens.add("drum" if change.is_drum else "pitch", change.pitch)
    return [*tokens.ids, EOS]


class _Tokens:
    """Tokens so far, and the shift, program and velocity that hold at their end."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.ids: list[int] = []
        self._state: dict[EventKind, int] = {"shift": 0}

    def add(self, kind: EventKind, value: int) -> None:
        self.ids.append(self.codec.encode(kind, value))

    def change(self, kind: EventKind, value: int) -> None:
        """Add the event unless it holds already."""
        if self._state.get(kind) != value:
            self._state[kind] = value
            self.add(kind, value)


def _in_steps(notes: Iterable[Note], end_step: int) -> list[tuple[Note, int, int]]:
    """(note, onset, offset) in steps, of those that begin before `end_step`, each ending where its pitch returns."""
    longest: dict[tuple[bool, int, int, int], tuple[Note, int, int]] = {}
    for note in notes:
        onset = round(note.onset_s * STEPS_PER_S)
        offset = max(onset + 1, round(note.offset_s * STEPS_PER_S))
        key = (note.is_drum, note.program, note.pitch, onset)
        if onset < end_step and (key not in longest or longest[key][2] < offset):
            longest[key] = (note, onset, offset)
    ordered = [longest[key] for key in sorted(longest)]
    for index, ((note, onset, offset), (following, struck, _)) in enumerate(pairwise(ordered)):
        if (note.is_drum, note.program, note.pitch) == (following.is_drum, following.program, following.pitch):
            ordered[index] = (note, onset, min(offset, struck))
    return ordered
