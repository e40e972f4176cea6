"""What each token of a pattern is told besides itself: where in the bar it is, what followed before, what is usual, and
what the pattern is to be.

A drummer repeats and drifts: the velocity of a stroke is near those of the same voice on the same sixteenth in the bars
before, its shift near what is usual there plus how late the strokes before it were. To find that a transformer must
learn to look it up and to take means; here it is looked up for it. All of it follows from the tokens before.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable

from tutti.capabilities.groove.tokens import Tokenizer, tokenizer

__all__ = ["ASKED", "CONTEXT", "RECALLED", "Recall", "contexts_of"]

RECALLED = 8
"""Token ids among the numbers a token is told: four that followed the last time (here in any bar, here in a bar that
is as odd or even as this one, then wider), the usual one, one as far from the middle of its kind as the last strokes
from the usual, the one to be expected from both, and one as far from the first of its kind as the voice strays."""
ASKED = ("Style", "Substyle", "Tempo", "TimeSig", "Bars", "Density")
CONTEXT = 1 + RECALLED + len(ASKED)
"""Numbers a token is told: the sixteenth of the bar from 1 (0 before the first), those of RECALLED, the conditions."""

_DRIFT_MEMORY, _STRAY_MEMORY = 0.7, 0.9
"""How much of the drift, and of the mean square of how far a voice strays, is left a stroke later."""
_EXPECTED = {"MicroTiming": (0.62, 0.6), "Velocity": (0.87, 0.2)}
"""What of the usual and of the drift is to be expected: least squares over 50,000 strokes of train takes."""


class Recall:
    """Follows the tokens of one row."""

    def __init__(self, tokens: Tokenizer | None = None) -> None:
        self._t = tokens or tokenizer()
        self._kind = [token.partition("_")[0] for token in self._t.tokens]
        self._positions = self._t.span("Position")[0]
        self._spans = {kind: self._t.span(kind) for kind in ("MicroTiming", "Velocity")}
        self._asked = dict.fromkeys(ASKED, 0)
        self._told = tuple(self._asked.values())
        self._odd, self._step, self._voice = False, -1, -1
        self._last: dict[Hashable, int] = {}
        self._means: dict[Hashable, tuple[float, int]] = {}
        """Mean of the ids that followed, and of how many."""
        self._drift = dict.fromkeys(_EXPECTED, 0.0)
        self._strays: dict[Hashable, float] = {}
        self._due: tuple[Hashable, ...] = ()
        """Under what the next token is to be remembered."""

    def advance(self, token: int) -> tuple[int, ...]:
        """Take `token`; what it is told. The recalled ids are guesses at the token after it; 0 is none."""
        for key in self._due:
            self._last[key] = token
        kind = self._kind[token]
        step, voice, odd = self._step, self._voice, self._odd
        asked = ""
        if kind == "Velocity":
            self._learn(kind, token)
            keys: tuple[Hashable, ...] = (
                ("next", step, voice),
                ("next", step, voice, odd),
                ("next of beat", step % 4, voice),
            )
        elif kind == "Position":
            step = self._step = token - self._positions
            keys = ("voice", step), ("voice", step, odd), ("voice of beat", step % 4)
        elif kind == "PitchDrum":
            voice = self._voice = token
            keys = ("shift", step, voice), ("shift", step, voice, odd), ("any shift",), ("shift", voice)
            asked = "MicroTiming"
        elif kind == "MicroTiming":
            self._learn(kind, token)
            keys = ("velocity", step, voice), ("velocity", step, voice, odd), ("velocity", voice), ("any velocity",)
            asked = "Velocity"
        elif kind in ("Bar", "Fill"):
            step = self._step = self._voice = -1
            if kind == "Bar":
                self._odd = not odd
            keys = (kind,), (kind, self._odd)
        else:
            keys = ()
            if kind in self._asked:
                self._asked[kind] = token
                self._told = tuple(self._asked.values())
        self._due = keys
        recalled = [self._last.get(key, 0) for key in keys]
        recalled += [0] * (4 - len(recalled))
        foreseen = self._foreseen(asked) if asked else (0, 0, 0, 0)
        return step + 1, *recalled, *foreseen, *self._told

    def _learn(self, kind: str, token: int) -> None:
        key = kind, self._step, self._voice
        mean, count = self._means.get(key, (float(token), 0))
        if count:
            off = token - mean
            self._drift[kind] = _DRIFT_MEMORY * self._drift[kind] + (1 - _DRIFT_MEMORY) * off
            before = self._strays.get((kind, self._voice), off**2)
            self._strays[kind, self._voice] = _STRAY_MEMORY * before + (1 - _STRAY_MEMORY) * off**2
        self._means[key] = (mean * count + token) / (count + 1), count + 1

    def _foreseen(self, kind: str) -> tuple[int, int, int, int]:
        """The usual id, drift, the expected id, stray."""
        first, last = self._spans[kind]
        middle = (first + last - 1) / 2
        mean, count = self._means.get((kind, self._step, self._voice), (middle, 0))
        drift, stray = self._drift[kind], self._strays.get((kind, self._voice))
        of_usual, of_drift = _EXPECTED[kind]
        within = [
            min(last - 1, max(first, round(value)))
            for value in (
                middle + 3 * drift,  # finer than a class: what is shared is small
                middle + of_usual * (mean - middle) + of_drift * drift,
                first + 4 * math.sqrt(stray or 0.0),
            )
        ]
        return round(mean) if count else 0, within[0], within[1] if count else 0, 0 if stray is None else within[2]


def contexts_of(ids: Iterable[int]) -> list[tuple[int, ...]]:
    """What each of `ids` is told."""
    recall = Recall()
    return [recall.advance(token) for token in ids]
