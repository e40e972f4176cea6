"""Blocks of decoded samples → finite, mixed, resampled blocks. One code for the decoder process and for arrays."""

from __future__ import annotations

from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray

__all__ = ["QUALITY", "Conditioner", "FloatArray"]

FloatArray = NDArray[np.float32]

QUALITY: Final = "HQ"
"""soxr's quality: 20 bits of precision, beyond what 16-bit recordings hold."""
_LOUDEST: Final = 1e6
# Full scale is 1. What lies beyond 120 dB above it is a broken file, and squares of it overflow float32.


class Conditioner:
    """Sanitises, mixes and resamples a stream, block by block.

    Samples that are NaN, infinite or beyond ±1,000,000 become 0 and are counted in `replaced`.
    soxr keeps its state between blocks, so the result does not depend on where the blocks were cut.
    """

    def __init__(self, native_rate_hz: int, channels: int, rate_hz: int | None, *, mono: bool) -> None:
        """`rate_hz` None keeps the native rate. `mono` takes the mean of the channels."""
        self.channels: Final = 1 if mono else channels
        self.rate_hz: Final = rate_hz or native_rate_hz
        self.replaced = 0
        self._mono = mono
        self._resampler = (
            None
            if self.rate_hz == native_rate_hz
            else soxr.ResampleStream(native_rate_hz, self.rate_hz, self.channels, dtype="float32", quality=QUALITY)
        )

    def process(self, block: FloatArray) -> FloatArray:
        """(n, channels) → (m, channels out), fewer or more than n·rate/native: soxr holds some back."""
        clean = self._sanitised(block)
        return self._resampled(_mean_of_channels(clean) if self._mono else clean, last=False)

    def finish(self) -> FloatArray:
        """What soxr still held back, (m, channels out)."""
        return self._resampled(np.zeros((0, self.channels), np.float32), last=True)

    @property
    def warnings(self) -> list[str]:
        if not self.replaced:
            return []
        return [f"{self.replaced} samples were not finite numbers or absurdly loud; they were replaced by silence."]

    def _sanitised(self, block: FloatArray) -> FloatArray:
        # Two passes without a temporary; NaN fails both comparisons.
        if not block.size or (block.min() >= -_LOUDEST and block.max() <= _LOUDEST):
            return block
        broken = ~(np.abs(block) <= _LOUDEST)
        self.replaced += int(np.count_nonzero(broken))
        return np.where(broken, np.float32(0), block)

    def _resampled(self, block: FloatArray, *, last: bool) -> FloatArray:
        if self._resampler is None:
            return block
        resampled = self._resampler.resample_chunk(np.ascontiguousarray(block), last=last)
        return np.asarray(resampled, np.float32).reshape(-1, self.channels)


def _mean_of_channels(block: FloatArray) -> FloatArray:
    """(n, channels) → (n, 1). Adding columns is several times faster than `mean` over a short axis."""
    channels = block.shape[1]
    if channels == 1:
        return block
    mixed = block[:, 0] + block[:, 1]
    for channel in range(2, channels):
        mixed += block[:, channel]
    mixed *= np.float32(1 / channels)
    return mixed[:, None]
