"""Where the next note begins and the next one ends, seen from each step of what the stem of `note_stem` heard.

Whoever writes notes down in order of time looks from each event for the one after it. A transformer taught on a few
hours of sound does not find out by itself how; told from each step where to look next, it need only choose.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tutti.capabilities.transcription.families import FAMILIES
from tutti.capabilities.transcription.models.tutti_notes import PITCHES, STEP

__all__ = ["BEGINS_FROM", "NEXT_FEATURES", "PEAK_FRAMES", "SOUNDS_FROM", "codes_of_frames", "next_events", "time_codes"]

_FREQUENCIES = 16
_FASTEST, _SLOWEST = 3.0, 0.03
"""Radians a step: the fastest tells tens of milliseconds apart, the slowest the two ends of a segment."""

NEXT_FEATURES = 2 * 2 * _FREQUENCIES
"""Of a step: sines and cosines of the time of the next begin, then of the next end."""

BEGINS_FROM = 0.3
"""Probability of an onset from which its peak is a begin."""

SOUNDS_FROM = 0.5
"""Probability of sounding below which a pitch that sounded has ended."""

PEAK_FRAMES = 5
"""A begin is the likeliest of so many frames."""


def next_events(features: Tensor) -> Tensor:
    """(batch, steps, NEXT_FEATURES) of `note_features` (batch, steps, NOTE_FEATURES); 0 where nothing comes any more.

    What is next from a step is at its first frame or later.
    """
    steps = features.shape[1]
    onset, sounds = (_by_frame(features[..., n * STEP * PITCHES : (n + 1) * STEP * PITCHES]) for n in (0, 1))
    drums = _by_frame(features[..., (2 * STEP + len(FAMILIES)) * PITCHES :])
    strikes = torch.cat([onset, drums], 1)
    likeliest = F.max_pool1d(strikes, PEAK_FRAMES, stride=1, padding=PEAK_FRAMES // 2)
    rises = strikes > F.pad(strikes, (1, -1))  # of several alike, the first
    begins = ((strikes >= BEGINS_FROM) & (strikes == likeliest) & rises).any(1)
    held = sounds >= SOUNDS_FROM
    ends = (F.pad(held, (1, -1)) & ~held).any(1)
    codes = torch.from_numpy(codes_of_frames(steps * STEP)).to(features)
    return torch.cat([codes[_next(happens, steps)] for happens in (begins, ends)], dim=-1)


def _by_frame(features: Tensor) -> Tensor:
    """(batch, steps, STEP · n) to (batch, n, frames)."""
    return torch.unflatten(features, -1, (STEP, -1)).flatten(1, 2).transpose(1, 2)


def _next(happens: Tensor, steps: int) -> Tensor:
    """The first frame from each step on at which it `happens` (batch, frames); where none is, how many there are."""
    frames = torch.arange(steps * STEP, device=happens.device)
    to_come = frames >= frames[::STEP, None]
    return torch.where(happens[:, None] & to_come, frames, len(frames)).amin(-1)


@cache
def codes_of_frames(frames: int) -> NDArray[np.float32]:
    """(frames + 1, NEXT_FEATURES / 2): the code of each frame's time, and nothing."""
    codes = time_codes(np.arange(frames) / STEP)
    return np.concatenate([codes, np.zeros_like(codes[:1])])


def time_codes(steps: NDArray[np.float64]) -> NDArray[np.float32]:
    """(n, NEXT_FEATURES / 2) sines and cosines of times in steps, also between them."""
    angles = steps[:, None] * np.geomspace(_FASTEST, _SLOWEST, _FREQUENCIES)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
