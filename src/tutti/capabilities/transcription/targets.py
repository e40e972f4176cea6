"""What the network should answer: notes as frame-wise targets, and the losses that compare the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tutti.capabilities.transcription.families import FAMILIES, family_of_program
from tutti.capabilities.transcription.models.tutti_notes import LOWEST_PITCH, PITCHES, STEP, Predictions
from tutti.music.drum_kit import DRUM_CLASSES, class_of_key
from tutti.music.notes import Note

__all__ = ["Targets", "both", "losses", "targets_of"]

_ONSET_WIDTH = 2.0
"""Frames over which an onset's target falls from 1 to 0, either side; fractions of a frame carry the exact time
(Kong et al., TASLP 2021)."""
_UNKNOWN = -1


@dataclass(frozen=True)
class Targets:
    """Arrays shaped as `models.tutti_notes.Predictions` without its batch; family ids at steps, -1 where unknown."""

    onset: NDArray[np.float32]
    frame: NDArray[np.float32]
    offset: NDArray[np.float32]
    velocity: NDArray[np.float32]
    family: NDArray[np.int64]
    drum_onset: NDArray[np.float32]
    drum_velocity: NDArray[np.float32]


def targets_of(notes: Sequence[Note], begin: float, frames: int, frame_s: float, transpose: int = 0) -> Targets:
    """Targets for `frames` frames from frame `begin` on; pitched notes are moved by `transpose` semitones."""
    onset = np.zeros((frames, PITCHES), np.float32)
    frame, offset = np.zeros_like(onset), np.zeros_like(onset)
    steps = frames // STEP
    velocity = np.zeros((steps, PITCHES), np.float32)
    family = np.full((steps, PITCHES), _UNKNOWN, np.int64)
    drum_onset = np.zeros((frames, len(DRUM_CLASSES)), np.float32)
    drum_velocity = np.zeros_like(drum_onset)
    for note in notes:
        start, stop = note.onset_s / frame_s - begin, note.offset_s / frame_s - begin
        if stop < -4 or start > frames + 4:
            continue
        if note.is_drum:
            name = class_of_key(note.pitch)
            if name is not None:
                row = DRUM_CLASSES.index(name)
                _peak(drum_onset[:, row], start)
                first, last = max(0, round(start) - 2), max(0, round(start) + 3)
                drum_velocity[first:last, row] = note.velocity / 127
            continue
        column = note.pitch + transpose - LOWEST_PITCH
        if not 0 <= column < PITCHES:
            continue
        _peak(onset[:, column], start)
        _peak(offset[:, column], stop)
        frame[max(0, round(start)) : max(0, round(stop)), column] = 1.0
        first, last = max(0, round(start / STEP) - 1), max(0, round(start / STEP) + 3)
        velocity[first:last, column] = note.velocity / 127
        known = _FAMILY_INDEX.get(family_of_program(note.program) or "", _UNKNOWN)
        family[first : max(last, round(min(stop / STEP, start / STEP + 16))), column] = known
    return Targets(onset, frame, offset, velocity, family, drum_onset, drum_velocity)


def both(first: Targets, second: Targets) -> Targets:
    """Targets of two stretches that sound at once; where both know a family, the first one's."""
    larger = {
        name: np.maximum(getattr(first, name), getattr(second, name))
        for name in Targets.__dataclass_fields__
        if name != "family"
    }
    return Targets(**larger, family=np.where(first.family == _UNKNOWN, second.family, first.family))


_FAMILY_INDEX = {name: index for index, name in enumerate(FAMILIES)}


def _peak(track: NDArray[np.float32], centre: float) -> None:
    first, last = max(0, int(np.ceil(centre - _ONSET_WIDTH))), min(len(track), int(centre + _ONSET_WIDTH) + 1)
    if first < last:
        shape = 1.0 - np.abs(np.arange(first, last) - centre) / _ONSET_WIDTH
        track[first:last] = np.maximum(track[first:last], shape)


def losses(predicted: Predictions, wanted: dict[str, Tensor], edge: int = 16) -> dict[str, Tensor]:
    """Losses by name, to be summed. `edge` frames at both ends, two or more, are left out: there it sees only half."""
    inner, steps = slice(edge, -edge), slice(edge // STEP, -edge // STEP)

    def events(logits: Tensor, target: Tensor) -> Tensor:
        loss = F.binary_cross_entropy_with_logits(logits[:, inner], target[:, inner], reduction="none")
        return loss.sum(-1).mean()

    onset_at = (wanted["onset"][:, ::STEP] + wanted["onset"][:, 1::STEP])[:, steps].clamp_max(1)
    velocity = ((predicted.velocity - wanted["velocity"])[:, steps] ** 2 * onset_at).sum() / onset_at.sum().clamp_min(1)
    drum_at = wanted["drum_onset"][:, inner]
    drum_error = (predicted.drum_velocity - wanted["drum_velocity"])[:, inner] ** 2 * drum_at
    family = F.cross_entropy(predicted.family[:, :, steps], wanted["family"][:, steps], ignore_index=_UNKNOWN)
    return {
        "onset": events(predicted.onset, wanted["onset"]),
        "frame": 0.5 * events(predicted.frame, wanted["frame"]),
        "offset": 0.3 * events(predicted.offset, wanted["offset"]),
        "velocity": velocity,
        "family": 0.15 * torch.nan_to_num(family),
        "drum_onset": events(predicted.drum_onset, wanted["drum_onset"]),
        "drum_velocity": drum_error.sum() / drum_at.sum().clamp_min(1),
    }
