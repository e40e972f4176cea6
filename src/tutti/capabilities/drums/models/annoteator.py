"""`annoteator`: the clip classifier of AnNOTEator (cb-42/AnNOTEator, 2022, MIT) in torch.

A clip of 0.2 s around an onset, as mel power, gives six independent probabilities. The weights are those of the
authors' `complete_network.h5`, converted once by `annoteator_weights`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["BANDS", "FRAMES", "INSTRUMENTS", "AnnoteatorNet"]

BANDS, FRAMES = 128, 18
INSTRUMENTS = ("snare", "hihat_closed", "kick", "ride", "tom_high", "crash")
"""What each output is called here; the network was taught more: snare with rim and side stick, any hi-hat, any tom."""


class AnnoteatorNet(nn.Module):
    """Mel power (clips, 128 bands, 18 frames), linear and not normalised, to probabilities (clips, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1), nn.Conv2d(64, 64, 3)]
        )
        self.dense = nn.ModuleList([nn.Linear(960, 100), nn.Linear(100, 100), nn.Linear(100, len(INSTRUMENTS))])

    def forward(self, mel: Tensor) -> Tensor:
        maps = mel[:, None]
        for convolution in self.convolutions:
            maps = nn.functional.max_pool2d(torch.relu(convolution(maps)), 2)
        first, second, last = self.dense
        hidden = torch.relu(first(maps.flatten(1)))
        # dropout, .2 before and .3 after the second layer's input in training, has no part in hearing
        return torch.sigmoid(last(torch.relu(second(hidden))))
