"""PercePiano: rated piano performances as MIDI (Park et al., Scientific Reports 14:23002, 2024).

| | |
|---|---|
| source | github.com/JonghoKimSNU/PercePiano, commit e672299 |
| licence | MIT, copyright Jongho Kim SNU |
| layout here | `midi/*.mid`, `clips.csv`, `groups.csv` |

Trap: the same passage comes back in several groups, so a piece is "unseen" only by `score_family`.
"""

from __future__ import annotations

import csv
from pathlib import Path

from tutti.errors import TrainingError

__all__ = ["VALIDATION_FAMILIES", "clips"]

VALIDATION_FAMILIES = frozenset({"F04", "F09", "F18", "F21", "F24", "F33", "F46"})
"""Held out of all transcription training: 83 of 844 human clips, spanning the three works."""


def clips(root: Path, validation: bool) -> list[Path]:
    """MIDI files of the clips, deadpan ones included, in or out of the validation families."""
    if not (root / "clips.csv").exists():
        raise TrainingError(f"No PercePiano in {root}: clips.csv is missing. docs/data.md says where to get it.")
    with (root / "groups.csv").open(newline="") as rows:
        family = {row["segment_id"]: row["score_family"] for row in csv.DictReader(rows)}
    with (root / "clips.csv").open(newline="") as rows:
        return [
            root / row["midi"]
            for row in csv.DictReader(rows)
            if (family[row["segment_id"]] in VALIDATION_FAMILIES) == validation
        ]
