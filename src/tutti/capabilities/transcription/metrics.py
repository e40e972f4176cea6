"""How right a transcription is, by mir_eval's measures and with its conventions (Raffel et al., ISMIR 2014).

Onset tolerance 50 ms, pitch tolerance 50 cents, offset tolerance the larger of 50 ms and a fifth of the reference note.
Drums are kept out of the pitched scores and scored by class, onsets only.
"""

from __future__ import annotations

from collections.abc import Iterable

import mir_eval
import numpy as np
from numpy.typing import NDArray

from tutti.music.drum_kit import DRUM_CLASSES, class_of_key
from tutti.music.notes import Note, Notes

__all__ = ["evaluate"]


def evaluate(reference: Notes, estimate: Notes) -> dict[str, float]:
    """Precision, recall and F1 of onsets, of onsets with offsets, and of drum onsets, each 0–1.

    Drum scores are there only when one side has drums: `drum_onset_f1` ignores the class, `drum_<class>_f1` does not.
    A score with nothing on one side is 0, with nothing on both sides 1.
    """
    scores: dict[str, float] = {}
    pitched = reference.pitched, estimate.pitched
    for name, offset_ratio in (("onset", None), ("onset_offset", 0.2)):
        scores |= _named(name, _note_scores(*pitched, offset_ratio))
    if reference.drums or estimate.drums:
        hits = [_onsets(notes.drums) for notes in (reference, estimate)]
        scores |= _named("drum_onset", _onset_scores(*hits))
        for drum in DRUM_CLASSES:
            sides = [
                _onsets(n for n in notes.drums if class_of_key(n.pitch) == drum) for notes in (reference, estimate)
            ]
            if any(len(side) for side in sides):
                scores[f"drum_{drum}_f1"] = _onset_scores(*sides)[2]
    return scores


def _named(name: str, values: tuple[float, float, float]) -> dict[str, float]:
    return {f"{name}_{part}": value for part, value in zip(("precision", "recall", "f1"), values, strict=True)}


def _note_scores(
    reference: tuple[Note, ...], estimate: tuple[Note, ...], offset_ratio: float | None
) -> tuple[float, float, float]:
    if not reference or not estimate:
        return _one_sided(len(reference), len(estimate))
    precision, recall, f1, _ = mir_eval.transcription.precision_recall_f1_overlap(
        *_intervals(reference), *_intervals(estimate), offset_ratio=offset_ratio
    )
    return float(precision), float(recall), float(f1)


def _intervals(notes: tuple[Note, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    spans = np.array([(note.onset_s, note.offset_s) for note in notes])
    return spans, mir_eval.util.midi_to_hz(np.array([note.pitch for note in notes]))


def _onsets(notes: Iterable[Note]) -> NDArray[np.float64]:
    return np.array(sorted(note.onset_s for note in notes))


def _onset_scores(reference: NDArray[np.float64], estimate: NDArray[np.float64]) -> tuple[float, float, float]:
    if not len(reference) or not len(estimate):
        return _one_sided(len(reference), len(estimate))
    f1, precision, recall = mir_eval.onset.f_measure(reference, estimate)
    return float(precision), float(recall), float(f1)


def _one_sided(reference: int, estimate: int) -> tuple[float, float, float]:
    score = 1.0 if reference == estimate == 0 else 0.0
    return score, score, score
