"""Peak memory of Demucs as tutti runs it, with HTDemucs in its full size and random weights.

Those take the room of the real ones. A window costs the same memory wherever it lies, so of an hour the network answers
the first windows only and the rest is silence: what depends on the length alone (reading, blending, writing) shows.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.torch import save_file

from benchmarks.transcription.memory import PeakMemory
from benchmarks.transcription.report import MEGABYTE
from benchmarks.transcription.startup import Figure, figure_table
from tutti.listening.htdemucs import Demucs, DemucsOptions, build
from tutti.listening.stems import separate
from tutti.weights.cards import find_card

RATE_HZ = 44_100
_HOUR_WINDOWS = 40


@dataclass(frozen=True)
class Measured:
    """Of the process and its decoder together."""

    peak_mb: float | None
    wall_s: float


def measure(seconds: float, heard_windows: int | None = None) -> Measured:
    """Separates `seconds` of stereo noise in a process of its own; None lets the network hear every window."""
    with tempfile.TemporaryDirectory() as folder:
        _write_noise(Path(folder) / "noise.flac", seconds)
        _write_weights(Path(folder))
        command = [sys.executable, "-m", __name__, folder, str(heard_windows or 0)]
        begun = time.monotonic()
        with subprocess.Popen(command) as process, PeakMemory(process) as memory:
            if process.wait():
                raise RuntimeError(f"the separation ended with status {process.returncode}")
        peak = None if memory.peak_bytes is None else memory.peak_bytes / MEGABYTE
        return Measured(peak, time.monotonic() - begun)


def _write_noise(path: Path, seconds: float) -> None:
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE_HZ, 2, "PCM_16") as file:
        block = 0.2 * rng.standard_normal((10 * RATE_HZ, 2))
        for start in range(0, round(seconds * RATE_HZ), len(block)):
            file.write(block[: round(seconds * RATE_HZ) - start])


def _write_weights(folder: Path) -> None:
    """The file of the card, in half precision and with random numbers."""
    card = find_card("htdemucs")
    torch.manual_seed(0)
    save_file({key: value.half() for key, value in build(card, None).state_dict().items()}, folder / card.file)


def _work(folder: Path, heard_windows: int) -> None:
    if heard_windows:
        count = itertools.count()
        hear = Demucs._drums_of
        Demucs._drums_of = lambda self, segment: (  # type: ignore[method-assign]
            hear(self, segment) if next(count) < heard_windows else torch.zeros_like(segment)
        )
    separate(folder / "noise.flac", folder / "stems", "demucs", demucs=DemucsOptions(repository=folder, device="cpu"))


def report() -> str:
    """Five minutes with every window, an hour with the first."""
    figures = []
    for name, seconds, windows, most_mb in (("5 min", 300.0, None, 2000), ("1 h", 3600.0, _HOUR_WINDOWS, 2500)):
        measured = measure(seconds, windows)
        peak = measured.peak_mb
        heard = "every window heard" if windows is None else f"its first {windows} windows heard"
        shown = "not measured here" if peak is None else f"{peak:.0f} MB ({measured.wall_s:.0f} s)"
        met = None if peak is None else peak < most_mb
        figures.append(Figure(f"Demucs, {name}, {heard}: peak memory", shown, f"< {most_mb} MB", met))
    return figure_table(figures)


if __name__ == "__main__":
    _work(Path(sys.argv[1]), int(sys.argv[2]))
