"""Seconds per minute of sound and memory, from one minute to two hours, by `tutti-mt3-tiny`.

The sound is the example recordings over and over, each time at another loudness, so that every minute has notes. Every
length runs in a process of its own, which has heard a guitar before; the shortest is the median of five runs.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from benchmarks.transcription.folders import REPOSITORY
from benchmarks.transcription.memory import PeakMemory
from benchmarks.transcription.report import MEGABYTE, table

MINUTES = (1, 10, 60, 120)
TIMES_SHORTEST = 5
RATE_HZ = 16_000


@dataclass(frozen=True)
class Measured:
    minutes: int
    seconds: float
    """From the first block of sound to the last note, the start of the process apart."""
    peak_mb: float | None
    """Of the process and its decoder together."""


def measure(minutes: int, threads: int) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "long.flac"
        _write(recording, minutes)
        times = TIMES_SHORTEST if minutes == min(MINUTES) else 1
        command = [sys.executable, "-m", __name__, str(recording), str(threads), str(times)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process, PeakMemory(process) as memory:
            said, _ = process.communicate()
            if process.returncode:
                raise RuntimeError(f"the transcription ended with status {process.returncode}")
        peak = None if memory.peak_bytes is None else memory.peak_bytes / MEGABYTE
        return Measured(minutes, float(said.split()[-1]), peak)


def _write(path: Path, minutes: int) -> None:
    parts = []
    for name in ("guitar_solo", "drum_groove"):
        samples, rate_hz = soundfile.read(REPOSITORY / "examples" / f"{name}.flac", dtype="float32", always_2d=True)
        parts.append(soxr.resample(samples.mean(axis=1), rate_hz, RATE_HZ))
    loop = np.concatenate(parts)
    left, turn = minutes * 60 * RATE_HZ, 0
    with soundfile.SoundFile(path, "w", RATE_HZ, 1, "PCM_16") as file:
        while left > 0:
            file.write(loop[:left] * (0.5 + 0.1 * (turn % 5)))
            left, turn = left - len(loop), turn + 1


def report(threads: int, minutes: Sequence[int] = MINUTES) -> str:
    runs = [measure(each, threads) for each in minutes]
    reference = next((run for run in runs if run.minutes == 10), runs[0])
    rows = [
        [
            f"{run.minutes}",
            f"{run.seconds:.1f}",
            f"{run.seconds / run.minutes:.2f}",
            f"{run.seconds / run.minutes / (reference.seconds / reference.minutes):.2f}",
            "-" if run.peak_mb is None else f"{run.peak_mb:.0f}",
            "-" if run.peak_mb is None or reference.peak_mb is None else f"{run.peak_mb / reference.peak_mb:.2f}",
        ]
        for run in runs
    ]
    head = ["minutes", "seconds", "seconds a minute", f"of that at {reference.minutes} min", "peak MB", "of that"]
    return f"{__doc__}\n{table(head, rows)}"


def _work(recording: Path, threads: int, times: int) -> None:
    import torch

    import tutti

    torch.set_num_threads(threads)
    tutti.transcribe(REPOSITORY / "examples" / "guitar_solo.flac", model="tutti-mt3-tiny", device="cpu")
    seconds = []
    for _ in range(times):
        begun = time.monotonic()
        tutti.transcribe(recording, model="tutti-mt3-tiny", device="cpu")
        seconds.append(time.monotonic() - begun)
    print(statistics.median(seconds))


if __name__ == "__main__":
    _work(Path(sys.argv[1]), *map(int, sys.argv[2:]))
