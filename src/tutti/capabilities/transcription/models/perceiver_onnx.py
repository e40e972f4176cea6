"""The Perceiver-TF encoder of `perceiver_tf` as an ONNX graph; names of weights are those there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tutti.capabilities.transcription.models.perceiver_config import PerceiverConfig, RotaryKind
from tutti.capabilities.transcription.models.perceiver_tf import rotary_turns
from tutti.nets.onnx_graph import MICROSOFT, Graph, Weights

__all__ = ["perceiver_graph"]

_NORM_EPSILON = 1e-5

Array = NDArray[np.float32]


def perceiver_graph(weights: Weights, config: PerceiverConfig, channels: int, frames: int) -> bytes:
    """`frames` (segments, frames, 8 · bands) to `states` (segments · channels, frames, width of the decoder).

    The number of frames is fixed: positions are part of the graph.
    """
    return _Writer(weights, config, frames).whole(channels)


class _Writer:
    def __init__(self, weights: Weights, config: PerceiverConfig, frames: int) -> None:
        self.graph, self.weights = Graph("encoder", weights), weights
        self.config, self.frames = config, frames

    def whole(self, channels: int) -> bytes:
        config, graph = self.config, self.graph
        spectrum = graph.input("frames", "float32", "segments", self.frames, 8 * config.bands)
        heard = self._stem(graph.add("Unsqueeze", spectrum, graph.constant([1])))
        heard = self._transposed(heard, 0, 2, 1, 3)  # (segments, frames, channels of the stem, bands)
        heard = self._shaped(heard, -1, config.stem_channels, config.bands)
        x = self._start(spectrum)
        for index in range(config.blocks):
            x = self._block(x, heard, f"encoder.blocks.{index}")
        per_channel = config.latents // channels * config.width
        x = self._transposed(self._shaped(x, -1, self.frames, channels, per_channel), 0, 2, 1, 3)
        width = len(self.weights["projection.weight"])
        projected = graph.linear(x, "projection.weight")
        graph.add("Reshape", projected, graph.constant([-1, self.frames, width]), name="states")
        graph.output("states", "float32", "rows", self.frames, width)
        return graph.to_bytes()

    def _shaped(self, x: str, *sizes: int) -> str:
        return self.graph.add("Reshape", x, self.graph.constant(sizes))

    def _transposed(self, x: str, *axes: int) -> str:
        return self.graph.add("Transpose", x, perm=list(axes))

    def _stem(self, x: str) -> str:
        for index in range(3):
            block = f"stem.blocks.{index}"
            inner = self.graph.add("Relu", self._normed_convolution(x, f"{block}.body.0", f"{block}.body.1"))
            inner = self._normed_convolution(inner, f"{block}.body.3", f"{block}.body.4")
            if f"{block}.shortcut.weight" in self.weights:
                x = self.graph.add("Conv", x, *map(self.graph.weight, self._affine(f"{block}.shortcut")))
            x = self.graph.add("Relu", self.graph.add("Add", inner, x))
            x = self.graph.add("AveragePool", x, kernel_shape=[1, 2], strides=[1, 2])
        return x

    def _normed_convolution(self, x: str, convolution: str, norm: str) -> str:
        """The batch norm becomes part of the convolution."""
        scale, shift, mean, variance = (
            self.weights[f"{norm}.{name}"].astype(np.float64)
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        factor = scale / np.sqrt(variance + _NORM_EPSILON)
        kernel = (self.weights[f"{convolution}.weight"] * factor[:, None, None, None]).astype(np.float32)
        parts = map(self.graph.constant, (kernel, (shift - mean * factor).astype(np.float32)))
        return self.graph.add("Conv", x, *parts, pads=[1, 1, 1, 1])

    def _start(self, spectrum: str) -> str:
        """The latents of every frame of every segment, (segments · frames, latents, width)."""
        latents = np.broadcast_to(
            self.weights["encoder.latents"], (self.frames, *self.weights["encoder.latents"].shape)
        )
        if not self.config.experts:
            latents = latents + self.weights["encoder.positions"][: self.frames]
        graph = self.graph
        segments = graph.add("Shape", spectrum, start=0, end=1)
        sizes = graph.add("Concat", segments, graph.constant(latents.shape), axis=0)
        repeated = graph.add("Expand", graph.constant(latents), sizes)
        return self._shaped(repeated, -1, self.config.latents, self.config.width)

    def _block(self, x: str, heard: str, name: str) -> str:
        config = self.config
        asked = self._normed(x, f"{name}.query_norm")
        answer = self._attention(asked, self._normed(heard, f"{name}.state_norm"), f"{name}.cross", "pixel")
        x = self.graph.add("Add", x, answer) if config.experts else answer
        for index in range(config.layers):
            x = self._layer(x, f"{name}.local.{index}", "pixel")
        by_latent = self._transposed(self._shaped(x, -1, self.frames, config.latents, config.width), 0, 2, 1, 3)
        x = self._shaped(by_latent, -1, self.frames, config.width)
        for index in range(config.layers):
            x = self._layer(x, f"{name}.temporal.{index}", "lang")
        by_frame = self._transposed(self._shaped(x, -1, config.latents, self.frames, config.width), 0, 2, 1, 3)
        return self._shaped(by_frame, -1, config.latents, config.width)

    def _layer(self, x: str, name: str, kind: RotaryKind) -> str:
        normed = self._normed(x, f"{name}.attention_norm")
        x = self.graph.add("Add", x, self._attention(normed, normed, f"{name}.attention", kind))
        normed = self._normed(x, f"{name}.feed_norm")
        fed = self._mixture(normed, f"{name}.feed") if self.config.experts else self._fed(normed, f"{name}.feed")
        return self.graph.add("Add", x, fed)

    def _normed(self, x: str, name: str) -> str:
        parts = map(self.graph.weight, self._affine(name))
        return self.graph.add("LayerNormalization", x, *parts, axis=-1, epsilon=_NORM_EPSILON)

    def _affine(self, name: str) -> tuple[str, str]:
        return f"{name}.weight", f"{name}.bias"

    def _linear(self, x: str, name: str) -> str:
        weight, bias = (self.weights[each] for each in self._affine(name))
        return self._product(x, weight, bias)

    def _product(self, x: str, weight: Array, bias: Array) -> str:
        graph = self.graph
        return graph.add("Add", graph.add("MatMul", x, graph.constant(weight.T)), graph.constant(bias))

    def _attention(self, x: str, states: str, name: str, kind: RotaryKind) -> str:
        queries = self._linear(x, f"{name}.q")
        if self.config.experts:
            queries = self._rotated(x, queries, name, kind)
        parts = (queries, self._linear(states, f"{name}.k"), self._linear(states, f"{name}.v"))
        heard = self.graph.add("MultiHeadAttention", *parts, domain=MICROSOFT, num_heads=self.config.heads)
        return self._linear(heard, f"{name}.o")

    def _rotated(self, x: str, queries: str, name: str, kind: RotaryKind) -> str:
        """Pairs (a, b) become (a cos - b sin, b cos + a sin): the queries times cosines, and times sines what another
        matrix makes of `x`, that of the queries with each pair changed to (-b, a)."""
        weight, bias = (_quarter_turned(self.weights[each], self.config) for each in self._affine(f"{name}.q"))
        length = self.frames if kind == "lang" else self.config.latents
        cosines, sines = map(self.graph.constant, _turns(kind, length, self.config))
        straight = self.graph.add("Mul", queries, cosines)
        return self.graph.add("Add", straight, self.graph.add("Mul", self._product(x, weight, bias), sines))

    def _fed(self, x: str, name: str) -> str:
        inner = self.graph.add("Gelu", self._linear(x, f"{name}.first"), domain=MICROSOFT)
        return self._linear(inner, f"{name}.second")

    def _mixture(self, x: str, name: str) -> str:
        """Every expert takes the places that chose it, and adds its answers to them."""
        graph = self.graph
        places = self._shaped(x, -1, self.config.width)
        shares = self._shares(places, name)
        total = graph.add("Mul", places, graph.constant(np.float32(0)))
        for expert, share in enumerate(shares):
            asked = graph.add("Transpose", graph.add("NonZero", share), perm=[1, 0])  # (n, 1)
            answer = self._expert(graph.add("GatherND", places, asked), f"{name}.experts.{expert}")
            weight = graph.add("Unsqueeze", graph.add("GatherND", share, asked), graph.constant([1]))
            total = graph.add("ScatterND", total, asked, graph.add("Mul", answer, weight), reduction="add")
        return graph.add("Reshape", total, graph.add("Shape", x))

    def _shares(self, places: str, name: str) -> Iterator[str]:
        """For each expert, how much it counts (places,); 0 where it was not chosen."""
        graph, config = self.graph, self.config
        fit = graph.add("Softmax", graph.linear(places, f"{name}.router.weight"), axis=-1)
        best, experts = graph.add_many("TopK", [fit, graph.constant([config.chosen_experts])], 2)
        weights = graph.add("Div", best, graph.add("ReduceSum", best, graph.constant([1])))
        for expert in range(config.experts):
            is_chosen = graph.add("Equal", experts, graph.constant(np.int64(expert)))
            chosen = graph.add("Where", is_chosen, weights, graph.constant(np.float32(0)))
            yield graph.add("ReduceSum", chosen, graph.constant([1]), keepdims=0)

    def _expert(self, x: str, name: str) -> str:
        both = self.graph.linear(x, f"{name}.gate.weight", f"{name}.up.weight")
        gate, up = self.graph.add_many("Split", [both], 2, axis=-1, num_outputs=2)
        opened = self.graph.add("QuickGelu", gate, domain=MICROSOFT, alpha=1.0)  # x · sigmoid(x)
        return self.graph.linear(self.graph.add("Mul", opened, up), f"{name}.down.weight")


def _quarter_turned(values: Array, config: PerceiverConfig) -> Array:
    """Outputs (width, ...) of a matrix or bias, every pair (a, b) as (-b, a)."""
    pairs = values.reshape(config.width // 2, 2, *values.shape[1:])
    return np.stack([-pairs[:, 1], pairs[:, 0]], axis=1).reshape(values.shape)


def _turns(kind: RotaryKind, length: int, config: PerceiverConfig) -> tuple[Array, Array]:
    """Cosines and sines (length, width) for all heads; 1 and 0 where nothing is turned."""
    cosines, sines = rotary_turns(kind, config.heads, length)
    return _by_head(cosines, 1, config), _by_head(sines, 0, config)


def _by_head(table: Array, rest: float, config: PerceiverConfig) -> Array:
    """(length, pairs that are turned) to (length, width): the same in every head, `rest` where nothing is turned."""
    length, pairs = table.shape
    values = np.full((length, config.heads, config.width // config.heads), rest, np.float32)
    values[..., : 2 * pairs] = np.repeat(table, 2, axis=1)[:, None]
    return values.reshape(length, config.width)
