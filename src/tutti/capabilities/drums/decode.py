"""Frame answers to hits: numpy only, so it is tested without a model.

Pieces that sound alike are found together and named afterwards: whether something of a family is struck is asked of the
family as a whole, which piece it is of the pieces. So an unsure "ride or crash" is one cymbal, neither none nor two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from tutti.music.drum_hits import DrumHit, DrumHits
from tutti.music.drum_kit import DRUM_CLASSES

__all__ = ["FAMILIES", "Answers", "Calibration", "Thresholds", "decode_hits"]

FAMILIES: dict[str, tuple[str, ...]] = {
    "kick": ("kick",),
    "snare": ("snare", "side_stick"),
    "hihat": ("hihat_closed", "hihat_open", "hihat_pedal"),
    "tom": ("tom_high", "tom_mid", "tom_low"),
    "cymbal": ("ride", "ride_bell", "crash", "splash", "china"),
}
"""The five classes that the literature scores, and the pieces in each."""

_APART_FRAMES = 2
"""A peak is the largest answer within so many frames on either side."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a network says of consecutive frames, each (frames, classes of DRUM_CLASSES)."""

    onset: NDArray[np.float32]
    """Probability that a stroke begins at the frame."""
    velocity: NDArray[np.float32]
    """0-1, of meaning where a stroke begins."""

    def __len__(self) -> int:
        return len(self.onset)

    @classmethod
    def joined(cls, parts: Iterable[Answers]) -> Answers:
        rows = list(parts)
        empty = np.zeros((0, len(DRUM_CLASSES)), np.float32)
        return cls(
            np.concatenate([empty, *(r.onset for r in rows)]), np.concatenate([empty, *(r.velocity for r in rows)])
        )


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which probability on a family is struck, 0-1, in the order of FAMILIES."""

    kick: float
    snare: float
    hihat: float
    tom: float
    cymbal: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """From a family's probability at a peak to how often such a hit is right: 1 / (1 + exp(-slope (p - middle))).

    Both in the order of FAMILIES.
    """

    slope: tuple[float, ...]
    middle: tuple[float, ...]

    def of(self, row: int, probability: float) -> float:
        """The confidence of a hit of family number `row`."""
        return float(1 / (1 + np.exp(-self.slope[row] * (probability - self.middle[row]))))


def decode_hits(
    answers: Answers, thresholds: Thresholds, frame_s: float, calibration: Calibration | None = None
) -> DrumHits:
    """Every stroke in `answers`, whose first frame is at 0 s; without `calibration` a probability is the confidence."""
    hits: list[DrumHit] = []
    for row, (threshold, pieces) in enumerate(zip(astuple(thresholds), FAMILIES.values(), strict=True)):
        columns = [DRUM_CLASSES.index(piece) for piece in pieces]
        onset = answers.onset[:, columns].astype(np.float64)
        struck = 1 - np.prod(1 - onset, axis=1)
        frames = _peaks(struck, threshold)
        around = _summed(onset)[frames]  # pieces answer a frame apart
        for frame, piece in zip(frames, around.argmax(axis=1), strict=True):
            hits.append(
                DrumHit(
                    time_s=max(0.0, float(frame + _refined(struck, frame)) * frame_s),
                    instrument=pieces[piece],
                    velocity=int(np.clip(round(127 * float(answers.velocity[frame, columns[piece]])), 1, 127)),
                    confidence=float(struck[frame]) if calibration is None else calibration.of(row, struck[frame]),
                )
            )
    return DrumHits.of(hits)


def _peaks(curve: NDArray[np.float64], threshold: float) -> NDArray[np.intp]:
    """Frames where `curve` is at least `threshold` and the largest of its surroundings; the first of equals."""
    if not len(curve):
        return np.zeros(0, np.intp)
    padded = np.pad(curve, _APART_FRAMES, constant_values=-1.0)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _APART_FRAMES + 1)
    is_peak = (curve >= threshold) & (windows.argmax(axis=1) == _APART_FRAMES)
    return np.flatnonzero(is_peak)


def _summed(onset: NDArray[np.float64]) -> NDArray[np.float64]:
    padded = np.pad(onset, ((1, 1), (0, 0)))
    total: NDArray[np.float64] = padded[:-2] + padded[1:-1] + padded[2:]
    return total


def _refined(curve: NDArray[np.float64], frame: int) -> float:
    """Where between its neighbours a peak lies (frames): the vertex of a parabola through the three."""
    if not 0 < frame < len(curve) - 1:
        return 0.0
    before, here, after = curve[frame - 1 : frame + 2]
    bend = before - 2 * here + after
    return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0
