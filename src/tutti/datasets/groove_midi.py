"""Groove MIDI Dataset v1.0.0: drum takes as played on an electronic kit.

| | |
|---|---|
| source | Gillick, Roberts, Engel, Eck, Bamman: "Learning to Groove with Inverse Sequence Transformations", ICML 2019 |
| licence | CC BY 4.0 |
| archive | `groove-v1.0.0-midionly.zip` |
| sha256 | 651cbc524ffb891be1a3e46d89dc82a1cecb09a57c748c7b45b844c4841dcc1e |
| layout here | `info.csv` and `midi/drummerN/...mid`; splits "train" and "validation" as published |

Traps: notes 22 and 26 (hi-hat edges) are common; `music.drum_kit` reads them as closed and open. 55 and 52 are the
edges of the two crash cymbals on that kit, though splash and china in General MIDI; `drums_of` writes 49 and 57.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tutti.errors import TrainingError
from tutti.music.beats import beats_of_metre
from tutti.music.midi import read_midi_score
from tutti.music.notes import Note
from tutti.music.timing import TimeSignature

__all__ = ["DrumTake", "drums_of", "index_of", "played_take", "read_take", "takes"]

_CRASH_EDGES = {55: 49, 52: 57}


def index_of(root: Path) -> list[dict[str, str]]:
    """The rows of `info.csv`. Raises TrainingError when it is not there."""
    index = root / "info.csv"
    if not index.exists():
        raise TrainingError(
            f"No Groove MIDI Dataset in {root}: info.csv is missing. docs/data.md says where to get it."
        )
    with index.open(newline="") as rows:
        return list(csv.DictReader(rows))


def takes(root: Path, split: str) -> list[Path]:
    """MIDI files of one published split."""
    return [root / "midi" / row["midi_filename"] for row in index_of(root) if row["split"] == split]


@dataclass(frozen=True, slots=True)
class DrumTake:
    """A drummer's take against the beats of its bars; everything in quarter notes from the first downbeat."""

    strokes: tuple[tuple[float, int, int], ...]
    """(position, General MIDI key, velocity), in order."""
    bpm: float
    """Quarter notes a minute."""
    beat_quarters: float
    """What one beat is worth: 1, or 1.5 in 6/8 and 12/8."""
    beats_per_bar: int
    bars: int


def drums_of(path: Path) -> list[Note]:
    """The strokes of one MIDI file of the set, as General MIDI keys."""
    return [
        Note(note.onset_s, note.offset_s, _CRASH_EDGES.get(note.pitch, note.pitch), note.velocity, is_drum=True)
        for note in read_midi_score(path).notes.drums
    ]


def played_take(path: Path) -> DrumTake:
    """One MIDI file of the set as it was played: strokes ahead of the click stay there, also ahead of the first.

    Drummers play some milliseconds ahead of the click, everyone by an amount of their own: the mean distance to the
    nearest 16th or triplet is taken out, so that beats lie where they are heard. Bars are those begun. Raises
    OptionError for a metre that no drum chart is in.
    """
    score = read_midi_score(path)
    metre = score.time_signatures[0] if score.time_signatures else TimeSignature(4, 4)
    per_bar, beat_quarters = beats_of_metre(metre.numerator, metre.denominator)
    drums = drums_of(path)
    positions = np.array([score.tempo_map.to_beat(note.onset_s) for note in drums])
    near = positions * 12
    lines = np.where(np.abs(near - 3 * np.round(near / 3)) < np.abs(near - 4 * np.round(near / 4)), 3, 4)
    lead = float(np.mean(positions - np.round(near / lines) * lines / 12)) if len(positions) else 0.0
    strokes = sorted(
        (float(position) - lead, note.pitch, note.velocity) for position, note in zip(positions, drums, strict=True)
    )
    # a stroke just ahead of a bar line belongs to the bar after it
    bars = max(1, int((strokes[-1][0] + 0.125) // metre.quarters_per_bar) + 1) if strokes else 1
    return DrumTake(tuple(strokes), score.tempo_map.bpm_at(0.0), float(beat_quarters), per_bar, bars)


def read_take(path: Path) -> DrumTake:
    """`played_take` from its click to the end of its last whole bar. Raises OptionError as that."""
    take = played_take(path)
    per_bar = take.beat_quarters * take.beats_per_bar
    strokes = [(max(0.0, position), key, velocity) for position, key, velocity in take.strokes]
    # a stroke just ahead of the last bar line belongs to the bar that was not recorded
    bars = max(1, int((max((stroke[0] for stroke in strokes), default=0.0) + 0.15) // per_bar))
    kept = tuple(sorted(stroke for stroke in strokes if stroke[0] < bars * per_bar - 0.15))
    return DrumTake(kept, take.bpm, take.beat_quarters, take.beats_per_bar, bars)
