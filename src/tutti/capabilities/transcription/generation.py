"""From encoder states to tokens: many rows at once, each for as long as it has something to say.

A row is one segment's (one channel's) sequence. Rows that finish make room for the next at once, from whichever file
it comes, so the batch stays full until the work runs out. numpy only: what computes is behind `Stepper`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tutti.capabilities.transcription.codec import EOS, PAD
from tutti.capabilities.transcription.models.adapter import DecodingRule
from tutti.capabilities.transcription.token_order import TokenOrder

__all__ = ["GenerationRules", "Row", "RowKey", "Stepper", "Take", "Written", "generate"]

_ALPHA = 0.6
"""T5X's length penalty: a hypothesis of n tokens counts by its log-probability over ((5 + n) / 6)^0.6."""


class RowKey(NamedTuple):
    """Which segment of which recording, and which of its channels."""

    recording: int
    segment: int
    channel: int


@dataclass(frozen=True, slots=True)
class Row:
    """Work for one row: `states` as the stepper takes them."""

    key: RowKey
    states: Any


@dataclass(frozen=True, slots=True)
class Written:
    """What a row became."""

    key: RowKey
    tokens: NDArray[np.int64]
    """Without the PAD it began with; with EOS if it came to that."""
    log_probs: NDArray[np.float32]


Take = Callable[[int], Sequence[Row]]
"""`take(count)`: up to `count` rows that can begin now; none when there is no more work, or none before a row that is
being written has been given back."""


class Stepper(Protocol):
    """A decoder with memory for `rows` rows, the active ones first."""

    rows: int

    def place(self, first: int, states: Sequence[Any]) -> None: ...

    def move(self, source: int, target: int) -> None: ...

    def step(
        self, tokens: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The likeliest next ids (n, 2 or more) of the first n rows, best first, and their log-probabilities."""
        ...


@dataclass(frozen=True, slots=True)
class GenerationRules:
    decoding: DecodingRule
    max_tokens: int
    is_first_eos_ignored: bool = False
    """YourMT3's loop does not look at its first token: a row that begins with EOS runs on."""
    new_order: Callable[[], TokenOrder] | None = None
    """Set for the decoding "ordered": what may follow in a row, from its beginning."""


def generate(
    stepper: Stepper, take: Take, rules: GenerationRules, check: Callable[[], None] = lambda: None
) -> Iterator[Written]:
    """Write rows from `take` until there are none left, and give each when it is finished, in the order of that.

    `take` is asked again after a row was given, so what it hands out may depend on rows that came before.
    `check` is called before every step and may raise.
    """
    batch = _Batch(stepper.rows, rules)
    while True:
        if batch.count < stepper.rows and (rows := take(stepper.rows - batch.count)):
            stepper.place(batch.count, [row.states for row in rows])
            for row in rows:
                batch.add(row.key)
        if not batch.count:
            return
        check()
        batch.advance(*stepper.step(*batch.next_input()))
        for index in reversed(np.flatnonzero(batch.finished[: batch.count]).tolist()):
            written, last = batch.written(index), batch.count - 1
            if index != last:
                stepper.move(last, index)
            batch.drop(index)
            yield written


class _Batch:
    """The active rows' tokens and scores; the first `count` rows are in use."""

    def __init__(self, rows: int, rules: GenerationRules) -> None:
        self.rules, self.count = rules, 0
        self.finished = np.zeros(rows, bool)
        self._keys: list[RowKey] = []
        self._orders: list[TokenOrder] = []
        self._tokens = np.zeros((rows, rules.max_tokens + 1), np.int64)
        self._log_probs = np.zeros((rows, rules.max_tokens + 1), np.float32)
        self._lengths = np.zeros(rows, np.int64)
        """Tokens so far, the PAD at the beginning counted."""
        # of the search with one beam: the running sum, the best ending so far, and what EOS would have had there
        self._totals = np.zeros(rows)
        self._endings = np.zeros(rows, np.int64)
        self._ending_scores = np.full(rows, -np.inf)
        self._ending_log_probs = np.zeros(rows, np.float32)

    def add(self, key: RowKey) -> None:
        row = self.count
        self._keys.append(key)
        if self.rules.new_order is not None:
            self._orders.append(self.rules.new_order())
        self._tokens[row, 0], self._lengths[row], self.finished[row] = PAD, 1, False
        self._totals[row], self._endings[row], self._ending_scores[row] = 0.0, 0, -np.inf
        self.count += 1

    def drop(self, row: int) -> None:
        last = self.count = self.count - 1
        _take_last_for(self._keys, row)
        if self._orders:
            _take_last_for(self._orders, row)
        if row != last:
            for values in self._state:
                values[row] = values[last]

    @property
    def _state(self) -> tuple[NDArray[Any], ...]:
        return (
            self._tokens,
            self._log_probs,
            self._lengths,
            self.finished,
            self._totals,
            self._endings,
            self._ending_scores,
            self._ending_log_probs,
        )

    def next_input(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        positions = self._lengths[: self.count] - 1
        return self._tokens[np.arange(self.count), positions], positions

    def advance(self, ids: NDArray[np.int64], log_probs: NDArray[np.float32]) -> None:
        if self.rules.decoding == "t5x_beam1":
            self._search(ids, log_probs)
        elif self.rules.decoding == "ordered":
            self._follow_orders(ids, log_probs)
        else:
            self._append(ids[:, 0], log_probs[:, 0])
            is_over = ids[:, 0] == EOS
            if self.rules.is_first_eos_ignored:
                is_over &= self._lengths[: self.count] > 2
            self.finished[: self.count] = is_over
        self.finished[: self.count] |= self._lengths[: self.count] > self.rules.max_tokens

    def _append(self, ids: NDArray[np.int64], log_probs: NDArray[np.float32]) -> None:
        rows, at = np.arange(self.count), self._lengths[: self.count]
        self._tokens[rows, at], self._log_probs[rows, at] = ids, log_probs
        self._lengths[: self.count] += 1

    def _follow_orders(self, ids: NDArray[np.int64], log_probs: NDArray[np.float32]) -> None:
        """The likeliest token that may follow; a row ends where none of those given may."""
        allowed = np.array(
            [[order.allows(int(token)) for token in few] for order, few in zip(self._orders, ids, strict=True)]
        )
        first = allowed.argmax(axis=1)[:, None]
        chosen = np.where(allowed.any(axis=1), np.take_along_axis(ids, first, axis=1)[:, 0], EOS)
        for order, token in zip(self._orders, chosen.tolist(), strict=True):
            order.push(token)
        self._append(chosen, np.take_along_axis(log_probs, first, axis=1)[:, 0])
        self.finished[: self.count] = chosen == EOS

    def _search(self, ids: NDArray[np.int64], log_probs: NDArray[np.float32]) -> None:
        """T5X's beam search with one beam: of the two best tokens EOS, if it is one, is weighed as an ending and the
        best of the others lives on (t5x `decoding.py`, Apache-2.0)."""
        count = self.count
        is_end = ids == EOS
        for column in (0, 1):
            rows = np.flatnonzero(is_end[:, column])
            scores = (self._totals[rows] + log_probs[rows, column]) / _penalty(self._lengths[rows])
            is_better = scores > self._ending_scores[rows]
            better = rows[is_better]
            self._ending_scores[better] = scores[is_better]
            self._endings[better] = self._lengths[better]
            self._ending_log_probs[better] = log_probs[better, column]
        live = np.where(is_end[:, 0], 1, 0)[:, None]
        chosen = np.take_along_axis(log_probs, live, axis=1)[:, 0]
        self._totals[:count] += chosen
        self._append(np.take_along_axis(ids, live, axis=1)[:, 0], chosen)
        at_best = self._totals[:count] / _penalty(np.array(self.rules.max_tokens + 1))
        self.finished[:count] = self._ending_scores[:count] > at_best

    def written(self, row: int) -> Written:
        end = int(self._lengths[row])
        tokens, log_probs = self._tokens[row, 1:end].copy(), self._log_probs[row, 1:end].copy()
        ending = int(self._endings[row])
        if np.isfinite(self._ending_scores[row]):
            tokens = np.append(tokens[: ending - 1], EOS)
            log_probs = np.append(log_probs[: ending - 1], self._ending_log_probs[row])
        return Written(self._keys[row], tokens, log_probs)


def _take_last_for(values: list[Any], index: int) -> None:
    """Drop the value at `index`; the last one takes its place."""
    last = values.pop()
    if index < len(values):
        values[index] = last


def _penalty(length: NDArray[Any]) -> NDArray[np.float64]:
    penalty: NDArray[np.float64] = ((5.0 + length) / 6.0) ** _ALPHA
    return penalty
