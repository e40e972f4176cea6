"""A decoder-only transformer's layers: whole sequences in training, one token at a time with a cache in sampling.

Pre-norm blocks as in GPT-2 (Radford et al., 2019); with `rotary`, positions are told by rotation (Su et al.,
"RoFormer", 2021) instead of by the embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Cache", "CausalBlock", "CausalBlocks"]


class Cache:
    """Keys and values of all layers for up to `length` tokens of `rows` sequences of equal length."""

    def __init__(self, layers: int, rows: int, heads: int, length: int, width: int, like: Tensor) -> None:
        self.keys = [like.new_empty(rows, heads, length, width) for _ in range(layers)]
        self.values = [like.new_empty(rows, heads, length, width) for _ in range(layers)]
        self.used = 0

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all sequences but those at `rows`."""
        self.keys = [layer[list(rows)] for layer in self.keys]
        self.values = [layer[list(rows)] for layer in self.values]


def _rotation(width: int, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (positions, width / 2)."""
    frequencies = 10_000.0 ** (-torch.arange(0, width, 2, device=positions.device) / width)
    angles = positions[:, None] * frequencies
    return angles.cos(), angles.sin()


def _rotate(vectors: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    first, second = vectors.chunk(2, dim=-1)
    cosine, sine = (part.to(vectors.dtype) for part in rotation)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


class CausalBlock(nn.Module):
    """Attention to what came before, then two dense layers; (batch, tokens, width) to the same."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.dense_norm = nn.LayerNorm(width)
        self.dense_in = nn.Linear(width, inner)
        self.dense_out = nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, states: Tensor, rotation: tuple[Tensor, Tensor] | None, cache: tuple[Tensor, Tensor, int] | None
    ) -> Tensor:
        """`cache` is this layer's keys and values, and how many of them are of tokens before `states`."""
        rows, tokens, width = states.shape
        mixed = self.attention_in(self.attention_norm(states))
        query, key, value = mixed.view(rows, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if rotation is not None:
            query, key = _rotate(query, rotation), _rotate(key, rotation)
        if cache is not None:
            keys, values, used = cache
            keys[:, :, used : used + tokens], values[:, :, used : used + tokens] = key, value
            key, value = keys[:, :, : used + tokens], values[:, :, : used + tokens]
        # no dropout inside: on a CPU it costs the fused kernel, and four times the step
        heard = F.scaled_dot_product_attention(query, key, value, is_causal=tokens > 1)
        states = states + self.dropout(self.attention_out(heard.transpose(1, 2).reshape(rows, tokens, width)))
        inner = F.gelu(self.dense_in(self.dense_norm(states)), approximate="tanh")
        return states + self.dropout(self.dense_out(inner))  # type: ignore[no-any-return]


class CausalBlocks(nn.Module):
    """`layers` blocks and the norm after them."""

    def __init__(self, layers: int, width: int, heads: int, inner: int, *, dropout: float, rotary: bool) -> None:
        super().__init__()
        self.width, self.heads, self.rotary = width, heads, rotary
        self.blocks = nn.ModuleList(CausalBlock(width, heads, inner, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, states: Tensor, cache: Cache | None = None) -> Tensor:
        """(batch, tokens, width) to the same. With an empty `cache` all tokens at once; with a used one, one token."""
        used = cache.used if cache is not None else 0
        rotation = None
        if self.rotary:
            positions = torch.arange(used, used + states.shape[1], device=states.device)
            rotation = _rotation(self.width // self.heads, positions)
        for index, block in enumerate(self.blocks):
            own = (cache.keys[index], cache.values[index], used) if cache is not None else None
            states = block(states, rotation, own)
        if cache is not None:
            cache.used = used + states.shape[1]
        return self.norm(states)  # type: ignore[no-any-return]

    def cache(self, rows: int, length: int) -> Cache:
        """An empty one."""
        like = self.norm.weight
        return Cache(len(self.blocks), rows, self.heads, length, self.width // self.heads, like)
