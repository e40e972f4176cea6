"""How right a chart is: bars with everything in them at its place."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from tutti.capabilities.drums.quantise import swung
from tutti.notation.sheet import Bar, Sheet, Swing

__all__ = ["BarCheck", "bar_content", "bars_right", "check_bars"]

_SAME_BAR_S = 0.07


@dataclass(frozen=True, slots=True)
class BarCheck:
    """One bar against its truth."""

    row: int | None
    """Which bar of the reference; None for one that is not there."""
    start_s: float
    missing: frozenset[tuple[Fraction, str]]
    added: frozenset[tuple[Fraction, str]]
    misplaced: bool = False
    """There is no bar of that length at that time on the other sheet."""

    @property
    def right(self) -> bool:
        return not (self.missing or self.added or self.misplaced)


def bar_content(bar: Bar, swing: Swing | None) -> frozenset[tuple[Fraction, str]]:
    """(slot, class) of every stroke; slots are quarter notes from the bar line, played with `swing` where given."""
    return frozenset((swung(stroke.position, bar, swing), stroke.instrument) for stroke in bar.strokes)


def _readings(bar: Bar, swing: Swing | None) -> list[frozenset[tuple[Fraction, str]]]:
    """The bar as written, and, where it is swung, as the triplets or dotted notes that swing lies between: all of them
    are the same music."""
    swings = (None,) if swing is None else (None, Swing(swing.unit, 2, 1), Swing(swing.unit, 3, 1))
    return [bar_content(bar, each) for each in swings]


def check_bars(reference: Sheet, estimate: Sheet) -> tuple[BarCheck, ...]:
    """Every bar of the reference against the bar of the estimate that begins within 70 ms of it, then the bars of the
    estimate that have strokes and belong to none. Both sheets are written out in full, without repeat signs."""
    left = list(estimate.bars)
    checks = []
    for row, bar in enumerate(reference.bars):
        truths = _readings(bar, reference.swing)
        same = [other for other in left if abs(other.start_s - bar.start_s) <= _SAME_BAR_S]
        match = min(same, key=lambda other: abs(other.start_s - bar.start_s), default=None)
        if match is None:
            checks.append(BarCheck(row, bar.start_s, truths[0], frozenset(), misplaced=bool(truths[0])))
            continue
        left.remove(match)
        pairs = [(truth, found) for truth in truths for found in _readings(match, estimate.swing)]
        truth, found = min(pairs, key=lambda pair: len(pair[0] ^ pair[1]))
        checks.append(BarCheck(row, bar.start_s, truth - found, found - truth, match.quarters != bar.quarters))
    for bar in left:
        if bar.strokes:
            checks.append(BarCheck(None, bar.start_s, frozenset(), bar_content(bar, None), misplaced=True))
    return tuple(checks)


def bars_right(reference: Sheet, estimate: Sheet) -> float:
    """The share (0-1) of bars with exactly the right set of (slot, class); 1 where both sheets are empty."""
    checks = check_bars(reference, estimate)
    return sum(check.right for check in checks) / len(checks) if checks else 1.0
