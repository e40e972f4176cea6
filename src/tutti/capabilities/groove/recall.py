"""What each token of a pattern is told besides itself: where in the bar it is, what followed before, what is usual.

A drummer repeats and drifts: the velocity of a stroke is near those of the same voice on the same sixteenth in the bars
before, its shift near what is usual there plus how late the strokes before it were. To find that a transformer must
learn to look it up and to take means; here it is looked up for it. All of it follows from the tokens before.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from tutti.capabilities.groove.tokens import Tokenizer, tokenizer

__all__ = ["CONTEXT", "Recall", "contexts_of"]

CONTEXT = 6
"""Numbers a token is told: the sixteenth of the bar from 1 (0 before the first), and five token ids: three that
followed the last time, the usual one, and one as far from the middle of its kind as the last strokes from the usual."""

_DRIFT_MEMORY = 0.7
"""How much of the drift is left a stroke later."""

Context = tuple[int, int, int, int, int, int]


class Recall:
    """Follows the tokens of one row."""

    def __init__(self, tokens: Tokenizer | None = None) -> None:
        self._t = tokens or tokenizer()
        self._kind = [token.partition("_")[0] for token in self._t.tokens]
        self._positions = self._t.span("Position")[0]
        self._spans = {kind: self._t.span(kind) for kind in ("MicroTiming", "Velocity")}
        self._step, self._voice = -1, -1
        self._last: dict[Hashable, int] = {}
        self._means: dict[Hashable, tuple[float, int]] = {}
        """Mean of the ids that followed, and of how many."""
        self._drift = {"MicroTiming": 0.0, "Velocity": 0.0}
        self._due: tuple[Hashable, ...] = ()
        """Under what the next token is to be remembered."""

    def advance(self, token: int) -> Context:
        """Take `token`; what it is told. The recalled ids are guesses at the token after it; 0 is none."""
        for key in self._due:
            self._last[key] = token
        kind = self._kind[token]
        asked = ""
        if kind in ("Bar", "Fill"):
            self._step, self._voice = -1, -1
            keys: tuple[Hashable, ...] = (kind,)
        elif kind == "Position":
            self._step = token - self._positions
            keys = ("voice", self._step), ("voice of beat", self._step % 4)
        elif kind == "PitchDrum":
            self._voice = token
            keys = ("shift", self._step, token), ("any shift",), ("shift", token)
            asked = "MicroTiming"
        elif kind == "MicroTiming":
            self._learn(kind, token)
            keys = ("velocity", self._step, self._voice), ("velocity", self._voice), ("any velocity",)
            asked = "Velocity"
        elif kind == "Velocity":
            self._learn(kind, token)
            keys = ("next", self._step, self._voice), ("next of beat", self._step % 4, self._voice)
        else:
            keys = ()
        self._due = keys
        recalled = [self._last.get(key, 0) for key in keys]
        recalled += [0] * (3 - len(recalled))
        usual, drift = self._usual(asked) if asked else (0, 0)
        return self._step + 1, recalled[0], recalled[1], recalled[2], usual, drift

    def _learn(self, kind: str, token: int) -> None:
        key = kind, self._step, self._voice
        mean, count = self._means.get(key, (float(token), 0))
        if count:
            self._drift[kind] = _DRIFT_MEMORY * self._drift[kind] + (1 - _DRIFT_MEMORY) * (token - mean)
        self._means[key] = (mean * count + token) / (count + 1), count + 1

    def _usual(self, kind: str) -> tuple[int, int]:
        first, last = self._spans[kind]
        mean, count = self._means.get((kind, self._step, self._voice), (0.0, 0))
        drift = (first + last - 1) / 2 + 3 * self._drift[kind]  # finer than a class: what is shared is small
        return round(mean) if count else 0, min(last - 1, max(first, round(drift)))


def contexts_of(ids: Iterable[int]) -> list[Context]:
    """What each of `ids` is told."""
    recall = Recall()
    return [recall.advance(token) for token in ids]
