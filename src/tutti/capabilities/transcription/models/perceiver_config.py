"""The sizes of YourMT3+'s Perceiver-TF encoder. No framework."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PerceiverConfig"]


@dataclass(frozen=True, slots=True)
class PerceiverConfig:
    """Perceiver-TF after Lu et al. (ICASSP 2023) as YourMT3+ builds it (Chang et al., MLSP 2024)."""

    latents: int
    blocks: int = 3
    layers: int = 2
    """Local and temporal layers of each block."""
    width: int = 128
    heads: int = 8
    experts: int = 0
    """0: plain feed-forward and a learnt table of positions; else a mixture of so many, rotary positions and a
    residual around the cross-attention."""
    chosen_experts: int = 2
    widening: int = 4
    """Inner width of an expert in multiples of `width`."""
