"""Fewer passes over memory at inference."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

__all__ = ["fold_batch_norms"]


def fold_batch_norms(net: nn.Module) -> nn.Module:
    """Merge every batch norm into the convolution before it; same outputs in evaluation, fewer passes over memory."""
    net.eval()
    for module in list(net.modules()):
        if not isinstance(module, nn.Sequential):
            continue
        for (name, first), (norm_name, second) in pairwise(list(module.named_children())):
            if isinstance(first, nn.Conv1d | nn.Conv2d) and isinstance(second, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(module, name, nn.utils.fusion.fuse_conv_bn_eval(first, second))
                setattr(module, norm_name, nn.Identity())
    return net
