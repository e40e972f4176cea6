"""From nothing to the first note, with a model of MT3's size (46 million weights, at random) on the local disk.

A fresh process imports tutti, opens and checks the weights, hears a guitar and is ended at its first note. The file was
read before, so that the disk plays no part. Segments have up to 100 tokens and are written one at a time (`batch=1`).
The backend onnx reads what `tutti export onnx` wrote, and imports no torch.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.mt3.random_model import write_model
from benchmarks.transcription.folders import REPOSITORY
from benchmarks.transcription.report import table

MODEL = "mt3_pytorch"
TIMES = 5
GOAL_S = 5.0
ROW_LENGTH = 100
"""Tokens that a segment has at most: what a few instruments take."""


def report(threads: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), MODEL, row_length=ROW_LENGTH)
        environment = {
            **os.environ, "TUTTI_CACHE_DIR": folder, "OMP_NUM_THREADS": str(threads), "TUTTI_THREADS": str(threads)
        }  # fmt: skip
        export = [sys.executable, "-m", "tutti", "export", "onnx", "--model", MODEL]
        subprocess.run(export, env=environment, check=True, stdout=subprocess.DEVNULL)
        rows = [_row(backend, environment) for backend in ("torch", "onnx")]
    return f"{__doc__}\n{table(['backend', 'median', f'range of {TIMES}', 'goal', 'met'], rows)}"


def _row(backend: str, environment: dict[str, str]) -> list[str]:
    seconds = [_first_note_s(backend, environment) for _ in range(TIMES + 1)][1:]
    middle = statistics.median(seconds)
    spread = f"{min(seconds):.2f}–{max(seconds):.2f} s"
    return [backend, f"{middle:.2f} s", spread, f"{GOAL_S:.0f} s", _met(middle)]


def _met(seconds: float) -> str:
    return "yes" if seconds < GOAL_S else "**no**"


def _first_note_s(backend: str, environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", __name__, backend], env=environment, check=True)
    return time.perf_counter() - began


def _work(backend: str) -> None:
    import tutti

    recording = REPOSITORY / "examples" / "guitar_solo.flac"
    next(tutti.stream_notes(recording, MODEL, device="cpu", backend=backend, batch=1))
    sys.stdout.flush()
    os._exit(0)  # what is left to tidy up is no part of it


if __name__ == "__main__":
    _work(sys.argv[1])
