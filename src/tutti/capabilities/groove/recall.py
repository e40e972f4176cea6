"""What each token of a pattern is told besides itself: where in the bar it is, and what followed the last time.

A drummer repeats: the velocity of a stroke is nearest to that of the same voice on the same sixteenth a bar ago, its
shift to that of the stroke before it. To find those a transformer must learn to look them up; here they are looked up
for it. All of it follows from the tokens before.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from tutti.capabilities.groove.tokens import Tokenizer, tokenizer

__all__ = ["CONTEXT", "Recall", "contexts_of"]

CONTEXT = 4
"""Numbers a token is told: the sixteenth of the bar from 1 (0 before the first), and three recalled token ids."""

Context = tuple[int, int, int, int]


class Recall:
    """Follows the tokens of one row."""

    def __init__(self, tokens: Tokenizer | None = None) -> None:
        self._t = tokens or tokenizer()
        self._kind = [token.partition("_")[0] for token in self._t.tokens]
        self._positions = self._t.span("Position")[0]
        self._step, self._voice = -1, -1
        self._last: dict[Hashable, int] = {}
        self._due: tuple[Hashable, ...] = ()
        """Under what the next token is to be remembered."""

    def advance(self, token: int) -> Context:
        """Take `token`; what it is told. The recalled tokens are guesses at the one after it; 0 is none."""
        for key in self._due:
            self._last[key] = token
        kind = self._kind[token]
        if kind in ("Bar", "Fill"):
            self._step, self._voice = -1, -1
            keys: tuple[Hashable, ...] = (kind,)
        elif kind == "Position":
            self._step = token - self._positions
            keys = ("voice", self._step), ("voice of beat", self._step % 4)
        elif kind == "PitchDrum":
            self._voice = token
            keys = ("shift", self._step, token), ("any shift",), ("shift", token)
        elif kind == "MicroTiming":
            keys = ("velocity", self._step, self._voice), ("velocity", self._voice), ("any velocity",)
        elif kind == "Velocity":
            keys = ("next", self._step, self._voice), ("next of beat", self._step % 4, self._voice)
        else:
            keys = ()
        self._due = keys
        recalled = [self._last.get(key, 0) for key in keys]
        recalled += [0] * (CONTEXT - 1 - len(recalled))
        return self._step + 1, recalled[0], recalled[1], recalled[2]


def contexts_of(ids: Iterable[int]) -> list[Context]:
    """What each of `ids` is told."""
    recall = Recall()
    return [recall.advance(token) for token in ids]
