"""`groove`: a style and a tempo, or a prompt, to drum patterns that sound played.

Takes a style by name, quarter notes a minute, bars and a seed; or a MIDI file to continue, vary, humanise, fill in or
answer. Gives patterns (quarter notes from the first downbeat, General MIDI keys, velocities 1-127) with what is amiss
with them, as MIDI for several drum maps, a groove template, JSON, a picture and sound.

Limits: fourteen pieces of a kit; next to all that was learnt is in 4/4; producers' styles are inspired by what has been
written of them, no recordings of theirs were used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tutti.capabilities.groove.types import Groove, Options

if TYPE_CHECKING:
    from tutti.capabilities.groove.run import run

__all__ = ["Groove", "Options", "run"]


def __getattr__(name: str) -> Any:
    if name == "run":  # computing needs a framework, naming the types does not
        from tutti.capabilities.groove.run import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
