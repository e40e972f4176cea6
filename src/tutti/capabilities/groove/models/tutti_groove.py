"""`tutti-groove`: a small decoder-only transformer over the tokens of `tokens.py`, each told what `recall.py` says."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutti.capabilities.groove.recall import CONTEXT, Recall
from tutti.capabilities.groove.stepping import packed
from tutti.capabilities.groove.tokens import tokenizer
from tutti.nets.causal import Cache, CausalBlocks, Stepper
from tutti.nets.packing import Linear

__all__ = ["GrooveNet", "GrooveNetConfig"]


@dataclass(frozen=True, slots=True)
class GrooveNetConfig:
    vocab_size: int = len(tokenizer())
    max_length: int = 1024
    """Tokens that one pass sees."""
    layers: int = 4
    width: int = 256
    heads: int = 4
    dropout: float = 0.1


class GrooveNet(nn.Module):
    """Token ids (batch, tokens) and their contexts (batch, tokens, 6) to logits (batch, tokens, vocabulary)."""

    def __init__(self, config: GrooveNetConfig) -> None:
        super().__init__()
        self.config = config
        self._packed: tuple[Stepper, Linear] | None = None
        forget = self.register_load_state_dict_post_hook
        forget(lambda network, _keys: setattr(network, "_packed", None))  # type: ignore[no-untyped-call]
        first, last = tokenizer().span("Position")
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.place = nn.Embedding(last - first + 1, config.width)
        self.recalled = nn.ModuleList(nn.Embedding(config.vocab_size, config.width) for _ in range(CONTEXT - 1))
        self.dropout = nn.Dropout(config.dropout)
        self.layers = CausalBlocks(
            config.layers, config.width, config.heads, 4 * config.width, dropout=config.dropout, rotary=True
        )
        for table in (self.embedding, self.place):
            nn.init.normal_(table.weight, std=0.02)
        for recalled in self.recalled.parameters():
            nn.init.zeros_(recalled)

    def forward(self, ids: Tensor, contexts: Tensor, cache: Cache | None = None) -> Tensor:
        return F.linear(self.layers(self._told(ids, contexts), cache), self.embedding.weight)

    def step(self, ids: Tensor, contexts: Tensor, cache: Cache) -> Tensor:
        """The same for one more token of each row: (rows,) and (rows, 6) to (rows, vocabulary)."""
        if self._packed is None or self._packed[0].device != ids.device:  # of the weights as they are now
            tables = [table.weight for table in (self.embedding, self.place, *self.recalled)]
            self._begins = torch.tensor([0, *(len(table) for table in tables[:-1])], device=ids.device).cumsum(0)
            self._table = torch.cat(tables).detach()
            self._packed = packed(self.layers, self.embedding.weight, self.config.max_length)
        stepper, head = self._packed
        places = torch.cat((ids[:, None], contexts), dim=1) + self._begins
        return head(stepper.step(F.embedding_bag(places, self._table, mode="sum"), cache))

    def _told(self, ids: Tensor, contexts: Tensor) -> Tensor:
        told = [table(contexts[..., place]) for place, table in enumerate((self.place, *self.recalled))]
        return self.dropout(sum(told, self.embedding(ids)))  # type: ignore[no-any-return]

    def recall(self) -> Recall:
        """What gives the contexts of one row."""
        return Recall()
