"""Tokens one after the other from a network, under a guide that says what may come: cached, batched, repeatable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from tutti.capabilities.groove.stepping import stepping_dtype
from tutti.errors import OptionError

__all__ = ["Guide", "Sampled", "Sampling", "sample"]


T = TypeVar("T")


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
    """1 is off; at least one token always stays."""
    repetition_penalty: float = 1.0
    """Above 1, tokens among the last 64 become less probable (Keskar et al., "CTRL", 2019); 1 is off."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 10:  # a NaN fails too
            raise OptionError(f"temperature is 0-10 (0 takes the most probable); got {self.temperature}.")
        if self.top_k < 0:
            raise OptionError(f"top_k is at least 0 (0 is off); got {self.top_k}.")
        if not 0 < self.top_p <= 1:
            raise OptionError(f"top_p is above 0 and at most 1 (1 is off); got {self.top_p}.")
        if not 1 <= self.repetition_penalty <= 10:
            raise OptionError(f"repetition_penalty is 1-10 (1 is off); got {self.repetition_penalty}.")

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
            order = np.argsort(-shares, axis=1, kind="stable")
            sorted_shares = np.take_along_axis(shares, order, axis=1)
            before = np.cumsum(sorted_shares, axis=1) - sorted_shares
            np.put_along_axis(shares, order, np.where(before < self.top_p, sorted_shares, 0.0), axis=1)
            shares /= shares.sum(axis=1, keepdims=True)
        return shares


@dataclass(frozen=True, slots=True)
class Sampled:
    """What came of one row."""

    ids: list[int]
    """What was given and what was drawn."""
    stopped: Literal["end", "length"]
    """By the guide, or because `max_length` was reached."""
    log_likelihood: float
    """Of what was drawn, nats, as the network alone says it."""


_PENALISED = 64


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
    check: Callable[[int], None] = lambda _drawn: None,
) -> list[Sampled]:
    """A continuation of each prompt, all of one length, under its guide, from a generator seeded by its `seeds`.

    `network` has `config.max_length`, `layers.cache`, `recall()` and answers `(ids, contexts, cache)` with logits, as
    its `step` does for one more token. Where a row outgrows it, the first `head` tokens (of what it can see three
    eighths at most) and the later half of what it can see stay. `check(drawn)` is called before each token and may
    raise to stop.
    """
    given = len(prompts[0])
    if given >= max_length:
        raise OptionError(f"The prompt has {given} tokens; max_length={max_length} leaves no room for more.")
    window, device = network.config.max_length, next(network.parameters()).device
    rows = [list(prompt) for prompt in prompts]
    generators = [np.random.default_rng(list(seed)) for seed in seeds]
    likelihood = [0.0] * len(rows)
    live = [row for row, guide in enumerate(guides) if not guide.is_done]
    recalls = [network.recall() for _ in rows]
    contexts = [[recall.advance(token) for token in row] for recall, row in zip(recalls, rows, strict=True)]
    drawn, cache = 0, None
    while live and given + drawn < max_length:
        check(drawn)
        if cache is None or cache.used >= window:
            length = len(_within(rows[live[0]], head, window))
            cache = network.layers.cache(
                len(live), min(window, length + max_length - given - drawn), stepping_dtype(device)
            )
            seen, told = ([_within(kept[row], head, window) for row in live] for kept in (rows, contexts))
            answers = network(torch.tensor(seen, device=device), torch.tensor(told, device=device), cache)[:, -1]
        else:
            last, context = ([kept[row][-1] for row in live] for kept in (rows, contexts))
            answers = network.step(torch.tensor(last, device=device), torch.tensor(context, device=device), cache)
        logits = answers.float().cpu().numpy()
        allowed = np.stack([guides[row].allowed() for row in live])
        if sampling.repetition_penalty > 1:
            logits = np.stack(
                [_penalised(line, rows[row][-_PENALISED:], sampling) for line, row in zip(logits, live, strict=True)]
            )
        shares = sampling.shares(logits, allowed)
        totals = np.cumsum(shares, axis=1)
        spots = np.array([generators[row].random() for row in live]) * totals[:, -1]
        chosen = np.minimum((totals <= spots[:, None]).sum(axis=1), shares.shape[1] - 1)
        plain = logits - logits.max(axis=1, keepdims=True)
        plain = plain - np.log(np.exp(plain).sum(axis=1, keepdims=True))
        for place, row in enumerate(live):
            token = int(chosen[place])
            rows[row].append(token)
            contexts[row].append(recalls[row].advance(token))
            guides[row].advance(token)
            likelihood[row] += float(plain[place, token])
        drawn += 1
        for place in reversed(range(len(live))):
            if guides[live[place]].is_done:
                cache.drop(place)
                live[place] = live[-1]
                live.pop()
    return [
        Sampled(row, "end" if guide.is_done else "length", value)
        for row, guide, value in zip(rows, guides, likelihood, strict=True)
    ]


def _within(tokens: list[T], head: int, window: int) -> list[T]:
    """`tokens`, or the first `head` and the last of them where they would fill more than the window."""
    return tokens if len(tokens) < window else [*tokens[: min(head, 3 * window // 8)], *tokens[-(window // 2) :]]


def _penalised(logits: NDArray[np.float32], recent: Sequence[int], sampling: Sampling) -> NDArray[np.float32]:
    seen = np.unique(recent)
    logits = logits.copy()
    values = logits[seen]
    logits[seen] = np.where(values > 0, values / sampling.repetition_penalty, values * sampling.repetition_penalty)
    return logits
