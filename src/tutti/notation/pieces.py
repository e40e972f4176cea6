"""How each drum is drawn, named and played: the one table that spelling, MusicXML, LilyPond and the legend read.

Places and heads follow wide practice and N. Weinberg, "Guidelines for Drumset Notation" (Percussive Notes, June 1994).
Sources disagree on rarer pieces, so every chart prints a legend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tutti.music.drum_kit import DRUM_CLASSES, key_of_class

__all__ = ["PIECES", "Head", "Piece", "Voice"]

Voice = Literal["hands", "feet"]
Head = Literal["normal", "x", "circle-x", "diamond", "triangle", "slashed"]
"""By its name in MusicXML."""

_STEPS = "CDEFGAB"
_MIDDLE_LINE = 7 * 4 + _STEPS.index("B")


@dataclass(frozen=True, slots=True)
class Piece:
    """One row of the table, for the drum class `name`."""

    name: str
    step: str
    """Where it is written, C to B, read as if in treble clef."""
    octave: int
    head: Head
    voice: Voice
    """Hands have stems up, feet have stems down."""
    lilypond: str
    """LilyPond's name for it in drum mode."""
    label: str
    """What the legend and other programs call it."""

    @property
    def key(self) -> int:
        """Its General MIDI percussion key (0-127, as in MIDI; MusicXML counts from 1)."""
        return key_of_class(self.name)

    @property
    def place(self) -> int:
        """Steps above the middle line of the staff: 0 on it, 1 in the space above, 4 on the top line."""
        return 7 * self.octave + _STEPS.index(self.step) - _MIDDLE_LINE


_TABLE = (
    Piece("kick", "F", 4, "normal", "feet", "bassdrum", "Kick"),
    Piece("snare", "C", 5, "normal", "hands", "snare", "Snare"),
    Piece("side_stick", "C", 5, "x", "hands", "sidestick", "Side stick"),
    Piece("hihat_closed", "G", 5, "x", "hands", "closedhihat", "Hi-hat"),
    Piece("hihat_open", "G", 5, "circle-x", "hands", "openhihat", "Open hi-hat"),
    Piece("hihat_pedal", "D", 4, "x", "feet", "pedalhihat", "Pedal hi-hat"),
    Piece("tom_high", "E", 5, "normal", "hands", "hightom", "High tom"),
    Piece("tom_mid", "D", 5, "normal", "hands", "lowmidtom", "Mid tom"),
    Piece("tom_low", "A", 4, "normal", "hands", "highfloortom", "Floor tom"),
    Piece("ride", "F", 5, "x", "hands", "ridecymbal", "Ride"),
    Piece("ride_bell", "F", 5, "diamond", "hands", "ridebell", "Ride bell"),
    Piece("crash", "A", 5, "x", "hands", "crashcymbal", "Crash"),
    Piece("splash", "B", 5, "diamond", "hands", "splashcymbal", "Splash"),
    Piece("china", "B", 5, "x", "hands", "chinesecymbal", "China"),
)

PIECES: dict[str, Piece] = {piece.name: piece for piece in _TABLE}
"""Drum class -> piece, in the order of `DRUM_CLASSES`."""

assert tuple(PIECES) == DRUM_CLASSES
