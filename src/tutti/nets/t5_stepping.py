"""T5's decoder token by token, many rows at once: keys and values are kept, nothing is computed twice.

Rows are independent and may be at different positions. The active ones are always the first, so a row that has
finished costs nothing from then on: the last one moves into its place, or a new one begins there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tutti.nets.packing import Linear, packed_linear
from tutti.nets.t5 import NORM_EPSILON, Attention, DecoderBlock, GatedFeedForward, T5Decoder
from tutti.nets.t5_config import position_table

__all__ = ["PackedDecoder", "StepPrecision", "T5Stepper"]

StepPrecision = Literal["fp32", "bf16", "int8"]
"""`int8`: weights in 8 bits, one scale per output; what goes in is quantised on the way (CPU only)."""

_FIRST_LENGTH = 64


class PackedDecoder:
    """A decoder's weights as stepping reads them; many steppers may share one."""

    def __init__(self, decoder: T5Decoder, precision: StepPrecision = "fp32") -> None:
        self.config = decoder.config
        self.embedding = decoder.embedding.weight.detach()
        self.device, self.dtype = self.embedding.device, torch.bfloat16 if precision == "bf16" else torch.float32
        table = position_table(self.config.positions, self.config.width)
        self.positions = torch.from_numpy(table).to(self.device)
        self.layers = [_Layer(block, precision, self.dtype) for block in _blocks(decoder)]
        self.norm = decoder.norm.weight.detach()
        self.logits = _linear([decoder.logits], precision, self.dtype)


class T5Stepper:
    """Steps `decoder` for up to `rows` rows; each attends to the states it was placed with."""

    def __init__(self, decoder: PackedDecoder, rows: int, banned: NDArray[np.int64] | None = None) -> None:
        """`banned` are ids that may not come."""
        self.config, self.rows = decoder.config, rows
        self.device, self.dtype = decoder.device, decoder.dtype
        self._decoder, self._layers = decoder, decoder.layers
        self._bias: Tensor | None = None
        if banned is not None and len(banned):
            self._bias = torch.zeros(self.config.vocabulary, device=self.device)
            self._bias[torch.from_numpy(banned)] = -torch.inf
        self._keys = self._values = self._empty(0)
        self._cross_keys = self._cross_values = self._empty(0)

    def _empty(self, length: int) -> Tensor:
        config = self.config
        shape = (len(self._layers), self.rows, config.heads, length, config.head_width)
        return torch.zeros(shape, dtype=self.dtype, device=self.device)

    @torch.inference_mode()
    def place(self, first: int, states: Sequence[Tensor]) -> None:
        """Rows `first`, `first` + 1 ... begin anew with `states`, each (frames, width)."""
        frames = len(states[0])
        if self._cross_keys.shape[3] != frames:
            self._cross_keys, self._cross_values = self._empty(frames), self._empty(frames)
        joined = torch.stack(list(states)).to(self.dtype)
        for index, layer in enumerate(self._layers):
            keys, values = layer.cross_keys_values(joined)
            self._cross_keys[index, first : first + len(joined)] = keys
            self._cross_values[index, first : first + len(joined)] = values

    @torch.inference_mode()
    def move(self, source: int, target: int) -> None:
        """Row `target` becomes what row `source` is."""
        for kept in (self._keys, self._values, self._cross_keys, self._cross_values):
            kept[:, target] = kept[:, source]

    @torch.inference_mode()
    def step(
        self, tokens: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The first len(`tokens`) rows hear their `tokens` (n,) at `positions` (n,).

        Gives the likeliest next ids (n, choices), the likelier first, and their log-probabilities (n, choices).
        """
        logits = self.logits(torch.from_numpy(tokens).to(self.device), torch.from_numpy(positions).to(self.device))
        if self._bias is not None:
            logits = logits + self._bias
        # arg-max takes the first of equals, as the loops of the family do; top-k promises nothing
        ids, left = logits.argmax(dim=1, keepdim=True), logits
        for _ in range(1, self.config.choices):
            left = left.scatter(1, ids[:, -1:], -torch.inf)
            ids = torch.cat([ids, left.argmax(dim=1, keepdim=True)], dim=1)
        log_probs = (logits * self.config.probability_scale).log_softmax(dim=1).gather(1, ids)
        return ids.cpu().numpy(), log_probs.cpu().numpy()

    def logits(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """(n, vocabulary) float32, of what follows."""
        count, length = len(tokens), int(positions.max()) + 1
        self._make_room(length)
        x = (self._decoder.embedding[tokens] + self._decoder.positions[positions]).to(self.dtype)
        rows = torch.arange(count, device=self.device)
        past = torch.arange(length, device=self.device)
        mask = (past[None] <= positions[:, None])[:, None, None] if int(positions.min()) + 1 < length else None
        for index, layer in enumerate(self._layers):
            queries, keys, values = layer.queries_keys_values(x)
            self._keys[index, rows, :, positions] = keys
            self._values[index, rows, :, positions] = values
            kept = (self._keys[index, :count, :, :length], self._values[index, :count, :, :length])
            x = x + layer.attended(queries, *kept, mask)
            x = x + layer.cross_attended(x, self._cross_keys[index, :count], self._cross_values[index, :count])
            x = x + layer.fed(x)
        norm = self._decoder.norm
        hidden = F.rms_norm(x.float(), norm.shape, norm, NORM_EPSILON) * self.config.logit_scale
        return self._decoder.logits(hidden.to(self.dtype)).float()

    def _make_room(self, length: int) -> None:
        """Double what rows may hold: short segments, which are most, then read and keep little."""
        room = self._keys.shape[3]
        if length <= room:
            return
        larger = max(_FIRST_LENGTH, 2 * room)
        for name in ("_keys", "_values"):
            grown = self._empty(larger)
            grown[:, :, :, :room] = getattr(self, name)
            setattr(self, name, grown)


def _blocks(decoder: T5Decoder) -> list[DecoderBlock]:
    return list(decoder.blocks)  # type: ignore[arg-type]


class _Layer:
    """One block with matrices that read the same input joined into one."""

    def __init__(self, block: DecoderBlock, precision: StepPrecision, dtype: torch.dtype) -> None:
        attention, cross, feed = block.attention, block.cross, block.feed
        self.heads, self.head_width = attention.heads, attention.head_width
        self._norms = [norm.weight.detach() for norm in (block.attention_norm, block.cross_norm, block.feed_norm)]

        def linear(*parts: nn.Linear) -> Linear:
            return _linear(parts, precision, dtype)

        self._join(attention, cross, feed, linear)

    def _join(
        self, attention: Attention, cross: Attention, feed: GatedFeedForward, linear: Callable[..., Linear]
    ) -> None:
        self._qkv, self._out = linear(attention.q, attention.k, attention.v), linear(attention.o)
        self._cross_q, self._cross_kv, self._cross_out = linear(cross.q), linear(cross.k, cross.v), linear(cross.o)
        self._gate_up, self._down = linear(feed.gate, feed.up), linear(feed.down)

    def cross_keys_values(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """(rows, heads, frames, head width) each, of states (rows, frames, width)."""
        joined = self._cross_kv(states).view(*states.shape[:2], 2, self.heads, self.head_width)
        keys, values = joined.permute(2, 0, 3, 1, 4)
        return keys, values

    def queries_keys_values(self, x: Tensor) -> tuple[Tensor, ...]:
        """(rows, heads, head width) each."""
        return self._qkv(self._normed(0, x)).view(len(x), 3, self.heads, self.head_width).unbind(1)

    def attended(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        return self._out(_attended(queries, keys, values, mask))

    def cross_attended(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        queries = self._cross_q(self._normed(1, x)).view(len(x), self.heads, self.head_width)
        return self._cross_out(_attended(queries, keys, values, None))

    def fed(self, x: Tensor) -> Tensor:
        gate, up = self._gate_up(self._normed(2, x)).chunk(2, dim=1)
        return self._down(F.gelu(gate, approximate="tanh") * up)

    def _normed(self, which: int, x: Tensor) -> Tensor:
        weight = self._norms[which]
        return F.rms_norm(x.float(), weight.shape, weight, NORM_EPSILON).to(x.dtype)


def _attended(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """What single `queries` (rows, heads, head width) find in `keys` and `values` (rows, heads, length, head width).

    `mask` (rows, 1, 1, length) is true where there is something to hear.
    """
    queries = queries[:, :, None]
    if queries.is_cpu and queries.dtype == torch.bfloat16:  # two products take a third of the time of torch's kernel
        scores = queries @ keys.transpose(2, 3)
        scores = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
        return (scores.softmax(dim=3) @ values).flatten(1)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, scale=1.0).flatten(1)


def _linear(parts: Sequence[nn.Linear], precision: StepPrecision, dtype: torch.dtype) -> Linear:
    """One product for the outputs of all `parts`, side by side."""
    weight = torch.cat([part.weight.detach() for part in parts])
    if precision == "int8":
        return _quantised(weight)
    weight = weight.to(dtype)
    return packed_linear(weight)


def _quantised(weight: Tensor) -> Linear:
    scales = (weight.abs().amax(dim=1) / 127).clamp_min(1e-12).double()
    zeros = torch.zeros(len(weight), dtype=torch.int64)
    with warnings.catch_warnings():
        # torch is to lose its quantised tensors; what it offers instead was measured to be three times slower here
        warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)
        quantised = torch.quantize_per_channel(weight.float(), scales, zeros, axis=0, dtype=torch.qint8)
    packed = torch.ops.quantized.linear_prepack(quantised, None)

    def linear(x: Tensor) -> Tensor:
        heard: Tensor = torch.ops.quantized.linear_dynamic(x.flatten(0, -2), packed)
        return heard.view(*x.shape[:-1], -1)

    return linear
