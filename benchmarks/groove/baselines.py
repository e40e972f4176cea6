"""What a network has to beat: a chain of sixteenths that remembers two, and one bar with Gaussian jitter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from tutti.capabilities.groove.features import strokes_of
from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.capabilities.groove.tokens import Conditions
from tutti.capabilities.groove.train import Take
from tutti.music.drum_kit import DRUM_CLASSES, key_of_class

__all__ = ["jittered", "markov"]

Key = tuple[object, ...]


class _Chain:
    """What is struck together on a sixteenth, given the style, the sixteenth of the beat and what was struck on the two
    before; each stroke with a velocity and an offset of one that a drummer of the style played on that voice."""

    def __init__(self, takes: Sequence[Take]) -> None:
        self._next: dict[Key, list[frozenset[int]]] = defaultdict(list)
        self._strokes: dict[Key, list[tuple[float, float]]] = defaultdict(list)
        for take in takes:
            if take.is_fill or take.pattern.bar_beats != 4:
                continue
            s = strokes_of(take.pattern)
            struck: dict[int, set[int]] = defaultdict(set)
            for place, voice, velocity, beats in zip(
                (s.bar * s.steps + s.step).tolist(),
                s.voice.tolist(),
                s.velocity.tolist(),
                (s.offset_ms / take.pattern.beat_ms).tolist(),
                strict=True,
            ):
                struck[place].add(voice)
                for key in ((take.style, voice), (voice,)):
                    self._strokes[key].append((velocity, beats))
            before = frozenset[int](), frozenset[int]()
            for place in range(take.pattern.bars * 16):
                now = frozenset(struck[place])
                for key in _backing_off(take.style, place % 4, *before):
                    self._next[key].append(now)
                before = before[1], now

    def pattern(self, style: str, bpm: float, bars: int, rng: np.random.Generator) -> Pattern:
        before = frozenset[int](), frozenset[int]()
        hits = []
        for place in range(bars * 16):
            choices = next(found for key in _backing_off(style, place % 4, *before) if (found := self._next.get(key)))
            now = choices[rng.integers(len(choices))]
            for voice in now:
                played = self._strokes.get((style, voice)) or self._strokes[(voice,)]
                velocity, offset = played[rng.integers(len(played))]
                hits.append(Hit(place / 4 + offset, key_of_class(DRUM_CLASSES[voice]), int(velocity)))
            before = before[1], now
        return Pattern(tuple(hits), bpm, bars)


def _backing_off(style: str, place: int, first: frozenset[int], second: frozenset[int]) -> list[Key]:
    return [(style, place, first, second), (style, place, second), (place, first, second), (place, second), (place,)]


def markov(takes: Sequence[Take], asked: Sequence[Conditions], bars: int, seed: int) -> list[Pattern]:
    """A pattern for each of `asked` from a second-order chain over sixteenths, learnt from `takes`."""
    chain = _Chain(takes)
    rng = np.random.default_rng(seed)
    return [chain.pattern(one.style or "rock", one.bpm or 100.0, bars, rng) for one in asked]


_BAR = {"kick": (0, 8), "snare": (4, 12), "hihat_closed": (0, 2, 4, 6, 8, 10, 12, 14)}
_VELOCITIES = {"kick": 100, "snare": 95, "hihat_closed": 80}


def jittered(asked: Sequence[Conditions], bars: int, seed: int) -> list[Pattern]:
    """One quantised bar over and over, each hit moved and weighted by a normal draw of its own (12 ms, 12 %), a ghost
    note half way between two hits by a chance of .3: what MidiDrumiGen 1 does."""
    rng = np.random.default_rng(seed)
    patterns = []
    for one in asked:
        bpm = one.bpm or 100.0
        hits = []
        for bar in range(bars):
            for name, steps in _BAR.items():
                for step in steps:
                    late = rng.normal(0, 12) * bpm / 60_000
                    velocity = int(np.clip(_VELOCITIES[name] * rng.normal(1, 0.12), 1, 127))
                    hits.append(Hit(bar * 4 + step / 4 + late, key_of_class(name), velocity))
            ghosts = [step + 1 for step in range(0, 16, 2) if rng.random() < 0.3]
            hits += [Hit(bar * 4 + step / 4, key_of_class("snare"), int(rng.integers(25, 45))) for step in ghosts]
        patterns.append(Pattern(tuple(hits), bpm, bars))
    return patterns
