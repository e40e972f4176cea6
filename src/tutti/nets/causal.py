"""A decoder-only transformer's layers: whole sequences in training, one token at a time with a cache in sampling.

Pre-norm blocks as in GPT-2 (Radford et al., 2019); with `rotary`, positions are told by rotation (Su et al.,
"RoFormer", 2021) instead of by the embedding.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutti.nets.packing import Linear, packed_linear

__all__ = ["Cache", "CausalBlock", "CausalBlocks", "DenseBlock", "DenseBlocks", "DenseStepper", "Stepper"]


class Cache:
    """Keys and values of all layers for up to `length` tokens of `rows` sequences of equal length."""

    def __init__(
        self, layers: int, rows: int, heads: int, length: int, width: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        shape = rows, heads, length, width
        self.keys = [torch.empty(shape, device=device, dtype=dtype) for _ in range(layers)]
        self.values = [torch.empty(shape, device=device, dtype=dtype) for _ in range(layers)]
        self.rows, self.used = rows, 0

    def drop(self, row: int) -> None:
        """Forget the sequence at `row`; the last one takes its place."""
        self.rows -= 1
        if row != self.rows:
            for layer in (*self.keys, *self.values):
                layer[row, :, : self.used] = layer[self.rows, :, : self.used]


def _rotation(width: int, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (positions, width / 2)."""
    frequencies = 10_000.0 ** (-torch.arange(0, width, 2, device=positions.device) / width)
    angles = positions[:, None] * frequencies
    return angles.cos(), angles.sin()


def _rotate(vectors: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    first, second = vectors.chunk(2, dim=-1)
    cosine, sine = (part.to(vectors.dtype) for part in rotation)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


class DenseBlock(nn.Module):
    """Two dense layers, added to what goes in; (…, width) to the same."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.dense_norm = nn.LayerNorm(width)
        self.dense_in = nn.Linear(width, inner)
        self.dense_out = nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        inner = F.gelu(self.dense_in(self.dense_norm(states)), approximate="tanh")
        return states + self.dropout(self.dense_out(inner))  # type: ignore[no-any-return]


class DenseBlocks(nn.Module):
    """`layers` of them and the norm after them."""

    def __init__(self, layers: int, width: int, inner: int, *, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(DenseBlock(width, inner, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, states: Tensor) -> Tensor:
        for block in self.blocks:
            states = block(states)
        return self.norm(states)  # type: ignore[no-any-return]


class CausalBlock(DenseBlock):
    """Attention to what came before, then two dense layers; (batch, tokens, width) to the same."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__(width, inner, dropout)
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)

    def forward(  # type: ignore[override]
        self, states: Tensor, rotation: tuple[Tensor, Tensor] | None, cache: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        """Keys and values go into those of this layer in `cache`."""
        rows, tokens, width = states.shape
        mixed = self.attention_in(self.attention_norm(states))
        query, key, value = mixed.view(rows, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if rotation is not None:
            query, key = _rotate(query, rotation), _rotate(key, rotation)
        if cache is not None:
            for kept, new in zip(cache, (key, value), strict=True):
                kept[:, :, :tokens] = new
        # no dropout inside: on a CPU it costs the fused kernel, and four times the step
        heard = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return super().forward(
            states + self.dropout(self.attention_out(heard.transpose(1, 2).reshape(rows, tokens, width)))
        )


class CausalBlocks(nn.Module):
    """`layers` blocks and the norm after them."""

    def __init__(self, layers: int, width: int, heads: int, inner: int, *, dropout: float, rotary: bool) -> None:
        super().__init__()
        self.width, self.heads, self.rotary = width, heads, rotary
        self.blocks = nn.ModuleList(CausalBlock(width, heads, inner, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, states: Tensor, cache: Cache | None = None) -> Tensor:
        """(batch, tokens, width) to the same, from the first token on; keys and values go into an empty `cache`."""
        tokens = states.shape[1]
        rotation = None
        if self.rotary:
            rotation = _rotation(self.width // self.heads, torch.arange(tokens, device=states.device))
        for index, block in enumerate(self.blocks):
            states = block(states, rotation, None if cache is None else (cache.keys[index], cache.values[index]))
        if cache is not None:
            cache.used = tokens
        return self.norm(states)  # type: ignore[no-any-return]

    def cache(self, rows: int, length: int, dtype: torch.dtype = torch.float32) -> Cache:
        """An empty one, in the number format that a `Stepper` of the same keeps."""
        return Cache(
            len(self.blocks), rows, self.heads, length, self.width // self.heads, self.norm.weight.device, dtype
        )


class Stepper:
    """The same blocks, one token a row at a time; their weights as they were when it was made."""

    def __init__(self, blocks: CausalBlocks, longest: int, dtype: torch.dtype = torch.float32) -> None:
        """Sequences have at most `longest` tokens. `dtype` is what is multiplied in; what is added up stays in fp32: a
        step reads every weight for few rows, so half the bytes take half the time where hardware multiplies them."""
        self.device = blocks.norm.weight.device
        self._dtype = dtype
        self._blocks = [_PackedBlock(block, self._dtype) for block in blocks.blocks]
        self._norm, self._heads, self._rotation = blocks.norm, blocks.heads, None
        if blocks.rotary:
            positions = torch.arange(longest, device=self.device)
            self._rotation = [part.to(dtype) for part in _rotation(blocks.width // blocks.heads, positions)]

    def step(self, states: Tensor, cache: Cache) -> Tensor:
        """(rows, width) of the token after those in `cache` to the same."""
        rows, width = states.shape
        at = cache.used
        rotation = None if self._rotation is None else (self._rotation[0][at], self._rotation[1][at])
        for index, block in enumerate(self._blocks):
            keys, values = cache.keys[index][:rows], cache.values[index][:rows]
            mixed = block.attention_in(block.attention_norm(states).to(self._dtype)).view(rows, 3, self._heads, -1)
            query, key = (mixed[:, :2] if rotation is None else _rotate(mixed[:, :2], rotation)).unbind(1)
            keys[:, :, at], values[:, :, at] = key, mixed[:, 2]
            heard = F.scaled_dot_product_attention(query[:, :, None], keys[:, :, : at + 1], values[:, :, : at + 1])
            states = states + block.attention_out(heard.reshape(rows, width))
            states = block.dense(states)
        cache.used = at + 1
        return self._norm(states)  # type: ignore[no-any-return]


class DenseStepper:
    """`DenseBlocks` for few rows; their weights as they were when it was made."""

    def __init__(self, blocks: DenseBlocks, dtype: torch.dtype = torch.float32) -> None:
        self._blocks = [_PackedDense(block, dtype) for block in blocks.blocks]
        self._norm = blocks.norm

    def step(self, states: Tensor) -> Tensor:
        """(rows, width) to the same."""
        for block in self._blocks:
            states = block.dense(states)
        return self._norm(states)  # type: ignore[no-any-return]


class _PackedDense:
    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._dense_norm = block.dense_norm
        self._dense_in, self._dense_out = (self._packed(block, name) for name in ("dense_in", "dense_out"))

    def _packed(self, block: Any, name: str) -> Linear:
        layer = getattr(block, name)
        return packed_linear(layer.weight.to(self._dtype), layer.bias.detach().to(self._dtype))

    def dense(self, states: Tensor) -> Tensor:
        inner = F.gelu(self._dense_in(self._dense_norm(states).to(self._dtype)), approximate="tanh")
        return states + self._dense_out(inner)


class _PackedBlock(_PackedDense):
    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__(block, dtype)
        self.attention_norm = block.attention_norm
        self.attention_in, self.attention_out = (
            self._packed(block, name) for name in ("attention_in", "attention_out")
        )
