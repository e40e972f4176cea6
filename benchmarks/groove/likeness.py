"""Are generated patterns like drummers'? Bands of what drummers do, overlaps of features, and a classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gaussian_kde
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from benchmarks.groove.baselines import jittered, markov
from benchmarks.groove.sets import BARS, generated, human, takes
from tutti.capabilities.groove.features import features_of
from tutti.capabilities.groove.models.tutti_groove import GrooveNetConfig
from tutti.capabilities.groove.pattern import Pattern
from tutti.capabilities.groove.train import likelihoods
from tutti.weights.cards import find_card
from tutti.weights.store import locate

__all__ = ["BANDS", "Bands", "bands", "overlap_and_divergence", "report", "table_of", "told_apart"]

Floats = NDArray[np.float64]

BANDS = (
    *("hat_lag1", "kit_lag1", "offset_sd_ms", "residual_sd_ms", "velocity_sd", "offset_icc", "velocity_icc"),
    *("notes_per_bar", "simultaneity", "jaccard", "ghost_share"),
    *("share_kick", "share_snare", "share_closed_hat", "share_open_hat", "share_pedal_hat", "share_ride"),
    *("share_toms", "share_crash"),
)


def table_of(patterns: Sequence[Pattern]) -> dict[str, Floats]:
    """Features by name, each (patterns,)."""
    rows = [features_of(pattern) for pattern in patterns]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


@dataclass(frozen=True, slots=True)
class Bands:
    """Of one feature: what nine in ten drummers stay above, the middle one, and what nine in ten stay below."""

    low: float
    middle: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


def bands(values: Floats) -> Bands:
    return Bands(*np.nanpercentile(values, (10, 50, 90)).tolist())


def overlap_and_divergence(real: Floats, other: Floats) -> tuple[float, float]:
    """Overlapping area and Kullback-Leibler divergence (nats) of the distances within `real` and between the two.

    Yang and Lerch, "On the evaluation of generative models in music", 2020: kernel densities by Scott's rule.
    """
    real, other = real[np.isfinite(real)], other[np.isfinite(other)]
    within = np.abs(real[:, None] - real)[np.triu_indices(len(real), 1)]
    between = np.abs(real[:, None] - other).ravel()
    rng = np.random.default_rng(0)
    within, between = (rng.choice(each, min(len(each), 20_000), replace=False) for each in (within, between))
    grid = np.linspace(0, max(within.max(), between.max(), 1e-9), 512)
    spread = 1e-6 * (1 + grid[-1]) * rng.standard_normal((2, 20_000))  # a feature without any variance has no density
    p = gaussian_kde(within + spread[0, : len(within)])(grid) + 1e-9
    q = gaussian_kde(between + spread[1, : len(between)])(grid) + 1e-9
    p, q = p / p.sum(), q / q.sum()
    return float(np.minimum(p, q).sum()), float((p * np.log(p / q)).sum())


def told_apart(
    real: Mapping[str, Floats],
    groups: Sequence[int],
    other: Mapping[str, Floats],
    other_groups: Sequence[int] | None = None,
) -> float:
    """Area under the ROC curve of gradient boosting that is to tell the two from the features, five-fold
    cross-validated; windows of one take are in one fold. 0.5 is chance."""
    names = sorted(real)
    values = np.concatenate([np.stack([table[name] for name in names], axis=1) for table in (real, other)])
    truth = np.repeat([0, 1], [len(real[names[0]]), len(other[names[0]])])
    own = range(10**6, 10**6 + int(truth.sum())) if other_groups is None else [10**6 + group for group in other_groups]
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    model = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.06, max_depth=4, random_state=0)
    weights = np.where(truth == 0, len(truth) / (truth == 0).sum(), len(truth) / (truth == 1).sum())
    probabilities = cross_val_predict(
        model,
        values,
        truth,
        groups=[*groups, *own],
        cv=folds,
        method="predict_proba",
        params={"sample_weight": weights},
    )
    return float(roc_auc_score(truth, probabilities[:, 1]))


COUNT = 500


def report(threads: int, model: str = "tutti-groove") -> str:  # noqa: ARG001 - threads are set by the caller
    """Bands, overlaps, classifiers and likelihoods as Markdown."""
    real = human("validation")
    rng = np.random.default_rng(1)
    order = np.concatenate([rng.permutation(len(real)) for _ in range(1 + COUNT // len(real))])[:COUNT]
    asked = [real[index].conditions for index in order]
    learnt = human("train")
    some = rng.permutation(len(learnt))[:COUNT]
    groups = [window.take for window in real]
    drummers = table_of([window.pattern for window in real])
    others = {
        "tutti-groove": table_of(generated(asked, 1, model)),
        "2nd-order Markov": table_of(markov(takes("train"), asked, BARS, 1)),
        "quantised + jitter": table_of(jittered(asked, BARS, 1)),
    }
    trained = table_of([learnt[index].pattern for index in some])
    others_takes = told_apart(drummers, groups, trained, [learnt[index].take for index in some])
    parts = [
        f"{len(real)} windows of {BARS} bars from {len(set(groups))} validation takes; {COUNT} patterns of each "
        "system, told the style, substyle and tempo of those windows.\n",
        _band_table(drummers, others),
        _overlap_table(drummers, others),
        "AUC of a classifier that is to tell them from the drummers (0.5 is chance): "
        + ", ".join(f"{name} {told_apart(drummers, groups, table):.3f}" for name, table in others.items())
        + f"; windows of other takes (train) {others_takes:.3f}.\n",
        _likelihood_line(model),
    ]
    return "\n".join(parts)


def _band_table(drummers: Mapping[str, Floats], others: Mapping[str, Mapping[str, Floats]]) -> str:
    lines = [
        f"| median of | drummers: low, middle, high | {' | '.join(others)} |",
        f"|---|---|{'---|' * len(others)}",
    ]
    for name in BANDS:
        band = bands(drummers[name])
        cells = []
        for table in others.values():
            known = table[name][np.isfinite(table[name])]
            middle = float(np.median(known)) if len(known) else np.nan
            cells.append(f"{middle:.2f}{'' if band.holds(middle) else ' (outside)'}")
        lines.append(f"| `{name}` | {band.low:.2f}, {band.middle:.2f}, {band.high:.2f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _overlap_table(drummers: Mapping[str, Floats], others: Mapping[str, Mapping[str, Floats]]) -> str:
    lines = [
        "| feature | " + " | ".join(f"{what} {name}" for what in ("OA", "KL") for name in others) + " | ahead |",
        f"|---|{'---|' * (2 * len(others) + 1)}",
    ]
    won = 0
    for name in drummers:
        found = [
            overlap_and_divergence(drummers[name], table[name])
            if np.isfinite(table[name]).sum() > 10
            else (0.0, np.inf)
            for table in others.values()
        ]
        ours, rest = found[0], found[1:]
        is_ahead = all(ours[0] >= area and ours[1] <= divergence for area, divergence in rest)
        won += is_ahead
        areas, divergences = ([f"{pair[place]:.3f}" for pair in found] for place in (0, 1))
        lines.append(f"| `{name}` | {' | '.join(areas)} | {' | '.join(divergences)} | {'yes' if is_ahead else 'no'} |")
    return "\n".join(lines) + f"\n\nAhead of both in overlap and divergence: {won} of {len(drummers)} features.\n"


def _likelihood_line(model: str) -> str:
    card = find_card("tutti-groove") if model == "tutti-groove" else None
    path = Path(model) if card is None else locate(card)
    found = likelihoods(path, GrooveNetConfig(), takes("validation"))
    kinds = ", ".join(
        f"{kind} {found[kind]:.3f}" for kind in ("Position", "PitchDrum", "MicroTiming", "Velocity", "Bar")
    )
    return (
        f"Mean negative log likelihood of validation takes (nats): {found['token']:.3f} a token, {found['stroke']:.3f} "
        f"a stroke; {kinds}.\n"
    )
