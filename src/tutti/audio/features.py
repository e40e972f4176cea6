"""Log-mel front ends: one parametrised computation, and the exact ones of the models that tutti opens, by name.

| name | of | what it is |
|---|---|---|
| MT3 | Magenta's MT3, MT3-PyTorch | magnitude, 512 mels with triangles linear in mel, log of what is above 0 |
| MR_MT3 | MR-MT3 trained from scratch | the same with triangles linear in Hz, [-12, 5] → [0, 1] |
| MR_MT3_CONTINUED | MR-MT3 trained on from MT3 | MT3's, with MR-MT3's scaling |
| YMT3_PLUS | YMT3+ | power, centred frames, 512 mels from 50 to 8000 Hz, every item scaled by its own range |
| YPTF | YourMT3's Perceiver-TF models | magnitude of all bins but DC, centred frames, scaled likewise |

Every item of a batch is computed on its own: a model that was trained on segments must be given segments. One
spectrogram of a whole recording is not the same, since frames at a segment's end see padding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["MR_MT3", "MR_MT3_CONTINUED", "MT3", "YMT3_PLUS", "YPTF", "ClipScaling", "LogMel", "MelBank", "RangeScaling"]


@dataclass(frozen=True, slots=True)
class MelBank:
    """Triangular bands on the HTK mel scale.

    `linear_in` says in which unit a triangle's flanks are straight: TensorFlow's are in mel, torchaudio's in Hz.
    The matrix is computed in float32 step by step as the respective library does; float64 is further from it.
    """

    bands: int
    f_min_hz: float
    f_max_hz: float
    linear_in: Literal["mel", "hz"]

    def matrix(self, sample_rate_hz: int, n_fft: int) -> NDArray[np.float32]:
        """(n_fft // 2 + 1, bands) float32."""
        compute = _triangles_in_mel if self.linear_in == "mel" else _triangles_in_hz
        return compute(self, sample_rate_hz, n_fft)


@dataclass(frozen=True, slots=True)
class ClipScaling:
    """Levels clipped to [low, high] and mapped to [0, 1]."""

    low: float
    high: float

    def __call__(self, levels: Tensor) -> Tensor:
        return (levels.clamp(self.low, self.high) - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class RangeScaling:
    """Each item mapped to [0, 1) by its own least and greatest level; an item of one level becomes 0.

    `spare` is added to the range before dividing.
    """

    spare: float

    def __call__(self, levels: Tensor) -> Tensor:
        low, high = levels.amin((-2, -1), keepdim=True), levels.amax((-2, -1), keepdim=True)
        return torch.nan_to_num((levels - low) / (high - low + self.spare), nan=0.0)


@dataclass(frozen=True, slots=True)
class LogMel:
    """A front end's settings. Call it on samples to compute.

    Frames are periodic-Hann windows of `n_fft` samples every `hop`. Centred: frame t around sample t · hop, ends
    reflected. Otherwise it begins there, and zeros follow the end.
    """

    sample_rate_hz: int
    n_fft: int
    hop: int
    centred: bool
    power: Literal[1, 2]
    """Magnitude or power of the spectrum."""
    mel: MelBank | None
    """None keeps the transform's own bins but the one at 0 Hz."""
    floor: Literal["replace", "add"]
    """`log(x)` with x ≤ 0 replaced by `epsilon`, or `log(x + epsilon)`."""
    epsilon: float = 1e-5
    scaling: ClipScaling | RangeScaling | None = None

    @property
    def bins(self) -> int:
        """Features per frame."""
        return self.n_fft // 2 if self.mel is None else self.mel.bands

    @property
    def frame_s(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop / self.sample_rate_hz

    def frames(self, samples: int) -> int:
        """How many frames `samples` samples make."""
        return 1 + samples // self.hop if self.centred else math.ceil(samples / self.hop)

    def __call__(self, samples: Tensor) -> Tensor:
        """(batch, samples) or (samples,), float32 at `sample_rate_hz` → (batch, frames, bins) or (frames, bins).

        Raises ValueError for no samples, and for fewer than `n_fft // 2 + 1` where the ends are reflected.
        """
        least = self.n_fft // 2 + 1 if self.centred else 1
        if samples.shape[-1] < least:
            raise ValueError(f"{samples.shape[-1]} samples are too few for a frame; give {least} or more.")
        levels = self._levels(self._spectrum(samples))
        return levels if self.scaling is None else self.scaling(levels)

    def window(self) -> Tensor:
        """(n_fft,) periodic Hann, float32."""
        return _window(self.n_fft)

    def mel_matrix(self) -> Tensor:
        """(n_fft // 2 + 1, bins) float32. Raises ValueError for a front end without mel bands."""
        if self.mel is None:
            raise ValueError("this front end has no mel bands.")
        return _matrix(self.mel, self.sample_rate_hz, self.n_fft)

    def _spectrum(self, samples: Tensor) -> Tensor:
        framed = self._padded(samples).unfold(-1, self.n_fft, self.hop)  # (…, frames, n_fft)
        magnitudes: Tensor = torch.fft.rfft(framed * self.window().to(samples.device)).abs()  # (…, n_fft // 2 + 1)
        return magnitudes.square() if self.power == 2 else magnitudes

    def _padded(self, samples: Tensor) -> Tensor:
        if not self.centred:
            needed = (self.frames(samples.shape[-1]) - 1) * self.hop + self.n_fft
            return torch.nn.functional.pad(samples, (0, needed - samples.shape[-1]))
        half = self.n_fft // 2
        batched = samples.reshape(-1, samples.shape[-1])  # reflection takes no bare vector
        reflected = torch.nn.functional.pad(batched, (half, half), mode="reflect")
        return reflected.reshape(*samples.shape[:-1], -1)

    def _levels(self, spectrum: Tensor) -> Tensor:
        energy = spectrum[..., 1:] if self.mel is None else spectrum @ self.mel_matrix().to(spectrum.device)
        if self.floor == "add":
            return torch.log(energy + self.epsilon)
        return torch.log(torch.where(energy > 0, energy, self.epsilon))


MT3: Final = LogMel(16_000, 2048, 128, False, 1, MelBank(512, 20.0, 7600.0, "mel"), "replace")
MR_MT3: Final = LogMel(
    16_000, 2048, 128, False, 1, MelBank(512, 20.0, 7600.0, "hz"), "replace", scaling=ClipScaling(-12.0, 5.0)
)
MR_MT3_CONTINUED: Final = replace(MT3, scaling=MR_MT3.scaling)
YMT3_PLUS: Final = LogMel(
    16_000, 2048, 128, True, 2, MelBank(512, 50.0, 8000.0, "hz"), "add", scaling=RangeScaling(0.008)
)
YPTF: Final = LogMel(16_000, 2048, 300, True, 1, None, "add", scaling=RangeScaling(0.008))


# Whoever asks first may do so in inference mode; what is kept must serve training as well.


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _window(n_fft: int) -> Tensor:
    return torch.hann_window(n_fft, periodic=True, dtype=torch.float32)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _matrix(mel: MelBank, sample_rate_hz: int, n_fft: int) -> Tensor:
    return torch.from_numpy(mel.matrix(sample_rate_hz, n_fft))


def _triangles_in_mel(mel: MelBank, sample_rate_hz: int, n_fft: int) -> NDArray[np.float32]:
    """As TensorFlow builds them: no weight at 0 Hz, edges evenly spaced and flanks straight in mel."""

    def to_mel(f_hz: NDArray[np.float32]) -> NDArray[np.float32]:
        mels: NDArray[np.float32] = np.float32(1127.0) * np.log(np.float32(1.0) + f_hz / np.float32(700.0))
        return mels

    bins = to_mel(np.linspace(0.0, sample_rate_hz / 2, n_fft // 2 + 1, dtype=np.float32)[1:, None])
    low, high = to_mel(np.array([mel.f_min_hz, mel.f_max_hz], np.float32))
    edges = np.linspace(low, high, mel.bands + 2, dtype=np.float32)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - lower) / (centre - lower), (upper - bins) / (upper - centre)
    weights = np.maximum(np.float32(0.0), np.minimum(rising, falling))
    return np.pad(weights, ((1, 0), (0, 0)))


def _triangles_in_hz(mel: MelBank, sample_rate_hz: int, n_fft: int) -> NDArray[np.float32]:
    """As torchaudio builds them: edges evenly spaced in mel, flanks straight in Hz."""

    def to_mel(f_hz: float) -> float:
        return 2595.0 * math.log10(1.0 + f_hz / 700.0)

    bins = torch.linspace(0, sample_rate_hz // 2, n_fft // 2 + 1)[:, None]
    edges_mel = torch.linspace(to_mel(mel.f_min_hz), to_mel(mel.f_max_hz), mel.bands + 2)
    edges = 700.0 * (10.0 ** (edges_mel / 2595.0) - 1.0)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - lower) / (centre - lower), (upper - bins) / (upper - centre)
    weights: NDArray[np.float32] = torch.minimum(rising, falling).clamp_min(0.0).numpy()
    return weights
