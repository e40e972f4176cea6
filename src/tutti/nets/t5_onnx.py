"""T5's stacks as ONNX graphs: the encoder, what cross-attention reads of its states, and one step of the decoder.

The decoder's step writes a token's keys and values into the caller's buffers, where they stay: onnxruntime's
GroupQueryAttention appends in place when an input and an output are one buffer, each row at its own position. Nothing
is copied from step to step. Names of weights are those of `t5`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tutti.nets.onnx_graph import MICROSOFT, Graph, OnnxPrecision, Weights
from tutti.nets.t5_config import T5Config

__all__ = ["cross_graph", "encoder_graph", "memory_graph", "step_graph"]

NORM_EPSILON = 1e-6


def encoder_graph(
    weights: Weights, config: T5Config, features: int, stem: Callable[[Graph, str], str] | None = None
) -> bytes:
    """`frames` (rows, frames, features) and `positions` (states, width) to `states` (rows, states, width).

    There are as many states as frames, unless `stem`, which adds nodes that hear the frames first, gives fewer. With a
    weight projection.weight, what T5 is to hear passes it first; else that is `width` wide.
    """
    graph = Graph("encoder", weights)
    x = graph.input("frames", "float32", "rows", "frames", features)
    x = x if stem is None else stem(graph, x)
    if "projection.weight" in weights:
        x = graph.linear(x, "projection.weight")
    return _encoder(graph, config, x, "encoder", config.encoder_layers)


def memory_graph(weights: Weights, config: T5Config) -> bytes:
    """MR-MT3's memory: `tokens` (1, length) and `positions` (length, width) to `states` (1, length, width)."""
    graph = Graph("memory", weights)
    tokens = graph.input("tokens", "int64", "rows", "frames")
    embedded = graph.add("Gather", graph.weight("decoder.embedding.weight"), tokens)
    return _encoder(graph, config, graph.linear(embedded, "memory_projection.weight"), "memory", 1)


def _encoder(graph: Graph, config: T5Config, x: str, stack: str, layers: int) -> bytes:
    x = graph.add("Add", x, graph.input("positions", "float32", "states", config.width))
    stream = _Residual(graph, x)
    for index in range(layers):
        block = f"{stack}.blocks.{index}"
        normed = stream.normed(f"{block}.attention_norm.weight")
        packed = graph.linear(normed, *(f"{block}.attention.{name}.weight" for name in "qkv"))
        parts = graph.add_many("Split", [packed], 3, axis=-1, num_outputs=3)
        heard = graph.add("MultiHeadAttention", *parts, domain=MICROSOFT, num_heads=config.heads, scale=1.0)
        stream.add(graph.linear(heard, f"{block}.attention.o.weight"))
        _feed(graph, stream, block)
    states = stream.normed(f"{stack}.norm.weight", name="states")
    graph.output(states, "float32", "rows", "states", config.width)
    return graph.to_bytes()


def cross_graph(weights: Weights, config: T5Config) -> bytes:
    """`states` (rows, frames, width) to what each layer's cross-attention reads of them.

    `cross_keys.i` and `cross_values.i` are (rows, heads, frames, head width).
    """
    graph = Graph("cross", weights)
    states = graph.input("states", "float32", "rows", "frames", config.width)
    for index in range(config.decoder_layers):
        for name, letter in (("cross_keys", "k"), ("cross_values", "v")):
            flat = graph.linear(states, f"decoder.blocks.{index}.cross.{letter}.weight")
            split = graph.add("Reshape", flat, graph.constant([0, 0, config.heads, config.head_width]))
            graph.add("Transpose", split, name=f"{name}.{index}", perm=[0, 2, 1, 3])
            graph.output(f"{name}.{index}", "float32", "rows", config.heads, "frames", config.head_width)
    return graph.to_bytes()


def step_graph(weights: Weights, config: T5Config, precision: OnnxPrecision) -> bytes:
    """One token of each row to the likeliest next ones.

    In: `tokens` (rows, 1), `offsets` (rows, 1, width) from the position table, `places` (rows,) of the tokens counted
    from 0, `length` 1 + the largest of them, `bias` (vocabulary,) added to logits, `keys.i` and `values.i` (rows,
    heads, room, head width), `cross_keys.i` and `cross_values.i`. Out: `ids` (rows, choices), best first and the lower
    first of equals, `log_probs` (rows, choices), and `new_keys.i` and `new_values.i`, to be bound to the buffers
    of `keys.i` and `values.i`.
    """
    graph = Graph("step", weights, precision)
    tokens = graph.input("tokens", "int64", "rows", 1)
    offsets = graph.input("offsets", "float32", "rows", 1, config.width)
    places, length = graph.input("places", "int32", "rows"), graph.input("length", "int32")
    graph.row_zero_points(places)
    embedded = graph.add("Gather", graph.weight("decoder.embedding.weight"), tokens)
    stream = _Residual(graph, graph.add("Add", embedded, offsets))
    for index in range(config.decoder_layers):
        _attend_to_past(graph, config, stream, index, (places, length))
        _attend_to_states(graph, config, stream, index)
        _feed(graph, stream, f"decoder.blocks.{index}")
    hidden = stream.normed("decoder.norm.weight", factor=config.logit_scale)
    logits = graph.add("Squeeze", graph.linear(hidden, "decoder.logits.weight"), graph.constant([1]))
    _likeliest(graph, config, logits)
    return graph.to_bytes()


def _attend_to_past(graph: Graph, config: T5Config, stream: _Residual, index: int, where: tuple[str, str]) -> None:
    block = f"decoder.blocks.{index}"
    normed = stream.normed(f"{block}.attention_norm.weight")
    packed = graph.linear(normed, *(f"{block}.attention.{name}.weight" for name in "qkv"))
    sizes = ("rows", config.heads, "room", config.head_width)
    kept = [graph.input(f"{name}.{index}", "float32", *sizes) for name in ("keys", "values")]
    new = [f"new_{name}" for name in kept]
    heads = {"num_heads": config.heads, "kv_num_heads": config.heads, "scale": 1.0}
    outputs = [f"{block}.attention", *new]
    heard, *_ = graph.add_many("GroupQueryAttention", [packed, "", "", *kept, *where], outputs, MICROSOFT, **heads)
    for name in new:
        graph.output(name, "float32", *sizes)
    stream.add(graph.linear(heard, f"{block}.attention.o.weight"))


def _attend_to_states(graph: Graph, config: T5Config, stream: _Residual, index: int) -> None:
    block = f"decoder.blocks.{index}"
    queries = graph.linear(stream.normed(f"{block}.cross_norm.weight"), f"{block}.cross.q.weight")
    sizes = ("rows", config.heads, "frames", config.head_width)
    kept = [graph.input(f"{name}.{index}", "float32", *sizes) for name in ("cross_keys", "cross_values")]
    heard = graph.add("MultiHeadAttention", queries, *kept, domain=MICROSOFT, num_heads=config.heads, scale=1.0)
    stream.add(graph.linear(heard, f"{block}.cross.o.weight"))


def _feed(graph: Graph, stream: _Residual, block: str) -> None:
    normed = stream.normed(f"{block}.feed_norm.weight")
    both = graph.linear(normed, f"{block}.feed.gate.weight", f"{block}.feed.up.weight")
    gate, up = graph.add_many("Split", [both], 2, axis=-1, num_outputs=2)
    opened = graph.add("Mul", graph.add("FastGelu", gate, domain=MICROSOFT), up)  # with tanh, as T5's
    stream.add(graph.linear(opened, f"{block}.feed.down.weight"))


def _likeliest(graph: Graph, config: T5Config, logits: str) -> None:
    allowed = graph.add("Add", logits, graph.input("bias", "float32", config.vocabulary))
    _, ids = graph.add_many("TopK", [allowed, graph.constant([config.choices])], ["best", "ids"])
    if config.probability_scale != 1:
        allowed = graph.add("Mul", allowed, graph.constant(np.float32(config.probability_scale)))
    graph.add("GatherElements", graph.add("LogSoftmax", allowed, axis=1), ids, name="log_probs", axis=1)
    graph.output("ids", "int64", "rows", config.choices)
    graph.output("log_probs", "float32", "rows", config.choices)


@dataclass
class _Residual:
    """The stream that every part of a stack reads, normed, and adds to."""

    graph: Graph
    x: str
    part: str | None = None
    """Not yet added: onnxruntime adds and norms in one go."""

    def add(self, part: str) -> None:
        self.part = part

    def normed(self, weight: str, name: str = "", factor: float = 1.0) -> str:
        """The stream divided by its root mean square, times the weights and `factor`."""
        scale = self.graph.constant(self.graph.weights[weight] * np.float32(factor))
        if self.part is None:
            return self._first_normed(scale, name)
        names = [name or f"{weight}.normed", "", "", f"{weight}.stream"]
        inputs = [self.x, self.part, scale]
        operator = "SkipSimplifiedLayerNormalization"
        normed, *_, self.x = self.graph.add_many(operator, inputs, names, MICROSOFT, epsilon=NORM_EPSILON)
        self.part = None
        return normed

    def _first_normed(self, scale: str, name: str) -> str:
        graph = self.graph
        mean = graph.add("ReduceMean", graph.add("Mul", self.x, self.x), graph.constant([-1]))
        root = graph.add("Sqrt", graph.add("Add", mean, graph.constant(np.float32(NORM_EPSILON))))
        return graph.add("Mul", graph.add("Div", self.x, root), scale, name=name)
