"""MT3's network (Gardner et al., "MT3: Multi-Task Multitrack Music Transcription", ICLR 2022) in torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tutti.capabilities.transcription.models.adapter import Adapter
from tutti.capabilities.transcription.models.note_stem import STEM_FEATURES, NoteStem
from tutti.capabilities.transcription.models.perceiver_tf import PerceiverNetwork
from tutti.nets.folding import fold_batch_norms
from tutti.nets.t5 import T5Decoder, T5Encoder
from tutti.nets.t5_config import T5Config

__all__ = ["MemoryNetwork", "Mt3Network", "build_network"]


class Mt3Network(nn.Module):
    """Frames of a spectrogram to tokens.

    `encode` takes (batch, frames, features) and gives states (batch, 1, frames, width): one channel, so that networks
    with several look alike. `features` None means frames that are `width` wide already and go in as they are. A `stem`
    hears the frames first and gives `features`.
    """

    def __init__(self, config: T5Config, features: int | None, stem: nn.Module | None = None) -> None:
        super().__init__()
        self.stem = stem
        self.projection = None if features is None else nn.Linear(features, config.width, bias=False)
        self.encoder = T5Encoder(config)
        self.decoder = T5Decoder(config)

    def forward(self, frames: Tensor, tokens: Tensor) -> Tensor:
        """Logits (batch, n, vocabulary) of what follows each of `tokens` (batch, n)."""
        return self.decoder(tokens, self.encode(frames)[:, 0])  # type: ignore[no-any-return]

    def encode(self, frames: Tensor) -> Tensor:
        x = frames if self.stem is None else self.stem(frames)
        x = x if self.projection is None else self.projection(x)
        return self.encoder(x)[:, None]  # type: ignore[no-any-return]


class MemoryNetwork(Mt3Network):
    """MT3 that reads, besides its segment, what it wrote of the one before (Tan et al., "MR-MT3", 2024)."""

    def __init__(self, config: T5Config, features: int | None, memory_rows: int) -> None:
        """`memory_rows` of the memory's states are kept, MR-MT3's L_agg; 0 forgets."""
        super().__init__(config, features)
        self.memory_rows = memory_rows
        self.memory_projection = nn.Linear(config.width, config.width, bias=False)
        self.memory = T5Encoder(config, layers=1)

    def remember(self, states: Tensor, previous: Tensor) -> Tensor:
        """`states` (batch, 1, frames, width) with the memory of `previous` behind them: frames + memory_rows of them.

        `previous` (batch, 1024) are the ids of the segment before, the starting PAD included and PAD up to the end;
        padding is attended to. All of them shape the rows that are kept.
        """
        if not self.memory_rows:
            return states
        memory = self.memory(self.memory_projection(self.decoder.embedding(previous)))
        return torch.cat([states, memory[:, None, : self.memory_rows]], dim=2)


def build_network(adapter: Adapter) -> Mt3Network | PerceiverNetwork:
    """The network of an adapter, its weights at random."""
    if adapter.perceiver is not None:
        return PerceiverNetwork(adapter.perceiver, adapter.network, adapter.channels)
    if adapter.has_note_stem:
        stem = fold_batch_norms(NoteStem(adapter.front_end))
        return Mt3Network(adapter.network, STEM_FEATURES, stem)
    features = adapter.front_end.features if adapter.is_projected else None
    if adapter.has_memory:
        return MemoryNetwork(adapter.network, features, adapter.memory_rows)
    return Mt3Network(adapter.network, features)
