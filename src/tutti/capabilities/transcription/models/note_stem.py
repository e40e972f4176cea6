"""A stem that hears notes before T5's encoder does: `tutti-mt3-tiny`'s, small enough to be taught in an hour.

A transformer over mel bands has to find out for each of 88 pitches by itself that it has harmonics. Here bands are read
as a log-frequency spectrogram instead, and the network of `tutti-notes`, whose weights are shared over pitches, says
what begins, what sounds and who plays; T5 reads that.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tutti.audio.log_frequency import NOTES_FRONT_END
from tutti.audio.segment_features import SegmentFrontEnd, mel_centres_hz
from tutti.capabilities.transcription.families import FAMILIES
from tutti.capabilities.transcription.models.next_events import NEXT_FEATURES, next_events
from tutti.capabilities.transcription.models.tutti_notes import PITCHES, STEP, NotesNet, NotesNetConfig, Predictions
from tutti.music.drum_kit import DRUM_CLASSES

__all__ = [
    "LATE_FRAMES",
    "LEAST_SHARP",
    "LEVEL_SCALE",
    "LEVEL_SHIFT",
    "NOTE_FEATURES",
    "SHARPNESS",
    "STEM_FEATURES",
    "NoteStem",
    "NotesOfBands",
    "as_read",
    "bands_to_bins",
    "decided",
    "note_features",
]

NOTE_FEATURES = 2 * STEP * PITCHES + len(FAMILIES) * PITCHES + STEP * len(DRUM_CLASSES)
"""Of a step: both frames' onsets and both frames' sounding pitches, then families by pitch, then both frames' drums."""

STEM_FEATURES = NOTE_FEATURES + NEXT_FEATURES
"""Of a step, as T5 reads it."""

LATE_FRAMES = 4
"""A frame of the MT3 family begins at its time and sees 128 ms from there, so its middle is four frames of 16 ms on."""

LEVEL_SCALE, LEVEL_SHIFT = 2.953, -1.168
"""From MT3's log levels, -12 to 5 as 0 to 1, to those `tutti-notes` knows, -100 to 0 dB re full scale as 0 to 2."""

SHARPNESS, LEAST_SHARP = 4, 1e-12
"""Power of a family's probability when one is decided for; less than this is none, where a pitch hardly sounds."""


class NotesOfBands(nn.Module):
    """Segments (batch, frames, 2 · bands), pairs of frames side by side, to what `tutti-notes` would answer."""

    def __init__(self, front_end: SegmentFrontEnd) -> None:
        super().__init__()
        self.notes = NotesNet(NotesNetConfig())
        self.bins: Tensor
        self.register_buffer("bins", torch.from_numpy(bands_to_bins(front_end)), persistent=False)

    def forward(self, frames: Tensor) -> Predictions:
        pairs = torch.unflatten(frames, -1, (2, -1)).transpose(1, 2)  # (batch, 2, frames, bands)
        pairs = F.pad(pairs[:, :, :-LATE_FRAMES], (0, 0, LATE_FRAMES, 0))
        levels = F.relu(pairs @ self.bins * LEVEL_SCALE + LEVEL_SHIFT)
        return self.notes(levels.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]


class NoteStem(nn.Module):
    """Segments (batch, frames, 2 · bands) to (batch, frames / STEP, STEM_FEATURES)."""

    def __init__(self, front_end: SegmentFrontEnd) -> None:
        super().__init__()
        self.hearing = NotesOfBands(front_end)

    def forward(self, frames: Tensor) -> Tensor:
        return as_read(note_features(self.hearing(frames)))


def note_features(predicted: Predictions) -> Tensor:
    """(batch, steps, NOTE_FEATURES), all between 0 and 1: families count as much as their pitch sounds."""
    onset, frame = (torch.unflatten(logits.sigmoid(), 1, (-1, STEP)) for logits in (predicted.onset, predicted.frame))
    sounds = torch.maximum(onset, frame).amax(2)  # (batch, steps, 88)
    family = predicted.family.softmax(1).permute(0, 2, 1, 3) * sounds[:, :, None]
    drums = torch.unflatten(predicted.drum_onset.sigmoid(), 1, (-1, STEP))
    return torch.cat([part.flatten(2) for part in (onset, frame, family, drums)], dim=-1)


def as_read(features: Tensor) -> Tensor:
    """(batch, steps, STEM_FEATURES) of what `note_features` gives: families decided for, and what comes next."""
    return torch.cat([decided(features), next_events(features)], dim=-1)


def decided(features: Tensor) -> Tensor:
    """`features` of `note_features` with each pitch given to the family that it is likeliest of, near enough.

    Who hesitates between two instruments writes down both.
    """
    first, last = 2 * STEP * PITCHES, (2 * STEP + len(FAMILIES)) * PITCHES
    family = torch.unflatten(features[..., first:last], -1, (len(FAMILIES), PITCHES))
    sharp = family**SHARPNESS
    share = sharp / sharp.sum(-2, keepdim=True).clamp_min(LEAST_SHARP)
    settled = (share * family.sum(-2, keepdim=True)).flatten(-2)
    return torch.cat([features[..., :first], settled, features[..., last:]], dim=-1)


@cache
def bands_to_bins(front_end: SegmentFrontEnd) -> NDArray[np.float32]:
    """(bands, bins) of weights that read the bins of `tutti-notes` from mel bands; bins above the last band stay 0."""
    bands_hz = mel_centres_hz(front_end.bands, front_end.low_hz, front_end.high_hz)
    bins_hz = 440 * 2 ** ((NOTES_FRONT_END.pitches() - 69) / 12)
    bin_width = 2 ** (1 / (12 * NOTES_FRONT_END.bins_per_semitone)) - 1
    # a triangle narrower than the bands lie apart would fall between two of them: then it interpolates
    half_width_hz = np.maximum(bins_hz * bin_width, np.interp(bins_hz, bands_hz, np.gradient(bands_hz)))
    weights = np.maximum(0, 1 - np.abs(bands_hz[:, None] - bins_hz) / half_width_hz)
    weights /= np.maximum(weights.sum(axis=0), 1e-9)
    weights[:, bins_hz > bands_hz[-1]] = 0
    matrix: NDArray[np.float32] = weights.astype(np.float32)
    return matrix
