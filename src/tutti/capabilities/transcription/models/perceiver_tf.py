"""YourMT3+'s networks with a Perceiver-TF encoder in torch: YPTF+Single, YPTF+Multi, YPTF.MoE+Multi.

A frame's spectrum goes through convolutions; a small array of latents per frame asks them what it needs
(cross-attention over the channels of the convolutions), the latents of a frame talk to each other (local layers), and
each latent talks to itself over time (temporal layers). T5's decoder then reads all latents, or two for each of 13
groups of instruments. After Lu et al., "Multitrack music transcription with a time-frequency Perceiver" (ICASSP 2023),
and Chang et al., "YourMT3+" (MLSP 2024); written from the facts about upstream's networks, not from its code.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tutti.capabilities.transcription.models.perceiver_config import PerceiverConfig, RotaryKind, rotary_frequencies
from tutti.nets.t5 import T5Decoder
from tutti.nets.t5_config import T5Config

__all__ = ["Attention", "Mixture", "PerceiverEncoder", "PerceiverNetwork", "Stem", "rotary_turns", "rotate"]

SEGMENTS_AT_ONCE = 2
"""The convolutions take up to 58 MB per activation and segment, and are as fast on two segments as on many."""


class PerceiverNetwork(nn.Module):
    """Frames of a spectrum to rows of tokens, `channels` of them per segment."""

    def __init__(self, config: PerceiverConfig, t5: T5Config, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.stem = Stem(config.stem_channels)
        self.encoder = PerceiverEncoder(config)
        self.projection = nn.Linear(config.latents // channels * config.width, t5.width, bias=False)
        self.decoder = T5Decoder(t5)

    def encode(self, frames: Tensor) -> Tensor:
        """(batch, frames, 8 · bands) to states (batch, channels, frames, width). Memory does not grow with batch."""
        return torch.cat([self._encode_few(few) for few in torch.split(frames, SEGMENTS_AT_ONCE)])

    def _encode_few(self, frames: Tensor) -> Tensor:
        latents = self.encoder(self.stem(frames))  # (batch, frames, latents, width)
        by_channel = latents.unflatten(2, (self.channels, -1)).transpose(1, 2)
        return self.projection(by_channel.flatten(3))  # type: ignore[no-any-return]


class Stem(nn.Module):
    """(batch, frames, 8 · bands) to (batch, frames, channels, bands): what each channel hears of every frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(ResidualBlock(channels if i else 1, channels) for i in range(3)))

    def forward(self, frames: Tensor) -> Tensor:
        return self.blocks(frames[:, None]).transpose(1, 2)  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """Two convolutions with a way round them, then half as many frequencies."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        # in place: at full resolution an activation is 58 MB per segment
        x = self.body(x).add_(self.shortcut(x)).relu_()
        return F.avg_pool2d(x, (1, 2))


class PerceiverEncoder(nn.Module):
    """What the stem heard (batch, frames, channels, bands) to latents (batch, frames, latents, width)."""

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(config.latents, config.width) * 0.02)
        self.positions = (
            None
            if config.experts
            else nn.Parameter(torch.randn(config.max_frames, config.latents, config.width) * 0.02)
        )
        self.blocks = nn.ModuleList(PerceiverBlock(config) for _ in range(config.blocks))

    def forward(self, heard: Tensor) -> Tensor:
        batch, frames = heard.shape[:2]
        x = self.latents.expand(frames, -1, -1)
        if self.positions is not None:
            x = x + self.positions[:frames]
        x = x.expand(batch, -1, -1, -1)
        for block in self.blocks:
            x = block(x, heard)
        return x


class PerceiverBlock(nn.Module):
    """Latents ask the spectrum, then each other, then their own past and future."""

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        self.has_residual = config.experts > 0
        self.query_norm, self.state_norm = nn.LayerNorm(config.width), nn.LayerNorm(config.bands)
        self.cross = Attention(config, "pixel", config.bands)
        self.local = nn.Sequential(*(Layer(config, "pixel") for _ in range(config.layers)))
        self.temporal = nn.Sequential(*(Layer(config, "lang") for _ in range(config.layers)))

    def forward(self, x: Tensor, heard: Tensor) -> Tensor:
        """`x` (batch, frames, latents, width), `heard` (batch, frames, channels, bands)."""
        batch = len(x)
        x, heard = x.flatten(0, 1), heard.flatten(0, 1)
        answer = self.cross(self.query_norm(x), self.state_norm(heard))
        x = self.local(x + answer if self.has_residual else answer)
        by_latent = torch.unflatten(x, 0, (batch, -1)).transpose(1, 2)  # (batch, latents, frames, width)
        by_latent = self.temporal(by_latent.flatten(0, 1)).unflatten(0, (batch, -1))
        return by_latent.transpose(1, 2)  # type: ignore[no-any-return]


class Layer(nn.Module):
    """A transformer layer over sequences (n, length, width); every norm is before its part, on the branch only."""

    def __init__(self, config: PerceiverConfig, kind: RotaryKind) -> None:
        super().__init__()
        self.attention_norm, self.feed_norm = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.attention = Attention(config, kind, config.width)
        self.feed = Mixture(config) if config.experts else FeedForward(config)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.attention_norm(x)
        x = x + self.attention(normed, normed)
        return x + self.feed(self.feed_norm(x))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Attention of `queries` (n, length, width) to `states` (n, other length, state width)."""

    def __init__(self, config: PerceiverConfig, kind: RotaryKind, state_width: int) -> None:
        super().__init__()
        self.heads, self.kind = config.heads, kind
        self.is_rotary = config.experts > 0
        self.q = nn.Linear(config.width, config.width)
        self.k = nn.Linear(state_width, config.width)
        self.v = nn.Linear(state_width, config.width)
        self.o = nn.Linear(config.width, config.width)

    def forward(self, queries: Tensor, states: Tensor) -> Tensor:
        q, k, v = (self._split(part) for part in (self.q(queries), self.k(states), self.v(states)))
        if self.is_rotary:  # upstream turns the queries and leaves the keys as they are
            q = rotate(q, self.kind)
        # step by step as upstream does, not fused: a mixture of experts behind this hears the last digit
        shares = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(-1)
        return self.o((shares @ v).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _split(self, flat: Tensor) -> Tensor:
        return torch.unflatten(flat, -1, (self.heads, -1)).transpose(1, 2)


def rotate(queries: Tensor, kind: RotaryKind) -> Tensor:
    """Turn neighbouring features of `queries` (n, heads, length, head width) by angles that grow with their place.

    Only the first heads // 2 features of a head are turned.
    """
    _, heads, length, head_width = queries.shape
    cosines, sines = (torch.from_numpy(table).to(queries) for table in rotary_turns(kind, heads, length))
    turned, rest = torch.split(queries, [2 * cosines.shape[-1], head_width - 2 * cosines.shape[-1]], dim=-1)
    x, y = torch.unflatten(turned, -1, (-1, 2)).unbind(-1)
    turned = torch.stack([x * cosines - y * sines, y * cosines + x * sines], dim=-1).flatten(-2)
    return torch.cat([turned, rest], dim=-1)


@lru_cache(maxsize=32)
def rotary_turns(kind: RotaryKind, heads: int, length: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines and sines (length, heads // 4) of the angles at every place, shared between callers.

    Rounded as torch rounds: so upstream has them.
    """
    places = torch.linspace(-1, 1, length) if kind == "pixel" else torch.arange(length, dtype=torch.float32)
    angles = places[:, None] * torch.from_numpy(rotary_frequencies(kind, heads))
    return angles.cos().numpy(), angles.sin().numpy()


class FeedForward(nn.Module):
    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        self.first = nn.Linear(config.width, config.width)
        self.second = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.gelu(self.first(x)))  # type: ignore[no-any-return]


class Expert(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, inner, bias=False)
        self.up = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))  # type: ignore[no-any-return]


class Mixture(nn.Module):
    """Each place of (..., width) is answered by the experts that suit it best, weighted by how well (Mixtral, 2024).

    Places are sorted by expert, so each expert sees its own in one piece and nothing is computed in vain.
    """

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        self.chosen = config.chosen_experts
        self.router = nn.Linear(config.width, config.experts, bias=False)
        self.experts = nn.ModuleList(
            Expert(config.width, config.widening * config.width) for _ in range(config.experts)
        )

    def forward(self, x: Tensor) -> Tensor:
        places = x.flatten(0, -2)
        weights, experts = self.router(places).softmax(-1, dtype=torch.float32).topk(self.chosen)
        weights = (weights / weights.sum(-1, keepdim=True)).to(x.dtype)
        order = experts.flatten().argsort()
        shares = experts.flatten().bincount(minlength=len(self.experts)).tolist()
        asked = order // self.chosen
        parts = torch.split(places[asked], shares)
        answers = torch.cat([expert(part) for expert, part in zip(self.experts, parts, strict=True)])
        answers = answers * weights.flatten()[order, None]
        return torch.zeros_like(places).index_add_(0, asked, answers).view_as(x)
