"""How networks are made ready to be asked for one token at a time."""

from __future__ import annotations

import torch

from tutti.weights.devices import choose_precision

__all__ = ["stepping_dtype"]


def stepping_dtype(device: torch.device) -> torch.dtype:
    """What steps multiply in, and what keys and values are kept in: bf16 where the hardware multiplies it."""
    return torch.bfloat16 if choose_precision("auto", device) == "bf16" else torch.float32
