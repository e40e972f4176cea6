"""The drum front end: band levels at two time resolutions, 100 frames a second.

Each band is a triangle over the magnitudes of a short-time Fourier transform. Bands are a semitone apart, or one
transform bin where a semitone is less, so that none is empty. The long window tells a kick from a bass and a ride from
a crash, the short one tells when. Levels are dB re full scale, clipped to [-100, 0] and mapped to [0, 2]: no statistics
of the file enter, so a frame depends on nothing but the samples near it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["DRUMS_FRONT_END", "STEPS_PER_UNIT", "Bands", "stored_levels"]

FLOOR_DB = -100.0
DB_PER_UNIT = 50.0
STEPS_PER_UNIT = 125.0
"""Levels are kept as bytes, in steps of 0.4 dB: 61 MB an hour."""

_BLOCK_FRAMES = 1024


@dataclass(frozen=True, slots=True)
class Bands:
    """The front end's settings; call it on samples. Frame t is centred on sample t · hop."""

    sample_rate_hz: int = 24_000
    hop: int = 240
    windows: tuple[int, ...] = (2048, 512)
    lowest_hz: float = 30.0
    highest_hz: float = 11_500.0
    per_octave: int = 12

    @property
    def frame_s(self) -> float:
        return self.hop / self.sample_rate_hz

    @property
    def reach(self) -> int:
        """Samples that a frame needs on either side of its centre."""
        return max(self.windows) // 2

    @property
    def bands(self) -> int:
        return len(self.centres_hz())

    def centres_hz(self) -> NDArray[np.float64]:
        """Centre of each band, `(bands,)`."""
        return _centres(self)

    def __call__(self, samples: Tensor) -> Tensor:
        """Levels of `samples` (batch, reach + (frames - 1) · hop + reach) as (batch, windows, frames, bands).

        The caller supplies `reach` samples on both sides of the first and last frame's centre (zeros at a file's ends).
        """
        channels = torch.stack([self._magnitudes(samples, window) for window in self.windows], dim=1)
        level_db = 20.0 * torch.log10(channels.clamp_min(10 ** (FLOOR_DB / 20)))
        return (level_db.clamp_max(0.0) - FLOOR_DB) / DB_PER_UNIT

    def _magnitudes(self, samples: Tensor, window: int) -> Tensor:
        skip = self.reach - window // 2
        framed = samples[..., skip : samples.shape[-1] - skip].unfold(-1, window, self.hop)
        weight = torch.hann_window(window, device=samples.device)
        spectrum = torch.fft.rfft(framed * (weight * (2.0 / weight.sum())))
        magnitudes: Tensor = spectrum.abs() @ _triangles(self, window).to(samples.device)
        return magnitudes


@cache
def _centres(front_end: Bands) -> NDArray[np.float64]:
    step_hz = front_end.sample_rate_hz / max(front_end.windows)
    centres = [front_end.lowest_hz]
    while centres[-1] < front_end.highest_hz:
        centres.append(max(centres[-1] * 2 ** (1 / front_end.per_octave), centres[-1] + step_hz))
    return np.array(centres[:-1])


_TRIANGLES: dict[tuple[Bands, int], Tensor] = {}


def _triangles(front_end: Bands, window: int) -> Tensor:
    """`(window // 2 + 1, bands)`, each column summing to 1; computed once."""
    key = (front_end, window)
    if key not in _TRIANGLES:
        centres_hz = front_end.centres_hz()
        step_hz = front_end.sample_rate_hz / window
        spacing_hz = np.diff(centres_hz, append=centres_hz[-1] * 2 ** (1 / front_end.per_octave))
        half_width_hz = np.maximum(spacing_hz, step_hz)  # narrower than a transform bin it interpolates
        grid_hz = np.arange(window // 2 + 1)[:, None] * step_hz
        weights = np.maximum(0.0, 1.0 - np.abs(grid_hz - centres_hz) / half_width_hz)
        weights /= weights.sum(axis=0)
        with torch.inference_mode(False):  # a tensor born in inference mode could never be trained with
            _TRIANGLES[key] = torch.from_numpy(weights.astype(np.float32))
    return _TRIANGLES[key]


DRUMS_FRONT_END = Bands()


def stored_levels(
    audio: Iterable[NDArray[np.float32]], front_end: Bands = DRUMS_FRONT_END
) -> Iterator[NDArray[np.uint8]]:
    """Levels of a whole recording as bytes, STEPS_PER_UNIT to the unit: arrays (windows, frames, bands) in turn.

    `audio` are mono blocks of any size at the front end's rate. Frames go on to the last one centred in the recording;
    beyond its ends there is silence.
    """
    hop, reach = front_end.hop, front_end.reach
    needed = 2 * reach + (_BLOCK_FRAMES - 1) * hop
    pending = np.zeros(reach, np.float32)
    heard = given = 0
    for block in audio:
        pending = np.concatenate([pending, block])
        heard += len(block)
        while len(pending) >= needed:
            yield _bytes(front_end, pending[:needed])
            pending = pending[_BLOCK_FRAMES * hop :]
            given += _BLOCK_FRAMES
    while (left := min(_BLOCK_FRAMES, heard // hop + 1 - given)) > 0:
        needed = 2 * reach + (left - 1) * hop
        yield _bytes(front_end, np.pad(pending[:needed], (0, max(0, needed - len(pending)))))
        pending = pending[left * hop :]
        given += left


@torch.inference_mode()
def _bytes(front_end: Bands, samples: NDArray[np.float32]) -> NDArray[np.uint8]:
    levels = front_end(torch.from_numpy(samples)[None])[0]
    stored: NDArray[np.uint8] = (levels * STEPS_PER_UNIT).round_().to(torch.uint8).numpy()
    return stored
