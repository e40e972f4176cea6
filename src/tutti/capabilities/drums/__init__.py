"""`drums`: a recording with drums in it, or a link to one, to a drum chart.

Takes audio of any length, rate and number of channels; a separator may take the drums out first. Gives hits (seconds,
fourteen pieces of a kit, velocities 1-127, confidence 0-1), beats and downbeats, and a sheet in two voices: MusicXML,
PDF, SVG, PNG, MIDI as written and as played.

Limits: one kit; hand percussion is passed over; toms, cymbals and the opening of a hi-hat are told apart by sound
alone; a beat is a quarter, or a dotted quarter in 6/8, 9/8 and 12/8, unless the metre is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tutti.capabilities.drums.types import DrumChart, Options

if TYPE_CHECKING:
    from tutti.capabilities.drums.run import run

__all__ = ["DrumChart", "Options", "run"]


def __getattr__(name: str) -> Any:
    if name == "run":  # computing needs a framework, naming the types does not
        from tutti.capabilities.drums.run import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
