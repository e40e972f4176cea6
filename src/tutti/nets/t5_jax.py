"""T5's stacks in JAX: the encoder, and the decoder token by token. `t5` says what they compute.

Everything has a fixed shape, as JAX compiles anew for every other one, for seconds: either all rows are computed or a
quarter of them, and what rows may hold doubles. Weights are those of `t5` by name, matrices that read the same input
joined into one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import NDArray

from tutti.errors import StrictLoadingError
from tutti.nets.t5_config import T5Config, position_table

__all__ = ["T5JaxStepper", "Tree", "encode", "pack"]

NORM_EPSILON = 1e-6
_FIRST_ROOM = 256
"""More than most segments need: room to spare costs less than another compilation."""
_LISTED = 8

Tree = dict[str, Any]
"""Weights as the functions here take them."""
_Buffers = tuple[tuple[Array, Array], ...]
"""Keys and values of each layer, (rows, heads, length, head width)."""

_product = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
_sum = partial(jnp.einsum, precision=lax.Precision.HIGHEST)


def pack(weights: Mapping[str, NDArray[Any]], config: T5Config, features: int | None, name: str) -> Tree:
    """The weights of the model `name`, on the host. `features` None means that frames are not projected.

    Raises StrictLoadingError naming what is missing, extra or of another shape.
    """
    _compare(weights, _shapes(config, features), name)
    tree: Tree = {
        "encoder": [_packed_block(weights, f"encoder.blocks.{i}") for i in range(config.encoder_layers)],
        "encoder_norm": weights["encoder.norm.weight"],
        "decoder": [_packed_block(weights, f"decoder.blocks.{i}") for i in range(config.decoder_layers)],
        "decoder_norm": weights["decoder.norm.weight"],
        "embedding": weights["decoder.embedding.weight"],
        "logits": weights["decoder.logits.weight"].T,
    }
    if features is not None:
        tree["projection"] = weights["projection.weight"].T
    return tree


def _packed_block(weights: Mapping[str, NDArray[Any]], block: str) -> Tree:
    parts = {
        "qkv": ("attention.q", "attention.k", "attention.v"),
        "o": ("attention.o",),
        "cross_q": ("cross.q",),
        "cross_kv": ("cross.k", "cross.v"),
        "cross_o": ("cross.o",),
        "gate_up": ("feed.gate", "feed.up"),
        "down": ("feed.down",),
    }
    names = {key: [f"{block}.{each}.weight" for each in each_of] for key, each_of in parts.items()}
    norms = {f"{key}_norm": f"{block}.{key}_norm.weight" for key in ("attention", "cross", "feed")}
    return {
        **{key: np.concatenate([weights[name] for name in of]).T for key, of in names.items() if of[0] in weights},
        **{key: weights[name] for key, name in norms.items() if name in weights},
    }


def _shapes(config: T5Config, features: int | None) -> dict[str, tuple[int, ...]]:
    width, inner, fed = config.width, config.inner, config.feed_forward
    attention = {"q": (inner, width), "k": (inner, width), "v": (inner, width), "o": (width, inner)}
    feed = {"gate": (fed, width), "up": (fed, width), "down": (width, fed)}
    shapes: dict[str, tuple[int, ...]] = {
        "decoder.embedding.weight": (config.vocabulary, width),
        "decoder.logits.weight": (config.vocabulary, width),
    }
    if features is not None:
        shapes["projection.weight"] = (width, features)
    for stack, layers in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        shapes[f"{stack}.norm.weight"] = (width,)
        parts = {"attention": attention, "feed": feed, **({"cross": attention} if stack == "decoder" else {})}
        for block in (f"{stack}.blocks.{index}" for index in range(layers)):
            for part, matrices in parts.items():
                shapes[f"{block}.{part}_norm.weight"] = (width,)
                shapes |= {f"{block}.{part}.{key}.weight": shape for key, shape in matrices.items()}
    return shapes


def _compare(weights: Mapping[str, NDArray[Any]], wanted: Mapping[str, tuple[int, ...]], name: str) -> None:
    faults = [f"missing: {key}" for key in wanted.keys() - weights.keys()]
    faults += [f"extra: {key}" for key in weights.keys() - wanted.keys()]
    for key in wanted.keys() & weights.keys():
        if weights[key].shape != wanted[key]:
            faults.append(f"{key}: the file has {weights[key].shape}, the network {wanted[key]}")
        elif weights[key].dtype.kind != "f":
            faults.append(f"{key}: the file has {weights[key].dtype} numbers, the network float")
    if faults:
        more = f"; and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
        listed = "; ".join(sorted(faults)[:_LISTED])
        raise StrictLoadingError(f"The weights of {name} do not fit its network: {listed}{more}.")


@partial(jax.jit, static_argnames="config")
def encode(tree: Tree, frames: Array, positions: Array, config: T5Config) -> Array:
    """States (rows, frames, width) of `frames` (rows, frames, features); `positions` (frames, width)."""
    x = (_product(frames, tree["projection"]) if "projection" in tree else frames) + positions
    for block in tree["encoder"]:
        packed = _product(_normed(x, block["attention_norm"]), block["qkv"])
        queries, keys, values = jnp.split(_heads(packed, config), 3, axis=1)
        shares = jax.nn.softmax(_sum("nhqd,nhkd->nhqk", queries, keys), axis=-1)
        heard = _sum("nhqk,nhkd->nqhd", shares, values)
        x = x + _product(heard.reshape(*x.shape[:2], config.inner), block["o"])
        x = x + _fed(x, block)
    return _normed(x, tree["encoder_norm"])


def _heads(flat: Array, config: T5Config) -> Array:
    """(rows, length, n · head width) to (rows, n, length, head width)."""
    return flat.reshape(*flat.shape[:2], -1, config.head_width).transpose(0, 2, 1, 3)


def _normed(x: Array, weight: Array) -> Array:
    return x * lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + NORM_EPSILON) * weight


def _fed(x: Array, block: Tree) -> Array:
    gate, up = jnp.split(_product(_normed(x, block["feed_norm"]), block["gate_up"]), 2, axis=-1)
    return _product(jax.nn.gelu(gate, approximate=True) * up, block["down"])


class T5JaxStepper:
    """Steps a decoder for up to `rows` rows, the active ones first, each with the states it was placed with."""

    def __init__(self, tree: Tree, config: T5Config, rows: int, banned: NDArray[np.int64], device: jax.Device) -> None:
        """`banned` are ids that may not come. `tree` lies on `device`."""
        self.config, self.rows, self._tree, self._device = config, rows, tree, device
        self._table = position_table(config.positions, config.width)
        bias = np.zeros(config.vocabulary, np.float32)
        bias[banned] = -np.inf
        self._bias = jax.device_put(bias, device)
        self._room = self._frames = 0
        self._kept: _Buffers = ()
        self._heard: _Buffers = ()

    def _empty(self, length: int) -> _Buffers:
        config = self.config
        shape = (self.rows, config.heads, length, config.head_width)
        empty = [np.zeros(shape, np.float32) for _ in range(2 * config.decoder_layers)]
        buffers = jax.device_put(empty, self._device)
        return tuple(zip(buffers[::2], buffers[1::2], strict=True))

    def place(self, first: int, states: Sequence[Array]) -> None:
        """Rows `first`, `first` + 1 ... begin anew with `states`, each (frames, width)."""
        if self._frames != len(states[0]):
            self._frames = len(states[0])
            self._heard = self._empty(self._frames)
        for row, each in enumerate(states, start=first):
            self._heard = _placed(self._tree, self._heard, each, row, self.config)

    def move(self, source: int, target: int) -> None:
        """Row `target` becomes what row `source` is."""
        self._kept, self._heard = _moved((self._kept, self._heard), source, target)

    def step(
        self, tokens: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The first len(`tokens`) rows hear their `tokens` (n,) at `positions` (n,).

        Gives the likeliest next ids (n, choices), the likelier first, and their log-probabilities (n, choices).
        """
        while positions.max() >= self._room:
            self._make_room()
        count = len(tokens)
        padding = (0, _padded(count, self.rows) - count)
        at = np.pad(positions, padding).astype(np.int32)
        given = (np.pad(tokens, padding).astype(np.int32), at, self._table[at])
        buffers = (self._kept, self._heard)
        self._kept, ids, log_probs = _stepped(self._tree, *buffers, self._bias, *given, self.config)
        return np.asarray(ids[:count], np.int64), np.asarray(log_probs[:count])

    def _make_room(self) -> None:
        """Double what rows may hold."""
        before, self._room = self._room, max(_FIRST_ROOM, 2 * self._room)
        grown = self._empty(self._room)
        self._kept = _grown(grown, self._kept) if before else grown


def _padded(count: int, rows: int) -> int:
    """How many rows are computed for `count` of them."""
    return rows if count > rows // 4 else rows // 4


@partial(jax.jit, static_argnames="config", donate_argnames="heard")
def _placed(tree: Tree, heard: _Buffers, states: Array, row: int, config: T5Config) -> _Buffers:
    placed = []
    for block, (keys, values) in zip(tree["decoder"], heard, strict=True):
        both = _heads(_product(states[None], block["cross_kv"]), config)[0]
        new_keys, new_values = jnp.split(both, 2)
        placed.append((keys.at[row].set(new_keys), values.at[row].set(new_values)))
    return tuple(placed)


@partial(jax.jit, donate_argnames="buffers")
def _moved(buffers: tuple[_Buffers, _Buffers], source: int, target: int) -> tuple[_Buffers, _Buffers]:
    moved: tuple[_Buffers, _Buffers] = jax.tree.map(lambda each: each.at[target].set(each[source]), buffers)
    return moved


@partial(jax.jit, donate_argnames="grown")
def _grown(grown: _Buffers, before: _Buffers) -> _Buffers:
    larger: _Buffers = jax.tree.map(lambda new, old: new.at[:, :, : old.shape[2]].set(old), grown, before)
    return larger


@partial(jax.jit, static_argnames="config", donate_argnames="kept")
def _stepped(
    tree: Tree,
    kept: _Buffers,
    heard: _Buffers,
    bias: Array,
    tokens: Array,
    positions: Array,
    offsets: Array,
    config: T5Config,
) -> tuple[_Buffers, Array, Array]:
    """`kept` with the tokens' own keys and values, and the likeliest next ids with their log-probabilities."""
    rows = jnp.arange(len(tokens))
    x, new = tree["embedding"][tokens] + offsets, []
    for block, (keys, values), states in zip(tree["decoder"], kept, heard, strict=True):
        packed = _product(_normed(x, block["attention_norm"]), block["qkv"])
        query, key, value = packed.reshape(len(x), 3, config.heads, config.head_width).swapaxes(0, 1)
        keys, values = keys.at[rows, :, positions].set(key), values.at[rows, :, positions].set(value)
        is_past = jnp.arange(keys.shape[2]) <= positions[:, None]
        x = x + _product(_attended(query, keys, values, is_past[:, None]), block["o"])
        query = _product(_normed(x, block["cross_norm"]), block["cross_q"])
        query = query.reshape(len(x), config.heads, config.head_width)
        x = x + _product(_attended(query, *states), block["cross_o"])
        x = x + _fed(x, block)
        new.append((keys, values))
    logits = _product(_normed(x, tree["decoder_norm"]) * config.logit_scale, tree["logits"]) + bias
    _, ids = lax.top_k(logits, config.choices)  # of equals the first, as the loops of the family do
    log_probs = jax.nn.log_softmax(logits * config.probability_scale)
    return tuple(new), ids, jnp.take_along_axis(log_probs, ids, axis=1)


def _attended(query: Array, keys: Array, values: Array, is_past: Array | None = None) -> Array:
    """(n, inner) of queries (n, heads, head width), over the first n rows of buffers."""
    count = len(query)
    scores = _sum("nhd,nhld->nhl", query, keys[:count])
    if is_past is not None:
        scores = jnp.where(is_past, scores, -jnp.inf)
    return _sum("nhl,nhld->nhd", jax.nn.softmax(scores), values[:count]).reshape(count, -1)
