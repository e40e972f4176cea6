"""A log-frequency spectrogram in two resolutions: one that tells pitches apart, one that tells attacks apart.

Every bin is a triangle over the magnitudes of one short-time Fourier transform. The "pitch" channel takes long
windows for low bins, read at an eighth of the rate, and shorter ones upwards, close to a constant-Q transform; the
"attack" channel takes one short window for all bins. Levels are dB re full scale, clipped to [-100, 0] and mapped to
[0, 2]: no statistics of the file enter, so a frame depends on nothing but the samples near it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["DB_PER_UNIT", "NOTES_FRONT_END", "LogFrequency", "Resolution"]

FLOOR_DB = -100.0
DB_PER_UNIT = 50.0


@dataclass(frozen=True, slots=True)
class Resolution:
    """Bins below MIDI pitch `below` (and above the previous resolution's) are read from windows of `window` samples.

    The windows are taken after decimation by `decimation`, so the transform has `window / decimation` points.
    """

    window: int
    below: float
    decimation: int = 1


@dataclass(frozen=True, slots=True)
class LogFrequency:
    """The front end's settings; call it on samples.

    Frame t is centred on sample t · hop. Bin b is centred on MIDI pitch `lowest_pitch - 1/3 + b / bins_per_semitone`
    for three bins per semitone, so that the middle bin of each group of three is the tempered pitch itself.
    """

    sample_rate_hz: int = 24_000
    hop: int = 384
    lowest_pitch: int = 21
    semitones: int = 106
    bins_per_semitone: int = 3
    pitch_channel: tuple[Resolution, ...] = (
        Resolution(8192, 56.0, decimation=8),
        Resolution(4096, 80.0, decimation=8),
        Resolution(2048, 999.0),
    )
    attack_channel: tuple[Resolution, ...] = (Resolution(1024, 999.0),)

    @property
    def bins(self) -> int:
        return self.semitones * self.bins_per_semitone

    @property
    def frame_s(self) -> float:
        return self.hop / self.sample_rate_hz

    @property
    def reach(self) -> int:
        """Samples that a frame needs on either side of its centre."""
        resolutions = (*self.pitch_channel, *self.attack_channel)
        return max(resolution.window // 2 + _filter_reach(resolution.decimation) for resolution in resolutions)

    def pitches(self) -> NDArray[np.float64]:
        """Fractional MIDI pitch of each bin, `(bins,)`."""
        middle = self.bins_per_semitone // 2
        return self.lowest_pitch + (np.arange(self.bins) - middle) / self.bins_per_semitone

    def __call__(self, samples: Tensor) -> Tensor:
        """Spectrogram of `samples` (batch, reach + (frames - 1) · hop + reach) as (batch, 2, frames, bins).

        The caller supplies `reach` samples on both sides of the first and last frame's centre (zeros at a file's ends).
        """
        at_rate = {1: samples}
        for resolution in (*self.pitch_channel, *self.attack_channel):
            if resolution.decimation not in at_rate:
                at_rate[resolution.decimation] = _decimated(samples, resolution.decimation)
        channels = [self._channel(at_rate, resolutions) for resolutions in (self.pitch_channel, self.attack_channel)]
        level_db = 20.0 * torch.log10(torch.stack(channels, dim=1).clamp_min(10 ** (FLOOR_DB / 20)))
        return (level_db.clamp_max(0.0) - FLOOR_DB) / DB_PER_UNIT

    def _channel(self, at_rate: dict[int, Tensor], resolutions: tuple[Resolution, ...]) -> Tensor:
        parts = []
        lower = -np.inf
        for resolution in resolutions:
            parts.append(self._magnitudes(at_rate[resolution.decimation], resolution, lower))
            lower = resolution.below
        return torch.cat(parts, dim=-1)

    def _magnitudes(self, samples: Tensor, resolution: Resolution, lower: float) -> Tensor:
        """Magnitudes (batch, frames, bins of this resolution) of samples that are already decimated."""
        step = resolution.decimation
        points, skip = resolution.window // step, self.reach - _filter_reach(step) - resolution.window // 2
        end = samples.shape[-1] - skip // step
        framed = samples[..., skip // step : end].unfold(-1, points, self.hop // step)  # (batch, frames, points)
        window = torch.hann_window(points, device=samples.device)
        spectrum = torch.fft.rfft(framed * (window * (2.0 / window.sum())))
        triangles = _triangles(self, resolution, lower).to(samples.device)
        magnitudes: Tensor = spectrum[..., : triangles.shape[0]].abs() @ triangles
        return magnitudes


_FILTER_SPAN = 16
"""Length of a decimation filter in samples after decimation: 100 dB down from 0.7 of the new rate on."""


def _filter_reach(decimation: int) -> int:
    return 0 if decimation == 1 else decimation * _FILTER_SPAN // 2


@cache
def _low_pass(decimation: int) -> NDArray[np.float64]:
    """A linear-phase low-pass of `decimation · _FILTER_SPAN + 1` taps; sound below 0.3 of the new rate passes."""
    reach = _filter_reach(decimation)
    taps = np.sinc(np.arange(-reach, reach + 1) / decimation) * np.kaiser(2 * reach + 1, 10.06)
    whole: NDArray[np.float64] = taps / taps.sum()
    return whole


def _decimated(samples: Tensor, decimation: int) -> Tensor:
    """Every `decimation`-th sample of (batch, samples), low-passed; the first is centred on `_filter_reach`."""
    taps = np.zeros((_FILTER_SPAN + 1, decimation), np.float32)
    taps.flat[: decimation * _FILTER_SPAN + 1] = _low_pass(decimation)
    weight = torch.from_numpy(taps.T[None].copy()).to(samples.device)  # polyphase: (1, decimation, span + 1)
    whole = samples[:, : samples.shape[-1] // decimation * decimation]
    phases = whole.reshape(len(whole), -1, decimation).transpose(1, 2)
    return torch.nn.functional.conv1d(phases, weight)[:, 0]


NOTES_FRONT_END = LogFrequency()

_TRIANGLES: dict[tuple[LogFrequency, Resolution, float], Tensor] = {}


def _triangles(front_end: LogFrequency, resolution: Resolution, lower: float) -> Tensor:
    """`(transform bins used, log-frequency bins of this resolution)`, each column summing to 1; computed once."""
    key = (front_end, resolution, lower)
    if key not in _TRIANGLES:
        pitches = front_end.pitches()
        pitches = pitches[(pitches >= lower) & (pitches < resolution.below)]
        centres_hz = 440.0 * 2 ** ((pitches - 69) / 12)
        step_hz = front_end.sample_rate_hz / resolution.window
        # a triangle narrower than a transform bin would fall between two of them: then it interpolates
        half_width_hz = np.maximum(centres_hz * (2 ** (1 / (12 * front_end.bins_per_semitone)) - 1), step_hz)
        points = resolution.window // resolution.decimation
        used = min(points // 2 + 1, int(np.ceil((centres_hz + half_width_hz).max() / step_hz)) + 1)
        grid_hz = np.arange(used)[:, None] * step_hz
        weights = np.maximum(0.0, 1.0 - np.abs(grid_hz - centres_hz) / half_width_hz)
        weights /= np.maximum(weights.sum(axis=0), 1e-9)  # bins above the Nyquist frequency stay empty
        with torch.inference_mode(False):  # a tensor born in inference mode could never be trained with
            _TRIANGLES[key] = torch.from_numpy(weights.astype(np.float32))
    return _TRIANGLES[key]
