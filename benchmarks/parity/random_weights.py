"""Weights at random that write music: the same numbers on every machine, tensor by tensor.

A tensor's numbers come from SHAKE-128 of the seed and its name, so each can be made without the others, and no version
of a library can change them. Noise alone would write eight shifts for every pitch and never end; so a few features of
the decoder carry the kind of the token that was read, and the last matrix prefers the kinds that may follow; later
positions prefer later shifts, and the end. The rest is left to the noise, and so to the recording.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import shake_128
from math import log, prod, sqrt

import numpy as np
from numpy.typing import NDArray

from tutti.audio.segment_features import mel_matrix, window
from tutti.capabilities.transcription.codec import EOS, PAD, Codec
from tutti.capabilities.transcription.models.perceiver_config import rotary_frequencies
from tutti.nets.t5_config import position_table

__all__ = ["RandomModel", "random_numbers", "random_tensors"]

Array = NDArray[np.float32]
Shapes = Mapping[str, tuple[int, ...]]

KINDS = ("start", "end", "shift", "late", "pitch", "on", "off", "tie", "program", "drum", "nothing")
_LATEST_STEP = 204
"""Shifts beyond lead out of a segment, which ends its notes."""
_MARK = 16.0
"""How large the feature is that says the kind of a token; the others are about 1."""
_NEVER = -9.0
_SLOW = 650.0
"""One feature of the position table is about sin(position / 650): it says how far a row has come."""
_FULL = 0.45 / 300
"""What that feature gains with every token."""
_END_GROWS = 9.0
"""Logits that EOS gains until a row should be over."""
_SHIFT_DRAW = 8.0
"""How strongly shifts are drawn to the moment that suits their position."""
_TIE_FIRST = 8.0
"""Logits that a tie gains at the start where segments must have one."""
_NOISE = 1.5
"""Standard deviation of what the noise adds to a logit."""

FOLLOWS: dict[str, dict[str, float]] = {
    "start": {"tie": 4.0, "program": 3.0},
    "shift": {"program": 2.0, "on": 2.5, "off": 1.0, "drum": 1.0},
    "late": {"program": 1.0, "end": 0.5},
    "pitch": {"shift": 3.0, "pitch": 0.3, "program": 1.5, "on": 0.5, "off": 0.0, "tie": 1.5, "end": -3.0},
    "on": {"pitch": 3.0, "drum": 1.5},
    "off": {"pitch": 3.0},
    "tie": {"shift": 4.0, "end": -4.0},
    "program": {"pitch": 2.5, "on": 2.5, "off": 1.0},
    "drum": {"shift": 3.0, "drum": 0.0, "program": 1.0, "end": -3.0},
    "end": {"tie": 1.0, "program": 1.0, "shift": 1.0, "end": 1.0},
    "nothing": {"shift": 1.0, "end": 1.0},
}
"""What may come after a token of a kind, in logits; kinds that are not named do not follow."""


@dataclass(frozen=True)
class RandomModel:
    """What the numbers depend on besides their names."""

    codec: Codec
    seed: int
    width: int = 512
    layers: int = 8
    """Of the decoder."""
    logit_scale: float = 1.0
    """What the network multiplies with before its last matrix."""
    row_length: int = 300
    """About how many tokens a row has at most."""

    @property
    def size(self) -> float:
        """About how large a feature is before the decoder's last norm: embedding, position, 3 parts a layer, a mark."""
        return sqrt(1.5 + 0.6 * self.layers + _MARK**2 / self.width)

    @property
    def slow_feature(self) -> int:
        """The index of the feature that says how far a row has come."""
        return round(self.width / 2 * log(_SLOW) / log(10_000))

    @property
    def slow_end(self) -> float:
        """What that feature is where a row should be over."""
        return _FULL * self.row_length

    @property
    def kept_features(self) -> list[int]:
        """The features that no layer of the decoder adds to."""
        return [*range(len(KINDS)), self.slow_feature]


def random_numbers(seed: int, name: str, shape: tuple[int, ...]) -> Array:
    """Numbers evenly spread with mean 0 and standard deviation 1, of SHAKE-128 of the seed and the name."""
    count = prod(shape)
    steps = np.frombuffer(shake_128(f"{seed}/{name}".encode()).digest(2 * count), "<u2").astype(np.float32)
    return ((steps - np.float32(32767.5)) * np.float32(sqrt(12) / 65536)).reshape(shape)


def random_tensors(model: RandomModel, shapes: Shapes, repeats: Mapping[str, str]) -> dict[str, NDArray[np.generic]]:
    """A tensor for every name of an upstream state dict; `repeats` maps names to those of which they are the same."""
    made: dict[str, NDArray[np.generic]] = {}
    for name, shape in shapes.items():
        if name not in repeats:
            made[name] = _tensor(model, name, shape)
    return {name: made[repeats.get(name, name)] for name in shapes}


def _tensor(model: RandomModel, name: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
    if (table := _table(name, shape)) is not None:
        return table
    noise = random_numbers(model.seed, name, shape)
    last = name.removesuffix(".weight").rpartition(".")[2]
    if last in {"decoder_embed_tokens", "embed_tokens"} and shape[0] == model.codec.size:
        return _marked(model, noise)
    if last == "lm_head":
        return _preferring(model, noise)
    if last in {"bias", "running_mean"} or name.endswith("latents"):
        return noise if name.endswith("latents") else noise * np.float32(0.1)
    if last == "running_var" or len(shape) == 1:
        return np.float32(1) + noise * np.float32(0.1)
    return _matrix(model, name, last, noise)


def _matrix(model: RandomModel, name: str, last: str, noise: Array) -> Array:
    inputs = prod(noise.shape[1:])
    if last in {"proj", "segmem_proj"}:  # how loud it is all over says nothing; what stands out does
        noise = noise - noise.mean(axis=1, keepdims=True)
    scale = {"q": 0.35, "query": 2.0, "proj": 0.5, "_pos_emb": sqrt(inputs)}.get(last, 1.0)
    matrix = noise * np.float32(scale / sqrt(inputs))
    if "decoder" in name and last in {"o", "wo"}:
        matrix[model.kept_features] = 0
    return matrix


def _table(name: str, shape: tuple[int, ...]) -> NDArray[np.generic] | None:
    """What is computed: no weights, but part of the file."""
    if name.endswith("inv_freq"):
        return (10_000.0 ** -(np.arange(shape[0]) / shape[0])).astype(np.float32)
    if name.endswith("additive_pe.weight"):
        return position_table("stored", shape[1])[: shape[0]]
    if name.endswith("window"):
        return window()
    if name.endswith("mel_scale.fb"):
        return mel_matrix("linear_in_hz", shape[1], 50, 8000)
    if name.endswith("freqs"):
        is_temporal = "temporal" in name
        return rotary_frequencies("lang" if is_temporal else "pixel", 4 * shape[0])
    if name.endswith("num_batches_tracked"):
        return np.array(1000, np.int64)
    return None


def _marked(model: RandomModel, noise: Array) -> Array:
    """The embedding: noise, and the mark of each token's kind."""
    embedding = noise.copy()
    embedding[:, model.kept_features] = 0
    embedding[np.arange(len(noise)), _kinds(model.codec, len(noise))] = _MARK
    return embedding


def _preferring(model: RandomModel, noise: Array) -> Array:
    """The last matrix: noise on most features, the preferences on the marks."""
    matrix = noise * np.float32(_NOISE / sqrt(model.width))
    kinds = _kinds(model.codec, len(noise))
    counts = np.bincount(kinds, minlength=len(KINDS))
    preferences = np.full((len(KINDS), len(KINDS)), _NEVER)
    for before, after in FOLLOWS.items():
        for kind, preference in after.items():
            preferences[KINDS.index(before), KINDS.index(kind)] = preference
    if model.codec.name == "ymt3":  # without a tie before the first shift YourMT3 drops a segment
        preferences[KINDS.index("start"), KINDS.index("tie")] += _TIE_FIRST
    # of many tokens one is always lucky: the luck of the luckiest is taken off
    preferences -= _NOISE * np.sqrt([2 * log(max(count, 1)) for count in counts])
    wanted = preferences[:, kinds].T
    when = np.array([_moment(model.codec, token) for token in range(len(noise))])
    wanted -= _SHIFT_DRAW * when[:, None] ** 2
    drawn = _SHIFT_DRAW * np.where(when > 0, 2 * when, 1)
    drawn[EOS] += _END_GROWS
    matrix[:, : len(KINDS)] = (wanted * (model.size / _MARK)).astype(np.float32)
    matrix[:, model.slow_feature] = (drawn * (model.size / model.slow_end)).astype(np.float32)
    return matrix / np.float32(model.logit_scale)


def _moment(codec: Codec, token: int) -> float:
    """Of a shift within a segment, 0 to 1; 0 of all others."""
    event = codec.decode(token)
    return event.value / _LATEST_STEP if event and event.kind == "shift" and event.value <= _LATEST_STEP else 0.0


def _kinds(codec: Codec, size: int) -> NDArray[np.int64]:
    """The index in KINDS of every id."""
    return np.array([KINDS.index(_kind(codec, token)) for token in range(size)])


def _kind(codec: Codec, token: int) -> str:
    event = codec.decode(token)
    if event is None:
        return {PAD: "start", EOS: "end"}.get(token, "nothing")
    if event.kind == "shift":
        return "late" if event.value > _LATEST_STEP else "shift"
    if event.kind == "velocity":
        return "on" if event.value else "off"
    return event.kind
