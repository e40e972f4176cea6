"""Endless labelled music: scores from the composer and from MIDI data sets, played by the note bank.

`Mixer.draw` gives one piece: its sound and the notes in it, exact to the sample. What share each kind of piece has is
in `KINDS`; a seed fixes everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutti.audio import augment
from tutti.datasets import composer, groove_midi, percepiano
from tutti.datasets.composer import SINGER, Part
from tutti.datasets.note_bank import SAMPLE_RATE_HZ, open_bank
from tutti.datasets.players import Players, add_at, released
from tutti.errors import TrainingError
from tutti.music.drum_kit import class_of_key, key_of_class
from tutti.music.midi import read_midi
from tutti.music.notes import Note

__all__ = ["KINDS", "Mixer", "Piece"]

Rng = np.random.Generator
Samples = NDArray[np.float32]

KINDS: dict[str, float] = {
    "performed piano": 0.24,
    "composed piano": 0.06,
    "performed other": 0.06,
    "polyphonic": 0.07,
    "guitar": 0.13,
    "singing": 0.08,
    "line": 0.06,
    "band": 0.18,
    "drums": 0.11,
    "nothing": 0.01,
}

_GUITARS = (24, 25, 26, 27, 28, 29, 30)
_LINES = (
    40,
    41,
    42,
    43,
    56,
    57,
    58,
    59,
    60,
    61,
    64,
    65,
    66,
    67,
    68,
    69,
    70,
    71,
    72,
    73,
    74,
    75,
    76,
    77,
    78,
    79,
    80,
    81,
    84,
    87,
)
_POLYPHONIC = (
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    16,
    17,
    18,
    19,
    20,
    21,
    22,
    45,
    46,
    48,
    49,
    50,
    51,
    52,
    61,
    62,
    63,
    80,
    81,
    88,
    89,
    90,
)


@dataclass(frozen=True)
class Piece:
    """`samples` (n,) at SAMPLE_RATE_HZ and what sounds in them; velocities are as heard, the part's level included."""

    kind: str
    samples: Samples
    notes: tuple[Note, ...]


class Mixer:
    """Draws pieces of `duration_s` from a note bank and the training (or validation) parts of the MIDI data sets."""

    def __init__(
        self, bank: Path, percepiano_root: Path, groove_root: Path, duration_s: float, validation: bool = False
    ) -> None:
        self.duration_s = duration_s
        voices = open_bank(bank).values()
        self.players = Players(voices, duration_s)
        self.kits = [voice for voice in voices if voice.sheet.is_drum]
        self.performances = [
            read_midi(path).sustained().pitched for path in percepiano.clips(percepiano_root, validation)
        ]
        self.grooves = [
            read_midi(path).drums for path in groove_midi.takes(groove_root, "validation" if validation else "train")
        ]

    def draw(self, rng: Rng, kind: str | None = None) -> Piece:
        kind = kind or str(rng.choice(list(KINDS), p=np.array(list(KINDS.values()))))
        parts = self._compose(kind, rng)
        samples = np.zeros(round(self.duration_s * SAMPLE_RATE_HZ), np.float32)
        notes: list[Note] = []
        for part in parts:
            sound, played = self._perform(part, rng)
            audible = sound[np.abs(sound) > 1e-4]
            if len(parts) > 1 and len(audible):  # parts meet at like loudness, apart by the level the composer chose
                sound *= 10 ** (part.level_db / 20) * 0.1 / float(np.sqrt(np.mean(audible**2)))
            if rng.random() < 0.4:
                sound = augment.colour(sound, SAMPLE_RATE_HZ, rng, bands=3, depth_db=6.0)
            if len(parts) > 1 and rng.random() < 0.25:
                sound = augment.room(sound, SAMPLE_RATE_HZ, rng)
            samples += sound
            notes += [_at_level(note, part.level_db if len(parts) > 1 else 0.0) for note in played]
        return Piece(kind, augment.degrade(samples, SAMPLE_RATE_HZ, rng), tuple(sorted(notes)))

    def _compose(self, kind: str, rng: Rng) -> list[Part]:
        length = self.duration_s
        match kind:
            case "performed piano":
                return [Part(int(rng.choice([0, 0, 0, 0, 1, 2, 3, 4])), self._performance(rng))]
            case "performed other":
                return [Part(int(rng.choice(_POLYPHONIC + _GUITARS)), self._performance(rng))]
            case "composed piano":
                return composer.polyphonic_solo(length, int(rng.choice([0, 0, 0, 1, 3])), 24, 105, rng)
            case "polyphonic":
                return composer.polyphonic_solo(length, int(rng.choice(_POLYPHONIC)), 36, 96, rng)
            case "guitar":
                return composer.guitar_solo(length, int(rng.choice(_GUITARS)), 40, 84, rng)
            case "singing":
                low = int(rng.integers(42, 60))
                return composer.mono_solo(length, SINGER, low, low + 20, rng)
            case "line":
                low = int(rng.integers(40, 66))
                return composer.mono_solo(length, int(rng.choice(_LINES)), low, low + 26, rng)
            case "band":
                return composer.band(length, self._groove(rng) if rng.random() < 0.8 else [], rng)
            case "drums":
                return [Part(0, self._groove(rng))]
            case "nothing":
                return []
        raise TrainingError(f"No kind of piece {kind!r}. Known: {', '.join(KINDS)}.")

    def _performance(self, rng: Rng) -> list[Note]:
        """Windows of performances one after another, transposed and at another pace, until the piece is full."""
        notes: list[Note] = []
        begin_s = 0.0
        while begin_s < self.duration_s - 2:
            source = self.performances[rng.integers(len(self.performances))]
            shift, pace = int(rng.integers(-9, 10)), float(np.exp(rng.uniform(-0.35, 0.35)))
            gain = rng.uniform(0.7, 1.35)
            skip_s = rng.uniform(0, 0.6 * source[-1].onset_s)
            for note in source:
                onset_s = begin_s + (note.onset_s - skip_s) * pace
                offset_s = min(begin_s + (note.offset_s - skip_s) * pace, self.duration_s - 0.01)
                if begin_s <= onset_s < offset_s - 0.02 and 21 <= note.pitch + shift <= 108:
                    velocity = int(np.clip(note.velocity * gain, 8, 127))
                    notes.append(Note(onset_s, offset_s, note.pitch + shift, velocity))
            begin_s = max((note.offset_s for note in notes), default=begin_s) + rng.uniform(0, 1)
        return notes

    def _groove(self, rng: Rng) -> list[Note]:
        """Stretches of drummers' takes, at another pace, until the piece is full, perhaps with a voice muted.

        Takes are mostly kick, snare and hi-hat: so that the rest is heard as well, the hi-hat may move to the ride or
        the crash, strokes of the snare go to the toms now and then, and some kicks get a cymbal.
        """
        notes: list[Note] = []
        moved = self._moved_voices(rng)
        begin_s = rng.uniform(0, 0.5)
        muted = {name for name in ("hihat_closed", "ride", "crash", "kick") if rng.random() < 0.06}
        while begin_s < self.duration_s - 1:
            source = self.grooves[rng.integers(len(self.grooves))]
            pace = float(np.exp(rng.uniform(-0.2, 0.2)))
            skip_s = rng.uniform(0, max(0.0, source[-1].onset_s * pace - 8.0)) if source else 0.0
            for note in source:
                onset_s = begin_s + note.onset_s * pace - skip_s
                name = class_of_key(note.pitch)
                if not begin_s <= onset_s < self.duration_s - 0.05 or name in muted:
                    continue
                key = moved.get(name, note.pitch)
                if name == "snare" and rng.random() < 0.15:
                    key = key_of_class(str(rng.choice(["tom_high", "tom_mid", "tom_low", "side_stick"])))
                notes.append(Note(onset_s, onset_s + 0.04, key, note.velocity, 0, True))
                if name == "kick" and rng.random() < 0.06:
                    cymbal = key_of_class(str(rng.choice(["crash", "crash", "splash", "china"])))
                    notes.append(Note(onset_s, onset_s + 0.04, cymbal, max(note.velocity, 70), 0, True))
            begin_s = max((note.onset_s for note in notes), default=begin_s) + rng.uniform(0.2, 1.0)
        return notes

    @staticmethod
    def _moved_voices(rng: Rng) -> dict[str | None, int]:
        """What the drummer's hand on the hi-hat plays instead, by class."""
        names = ["hihat_closed", "hihat_open", "ride", "ride_bell", "crash"]
        instead = str(rng.choice(names, p=[0.64, 0.1, 0.18, 0.03, 0.05]))
        return {} if instead == "hihat_closed" else {"hihat_closed": key_of_class(instead)}

    def _perform(self, part: Part, rng: Rng) -> tuple[Samples, list[Note]]:
        if part.notes and part.notes[0].is_drum:
            return self._drum(part.notes, rng)
        return self.players.perform(part, rng)

    def _drum(self, hits: Sequence[Note], rng: Rng) -> tuple[Samples, list[Note]]:
        """One kit, retuned and rebalanced piece by piece; hits on pieces the kit lacks go to their class's next key."""
        kit = self.kits[rng.integers(len(self.kits))]
        keys_of_class: dict[str | None, list[int]] = {}
        for key in kit.sheet.pitches:
            keys_of_class.setdefault(class_of_key(key), []).append(key)
        samples = np.zeros(round(self.duration_s * SAMPLE_RATE_HZ), np.float32)
        tuned: dict[tuple[int, int], Samples] = {}
        ratio = {key: float(np.exp(rng.uniform(-0.15, 0.15))) for key in kit.sheet.pitches}
        gain = {key: float(10 ** (rng.uniform(-6, 6) / 20)) for key in kit.sheet.pitches}
        shorten_s = rng.choice([0.15, 0.4, 2.0, 2.0])
        played = []
        for hit in hits:
            name = class_of_key(hit.pitch)
            if name is None or name not in keys_of_class:
                continue
            key = hit.pitch if kit.has(hit.pitch) else keys_of_class[name][0]
            layer = min(hit.velocity // 16 * 16 + 8, 127)
            if (key, layer) not in tuned:
                sound = kit.note(key, layer)
                sound = np.interp(np.arange(0, len(sound) - 1, ratio[key]), np.arange(len(sound)), sound)
                tuned[key, layer] = released(sound.astype(np.float32), shorten_s, 0.2) * np.float32(gain[key])
            add_at(samples, tuned[key, layer] * np.float32((hit.velocity / layer) ** 2), hit.onset_s)
            played.append(hit)
        return samples, played


def _at_level(note: Note, level_db: float) -> Note:
    if note.is_drum and level_db == 0.0:
        return note
    velocity = int(np.clip(round(note.velocity * 10 ** (level_db / 40)), 1, 127))
    return Note(note.onset_s, note.offset_s, note.pitch, velocity, note.program, note.is_drum)
