"""Single notes of many instruments, rendered once and mixed by addition ever after.

A voice is one instrument of one source: an int16 array `(pitches, velocities, samples)` at `SAMPLE_RATE_HZ`, memory
mapped, with a data sheet beside it. Mixing notes from a bank is hundreds of times faster than a synthesiser.

| source | licence | what |
|---|---|---|
| FluidR3 GM (Debian `fluid-soundfont-gm`) | MIT | programs 0–95, drum kits |
| Csound GM bank (Debian `csound-soundfont`) | LGPL-2.1+ | programs 0–95, drum kit |
| Salamander Grand Piano V3, A. Holm (npm `@audio-samples/piano-velocity*`) | CC BY 3.0 | grand piano |
| Hydrogen drum kits (Debian `hydrogen-drumkits`, `hydrogen-data`) | GPL-2+, CC BY, CC BY-SA, as each says | drum kits |
| `datasets.plucked` | this repository | plucked strings by physical parameters |
| `datasets.drum_voices` | see there: MIT, GPL-2(+), CC BY-SA 3.0 and 4.0, CC0, BSD | drum kits |
| `datasets.struck` | this repository | drum kits by physical parameters |

The MuseScore General fonts are kept for evaluation and must not appear here.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree

import mido
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from tutti.errors import TrainingError

__all__ = ["SAMPLE_RATE_HZ", "Voice", "VoiceSheet", "build_bank", "open_bank", "render_notes", "write_voice"]

SAMPLE_RATE_HZ = 24_000
_RENDER_RATE_HZ = 48_000  # samplers alias when they play below a sample's own rate, so render high, then resample
_SLOT_TAIL_S = 0.7

FONTS = {
    "fluid": ("/usr/share/sounds/sf2/FluidR3_GM.sf2", "fluid-soundfont-gm", "MIT"),
    "csound": ("/usr/share/sounds/sf2/sf_GMbank.sf2", "csound-soundfont", "LGPL-2.1+"),
}
HYDROGEN_KITS = Path("/usr/share/hydrogen/data/drumkits")

# program range -> lowest pitch, highest pitch, seconds held, release in seconds once a key is let go
_PROGRAM_RANGES: tuple[tuple[range, int, int, float, float], ...] = (
    (range(0, 6), 21, 108, 4.0, 0.10),
    (range(6, 8), 29, 89, 3.0, 0.08),
    (range(8, 16), 48, 103, 2.5, 0.40),
    (range(16, 24), 33, 98, 3.0, 0.05),
    (range(24, 32), 38, 88, 3.5, 0.10),
    (range(32, 40), 24, 67, 3.0, 0.08),
    (range(40, 46), 31, 98, 3.0, 0.12),
    (range(46, 47), 28, 100, 3.0, 0.40),
    (range(48, 52), 31, 96, 3.0, 0.20),
    (range(52, 55), 41, 84, 3.0, 0.12),
    (range(56, 64), 34, 88, 3.0, 0.08),
    (range(64, 72), 36, 92, 3.0, 0.08),
    (range(72, 80), 52, 100, 3.0, 0.08),
    (range(80, 96), 33, 96, 3.0, 0.12),
)

DRUM_KEYS = (35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 55, 57, 59, 54, 56, 69, 70, 75)
_DRUM_VELOCITIES = (30, 60, 90, 120)
_DRUM_PROGRAMS = {"fluid": (0, 8, 16, 24, 25, 32, 40), "csound": (0,)}


@dataclass(frozen=True, slots=True)
class VoiceSheet:
    """What lies in a voice's array."""

    name: str
    program: int
    is_drum: bool
    pitches: tuple[int, ...]
    velocities: tuple[int, ...]
    held_s: float
    release_s: float
    source: str
    licence: str


@dataclass(frozen=True)
class Voice:
    """One instrument: `samples[pitch index, velocity index]` is a note held for `sheet.held_s`."""

    sheet: VoiceSheet
    path: Path

    @cached_property
    def samples(self) -> NDArray[np.int16]:
        return np.load(self.path, mmap_mode="r")  # type: ignore[no-any-return]

    @cached_property
    def _row(self) -> dict[int, int]:
        return {pitch: row for row, pitch in enumerate(self.sheet.pitches)}

    def has(self, pitch: int) -> bool:
        return pitch in self._row

    def note(self, pitch: int, velocity: float) -> NDArray[np.float32]:
        """The held note as float32 `(samples,)`, its level following the square of the velocity between layers."""
        layer = int(np.argmin([abs(velocity - known) for known in self.sheet.velocities]))
        gain = (velocity / self.sheet.velocities[layer]) ** 2 / 32768.0
        held: NDArray[np.float32] = self.samples[self._row[pitch], layer].astype(np.float32) * np.float32(gain)
        return held


def write_voice(folder: Path, sheet: VoiceSheet, samples: NDArray[np.floating]) -> None:
    """Store `samples` `(pitches, velocities, samples)` in -1..1 and the sheet, the sheet last."""
    folder.mkdir(parents=True, exist_ok=True)
    peak = float(np.abs(samples).max())
    if peak == 0.0:
        raise TrainingError(f"Voice {sheet.name} is silent; its source could not be rendered.")
    unfinished = folder / f"{sheet.name}.part.npy"
    np.save(unfinished, np.round(samples / peak * 32000).astype(np.int16))
    unfinished.replace(folder / f"{sheet.name}.npy")  # whoever has an older array mapped keeps it
    (folder / f"{sheet.name}.json").write_text(json.dumps(asdict(sheet)))


def open_bank(folder: Path) -> dict[str, Voice]:
    """Every voice in `folder` by name. Raises TrainingError when there is none."""
    voices = {}
    for sheet_path in sorted(folder.glob("*.json")):
        fields = json.loads(sheet_path.read_text())
        fields["pitches"], fields["velocities"] = tuple(fields["pitches"]), tuple(fields["velocities"])
        voices[fields["name"]] = Voice(VoiceSheet(**fields), sheet_path.with_suffix(".npy"))
    if not voices:
        raise TrainingError(f"No note bank in {folder}. Build it: tutti train transcription --config RECIPE")
    return voices


def build_bank(folder: Path, salamander: Path | None = None) -> Iterator[str]:
    """Render every source found on this machine into `folder`, skipping what is there; yields names as they land.

    `salamander` is the folder that holds the unpacked npm packages `@audio-samples/piano-velocity*`.
    """
    if shutil.which("fluidsynth") is None:
        raise TrainingError("FluidSynth is needed to render sound fonts: apt-get install fluidsynth fluid-soundfont-gm")
    for font in FONTS:
        yield from _build_font(folder, font)
    if salamander is not None:
        yield from _build_salamander(folder, salamander)
    if HYDROGEN_KITS.is_dir():
        yield from _build_hydrogen(folder)


def _build_font(folder: Path, font: str) -> Iterator[str]:
    path, package, licence = FONTS[font]
    if not Path(path).exists():
        raise TrainingError(f"{path} is missing: apt-get install {package}")
    for programs, low, high, held_s, release_s in _PROGRAM_RANGES:
        for program in programs:
            velocities = (35, 60, 85, 110) if program < 6 and font == "fluid" else (45, 95)
            sheet = VoiceSheet(
                f"{font}_{program:03d}",
                program,
                False,
                tuple(range(low, high + 1)),
                velocities,
                held_s,
                release_s,
                package,
                licence,
            )
            yield from _build_from_font(folder, sheet, path, program)
    for program in _DRUM_PROGRAMS[font]:
        sheet = VoiceSheet(
            f"{font}_kit_{program:03d}", 0, True, DRUM_KEYS, _DRUM_VELOCITIES, 2.0, 0.3, package, licence
        )
        yield from _build_from_font(folder, sheet, path, program)


def _build_from_font(folder: Path, sheet: VoiceSheet, font: str, program: int) -> Iterator[str]:
    if (folder / f"{sheet.name}.json").exists():
        return
    samples = render_notes(font, program, sheet.is_drum, sheet.pitches, sheet.velocities, sheet.held_s)
    sounding = np.abs(samples).max(axis=(1, 2)) > 1e-4  # fonts leave some keys empty
    if not sounding.any():
        return
    pitches = tuple(pitch for pitch, sounds in zip(sheet.pitches, sounding, strict=True) if sounds)
    write_voice(folder, VoiceSheet(**{**asdict(sheet), "pitches": pitches}), samples[sounding])
    yield sheet.name


def render_notes(
    font: str, program: int, is_drum: bool, pitches: Sequence[int], velocities: Sequence[int], held_s: float
) -> NDArray[np.float32]:
    """`(pitches, velocities, samples)` at SAMPLE_RATE_HZ: each key alone, dry, held for `held_s`."""
    slot_s = held_s + _SLOT_TAIL_S
    file = mido.MidiFile(ticks_per_beat=1000)
    track = file.add_track()
    channel = 9 if is_drum else 0
    track.append(mido.Message("program_change", channel=channel, program=program))
    for pitch in pitches:
        for velocity in velocities:
            track.append(mido.Message("note_on", channel=channel, note=pitch, velocity=velocity))
            track.append(
                mido.Message("note_off", channel=channel, note=pitch, time=round(held_s * 2000))  # 120 bpm
            )
            # all sound off: cymbals ring on past their slot
            track.append(mido.Message("control_change", channel=channel, control=120, time=round(_SLOT_TAIL_S * 2000)))
    with tempfile.TemporaryDirectory() as work:
        midi_path, raw_path = Path(work, "notes.mid"), Path(work, "notes.raw")
        file.save(midi_path)
        command = ["fluidsynth", "-n", "-i", "-q", "-R", "0", "-C", "0", "-g", "0.5", "-r", str(_RENDER_RATE_HZ)]
        command += ["-O", "float", "-T", "raw", "-F", str(raw_path), font, str(midi_path)]
        subprocess.run(command, check=True, capture_output=True)
        stereo = np.fromfile(raw_path, dtype="<f4").reshape(-1, 2)
    mono = stereo.mean(axis=1)
    audio = soxr.resample(mono, _RENDER_RATE_HZ, SAMPLE_RATE_HZ)
    slot = round(slot_s * SAMPLE_RATE_HZ)
    count = len(pitches) * len(velocities)
    audio = np.pad(audio, (0, max(0, slot * count - len(audio))))[: slot * count]
    held = round(held_s * SAMPLE_RATE_HZ)
    return audio.reshape(len(pitches), len(velocities), slot)[:, :, :held]


_SALAMANDER_NAMES = {"A": 9, "C": 0, "D#": 3, "F#": 6}
_SALAMANDER_LAYERS = {2: 25, 5: 45, 8: 65, 11: 85, 14: 110}  # layer of sixteen -> MIDI velocity


def _build_salamander(folder: Path, packages: Path) -> Iterator[str]:
    name = "salamander"
    if (folder / f"{name}.json").exists():
        return
    held_s = 5.0
    held = round(held_s * SAMPLE_RATE_HZ)
    pitches = tuple(range(21, 109))
    samples = np.zeros((len(pitches), len(_SALAMANDER_LAYERS), held), np.float32)
    for column, layer in enumerate(_SALAMANDER_LAYERS):
        recorded = dict(_salamander_layer(packages, layer))
        for row, pitch in enumerate(pitches):
            nearest = min(recorded, key=lambda known: abs(known - pitch))
            ratio = 2 ** ((nearest - pitch) / 12)
            audio = recorded[nearest]
            if nearest != pitch:
                audio = soxr.resample(audio, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ * ratio)
            # the recording's own levels are kept; the note's velocity law is applied on top of the layer
            samples[row, column, : min(held, len(audio))] = audio[:held]
    sheet = VoiceSheet(
        name, 0, False, pitches, tuple(_SALAMANDER_LAYERS.values()), held_s, 0.12, "@audio-samples/piano", "CC BY 3.0"
    )
    write_voice(folder, sheet, samples)
    yield name


def _salamander_layer(packages: Path, layer: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    files = sorted(packages.glob(f"**/*v{layer}.ogg"))
    if not files:
        raise TrainingError(
            f"No Salamander layer {layer} under {packages}: npm install @audio-samples/piano-velocity{layer}"
        )
    for path in files:
        note, octave = path.stem.removesuffix(f"v{layer}")[:-1], int(path.stem.removesuffix(f"v{layer}")[-1])
        audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        mono = soxr.resample(audio.mean(axis=1), rate_hz, SAMPLE_RATE_HZ)
        attack = int(np.argmax(np.abs(mono) > 0.05 * np.abs(mono).max()))
        yield 12 * (octave + 1) + _SALAMANDER_NAMES[note], mono[max(0, attack - 24) :]


# The first word of an instrument's name that is listed here says what it is; drums without such a word are left out.
_HYDROGEN_HEADS = {
    "kick": 36, "bassdrum": 36, "bass": 36, "bd": 36, "snare": 38, "sn": 38, "stick": 37, "rim": 37, "clap": 39,
    "hat": 42, "hh": 42, "chh": 42, "hihat": 42, "ohh": 46, "tom": 50, "crash": 49, "ride": 51, "bell": 53,
    "splash": 55, "china": 52,
}  # fmt: skip
# (what the head says, a further word of the name, what it is then); the first that fits counts
_HYDROGEN_KINDS: tuple[tuple[int, str, int | None], ...] = (
    *((cymbal, word, 53) for cymbal in (49, 51) for word in ("bell", "cup")),
    (49, "bow", 51),
    *((50, word, 43) for word in ("low", "floor")),
    *((50, word, 47) for word in ("mid", "middle", "2")),
    *((42, word, None) for word in ("semi", "semiopen", "free", "swish", "choke", "ring")),
    *((42, word, 46) for word in ("open", "opened", "op")),
    *((42, word, 44) for word in ("pedal", "pd", "foot")),
    (38, "roll", None),
    (55, "choke", None),
)
# instruments that are something else than their names say, as their samples' names tell; Audiophob is all found sounds
_HYDROGEN_MISNAMED = {
    ("ColomboAcousticDrumkit", "Pedal HH"),
    ("ColomboAcousticDrumkit", "crash16inch"),
    ("ForzeeStereo", "Stick"),
}
_HYDROGEN_VARIANTS = 3


def _hydrogen_key(name: str) -> int | None:
    """The General MIDI key of a Hydrogen instrument, by its name; None for what is not part of a drum set."""
    words = re.findall(r"[a-z]+|\d+", re.sub(r"\(.*?\)", "", name.lower()).replace("hi hat", "hat"))
    head = next((_HYDROGEN_HEADS[word] for word in words if word in _HYDROGEN_HEADS), None)
    if head is None:
        return None
    return next((key for of, word, key in _HYDROGEN_KINDS if of == head and word in words), head)


def _build_hydrogen(folder: Path) -> Iterator[str]:
    for kit in sorted(path.parent for path in HYDROGEN_KITS.glob("*/drumkit.xml") if path.parent.name != "Audiophob"):
        stem = "hydrogen_" + "".join(letter for letter in kit.name.lower() if letter.isalnum())
        if (folder / f"{stem}_0.json").exists():
            continue
        pieces: dict[int, list[list[NDArray[np.float32]]]] = {}
        for name, layers in _hydrogen_instruments(kit / "drumkit.xml"):
            key = None if (kit.name, name) in _HYDROGEN_MISNAMED else _hydrogen_key(name)
            shots = [_one_shot(path) for path in layers] if key is not None else []
            if key is not None and shots and all(np.abs(shot).max(initial=0.0) > 1e-3 for shot in shots):
                pieces.setdefault(key, []).append(shots)
        if 36 not in pieces or 38 not in pieces:
            continue  # not a drum set
        # a kit with several kicks or snares stands for several kits
        for variant in range(min(_HYDROGEN_VARIANTS, max(map(len, pieces.values())))):
            yield from _write_kit(
                folder, f"{stem}_{variant}", {key: takes[variant % len(takes)] for key, takes in pieces.items()}
            )


def _hydrogen_instruments(description: Path) -> Iterator[tuple[str, list[Path]]]:
    """Name of each instrument of a `drumkit.xml` and the samples it has, softest first."""
    # the name space differs from version to version and the file comes with Debian's package, so it is simply dropped
    root = ElementTree.fromstring(re.sub(r'\sxmlns="[^"]*"', "", description.read_text(errors="replace")))
    for instrument in root.iter("instrument"):
        layers = list(instrument.iter("layer")) or [instrument]
        layers.sort(key=lambda layer: float(layer.findtext("max") or 1))
        files = [description.parent / name for layer in layers if (name := layer.findtext("filename"))]
        if files and all(path.is_file() for path in files):
            yield (instrument.findtext("name") or "").strip(), files


def _one_shot(path: Path) -> NDArray[np.float32]:
    audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    mono = soxr.resample(audio.mean(axis=1), rate_hz, SAMPLE_RATE_HZ)
    attack = int(np.argmax(np.abs(mono) > 0.08 * max(float(np.abs(mono).max()), 1e-6)))
    return mono[max(0, attack - 12) :]  # type: ignore[no-any-return]


def _write_kit(folder: Path, name: str, takes: dict[int, list[NDArray[np.float32]]]) -> Iterable[str]:
    held_s = 2.0
    held = round(held_s * SAMPLE_RATE_HZ)
    samples = np.zeros((len(takes), len(_DRUM_VELOCITIES), held), np.float32)
    for row, shots in enumerate(takes.values()):
        for column, velocity in enumerate(_DRUM_VELOCITIES):
            shot = shots[round(column / (len(_DRUM_VELOCITIES) - 1) * (len(shots) - 1))][:held]
            level = (velocity / 127) ** 2 / max(float(np.abs(shot).max()), 1e-6)
            samples[row, column, : len(shot)] = shot * level
    sheet = VoiceSheet(
        name, 0, True, tuple(takes), _DRUM_VELOCITIES, held_s, 0.3, "hydrogen-drumkits", "as in its package"
    )
    write_voice(folder, sheet, samples)
    return [name]
