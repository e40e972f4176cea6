"""The two spectrogram layers of torchaudio that YourMT3 uses, for environments without torchaudio.

torchaudio has no CPU build for every torch. Written after its documentation: `Spectrogram` and `MelSpectrogram` with
their defaults (periodic Hann window, centred frames with mirrored ends, HTK mel scale, triangles linear in Hz without
normalisation, all in single precision).
"""

from __future__ import annotations

import math
import sys
import types
from importlib.machinery import ModuleSpec

import torch
from torch import Tensor, nn


class Spectrogram(nn.Module):
    def __init__(self, n_fft: int, hop_length: int, power: float = 2.0, window_fn: object = None) -> None:
        super().__init__()
        assert window_fn in (None, torch.hann_window)
        self.n_fft, self.hop_length, self.power = n_fft, hop_length, power
        self.register_buffer("window", torch.hann_window(n_fft))

    def forward(self, audio: Tensor) -> Tensor:
        """(..., samples) to (..., n_fft / 2 + 1, frames)."""
        flat = audio.reshape(-1, audio.shape[-1])
        spectra = torch.stft(flat, self.n_fft, self.hop_length, window=self.window, return_complex=True).abs()
        return spectra.pow(self.power).reshape(*audio.shape[:-1], *spectra.shape[-2:])


class MelScale(nn.Module):
    def __init__(self, bins: int, bands: int, rate_hz: int, low_hz: float, high_hz: float) -> None:
        super().__init__()
        low, high = (2595.0 * math.log10(1.0 + hz / 700.0) for hz in (low_hz, high_hz))
        edges = 700.0 * (10.0 ** (torch.linspace(low, high, bands + 2) / 2595.0) - 1.0)
        widths = edges[1:] - edges[:-1]
        distances = edges[None] - torch.linspace(0, rate_hz // 2, bins)[:, None]
        falling, rising = -distances[:, :-2] / widths[:-1], distances[:, 2:] / widths[1:]
        self.register_buffer("fb", torch.minimum(falling, rising).clamp(min=0))

    def forward(self, spectra: Tensor) -> Tensor:
        return (spectra.transpose(-1, -2) @ self.fb).transpose(-1, -2)


class MelSpectrogram(nn.Module):
    def __init__(self, sample_rate: int, n_fft: int, hop_length: int, f_min: float, f_max: float, n_mels: int) -> None:
        super().__init__()
        self.spectrogram = Spectrogram(n_fft, hop_length)
        self.mel_scale = MelScale(n_fft // 2 + 1, n_mels, sample_rate, f_min, f_max)

    def forward(self, audio: Tensor) -> Tensor:
        return self.mel_scale(self.spectrogram(audio))


def stand_in() -> None:
    """Let `import torchaudio` find these layers."""
    transforms = types.ModuleType("torchaudio.transforms")
    transforms.Spectrogram, transforms.MelSpectrogram = Spectrogram, MelSpectrogram  # type: ignore[attr-defined]
    package = types.ModuleType("torchaudio")
    package.transforms = transforms  # type: ignore[attr-defined]
    package.__spec__ = ModuleSpec("torchaudio", None)  # transformers looks for it
    sys.modules["torchaudio"], sys.modules["torchaudio.transforms"] = package, transforms
