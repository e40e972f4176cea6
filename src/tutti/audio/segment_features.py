"""Spectrograms of segments, as the models of the MT3 family were taught to hear them. numpy only.

Every segment is transformed by itself, zeros or a mirror beyond its ends: what a frame near the edge sees is part of
what the models learnt. Facts from magenta/mt3 `spectrograms.py` and TensorFlow's `linear_to_mel_weight_matrix`
(Apache-2.0), from MR-MT3 (Tan et al., 2024) and YourMT3+ (Chang et al., MLSP 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray

__all__ = ["FRONT_ENDS", "FrontEndName", "Scaling", "SegmentFrontEnd", "mel_centres_hz", "mel_matrix"]

Array = NDArray[np.float32]

SAMPLE_RATE_HZ = 16_000
_FFT = 2048
_SEGMENTS_AT_ONCE = 8
"""Spectra of 8 segments take 17 MB; more at a time is not faster."""

FrontEndName = Literal["mt3", "mr_mt3", "ymt3_plus", "yptf"]
Scaling = Literal["none", "clip", "min_max"]
"""What happens to a segment's log spectrum: nothing; clipped to -12...5 and brought to 0...1 (MR-MT3's own
checkpoints); its own range brought to 0...1 (YourMT3)."""
BankName = Literal["linear_in_mel", "linear_in_hz", "none"]


@dataclass(frozen=True)
class SegmentFrontEnd:
    """One way to hear a segment. Called with (n, segment_samples) float32, gives (n, frames, features) float32."""

    segment_samples: int
    hop: int
    bank: BankName
    is_centred: bool
    """Frames lie around their time, mirrored at the ends; else they begin there, with zeros behind the end."""
    is_power: bool
    scaling: Scaling
    bands: int = 512
    low_hz: float = 20.0
    high_hz: float = 7600.0
    stack: int = 1
    """Neighbouring frames that are given side by side as one."""

    @property
    def sample_rate_hz(self) -> int:
        return SAMPLE_RATE_HZ

    @property
    def frames(self) -> int:
        return (self.segment_samples // self.hop + self.is_centred) // self.stack

    @property
    def features(self) -> int:
        return self.stack * (_FFT // 2 if self.bank == "none" else self.bands)

    @property
    def segment_s(self) -> float:
        return self.segment_samples / SAMPLE_RATE_HZ

    def __call__(self, segments: Array) -> Array:
        parts = range(0, len(segments), _SEGMENTS_AT_ONCE)
        made = [self._features(segments[begin : begin + _SEGMENTS_AT_ONCE]) for begin in parts]
        frames = np.concatenate(made) if made else np.zeros((0, self.frames, self.features), np.float32)
        return frames.reshape(len(segments), self.frames, self.features)

    def _features(self, segments: Array) -> Array:
        if self.is_centred:
            padded = np.pad(segments, ((0, 0), (_FFT // 2, _FFT // 2)), mode="reflect")
        else:
            padded = np.pad(segments, ((0, 0), (0, _FFT - self.hop)))
        framed = np.lib.stride_tricks.sliding_window_view(padded, _FFT, axis=1)[:, :: self.hop]
        spectrum = scipy.fft.rfft(framed * window())
        heard = spectrum.real**2 + spectrum.imag**2 if self.is_power else np.abs(spectrum)
        if self.bank == "none":
            heard = heard[..., 1:]
        else:
            heard = heard @ mel_matrix(self.bank, self.bands, self.low_hz, self.high_hz)
        if self.is_centred:
            return _scaled(np.log(heard + np.float32(1e-5)), self.scaling)
        return _scaled(np.log(np.where(heard <= 0, np.float32(1e-5), heard)), self.scaling)


def _scaled(levels: Array, scaling: Scaling) -> Array:
    match scaling:
        case "none":
            return levels
        case "clip":
            return (levels.clip(-12, 5) + np.float32(12)) / np.float32(17)
        case "min_max":
            low = levels.min(axis=(1, 2), keepdims=True)
            high = levels.max(axis=(1, 2), keepdims=True)
            scaled: Array = np.nan_to_num((levels - low) / (high - low + np.float32(0.008)), nan=0.0)
            return scaled


@lru_cache(maxsize=1)
def window() -> Array:
    """A periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FFT) / _FFT)).astype(np.float32)


@lru_cache(maxsize=8)
def mel_matrix(bank: BankName, bands: int, low_hz: float, high_hz: float) -> Array:
    """(FFT bins, bands) HTK mel triangles, not normalised.

    `linear_in_mel` is TensorFlow's, `linear_in_hz` torchaudio's. Both are built in single precision and rounded as they
    are there; the models hear the difference.
    """
    at, edges = (_linear_in_mel if bank == "linear_in_mel" else _linear_in_hz)(bands, low_hz, high_hz)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.maximum(0, np.minimum((at - left) / (centre - left), (right - at) / (right - centre)))
    skipped = _FFT // 2 + 1 - len(triangles)
    matrix: Array = np.pad(triangles, ((skipped, 0), (0, 0))).astype(np.float32)
    return matrix


def _linear_in_mel(bands: int, low_hz: float, high_hz: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where bins and the triangles' corners lie, in mel; the bin at 0 Hz takes no part."""
    single = np.float32
    bins_hz = np.linspace(single(0), single(SAMPLE_RATE_HZ / 2), _FFT // 2 + 1, dtype=single)[1:]
    low, high = (single(1127) * np.log(single(1) + single(hz) / single(700)) for hz in (low_hz, high_hz))
    bins = single(1127) * np.log(single(1) + bins_hz / single(700))
    return bins[:, None], np.linspace(low, high, bands + 2, dtype=single)


def _linear_in_hz(bands: int, low_hz: float, high_hz: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where bins and the triangles' corners lie, in hertz, rounded as torch does: steps count from the nearer end."""
    single = np.float32
    low, high = (single(2595 * np.log10(1 + hz / 700)) for hz in (low_hz, high_hz))
    step = float((high - low) / single(bands + 1))
    steps = np.arange(bands + 2)
    mels = np.where(steps <= bands // 2, low + step * steps, high - step * steps[::-1]).astype(single)
    ratios = (10.0 ** (mels / single(2595)).astype(np.float64)).astype(single)
    bins_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, _FFT // 2 + 1, dtype=single)
    return bins_hz[:, None], single(700) * (ratios - single(1))


def mel_centres_hz(bands: int, low_hz: float, high_hz: float) -> NDArray[np.float64]:
    """(bands,) where the triangles of `mel_matrix` are 1."""
    low, high = (1127 * np.log(1 + hz / 700) for hz in (low_hz, high_hz))
    centres: NDArray[np.float64] = 700 * np.expm1(np.linspace(low, high, bands + 2)[1:-1] / 1127)
    return centres


FRONT_ENDS: dict[FrontEndName, SegmentFrontEnd] = {
    "mt3": SegmentFrontEnd(32_768, 128, bank="linear_in_mel", is_centred=False, is_power=False, scaling="none"),
    "mr_mt3": SegmentFrontEnd(32_768, 128, bank="linear_in_hz", is_centred=False, is_power=False, scaling="clip"),
    "ymt3_plus": SegmentFrontEnd(
        32_767, 128, bank="linear_in_hz", is_centred=True, is_power=True, scaling="min_max", low_hz=50, high_hz=8000
    ),
    "yptf": SegmentFrontEnd(32_767, 300, bank="none", is_centred=True, is_power=False, scaling="min_max"),
}
