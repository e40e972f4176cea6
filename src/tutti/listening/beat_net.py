"""Temporal convolutional networks to beats and downbeats, 50 frames a second, after Davies and Böck, "Temporal
convolutional networks for musical audio beat tracking" (EUSIPCO 2019).

`tutti-beats` hears the drum front end's levels, `tutti-stroke-beats` reads what a drummer strikes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from tutti.music.drum_kit import DRUM_CLASSES

__all__ = ["BeatNet", "BeatNetConfig", "BeatPredictions", "StrokeBeatNet", "StrokeBeatNetConfig"]


@dataclass(frozen=True, slots=True)
class BeatNetConfig:
    """Sizes; the defaults are the shipped model's."""

    windows: int = 2
    bands: int = 85
    stem: int = 16
    column: int = 24
    width: int = 64
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    kernel: int = 5

    @property
    def reach_frames(self) -> int:
        """Front-end frames on either side that an answer can depend on."""
        return 4 + 2 * (self.kernel // 2) * sum(self.dilations)


class BeatPredictions(NamedTuple):
    """Logits, each (batch, frames / 2); a downbeat is a beat as well."""

    beat: Tensor
    downbeat: Tensor


class BeatNet(nn.Module):
    """(batch, windows, frames, bands) levels in front-end units, an even number of frames → BeatPredictions."""

    def __init__(self, config: BeatNetConfig = BeatNetConfig()) -> None:
        super().__init__()
        self.config = config
        stem, column, width = config.stem, config.column, config.width
        self.attack = nn.Sequential(
            *_convolution(config.windows, stem, (3, 5), (1, 2)),
            *_convolution(stem, stem, (3, 3), (1, 1)),
            nn.MaxPool2d((2, 2)),
            *_convolution(stem, column, (3, 3), (1, 1)),
            nn.MaxPool2d((1, 3)),
        )
        columns = ((config.bands + 1) // 2) // 2 // 3
        self.join = nn.Sequential(nn.Conv1d(column * columns, width, 1, bias=False), nn.BatchNorm1d(width))
        self.context = nn.Sequential(*(_Block(width, config.kernel, dilation) for dilation in config.dilations))
        self.heads = nn.Conv1d(width, 2, 1)
        assert self.heads.bias is not None
        nn.init.constant_(self.heads.bias, -3.0)

    def forward(self, levels: Tensor) -> BeatPredictions:
        columns = self.attack(levels - 1.0)  # (batch, column, frames / 2, columns)
        answers = self.heads(self.context(self.join(columns.permute(0, 1, 3, 2).flatten(1, 2))))
        return BeatPredictions(answers[:, 0], answers[:, 1])


@dataclass(frozen=True, slots=True)
class StrokeBeatNetConfig:
    """Sizes; the defaults are the shipped model's."""

    width: int = 64
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    kernel: int = 5

    @property
    def reach_frames(self) -> int:
        """Frames on either side that an answer can depend on."""
        return (self.kernel // 2) * (1 + sum(self.dilations))


class StrokeBeatNet(nn.Module):
    """(batch, DRUM_CLASSES, frames), how hard each piece is struck, 0-1 → BeatPredictions (batch, frames)."""

    def __init__(self, config: StrokeBeatNetConfig = StrokeBeatNetConfig()) -> None:
        super().__init__()
        self.config = config
        self.join = nn.Conv1d(len(DRUM_CLASSES), config.width, config.kernel, padding=config.kernel // 2)
        self.context = nn.Sequential(*(_Block(config.width, config.kernel, dilation) for dilation in config.dilations))
        self.heads = nn.Conv1d(config.width, 2, 1)
        assert self.heads.bias is not None
        nn.init.constant_(self.heads.bias, -3.0)

    def forward(self, strokes: Tensor) -> BeatPredictions:
        answers = self.heads(self.context(self.join(strokes)))
        return BeatPredictions(answers[:, 0], answers[:, 1])


def _convolution(inputs: int, outputs: int, kernel: tuple[int, int], stride: tuple[int, int]) -> list[nn.Module]:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


class _Block(nn.Module):
    """Residual: a dilated look around, then two layers over the channels."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.near = nn.Conv1d(width, width, kernel, padding=dilation * (kernel // 2), dilation=dilation, groups=width)
        self.norm = nn.BatchNorm1d(width)
        self.mix = nn.Sequential(nn.Conv1d(width, 2 * width, 1), nn.ReLU(inplace=True), nn.Conv1d(2 * width, width, 1))
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(self.mix(self.norm(self.near(x))))  # type: ignore[no-any-return]
