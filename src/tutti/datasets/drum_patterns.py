"""Composed drumming: plain and less plain grooves in many metres, with fills, crashes and a player's timing.

Groove MIDI is nearly all 4/4, short of crashes, open hi-hats, toms and simple beats; songs are full of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tutti.datasets.groove_midi import DrumTake

__all__ = ["compose_take"]

Rng = np.random.Generator

# (beats in a bar, quarters of a beat, how often)
_METRES = (
    (4, 1.0, 0.72), (3, 1.0, 0.09), (2, 1.0, 0.03), (5, 1.0, 0.03), (6, 1.0, 0.02), (2, 1.5, 0.06), (4, 1.5, 0.05),
)  # fmt: skip
_KEEPERS = (42, 42, 42, 42, 46, 51, 51, 51, 53, 49, 57, 44, 43, 0)
_TOMS = (50, 48, 47, 45, 43, 41)
_ACCENTS = (49, 49, 49, 57, 57, 55, 52)


@dataclass
class _Groove:
    """The choices a drummer makes once and keeps for a while."""

    beats: int
    beat_quarters: float
    parts: int
    """Equal parts of a beat."""
    swing: float
    """Where the off-beat part of a pair lies, as a share of the pair: 0.5 is straight."""
    keeper: int
    keeper_every: int
    kick: list[int]
    snare: list[int]
    snare_key: int
    ghosts: list[int]
    opens: list[int]
    pedals: list[int]


def compose_take(rng: Rng, bars: int) -> DrumTake:
    """`bars` bars of drumming: a groove, varied, with a fill and a crash every few bars and a change now and then."""
    weights = np.array([metre[2] for metre in _METRES])
    beats, beat_quarters, _ = _METRES[rng.choice(len(_METRES), p=weights / weights.sum())]
    bpm = float(np.exp(rng.uniform(np.log(58), np.log(200)))) * beat_quarters
    groove = _groove(rng, beats, beat_quarters, bpm)
    phrase = int(rng.choice([2, 4, 4, 8]))
    crashes, fills = rng.uniform(0, 1), rng.uniform(0, 0.9)
    strokes: list[tuple[float, int, float]] = []
    for bar in range(bars):
        if bar and bar % phrase == 0 and rng.random() < 0.35:
            groove = _groove(rng, beats, beat_quarters, bpm, like=groove)
        begin = bar * beats * beat_quarters
        is_fill = bar % phrase == phrase - 1 and rng.random() < fills
        played = _bar(groove, rng)
        if is_fill:
            start = beats * beat_quarters * float(rng.choice([0, 0.25, 0.5, 0.5, 0.75]))
            played = [stroke for stroke in played if stroke[0] < start or stroke[1] in (36, 44)]
            played += _fill(groove, start, rng)
        if bar % phrase == 0 and rng.random() < crashes:
            played = [stroke for stroke in played if not (stroke[0] < 0.05 and stroke[1] == groove.keeper)]
            played += [(0.0, int(rng.choice(_ACCENTS)), 1.05), (0.0, 36, 1.0)]
        strokes += [(begin + position, key, level) for position, key, level in played]
    return DrumTake(_played(strokes, bpm, rng), bpm, beat_quarters, beats, bars)


def _groove(rng: Rng, beats: int, beat_quarters: float, bpm: float, like: _Groove | None = None) -> _Groove:
    compound = beat_quarters == 1.5
    parts = 6 if compound else int(rng.choice([4, 4, 4, 3])) if like is None else like.parts
    swing = float(rng.choice([0.5, 0.5, 0.5, rng.uniform(0.52, 0.68)])) if like is None else like.swing
    total = beats * parts
    slow = bpm / beat_quarters < 150
    if compound:
        every = int(rng.choice([2, 2, 1, 6]))
    elif parts == 3:
        every = int(rng.choice([1, 3, 3]))
    else:
        every = int(rng.choice([2, 2, 2, 4, 1] if slow else [2, 2, 4, 4]))
    weight = np.array([1.0 if i % parts == 0 else 0.35 if i % max(1, parts // 2) == 0 else 0.12 for i in range(total)])
    style = rng.random()
    if style < 0.12:  # four on the floor
        kick = list(range(0, total, parts))
    else:
        chance = weight * rng.uniform(0.15, 0.75)
        kick = [i for i in range(total) if i == 0 or rng.random() < chance[i]]
    middle = [i * parts for i in (range(1, beats, 2) if beats % 2 == 0 and beats > 2 else range(1, beats))]
    if style > 0.88 and beats == 4:
        middle = [2 * parts]  # half-time
    snare = [i for i in middle if rng.random() < 0.95]
    if rng.random() < 0.25:
        snare += [i for i in range(total) if rng.random() < 0.06]
    kick = [i for i in kick if i not in snare or rng.random() < 0.35]
    free = [i for i in range(total) if i not in snare]
    return _Groove(
        beats,
        beat_quarters,
        parts,
        swing,
        int(rng.choice(_KEEPERS)),
        every,
        kick,
        sorted(set(snare)),
        int(rng.choice([38, 38, 38, 38, 38, 40, 37, 39])),
        [i for i in free if rng.random() < 0.15] if rng.random() < 0.3 else [],
        [i for i in range(total) if i % parts and rng.random() < 0.12] if rng.random() < 0.35 else [],
        [i * parts for i in range(1, beats, 2)] if rng.random() < 0.25 else [],
    )


def _bar(groove: _Groove, rng: Rng) -> list[tuple[float, int, float]]:
    """(quarters from the bar line, key, level about 1) of one bar."""
    played: list[tuple[int, int, float]] = []
    total = groove.beats * groove.parts
    swap = rng.random() < 0.2
    for part in groove.kick:
        if not (swap and part and rng.random() < 0.3):
            played.append((part, 36, 0.95 if part % groove.parts == 0 else 0.85))
    if swap and rng.random() < 0.5:
        played.append((int(rng.integers(total)), 36, 0.8))
    played += [(part, groove.snare_key, 1.0) for part in groove.snare]
    played += [(part, 38, 0.3) for part in groove.ghosts if rng.random() < 0.8]
    played += [(part, 44, 0.6) for part in groove.pedals if groove.keeper not in (42, 46)]
    if groove.keeper:
        for part in range(0, total, groove.keeper_every):
            on_beat = part % groove.parts == 0
            key = 46 if groove.keeper == 42 and part in groove.opens else groove.keeper
            if rng.random() < 0.97:
                played.append((part, key, 0.85 if on_beat else 0.62))
    step = groove.beat_quarters / groove.parts
    return [(_swung(part, groove) * step, key, level) for part, key, level in played]


def _swung(part: int, groove: _Groove) -> float:
    if groove.parts != 4 or groove.swing == 0.5:
        return float(part)
    pair = 2 if groove.keeper_every == 1 else 4  # 16ths swing under a 16th pulse, else eighths do
    into, half = part % pair, pair / 2
    share = into / half * groove.swing if into < half else groove.swing + (into / half - 1) * (1 - groove.swing)
    return part - into + share * pair


def _fill(groove: _Groove, start: float, rng: Rng) -> list[tuple[float, int, float]]:
    """Strokes around the kit from `start` (quarters) to the bar line."""
    end = groove.beats * groove.beat_quarters
    step = groove.beat_quarters / float(rng.choice([2, 4, 4, 3, 6] if groove.beat_quarters == 1.0 else [3, 6]))
    drums = [38, *(_TOMS if rng.random() < 0.7 else rng.choice(_TOMS, 2))]
    place, strokes = 0.0, []
    stay = int(rng.choice([1, 2, 3, 4, 4, 8]))
    for number, position in enumerate(np.arange(start, end - 1e-6, step)):
        place += number % stay == 0 and number > 0
        drum = int(drums[min(int(place), len(drums) - 1)]) if rng.random() < 0.8 else int(rng.choice(drums))
        if rng.random() < 0.9:
            strokes.append((float(position), drum, float(rng.uniform(0.7, 1.1))))
        if rng.random() < 0.1:
            strokes.append((float(position), 36, 0.9))
    return strokes


def _played(strokes: list[tuple[float, int, float]], bpm: float, rng: Rng) -> tuple[tuple[float, int, int], ...]:
    """With a player's timing, whose errors follow one another, and a player's strength; or a machine's, exact."""
    machine = rng.random() < 0.25
    spread_s = 0.0 if machine else rng.uniform(0.003, 0.014)
    loudness, unevenness = rng.uniform(70, 118), 0.02 if machine else rng.uniform(0.04, 0.14)
    late, played = 0.0, []
    for position, key, level in sorted(strokes):
        late = 0.5 * late + rng.normal(0, 0.87 * spread_s)
        velocity = int(np.clip(loudness * level * (1 + rng.normal(0, unevenness)), 4, 127))
        played.append((max(0.0, position + (late + rng.normal(0, 0.3 * spread_s)) * bpm / 60), key, velocity))
    return tuple(sorted(played))
