"""Upstream's code in its own environment: ask a worker, read its answers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["WORKERS", "ask"]

WORKERS = {
    "mt3": "magenta.py",
    "mt3_pytorch": "mt3_pytorch.py",
    "mr_mt3": "mr_mt3.py",
    "ymt3_plus": "yourmt3.py",
    "yptf_single": "yourmt3.py",
    "yptf_multi": "yourmt3.py",
    "yptf_moe_multi": "yourmt3.py",
}
"""Model → the file that runs upstream's code for it."""


def ask(
    python: Path,
    checkouts: Sequence[Path],
    model: str,
    checkpoint: Path,
    segments: NDArray[np.float32],
    teacher: NDArray[np.int64],
    threads: int = 1,
    songs: Sequence[int] = (),
) -> dict[str, NDArray[Any]]:
    """Upstream's answers on `segments` (n, samples); `teacher` (n, channels, length) are the ids read for `logits`.

    `songs` are how many segments each recording has, for models that remember.
    Raises CalledProcessError when upstream's code fails; what it says is on standard error.
    """
    folder = checkpoint.parent
    np.save(folder / "segments.npy", segments)
    np.save(folder / "teacher.npy", teacher)
    worker = Path(__file__).parent / "workers" / WORKERS[model]
    files = ("--checkpoint", checkpoint, "--segments", folder / "segments.npy", "--out", folder / "out.npz")
    command = [python, worker, "--upstream", *checkouts, "--model", model, *files]
    if songs:
        command += ["--songs", *songs]
    quiet = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": str(threads),
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()}",
    }
    subprocess.run([str(part) for part in command], check=True, env={**os.environ, **quiet})
    with np.load(folder / "out.npz") as answers:
        return dict(answers)
