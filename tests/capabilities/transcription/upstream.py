"""Checkpoints in the form in which other projects publish them, small and random: names as theirs, sizes not."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tutti.audio.segment_features import mel_matrix, window

DATA = Path(__file__).resolve().parents[2] / "data" / "mt3"
KEYS = {
    "mt3_pytorch": "keys_mt3_pytorch.txt",
    "mr_mt3": "keys_mr_mt3.txt",
    "ymt3_plus": "keys_ymt3plus.txt",
    "yptf_single": "keys_yptf_single.txt",
    "yptf_multi": "keys_yptf_multi.txt",
    "yptf_moe_multi": "keys_yptf_moe.txt",
}

SMALL = {
    "vocabulary": 48,
    "width": 32,
    "heads": 2,
    "head_width": 8,
    "feed_forward": 24,
    "encoder_layers": 1,
    "decoder_layers": 1,
}
"""Sizes of `T5Config` that the states made here have; YMT3+ keeps its width, as its frames go straight in."""
_SCALE = {1536: 48, 596: 48, 512: 32, 384: 16, 1024: 24, 256: 16}
_REPEATS = {
    "encoder.embed_tokens.weight": "proj.weight",
    "decoder.embed_tokens.weight": "decoder_embed_tokens.weight",
    "segmem_encoder.embed_tokens.weight": "segmem_proj.weight",
}


def keys_of(model: str) -> dict[str, tuple[int, ...]]:
    """Name → shape in the state dict of a published checkpoint, without its prefix."""
    lines = (DATA / KEYS[model]).read_text().splitlines()
    return {name: ast.literal_eval(shape) for name, shape in (line.split("\t") for line in lines)}


def small_sizes(model: str) -> dict[str, int]:
    return {**SMALL, "width": 512} if model == "ymt3_plus" else SMALL


def small_state(model: str, prefix: str = "") -> dict[str, Tensor]:
    """One block of each stack of a T5 model, its matrices scaled down as `small_sizes` says."""
    torch.manual_seed(len(model))
    width = small_sizes(model)["width"]
    scale = {**_SCALE, 512: width, 256: width // 2}
    state: dict[str, Tensor] = {}
    for name, shape in keys_of(model).items():
        if any(f".block.{number}." in name for number in range(1, 8)):
            continue
        state[prefix + name] = _tensor(name, shape, scale, state, prefix)
    return state


def _tensor(name: str, shape: tuple[int, ...], scale: dict[int, int], state: dict[str, Tensor], prefix: str) -> Tensor:
    if name in _REPEATS:
        return state[prefix + _REPEATS[name]]
    if name.endswith("inv_freq"):
        return 1 / 10_000 ** (torch.arange(0, 2 * scale[256], 2).float() / (2 * scale[256]))
    if name.endswith("additive_pe.weight"):
        return _sines(shape[0], shape[1])
    if name.endswith("window"):
        return torch.from_numpy(window())
    if name.endswith("fb"):
        return torch.from_numpy(mel_matrix("linear_in_hz", 512, 50, 8000))
    if name == "proj.weight":
        return torch.randn(scale[512], 512)  # the spectrogram keeps its bands
    return torch.randn([scale[size] for size in shape])


def _sines(length: int, width: int) -> Tensor:
    angles = np.arange(length)[:, None] / 10_000 ** (np.arange(0, width, 2) / width)
    return torch.from_numpy(np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32))


def t5x_names(layers: int) -> list[str]:
    """What T5X calls the parameters of MT3 with so many layers in either stack (magenta/mt3 network.py)."""
    attention = [f"{part}.kernel" for part in ("query", "key", "value", "out")]
    feed = [f"mlp.{part}.kernel" for part in ("wi_0", "wi_1", "wo")]
    names = ["encoder.continuous_inputs_projection.kernel", "encoder.encoder_norm.scale"]
    names += ["decoder.token_embedder.embedding", "decoder.decoder_norm.scale", "decoder.logits_dense.kernel"]
    for i in range(layers):
        at = f"encoder.layers_{i}."
        names += [f"{at}attention.{part}" for part in attention] + [at + part for part in feed]
        names += [f"{at}pre_attention_layer_norm.scale", f"{at}pre_mlp_layer_norm.scale"]
        at = f"decoder.layers_{i}."
        names += [
            f"{at}{kind}.{part}" for kind in ("self_attention", "encoder_decoder_attention") for part in attention
        ]
        names += [at + part for part in feed]
        names += [f"{at}pre_{kind}_layer_norm.scale" for kind in ("self_attention", "cross_attention", "mlp")]
    return names


def t5x_shape(name: str, sizes: dict[str, int], features: int = 512) -> tuple[int, ...]:
    """Of a parameter in T5X: matrices are (in, out)."""
    width, inner = sizes["width"], sizes["heads"] * sizes["head_width"]
    shapes: dict[str, tuple[int, ...]] = {
        "continuous_inputs_projection": (features, width),
        "token_embedder": (sizes["vocabulary"], width),
        "logits_dense": (width, sizes["vocabulary"]),
        "query": (width, inner),
        "key": (width, inner),
        "value": (width, inner),
        "out": (inner, width),
        "wi_0": (width, sizes["feed_forward"]),
        "wi_1": (width, sizes["feed_forward"]),
        "wo": (sizes["feed_forward"], width),
    }
    return shapes.get(name.split(".")[-2], (width,))


def lightning(state: dict[str, Tensor], **more: Any) -> dict[str, Any]:
    """A checkpoint as Lightning writes it: weights, and much besides."""
    moments = {number: {"exp_avg": torch.zeros_like(tensor)} for number, tensor in enumerate(state.values())}
    return {
        "epoch": 3,
        "global_step": 7,
        "pytorch-lightning_version": "2.2.1",
        "state_dict": state,
        "loops": {"fit_loop": {}},
        "callbacks": {},
        "optimizer_states": [{"state": moments, "param_groups": [{"lr": 0.1, "params": list(moments)}]}],
        "lr_schedulers": [],
        **more,
    }
