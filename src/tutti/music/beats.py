"""Beats as a listener gives them: the grid, what one beat is worth on paper, and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from tutti.music.timing import BeatGrid

__all__ = ["Beats"]


@dataclass(frozen=True, slots=True)
class Beats:
    """Where the beats of a recording are.

    A beat is worth `beat_quarters` quarter notes: 1 in n/4, 3/2 in 6/8, 9/8 and 12/8, 1/2 in 5/8 and 7/8, whose beats
    are counted in eighths. A bar of n beats is thus n/4, 3n/8 or n/8.
    """

    grid: BeatGrid
    confidence: float
    """0-1, calibrated: the share of such answers that are right."""
    bpm_unreliable: bool
    """True when the tempo should be checked by ear."""
    method: str
    """What found them, such as "tutti-beats", "madmom", "librosa", "user"."""
    beat_quarters: Fraction = Fraction(1)
    literal_strength: float | None = None
    """The tracker's own tempo strength, where it has one (madmom's comb); below 0.5 counts as unreliable there."""
