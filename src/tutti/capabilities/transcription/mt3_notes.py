"""Tokens to notes by the rules of magenta/mt3, MT3-PyTorch and MR-MT3.

After `note_sequences.py`, `run_length_encoding.py` and `metrics_utils.py` of magenta/mt3 (Apache-2.0), one segment at a
time: between segments only the notes that ring are remembered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np

from tutti.capabilities.transcription.codec import EOS, UNK, Codec, Event
from tutti.capabilities.transcription.quirks import Quirk
from tutti.capabilities.transcription.token_rows import (
    MIN_NOTE_S,
    DecodingReport,
    Evidence,
    TokenNote,
    TokenRow,
    moment_s,
    start_time_s,
)

__all__ = ["Mt3NoteBuilder"]

_DEFAULT_VELOCITY = 100


@dataclass(frozen=True, slots=True)
class _Onset:
    time_s: float
    velocity: int
    confidence: float | None
    segment: int


class Mt3NoteBuilder:
    """See `token_notes.NoteBuilder`. Without `has_ties` (ismir2021) notes ring on until their end is written.

    What a segment says of moments behind its end is held back: it counts if no other segment follows.
    """

    def __init__(self, codec: Codec, kept: Set[Quirk], has_ties: bool) -> None:
        self.codec, self.kept, self.has_ties = codec, kept, has_ties
        self.report = DecodingReport()
        self._tokens: list[int] = []
        """Of the segment being read; those before `_at` have been."""
        self._evidence = Evidence(TokenRow(np.zeros(0, np.int64)))
        self._at = self._steps = 0
        self._segment = -1
        self._now_s = 0.0
        self._velocity, self._program = _DEFAULT_VELOCITY, 0
        self._ringing: dict[tuple[int, int], _Onset] = {}
        """By (pitch, program)."""
        self._tied: set[tuple[int, int]] = set()
        self._in_ties = False
        self._ended: list[TokenNote] = []

    def push(self, rows: Sequence[TokenRow]) -> list[TokenNote]:
        (row,) = rows
        self.report.dropped_events += len(self._tokens) - self._at
        self._segment += 1
        self._tied, self._in_ties = set(), self.has_ties
        if "state_persists" not in self.kept:
            self._velocity, self._program = _DEFAULT_VELOCITY, 0
        self._tokens, self._evidence = self._until_eos(row.tokens.tolist()), Evidence(row)
        self._at = self._steps = 0
        self._read(start_time_s(self._segment + 1, self.codec.name, self.kept))
        return self._take_ended()

    def finish(self, _end_s: float, /) -> list[TokenNote]:
        """What still rings ends at the last event, as upstream has it, wherever the recording does."""
        self._read(math.inf)
        for onset in self._ringing.values():
            self._now_s = max(self._now_s, onset.time_s + MIN_NOTE_S)
        for key in list(self._ringing):
            self._end(key)
        return self._take_ended()

    def _take_ended(self) -> list[TokenNote]:
        ended, self._ended = self._ended, []
        return ended

    def _until_eos(self, tokens: list[int]) -> list[int]:
        """The tokens that count.

        MT3-PyTorch and MR-MT3 cut at the first -1, which both EOS and UNK have become there, and at the very first
        token if there is none.
        """
        empties = "no_eos_empties" in self.kept
        ends = [index for index, token in enumerate(tokens) if token == EOS or (empties and token == UNK)]
        self.report.rows += 1
        self.report.unended_rows += EOS not in tokens
        self.report.discarded_rows += empties and not ends and bool(tokens)
        return tokens[: ends[0] if ends else 0 if empties else len(tokens)]

    def _read(self, until_s: float) -> None:
        """Read on up to a token that leads beyond `until_s`."""
        time_s = self._time_s(self._steps)
        for index in range(self._at, len(self._tokens)):
            event = self.codec.decode(self._tokens[index])
            if event is None:
                self.report.invalid_events += 1
            elif event.kind == "shift":
                time_s = self._time_s(self._steps + event.value)
                if time_s > until_s:
                    self._at = index
                    return
                self._steps += event.value
            else:
                self._steps = 0
                self.report.invalid_events += not self._apply(event, time_s, self._evidence, index)
        self._at = len(self._tokens)

    def _time_s(self, steps: int) -> float:
        return moment_s(self._segment, steps, self.codec.name, self.kept)

    def _apply(self, event: Event, time_s: float, evidence: Evidence, index: int) -> bool:
        """Whether the event makes sense where it stands."""
        if time_s < self._now_s:
            return False
        self._now_s = time_s
        if event.kind == "pitch":
            return self._pitch(event.value, evidence.confidence(index))
        if event.kind == "drum":
            return self._drum(event.value, evidence.confidence(index))
        if event.kind == "tie":
            return self._end_ties()
        evidence.hear(index)
        if event.kind == "velocity":
            self._velocity = self.codec.to_velocity(event.value)
        else:
            self._program = event.value
        return True

    def _pitch(self, pitch: int, confidence: float | None) -> bool:
        key = (pitch, self._program)
        rings = key in self._ringing
        if self._in_ties:
            if not rings or key in self._tied:
                return False
            self._tied.add(key)
            return True
        if rings:
            self._end(key)
        if self._velocity:
            self._ringing[key] = _Onset(self._now_s, self._velocity, confidence, self._segment)
        return rings or self._velocity > 0

    def _drum(self, pitch: int, confidence: float | None) -> bool:
        if self._velocity == 0:
            return False
        offset_s = self._now_s + MIN_NOTE_S
        note = TokenNote(self._now_s, offset_s, pitch, 0, True, self._velocity, confidence, self._segment)
        self._ended.append(note)
        return True

    def _end_ties(self) -> bool:
        if not self._in_ties:
            return False
        for key in [key for key in self._ringing if key not in self._tied]:
            self._end(key)
        self._in_ties = False
        return True

    def _end(self, key: tuple[int, int]) -> None:
        onset = self._ringing.pop(key)
        offset_s = max(self._now_s, onset.time_s + MIN_NOTE_S)
        pitch, program = key
        note = TokenNote(onset.time_s, offset_s, pitch, program, False, onset.velocity, onset.confidence, onset.segment)
        self._ended.append(note)
