"""Parts made sound: the note bank plays what the composer wrote, a synthetic singer sings."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tutti.datasets.composer import SINGER, Part
from tutti.datasets.note_bank import SAMPLE_RATE_HZ, Voice
from tutti.datasets.singing import sing
from tutti.errors import TrainingError
from tutti.music.notes import Note

__all__ = ["SINGER_PROGRAM", "Players", "add_at", "released"]

Rng = np.random.Generator
Samples = NDArray[np.float32]

SINGER_PROGRAM = 53
"""The program that a singer's notes are labelled with: General MIDI "Voice Oohs"."""

_FADE_S = 0.02


class Players:
    """Plays pitched parts into arrays of `duration_s`."""

    def __init__(self, voices: Iterable[Voice], duration_s: float) -> None:
        self.duration_s = duration_s
        self.by_program: dict[int, list[Voice]] = {}
        for voice in voices:
            if not voice.sheet.is_drum:
                self.by_program.setdefault(voice.sheet.program, []).append(voice)

    def perform(self, part: Part, rng: Rng) -> tuple[Samples, list[Note]]:
        """The part's sound (n,) at SAMPLE_RATE_HZ and the notes that sound, on a voice of its program drawn at random.

        Raises TrainingError where the bank has none.
        """
        if part.program == SINGER:
            sung = sing(sorted(part.notes), self.duration_s, rng)
            return sung, [Note(n.onset_s, n.offset_s, n.pitch, n.velocity, SINGER_PROGRAM) for n in part.notes]
        choices = self.by_program.get(part.program)
        if not choices:
            raise TrainingError(f"The note bank has no voice of program {part.program}; build it again.")
        voice = choices[rng.integers(len(choices))]
        release = voice.sheet.release_s * rng.uniform(0.5, 2.0)
        samples = np.zeros(round(self.duration_s * SAMPLE_RATE_HZ), np.float32)
        played = []
        for note in part.notes:
            if not voice.has(note.pitch):
                continue
            offset_s = min(note.offset_s, note.onset_s + voice.sheet.held_s)
            sound = voice.note(note.pitch, note.velocity)
            add_at(samples, released(sound, offset_s - note.onset_s, release), note.onset_s)
            played.append(Note(note.onset_s, offset_s, note.pitch, note.velocity, part.program))
        return samples, played


def released(sound: Samples, held_s: float, release_s: float) -> Samples:
    """`sound` let go after `held_s`: it dies away by 43 dB in 5 times `release_s`, then ends (the array is
    changed and cut).

    Sound that ends before it has died away fades out over its last _FADE_S, as nothing real stops dead.
    """
    held = round(held_s * SAMPLE_RATE_HZ)
    tail = round(5 * release_s * SAMPLE_RATE_HZ)
    sound = sound[: held + tail]
    fading = len(sound) - held
    if fading > 0:
        sound[held:] *= np.exp(np.arange(fading, dtype=np.float32) * np.float32(-1 / (release_s * SAMPLE_RATE_HZ)))
    last = min(len(sound), round(_FADE_S * SAMPLE_RATE_HZ))
    sound[len(sound) - last :] *= np.linspace(1, 0, last, dtype=np.float32)
    return sound


def add_at(samples: Samples, sound: Samples, onset_s: float) -> None:
    """Add `sound` into `samples` from `onset_s` on; what would go past the end is left out."""
    begin = round(onset_s * SAMPLE_RATE_HZ)
    sound = sound[: len(samples) - begin]
    samples[begin : begin + len(sound)] += sound
