"""`tutti-groove`: a small decoder-only transformer over strokes, and within a stroke over the tokens it is made of.

The tokens are those of `tokens.py`; each is told what `recall.py` says. Those of one event, a stroke, a bar line or all
conditions, are added up into one input of the transformer, so that it takes one step a stroke, not four; what comes
first after an event it says itself, the other tokens of a stroke two dense layers, from what it said and from what the
stroke has so far (as in RQ-Transformer: Lee et al., 2022, with dense layers in the place of the inner transformer).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tutti.capabilities.groove.recall import ASKED, RECALLED, Recall
from tutti.capabilities.groove.stepping import stepping_dtype
from tutti.capabilities.groove.tokens import tokenizer
from tutti.nets.causal import Cache, CausalBlocks, DenseBlocks, DenseStepper, Stepper
from tutti.nets.packing import Linear, packed_linear

__all__ = ["GrooveNet", "GrooveNetConfig"]


@dataclass(frozen=True, slots=True)
class GrooveNetConfig:
    vocab_size: int = len(tokenizer())
    max_length: int = 384
    """Events that one pass sees."""
    layers: int = 4
    width: int = 256
    heads: int = 4
    inner_layers: int = 2
    """Dense ones, for the tokens of a stroke."""
    dropout: float = 0.1


class GrooveNet(nn.Module):
    """Token ids (batch, tokens) and their contexts (batch, tokens, CONTEXT) to logits (batch, tokens, vocabulary)."""

    def __init__(self, config: GrooveNetConfig) -> None:
        super().__init__()
        self.config = config
        self._packed: tuple[Stepper, DenseStepper, Linear] | None = None
        forget = self.register_load_state_dict_post_hook
        forget(lambda network, _keys: setattr(network, "_packed", None))  # type: ignore[no-untyped-call]
        first, last = tokenizer().span("Position")
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.place = nn.Embedding(last - first + 1, config.width)
        self.recalled = nn.ModuleList(nn.Embedding(config.vocab_size, config.width) for _ in range(RECALLED))
        self.asked = nn.Embedding(config.vocab_size, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = CausalBlocks(
            config.layers, config.width, config.heads, 4 * config.width, dropout=config.dropout, rotary=True
        )
        self.inner = DenseBlocks(config.inner_layers, config.width, 4 * config.width, dropout=config.dropout)
        for table in (self.embedding, self.place):
            nn.init.normal_(table.weight, std=0.02)
        for table in (*self.recalled, self.asked):
            nn.init.zeros_(table.weight)
        self.ends = _ends_of_events(config.vocab_size)

    def forward(self, ids: Tensor, contexts: Tensor, cache: Cache | None = None) -> Tensor:
        """Keys and values of whole events go into an empty `cache`; all rows have as many then."""
        ends = torch.from_numpy(self.ends).to(ids.device)[ids]
        so_far = self._so_far(ids, ends) + self._told(contexts)
        so_far = self.dropout(so_far)
        count = ends.cumsum(dim=1)
        events = torch.argsort(~ends, dim=1, stable=True)[:, : int(count[:, -1].max())]
        heard = self.layers(_at(so_far, events), cache)
        heard = F.pad(heard, (0, 0, 1, 0))  # nothing is heard before the first
        states = _at(heard, count)
        within = ~ends
        states = states.masked_scatter(within[..., None], self.inner((states + so_far)[within]).to(states.dtype))
        return F.linear(states, self.embedding.weight)

    def step(self, events: Tensor, contexts: Tensor, cache: Cache) -> tuple[Tensor, Tensor]:
        """Logits (rows, vocabulary) after one more event of each row, and what was heard (rows, width).

        `events` (rows, tokens) are its ids, -1 where there are none; `contexts` (rows, CONTEXT) those of its last.
        """
        stepper, _, head = self._ready(events.device)
        heard = stepper.step(self._summed(events, contexts), cache)
        return head(heard), heard

    def step_within(self, events: Tensor, contexts: Tensor, heard: Tensor) -> Tensor:
        """Logits after the tokens so far of an event that is not whole; `heard` is what `step` gave with the last."""
        _, inner, head = self._ready(events.device)
        return head(inner.step(heard + self._summed(events, contexts)))

    def recall(self) -> Recall:
        """What gives the contexts of one row."""
        return Recall()

    def _ready(self, device: torch.device) -> tuple[Stepper, DenseStepper, Linear]:
        if self._packed is None or self._packed[0].device != device:  # of the weights as they are now
            width = self.config.width
            tables = [table.weight for table in (self.place, *self.recalled, *[self.asked] * len(ASKED))]
            tables = [torch.zeros(1, width, device=device), self.embedding.weight, *tables]
            begins = torch.tensor([0, *(len(table) for table in tables[:-1])], device=device).cumsum(0)
            self._begins = begins[1:]
            self._table = torch.cat(tables).detach()
            dtype = stepping_dtype(device)
            stepper = Stepper(self.layers, self.config.max_length, dtype)
            self._packed = stepper, DenseStepper(self.inner, dtype), packed_linear(self.embedding.weight)
        return self._packed

    def _summed(self, events: Tensor, contexts: Tensor) -> Tensor:
        places = torch.cat((events + self._begins[0], contexts + self._begins[1:]), dim=1)
        return F.embedding_bag(places, self._table, mode="sum")

    def _told(self, contexts: Tensor) -> Tensor:
        told: Tensor = self.asked(contexts[..., 1 + RECALLED :]).sum(dim=-2)
        for place, table in enumerate((self.place, *self.recalled)):
            told = told + table(contexts[..., place])
        return told

    def _so_far(self, ids: Tensor, ends: Tensor) -> Tensor:
        """The sum of the tokens of each one's event, up to it."""
        total = self.embedding(ids).float().cumsum(dim=1)
        order = torch.arange(ids.shape[1], device=ids.device)
        last = torch.where(ends, order, -1).cummax(dim=1).values  # the last end, itself among them
        before = F.pad(last[:, :-1], (1, 0), value=-1)
        begun: Tensor = total - _at(F.pad(total, (0, 0, 1, 0)), before + 1)
        return begun


def _at(states: Tensor, places: Tensor) -> Tensor:
    """(batch, places, width) of (batch, all, width)."""
    return states.gather(1, places[..., None].expand(-1, -1, states.shape[-1]))


def _ends_of_events(size: int) -> NDArray[np.bool_]:
    """(tokens,): whether an event is whole with it: a stroke with its velocity, conditions with the density."""
    t = tokenizer()
    ends = np.ones(size, bool)
    for kind in ("special", "Position", "PitchDrum", "MicroTiming", *ASKED[:-1]):
        ends[slice(*t.span(kind))] = False
    ends[t.eos_id] = True
    return ends
