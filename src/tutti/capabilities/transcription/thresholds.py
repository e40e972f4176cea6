"""Choosing the decoder's thresholds on labelled sound: one after another, each for the score it decides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tutti.audio.log_frequency import NOTES_FRONT_END
from tutti.capabilities.transcription.decode import Block, Decoder, Thresholds, settle_families
from tutti.capabilities.transcription.hearing_frames import Model, predict_blocks
from tutti.capabilities.transcription.metrics import evaluate
from tutti.capabilities.transcription.models.tutti_notes import LOWEST_PITCH
from tutti.music.notes import Notes

__all__ = ["choose_thresholds", "hear"]

_START = Thresholds(onset=0.4, frame=0.4, offset=0.6, drum=0.4)
_SWEEPS: tuple[tuple[str, str, tuple[float, ...]], ...] = (
    # threshold, the score that decides it, the values tried
    ("onset", "onset_f1", (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)),
    ("frame", "onset_offset_f1", (0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8)),
    ("offset", "onset_offset_f1", (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.95)),
    ("drum", "drum_onset_f1", (0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)),
)


def choose_thresholds(
    model: Model, pieces: Iterable[tuple[NDArray[np.float32], Notes]]
) -> tuple[Thresholds, dict[str, float]]:
    """The thresholds that score best on `pieces` (samples at the front end's rate, truth), and their mean scores."""
    heard = [(list(predict_blocks(model, [samples])), truth) for samples, truth in pieces]
    best = _START
    for name, score, values in _SWEEPS:
        tried = {value: _mean(heard, replace(best, **{name: value})).get(score, 0.0) for value in values}
        best = replace(best, **{name: max(tried, key=lambda value: tried[value])})
    return best, _mean(heard, best)


def hear(blocks: Iterable[Block], thresholds: Thresholds, min_note_s: float = 0.03) -> Notes:
    """Blocks to notes, as `run` does it."""
    decoder = Decoder(thresholds, NOTES_FRONT_END.frame_s, LOWEST_PITCH)
    for block in blocks:
        decoder.push(block)
    decoder.finish()
    pitched = [note for note in decoder.pitched if note.offset_s - note.onset_s >= min_note_s]
    return Notes.of([*settle_families(pitched), *decoder.drums])


def _mean(heard: list[tuple[list[Block], Notes]], thresholds: Thresholds) -> dict[str, float]:
    """Each score's mean over the pieces. Drums heard where there are none count as a score of 0, pitches likewise."""
    totals: dict[str, list[float]] = {}
    for blocks, truth in heard:
        for name, value in evaluate(truth, hear(blocks, thresholds)).items():
            totals.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in totals.items()}
