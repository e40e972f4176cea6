"""Segments to hear, the same on every machine: tones that come and go, from whole numbers alone."""

from __future__ import annotations

from hashlib import shake_128

import numpy as np
from numpy.typing import NDArray

__all__ = ["synthetic_recording"]

_RATE_HZ = 16_000
_VOICES = 6


def synthetic_recording(seed: int, samples: int) -> NDArray[np.float32]:
    """(samples,) mono at 16 kHz: six voices of struck triangle waves and a little noise; multiples of 1/32768.

    The last sample is 0, so that what pads a length of whole frames can be kept off by leaving it out.
    """
    total = np.zeros(samples, np.int64)
    for voice in range(_VOICES):
        total += _voice(f"{seed}/{voice}", samples)
    noise = np.frombuffer(shake_128(f"{seed}/noise".encode()).digest(samples), np.uint8).astype(np.int64) - 128
    total += 2 * noise  # -42 dBFS: a quiet room
    total[-1:] = 0
    return (total.clip(-32768, 32767) / 32768).astype(np.float32)


def _voice(name: str, samples: int) -> NDArray[np.int64]:
    """Notes of 0.1 to 0.6 s one after the other; every fourth is a rest."""
    out, begin, choices = np.zeros(samples, np.int64), 0, iter(shake_128(name.encode()).digest(samples // 200 + 64))
    while begin < samples:
        length = _RATE_HZ // 10 + next(choices) * _RATE_HZ // 512
        pitch, loudness = next(choices), next(choices)
        at = np.arange(min(length, samples - begin))
        if loudness % 4:
            phase = (at * (300 + 40 * pitch)) % 65536  # 73 Hz to 2.6 kHz
            triangle = np.abs(phase - 32768) - 16384
            fading = (length - at) * loudness // length
            out[begin : begin + len(at)] = triangle * fading // 1024
        begin += length
    return out
