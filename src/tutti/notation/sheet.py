"""A drum sheet as data: bars of strokes at exact places. What it looks like is decided by `spelling` and the engravers.

Positions and lengths are exact fractions of a quarter note, so nothing is rounded between quantising and print.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

__all__ = ["Bar", "Sheet", "Stroke", "Swing"]


@dataclass(frozen=True, slots=True)
class Stroke:
    """One note head."""

    id: str
    """Unique on the sheet, and a valid XML name: the id of the hit it stands for."""
    position: Fraction
    """Quarter notes from the start of its bar."""
    instrument: str
    """One of `music.drum_kit.DRUM_CLASSES`."""
    ghost: bool = False
    """Played softly on purpose: printed in parentheses."""
    accent: bool = False
    grace: bool = False
    """The soft stroke of a flam: printed small, right before the strokes at `position`."""
    tremolo: int = 0
    """Slashes through the stem (1-3): the head stands for a roll that lasts up to the next stroke of its voice."""
    doubtful: bool = False
    """The listener is not sure of it: printed in grey."""
    also: tuple[str, ...] = ()
    """Ids of further hits this head stands for: the strokes of a roll, or of later passes of a repeat."""


@dataclass(frozen=True, slots=True)
class Swing:
    """Straight notes on paper that are played long-short: of each pair, `first` parts and `second` parts."""

    unit: Literal["eighth", "16th"]
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar. `strokes` are in order of position."""

    numerator: int
    denominator: int
    strokes: tuple[Stroke, ...] = ()
    divisions: tuple[int, ...] = ()
    """Into how many equal parts each beat is written, one number a beat: 1, 2, 4, 8 straight and 3, 6, 12 triplets
    where a beat is a quarter or an eighth; 1, 3, 6, 12 straight and 2, 4 duplets where it is a dotted quarter. Every
    stroke lies on one of these parts."""
    start_s: float = 0.0
    """When it begins in the recording (seconds)."""
    bpm: float | None = None
    """Beats a minute, printed where given. The first bar has one."""
    rehearsal: str = ""
    """A rehearsal mark, such as "A" or "Chorus"."""
    text: str = ""
    """Words above the bar, such as "Fill"."""
    repeats_previous: bool = False
    """Same as the bar before: printed as a percent sign; the strokes are there for players and for editing."""
    opens_repeat: bool = False
    closes_repeat: bool = False
    ending: int = 0
    """1 or 2 within a first or second ending, else 0."""

    @property
    def quarters(self) -> Fraction:
        """Its length in quarter notes."""
        return Fraction(4 * self.numerator, self.denominator)

    @property
    def beat_quarters(self) -> Fraction:
        """What one beat is worth: a dotted quarter in 6/8, 9/8 and 12/8, else the metre's own unit."""
        compound = self.denominator == 8 and self.numerator in (6, 9, 12)
        return Fraction(3, 2) if compound else Fraction(4, self.denominator)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A whole chart."""

    title: str
    bars: tuple[Bar, ...] = ()
    swing: Swing | None = None
    has_pickup: bool = False
    """The first bar is shorter than its metre and counts as bar 0; its strokes lie at its end."""
    note: str = ""
    """One line under the title, such as what the chart cannot tell apart."""
