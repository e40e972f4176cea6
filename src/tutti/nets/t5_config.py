"""The sizes of an encoder-decoder of the MT3 kind, and its position tables. No framework."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_POSITIONS", "PositionTable", "T5Config", "position_table"]

MAX_POSITIONS = 2048

PositionTable = Literal["magenta", "stored"]
"""`magenta`: frequencies spread over i / 255, as T5X computes them. `stored`: over i / 256, as the PyTorch
checkpoints of the family keep them."""


@dataclass(frozen=True, slots=True)
class T5Config:
    """T5 1.1 without relative position bias (Gardner et al., "MT3", ICLR 2022); the default is MT3's own size."""

    vocabulary: int = 1536
    width: int = 512
    heads: int = 6
    head_width: int = 64
    feed_forward: int = 1024
    encoder_layers: int = 8
    """0 for networks that encode in another way."""
    decoder_layers: int = 8
    positions: PositionTable = "magenta"
    logit_scale: float = 1.0
    """Factor of the last hidden state before it becomes logits."""
    probability_scale: float = 1.0
    """Factor of logits before they become probabilities, where a network was trained with other logits than it gives
    (YourMT3). Which token is likeliest does not depend on it."""

    choices: int = 2
    """How many of the likeliest tokens a step of the decoder gives; a search with one beam needs two."""

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.heads * self.head_width


@lru_cache(maxsize=8)
def position_table(kind: PositionTable, width: int) -> NDArray[np.float32]:
    """(MAX_POSITIONS, width), shared between callers: sines in the first half of the columns, cosines in the second."""
    half = width // 2
    exponents = np.arange(half) / (half - 1 if kind == "magenta" else half)
    angles = np.arange(MAX_POSITIONS)[:, None] * 10_000.0**-exponents
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
