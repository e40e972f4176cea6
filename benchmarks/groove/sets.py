"""Patterns to hold against each other: windows of drummers' takes, and what a network or a baseline makes of the same
conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from benchmarks.transcription.folders import DATA
from tutti.capabilities.groove.generation import open_model
from tutti.capabilities.groove.pattern import Pattern
from tutti.capabilities.groove.sampling import Sampling, sample
from tutti.capabilities.groove.tokens import Conditions, Grammar, tokenizer
from tutti.capabilities.groove.train import Take, takes_of, windows
from tutti.capabilities.groove.types import Options

__all__ = ["BARS", "SAMPLING", "Window", "generated", "human"]

BARS = 8
_DEFAULTS = Options()
SAMPLING = Sampling(_DEFAULTS.temperature, top_p=_DEFAULTS.top_p, guidance=_DEFAULTS.guidance)
_ROWS = 50


@dataclass(frozen=True, slots=True)
class Window:
    """Bars of a take."""

    pattern: Pattern
    conditions: Conditions
    take: int
    """Windows of one take share it."""


@cache
def takes(split: str) -> tuple[Take, ...]:
    return tuple(takes_of(DATA / "gmd", split))


@cache
def human(split: str, bars: int = BARS) -> tuple[Window, ...]:
    """Windows of `bars` bars, side by side, of all takes in 4/4 that are no fills; fewer than one stroke a beat is
    counting in."""
    found = []
    numbers = {id(take): number for number, take in enumerate(takes(split))}
    for take, pattern in windows(takes(split), bars):
        if pattern.bar_beats == 4 and len(pattern) >= pattern.beats:
            found.append(Window(pattern, take.conditions(pattern), numbers[id(take)]))
    return tuple(found)


def generated(
    asked: Sequence[Conditions], seed: int, model: str = "tutti-groove", sampling: Sampling = SAMPLING, bars: int = BARS
) -> list[Pattern]:
    """A pattern of `bars` bars in 4/4 for each of `asked`; style, substyle and tempo are told, nothing else."""
    network, t = open_model(model, "cpu").network, tokenizer()
    told = [Conditions(one.style, one.substyle, one.bpm, "4/4", bars) for one in asked]
    untold = [t.header(Conditions(None, None, one.bpm, "4/4", bars)) for one in asked]
    patterns: list[Pattern] = []
    for begin in range(0, len(told), _ROWS):
        part = told[begin : begin + _ROWS]
        prompts = [t.header(one) for one in part]
        head = len(prompts[0])
        guides = [Grammar(t, "4/4", bars) for _ in part]
        seeds = [(seed, begin + row) for row in range(len(part))]
        rows = sample(
            network,
            prompts,
            guides,
            seeds,
            sampling,
            max_length=bars * 320,
            head=head,
            untold=untold[begin : begin + _ROWS],
        )
        patterns += [t.decode(row.ids[head:], one.bpm or 100.0) for row, one in zip(rows, part, strict=True)]
    return patterns
