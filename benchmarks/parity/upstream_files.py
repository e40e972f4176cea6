"""Files of random weights in the form each model is published in, for upstream's code and for our converter alike."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import torch
from numpy.typing import NDArray

from tutti.capabilities.transcription.models.adapter import Adapter

__all__ = [
    "Setup",
    "as_t5x",
    "read_shapes",
    "repeats_of",
    "small_shapes",
    "write_lightning",
    "write_plain",
    "write_t5x",
    "write_upstream",
]

Tensors = Mapping[str, NDArray[Any]]
Shapes = dict[str, tuple[int, ...]]

_REPEATS = (
    (r"encoder\.embed_tokens\.weight", "proj.weight"),
    (r"decoder\.embed_tokens\.weight", "decoder_embed_tokens.weight"),
    (r"segmem_encoder\.embed_tokens\.weight", "segmem_proj.weight"),
    (r".*spectral_cross_attention.*rotary_emb\.freqs", "encoder.rotary_emb_sca.freqs"),
    (r".*local_transformer.*rotary_emb\.freqs", "encoder.rotary_emb_latent.freqs"),
    (r".*temporal_transformer.*rotary_emb\.freqs", "encoder.rotary_emb_temporal.freqs"),
)
_CHUNKS = 3
"""Of each zarr array, the last one not full: joining them is part of the proof."""


@dataclass(frozen=True)
class Setup:
    """A model and the sizes its file is written for."""

    name: str
    adapter: Adapter


def write_upstream(folder: Path, setup: Setup, tensors: Tensors) -> Path:
    """The file of random weights as `setup.name` is published, and what upstream's code needs beside it."""
    (folder / "config.json").write_text(json.dumps(_config(setup.adapter)))
    match setup.name:
        case "mt3":
            write_t5x(folder / "t5x", as_t5x(tensors))
            return folder / "t5x"
        case "mt3_pytorch":
            write_plain(folder / "mt3.pth", tensors)
            return folder / "mt3.pth"
        case _:
            write_lightning(folder / "last.ckpt", tensors, "model." if setup.name == "mr_mt3" else "")
            return folder / "last.ckpt"


def _config(adapter: Adapter) -> dict[str, object]:
    """Upstream's settings of a T5, with what MR-MT3 is told on its command line."""
    network = adapter.network
    return {
        "model_type": "t5",
        "vocab_size": network.vocabulary,
        "d_model": network.width,
        "d_kv": network.head_width,
        "d_ff": network.feed_forward,
        "num_heads": network.heads,
        "num_layers": network.encoder_layers,
        "num_decoder_layers": network.decoder_layers,
        "feed_forward_proj": "gated-gelu",
        "dropout_rate": 0.1,
        "layer_norm_epsilon": 1e-6,
        "initializer_factor": 1.0,
        "is_encoder_decoder": True,
        "tie_word_embeddings": False,
        "output_past": True,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "unk_token_id": 2,
        "segmem_length": adapter.memory_rows,
        "use_tf_spectral_ops": adapter.front_end.bank == "linear_in_mel",
    }


def read_shapes(path: Path) -> Shapes:
    """Names and shapes of a list with one `name<tab>(n, m)` a line."""
    lines = (line.split("\t") for line in path.read_text().splitlines() if line.strip())
    return {name: tuple(json.loads(f"[{shape.strip('(), ')}]")) for name, shape in lines}


def small_shapes(shapes: Mapping[str, tuple[int, ...]], sizes: Mapping[int, int], layers: int) -> Shapes:
    """The same network with its first `layers` blocks alone and every size replaced by what `sizes` says."""
    return {
        name: tuple(sizes.get(size, size) for size in shape)
        for name, shape in shapes.items()
        if (found := re.search(r"\.block\.(\d+)\.", name)) is None or int(found[1]) < layers
    }


def repeats_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """Name of each tensor that the file holds twice → name of the one it repeats."""
    repeats = {name: of for name in shapes for pattern, of in _REPEATS if re.fullmatch(pattern, name)}
    return {name: of for name, of in repeats.items() if name != of and of in shapes}


def write_plain(path: Path, tensors: Tensors) -> None:
    """A state dict, as MT3-PyTorch's `mt3.pth`."""
    torch.save(_state_dict(tensors), path)


def write_lightning(path: Path, tensors: Tensors, prefix: str = "") -> None:
    """A checkpoint as Lightning leaves it, with what an optimiser keeps."""
    state = {f"{prefix}{name}": tensor for name, tensor in _state_dict(tensors).items()}
    moments = {0: {"step": torch.tensor(7.0), "exp_avg": torch.zeros(3), "exp_avg_sq": torch.zeros(3)}}
    groups = [{"lr": 2e-5, "betas": (0.9, 0.999), "params": [0]}]
    checkpoint = {
        "epoch": 3,
        "global_step": 7,
        "pytorch-lightning_version": "1.9.5",
        "state_dict": state,
        "optimizer_states": [{"state": moments, "param_groups": groups}],
        "lr_schedulers": [],
    }
    torch.save(checkpoint, path)


def _state_dict(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Arrays that are one stay one tensor, as in a file of the real thing."""
    shared = {id(array): torch.from_numpy(np.array(array)) for array in tensors.values()}
    return {name: shared[id(array)] for name, array in tensors.items()}


_T5X_PARTS = (
    (r"proj\.weight", "encoder.continuous_inputs_projection.kernel"),
    (r"decoder_embed_tokens\.weight", "decoder.token_embedder.embedding"),
    (r"lm_head\.weight", "decoder.logits_dense.kernel"),
    (r"(en|de)coder\.final_layer_norm\.weight", r"\1coder.\1coder_norm.scale"),
    (r"(encoder)\.block\.(\d+)\.layer\.0\.layer_norm\.weight", r"\1.layers_\2.pre_attention_layer_norm.scale"),
    (r"(decoder)\.block\.(\d+)\.layer\.0\.layer_norm\.weight", r"\1.layers_\2.pre_self_attention_layer_norm.scale"),
    (r"(encoder)\.block\.(\d+)\.layer\.1\.layer_norm\.weight", r"\1.layers_\2.pre_mlp_layer_norm.scale"),
    (r"(decoder)\.block\.(\d+)\.layer\.1\.layer_norm\.weight", r"\1.layers_\2.pre_cross_attention_layer_norm.scale"),
    (r"(decoder)\.block\.(\d+)\.layer\.2\.layer_norm\.weight", r"\1.layers_\2.pre_mlp_layer_norm.scale"),
    (r"(encoder)\.block\.(\d+)\.layer\.0\.SelfAttention\.(.)\.weight", r"\1.layers_\2.attention.\3.kernel"),
    (r"(decoder)\.block\.(\d+)\.layer\.0\.SelfAttention\.(.)\.weight", r"\1.layers_\2.self_attention.\3.kernel"),
    (
        r"(decoder)\.block\.(\d+)\.layer\.1\.EncDecAttention\.(.)\.weight",
        r"\1.layers_\2.encoder_decoder_attention.\3.kernel",
    ),
    (r"(en|de)coder\.block\.(\d+)\.layer\.\d\.DenseReluDense\.(\w+)\.weight", r"\1coder.layers_\2.mlp.\3.kernel"),
)
_LETTERS = {".q.": ".query.", ".k.": ".key.", ".v.": ".value.", ".o.": ".out."}


def as_t5x(tensors: Tensors) -> dict[str, NDArray[Any]]:
    """MT3-PyTorch's tensors as Magenta's: T5X's names, kernels (in, out), position tables and repeats left out."""
    renamed = {}
    for name, array in tensors.items():
        for pattern, template in _T5X_PARTS:
            if match := re.fullmatch(pattern, name):
                new = match.expand(template)
                for letter, word in _LETTERS.items():
                    new = new.replace(letter, word)
                renamed[new] = np.ascontiguousarray(array.T) if new.endswith("kernel") else array
    return renamed


def write_t5x(folder: Path, tensors: Tensors) -> None:
    """A checkpoint directory of T5X: matrices beside the tree in zarr, vectors within it, an optimiser's state."""
    folder.mkdir(parents=True, exist_ok=True)
    tree: dict[str, Any] = {}
    for name, array in tensors.items():
        *above, last = name.split(".")
        place = tree
        for part in above:
            place = place.setdefault(part, {})
        place[last] = _leaf(folder, f"target.{name}", array)
    optimizer = {"target": tree, "state": {"step": _packed(np.array(7, np.int32))}}
    (folder / "checkpoint").write_bytes(msgpack.packb({"version": 3, "optimizer": optimizer}))


def _leaf(folder: Path, name: str, array: NDArray[Any]) -> object:
    if array.ndim < 2:
        return _packed(array)
    _write_zarr(folder / name, array)
    return {"driver": "zarr", "kvstore": {"driver": "file", "path": name}, "metadata": {"shape": list(array.shape)}}


def _packed(array: NDArray[Any]) -> msgpack.ExtType:
    """An array as Flax packs it."""
    return msgpack.ExtType(1, msgpack.packb((array.shape, array.dtype.name, array.tobytes())))


def _write_zarr(folder: Path, array: NDArray[Any]) -> None:
    folder.mkdir(exist_ok=True)
    size = len(array) // _CHUNKS + 1
    table = {
        "zarr_format": 2,
        "shape": array.shape,
        "chunks": (size, array.shape[1]),
        "dtype": "<f4",
        "order": "C",
        "fill_value": None,
        "filters": None,
        "compressor": {"id": "gzip", "level": 1},
    }
    (folder / ".zarray").write_text(json.dumps(table))
    for number, begin in enumerate(range(0, len(array), size)):
        chunk = np.zeros((size, array.shape[1]), "<f4")
        rows = array[begin : begin + size]
        chunk[: len(rows)] = rows
        (folder / f"{number}.0").write_bytes(gzip.compress(chunk.tobytes(), 1, mtime=0))
