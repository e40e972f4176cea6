"""What goes into the note decoding of the MT3 family and what comes out: rows, notes, and when segments begin.

numpy only. The rules are upstream's, with every oddity by name (`quirks.py`); `token_notes.note_builder` chooses one.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tutti.capabilities.transcription.codec import CodecName
from tutti.capabilities.transcription.quirks import Quirk
from tutti.music.notes import Note

__all__ = [
    "MIN_NOTE_S",
    "SEGMENT_SAMPLES",
    "STEPS_PER_S",
    "DecodingReport",
    "Evidence",
    "TokenNote",
    "TokenRow",
    "moment_s",
    "start_step",
    "start_time_s",
]

STEPS_PER_S = 100
MIN_NOTE_S = 0.01
_SAMPLE_RATE_HZ = 16_000
SEGMENT_SAMPLES: dict[CodecName, int] = {"mt3": 256 * 128, "ismir2021": 512 * 128, "ymt3": 32_767}


@dataclass(frozen=True, slots=True, eq=False)
class TokenRow:
    """What a network answered for one segment, or for one channel of it. Raises ValueError where the lengths differ."""

    tokens: NDArray[np.integer]
    """(n,) ids without the PAD that starts a row; EOS and what follows may be there."""
    log_probs: NDArray[np.floating] = field(default_factory=lambda: np.zeros(0, np.float32))
    """(n,) natural logarithms of the probability each token had, or (0,) where they were not asked for."""

    def __post_init__(self) -> None:
        if len(self.log_probs) not in (0, len(self.tokens)):
            raise ValueError(f"{len(self.tokens)} tokens have {len(self.log_probs)} log-probabilities")


@dataclass(frozen=True, slots=True)
class TokenNote:
    """A note as the tokens say it."""

    onset_s: float
    offset_s: float
    pitch: int
    program: int
    """0–127, 0 for drums. What it means is the vocabulary's: YourMT3 sings in 100 and 101 (`ymt3_programs.py`)."""
    is_drum: bool
    velocity: int
    """1–127; vocabularies without loudness give one and the same."""
    confidence: float | None
    """Geometric mean of the probabilities of its onset's tokens: pitch, velocity, program. None where not known."""
    segment: int
    """The segment it begins in."""
    channel: int = 0
    """The decoder's channel it came from."""

    def to_note(self) -> Note:
        """The same for everything that is not about tokens."""
        return Note(self.onset_s, self.offset_s, self.pitch, self.velocity, self.program, self.is_drum, self.confidence)


@dataclass(slots=True)
class DecodingReport:
    """How well the tokens held together."""

    rows: int = 0
    unended_rows: int = 0
    """Rows without EOS: the network ran out of tokens, so that the end of the segment may be missing."""
    discarded_rows: int = 0
    """Of rows with tokens, those that a quirk emptied."""
    invalid_events: int = 0
    """Tokens that mean nothing where they stand; they were skipped."""
    dropped_events: int = 0
    """Tokens behind a moment that belongs to the next segment."""
    cut_notes: int = 0
    """Notes that a quirk cut to 10 ms."""


class Evidence:
    """Collects the probabilities of the tokens that make one note."""

    def __init__(self, row: TokenRow) -> None:
        self._log_probs = row.log_probs
        self._own: list[int] = []

    def hear(self, index: int) -> None:
        """The token at `index` sets a program or velocity for the note to come."""
        self._own.append(index)

    def confidence(self, index: int) -> float | None:
        """Of the note whose pitch is the token at `index`; the next note begins anew."""
        own, self._own = [*self._own, index], []
        return float(np.exp(np.mean(self._log_probs[own]))) if len(self._log_probs) else None


def start_step(segment: int, codec: CodecName) -> int:
    """The step of 10 ms in which a segment begins: the last one before its first sample, in YourMT3 the nearest."""
    samples = segment * SEGMENT_SAMPLES[codec]
    if codec == "ymt3":
        return round(samples / _SAMPLE_RATE_HZ * STEPS_PER_S)
    return samples * STEPS_PER_S // _SAMPLE_RATE_HZ


def start_time_s(segment: int, codec: CodecName, kept: Set[Quirk]) -> float:
    """Where a segment begins, in seconds: at this moment notes end that it does not continue.

    It is `start_step`, but for two quirks. With float_start the remainder is taken off in floating point, which at
    times takes a whole step (30.72 s becomes 30.71 s). With unrounded_cut it is the time of the first sample.
    """
    start_s = segment * SEGMENT_SAMPLES[codec] / _SAMPLE_RATE_HZ
    if codec == "ymt3" and "unrounded_cut" in kept:
        return start_s
    if codec != "ymt3" and "float_start" in kept:
        return start_s - start_s % (1 / STEPS_PER_S)
    return start_step(segment, codec) / STEPS_PER_S


def moment_s(segment: int, steps: int, codec: CodecName, kept: Set[Quirk]) -> float:
    """The time of an event `steps` of 10 ms into a segment, in seconds from the beginning of the recording."""
    if codec != "ymt3" and "float_start" in kept:
        return start_time_s(segment, codec, kept) + steps / STEPS_PER_S
    return (start_step(segment, codec) + steps) / STEPS_PER_S
