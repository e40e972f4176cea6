"""Drum kits for the note bank from redistributable sources, each stroke beginning at its first sample.

| voices | source | licence | what |
|---|---|---|---|
| `avldrums_*` | Black Pearl, Red Zeppelin (Debian `avldrums.lv2-soundfont`) | CC BY-SA 3.0 | real kits, five layers |
| `fluid_kit_*` | FluidR3 GM (Debian `fluid-soundfont-gm`) | MIT | presets that differ from those of `note_bank` |
| `timgm_kit_*` | TimGM6mb (Debian `timgm6mb-soundfont`) | GPL-2 | General MIDI presets |
| `opl3_kit_000` | OPL-3 FM (Debian `opl3-soundfont`) | CC BY-SA 4.0 | the drums of a synthesiser chip |
| `freepats_kit_000` | Freepats (Debian `freepats`) | GPL-2+ with exception | General MIDI drums |
| `sonicpi_kit_000` | Sonic Pi samples (Debian `sonic-pi-samples`) | CC0 | a real kit, two layers |
| `oneshots_*` | Sonic Pi samples, LMMS samples (Debian `lmms-common`) | CC0, GPL-2+ | drum machines, mixed |
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from tutti.datasets.note_bank import DRUM_KEYS, SAMPLE_RATE_HZ, Voice, VoiceSheet, render_notes, write_voice
from tutti.errors import TrainingError
from tutti.music.drum_kit import class_of_key

__all__ = ["aligned", "attack_delays", "attack_sample", "build_drum_voices", "is_electronic", "read_gus_patch"]

Shot = NDArray[np.float32]

SYSTEM = Path("/usr/share")
"""Where the packages keep their sounds."""

_HELD_S = 2.5
_RELEASE_S = 0.3
_LEAD = 12  # samples kept before an attack: half a millisecond

_ELECTRONIC = (
    *(f"{font}_kit_{program:03d}" for font in ("fluid", "timgm") for program in (24, 25)),
    "opl3_", "oneshots_", "hydrogen_electricempire", "hydrogen_hardelectro", "hydrogen_tr808", "struck_e",
)  # fmt: skip


def is_electronic(name: str) -> bool:
    """Whether the kit called `name` is a drum machine or the like; the others are acoustic."""
    return name.startswith(_ELECTRONIC)


def attack_sample(shot: NDArray[np.floating]) -> int:
    """Where the stroke in `shot` (n,) begins: the first sample of a tenth of the peak that it rises to at once.

    "At once" is within 30 ms of the first sound above 3 % of the whole: cymbals bloom later than they are struck.
    """
    level = np.abs(shot)
    first = int(np.argmax(level > 0.03 * level.max()))
    rising = level[first : first + round(0.03 * SAMPLE_RATE_HZ)]
    return first + int(np.argmax(rising >= 0.1 * rising.max()))


@cache
def attack_delays(voice: Voice) -> NDArray[np.int64]:
    """Samples before the attack, `(pitches, velocities)`, of every stroke of `voice`; what is silent has none."""
    strokes = voice.samples[:, :, : SAMPLE_RATE_HZ // 2].astype(np.float32)
    return np.array([[attack_sample(shot) for shot in layers] for layers in strokes], np.int64)


def aligned(shot: Shot) -> Shot:
    """`shot` from half a millisecond before its attack on."""
    return shot[max(0, attack_sample(shot) - _LEAD) :]


def build_drum_voices(folder: Path) -> Iterator[str]:
    """Write every kit whose source is on this machine into `folder`, skipping what is there; yields names."""
    for kit in _FONT_KITS:
        path = SYSTEM / "sounds/sf2" / kit.font
        if path.exists() and not _has(folder, kit.name):
            yield _write_font_kit(folder, kit, path)
    for files in _FILE_KITS:
        sounds = SYSTEM / files.sounds
        if sounds.is_dir() and not _has(folder, files.name):
            pieces = {key: [_one_shot(sounds / name) for name in names] for key, names in files.pieces.items()}
            yield _write_shots(folder, files.name, pieces, files.package, files.licence)
    yield from _build_freepats(folder)
    yield from _build_oneshots(folder)


def _has(folder: Path, name: str) -> bool:
    return (folder / f"{name}.json").exists()


@dataclass(frozen=True)
class _FontKit:
    """A kit of a sound font. `keys` maps a General MIDI key to the font's key and semitones to raise it by."""

    name: str
    font: str
    package: str
    licence: str
    is_bank_128: bool
    program: int
    keys: Mapping[int, tuple[int, float]]
    velocities: tuple[int, ...]


def _same(*keys: int) -> dict[int, tuple[int, float]]:
    return {key: (key, 0.0) for key in keys}


# Keys 46 and 48 are the half-open and swished hats, 50, 52 and 58 choked cymbals, 60 a third crash; a kit of one rack
# tom lends it, raised, to the high tom. Each font makes two kits, the second of the other strokes it holds.
_AVL_KEYS = (
    {**_same(36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 49, 51, 53, 54, 55, 56, 57, 59),
     48: (47, 3.5), 50: (45, 3.5)},
    {**_same(36, 37, 41, 42, 43, 44, 45, 47, 51, 53, 54, 55, 56, 59),
     38: (40, 0.0), 46: (48, 0.0), 48: (45, 5.0), 50: (47, 5.0), 49: (60, 0.0), 57: (49, 0.0)},
)  # fmt: skip
_AVL_FONTS = {"blackpearl": "Black_Pearl_4_LV2.sf2", "redzeppelin": "Red_Zeppelin_4_LV2.sf2"}
_AVL_VELOCITIES = (16, 32, 48, 64, 80, 96, 112, 124)
_GM_VELOCITIES = (30, 60, 90, 120)

_GM_KEYS = _same(*DRUM_KEYS)
_OPL3_KEYS = {key: place for key, place in _GM_KEYS.items() if key not in (42, 44, 46)}  # its hats are low thuds
# Presets that only repeat another's samples are left out, and so are orchestra sets, whose keys are timpani
_FONT_KITS = (
    *(
        _FontKit(
            f"avldrums_{name}_{variant}", font, "avldrums.lv2-soundfont", "CC BY-SA 3.0",
            False, 0, keys, _AVL_VELOCITIES,
        )
        for name, font in _AVL_FONTS.items()
        for variant, keys in enumerate(_AVL_KEYS)
    ),
    *(
        _FontKit(f"{name}_kit_{program:03d}", font, package, licence, True, program, keys, _GM_VELOCITIES)
        for name, font, package, licence, keys, programs in (
            ("timgm", "TimGM6mb.sf2", "timgm6mb-soundfont", "GPL-2", _GM_KEYS, (0, 8, 16, 24, 25, 40)),
            ("opl3", "OPL-3_FM_128M.sf2", "opl3-soundfont", "CC BY-SA 4.0", _OPL3_KEYS, (0,)),
            ("fluid", "FluidR3_GM.sf2", "fluid-soundfont-gm", "MIT", _GM_KEYS, (1, 2, 10, 17)),
        )
        for program in programs
    ),
)  # fmt: skip


def _write_font_kit(folder: Path, kit: _FontKit, path: Path) -> str:
    keys = sorted({key for key, _ in kit.keys.values()})
    rendered = render_notes(str(path), kit.program, kit.is_bank_128, keys, kit.velocities, _HELD_S)
    row = {key: number for number, key in enumerate(keys)}
    samples = np.zeros((len(kit.keys), *rendered.shape[1:]), np.float32)
    for piece, (key, semitones) in zip(samples, kit.keys.values(), strict=True):
        for layer, shot in zip(piece, rendered[row[key]], strict=True):
            sound = aligned(_raised(shot, semitones))[: len(layer)]
            layer[: len(sound)] = sound
    sounding = np.abs(samples).max(axis=(1, 2)) > 1e-4
    pitches = tuple(key for key, sounds in zip(kit.keys, sounding, strict=True) if sounds)
    sheet = VoiceSheet(kit.name, 0, True, pitches, kit.velocities, _HELD_S, _RELEASE_S, kit.package, kit.licence)
    write_voice(folder, sheet, samples[sounding])
    return kit.name


def _raised(shot: Shot, semitones: float) -> Shot:
    if semitones == 0.0:
        return shot
    return soxr.resample(shot, SAMPLE_RATE_HZ * 2 ** (semitones / 12), SAMPLE_RATE_HZ)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _FileKit:
    """A kit of sound files in a folder below SYSTEM, each piece's softest first."""

    name: str
    sounds: str
    package: str
    licence: str
    pieces: Mapping[int, Sequence[str]]


def _soft_and_hard(stem: str) -> tuple[str, str]:
    return f"{stem}_soft.flac", f"{stem}_hard.flac"


_FILE_KITS = (
    _FileKit(
        "sonicpi_kit_000", "sonic-pi/samples", "sonic-pi-samples", "CC0",
        {
            36: _soft_and_hard("drum_bass"), 38: _soft_and_hard("drum_snare"),
            42: ("drum_cymbal_closed.flac",), 44: ("drum_cymbal_pedal.flac",), 46: ("drum_cymbal_open.flac",),
            # this cymbal pings: the share of its first 20 ms is a ride's
            51: _soft_and_hard("drum_cymbal"), 55: _soft_and_hard("drum_splash"),
            50: _soft_and_hard("drum_tom_hi"), 47: _soft_and_hard("drum_tom_mid"), 43: _soft_and_hard("drum_tom_lo"),
            56: ("drum_cowbell.flac",),
        },
    ),
)  # fmt: skip

_ONESHOT_SOUNDS = (("sonic-pi/samples", ".flac"), ("lmms/samples/drums", ".ogg"))
# what is misnamed, out of tune with its name or broken is left out
_ONESHOTS: dict[int, str] = {
    36: "bd_808 bd_ada bd_boom bd_fat bd_gas bd_haus bd_klub bd_mehackit bd_pure bd_sone bd_tek bd_zome bd_zum "
    "drum_heavy_kick elec_hollow_kick elec_soft_kick bassdrum01 bassdrum02 bassdrum03 bassdrum04 kick01 kick02 kick03 "
    "kick_distorted01 kick_hard01 kick_hardcore01 kick_hiphop01 kick_soft01 kick_soft02",
    38: "sn_dolf sn_dub sn_generic sn_zome elec_hi_snare elec_snare snare01 snare02 snare03 snare04 snare05 snare06 "
    "snare07 snare_acoustic01 snare_hiphop01 snare_hiphop02 snare_muffled01 snare_muffled02 snare_rim01 snare_short01",
    39: "clap01 clap02 clap03 clap04",
    37: "sidestick01",
    42: "hihat_closed01 hihat_closed02 hihat_closed03 hihat_closed05 drum_cymbal_closed",
    44: "drum_cymbal_pedal hihat_foot_pedal01",
    46: "hihat_opened01 hihat_opened02 hihat_opened03",
    50: "tom_hi01 tom04 drum_tom_hi_hard",
    47: "tom_mid01 tom05 drum_tom_mid_hard",
    43: "tom_low01 tom03 elec_fuzz_tom",
    49: "crash01 crash02",
    51: "ride01",
    55: "drum_splash_hard",
}
_ONESHOT_KITS = 15


def _build_oneshots(folder: Path) -> Iterator[str]:
    if not all((SYSTEM / sounds).is_dir() for sounds, _ in _ONESHOT_SOUNDS):
        return
    for number in range(_ONESHOT_KITS):
        name = f"oneshots_{number:03d}"
        if _has(folder, name):
            continue
        chosen = {key: _turn(names.split(), number, key) for key, names in _ONESHOTS.items()}
        pieces = {key: [_one_shot(_oneshot_path(stem))] for key, stem in chosen.items()}
        yield _write_shots(folder, name, pieces, "sonic-pi-samples, lmms-common", "CC0, GPL-2+")


def _turn(names: list[str], number: int, key: int) -> str:
    """Kit `number`'s choice: every name has its turn, in an order of the key's own."""
    order = np.random.default_rng(key).permutation(len(names)).tolist()
    place: int = order[number % len(names)]
    return names[place]


def _oneshot_path(stem: str) -> Path:
    for sounds, suffix in _ONESHOT_SOUNDS:
        path = SYSTEM / sounds / (stem + suffix)
        if path.exists():
            return path
    raise TrainingError(f"The sample {stem} is missing: apt-get install sonic-pi-samples lmms-common")


_FREEPATS = "midi/freepats/Drum_000"


def _build_freepats(folder: Path) -> Iterator[str]:
    name = "freepats_kit_000"
    files = {int(path.stem[:3]): path for path in sorted((SYSTEM / _FREEPATS).glob("*.pat"))}
    pieces = {key: [_high_passed(read_gus_patch(files[key].read_bytes()))] for key in DRUM_KEYS if key in files}
    if pieces and not _has(folder, name):
        yield _write_shots(folder, name, pieces, "freepats", "GPL-2+ with exception")


def read_gus_patch(patch: bytes) -> Shot:
    """The first sample (n,) at SAMPLE_RATE_HZ of a Gravis UltraSound patch.

    Headers as every reader of the format describes them: 129 bytes of file, 63 of instrument, 47 of layer, 96 of
    sample, whose byte 55 says 16 bits (1) and unsigned (2). Raises TrainingError for other files.
    """
    if not patch.startswith(b"GF1PATCH1"):
        raise TrainingError("Not a Gravis UltraSound patch; its first bytes should be GF1PATCH1.")
    head = 129 + 63 + 47
    (size,) = struct.unpack_from("<I", patch, head + 8)
    (rate_hz,) = struct.unpack_from("<H", patch, head + 20)
    mode = patch[head + 55]
    wave = np.frombuffer(patch, "<i2" if mode & 1 else "i1", offset=head + 96, count=size // (2 if mode & 1 else 1))
    if mode & 2:
        wave = wave ^ np.array(-0x8000 if mode & 1 else -0x80, wave.dtype)
    shot = wave.astype(np.float32) / (32768 if mode & 1 else 128)
    return soxr.resample(shot, rate_hz, SAMPLE_RATE_HZ)  # type: ignore[no-any-return]


def _one_shot(path: Path) -> Shot:
    audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return _high_passed(soxr.resample(audio.mean(axis=1), rate_hz, SAMPLE_RATE_HZ))


def _high_passed(shot: Shot) -> Shot:
    """Without the offset that some one-shots sit on, from the attack to a soft end."""
    filtered: Shot = sosfilt(butter(2, 25, "high", fs=SAMPLE_RATE_HZ, output="sos"), shot).astype(np.float32)
    last = min(len(filtered), SAMPLE_RATE_HZ // 100)
    filtered[len(filtered) - last :] *= np.linspace(1, 0, last, dtype=np.float32)  # some are cut off with a click
    return aligned(filtered)


# peaks of a real kit's pieces struck alike, by class; one-shots come at whatever level their makers liked
_PEAKS = {
    "kick": 1.0, "snare": 0.95, "side_stick": 0.8, "hihat_closed": 0.33, "hihat_open": 0.42, "hihat_pedal": 0.27,
    "tom_high": 0.9, "tom_mid": 0.9, "tom_low": 0.9, "ride": 0.5, "ride_bell": 0.7, "crash": 0.75, "splash": 0.7,
    "china": 0.75,
}  # fmt: skip


def _write_shots(folder: Path, name: str, pieces: Mapping[int, Sequence[Shot]], source: str, licence: str) -> str:
    """Write a kit of one-shots, each piece's softest first; velocities share them out."""
    held = round(_HELD_S * SAMPLE_RATE_HZ)
    velocities = _GM_VELOCITIES if any(len(shots) > 1 for shots in pieces.values()) else (100,)
    samples = np.zeros((len(pieces), len(velocities), held), np.float32)
    for piece, (key, shots) in zip(samples, pieces.items(), strict=True):
        peak = _PEAKS.get(class_of_key(key) or "", 0.6)
        for column, velocity in enumerate(velocities):
            shot = shots[round(column / max(1, len(velocities) - 1) * (len(shots) - 1))][:held]
            piece[column, : len(shot)] = shot * (peak * (velocity / 127) ** 2 / max(float(np.abs(shot).max()), 1e-6))
    sheet = VoiceSheet(name, 0, True, tuple(pieces), velocities, _HELD_S, _RELEASE_S, source, licence)
    write_voice(folder, sheet, samples)
    return name
