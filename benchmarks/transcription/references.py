"""What was really played: reference notes and drum onsets, and how MIDI becomes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tutti.music.drum_kit import class_of_key

DRUM_CLASSES = ("KD", "SD", "TT", "HH", "CY")
"""Kick, snare, toms, hi-hat, cymbals. The rest (OT: side stick, tambourine, cowbell ...) counts as an onset only."""

_FOLDED = {
    "KD": ("kick",),
    "SD": ("snare",),
    "TT": ("tom_high", "tom_mid", "tom_low"),
    "HH": ("hihat_closed", "hihat_open", "hihat_pedal"),
    "CY": ("ride", "ride_bell", "crash", "splash", "china"),
}
_CLASS_OF = {fine: coarse for coarse, members in _FOLDED.items() for fine in members}


def drum_class(key: int) -> str:
    """The class of a percussion key: one of `DRUM_CLASSES` or OT."""
    return _CLASS_OF.get(class_of_key(key) or "", "OT")


@dataclass(frozen=True)
class PlayedNote:
    onset_s: float
    offset_s: float
    pitch: float
    """MIDI number, with a fraction where the annotation measured it."""


@dataclass(frozen=True)
class PitchedReference:
    annotator: str
    notes: tuple[PlayedNote, ...]

    @property
    def intervals_s(self) -> np.ndarray:
        return np.array([(note.onset_s, note.offset_s) for note in self.notes]).reshape(-1, 2)

    @property
    def pitches(self) -> np.ndarray:
        return np.array([note.pitch for note in self.notes])


@dataclass(frozen=True)
class DrumReference:
    annotator: str
    onsets: tuple[tuple[float, str], ...]
    """Onset in seconds and class, one of `DRUM_CLASSES` or OT."""

    def of_class(self, name: str) -> np.ndarray:
        return np.array([onset_s for onset_s, label in self.onsets if label == name])

    @property
    def all_onsets(self) -> np.ndarray:
        return np.array([onset_s for onset_s, _ in self.onsets])


Reference = PitchedReference | DrumReference


def extend_by_pedal(notes: Iterable[PlayedNote], pedals: Iterable[tuple[float, float]]) -> tuple[PlayedNote, ...]:
    """Notes as they sound: released under the pedal they last until it rises, or until the same key is struck again.

    `pedals` are (down_s, up_s).
    """
    ordered = sorted(notes, key=lambda note: note.onset_s)
    spans = sorted(pedals)
    next_strike: dict[float, float] = {}
    sounding = []
    for note in reversed(ordered):
        released_s = max((up for down, up in spans if down <= note.offset_s < up), default=note.offset_s)
        struck_s = next_strike.get(note.pitch, np.inf)
        offset_s = max(note.offset_s, min(released_s, struck_s))
        sounding.append(PlayedNote(note.onset_s, offset_s, note.pitch))
        next_strike[note.pitch] = note.onset_s
    return tuple(reversed(sounding))
