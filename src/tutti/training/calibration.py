"""How sure a network may be: its answers against how often such answers are right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit_logistic"]

_SLOPES = np.linspace(1, 30, 59)
_MIDDLES = np.linspace(-0.5, 1.0, 151)


def fit_logistic(answers: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and middle of 1 / (1 + exp(-slope (answer - middle))) that fits `right` best; both arrays are (n,).

    Two answers of either kind are added in the middle, so that a few that all are right do not count as certain.
    """
    answers = np.concatenate([answers, np.full(4, 0.5)])
    right = np.concatenate([right, [True, True, False, False]])
    best = (np.inf, 1.0, 0.5)
    for slope in _SLOPES:
        z = slope * (answers - _MIDDLES[:, None])
        losses = np.logaddexp(0, np.where(right, -z, z)).sum(axis=1)
        row = int(losses.argmin())
        best = min(best, (float(losses[row]), float(slope), float(_MIDDLES[row])))
    return round(best[1], 2), round(best[2], 2)
