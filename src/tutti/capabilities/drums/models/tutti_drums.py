"""`tutti-drums`: a small convolutional network from band levels to strokes, 100 frames a second.

Convolutions over time and frequency find attacks and their colour, what is left of the spectrum becomes one vector a
frame, and dilated blocks compare it with the four seconds around it. Every class has an onset and a velocity output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tutti.music.drum_kit import DRUM_CLASSES

__all__ = ["DrumsNet", "DrumsNetConfig", "DrumsPredictions"]


@dataclass(frozen=True, slots=True)
class DrumsNetConfig:
    """Sizes; the defaults are the shipped model's."""

    windows: int = 2
    bands: int = 85
    stem: int = 24
    column: int = 48
    width: int = 160
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 1, 2, 4, 8, 16, 32)
    kernel: int = 7

    @property
    def reach_frames(self) -> int:
        """Frames on either side that an answer can depend on."""
        return 4 + (self.kernel // 2) * sum(self.dilations)


class DrumsPredictions(NamedTuple):
    """Logits and velocities (0-1), each (batch, frames, classes)."""

    onset: Tensor
    velocity: Tensor


class DrumsNet(nn.Module):
    """(batch, windows, frames, bands) levels in front-end units → DrumsPredictions."""

    def __init__(self, config: DrumsNetConfig = DrumsNetConfig()) -> None:
        super().__init__()
        self.config = config
        stem, column, width = config.stem, config.column, config.width
        self.attack = nn.Sequential(
            *_convolution(config.windows, stem, (3, 5), (1, 2)),
            *_convolution(stem, stem, (3, 3), (1, 1)),
            nn.MaxPool2d((1, 2)),
            *_convolution(stem, column, (3, 3), (1, 1)),
            *_convolution(column, column, (3, 3), (1, 1)),
            nn.MaxPool2d((1, 2)),
        )
        columns = ((config.bands + 1) // 2) // 2 // 2
        self.join = nn.Sequential(nn.Conv1d(column * columns, width, 1, bias=False), nn.BatchNorm1d(width))
        self.context = nn.Sequential(*(_Block(width, config.kernel, dilation) for dilation in config.dilations))
        self.onset = nn.Conv1d(width, len(DRUM_CLASSES), 1)
        self.velocity = nn.Conv1d(width, len(DRUM_CLASSES), 1)
        assert self.onset.bias is not None
        nn.init.constant_(self.onset.bias, -4.0)  # strokes are rare: begin there

    def forward(self, levels: Tensor) -> DrumsPredictions:
        columns = self.attack(levels - 1.0)  # (batch, column, frames, columns)
        vectors = self.context(self.join(columns.permute(0, 1, 3, 2).flatten(1, 2)))
        return DrumsPredictions(
            self.onset(vectors).transpose(1, 2), torch.sigmoid(self.velocity(vectors)).transpose(1, 2)
        )


def _convolution(inputs: int, outputs: int, kernel: tuple[int, int], stride: tuple[int, int]) -> list[nn.Module]:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


class _Block(nn.Module):
    """Residual: a dilated look around, then two layers over the channels (Liu et al., CVPR 2022, in one dimension)."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.body = nn.Sequential(
            nn.Conv1d(width, width, kernel, padding=padding, dilation=dilation, groups=width, bias=False),
            nn.BatchNorm1d(width),
            nn.Conv1d(width, 2 * width, 1),
            nn.ReLU(inplace=True),
            last := nn.Conv1d(2 * width, width, 1),
        )
        nn.init.zeros_(last.weight)  # begins as no change at all (Goyal et al., 2017)
        assert last.bias is not None
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)  # type: ignore[no-any-return]
