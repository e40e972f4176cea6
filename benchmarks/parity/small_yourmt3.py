"""Small YourMT3 networks with random weights, and what upstream's classes answer: the golden file of the tests.

Record it anew, with the python of upstream's environment and a checkout of openmirlab/mt3-infer:
    python -m benchmarks.parity.small_yourmt3 PYTHON CHECKOUT
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from math import prod, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.parity.random_weights import random_numbers
from benchmarks.parity.upstream_files import read_shapes, repeats_of, small_shapes, write_lightning
from tutti.audio.segment_features import mel_matrix, window
from tutti.capabilities.transcription.models.adapter import Adapter, find_adapter
from tutti.capabilities.transcription.models.perceiver_config import rotary_frequencies
from tutti.nets.t5_config import position_table

__all__ = ["GOLDEN", "SmallModel", "kept_answers", "small_model"]

SEED = 11
SIZES = {128: 64, 256: 128, 384: 96, 512: 256, 1024: 512, 3072: 1536}
"""Size in the published networks → size in the small ones. Heads, latents, experts and ids stay as many."""
DECODER_LAYERS = 2
FRAMES, READ, WRITTEN = 12, 5, 24
KEY_LISTS = {
    "ymt3_plus": "keys_ymt3plus.txt",
    "yptf_single": "keys_yptf_single.txt",
    "yptf_multi": "keys_yptf_multi.txt",
    "yptf_moe_multi": "keys_yptf_moe.txt",
}
DATA = Path(__file__).parents[2] / "tests/data/mt3"
GOLDEN = DATA / "small_yourmt3.npz"


@dataclass(frozen=True)
class SmallModel:
    adapter: Adapter
    tensors: dict[str, NDArray[Any]]
    """By upstream's names."""
    frames: NDArray[np.float32]
    """(1, frames, features)"""
    teacher: NDArray[np.int64]
    """(1, channels, length): what the decoder reads."""


def small_model(name: str) -> SmallModel:
    """The model `name`, small, its weights plain noise: what it writes is no music."""
    adapter = _small(find_adapter(name))
    shapes = small_shapes(read_shapes(DATA / KEY_LISTS[name]), SIZES, DECODER_LAYERS)
    repeats = repeats_of(shapes)
    made = {name: _tensor(name, shape) for name, shape in shapes.items() if name not in repeats}
    tensors = {name: made[repeats.get(name, name)] for name in shapes}
    features = adapter.network.width if adapter.perceiver is None else 8 * adapter.perceiver.bands
    frames = random_numbers(SEED, "frames", (1, FRAMES, features)) / np.float32(4) + np.float32(0.5)
    teacher = np.arange(adapter.channels * READ).reshape(1, adapter.channels, READ) * 37 % adapter.codec.size
    return SmallModel(adapter, tensors, frames, teacher)


def _small(adapter: Adapter) -> Adapter:
    width = SIZES[512]
    network = replace(
        adapter.network,
        width=width,
        head_width=16,
        feed_forward=2 * width,
        encoder_layers=min(adapter.network.encoder_layers, DECODER_LAYERS),
        decoder_layers=DECODER_LAYERS,
        logit_scale=width**-0.5,
    )
    perceiver = adapter.perceiver
    if perceiver is not None:
        perceiver = replace(perceiver, width=64, bands=64, stem_channels=64)
    return replace(adapter, network=network, perceiver=perceiver)


def _tensor(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    last = name.removesuffix(".weight").rpartition(".")[2]
    tables = {
        "additive_pe": lambda: position_table("stored", shape[1])[: shape[0]],
        "freqs": lambda: rotary_frequencies("lang" if "temporal" in name else "pixel", 4 * shape[0]),
        "window": window,
        "fb": lambda: mel_matrix("linear_in_hz", shape[1], 50, 8000),
        "num_batches_tracked": lambda: np.array(1000, np.int64),
    }
    if last in tables:
        return tables[last]()
    noise = random_numbers(SEED, name, shape)
    if last in {"latents", "_pos_emb"}:
        return noise
    if last == "embed_tokens":  # loud, so that what was read decides what is written
        return noise * np.float32(3)
    if len(shape) == 1:  # biases and running means lie around 0, norms' weights and variances around 1
        return noise * np.float32(0.1) + np.float32(last not in {"bias", "running_mean"})
    gain = {"query": 3, "lm_head": sqrt(shape[1])}.get(last, 1)
    return noise * np.float32(gain / sqrt(prod(shape[1:])))


def kept_answers(answers: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What the golden file keeps of states, logits and tokens (1, channels, ...)."""
    return {
        "states": answers["states"][0, :, ::4, ::4],
        "logits": answers["logits"][0, :, :, ::16],
        "tokens": answers["tokens"][0].astype(np.int16),
    }


def main() -> None:
    python, checkout = sys.argv[1:]
    golden: dict[str, NDArray[Any]] = {}
    for name in KEY_LISTS:
        with tempfile.TemporaryDirectory() as folder:
            answers = _asked(small_model(name), name, Path(folder), python, checkout)
        golden |= {f"{name}/{part}": array for part, array in kept_answers(answers).items()}
    np.savez_compressed(GOLDEN, **golden)  # type: ignore[arg-type, unused-ignore]


def _asked(model: SmallModel, name: str, folder: Path, python: str, checkout: str) -> dict[str, NDArray[Any]]:
    write_lightning(folder / "model.ckpt", model.tensors)
    np.save(folder / "teacher.npy", model.teacher)
    np.save(folder / "segments.npy", model.frames)
    worker = Path(__file__).parent / "workers/yourmt3.py"
    files = ("--checkpoint", folder / "model.ckpt", "--segments", folder / "segments.npy", "--out", folder / "out.npz")
    sizes = ("--small", "--most-tokens", str(WRITTEN))
    subprocess.run([python, worker, *sizes, "--upstream", checkout, "--model", name, *files], check=True)
    with np.load(folder / "out.npz") as answers:
        return dict(answers)


if __name__ == "__main__":
    main()
