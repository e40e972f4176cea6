"""MuldjordKit: a rock kit recorded by many microphones at once, as several kits by which microphones are up.

| | |
|---|---|
| source | Lars Muldjord; version 1.0, repository sfzinstruments/DrumGizmo.MuldjordKit, commit fc16571 |
| licence | CC BY 4.0 |
| layout here | `DrumGizmo/MuldjordKit/Samples/<piece>/<number>-<piece>-<microphone>.flac` below the folder given |

Trap: every microphone hears every piece, so one piece alone through all of them sounds as it does on a record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from tutti.datasets.drum_voices import aligned
from tutti.datasets.note_bank import SAMPLE_RATE_HZ, VoiceSheet, write_voice
from tutti.errors import TrainingError

__all__ = ["build_muldjord"]

Shot = NDArray[np.float32]

_PIECES = {
    36: "KdrumL", 35: "KdrumR", 38: "Snare", 42: "HihatClosed", 46: "HihatOpen", 50: "Tom1", 48: "Tom2", 47: "Tom3",
    43: "Tom4", 51: "RideL", 59: "RideR", 53: "RideLBell", 49: "CrashL", 57: "CrashR", 52: "China",
}  # fmt: skip
_CLOSE = {
    36: "KdrumL", 35: "KdrumR", 38: "Snare_top", 42: "Hihat", 46: "Hihat", 50: "Tom1", 48: "Tom2", 47: "Tom3",
    43: "Tom4", 51: "RideL", 59: "RideR", 53: "RideL", 49: "OHL", 57: "OHR", 52: "OHR",
}  # fmt: skip
# gains of the microphones; "close" is the one beside the piece that is struck, "others" all that are named nowhere else
_MIXES: tuple[Mapping[str, float], ...] = (
    {"OHL": 1.0, "OHR": 1.0},
    {"close": 1.0, "OHL": 0.5, "OHR": 0.5, "AmbL": 0.2, "AmbR": 0.2},
    {"AmbL": 1.0, "AmbR": 1.0, "close": 0.2},
    {"close": 1.0, "others": 0.3, "OHL": 0.4, "OHR": 0.4},
)
_LAYERS = (20, 44, 68, 92, 110, 124)
_HELD_S = 2.0


def build_muldjord(folder: Path, samples: Path) -> Iterator[str]:
    """Write kits muldjord_0 to muldjord_3 to the bank in `folder`; yields names as they land. Raises TrainingError."""
    root = samples / "DrumGizmo" / "MuldjordKit" / "Samples"
    for number, mix in enumerate(_MIXES):
        name = f"muldjord_{number}"
        if (folder / f"{name}.json").exists():
            continue
        strokes = np.zeros((len(_PIECES), len(_LAYERS), round(_HELD_S * SAMPLE_RATE_HZ)), np.float32)
        for row, (key, piece) in enumerate(_PIECES.items()):
            for column, take in enumerate(_takes(root, piece, _CLOSE[key])):
                shot = aligned(_mixed(root / piece, take, piece, mix, _CLOSE[key]))[: strokes.shape[2]]
                strokes[row, column, : len(shot)] = shot
        sheet = VoiceSheet(
            name, 0, True, tuple(_PIECES), _LAYERS, _HELD_S, 0.3, "sfzinstruments/DrumGizmo.MuldjordKit", "CC BY 4.0"
        )
        write_voice(folder, sheet, strokes)
        yield name


def _takes(root: Path, piece: str, close: str) -> list[str]:
    """As many takes as there are layers, softest first: every so many of all of them in order of their level."""
    paths = list((root / piece).glob(f"*-{piece}-{close}.flac"))
    if len(paths) < 2:
        raise TrainingError(f"No strokes of {piece} in {root}. docs/data.md says where MuldjordKit comes from.")
    level = {
        path.name.partition("-")[0]: float(np.abs(soundfile.read(path, dtype="float32")[0]).max()) for path in paths
    }
    softest_first = sorted(level, key=lambda take: level[take])
    return [softest_first[round(place)] for place in np.linspace(0, len(softest_first) - 1, len(_LAYERS))]


def _mixed(folder: Path, take: str, piece: str, mix: Mapping[str, float], close: str) -> Shot:
    """One take through the microphones of `mix`, (n,) at SAMPLE_RATE_HZ."""
    sound = np.zeros(0, np.float32)
    for path in sorted(folder.glob(f"{take}-{piece}-*.flac")):
        microphone = path.stem.split("-", 2)[2]
        gain = mix.get(microphone, 0.0) or mix.get("others", 0.0)
        if microphone == close:
            gain += mix.get("close", 0.0)
        if gain == 0.0 or microphone == "Trigger":
            continue
        heard, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        mono = heard.mean(axis=1) * np.float32(gain)
        longer = max(len(mono), len(sound))
        sound = np.pad(sound, (0, longer - len(sound))) + np.pad(mono, (0, longer - len(mono)))
    return soxr.resample(sound, rate_hz, SAMPLE_RATE_HZ).astype(np.float32)  # type: ignore[no-any-return]
