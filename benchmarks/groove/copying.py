"""How much was learnt by heart: the longest run of tokens that a generated pattern shares with a training take.

Runs are exact, anywhere in a take, fills included, by a suffix array of all takes. *As played* compares whole tokens;
*as written* only bars, sixteenths and pieces of the kit, without velocities and shifts: training moves and weighs each
take a little anew, so that a take learnt by heart need not come back to the token. Validation windows are what drummers
share with each other by chance and custom. Nearest of all: the largest Jaccard index of what is struck where, over all
windows of the training takes that begin with a bar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.groove.sets import BARS, generated, human, takes
from benchmarks.transcription.report import table
from tutti.capabilities.groove.features import strokes_of
from tutti.capabilities.groove.pattern import Pattern
from tutti.capabilities.groove.tokens import tokenizer
from tutti.music.drum_kit import DRUM_CLASSES

__all__ = ["longest_shared", "nearest_jaccard", "report"]

PATTERNS = 500
_SEED = 11
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Run:
    """What a pattern shares with one training take, without a break."""

    tokens: int
    strokes: int


def tokens_of(pattern: Pattern, *, as_played: bool) -> Ids:
    """Ids of the bars of `pattern`."""
    t = tokenizer()
    ids = np.array([token for bar in t.bar_tokens(pattern) for token in bar], np.int64)
    for kind in () if as_played else ("MicroTiming", "Velocity"):
        first, last = t.span(kind)
        ids = ids[(ids < first) | (ids >= last)]
    return ids


def longest_shared(known: Sequence[Ids], asked: Sequence[Ids]) -> list[Run]:
    """The longest run of each of `asked` that stands in one of `known`."""
    lengths = [len(ids) for ids in (*known, *asked)]
    ends = np.cumsum([length + 1 for length in lengths])
    text = np.concatenate([np.append(ids, len(tokenizer()) + place) for place, ids in enumerate((*known, *asked))])
    ranks = _ranks(text, max(map(len, asked)))
    begin_asked = int(ends[len(known) - 1])
    order = np.argsort(ranks[-1], kind="stable")
    is_known = order < begin_asked
    places = np.arange(len(order))
    before = np.maximum.accumulate(np.where(is_known, places, -1))
    after = np.minimum.accumulate(np.where(is_known, places, len(order))[::-1])[::-1]
    shared = np.zeros(len(text), np.int64)
    other = np.zeros(len(text), np.int64)
    for neighbour in (before, after):
        rows = np.flatnonzero(~is_known & (neighbour >= 0) & (neighbour < len(order)))
        here, there = order[rows], order[neighbour[rows]]
        alike = _alike(ranks, here, there)
        longer = alike > shared[here]
        shared[here[longer]], other[here[longer]] = alike[longer], there[longer]
    first, last = tokenizer().span("PitchDrum")
    runs = []
    for begin, end in zip(ends[len(known) - 1 :], ends[len(known) :] - 1, strict=False):
        at = begin + int(shared[begin:end].argmax())
        found = text[at : at + shared[at]]
        if not np.array_equal(found, text[other[at] : other[at] + shared[at]]):
            raise RuntimeError("a run was found that is none")
        runs.append(Run(len(found), int(((found >= first) & (found < last)).sum())))
    return runs


def _ranks(text: Ids, longest: int) -> list[Ids]:
    """For lengths 1, 2, 4 … to more than `longest`: the rank of what begins at each place; equals have equal ranks."""
    ranks = [np.unique(text, return_inverse=True)[1].astype(np.int64)]
    length = 1
    while length <= longest:
        later = np.zeros_like(ranks[-1])
        later[:-length] = ranks[-1][length:] + 1
        ranks.append(np.unique(ranks[-1] * (len(text) + 1) + later, return_inverse=True)[1].astype(np.int64))
        length *= 2
    return ranks


def _alike(ranks: Sequence[Ids], here: Ids, there: Ids) -> Ids:
    """How many tokens are the same from each of `here` and of `there` on."""
    size = len(ranks[0])
    count = np.zeros(len(here), np.int64)
    for power in reversed(range(len(ranks))):
        a, b = here + count, there + count
        inside = np.maximum(a, b) < size
        same = inside & (ranks[power][np.minimum(a, size - 1)] == ranks[power][np.minimum(b, size - 1)])
        count += same * (1 << power)
    return count


def nearest_jaccard(known: Sequence[Pattern], asked: Sequence[Pattern], bars: int) -> NDArray[np.float64]:
    """(asked,): the share of (bar, sixteenth, piece) that is struck in both, of what is struck in either, with that
    window of `bars` bars of `known` that has most."""
    own = np.stack([_bars_of(pattern)[:bars] for pattern in asked])
    flat = torch.from_numpy(own)
    struck = own.sum(axis=(1, 2))
    best = np.zeros(len(asked))
    for pattern in known:
        theirs = _bars_of(pattern)
        count = len(theirs) - bars + 1
        if count < 1:
            continue
        both = sum(flat[:, bar] @ torch.from_numpy(theirs[bar : bar + count]).T for bar in range(bars)).numpy()
        sums = np.cumsum([0, *theirs.sum(axis=1)])
        either = struck[:, None] + (sums[bars:] - sums[:-bars])[None, :] - both
        best = np.maximum(best, (both / np.maximum(either, 1)).max(axis=1))
    return best


def _bars_of(pattern: Pattern) -> NDArray[np.float32]:
    """(bars, sixteenths x pieces): 1 where something is struck."""
    s = strokes_of(pattern)
    struck = np.zeros((pattern.bars, s.steps * len(DRUM_CLASSES)), np.float32)
    inside = (s.bar >= 0) & (s.bar < pattern.bars)
    struck[s.bar[inside], (s.step * len(DRUM_CLASSES) + s.voice)[inside]] = 1
    return struck


def report(
    threads: int,  # noqa: ARG001 - threads are set by the caller
    model: str = "tutti-groove",
    count: int = PATTERNS,
    bars: int = BARS,
) -> str:
    windows = human("validation", bars)
    rng = np.random.default_rng(_SEED)
    asked = [windows[place].conditions for place in rng.integers(len(windows), size=count).tolist()]
    sets = {
        f"generated ({count})": generated(asked, _SEED, model, bars=bars),
        f"validation windows ({len(windows)})": [window.pattern for window in windows],
    }
    known = [take.pattern for take in takes("train")]
    rows = []
    for title, patterns in sets.items():
        cells = []
        for as_played in (True, False):
            written = partial(tokens_of, as_played=as_played)
            runs = longest_shared([*map(written, known)], [*map(written, patterns)])
            cells += [_middle_and_most([run.tokens for run in runs]), _middle_and_most([run.strokes for run in runs])]
        own = _middle_and_most(np.array([len(tokens_of(pattern, as_played=True)) for pattern in patterns]))
        alike = nearest_jaccard([each for each in known if each.bar_beats == 4], patterns, bars)
        nearest = f"{np.median(alike):.2f} / {np.percentile(alike, 95):.2f} / {alike.max():.2f}"
        rows.append([title, own, *cells, nearest])
    head = ["median / most", "tokens of a pattern", "shared as played, tokens", "strokes"]
    head += ["shared as written, tokens", "strokes", "nearest Jaccard, median / p95 / most"]
    return f"{__doc__}\nPatterns of {bars} bars; {len(known)} training takes.\n\n{table(head, rows)}"


def _middle_and_most(values: Sequence[int] | Ids) -> str:
    return f"{np.median(values):.0f} / {np.max(values)}"
