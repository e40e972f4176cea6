"""How right a transcription is, by mir_eval's measures and with its conventions (Raffel et al., ISMIR 2014).

Onset tolerance 50 ms, pitch tolerance 50 cents, offset tolerance the larger of 50 ms and a fifth of the reference note.
Drums are kept out of the pitched scores and scored by themselves, onsets only.

A score with nothing on one side is 0, with nothing on both sides 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import mir_eval
import numpy as np
from numpy.typing import NDArray

from tutti.music.drum_kit import DRUM_CLASSES, class_of_key
from tutti.music.notes import Note, Notes

__all__ = ["GRANULARITIES", "SWEEP_MS", "bootstrap_interval", "evaluate", "evaluate_fully", "mean_scores"]

GRANULARITIES: dict[str, Callable[[int], int]] = {
    "flat": lambda _program: 0,
    "class": lambda program: 8 * (program // 8),
    "full": lambda program: program,
}
"""How far programs are told apart: not at all, by General MIDI's classes of eight, each."""

SWEEP_MS = (10, 20, 50, 100)
"""Onset tolerances of the sweep."""

_ONSET_S = 0.05
_OFFSET_RATIO = 0.2
_FRAMES_PER_S = 62.5
_LEAST_FRAME_NOTE_S = 0.05
_LOUD_ENOUGH = 30
"""Reference cells of the roll count when louder than this (velocity)."""
_VELOCITY_TOLERANCE = 0.1
_RESAMPLINGS = 2000

_Pairs = list[tuple[int, int]]


def evaluate(reference: Notes, estimate: Notes) -> dict[str, float]:
    """Precision, recall and F1 of onsets, of onsets with offsets, and of drum onsets, each 0–1.

    Drum scores are there only when one side has drums: `drum_onset_f1` ignores the class, `drum_<class>_f1` does not.
    """
    pitched = reference.pitched, estimate.pitched
    scores = _named("onset", _note_scores(*pitched)) | _named("onset_offset", _note_scores(*pitched, offset_s=_ONSET_S))
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


def evaluate_fully(reference: Notes, estimate: Notes) -> dict[str, float]:
    """`evaluate`, and what the MT3 paper measures (Gardner et al., ICLR 2022; magenta/mt3, `metrics.py`).

    Precision, recall and F1 of each:

    - `frame`: cells of a piano roll at 62.5 frames a second, drums left out, notes at least 50 ms long; reference cells
      count above velocity 30, estimated ones always.
    - `onset_velocity`, `onset_offset_velocity`: loudness to a tenth of the reference's range after the best linear fit;
      only where both sides have more than one velocity.
    - `drum_key_onset`: drum onsets by General MIDI key; only where one side has drums.
    - `multi_<granularity>`: every note with its instrument (onset, offset and program; drums by key, onset only), with
      programs as `GRANULARITIES` tells them apart. Over the instruments precision is weighted by notes given and recall
      by notes there are. `multi_pitched_<granularity>` is the same without drums.
    - `multi_onset_<granularity>`: the same on onsets alone, drums included (MR-MT3's evaluation, after Perceiver TF).

    Only F1: `onset_f1_<t>ms` and `onset_offset_f1_<t>ms` for the tolerances `SWEEP_MS` (of onsets, and at least of
    offsets). `note_ratio` is estimated over reference notes, 1 at best; it is no measure of quality.
    """
    both = reference.pitched, estimate.pitched
    scores = evaluate(reference, estimate) | _named("frame", _frame_scores(*both)) | _sweep(*both)
    if all(len({note.velocity for note in side}) > 1 for side in both):
        scores |= _named("onset_velocity", _velocity_scores(*both))
        scores |= _named("onset_offset_velocity", _velocity_scores(*both, offset_s=_ONSET_S))
    if reference.drums or estimate.drums:
        scores |= _named("drum_key_onset", _note_scores(reference.drums, estimate.drums))
    for name, program_of in GRANULARITIES.items():
        whole = reference.notes, estimate.notes
        scores |= _named(f"multi_{name}", _note_scores(*whole, offset_s=_ONSET_S, program_of=program_of))
        scores |= _named(f"multi_pitched_{name}", _note_scores(*both, offset_s=_ONSET_S, program_of=program_of))
        scores |= _named(f"multi_onset_{name}", _note_scores(*whole, program_of=program_of))
    if len(reference):
        scores["note_ratio"] = len(estimate) / len(reference)
    return scores


def mean_scores(files: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each score's mean over the files that have it (macro average)."""
    names = dict.fromkeys(name for scores in files for name in scores)
    return {name: float(np.mean([scores[name] for scores in files if name in scores])) for name in names}


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The middle 95 % of the means of `values` drawn anew with replacement; the same seed gives the same answer."""
    drawn = np.random.default_rng(seed).choice(np.array(values), (_RESAMPLINGS, len(values)))
    low, high = np.quantile(drawn.mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def _named(name: str, values: tuple[float, float, float]) -> dict[str, float]:
    return {f"{name}_{part}": value for part, value in zip(("precision", "recall", "f1"), values, strict=True)}


def _note_scores(
    reference: Sequence[Note],
    estimate: Sequence[Note],
    *,
    onset_s: float = _ONSET_S,
    offset_s: float | None = None,
    program_of: Callable[[int], int] = GRANULARITIES["flat"],
) -> tuple[float, float, float]:
    """Of notes matched by onset, pitch and instrument, and by offset unless `offset_s` is None.

    Pooling the counts of all instruments is the paper's weighting: a precision times its number of notes given is the
    number that matched, and the sum is divided by all notes given.
    """
    matched = len(_matched(reference, estimate, onset_s, offset_s, program_of))
    return _from_counts(matched, len(reference), len(estimate))


def _matched(
    reference: Sequence[Note],
    estimate: Sequence[Note],
    onset_s: float,
    offset_s: float | None,
    program_of: Callable[[int], int],
) -> _Pairs:
    """Indices (reference, estimate) of a largest set of pairs. Offsets of drums do not count.

    Key by key: pitches are whole numbers, so what mir_eval matches within 50 cents is on one key, and its tables stay
    small for long pieces.
    """
    sides = [_by_key(notes, program_of) for notes in (reference, estimate)]
    pairs: _Pairs = []
    for key in sides[0].keys() & sides[1].keys():
        rows, columns = sides[0][key], sides[1][key]
        ratio = None if offset_s is None or key[0] else _OFFSET_RATIO
        found = mir_eval.transcription.match_notes(
            *_arrays([reference[row] for row in rows]),
            *_arrays([estimate[column] for column in columns]),
            onset_tolerance=onset_s,
            offset_ratio=ratio,
            offset_min_tolerance=offset_s,
        )
        pairs += [(rows[row], columns[column]) for row, column in found]
    return sorted(pairs)


def _by_key(notes: Sequence[Note], program_of: Callable[[int], int]) -> dict[tuple[bool, int, int], list[int]]:
    keys: dict[tuple[bool, int, int], list[int]] = {}
    for index, note in enumerate(notes):
        keys.setdefault((note.is_drum, program_of(note.program), note.pitch), []).append(index)
    return keys


def _arrays(notes: Sequence[Note]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    spans = np.array([(note.onset_s, note.offset_s) for note in notes])
    return spans, mir_eval.util.midi_to_hz(np.array([note.pitch for note in notes]))


def _sweep(reference: Sequence[Note], estimate: Sequence[Note]) -> dict[str, float]:
    scores = {}
    for tolerance_ms in SWEEP_MS:
        s = tolerance_ms / 1000
        scores[f"onset_f1_{tolerance_ms}ms"] = _note_scores(reference, estimate, onset_s=s)[2]
        scores[f"onset_offset_f1_{tolerance_ms}ms"] = _note_scores(reference, estimate, onset_s=s, offset_s=s)[2]
    return scores


def _velocity_scores(
    reference: Sequence[Note], estimate: Sequence[Note], offset_s: float | None = None
) -> tuple[float, float, float]:
    """As mir_eval's `transcription_velocity`, on pairs found key by key."""
    pairs = np.array(_matched(reference, estimate, _ONSET_S, offset_s, GRANULARITIES["flat"]))
    right = 0
    if len(pairs):
        known = np.array([note.velocity for note in reference], np.float64)
        known = (known - known.min()) / max(1.0, known.max() - known.min())
        given = np.array([note.velocity for note in estimate], np.float64)[pairs[:, 1]]
        lines = np.stack([given, np.ones_like(given)], axis=1)
        fitted = lines @ np.linalg.lstsq(lines, known[pairs[:, 0]], rcond=None)[0]
        right = int((np.abs(fitted - known[pairs[:, 0]]) < _VELOCITY_TOLERANCE).sum())
    return _from_counts(right, len(reference), len(estimate))


def _frame_scores(reference: Sequence[Note], estimate: Sequence[Note]) -> tuple[float, float, float]:
    sides = [_by_key(notes, GRANULARITIES["flat"]) for notes in (reference, estimate)]
    counts = np.zeros(3, np.int64)
    for key in sides[0].keys() | sides[1].keys():  # one after another, so that hours of music need little memory
        known, given = (
            [notes[i] for i in side.get(key, [])] for notes, side in zip((reference, estimate), sides, strict=True)
        )
        columns = max(_frames(note)[1] for note in (*known, *given))
        is_known, is_given = _roll(known, columns) > _LOUD_ENOUGH, _roll(given, columns) > 0
        counts += ((is_known & is_given).sum(), is_known.sum(), is_given.sum())
    return _from_counts(*counts.tolist())


def _roll(notes: Sequence[Note], columns: int) -> NDArray[np.int32]:
    """One key's velocities by frame, (columns,), summed where notes overlap."""
    roll = np.zeros(columns, np.int32)
    for note in notes:
        begin, end = _frames(note)
        roll[begin:end] += note.velocity
    return roll


def _frames(note: Note) -> tuple[int, int]:
    offset_s = max(note.offset_s, note.onset_s + _LEAST_FRAME_NOTE_S)
    return int(note.onset_s * _FRAMES_PER_S), int(offset_s * _FRAMES_PER_S)


def _onsets(notes: Iterable[Note]) -> NDArray[np.float64]:
    return np.array(sorted(note.onset_s for note in notes))


def _onset_scores(reference: NDArray[np.float64], estimate: NDArray[np.float64]) -> tuple[float, float, float]:
    if not len(reference) or not len(estimate):
        return _from_counts(0, len(reference), len(estimate))
    f1, precision, recall = mir_eval.onset.f_measure(reference, estimate)
    return float(precision), float(recall), float(f1)


def _from_counts(matched: int, reference: int, estimate: int) -> tuple[float, float, float]:
    if reference == estimate == 0:
        return 1.0, 1.0, 1.0
    precision, recall = (matched / count if count else 0.0 for count in (estimate, reference))
    return precision, recall, mir_eval.util.f_measure(precision, recall)
