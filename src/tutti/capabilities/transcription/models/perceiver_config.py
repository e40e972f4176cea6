"""The sizes of YourMT3+'s Perceiver-TF encoder, and its rotary tables. No framework."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHANNEL_NAMES", "PerceiverConfig", "RotaryKind", "rotary_frequencies", "rotary_positions", "rotary_turns"]

RotaryKind = Literal["pixel", "lang"]
"""`pixel`: places spread evenly over -1...1, whatever their number. `lang`: places counted from 0."""

CHANNEL_NAMES = (
    "Piano",
    "Chromatic percussion",
    "Organ",
    "Guitar",
    "Bass",
    "Strings and ensemble",
    "Brass",
    "Reed",
    "Pipe",
    "Synth lead",
    "Synth pad",
    "Singing",
    "Drums",
)
"""What each row of a segment's tokens was taught to write in the models with 13; nothing holds it to that."""


@dataclass(frozen=True, slots=True)
class PerceiverConfig:
    """Perceiver-TF after Lu et al. (ICASSP 2023) as YourMT3+ builds it (Chang et al., MLSP 2024)."""

    latents: int
    blocks: int = 3
    layers: int = 2
    """Local and temporal layers of each block, so many of either."""
    width: int = 128
    heads: int = 8
    bands: int = 128
    """Frequencies of a frame after the convolutions, an eighth of the front end's."""
    stem_channels: int = 128
    max_frames: int = 120
    """Frames a learnt table of positions has; the front end gives 110."""
    experts: int = 0
    """0: plain feed-forward and a learnt table of positions; else a mixture of so many, rotary positions and a
    residual around the cross-attention."""
    chosen_experts: int = 2
    widening: int = 4
    """Inner width of an expert in multiples of `width`."""


def rotary_frequencies(kind: RotaryKind, heads: int) -> NDArray[np.float32]:
    """(heads // 4,) angles per place, one for each pair of features that is turned.

    YourMT3 gives the number of heads where the width of a head is meant, and turns half of that: 4 features of 16.
    """
    turned = heads // 2
    if kind == "pixel":
        return (np.linspace(1, 5, turned // 2) * np.pi).astype(np.float32)
    return (10_000.0 ** -(np.arange(0, turned, 2) / turned)).astype(np.float32)


def rotary_positions(kind: RotaryKind, length: int) -> NDArray[np.float32]:
    """(length,) places of a sequence."""
    return np.linspace(-1, 1, length, dtype=np.float32) if kind == "pixel" else np.arange(length, dtype=np.float32)


@lru_cache(maxsize=32)
def rotary_turns(kind: RotaryKind, heads: int, length: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines and sines (length, heads // 4) of the angles at every place, shared between callers."""
    angles = rotary_positions(kind, length)[:, None] * rotary_frequencies(kind, heads)
    return np.cos(angles), np.sin(angles)
