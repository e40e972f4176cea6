"""How hard a stroke was played, from how loud the recording is where it lies: for models that name strokes only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["velocities_at"]

_ATTACK_S = 0.05
_EARLY_S = 0.02
"""Annotated and detected onsets lie up to this much behind the attack."""


def velocities_at(samples: NDArray[np.float32], times_s: NDArray[np.float64], sample_rate_hz: int) -> NDArray[np.int64]:
    """MIDI velocities (1-127) of strokes at `times_s` (seconds) in mono `samples`, relative to the loudest of them.

    The level of a stroke is the peak from 20 ms before it to 50 ms after it. Levels become velocities as synthesisers
    do it the other way (Downloadable Sounds): level in dB = 40 log10(velocity / 127), so the loudest stroke gets 127
    and one 12 dB softer gets 64. Strokes at one time get one velocity.
    """
    if not len(times_s):
        return np.zeros(0, dtype=np.int64)
    first = np.maximum(0, ((times_s - _EARLY_S) * sample_rate_hz).astype(np.int64))
    last = ((times_s + _ATTACK_S) * sample_rate_hz).astype(np.int64)
    peaks = np.array([np.abs(samples[start:stop]).max(initial=0.0) for start, stop in zip(first, last, strict=True)])
    loudest = peaks.max()
    if loudest == 0:
        return np.ones(len(peaks), dtype=np.int64)
    velocities: NDArray[np.int64] = np.clip(np.rint(127 * np.sqrt(peaks / loudest)), 1, 127).astype(np.int64)
    return velocities
