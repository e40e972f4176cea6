"""Small MT3 networks with random weights, and what upstream's code answers: the golden files of the tests.

Record them anew, with the python of upstream's environment and checkouts of kunato/mt3-pytorch, gudgud96/MR-MT3,
magenta/mt3 and google-research/t5x:
    python -m benchmarks.parity.small_mt3 PYTHON MT3_PYTORCH MR_MT3 MAGENTA T5X
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.parity.asking import ask
from benchmarks.parity.random_weights import RandomModel, random_tensors
from benchmarks.parity.signals import synthetic_recording
from benchmarks.parity.systems import teacher_tokens
from benchmarks.parity.upstream_files import Setup, as_t5x, read_shapes, repeats_of, small_shapes, write_upstream
from tutti.capabilities.transcription.models.adapter import Adapter, configured, find_adapter

__all__ = ["GOLDENS", "NAMES", "SEGMENTS", "SmallMt3", "file_names", "kept_answers", "small_mt3"]

SEED = 20
SIZES = {512: 64, 384: 64, 1024: 128, 256: 32}
"""Size in the published networks → size in the small ones."""
LAYERS = 2
SEGMENTS, READ = 4, 20
MEMORY_ROWS = 16
DATA = Path(__file__).parents[2] / "tests/data/mt3"
GOLDENS = DATA / "small_mt3.npz"
NAMES = ("mt3_pytorch", "mr_mt3", "mt3")


@dataclass(frozen=True)
class SmallMt3:
    adapter: Adapter
    tensors: dict[str, NDArray[Any]]
    """By MT3-PyTorch's or MR-MT3's names without prefix."""
    segments: NDArray[np.float32]
    """(SEGMENTS, samples)"""
    teacher: NDArray[np.int64]
    """(SEGMENTS, 1, READ): what the decoder reads."""


def small_mt3(name: str) -> SmallMt3:
    """The model `name`, small. `mt3` has the weights of MT3-PyTorch."""
    keys = "mr_mt3" if name == "mr_mt3" else "mt3_pytorch"
    adapter = find_adapter(name)
    if name == "mr_mt3":
        adapter = configured(adapter, {"memory_rows": str(MEMORY_ROWS), "mel_bank": "linear_in_hz"})
    network = replace(
        adapter.network,
        width=64,
        heads=2,
        head_width=32,
        feed_forward=128,
        encoder_layers=LAYERS,
        decoder_layers=LAYERS,
    )
    adapter = replace(adapter, network=network, front_end=replace(adapter.front_end, bands=64))
    shapes = small_shapes(read_shapes(DATA / f"keys_{keys}.txt"), SIZES, LAYERS)
    random = RandomModel(adapter.codec, SEED, network.width, LAYERS)
    samples = adapter.front_end.segment_samples
    segments = synthetic_recording(SEED, SEGMENTS * samples).reshape(SEGMENTS, samples)
    teacher = teacher_tokens(adapter.codec.size, (SEGMENTS, adapter.channels, READ))
    return SmallMt3(adapter, random_tensors(random, shapes, repeats_of(shapes)), segments, teacher)


def file_names(name: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The tensors under their whole names in the file that `name` is published in."""
    if name == "mt3":
        return {f"target.{part}": array for part, array in as_t5x(tensors).items()}
    return {f"model.{part}" if name == "mr_mt3" else part: array for part, array in tensors.items()}


def kept_answers(answers: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What the golden file keeps of upstream's answers."""
    longest = int(np.nonzero(answers["tokens"])[2].max()) + 1
    return {
        "features": answers["features"][:, ::16, ::4],
        "states": answers["states"][:, :, ::16, ::4],
        "logits": answers["logits"][:, :, ::2, ::32],
        "tokens": answers["tokens"][:, :, :longest].astype(np.int16),
        "notes": answers["notes"],
    }


def main() -> None:
    python, mt3_pytorch, mr_mt3, magenta, t5x = map(Path, sys.argv[1:])
    checkouts = {"mt3_pytorch": (mt3_pytorch,), "mr_mt3": (mr_mt3,), "mt3": (magenta, t5x)}
    golden: dict[str, NDArray[Any]] = {}
    for name in NAMES:
        small = small_mt3(name)
        with tempfile.TemporaryDirectory() as folder:
            setup = Setup(name, small.adapter)
            checkpoint = write_upstream(Path(folder), setup, small.tensors)
            answers = ask(python, checkouts[name], name, checkpoint, small.segments, small.teacher)
        golden |= {f"{name}/{part}": array for part, array in kept_answers(answers).items()}
    np.savez_compressed(GOLDENS, **golden)  # type: ignore[arg-type, unused-ignore]


if __name__ == "__main__":
    main()
