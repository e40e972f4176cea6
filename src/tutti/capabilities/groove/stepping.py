"""How networks are made ready to be asked for one token at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from tutti.nets.causal import CausalBlocks, Stepper
from tutti.nets.packing import Linear, packed_linear
from tutti.weights.devices import choose_precision

__all__ = ["packed", "stepping_dtype"]


def stepping_dtype(device: torch.device) -> torch.dtype:
    """What steps multiply in, and what keys and values are kept in: bf16 where the hardware multiplies it."""
    return torch.bfloat16 if choose_precision("auto", device) == "bf16" else torch.float32


def packed(layers: CausalBlocks, table: Tensor, longest: int) -> tuple[Stepper, Linear]:
    """`layers` for steps of sequences of up to `longest` tokens, and the head that reads by `table`."""
    return Stepper(layers, longest, stepping_dtype(table.device)), packed_linear(table)
