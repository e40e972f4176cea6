"""How well hits and beats were found, over mir_eval: what the literature reports for drum transcription."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import mir_eval
import numpy as np
from numpy.typing import NDArray

from tutti.capabilities.drums.decode import FAMILIES
from tutti.music.drum_hits import DrumHits
from tutti.music.drum_kit import DRUM_CLASSES

__all__ = [
    "WINDOWS_S",
    "Counts",
    "correlation",
    "count",
    "evaluate",
    "evaluate_together",
    "family_of",
    "matched_velocities",
    "pooled",
    "summed",
]

WINDOWS_S = (0.05, 0.02)
"""How far a hit may be from the truth (seconds)."""

_FAMILY = {piece: family for family, pieces in FAMILIES.items() for piece in pieces}


def family_of(instrument: str) -> str:
    """The one of five classes that a piece belongs to."""
    return _FAMILY[instrument]


@dataclass(frozen=True, slots=True)
class Counts:
    """Hits that were right, that were given, and that there are."""

    right: int = 0
    given: int = 0
    true: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.right + other.right, self.given + other.given, self.true + other.true)

    @property
    def precision(self) -> float:
        return self.right / self.given if self.given else float(not self.true)

    @property
    def recall(self) -> float:
        return self.right / self.true if self.true else 1.0

    @property
    def f1(self) -> float:
        """1 where there is nothing and nothing is given."""
        return 2 * self.right / (self.given + self.true) if self.given + self.true else 1.0


def count(reference: DrumHits, estimate: DrumHits, window_s: float, *, pieces: bool = False) -> dict[str, Counts]:
    """Counts for each of five families, or with `pieces` for each of DRUM_CLASSES; each hit matches one at most."""
    names = DRUM_CLASSES if pieces else tuple(FAMILIES)
    true, given = (_times_s(hits, pieces) for hits in (reference, estimate))
    counts = {}
    for name in names:
        right = 0
        if len(true[name]) and len(given[name]):
            right = len(mir_eval.util.match_events(true[name], given[name], window_s))
        counts[name] = Counts(right, len(given[name]), len(true[name]))
    return counts


def _times_s(hits: DrumHits, pieces: bool) -> dict[str, NDArray[np.float64]]:
    times: dict[str, list[float]] = {name: [] for name in (DRUM_CLASSES if pieces else FAMILIES)}
    for hit in hits:
        times[hit.instrument if pieces else _FAMILY[hit.instrument]].append(hit.time_s)
    return {name: np.array(values) for name, values in times.items()}


def summed(counts: Iterable[Mapping[str, Counts]]) -> dict[str, Counts]:
    """Class by class over several recordings."""
    total: dict[str, Counts] = {}
    for one in counts:
        for name, each in one.items():
            total[name] = total.get(name, Counts()) + each
    return total


def pooled(counts: Iterable[Mapping[str, Counts]]) -> Counts:
    """All classes of all recordings in one."""
    return sum((each for one in counts for each in one.values()), Counts())


def evaluate(reference: DrumHits, estimate: DrumHits) -> dict[str, float]:
    """F1 pooled over five families (`f1_50ms`, `f1_20ms`) and over all pieces (`f1_pieces_50ms`), of each family that
    occurs (`kick_f1_50ms` …), and how velocities of matched hits correlate (`velocity_r`, where they can)."""
    return evaluate_together([(reference, estimate)])


def evaluate_together(pairs: Sequence[tuple[DrumHits, DrumHits]]) -> dict[str, float]:
    """The same of several recordings as if they were one; each pair is a reference and an estimate."""
    scores: dict[str, float] = {}
    for window_s in WINDOWS_S:
        counts = summed(count(*pair, window_s) for pair in pairs)
        label = f"{round(1000 * window_s)}ms"
        scores[f"f1_{label}"] = pooled([counts]).f1
        scores |= {f"{name}_f1_{label}": each.f1 for name, each in counts.items() if each.true or each.given}
    scores["f1_pieces_50ms"] = pooled(count(*pair, WINDOWS_S[0], pieces=True) for pair in pairs).f1
    r = correlation(np.concatenate([np.zeros((0, 2)), *(matched_velocities(*pair) for pair in pairs)]))
    return scores if r is None else {**scores, "velocity_r": r}


def correlation(pairs: NDArray[np.float64]) -> float | None:
    """Pearson's r of the two columns; None for fewer than three rows or where a column has but one value."""
    if len(pairs) < 3 or not (pairs.max(axis=0) > pairs.min(axis=0)).all():
        return None
    return float(np.corrcoef(pairs[:, 0], pairs[:, 1])[0, 1])


def matched_velocities(reference: DrumHits, estimate: DrumHits) -> NDArray[np.float64]:
    """Velocities of hits that match at 50 ms within their family, (matches, 2): true, given."""
    pairs = []
    for family in FAMILIES:
        true, given = ([hit for hit in hits if _FAMILY[hit.instrument] == family] for hits in (reference, estimate))
        if true and given:
            times = [np.array([hit.time_s for hit in hits]) for hits in (true, given)]
            matches = mir_eval.util.match_events(*times, WINDOWS_S[0])
            pairs += [(true[row].velocity, given[column].velocity) for row, column in matches]
    return np.array(pairs, np.float64).reshape(-1, 2)
