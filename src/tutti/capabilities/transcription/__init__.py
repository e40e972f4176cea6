"""`transcribe`: a recording of any instruments to notes per instrument.

Takes audio of any length, rate and number of channels; computes on 24 kHz mono. Gives onsets and offsets in seconds
(grid-free, the frames are 16 ms), MIDI pitches 21–108, velocities 1–127, a General MIDI program per instrument family,
and drum hits as General MIDI percussion keys.

Limits: no pedal, no key or metre; unisons of two instruments become one note; singing is written as the nearest
tempered pitches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tutti.capabilities.transcription.types import Options, Transcription

if TYPE_CHECKING:
    from tutti.capabilities.transcription.run import run

__all__ = ["Options", "Transcription", "run"]


def __getattr__(name: str) -> Any:
    if name == "run":  # computing needs a framework, naming the types does not
        from tutti.capabilities.transcription.run import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
