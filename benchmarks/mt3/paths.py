"""Number formats and backends of one model, on the same segments in one run.

MT3's size with the random weights of the parity benchmark, and `tutti-mt3-tiny` with its own. Tokens a second count
writing alone, with 32 rows at once; notes are held against those of torch in fp32 (onset, pitch and program; 1 is the
same notes).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.mt3.random_model import write_model
from benchmarks.parity.signals import synthetic_recording
from benchmarks.transcription.report import table

SEGMENTS = 48
PATHS = (("torch", "fp32"), ("torch", "bf16"), ("torch", "int8"), ("onnx", "fp32"), ("onnx", "int8"), ("jax", "fp32"))
MODELS = ("mt3_pytorch", "tutti-mt3-tiny")
NOT_IN_JAX = ("tutti-mt3-tiny",)


def report(threads: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), row_length=200)
        environment = {
            **os.environ, "TUTTI_CACHE_DIR": folder, "OMP_NUM_THREADS": str(threads), "TUTTI_THREADS": str(threads)
        }  # fmt: skip
        parts = []
        for model in MODELS:
            command = [sys.executable, "-m", __name__, model]
            said = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
            parts.append(f"`{model}`\n\n{said}")
    return f"{__doc__}\n" + "\n".join(parts)


def _work(model: str) -> None:
    from tutti.capabilities.transcription.metrics import evaluate_fully
    from tutti.capabilities.transcription.run import lifecycle
    from tutti.capabilities.transcription.types import Options

    sound = synthetic_recording(5, SEGMENTS * 32_768)
    rows, exact, reference = [], None, 0.0
    for backend, precision in PATHS:
        if backend == "jax" and model in NOT_IN_JAX:
            continue
        if backend == "onnx":
            command = ["export", "onnx", "--model", model, "--precision", precision]
            subprocess.run([sys.executable, "-m", "tutti", *command], check=True, stdout=subprocess.DEVNULL)
        steps = lifecycle(Options(model=model, device="cpu", backend=backend, precision=precision, batch=32))
        frames = steps.preprocess((sound, 16_000))
        steps.forward(frames.values[:2])  # packs, compiles
        begun = time.perf_counter()
        for begin in range(0, SEGMENTS, 8):
            steps.model.backend.encode(frames.values[begin : begin + 8])
        encoding_s = time.perf_counter() - begun
        begun = time.perf_counter()
        tokens = steps.forward(frames.values)
        seconds = time.perf_counter() - begun - encoding_s
        count = sum(len(row.tokens) for segment in tokens for row in segment)
        notes = steps.decode(tokens, frames.duration_s)
        exact = notes if exact is None else exact
        reference = reference or count / seconds
        alike = evaluate_fully(exact, notes)["multi_onset_full_f1"]
        rows.append(
            [f"{backend} {precision}", f"{count / seconds:.0f}", f"{count / seconds / reference:.2f}", f"{alike:.3f}"]
        )
    print(table(["path", "tokens a second", "against torch fp32", "notes alike (F1)"], rows))


if __name__ == "__main__":
    _work(sys.argv[1])
