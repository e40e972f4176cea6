"""T5 1.1 encoder and decoder stacks as MT3 uses them, in torch: whole sequences, for training and for checking.

Pre-norm, RMS norms without bias, gated GELU, no biases, no relative positions: a fixed table of sines is added to what
enters a stack. Scores are not divided by the root of the head width (T5's initialisation makes up for it). Facts from
google-research/t5x and magenta/mt3 (Apache-2.0). `t5_stepping` answers token by token.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutti.nets.t5_config import PositionTable, T5Config, position_table

__all__ = ["Attention", "DecoderBlock", "EncoderBlock", "GatedFeedForward", "T5Decoder", "T5Encoder"]

NORM_EPSILON = 1e-6


class Attention(nn.Module):
    """Attention of `queries` (batch, n, width) to `states` (batch, m, width)."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.heads, self.head_width = config.heads, config.head_width
        self.q = nn.Linear(config.width, config.inner, bias=False)
        self.k = nn.Linear(config.width, config.inner, bias=False)
        self.v = nn.Linear(config.width, config.inner, bias=False)
        self.o = nn.Linear(config.inner, config.width, bias=False)

    def forward(self, queries: Tensor, states: Tensor, *, causal: bool = False) -> Tensor:
        q, k, v = (self._split(part) for part in (self.q(queries), self.k(states), self.v(states)))
        heard = F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=1.0)
        return self.o(heard.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _split(self, flat: Tensor) -> Tensor:
        return flat.view(*flat.shape[:-1], self.heads, self.head_width).transpose(1, 2)


class GatedFeedForward(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.gate = nn.Linear(config.width, config.feed_forward, bias=False)
        self.up = nn.Linear(config.width, config.feed_forward, bias=False)
        self.down = nn.Linear(config.feed_forward, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.gate(x), approximate="tanh") * self.up(x))  # type: ignore[no-any-return]


class _Norm(nn.RMSNorm):
    """In single precision, whatever comes in."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float()).to(x.dtype)


def _norm(config: T5Config) -> _Norm:
    return _Norm(config.width, eps=NORM_EPSILON)


class EncoderBlock(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.attention_norm, self.attention = _norm(config), Attention(config)
        self.feed_norm, self.feed = _norm(config), GatedFeedForward(config)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.attention_norm(x)
        x = x + self.attention(normed, normed)
        return x + self.feed(self.feed_norm(x))  # type: ignore[no-any-return]


class DecoderBlock(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.attention_norm, self.attention = _norm(config), Attention(config)
        self.cross_norm, self.cross = _norm(config), Attention(config)
        self.feed_norm, self.feed = _norm(config), GatedFeedForward(config)

    def forward(self, x: Tensor, states: Tensor) -> Tensor:
        normed = self.attention_norm(x)
        x = x + self.attention(normed, normed, causal=True)
        x = x + self.cross(self.cross_norm(x), states)
        return x + self.feed(self.feed_norm(x))  # type: ignore[no-any-return]


class T5Encoder(nn.Module):
    """(batch, frames, width) to states of the same shape. There is no padding mask: silence is heard as silence."""

    def __init__(self, config: T5Config, layers: int | None = None) -> None:
        super().__init__()
        self.config = config
        count = config.encoder_layers if layers is None else layers
        self.blocks = nn.ModuleList(EncoderBlock(config) for _ in range(count))
        self.norm = _norm(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + _positions(self.config.positions, x.shape[1], x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)  # type: ignore[no-any-return]


class T5Decoder(nn.Module):
    """Token ids (batch, n) and encoder states (batch, m, width) to logits (batch, n, vocabulary) of what follows."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList(DecoderBlock(config) for _ in range(config.decoder_layers))
        self.norm = _norm(config)
        self.logits = nn.Linear(config.width, config.vocabulary, bias=False)

    def forward(self, tokens: Tensor, states: Tensor) -> Tensor:
        x = self.embedding(tokens)
        x = x + _positions(self.config.positions, tokens.shape[1], x)
        for block in self.blocks:
            x = block(x, states)
        return self.logits(self.norm(x) * self.config.logit_scale)  # type: ignore[no-any-return]


def _positions(kind: PositionTable, length: int, like: Tensor) -> Tensor:
    table = torch.from_numpy(position_table(kind, like.shape[-1])[:length])
    return table.to(like.device, like.dtype)
