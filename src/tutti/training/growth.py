"""A trained network as the beginning of a larger one that answers alike, after Chen, Goodfellow and Shlens, "Net2Net"
(ICLR 2016).

What the small network has lies first in every tensor; what it has learnt listens to nothing that is new. New channels
begin at random, new residual blocks must begin as no change at all.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from tutti.errors import TrainingError
from tutti.weights.opening import read_safetensors

__all__ = ["grow_from"]


@torch.no_grad()
def grow_from(network: nn.Module, path: Path) -> None:
    """Weights of the safetensors file at `path` into `network`, which has every tensor of the file in its size or more.

    Raises WeightsError, or TrainingError when the file is of a network that this one does not contain.
    """
    small, _ = read_safetensors(path)
    own = network.state_dict()
    strange = [name for name in small if name not in own or not _fits(small[name], own[name])]
    if strange or not small:
        found = ", ".join(strange[:4]) or "no tensors"
        raise TrainingError(f"{path} is no smaller network of this kind: it has {found}. Name another start.")
    for name, known in small.items():
        grown = own[name]
        if known.ndim > 1:
            grown[: len(known)] = 0
        grown[tuple(slice(size) for size in known.shape)] = known


def _fits(known: torch.Tensor, grown: torch.Tensor) -> bool:
    return known.ndim == grown.ndim and all(a <= b for a, b in zip(known.shape, grown.shape, strict=True))
