"""Groove MIDI Dataset v1.0.0: drum takes as played on an electronic kit.

| | |
|---|---|
| source | Gillick, Roberts, Engel, Eck, Bamman: "Learning to Groove with Inverse Sequence Transformations", ICML 2019 |
| licence | CC BY 4.0 |
| archive | `groove-v1.0.0-midionly.zip` |
| sha256 | 651cbc524ffb891be1a3e46d89dc82a1cecb09a57c748c7b45b844c4841dcc1e |
| layout here | `info.csv` and `midi/drummerN/...mid`; splits "train" and "validation" as published |

Trap: notes 22 and 26 (hi-hat edges) are common; `music.drum_kit` reads them as closed and open.
"""

from __future__ import annotations

import csv
from pathlib import Path

from tutti.errors import TrainingError

__all__ = ["takes"]


def takes(root: Path, split: str) -> list[Path]:
    """MIDI files of one published split."""
    index = root / "info.csv"
    if not index.exists():
        raise TrainingError(
            f"No Groove MIDI Dataset in {root}: info.csv is missing. docs/data.md says where to get it."
        )
    with index.open(newline="") as rows:
        return [root / "midi" / row["midi_filename"] for row in csv.DictReader(rows) if row["split"] == split]
