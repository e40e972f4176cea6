"""tutti listens to music, writes it down, plays along.

    import tutti

    result = tutti.transcribe("song.flac")
    result.save("song.mid")

Importing the package loads no framework; the first call does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tutti.library import drums, groove, load_model, stream_notes, transcribe

__all__ = ["__version__", "drums", "groove", "load_model", "stream_notes", "transcribe"]

__version__ = "0.1.0"

_LAZY = dict.fromkeys(("drums", "groove", "load_model", "stream_notes", "transcribe"), "tutti.library")


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tutti' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
