"""Frame-wise answers to notes, by numpy alone.

`Decoder` takes the answers in consecutive blocks of any size and gives notes as soon as they have ended, so a recording
of hours needs no more memory than one of seconds, and how it was cut makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutti.capabilities.transcription.families import FAMILIES, program_of_family
from tutti.music.drum_kit import DRUM_CLASSES, key_of_class
from tutti.music.notes import Note

__all__ = ["Block", "Decoder", "HeardNote", "Thresholds", "settle_families"]

Array = NDArray[np.float32]

_DRUM_LENGTH_S = 0.05
_MARGIN = 8
"""Frames held back until the next block, enough for every look ahead below."""
_REST_FRAMES = 3
"""A note has ended where its pitch stays below the frame threshold for this many frames."""
_LEAST_FRAMES = 2
"""Frames after its onset in which a note cannot end: its pitch may only be rising."""
_SHARE_ROUNDS = 10
_STRETCH_S = 120.0
_FAMILY_FRAMES = (1, 3, 5)
"""Frames after the onset at which the family is read."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Confidences, 0–1."""

    onset: float
    frame: float
    offset: float
    drum: float


@dataclass(frozen=True, slots=True)
class Block:
    """Probabilities of consecutive frames."""

    onset: Array
    """(frames, 88), like frame, offset and velocity"""
    frame: Array
    offset: Array
    velocity: Array
    family: Array
    """(frames, 88, families), log-probabilities"""
    drum_onset: Array
    """(frames, drum classes)"""
    drum_velocity: Array

    def __len__(self) -> int:
        return len(self.onset)


@dataclass(slots=True)
class HeardNote:
    """A pitched note before its instrument is settled."""

    onset_s: float
    offset_s: float
    pitch: int
    velocity: int
    confidence: float
    family: Array
    """(families,), log-probabilities"""


@dataclass(frozen=True, slots=True)
class _Ringing:
    note: HeardNote
    not_before: int
    """The first frame at which it may end."""


class Decoder:
    """Feed `push` every block in order, then `finish`; read `pitched` and `drums`."""

    def __init__(self, thresholds: Thresholds, frame_s: float, lowest_pitch: int) -> None:
        self.thresholds, self.frame_s, self.lowest_pitch = thresholds, frame_s, lowest_pitch
        self.pitched: list[HeardNote] = []
        self.drums: list[Note] = []
        self._held: Block | None = None
        self._first = 0
        """Number of the first frame held."""
        self._done = 0
        """Frames before this one have been decoded."""
        self._ringing: dict[int, _Ringing] = {}

    def push(self, block: Block) -> None:
        self._held = block if self._held is None else _joined(self._held, block)
        self._advance(self._first + len(self._held) - _MARGIN)

    def finish(self) -> None:
        """The recording is over: decode what is held and end what still rings."""
        if self._held is None:
            return
        end = self._first + len(self._held)
        self._held = _joined(self._held, _silence(self._held, _MARGIN))
        self._advance(end)
        for ringing in self._ringing.values():
            self._end(ringing.note, end * self.frame_s)
        self._ringing.clear()
        self.pitched.sort(key=lambda note: (note.onset_s, note.pitch))
        self.drums.sort()

    def _advance(self, stop: int) -> None:
        held = self._held
        assert held is not None
        if stop <= self._done:
            return
        begin, end = self._done - self._first, stop - self._first
        self._decode_pitches(held, begin, end)
        for frame, row, shift in _peaks(held.drum_onset, begin, end, self.thresholds.drum):
            velocity = _to_velocity(held.drum_velocity[frame, row])
            onset_s = self._seconds(frame, shift)
            key = key_of_class(DRUM_CLASSES[row])
            confidence = _to_confidence(held.drum_onset[frame, row])
            self.drums.append(Note(onset_s, onset_s + _DRUM_LENGTH_S, key, velocity, 0, True, confidence))
        self._done = stop
        keep = max(0, end - _MARGIN)
        self._held, self._first = _rest(held, keep), self._first + keep

    def _decode_pitches(self, held: Block, begin: int, end: int) -> None:
        onsets: dict[int, list[tuple[int, float]]] = {}
        for frame, pitch, shift in _peaks(held.onset, begin, end, self.thresholds.onset):
            onsets.setdefault(pitch, []).append((frame, shift))
        next_rest = _next_rest(held, begin, end, self.thresholds)
        for pitch in sorted(onsets.keys() | self._ringing.keys()):
            for frame, shift in onsets.get(pitch, []):
                self._stop_ringing(pitch, next_rest, begin, frame)
                if pitch in self._ringing:  # struck again while it rang
                    self._end(self._ringing.pop(pitch).note, self._seconds(frame, shift))
                note = self._start(held, frame, pitch, shift)
                self._ringing[pitch] = _Ringing(note, self._first + frame + _LEAST_FRAMES)
            self._stop_ringing(pitch, next_rest, begin, end)

    def _stop_ringing(self, pitch: int, next_rest: NDArray[np.int64], begin: int, before: int) -> None:
        """End the note on `pitch` at its first rest, if that comes before the frame `before`."""
        if pitch not in self._ringing:
            return
        row = max(0, self._ringing[pitch].not_before - self._first - begin)
        if row < len(next_rest) and begin + next_rest[row, pitch] < before:
            end = begin + int(next_rest[row, pitch]) + self._first
            self._end(self._ringing.pop(pitch).note, end * self.frame_s)

    def _start(self, held: Block, frame: int, pitch: int, shift: float) -> HeardNote:
        later = [min(frame + ahead, len(held) - 1) for ahead in _FAMILY_FRAMES]
        return HeardNote(
            onset_s=self._seconds(frame, shift),
            offset_s=0.0,
            pitch=self.lowest_pitch + pitch,
            velocity=_to_velocity(held.velocity[frame, pitch]),
            confidence=float(held.onset[frame, pitch]),
            family=held.family[later, pitch].mean(axis=0),
        )

    def _seconds(self, frame: int, shift: float) -> float:
        # whole frames are added first, so that the sum does not depend on where the held block begins
        return max(0.0, float(self._first + frame) + shift) * self.frame_s

    def _end(self, note: HeardNote, offset_s: float) -> None:
        note.offset_s = max(offset_s, note.onset_s + self.frame_s)
        self.pitched.append(note)


def _peaks(tracks: Array, begin: int, end: int, threshold: float) -> list[tuple[int, int, float]]:
    """Local maxima over time in frames [begin, end): (frame, column, shift).

    Targets are triangles around the exact time; three points of a triangle give its apex, `shift`
    frames from the middle one (Kong et al., TASLP 2021).
    """
    padded = np.pad(tracks, ((2, 2), (0, 0)))[begin : end + 4]
    middle = padded[2:-2]
    is_peak = middle >= threshold
    for shift in (0, 1):
        is_peak &= middle > padded[shift : shift + len(middle)]  # strictly above what came before: one peak a plateau
    for shift in (3, 4):
        is_peak &= middle >= padded[shift : shift + len(middle)]
    peaks = []
    for row, column in zip(*np.nonzero(is_peak), strict=True):
        before, here, after = padded[row + 1 : row + 4, column].tolist()
        shift = (after - before) / (2 * (here - min(before, after)))
        peaks.append((begin + int(row), int(column), shift))
    return peaks


def _next_rest(held: Block, begin: int, end: int, thresholds: Thresholds) -> NDArray[np.int64]:
    """For each frame of [begin, end), how many frames after `begin` its pitch next falls silent (large: not in it)."""
    silent = np.pad(held.frame < thresholds.frame, ((0, _REST_FRAMES), (0, 0)), constant_values=True)
    rests = silent[begin:end].copy()
    for ahead in range(1, _REST_FRAMES):
        rests &= silent[begin + ahead : end + ahead]
    released = np.pad(held.offset, ((1, 1), (0, 0)))[begin : end + 2]
    is_release = (released[1:-1] >= thresholds.offset) & (released[1:-1] > released[:-2])
    rests |= is_release & (released[1:-1] >= released[2:])
    where = np.where(rests, np.arange(end - begin)[:, None], np.iinfo(np.int64).max // 2)
    return np.minimum.accumulate(where[::-1], axis=0)[::-1]


def _to_velocity(value: float) -> int:
    return int(np.clip(round(float(value) * 127), 1, 127))


def _to_confidence(value: float) -> float:
    return round(min(float(value), 1.0), 4)


def _fields(block: Block) -> Iterable[Array]:
    return (getattr(block, name) for name in Block.__dataclass_fields__)


def _joined(first: Block, second: Block) -> Block:
    return Block(*(np.concatenate(pair) for pair in zip(_fields(first), _fields(second), strict=True)))


def _rest(block: Block, begin: int) -> Block:
    return Block(*(field[begin:].copy() for field in _fields(block)))


def _silence(like: Block, frames: int) -> Block:
    return Block(*(np.zeros((frames, *field.shape[1:]), np.float32) for field in _fields(like)))


def settle_families(heard: list[HeardNote], min_note_s: float = 0.0, least_share: float = 0.06) -> list[Note]:
    """Give each note its instrument, given what the music around it seems to be played on.

    Music has a handful of instruments at a time, and a note alone often leaves its own open: the shares of the families
    are estimated from all notes of a stretch by expectation maximisation and weigh in each note's choice; families
    below `least_share` are not there. Notes shorter than `min_note_s` have no say in the shares. Stretches lie on a
    fixed grid of _STRETCH_S, so what a note is called does not depend on anything that is played after its stretch.
    """
    stretches: dict[int, list[HeardNote]] = {}
    for note in heard:
        stretches.setdefault(int(note.onset_s // _STRETCH_S), []).append(note)
    settled = (_settle_stretch(stretch, min_note_s, least_share) for stretch in stretches.values())
    return [note for stretch in settled for note in stretch]


def _settle_stretch(heard: list[HeardNote], min_note_s: float, least_share: float) -> list[Note]:
    scores = np.stack([note.family for note in heard])  # (notes, families)
    voting = scores[[note.offset_s - note.onset_s >= min_note_s for note in heard]]
    chosen = (scores + np.log(_family_shares(voting, least_share))).argmax(axis=1)
    return [_note(note, FAMILIES[index]) for note, index in zip(heard, chosen, strict=True)]


def _family_shares(scores: Array, least_share: float) -> NDArray[np.float64]:
    """(families,); all alike where nothing votes."""
    shares = np.full(len(FAMILIES), 1.0 / len(FAMILIES))
    if not len(scores):
        return shares
    for _ in range(_SHARE_ROUNDS):
        weighed = scores + np.log(shares)
        likely = np.exp(weighed - weighed.max(axis=1, keepdims=True))
        shares = np.maximum((likely / likely.sum(axis=1, keepdims=True)).mean(axis=0), 1e-6)
    shares[(shares < least_share) & (shares < shares.max())] = 1e-30
    return shares


def _note(note: HeardNote, family: str) -> Note:
    confidence = _to_confidence(note.confidence)
    return Note(note.onset_s, note.offset_s, note.pitch, note.velocity, program_of_family(family), False, confidence)
