"""The sizes of YourMT3+'s Perceiver-TF encoder, and its rotary frequencies. No framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHANNEL_NAMES", "PerceiverConfig", "RotaryKind", "rotary_frequencies"]

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
        return np.linspace(1, 5, turned // 2, dtype=np.float32) * np.float32(np.pi)
    return (10_000.0 ** -(np.arange(0, turned, 2) / turned)).astype(np.float32)
