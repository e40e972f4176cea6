"""`python -m benchmarks.drums.separation_memory [SECONDS …]`: peak memory of Demucs as tutti runs it.

The network is HTDemucs in its full size with random weights, which take the room of the real ones. A window costs the
same memory wherever it lies, so `--heard N` lets the network answer the first N windows and gives silence for the
rest: an hour then takes two minutes and shows what depends on the length alone (reading, blending, writing).
"""

from __future__ import annotations

import argparse
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
from tutti.listening.htdemucs import Demucs, DemucsOptions, build
from tutti.listening.stems import separate
from tutti.weights.cards import find_card

RATE_HZ = 44_100


@dataclass(frozen=True)
class Measured:
    """Megabytes are 2**20 bytes, of the process and its decoder together."""

    seconds: float
    heard_windows: int | None
    peak_mb: float | None
    wall_s: float


def measure(seconds: float, heard_windows: int | None = None) -> Measured:
    """Separates `seconds` of stereo noise in a process of its own; None lets the network hear every window."""
    with tempfile.TemporaryDirectory() as folder:
        _write_noise(Path(folder) / "noise.flac", seconds)
        _write_weights(Path(folder))
        command = [sys.executable, "-m", __spec__.name, "--worker", folder, "--heard", str(heard_windows or 0)]
        begun = time.monotonic()
        with subprocess.Popen(command) as process, PeakMemory(process) as memory:
            if process.wait():
                raise RuntimeError(f"the separation ended with status {process.returncode}")
        peak = None if memory.peak_bytes is None else memory.peak_bytes / 2**20
        return Measured(seconds, heard_windows, peak, time.monotonic() - begun)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float, nargs="*", default=[60.0, 300.0])
    parser.add_argument("--heard", type=int, default=0, help="windows that the network answers; 0: all")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        _work(arguments.worker, arguments.heard)
        return
    for seconds in arguments.seconds:
        measured = measure(seconds, arguments.heard or None)
        heard = "every window" if measured.heard_windows is None else f"{measured.heard_windows} windows"
        peak = "unknown" if measured.peak_mb is None else f"{measured.peak_mb:.0f} MB"
        print(f"{seconds:g} s, {heard} heard: peak {peak}, {measured.wall_s:.0f} s", flush=True)


if __name__ == "__main__":
    main()
