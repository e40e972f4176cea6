"""Drums out of a mix without a model: harmonic-percussive separation by median filters.

A steady tone is a line along time in the spectrogram, a stroke is a line along frequency: medians along either keep
the one and drop the other, and their ratio is a soft mask. D. Fitzgerald, "Harmonic/percussive separation using median
filtering", DAFx 2010; soft masks and lengths in seconds and hertz as in J. Driedger, M. Müller, S. Disch, "Extending
harmonic-percussive separation of audio signals", ISMIR 2014.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from scipy import fft
from scipy.ndimage import median_filter

from tutti.listening.spool import FloatArray, Spool

__all__ = ["SAMPLE_RATE_HZ", "percussive"]

SAMPLE_RATE_HZ: Final = 44_100

_FRAME: Final = 2048
_HOP: Final = 1024
_LINE_FRAMES: Final = 17
"""Median along time: 0.39 s, longer than a kick sounds."""
_LINE_BINS: Final = 23
"""Median along frequency: 500 Hz."""
_LOW_BINS: Final = 9
"""Bins 0 to 172 Hz, where a kick is too narrow to be a line along frequency: see `_percussive_lines`."""
_BLOCK_FRAMES: Final = 512
_REACH: Final = _LINE_FRAMES // 2
_WINDOW: Final = np.sin(np.pi * (np.arange(_FRAME) + 0.5) / _FRAME).astype(np.float32)
"""Before and behind the mask; its square and the next frame's add up to 1."""


def percussive(mix: Spool) -> Iterator[FloatArray]:
    """Consecutive blocks (channels, n) of what is struck in `mix`, at SAMPLE_RATE_HZ; together as long as `mix`.

    The mask is that of the mean of the channels, so strokes keep their place in the stereo field. The samples do not
    depend on how the work is cut into blocks.
    """
    # Frame k covers samples (k - 1) * hop to (k + 1) * hop: two frames answer for each sample.
    for first in range(0, -(-mix.length // _HOP), _BLOCK_FRAMES):
        start, stop = first * _HOP, min((first + _BLOCK_FRAMES) * _HOP, mix.length)
        last = -(-stop // _HOP)  # frames first … last reach into this block
        samples = mix.read((first - _REACH - 1) * _HOP, (last + _REACH + 1) * _HOP)
        mask = _mask(np.abs(_spectra(samples.mean(axis=0))))[_REACH:-_REACH]
        around = samples[:, _REACH * _HOP : -_REACH * _HOP]
        yield np.stack([_inverse(_spectra(channel) * mask) for channel in around])[:, : stop - start]


def _spectra(samples: FloatArray) -> np.ndarray:
    """(n,) → (frames, bins) complex64."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]
    spectra: np.ndarray = fft.rfft(frames * _WINDOW, axis=1)
    return spectra


def _inverse(spectra: np.ndarray) -> FloatArray:
    """The samples that two frames answer for."""
    frames = fft.irfft(spectra, _FRAME, axis=1) * _WINDOW
    samples: FloatArray = (frames[:-1, _HOP:] + frames[1:, :_HOP]).reshape(-1)
    return samples


def _mask(magnitude: FloatArray) -> FloatArray:
    """(frames, bins) → 0 to 1: the share of strokes in the power, nothing where there is nothing."""
    struck = _percussive_lines(magnitude) ** 2
    held = _medians(np.ascontiguousarray(magnitude.T), _LINE_FRAMES).T ** 2
    mask: FloatArray = struck / np.maximum(struck + held, np.finfo(np.float32).tiny)
    return mask


def _percussive_lines(magnitude: FloatArray) -> FloatArray:
    """Medians along frequency; in the lowest bins the magnitude itself.

    A kick fills two or three bins, so a median of 23 erases it. There only time tells it from a bass: what lies above
    the median along time is struck.
    """
    lines = _medians(magnitude, _LINE_BINS)
    lines[:, :_LOW_BINS] = magnitude[:, :_LOW_BINS]
    return lines


def _medians(rows: FloatArray, size: int) -> FloatArray:
    """Running medians of each row, (n, m), its ends mirrored. One long row is ten times faster than many short ones."""
    reach = size // 2
    padded = np.pad(rows, ((0, 0), (reach, reach)), mode="reflect")
    filtered: FloatArray = median_filter(padded.reshape(-1), size).reshape(padded.shape)[:, reach:-reach]
    return filtered
