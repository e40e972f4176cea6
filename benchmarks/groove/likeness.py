"""Are generated patterns like drummers'? Bands of what drummers do, overlaps of features, and a classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gaussian_kde
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from tutti.capabilities.groove.features import features_of
from tutti.capabilities.groove.pattern import Pattern

__all__ = ["BANDS", "Bands", "bands", "overlap_and_divergence", "table_of", "told_apart"]

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
    real: Mapping[str, Floats], groups: Sequence[int], other: Mapping[str, Floats], other_groups: Sequence[int] | None = None
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
        model, values, truth, groups=[*groups, *own], cv=folds, method="predict_proba", params={"sample_weight": weights}
    )
    return float(roc_auc_score(truth, probabilities[:, 1]))
