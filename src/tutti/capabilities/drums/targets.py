"""What the network of `tutti-drums` should answer for known hits, and how far from it an answer is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tutti.capabilities.drums.decode import FAMILIES
from tutti.capabilities.drums.models.tutti_drums import DrumsPredictions
from tutti.music.drum_kit import DRUM_CLASSES

__all__ = ["COVERED_DB", "INAUDIBLE_DB", "MASKED_DB", "Struck", "Targets", "can_be_heard", "losses", "targets_of"]

_COLUMN = {name: column for column, name in enumerate(DRUM_CLASSES)}
INAUDIBLE_DB = -40.0
"""Strokes so far below the loudest of their scene are not asked for."""
MASKED_DB = -5.0
"""Nor are those whose share of the sound is smaller than this wherever they stand out most."""
COVERED_DB = -14.0
"""With a smaller share a stroke is as good as not there: who answers it guesses from what sounds with it."""
_FAMILY_COLUMNS = {name: [_COLUMN[piece] for piece in family] for family in FAMILIES.values() for name in family}
_RARE = {"tom_high", "tom_mid", "tom_low", "ride_bell", "crash", "splash", "china", "side_stick"}


class Struck(Protocol):
    """A stroke whose loudness beside the others is known."""

    @property
    def time_s(self) -> float: ...
    @property
    def instrument(self) -> str: ...
    @property
    def velocity(self) -> int: ...
    @property
    def level_db(self) -> float: ...
    @property
    def audible_db(self) -> float: ...


def can_be_heard(hit: Struck, masked_db: float = COVERED_DB) -> bool:
    """Whether the stroke is neither too soft nor covered: its share of the sound is `masked_db` or more somewhere."""
    return hit.level_db >= INAUDIBLE_DB and hit.audible_db >= masked_db


@dataclass(frozen=True, slots=True)
class Targets:
    """Float32, (frames, classes) each."""

    onset: NDArray[np.float32]
    """1 at the frame of a stroke, less beside it."""
    velocity: NDArray[np.float32]
    """0-1 at the frame of a stroke, else 0."""
    counts: NDArray[np.float32]
    """1 where the answer counts, 0 around strokes that are hard to hear, for all pieces of their family."""


def targets_of(hits: Iterable[Struck], frames: int, frame_s: float) -> Targets:
    """Targets of `hits`, whose times count from frame 0."""
    shape = (frames, len(DRUM_CLASSES))
    onset, velocity, counts = np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.ones(shape, np.float32)
    for hit in sorted(hits, key=_is_clear):  # what is clear overrules what is not
        place, column = hit.time_s / frame_s, _COLUMN[hit.instrument]
        nearest = round(place)
        if not _is_clear(hit):
            if hit.audible_db >= COVERED_DB:
                counts[max(0, nearest - 3) : max(0, nearest + 4), _FAMILY_COLUMNS[hit.instrument]] = 0
            continue
        for frame in range(max(0, nearest - 2), min(frames, nearest + 3)):
            value = max(0.0, 1 - max(0.0, abs(frame - place) - 0.5) / 1.5)
            onset[frame, column] = max(onset[frame, column], value)
        if 0 <= nearest < frames:
            velocity[nearest, column] = hit.velocity / 127
            counts[max(0, nearest - 1) : nearest + 2, column] = 1
    return Targets(onset, velocity, counts)


def _is_clear(hit: Struck) -> bool:
    return can_be_heard(hit, MASKED_DB)


def losses(predicted: DrumsPredictions, batch: dict[str, Tensor], edge: int) -> dict[str, Tensor]:
    """The parts of the loss; `edge` frames at both ends lack context and do not count."""
    inner = slice(edge, predicted.onset.shape[1] - edge)
    logits, wanted = predicted.onset[:, inner].float(), batch["onset"][:, inner]
    counts = batch["counts"][:, inner]
    weight = torch.tensor([2.0 if name in _RARE else 1.0 for name in DRUM_CLASSES], device=logits.device)
    each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none", pos_weight=weight)
    # an easy frame teaches little: what is already right counts less (Lin et al., ICCV 2017)
    unsure = (wanted - logits.sigmoid()).abs().detach()
    onset = (each * counts * (0.1 + unsure)).sum() / counts.sum() * 60
    struck = batch["velocity"][:, inner]
    off = (predicted.velocity[:, inner].float() - struck).abs() * (struck > 0)
    return {"onset": onset, "velocity": off.sum() / (struck > 0).sum().clamp_min(1) * 0.5}
