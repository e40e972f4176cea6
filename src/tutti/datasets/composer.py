"""Procedural music: scores that cover what transcription must hear, with the timing of players.

Nothing here is meant to be beautiful; it is meant to hold the textures of real music (chords, strums, arpeggios, bass
lines, melodies, runs, repeated notes, sustained pads) in proportions that a network can learn from, in any key and
tempo.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tutti.music.notes import Note

__all__ = ["SINGER", "Part", "Pulse", "band", "guitar_solo", "mono_solo", "polyphonic_solo", "random_cloud"]

SINGER = -1
"""The program of a part for `datasets.singing`."""

_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10), (0, 3, 5, 6, 7, 10), (0, 2, 4, 7, 9))
_CHORDS = (
    (0, 4, 7),
    (0, 3, 7),
    (0, 4, 7, 10),
    (0, 3, 7, 10),
    (0, 4, 7, 11),
    (0, 5, 7),
    (0, 7),
    (0, 3, 6),
    (0, 4, 7, 14),
)

Rng = np.random.Generator


@dataclass(frozen=True)
class Part:
    """Notes for one instrument: a General MIDI program, or SINGER; drums say so in their notes."""

    program: int
    notes: list[Note]
    level_db: float = 0.0


@dataclass(frozen=True)
class _Frame:
    """What all parts of one piece share."""

    duration_s: float
    beat_s: float
    tonic: int
    scale: tuple[int, ...]
    chords: list[tuple[float, tuple[int, ...]]]
    """(onset_s, pitch classes relative to C), in order."""
    jitter_s: float

    def chord_at(self, time_s: float) -> tuple[int, ...]:
        current = self.chords[0][1]
        for onset_s, chord in self.chords:
            if onset_s > time_s + 1e-6:
                break
            current = chord
        return current

    def in_scale(self, pitch: int) -> int:
        """The nearest pitch of the scale at or below `pitch`."""
        while (pitch - self.tonic) % 12 not in self.scale:
            pitch -= 1
        return pitch


@dataclass(frozen=True)
class Pulse:
    """The beats a piece is written to: the first downbeat, a beat and a bar in seconds."""

    first_s: float
    beat_s: float
    bar_s: float


def _frame(duration_s: float, rng: Rng, pulse: Pulse | None = None) -> _Frame:
    beat_s = 60.0 / rng.uniform(55, 180) if pulse is None else pulse.beat_s
    scale = _SCALES[rng.integers(len(_SCALES))]
    tonic = int(rng.integers(12))
    chords = []
    time_s = rng.uniform(0.0, 0.8) if pulse is None else pulse.first_s
    while time_s < duration_s:
        root = (tonic + scale[rng.integers(len(scale))]) % 12
        shape = _CHORDS[rng.integers(len(_CHORDS))]
        chords.append((time_s, tuple((root + step) % 12 for step in shape)))
        time_s += beat_s * rng.choice([2, 4, 4, 8]) if pulse is None else pulse.bar_s * rng.choice([0.5, 1, 1, 2])
    return _Frame(duration_s, beat_s, tonic, scale, chords, rng.uniform(0.002, 0.02))


class _Writer:
    """Collects one part's notes, humanised; drops what falls outside the piece."""

    def __init__(self, frame: _Frame, rng: Rng, loudness: float | None = None) -> None:
        self.frame, self.rng = frame, rng
        self.loudness = rng.uniform(45, 105) if loudness is None else loudness
        self.spread = rng.uniform(3, 16)
        self.notes: list[Note] = []

    def add(self, onset_s: float, duration_s: float, pitch: int, accent: float = 0.0, jitter: bool = True) -> None:
        onset_s += self.rng.normal(0, self.frame.jitter_s) if jitter else 0.0
        velocity = int(np.clip(self.loudness + accent + self.rng.normal(0, self.spread), 12, 127))
        end_s = min(onset_s + max(duration_s, 0.04), self.frame.duration_s - 0.01)
        if 0.0 <= onset_s < end_s - 0.03 and 21 <= pitch <= 108:
            self.notes.append(Note(float(onset_s), float(end_s), int(pitch), velocity))


def _voicing(chord: tuple[int, ...], low: int, high: int, count: int, rng: Rng) -> list[int]:
    choices = [pitch for pitch in range(low, high + 1) if pitch % 12 in chord]
    return sorted(int(p) for p in rng.choice(choices, size=min(count, len(choices)), replace=False)) if choices else []


def _block_chords(frame: _Frame, rng: Rng, low: int, high: int) -> list[Note]:
    write = _Writer(frame, rng)
    step_s = frame.beat_s * rng.choice([0.5, 1, 1, 2, 4])
    length = rng.uniform(0.25, 1.05)
    count = int(rng.integers(2, 6))
    time_s = frame.chords[0][0]
    voicing: list[int] = []
    previous: tuple[int, ...] = ()
    while time_s < frame.duration_s:
        chord = frame.chord_at(time_s)
        if chord != previous or rng.random() < 0.15:
            voicing, previous = _voicing(chord, low, high, count, rng), chord
        if rng.random() < 0.85:
            for pitch in voicing:
                write.add(time_s, step_s * length, pitch)
        time_s += step_s
    return write.notes


def _strums(frame: _Frame, rng: Rng, low: int, high: int) -> list[Note]:
    write = _Writer(frame, rng)
    step_s = frame.beat_s * rng.choice([0.5, 0.5, 1])
    spread_s = rng.uniform(0.004, 0.035)
    ring = rng.uniform(0.5, 1.6)
    time_s = frame.chords[0][0]
    while time_s < frame.duration_s:
        if rng.random() < 0.75:
            voicing = _voicing(frame.chord_at(time_s), low, min(high, low + 31), int(rng.integers(3, 7)), rng)
            down = rng.random() < 0.6
            for index, pitch in enumerate(voicing if down else voicing[::-1]):
                write.add(time_s + index * spread_s, step_s * ring, pitch, accent=6.0 if down else -6.0, jitter=False)
        time_s += step_s
    return write.notes


def _arpeggio(frame: _Frame, rng: Rng, low: int, high: int) -> list[Note]:
    write = _Writer(frame, rng)
    step_s = frame.beat_s * rng.choice([0.25, 0.5, 0.5, 1 / 3, 1])
    ring = rng.choice([0.8, 1.0, 2.0, 4.0])
    time_s, index = frame.chords[0][0], 0
    base = int(rng.integers(low, max(low + 1, high - 24)))
    pattern = rng.integers(0, 6, int(rng.integers(3, 9)))
    while time_s < frame.duration_s:
        choices = [p for p in range(base, min(base + 26, high + 1)) if p % 12 in frame.chord_at(time_s)]
        if choices and rng.random() < 0.93:
            write.add(time_s, step_s * ring, choices[int(pattern[index % len(pattern)]) % len(choices)])
        time_s += step_s
        index += 1
    return write.notes


def _melody(frame: _Frame, rng: Rng, low: int, high: int, slow: bool = False) -> list[Note]:
    write = _Writer(frame, rng, loudness=rng.uniform(65, 115))
    steps = [0.5, 1, 1, 1.5, 2, 3] if slow else [0.25, 0.25, 0.5, 0.5, 0.5, 1, 1, 2, 1 / 3]
    overlap = rng.uniform(0.55, 1.03)
    pitch = int(rng.integers((2 * low + high) // 3, (low + 2 * high) // 3 + 1))
    time_s = frame.chords[0][0]
    repeat_chance = rng.uniform(0, 0.35)
    leap = rng.choice([1.5, 3.0, 5.0])
    while time_s < frame.duration_s:
        length_s = frame.beat_s * steps[rng.integers(len(steps))]
        if rng.random() < 0.12:
            time_s += length_s
            continue
        if rng.random() > repeat_chance:
            pitch = frame.in_scale(pitch + round(rng.normal(0, leap)))
            pitch = pitch + 12 if pitch < low else pitch - 12 if pitch > high else pitch
        write.add(time_s, length_s * overlap, pitch)
        time_s += length_s
    return _monophonic(write.notes)


def _bass(frame: _Frame, rng: Rng, low: int, high: int) -> list[Note]:
    write = _Writer(frame, rng, loudness=rng.uniform(75, 115))
    step_s = frame.beat_s * rng.choice([0.5, 1, 1, 2])
    length = rng.uniform(0.4, 1.0)
    time_s = frame.chords[0][0]
    while time_s < frame.duration_s:
        chord = frame.chord_at(time_s)
        tone = chord[0] if rng.random() < 0.6 else chord[rng.integers(len(chord))]
        choices = [p for p in range(low, min(low + 24, high) + 1) if p % 12 == tone]
        if choices and rng.random() < 0.85:
            write.add(time_s, step_s * length, int(rng.choice(choices)))
        time_s += step_s
    return _monophonic(write.notes)


def _monophonic(notes: list[Note]) -> list[Note]:
    """Each note ends where the next begins at the latest; notes under 50 ms apart from the last one go."""
    kept: list[Note] = []
    for note in sorted(notes):
        if kept and note.onset_s - kept[-1].onset_s < 0.05:
            continue
        if kept and kept[-1].offset_s > note.onset_s:
            last = kept.pop()
            kept.append(Note(last.onset_s, note.onset_s, last.pitch, last.velocity))
        kept.append(note)
    return kept


def random_cloud(duration_s: float, rng: Rng, low: int = 28, high: int = 100) -> list[Note]:
    """Notes without any harmony or metre, so that no expectation can replace listening."""
    frame = _frame(duration_s, rng)
    write = _Writer(frame, rng)
    write.spread = 22.0
    rate = rng.uniform(2, 14)
    for onset_s in np.cumsum(rng.exponential(1 / rate, int(duration_s * rate))):
        write.add(float(onset_s), float(rng.lognormal(-0.9, 0.8)), int(rng.integers(low, high + 1)), jitter=False)
    return write.notes


_TEXTURES: tuple[Callable[[_Frame, Rng, int, int], list[Note]], ...] = (_block_chords, _strums, _arpeggio, _melody)


def polyphonic_solo(duration_s: float, program: int, low: int, high: int, rng: Rng) -> list[Part]:
    """One instrument playing two textures at once, as two hands do."""
    frame = _frame(duration_s, rng)
    if rng.random() < 0.2:
        return [Part(program, random_cloud(duration_s, rng, low, high))]
    middle = int(rng.integers(low + (high - low) // 3, low + 2 * (high - low) // 3 + 1))
    lower = _TEXTURES[rng.integers(len(_TEXTURES))](frame, rng, low, middle)
    upper = (_melody if rng.random() < 0.6 else _arpeggio)(frame, rng, middle, high)
    return [Part(program, lower + upper)]


def guitar_solo(duration_s: float, program: int, low: int, high: int, rng: Rng) -> list[Part]:
    """Strumming, picking, a line, or a line over bass notes."""
    frame = _frame(duration_s, rng)
    kind = rng.random()
    if kind < 0.35:
        notes = _strums(frame, rng, low, high)
    elif kind < 0.55:
        notes = _arpeggio(frame, rng, low, high)
    elif kind < 0.85:
        notes = _melody(frame, rng, low + 5, high - 8)
        if rng.random() < 0.6:
            notes = notes + _bass(frame, rng, low, low + 14)
    else:
        notes = _block_chords(frame, rng, low, low + 28) + _melody(frame, rng, low + 17, high - 6)
    return [Part(program, notes)]


def mono_solo(duration_s: float, program: int, low: int, high: int, rng: Rng) -> list[Part]:
    """One line."""
    return [Part(program, _melody(_frame(duration_s, rng), rng, low, high, slow=bool(rng.random() < 0.5)))]


_BAND_CHORDS = (
    0,
    1,
    2,
    4,
    5,
    6,
    11,
    12,
    16,
    17,
    18,
    19,
    24,
    25,
    26,
    27,
    28,
    29,
    30,
    46,
    48,
    49,
    50,
    51,
    61,
    62,
    80,
    81,
)
_BAND_PADS = (16, 19, 48, 49, 50, 51, 52, 53, 54, 88, 89, 90, 91, 92, 94, 95)
_BAND_LEADS = (
    0, 11, 22, 25, 26, 27, 29, 30, 40, 41, 42, 56, 57, 60, 64, 65, 66, 67, 68, 71, 73, 75, 80, 81, 84, SINGER, SINGER,
    SINGER, SINGER, SINGER,
)  # fmt: skip


def band(duration_s: float, drums: list[Note], rng: Rng, pulse: Pulse | None = None) -> list[Part]:
    """Drums if given, bass, chords, perhaps a pad, perhaps a lead or a singer.

    Without a `pulse` the drums' tempo is their own; with one, everyone keeps to it.
    """
    frame = _frame(duration_s, rng, pulse)
    parts = [Part(int(rng.integers(32, 40)), _bass(frame, rng, 28, 55), rng.uniform(-4, 4))]
    if drums:
        parts.append(Part(0, drums, rng.uniform(-6, 6)))
    for _ in range(int(rng.integers(1, 3))):
        texture = _TEXTURES[rng.integers(3)]
        parts.append(Part(int(rng.choice(_BAND_CHORDS)), texture(frame, rng, 45, 84), rng.uniform(-10, 1)))
    if rng.random() < 0.3:
        parts.append(Part(int(rng.choice(_BAND_PADS)), _block_chords(frame, rng, 45, 80), rng.uniform(-14, -4)))
    if rng.random() < 0.7:
        program = int(rng.choice(_BAND_LEADS))
        low, high = (45, 76) if program == SINGER else (55, 88)
        parts.append(Part(program, _melody(frame, rng, low, high, slow=bool(rng.random() < 0.5)), rng.uniform(-3, 6)))
    return parts
