"""Tokens one after the other from a network, under a guide that says what may come: cached, batched, repeatable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutti.capabilities.groove.stepping import stepping_dtype
from tutti.errors import OptionError

__all__ = ["Guide", "Sampled", "Sampling", "sample"]


class Guide(Protocol):
    """Follows one row of tokens."""

    @property
    def is_done(self) -> bool: ...

    def allowed(self) -> NDArray[np.bool_]:
        """(tokens,): what may come next."""
        ...

    def advance(self, token: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn: logits over temperature, then the top k, then the smallest set whose share reaches p."""

    temperature: float = 1.0
    """0 takes the most probable token."""
    top_k: int = 0
    """0 is off. Of equals at the edge all stay."""
    top_p: float = 1.0
    """1 is off; at least one token always stays, and of equals at the edge all."""
    repetition_penalty: float = 1.0
    """Above 1, tokens among the last 64 become less probable (Keskar et al., "CTRL", 2019); 1 is off."""
    guidance: float = 1.0
    """Above 1, logits go on from those without the conditions past those with them, by this factor (Ho and Salimans,
    "Classifier-Free Diffusion Guidance", 2022; Sanchez et al., arXiv 2306.17806, for tokens); 1 is off."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 10:  # a NaN fails too
            raise OptionError(f"temperature is 0-10 (0 takes the most probable); got {self.temperature}.")
        if self.top_k < 0:
            raise OptionError(f"top_k is at least 0 (0 is off); got {self.top_k}.")
        if not 0 < self.top_p <= 1:
            raise OptionError(f"top_p is above 0 and at most 1 (1 is off); got {self.top_p}.")
        if not 1 <= self.repetition_penalty <= 10:
            raise OptionError(f"repetition_penalty is 1-10 (1 is off); got {self.repetition_penalty}.")
        if not 1 <= self.guidance <= 10:
            raise OptionError(f"guidance is 1-10 (1 is off); got {self.guidance}.")

    def shares(self, logits: NDArray[np.float32], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Probabilities (rows, tokens) of what is allowed; each row of `allowed` has at least one True."""
        scores = np.where(allowed, logits.astype(np.float64), -np.inf)
        if self.temperature == 0:
            best: NDArray[np.bool_] = np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None]
            return best.astype(np.float64)
        scores -= scores.max(axis=1, keepdims=True)  # first, so that no temperature is too small
        with np.errstate(over="ignore"):
            scores /= self.temperature
        if 0 < self.top_k < scores.shape[1]:
            edge = np.partition(scores, -self.top_k, axis=1)[:, -self.top_k, None]
            scores = np.where(scores < edge, -np.inf, scores)
        shares: NDArray[np.float64] = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        if self.top_p < 1:
            falling = -np.sort(-shares, axis=1)
            last = (np.cumsum(falling, axis=1) - falling < self.top_p).sum(
                axis=1
            ) - 1  # what comes before is too little
            shares[shares < falling[np.arange(len(shares)), last, None]] = 0.0
            shares /= shares.sum(axis=1, keepdims=True)
        return shares


@dataclass(frozen=True, slots=True)
class Sampled:
    """What came of one row."""

    ids: list[int]
    """What was given and what was drawn."""
    stopped: Literal["end", "length"]
    """By the guide, or because `max_length` was reached."""


_PENALISED = 64


class _Line:
    """What the network is told, token by token, and which of it are events."""

    def __init__(self, network: Any, prompt: Sequence[int]) -> None:
        self.ids: list[int] = []
        self.contexts: list[tuple[int, ...]] = []
        self.begins = [0]
        """Where each event begins; the last is under way, or has not begun."""
        self._ends, self._recall = network.ends.tolist(), network.recall()
        for token in prompt:
            self.advance(token)
        if not self.is_whole:
            self.begins.append(len(self.ids))  # a prompt that ends within an event: what there is of it

    @property
    def is_whole(self) -> bool:
        """Whether the last token ended an event."""
        return self.begins[-1] == len(self.ids)

    @property
    def events(self) -> int:
        return len(self.begins) - 1

    def advance(self, token: int) -> None:
        self.ids.append(token)
        self.contexts.append(self._recall.advance(token))
        if self._ends[token]:
            self.begins.append(len(self.ids))

    def last_event(self) -> list[int]:
        """The tokens of the event under way, or else of the last."""
        return self.ids[self.begins[-2 if self.is_whole else -1] :]

    def seen(self, head: int, window: int) -> list[int]:
        """Places of the tokens that a network remembers before the last event when it is to hear that next: all, or
        where they would fill the window the events within the first `head` tokens and the later ones."""
        until = self.begins[-2]
        if self.events < window:
            return list(range(until))
        kept = min(sum(begin <= head for begin in self.begins[1:]), 3 * window // 8)
        return [*range(self.begins[kept]), *range(self.begins[-1 - window // 2], until)]


@dataclass(eq=False)
class _Row:
    """A pattern under way."""

    lines: list[_Line]
    """What is played, and with guidance the same untold."""
    guide: Guide
    generator: np.random.Generator

    def take(self, token: int) -> None:
        for line in self.lines:
            line.advance(token)
        self.guide.advance(token)


@torch.inference_mode()
def sample(
    network: Any,
    prompts: Sequence[Sequence[int]],
    guides: Sequence[Guide],
    seeds: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    max_length: int,
    head: int = 1,
    untold: Sequence[Sequence[int]] = (),
    check: Callable[[int], None] = lambda _drawn: None,
) -> list[Sampled]:
    """A continuation of each prompt under its guide, from a generator seeded by its `seeds`.

    The prompts have as many tokens and events as each other; `untold` are the same without what guidance strengthens,
    and needed for that alone. Where a row outgrows the network, the events of the first `head` tokens (of what it can
    see three eighths at most) and the later half of what it can see stay. `check(drawn)` is called before each token
    and may raise to stop.

    `network` has `config.max_length` (events), `layers.cache`, `recall()`, and `ends` (tokens,), the tokens that end an
    event. It reads whole events, `(ids, contexts, cache)`; takes one more of each row by `step`, which gives logits and
    what was heard; and gives logits within an event by `step_within`, from that.
    """
    given = len(prompts[0])
    if given >= max_length:
        raise OptionError(f"The prompt has {given} tokens; max_length={max_length} leaves no room for more.")
    window, device = network.config.max_length, next(network.parameters()).device
    told = [prompts, untold] if sampling.guidance != 1 else [prompts]
    rows = [
        _Row([_Line(network, prompt) for prompt in lines], guide, np.random.default_rng(list(seed)))
        for *lines, guide, seed in zip(*told, guides, seeds, strict=True)
    ]
    live = [row for row in rows if not row.guide.is_done]
    drawn, cache = 0, None
    while live:
        lines = [line for row in live for line in row.lines]
        if cache is None or cache.used >= window:
            length = max(line.events + max_length - len(line.ids) for line in lines)
            cache = network.layers.cache(len(lines), min(window, length), stepping_dtype(device))
            _read(network, lines, cache, head, device)
        answers, heard = network.step(*_asked(lines, device), cache)
        due = live
        while due:
            check(drawn)
            _draw(due, answers.float().cpu().numpy(), sampling)
            drawn += 1
            before = due
            due = [row for row in due if not row.lines[0].is_whole and len(row.lines[0].ids) < max_length]
            if due:
                if len(due) < len(before):
                    still = [row in due for row in before for _ in row.lines]
                    heard = heard[torch.tensor(still, device=device)]
                lines = [line for row in due for line in row.lines]
                answers = network.step_within(*_asked(lines, device), heard)
        for place in reversed(range(len(live))):
            if live[place].guide.is_done or len(live[place].lines[0].ids) >= max_length:
                for line in reversed(range(len(told))):
                    cache.drop(place * len(told) + line)
                live[place] = live[-1]
                live.pop()
    return [Sampled(row.lines[0].ids, "end" if row.guide.is_done else "length") for row in rows]


def _read(network: Any, lines: Sequence[_Line], cache: Any, head: int, device: torch.device) -> None:
    """Fill an empty cache with all events but the last."""
    seen = [line.seen(head, network.config.max_length) for line in lines]
    longest = max(map(len, seen))
    if longest:
        ids = [
            [*(line.ids[at] for at in places), *[0] * (longest - len(places))]
            for line, places in zip(lines, seen, strict=True)
        ]
        nothing = (0,) * len(lines[0].contexts[0])
        contexts = [
            [*(line.contexts[at] for at in places), *[nothing] * (longest - len(places))]
            for line, places in zip(lines, seen, strict=True)
        ]
        network(torch.tensor(ids, device=device), torch.tensor(contexts, device=device), cache)


def _asked(lines: Sequence[_Line], device: torch.device) -> tuple[Tensor, Tensor]:
    """The last event of each (rows, tokens), -1 where it has no more, and the contexts of its last token."""
    events = [line.last_event() for line in lines]
    longest = max(map(len, events))
    ids = torch.tensor([[*event, *[-1] * (longest - len(event))] for event in events], device=device)
    return ids, torch.tensor([line.contexts[-1] for line in lines], device=device)


def _draw(rows: Sequence[_Row], answers: NDArray[np.float32], sampling: Sampling) -> None:
    """One more token of each."""
    logits = answers.reshape(len(rows), -1, answers.shape[-1])
    scores = logits[:, -1] + sampling.guidance * (logits[:, 0] - logits[:, -1])
    if sampling.repetition_penalty > 1:
        recent = [row.lines[0].ids[-_PENALISED:] for row in rows]
        scores = np.stack([_penalised(line, seen, sampling) for line, seen in zip(scores, recent, strict=True)])
    shares = sampling.shares(scores, np.stack([row.guide.allowed() for row in rows]))
    totals = np.cumsum(shares, axis=1)
    spots = np.array([row.generator.random() for row in rows]) * totals[:, -1]
    chosen = np.minimum((totals <= spots[:, None]).sum(axis=1), shares.shape[1] - 1)
    for row, token in zip(rows, chosen.tolist(), strict=True):
        row.take(token)


def _penalised(logits: NDArray[np.float32], recent: Sequence[int], sampling: Sampling) -> NDArray[np.float32]:
    seen = np.unique(recent)
    logits = logits.copy()
    values = logits[seen]
    logits[seen] = np.where(values > 0, values / sampling.repetition_penalty, values * sampling.repetition_penalty)
    return logits
