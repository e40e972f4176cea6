"""Scores of one piece and of a set, over mir_eval's matching.

Notes: mir_eval.transcription, onset within 50 ms and pitch within 50 cents; with offsets, also the end within
max(50 ms, 20 % of the reference's duration). Drums: mir_eval's onset matching within 50 ms. Strikes of one class less
than 30 ms apart are one onset on both sides, so that neither a chord nor a flam counts twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import mir_eval  # type: ignore[import-untyped]
import numpy as np

from benchmarks.transcription.references import (
    DRUM_CLASSES,
    DrumReference,
    PitchedReference,
    Reference,
    drum_class,
)
from tutti.music.notes import Notes

TOLERANCE_S = 0.05
SWEEP_S = (0.01, 0.02, 0.05, 0.1)
PITCH_TOLERANCE_CENTS = 50.0
SAME_STRIKE_S = 0.03


@dataclass(frozen=True)
class Counts:
    """How many events were found, out of how many there are, among how many that were claimed."""

    matched: int
    reference: int
    estimated: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.matched + other.matched, self.reference + other.reference, self.estimated + other.estimated)

    @property
    def precision(self) -> float:
        return self.matched / self.estimated if self.estimated else 0.0

    @property
    def recall(self) -> float:
        return self.matched / self.reference if self.reference else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 when there is nothing to find or nothing was found."""
        total = self.reference + self.estimated
        return 2 * self.matched / total if total else 0.0

    @property
    def ratio(self) -> float:
        """Claimed events per true one."""
        return self.estimated / self.reference if self.reference else float("nan")


@dataclass(frozen=True)
class Interval:
    mean: float
    low: float | None
    """Ends of the 95 % bootstrap interval over pieces; None for a single piece."""
    high: float | None


@dataclass(frozen=True)
class Score:
    """One piece against one reference."""

    annotator: str
    onset: Counts
    """Notes by onset and pitch, or drum onsets of any class: the headline."""
    with_offset: Counts | None
    """None for drums."""
    sweep: Mapping[float, Counts]
    """Onset tolerance in seconds to what it finds."""
    classes: Mapping[str, Counts]
    """Per drum class; empty for notes, and for a system that knows no drums."""
    lag_s: float | None
    """Median of estimated minus reference onset over the matches; None without any."""


@dataclass(frozen=True)
class PieceScore:
    """One piece: a score per annotator."""

    name: str
    scores: tuple[Score, ...]

    @property
    def f1(self) -> float:
        return float(np.mean([score.onset.f1 for score in self.scores]))

    @property
    def f1_with_offset(self) -> float:
        return float(np.mean([score.with_offset.f1 if score.with_offset else 0.0 for score in self.scores]))

    @property
    def ratio(self) -> float:
        return float(np.mean([score.onset.ratio for score in self.scores]))


def score_piece(name: str, references: Iterable[Reference], estimate: Notes, knows_drums: bool) -> PieceScore:
    """`estimate` against every reference of the piece."""
    return PieceScore(
        name,
        tuple(
            score_drums(reference, estimate, knows_drums)
            if isinstance(reference, DrumReference)
            else score_notes(reference, estimate)
            for reference in references
        ),
    )


def score_notes(reference: PitchedReference, estimate: Notes) -> Score:
    """Pitched notes; drum notes of the estimate are left out."""
    notes = estimate.pitched
    intervals = np.array([(note.onset_s, note.offset_s) for note in notes]).reshape(-1, 2)
    pitches = np.array([float(note.pitch) for note in notes])

    def matches(tolerance_s: float, offset_ratio: float | None) -> list[tuple[int, int]]:
        if not len(notes) or not len(reference.notes):
            return []
        found: list[tuple[int, int]] = mir_eval.transcription.match_notes(
            reference.intervals_s,
            mir_eval.util.midi_to_hz(reference.pitches),
            intervals,
            mir_eval.util.midi_to_hz(pitches),
            onset_tolerance=tolerance_s,
            pitch_tolerance=PITCH_TOLERANCE_CENTS,
            offset_ratio=offset_ratio,
        )
        return found

    def counts(found: Sequence[tuple[int, int]]) -> Counts:
        return Counts(len(found), len(reference.notes), len(notes))

    pairs = matches(TOLERANCE_S, None)
    return Score(
        reference.annotator,
        onset=counts(pairs),
        with_offset=counts(matches(TOLERANCE_S, 0.2)),
        sweep={tolerance_s: counts(matches(tolerance_s, None)) for tolerance_s in SWEEP_S},
        classes={},
        lag_s=_lag(reference.intervals_s[:, 0], intervals[:, 0], pairs),
    )


def score_drums(reference: DrumReference, estimate: Notes, knows_drums: bool) -> Score:
    """Drum onsets. A system that knows no drums is scored by the onsets of all its notes, whatever their pitch."""
    hits = estimate.drums if knows_drums else estimate.notes
    truth = merge_strikes(reference.all_onsets)
    claimed = merge_strikes([hit.onset_s for hit in hits])
    return Score(
        reference.annotator,
        onset=count_onsets(truth, claimed),
        with_offset=None,
        sweep={tolerance_s: count_onsets(truth, claimed, tolerance_s) for tolerance_s in SWEEP_S},
        classes={
            name: count_onsets(
                merge_strikes(reference.of_class(name)),
                merge_strikes([hit.onset_s for hit in hits if drum_class(hit.pitch) == name]),
            )
            for name in (DRUM_CLASSES if knows_drums else ())
        },
        lag_s=_lag(truth, claimed, mir_eval.util.match_events(truth, claimed, TOLERANCE_S)),
    )


def count_onsets(reference: np.ndarray, estimate: np.ndarray, tolerance_s: float = TOLERANCE_S) -> Counts:
    """Onset times in seconds against each other, as mir_eval.onset matches them."""
    matched = len(mir_eval.util.match_events(reference, estimate, tolerance_s)) if len(reference) else 0
    return Counts(matched, len(reference), len(estimate))


def merge_strikes(onsets_s: Iterable[float]) -> np.ndarray:
    """Sorted onsets, each at least `SAME_STRIKE_S` after the one kept before it."""
    kept: list[float] = []
    for onset_s in sorted(onsets_s):
        if not kept or onset_s - kept[-1] >= SAME_STRIKE_S:
            kept.append(float(onset_s))
    return np.array(kept)


def mean_interval(values: Sequence[float], resamples: int = 10_000) -> Interval:
    """Mean over pieces with its 95 % percentile bootstrap interval (fixed seed)."""
    data = np.asarray(values, dtype=float)
    if len(data) < 2:
        return Interval(float(data.mean()), None, None)
    drawn = np.random.default_rng(0).integers(len(data), size=(resamples, len(data)))
    low, high = np.quantile(data[drawn].mean(axis=1), (0.025, 0.975))
    return Interval(float(data.mean()), float(low), float(high))


def pooled(counts: Iterable[Counts]) -> Counts:
    """Counts of several pieces as if they were one."""
    return sum(counts, Counts(0, 0, 0))


def _lag(reference: np.ndarray, estimate: np.ndarray, pairs: Sequence[tuple[int, int]]) -> float | None:
    if not pairs:
        return None
    return float(np.median([estimate[heard] - reference[played] for played, heard in pairs]))
