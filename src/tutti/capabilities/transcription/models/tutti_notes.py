"""`tutti-notes`: a small convolutional network that hears every pitch the same way.

A log-frequency spectrogram in two resolutions goes through a stem, is folded to one column per semitone, and each pitch
gathers its own harmonics (after the harmonic constant-Q transform of Bittner et al., ISMIR 2017, and the harmonic
dilated convolutions of Wei et al., "HPPNet", ISMIR 2022). From there on, weights are shared over pitches; a separate
branch sees the whole spectrum at once, writes the drums, and tells the pitches what the rest of the spectrum does.

Everything is convolution of finite reach, so a recording can be cut into windows anywhere and stitched without a trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tutti.audio.log_frequency import NOTES_FRONT_END, LogFrequency
from tutti.capabilities.transcription.families import FAMILIES
from tutti.music.drum_kit import DRUM_CLASSES

__all__ = ["HARMONICS", "LOWEST_PITCH", "OCTAVES", "PITCHES", "STEP", "NotesNet", "NotesNetConfig", "Predictions"]

LOWEST_PITCH = 21
PITCHES = 88

HARMONICS = (-24, -19, -12, 0, 12, 19, 24, 28, 31, 34, 36, 38, 40)
"""Semitones from a pitch to its subharmonics 1/4, 1/3, 1/2 and its partials 1 to 10."""

_PITCH_KERNEL = (7, 3)
_SPECTRUM_KERNEL = (9, 1)

STEP = 2
"""Frames per step: the body runs at half the front end's rate and its heads answer for both frames."""

_STEPS_AT_ONCE = 32
"""Steps that are gathered at once when not training: what they take stays in the processor's cache."""

OCTAVES = (-24, -19, -12, 0, 12, 19, 24)


@dataclass(frozen=True, slots=True)
class NotesNetConfig:
    stem: int = 16
    """Channels of the full-resolution stem."""
    column: int = 24
    """Channels of one semitone's column, per harmonic."""
    width: int = 48
    expansion: int = 2
    blocks: int = 6
    spectrum_width: int = 128
    spectrum_blocks: int = 4

    @property
    def reach_frames(self) -> int:
        """Input frames on either side that an output frame depends on, rounded up to whole steps."""
        steps = self.blocks * (_PITCH_KERNEL[0] // 2) + self.spectrum_blocks * (_SPECTRUM_KERNEL[0] // 2)
        return STEP * (steps + 2)


class Predictions(NamedTuple):
    """Logits per frame; the network steps over two frames at a time and answers for both."""

    onset: Tensor
    """(batch, frames, 88), like `frame` and `offset`"""
    frame: Tensor
    offset: Tensor
    velocity: Tensor
    """(batch, frames / 2, 88), between 0 and 1"""
    family: Tensor
    """(batch, families, frames / 2, 88)"""
    drum_onset: Tensor
    """(batch, frames, drum classes)"""
    drum_velocity: Tensor
    """(batch, frames, drum classes), between 0 and 1"""


class NotesNet(nn.Module):
    """Log-frequency frames (batch, 2, frames, bins), an even number of frames, to Predictions."""

    def __init__(self, config: NotesNetConfig, front_end: LogFrequency = NOTES_FRONT_END) -> None:
        super().__init__()
        self.config = config
        per = front_end.bins_per_semitone
        self.stem = nn.Sequential(
            nn.Conv2d(2, config.stem, (3, 5), padding=(1, 2), bias=False),
            nn.BatchNorm2d(config.stem),
            nn.ReLU(inplace=True),
        )
        self.fold = nn.Sequential(
            nn.Conv2d(config.stem, config.column, (4, per), stride=(STEP, per), padding=(1, 0), bias=False),
            nn.BatchNorm2d(config.column),
            nn.ReLU(inplace=True),
        )
        self.spectrum = _Spectrum(config, front_end.semitones)
        self.harmonics = _Gather(config.column, config.width, HARMONICS, front_end.semitones)
        self.register_of_pitch = nn.Parameter(torch.zeros(1, config.width, 1, PITCHES))
        self.context = nn.Conv2d(config.spectrum_width, config.width, 1)
        blocks = [_Block(config.width, _PITCH_KERNEL, config.expansion) for _ in range(config.blocks)]
        half = len(blocks) // 2
        self.early = nn.Sequential(*blocks[:half])
        self.octaves = _Gather(config.width, config.width, OCTAVES, PITCHES, squeeze=config.width // 4)
        self.late = nn.Sequential(*blocks[half:])
        self.head = nn.Conv2d(config.width, 3 * STEP + 1 + len(FAMILIES), 1)
        self.drum_head = nn.Conv2d(config.spectrum_width, 2 * STEP * len(DRUM_CLASSES), 1)
        # begin by predicting that nothing happens, which is nearly always true
        for head, silent in ((self.head, 2 * STEP), (self.drum_head, STEP * len(DRUM_CLASSES))):
            assert head.bias is not None
            nn.init.constant_(head.bias[:silent], -4.0)

    def forward(self, frames: Tensor) -> Predictions:
        columns = self.fold(self.stem(frames))  # (batch, column, steps, semitones)
        spectrum = self.spectrum(columns)  # (batch, spectrum width, steps, 1)
        pitches = self.harmonics(columns) + self.register_of_pitch + self.context(spectrum)
        pitches = self.early(pitches)
        pitches = self.late(pitches + self.octaves(pitches))
        out = self.head(pitches).float()  # (batch, channels, steps, 88)
        drums = self.drum_head(spectrum).float()  # (batch, 2 · STEP · classes, steps, 1)
        drum_onset, drum_velocity = _unstep(drums.view(len(drums), 2, STEP, -1, drums.shape[2])).unbind(1)
        return Predictions(
            onset=_interleave(out[:, 0:STEP]),
            offset=_interleave(out[:, STEP : 2 * STEP]),
            frame=_interleave(out[:, 2 * STEP : 3 * STEP]),
            velocity=out[:, 3 * STEP].sigmoid(),
            family=out[:, 3 * STEP + 1 :],
            drum_onset=drum_onset,
            drum_velocity=drum_velocity.sigmoid(),
        )


def _interleave(steps: Tensor) -> Tensor:
    """(batch, STEP, steps, pitches) to (batch, frames, pitches)."""
    return steps.transpose(1, 2).flatten(1, 2)


def _unstep(drums: Tensor) -> Tensor:
    """(batch, 2, STEP, classes, steps) to (batch, 2, frames, classes)."""
    return drums.permute(0, 1, 4, 2, 3).flatten(2, 3)


class _Gather(nn.Module):
    """Each pitch sees the columns at fixed intervals from its own; intervals past the spectrum's ends give zeros."""

    def __init__(
        self, channels: int, width: int, intervals: tuple[int, ...], columns: int, squeeze: int | None = None
    ) -> None:
        super().__init__()
        self.intervals = intervals
        self.below, self.above = -min(intervals), max(0, max(intervals) + PITCHES - columns)
        self.squeeze = nn.Conv2d(channels, squeeze, 1) if squeeze else nn.Identity()
        self.mix = nn.Sequential(
            nn.Conv2d((squeeze or channels) * len(intervals), width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )

    def forward(self, columns: Tensor) -> Tensor:
        padded = nn.functional.pad(self.squeeze(columns), (self.below, self.above))
        stretches = [padded] if self.training else torch.split(padded, _STEPS_AT_ONCE, dim=2)
        return torch.cat([self.mix(self._taps(stretch)) for stretch in stretches], dim=2)

    def _taps(self, padded: Tensor) -> Tensor:
        """(batch, channels · intervals, steps, 88)."""
        first = (self.below + interval for interval in self.intervals)
        return torch.cat([padded[..., column : column + PITCHES] for column in first], dim=1)


class _Block(nn.Module):
    """A residual block after ConvNeXt (Liu et al., CVPR 2022), with batch norm, which folds away at inference."""

    def __init__(self, width: int, kernel: tuple[int, int], expansion: int) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.body = nn.Sequential(
            nn.Conv2d(width, width, kernel, padding=padding, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.Conv2d(width, expansion * width, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(expansion * width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)  # type: ignore[no-any-return]


class _Spectrum(nn.Module):
    """The whole spectrum of a step and its neighbours as one vector: (batch, spectrum width, steps, 1)."""

    def __init__(self, config: NotesNetConfig, columns: int) -> None:
        super().__init__()
        width, bands = config.spectrum_width, 24
        self.reduce = nn.Sequential(
            nn.Conv2d(config.column, bands, (1, 4), stride=(1, 4), bias=False),
            nn.BatchNorm2d(bands),
            nn.ReLU(inplace=True),
        )
        self.join = nn.Conv2d(bands * (columns // 4), width, 1)
        self.body = nn.Sequential(*(_Block(width, _SPECTRUM_KERNEL, 2) for _ in range(config.spectrum_blocks)))

    def forward(self, columns: Tensor) -> Tensor:
        bands = self.reduce(columns)  # (batch, bands, steps, columns // 4)
        stacked = bands.permute(0, 1, 3, 2).flatten(1, 2).unsqueeze(-1)
        return self.body(self.join(stacked))  # type: ignore[no-any-return]
