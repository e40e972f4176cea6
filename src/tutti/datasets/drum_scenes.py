"""Songs for those who listen to drums: a drummer and a band on one pulse, as two recordings that are mixed later.

Every scene knows its hits and its beats to the sample. The drums' and the band's sound stay apart, so that training
can mix them at any level, or leave one out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt

from tutti.audio import augment
from tutti.datasets import composer
from tutti.datasets.composer import SINGER, Part, Pulse
from tutti.datasets.drum_performances import Drummer, Performance
from tutti.datasets.drum_voices import aligned, is_electronic
from tutti.datasets.note_bank import SAMPLE_RATE_HZ, Voice, open_bank
from tutti.datasets.players import Players, add_at, released
from tutti.datasets.singing import articulate
from tutti.errors import TrainingError
from tutti.music.drum_kit import DRUM_CLASSES, class_of_key
from tutti.music.notes import Note

__all__ = ["REGIONS_HZ", "Hit", "Scene", "SceneMaker"]

Rng = np.random.Generator
Samples = NDArray[np.float32]

_DISTRACTORS = (54, 54, 56, 69, 70, 75)
"""Tambourine, cowbell, cabasa, maracas, claves: struck, but not of the kit."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A stroke and how loud it is beside the others."""

    time_s: float
    instrument: str
    velocity: int
    level_db: float
    """Peak of its sound re the loudest stroke of the scene."""
    shares_db: tuple[float, ...]
    """How much of what sounds in its first 50 ms is its own, in each of REGIONS_HZ, at most 0 dB."""

    @property
    def audible_db(self) -> float:
        """Its share where it stands out most."""
        return max(self.shares_db)


REGIONS_HZ = ((30, 90), (90, 180), (180, 350), (350, 700), (700, 1400), (1400, 2800), (2800, 5600), (5600, 11_500))
"""The octaves in which a stroke may stand out from what sounds with it."""
_ATTACK = round(0.05 * SAMPLE_RATE_HZ)
_CUT_OFF_S = 0.03
"""A stroke this short before the sound is cut off is not one to hear."""
_INTO_A_STROKE_S = 0.04
"""Sound that sets in this long before a stroke would hide where it begins."""


@dataclass(frozen=True, slots=True)
class Scene:
    """`drums` and `band` are (n,) at SAMPLE_RATE_HZ; `beats` are (seconds, place in the bar from 1)."""

    drums: Samples
    band: Samples
    hits: tuple[Hit, ...]
    beats: tuple[tuple[float, int], ...]


class SceneMaker:
    """Draws scenes of `duration_s` from a note bank and the takes of one split of Groove MIDI.

    Kits whose names begin with one of `held_out` are for validation: there no other is heard, in training none of them.
    """

    def __init__(self, bank: Path, groove_root: Path, duration_s: float, split: str, held_out: Sequence[str]) -> None:
        self.duration_s = duration_s
        voices = open_bank(bank).values()
        self.players = Players(voices, duration_s)
        kits = [voice for voice in voices if voice.sheet.is_drum]
        self.kits = [kit for kit in kits if kit.sheet.name.startswith(tuple(held_out)) == (split == "validation")]
        if not self.kits:
            raise TrainingError(f"No kit in {bank} is left for {split}; held out is {', '.join(held_out) or 'none'}.")
        self.drummer = Drummer(groove_root, duration_s, split)

    def draw(self, rng: Rng, *, has_band: bool = True) -> Scene:
        """One scene; without a band its `band` is silent."""
        played = self.drummer.play(rng)
        drums, hits = self._drums(played.strokes, rng)
        band = np.zeros_like(drums)
        if has_band:
            kicks = [hit.time_s for hit in hits if hit.instrument == "kick"]
            band = self._band(played, kicks, rng)
        return _interrupted(Scene(_degraded(drums, rng), _degraded(band, rng), hits, played.beats), rng)

    def _drums(self, strokes: Sequence[tuple[float, int, int]], rng: Rng) -> tuple[Samples, tuple[Hit, ...]]:
        kit = _Kit(self.kits, rng)
        samples = np.zeros(round(self.duration_s * SAMPLE_RATE_HZ), np.float32)
        struck: list[tuple[float, str, int, float, NDArray[np.float64]]] = []
        last: dict[str, float] = {}
        strokes = sorted(strokes)
        hats = [time_s for time_s, key, _ in strokes if class_of_key(key) in ("hihat_closed", "hihat_pedal")]
        for time_s, key, velocity in strokes:
            name = class_of_key(key)
            if name is None or time_s - last.get(name, -1.0) < 0.012:
                continue
            sound = kit.sound(name, velocity, rng)
            if sound is None:
                continue
            last[name] = time_s
            if name == "hihat_open":
                closing = np.searchsorted(hats, time_s + 0.01)
                if closing < len(hats):
                    sound = released(sound.copy(), hats[closing] - time_s, 0.012)
            add_at(samples, sound, time_s)
            peak_db = 20 * float(np.log10(max(np.abs(sound).max(), 1e-9)))
            struck.append((time_s, name, velocity, peak_db, _powers(sound)))
        self._distract(samples, strokes, kit, rng)
        loudest_db = max((peak_db for *_, peak_db, _ in struck), default=0.0)
        hits = []
        for time_s, name, velocity, peak_db, own in struck:
            everything = _powers(samples[round(time_s * SAMPLE_RATE_HZ) :])
            shares_db = 10 * np.log10(np.clip(own / np.maximum(everything, 1e-12), 1e-6, 1.0))
            hits.append(Hit(time_s, name, velocity, peak_db - loudest_db, tuple(shares_db.round(1).tolist())))
        return kit.bus(samples, rng), tuple(hits)

    def _distract(self, samples: Samples, strokes: Sequence[tuple[float, int, int]], kit: _Kit, rng: Rng) -> None:
        if rng.random() > 0.15 or not strokes:
            return
        key = int(rng.choice(_DISTRACTORS))
        voices = [voice for voice in self.kits if voice.has(key)]
        if not voices:
            return
        voice = voices[rng.integers(len(voices))]
        keeper = [time_s for time_s, struck, _ in strokes if class_of_key(struck) in ("hihat_closed", "ride", "snare")]
        sound = voice.note(key, 90) * np.float32(kit.reference * 10 ** (rng.uniform(-18, -2) / 20))
        for time_s in keeper:
            if rng.random() < 0.9:
                add_at(samples, sound, time_s)

    def _band(self, played: Performance, kicks: Sequence[float], rng: Rng) -> Samples:
        beat_s = played.quarter_s * played.take.beat_quarters
        pulse = Pulse(played.first_s, beat_s, beat_s * played.take.beats_per_bar)
        parts = composer.band(self.duration_s, [], rng, replace(pulse, first_s=max(0.0, pulse.first_s % pulse.bar_s)))
        samples = np.zeros(round(self.duration_s * SAMPLE_RATE_HZ), np.float32)
        kept = [part for part in parts if rng.random() < 0.9] or parts
        for part in kept:
            notes = [_bent(note, played) for note in part.notes]
            if 32 <= part.program < 40 and kicks and rng.random() < 0.4:  # bass and kick as one
                notes = [
                    Note(time_s, time_s + pulse.beat_s * 0.45, notes[i % len(notes)].pitch, 90, part.program)
                    for i, time_s in enumerate(kicks)
                    if notes
                ]
            fitting = [note for note in notes if note is not None and note.offset_s < self.duration_s]
            sound, _ = self.players.perform(Part(part.program, fitting, part.level_db), rng)
            if part.program == SINGER:
                sound += articulate(fitting, self.duration_s, rng)
            audible = sound[np.abs(sound) > 1e-4]
            if len(audible):
                sound *= 10 ** (part.level_db / 20) * 0.1 / float(np.sqrt(np.mean(audible**2)))
            if rng.random() < 0.4:
                sound = augment.colour(sound, SAMPLE_RATE_HZ, rng, bands=3, depth_db=6.0)
            if rng.random() < 0.25:  # guitars through a driven amplifier
                sound = augment.compress(sound, rng)
            samples += sound
        return samples


def _bent(note: Note, played: Performance) -> Note:
    """A note on the steady pulse, where the performance's tempo has it."""
    onset_s, offset_s = (
        played.to_seconds((time_s - played.first_s) / played.quarter_s) for time_s in (note.onset_s, note.offset_s)
    )
    onset_s = max(0.0, onset_s)
    return Note(onset_s, max(onset_s + 0.03, offset_s), note.pitch, note.velocity, note.program)


class _Kit:
    """A drum set put together for one scene: mostly one kit's pieces, each tuned, damped, levelled and coloured."""

    def __init__(self, kits: Sequence[Voice], rng: Rng) -> None:
        kinds = [is_electronic(kit.sheet.name) for kit in kits]
        machine = rng.random() < 0.2 and any(kinds)
        fitting = [kit for kit, electronic in zip(kits, kinds, strict=True) if electronic == machine] or list(kits)
        families: dict[str, list[Voice]] = {}
        for kit in fitting:
            families.setdefault(_family(kit.sheet.name), []).append(kit)
        family = list(families.values())[rng.integers(len(families))]
        self.base = family[rng.integers(len(family))]
        self.reference = 0.3
        self._pieces: dict[str, _Piece | None] = {}
        borrowing = rng.uniform(0, 0.5) ** 2 * 2
        for name in DRUM_CLASSES:
            own = [key for key in self.base.sheet.pitches if class_of_key(key) == name]
            voice: Voice | None = self.base
            if not own or rng.random() < borrowing:
                others = [kit for kit in kits if any(class_of_key(key) == name for key in kit.sheet.pitches)]
                voice = others[rng.integers(len(others))] if others else None
                own = [key for key in voice.sheet.pitches if class_of_key(key) == name] if voice else []
            # a borrowed piece may be louder or softer than its new kit: both are set by what is usual
            self._pieces[name] = None if voice is None else _Piece(voice, own, voice is self.base, name, rng)

    def sound(self, name: str, velocity: int, rng: Rng) -> Samples | None:
        """One stroke, no two the same."""
        piece = self._pieces[name]
        if piece is None:
            return None
        return piece.stroke(velocity, rng)

    def bus(self, samples: Samples, rng: Rng) -> Samples:
        """What overheads, a room and a desk make of the whole kit."""
        if rng.random() < 0.5:
            samples = augment.room(samples, SAMPLE_RATE_HZ, rng)
        if rng.random() < 0.5:
            samples = _compressed(samples, rng)
        if rng.random() < 0.25:
            samples = augment.compress(samples, rng)
        return samples


def _powers(sound: Samples) -> NDArray[np.float64]:
    """Power of the first 50 ms of `sound` in each of REGIONS_HZ."""
    spectrum = np.abs(np.fft.rfft(sound[:_ATTACK], _ATTACK)) ** 2
    hz = SAMPLE_RATE_HZ / _ATTACK
    return np.array([spectrum[round(low / hz) : round(high / hz)].sum() for low, high in REGIONS_HZ])


def _family(kit: str) -> str:
    """Kits of one source count as one, however many variants there are; microphones make kits of their own."""
    return kit if kit.startswith("muldjord") else kit.rstrip("0123456789")


# how loud each piece is beside the snare at full strength (dB), and how much it differs from kit to kit
_USUAL_DB = {
    "kick": 1.0, "snare": 0.0, "side_stick": -8.0, "hihat_closed": -14.0, "hihat_open": -11.0, "hihat_pedal": -20.0,
    "tom_high": -2.0, "tom_mid": -2.0, "tom_low": -1.0, "ride": -13.0, "ride_bell": -9.0, "crash": -5.0,
    "splash": -8.0, "china": -5.0,
}  # fmt: skip


class _Piece:
    def __init__(self, voice: Voice, keys: Sequence[int], is_own: bool, name: str, rng: Rng) -> None:
        self.voice, self.keys = voice, list(keys)
        self.key = int(self.keys[rng.integers(len(self.keys))])
        # by up to three semitones, skins by nearly four
        spread = 0.18 if name.startswith(("hihat", "ride", "crash", "splash", "china")) else 0.22
        self.ratio = float(np.exp(rng.uniform(-spread, spread)))
        self.shorten_s = float(rng.choice([0.12, 0.3, 2.0, 2.0, 2.0]))
        loudest = float(np.abs(voice.note(self.key, 120)).max())
        snares = [k for k in voice.sheet.pitches if class_of_key(k) == "snare"]
        snare = float(np.abs(voice.note(snares[0], 120)).max()) if snares else loudest
        own_db = 20 * np.log10(max(loudest, 1e-6) / max(snare, 1e-6))
        wanted_db = (own_db if is_own and rng.random() < 0.5 else _USUAL_DB[name]) + rng.uniform(-7, 7)
        self.gain = float(0.3 * 10 ** (wanted_db / 20) / max(loudest, 1e-6))
        self.curve = float(rng.uniform(0.7, 1.5))
        self.tone = rng.random() < 0.6
        self.own_room = name.startswith(("snare", "tom", "side")) and rng.random() < 0.2
        self.tone_seed = int(rng.integers(2**31))
        self._made: dict[tuple[int, int], Samples] = {}

    def stroke(self, velocity: int, rng: Rng) -> Samples:
        layer = min(velocity // 16 * 16 + 8, 127)
        variant = int(rng.integers(3))
        if (layer, variant) not in self._made:
            self._made[layer, variant] = self._make(layer, rng)
        strength = (velocity / 120) ** (2 * self.curve) / (layer / 120) ** 2
        return self._made[layer, variant] * np.float32(strength * 10 ** (rng.normal(0, 0.6) / 20))

    def _make(self, layer: int, rng: Rng) -> Samples:
        sound = self.voice.note(self.key, layer)
        ratio = self.ratio * float(np.exp(rng.normal(0, 0.004)))
        sound = np.interp(np.arange(0, len(sound) - 1, ratio), np.arange(len(sound)), sound).astype(np.float32)
        sound = released(aligned(sound).copy(), self.shorten_s, 0.2) * np.float32(self.gain)
        if self.own_room:
            tail = np.concatenate([sound, np.zeros(SAMPLE_RATE_HZ // 2, np.float32)])
            sound = augment.room(tail, SAMPLE_RATE_HZ, np.random.default_rng(self.tone_seed))
        if self.tone:
            sound = augment.colour(sound, SAMPLE_RATE_HZ, np.random.default_rng(self.tone_seed), bands=3, depth_db=8.0)
        if len(self.voice.sheet.velocities) == 1 and layer < 90:  # softer strokes are duller
            cut_hz = float(np.clip(600 * 2 ** (layer / 22), 800, 11_000))
            sound = sosfilt(butter(1, cut_hz, fs=SAMPLE_RATE_HZ, output="sos"), sound).astype(np.float32)
        return sound


def _compressed(samples: Samples, rng: Rng) -> Samples:
    """A feed-forward compressor: level follows with an attack of 1-30 ms and a release of 50-400 ms."""
    level = np.abs(samples)
    release = np.exp(-1 / (rng.uniform(0.05, 0.4) * SAMPLE_RATE_HZ))
    attack = np.exp(-1 / (rng.uniform(0.001, 0.03) * SAMPLE_RATE_HZ))
    held = lfilter([1 - release], [1, -release], level)
    held = lfilter([1 - attack], [1, -attack], np.maximum(held, 0.6 * level))
    threshold = float(np.quantile(held, rng.uniform(0.4, 0.9))) + 1e-6
    ratio = rng.uniform(2, 10)
    gain = np.minimum(1.0, (held / threshold + 1e-9) ** (1 / ratio - 1))
    pressed: Samples = (samples * gain).astype(np.float32)
    return pressed


def _degraded(samples: Samples, rng: Rng) -> Samples:
    return augment.degrade(samples, SAMPLE_RATE_HZ, rng) if np.abs(samples).max() > 0 else samples


def _interrupted(scene: Scene, rng: Rng) -> Scene:
    """A third of the scenes with silences that begin and end in the middle of what sounds, as cut recordings do.

    What rings on after a silence is no stroke. The pulse goes on meanwhile.
    """
    if rng.random() > 0.35:
        return scene
    duration_s = len(scene.drums) / SAMPLE_RATE_HZ
    drums, band, hits = scene.drums.copy(), scene.band.copy(), scene.hits
    for _ in range(int(rng.integers(1, 5))):
        begin_s = float(rng.uniform(-1, duration_s))
        end_s = begin_s + float(rng.uniform(0.3, 3))
        soon_s = 1.0 if rng.random() < 0.3 else 0.0  # some silences last until a stroke
        near_s = [hit.time_s for hit in hits if end_s - _INTO_A_STROKE_S < hit.time_s < end_s + soon_s]
        if near_s:
            end_s = near_s[0] - 0.005
        for samples in (drums, band):
            samples[max(0, round(begin_s * SAMPLE_RATE_HZ)) : max(0, round(end_s * SAMPLE_RATE_HZ))] = 0
        hits = tuple(hit for hit in hits if not begin_s - _CUT_OFF_S < hit.time_s < end_s)
    return Scene(drums, band, hits, scene.beats)
