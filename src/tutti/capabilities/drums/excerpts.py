"""Pieces of a recording that may reach over its ends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["excerpt"]


def excerpt(samples: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
    """Samples `start` to `stop` - 1 of `(samples,)`, zeros where there are none; a view where all are there."""
    if start >= 0 and stop <= len(samples):
        return samples[start:stop]
    first, last = min(max(start, 0), len(samples)), min(max(stop, 0), len(samples))
    piece = np.zeros(stop - start, dtype=samples.dtype)
    piece[first - start : last - start] = samples[first:last]
    return piece
