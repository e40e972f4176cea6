"""Groove MIDI validation takes as audio. The truth is what was rendered.

Two sources of sound. Csound's General MIDI kit and Hydrogen's ForzeeStereo are kept from training by the recipe (they
choose its thresholds). The kits of MuseScore General are kept from it as a font, but their samples are, by name, those
of FluidR3 GM, which training hears: they show other levels, filters and rooms, not other drums.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import soundfile as sf
import soxr

from benchmarks.drums.charts import Take, groove_takes
from benchmarks.transcription.folders import CACHE
from benchmarks.transcription.render import FONT, PEAK, SAMPLE_RATE_HZ, TAIL_S, render
from tutti.datasets.note_bank import _HYDROGEN_MISNAMED, HYDROGEN_KITS, _hydrogen_instruments, _hydrogen_key
from tutti.music.drum_hits import DrumHit, DrumHits
from tutti.music.drum_kit import class_of_key, key_of_class
from tutti.music.midi import to_mido
from tutti.music.notes import Note, Notes

TAKES = 20
MIN_TAKE_S = 8.0
MAX_TAKE_S = 60.0
SEED = 3
CSOUND = Path("/usr/share/sounds/sf2/sf_GMbank.sf2")
MUSESCORE_PROGRAMS = (0, 8, 16, 24, 25, 32, 40)
"""Standard, room, power, electronic, TR-808, jazz, brush."""
_CRASH_EDGES = {"splash": "crash", "china": "crash"}
"""Keys 55 and 52 are edges of crash cymbals on the kit that Groove MIDI was played on."""
_INSTEAD = {
    **{"side_stick": "snare", "hihat_open": "hihat_closed", "hihat_pedal": "hihat_closed"},
    **{"tom_high": "tom_mid", "tom_mid": "tom_low", "tom_low": "tom_high"},
    **{"ride_bell": "ride", "ride": "crash", "crash": "ride", "splash": "crash", "china": "crash"},
}
"""What is played for a piece that a kit lacks."""
_NOTE_S = 0.1
_CHOKE_S = 0.02

Samples = npt.NDArray[np.float32]


class Kit(Protocol):
    @property
    def name(self) -> str: ...

    def render(self, take: Take) -> RenderedTake: ...


@dataclass(frozen=True)
class RenderedTake:
    take: Take
    """With the hits that can be heard in `audio`."""
    kit: str
    audio: Path


@dataclass(frozen=True)
class FontKit:
    """A drum preset of a sound font."""

    name: str
    font: Path
    program: int = 0

    def render(self, take: Take) -> RenderedTake:
        notes = (
            Note(hit.time_s, hit.time_s + _NOTE_S, key_of_class(hit.instrument), hit.velocity, is_drum=True)
            for hit in take.hits
        )
        midi = _with_program(Notes.of(notes), self.program)
        return RenderedTake(take, self.name, render(midi, _file_name(take, self.name), _seconds(take), self.font))


@dataclass(frozen=True)
class HydrogenKit:
    """A kit of one-shots. Velocity chooses the layer and sets its level by its square; a closed or pedal hat stops an
    open one."""

    name: str
    folder: Path

    def render(self, take: Take) -> RenderedTake:
        hits = DrumHits.of(replace(hit, instrument=self._piece(hit.instrument)) for hit in take.hits)
        take = replace(take, hits=hits)
        played = repr((self.name, [(hit.time_s, hit.instrument, hit.velocity) for hit in take.hits])).encode()
        digest = hashlib.sha256(played).hexdigest()[:8]
        target = CACHE / "rendered" / f"{_file_name(take, self.name)}-{digest}.flac"
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            samples = self.play(take.hits, _seconds(take) + TAIL_S)
            unfinished = target.with_suffix(".part")
            sf.write(unfinished, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
            unfinished.replace(target)
        return RenderedTake(take, self.name, target)

    def play(self, hits: DrumHits, duration_s: float) -> Samples:
        """Mono at SAMPLE_RATE_HZ, its loudest sample at PEAK."""
        sounds: dict[int, Samples] = {}
        for row, hit in enumerate(hits):
            sounds[row] = self._stroke(hit)
            if hit.instrument in ("hihat_closed", "hihat_pedal"):
                for earlier in range(row):
                    if hits[earlier].instrument == "hihat_open":
                        _choke(sounds[earlier], hit.time_s - hits[earlier].time_s)
        mixed = np.zeros(round(duration_s * SAMPLE_RATE_HZ) + 1, np.float32)
        for row, hit in enumerate(hits):
            start = round(hit.time_s * SAMPLE_RATE_HZ)
            room = mixed[start : start + len(sounds[row])]
            room += sounds[row][: len(room)]
        mixed *= PEAK / max(float(np.abs(mixed).max()), 1e-9)
        return mixed

    @cached_property
    def layers(self) -> dict[str, list[Samples]]:
        """By piece, softest first."""
        found: dict[str, list[Samples]] = {}
        for title, files in _hydrogen_instruments(self.folder / "drumkit.xml"):
            key = None if (self.folder.name, title) in _HYDROGEN_MISNAMED else _hydrogen_key(title)
            piece = None if key is None else class_of_key(key)
            if piece is not None and piece not in found:
                found[piece] = [_one_shot(path) for path in files]
        return found

    def _piece(self, instrument: str) -> str:
        """`instrument`, or what stands for it."""
        tried = {instrument}
        while instrument not in self.layers:
            instrument = _INSTEAD.get(instrument, "")
            if instrument in tried or not instrument:
                raise SystemExit(f"The kit {self.name} at {self.folder} lacks one of {sorted(tried)}.")
            tried.add(instrument)
        return instrument

    def _stroke(self, hit: DrumHit) -> Samples:
        layers = self.layers[hit.instrument]
        shot = layers[round(hit.velocity / 127 * (len(layers) - 1))]
        return shot * np.float32((hit.velocity / 127) ** 2 / max(float(np.abs(shot).max()), 1e-6))


def _with_program(notes: Notes, program: int) -> bytes:
    """A MIDI file; symusic writes program 0 for drums whatever is asked."""
    file = to_mido(notes)
    for message in (message for track in file.tracks for message in track if message.type == "program_change"):
        message.program = program
    data = io.BytesIO()
    file.save(file=data)
    return data.getvalue()


def _one_shot(path: Path) -> Samples:
    """Mono at SAMPLE_RATE_HZ from its attack on."""
    audio, rate_hz = sf.read(path, dtype="float32", always_2d=True)
    mono: Samples = soxr.resample(audio.mean(axis=1), rate_hz, SAMPLE_RATE_HZ)
    return mono[int(np.argmax(np.abs(mono) > 0.08 * float(np.abs(mono).max()))) :]


def _choke(sound: Samples, after_s: float) -> None:
    start, length = round(after_s * SAMPLE_RATE_HZ), round(_CHOKE_S * SAMPLE_RATE_HZ)
    fade = sound[start : start + length]
    fade *= np.linspace(1, 0, length, dtype=np.float32)[: len(fade)]
    sound[start + length :] = 0


def unheard_kits() -> list[Kit]:
    """Kits that training never hears, of those that are installed."""
    kits: list[Kit] = []
    if CSOUND.is_file():
        kits.append(FontKit("csound", CSOUND))
    if (HYDROGEN_KITS / "ForzeeStereo").is_dir():
        kits.append(HydrogenKit("forzeestereo", HYDROGEN_KITS / "ForzeeStereo"))
    if not kits:
        raise SystemExit("Install a kit that training never hears: apt-get install csound-soundfont hydrogen-drumkits")
    return kits


def musescore_kits() -> list[Kit]:
    return [FontKit(f"musescore-{program}", FONT, program) for program in MUSESCORE_PROGRAMS]


def rendered_takes(takes: Sequence[Take], kits: Sequence[Kit]) -> list[RenderedTake]:
    """Each take by one kit, in turn."""
    return [kits[row % len(kits)].render(take) for row, take in enumerate(takes)]


def sampled_takes(data: Path, count: int = TAKES) -> list[Take]:
    """Validation takes that are beats and last MIN_TAKE_S or more, drawn with a fixed seed; whole bars of their first
    minute. Crash edges are crashes."""
    fitting = [take for take in groove_takes(data) if not take.is_fill and _seconds(take) >= MIN_TAKE_S]
    drawn = random.Random(SEED).sample(sorted(fitting, key=lambda take: take.name), count)
    return [cut(take) for take in drawn]


def cut(take: Take) -> Take:
    """The whole bars of the first MAX_TAKE_S, crash edges as crashes."""
    bar_s = 60 / take.bpm * float(take.beat_quarters) * take.beats_per_bar
    bars = min(take.bars, max(1, int(MAX_TAKE_S / bar_s)))
    end_s = bars * bar_s - (0.1 * bar_s / take.beats_per_bar if bars < take.bars else 0.0)
    hits = (
        replace(hit, instrument=_CRASH_EDGES.get(hit.instrument, hit.instrument))
        for hit in take.hits
        if bars == take.bars or hit.time_s < end_s  # a stroke just before the cut belongs to the next bar
    )
    return replace(take, hits=DrumHits.of(hits), bars=bars)


def _seconds(take: Take) -> float:
    return max((hit.time_s for hit in take.hits), default=0.0)


def _file_name(take: Take, kit: str) -> str:
    return f"{take.name.replace('/', '-')}-{kit}"
