"""Drummers without a sound: strokes in seconds and the beats they are played to.

Takes of Groove MIDI and composed ones, at other tempi, steady or bent, with pieces exchanged and left out as songs have
them. `datasets.drum_scenes` gives them a kit and a band, `training.stroke_beats` learns from them as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tutti.datasets import groove_midi
from tutti.datasets.drum_patterns import compose_take
from tutti.datasets.groove_midi import DrumTake
from tutti.errors import TrainingError
from tutti.music.drum_kit import class_of_key, key_of_class

__all__ = ["Drummer", "Performance"]

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Performance:
    """`strokes` are (seconds, General MIDI key, velocity), `beats` (seconds, place in the bar from 1)."""

    strokes: tuple[tuple[float, int, int], ...]
    beats: tuple[tuple[float, int], ...]
    take: DrumTake
    to_seconds: Callable[[float], float]
    """From quarters since the take's first downbeat."""
    first_s: float
    """When the first downbeat is before the tempo bends."""

    @property
    def quarter_s(self) -> float:
        """A quarter's length before the tempo bends."""
        return 60 / self.take.bpm


class Drummer:
    """Plays `duration_s` from the takes of one split of Groove MIDI. Raises TrainingError when there are none.

    `from_the_start` is the share of performances that are heard from their first bar on, up to two seconds of silence
    before it; of the others most begin anywhere.
    """

    def __init__(self, groove_root: Path, duration_s: float, split: str, from_the_start: float = 0.0) -> None:
        self.duration_s, self.from_the_start = duration_s, from_the_start
        takes = [groove_midi.read_take(path) for path in groove_midi.takes(groove_root, split)]
        self.long = [take for take in takes if take.bars >= 4]
        self.fills = [take for take in takes if take.bars < 4]
        if not self.long:
            raise TrainingError(f"No take of the split {split!r} in {groove_root} has four bars or more.")

    def play(self, rng: Rng) -> Performance:
        """One performance."""
        take = self._take(rng)
        to_seconds, first_s = self._clock(take, rng)
        strokes = _rearranged([(to_seconds(at), key, velocity) for at, key, velocity in take.strokes], rng)
        strokes = [stroke for stroke in strokes if 0 <= stroke[0] < self.duration_s - 0.02]
        beats = []
        for number in range(-16, 4000):
            time_s = to_seconds(number * take.beat_quarters)
            if time_s >= self.duration_s:
                break
            if time_s >= 0:
                beats.append((time_s, number % take.beats_per_bar + 1))
        return Performance(tuple(strokes), tuple(beats), take, to_seconds, first_s)

    def _take(self, rng: Rng) -> DrumTake:
        """Something long enough: a composed take, or a stretch of a drummer's, perhaps with fills of another."""
        if rng.random() < 0.5:
            return compose_take(rng, 48)
        take = self.long[rng.integers(len(self.long))]
        bar = take.beats_per_bar * take.beat_quarters
        begin = int(rng.integers(max(1, take.bars - 8)))
        strokes = [(p - begin * bar, k, v) for p, k, v in take.strokes if p >= begin * bar]
        bars = take.bars - begin
        while bars < 48:  # on with the same take or, for a bar, with a fill
            fitting = [fill for fill in self.fills if fill.beats_per_bar == take.beats_per_bar]
            more = fitting[rng.integers(len(fitting))] if fitting and rng.random() < 0.5 else take
            strokes += [(p + bars * bar, k, v) for p, k, v in more.strokes]
            bars += more.bars
        pace = float(np.exp(rng.uniform(-0.3, 0.25)))
        return replace(take, strokes=tuple(strokes), bars=bars, bpm=take.bpm * pace)

    def _clock(self, take: DrumTake, rng: Rng) -> tuple[Callable[[float], float], float]:
        """Quarters → seconds, and when the first downbeat is before the tempo bends."""
        quarter_s = 60 / take.bpm
        bar_s = quarter_s * take.beat_quarters * take.beats_per_bar
        if self.from_the_start and rng.random() < self.from_the_start:
            first_s = float(rng.choice([0.02, rng.uniform(0, 2)]))
        else:
            first_s = float(rng.uniform(-bar_s, 0.5)) if rng.random() < 0.8 else float(rng.uniform(0, 3))
        if rng.random() < 0.55:
            return lambda quarters: first_s + quarters * quarter_s, first_s
        knots_s = np.linspace(-20, self.duration_s + 20, 10)
        bend = np.cumsum(rng.normal(0, rng.uniform(0.005, 0.035), 10))
        grid_s = np.arange(-20, self.duration_s + 20, 0.05)
        bent_s = -20 + np.cumsum(np.exp(np.interp(grid_s, knots_s, bend - bend.mean()))) * 0.05
        bent_s -= np.interp(0.0, grid_s, bent_s)
        return lambda quarters: float(np.interp(first_s + quarters * quarter_s, grid_s, bent_s)), first_s


def _rearranged(strokes: list[tuple[float, int, int]], rng: Rng) -> list[tuple[float, int, int]]:
    """The same drumming with other pieces: so that the rare ones are heard as often as records have them."""
    moves: dict[str, int] = {}
    if rng.random() < 0.3:
        moves["hihat_closed"] = int(rng.choice([46, 51, 51, 51, 53, 49, 57, 52, 44]))
    if rng.random() < 0.15:
        moves["ride"] = int(rng.choice([42, 53, 49]))
    if rng.random() < 0.1:
        moves["snare"] = 37
    if rng.random() < 0.1:
        moves["hihat_open"] = 42
    thin = {"hihat_pedal": 0.6 * rng.random(), "snare": 0.0}
    muted = {name for name in ("hihat_closed", "ride", "crash", "kick", "snare") if rng.random() < 0.06}
    # the drummers' soft pedal on two and four would teach that a snare is a hat as well, and so would hats in all songs
    if rng.random() < 0.6:
        muted.add("hihat_pedal")
    if rng.random() < 0.12:
        muted.update(("hihat_closed", "hihat_open", "hihat_pedal"))
    thin_ghosts = rng.random() < 0.4
    crashes = rng.choice([0.0, 0.03, 0.1])
    changed = []
    for time_s, key, velocity in strokes:
        name = class_of_key(key)
        if name is None or name in muted or rng.random() < thin.get(name, 0.0):
            continue
        if name == "snare" and velocity < 40 and thin_ghosts:
            continue
        key = moves.get(name, key)
        if name == "snare" and rng.random() < 0.04:
            key = key_of_class(str(rng.choice(["tom_high", "tom_mid", "tom_low", "side_stick"])))
        changed.append((time_s, key, velocity))
        if name == "kick" and rng.random() < crashes:
            cymbal = int(rng.choice([49, 49, 57, 55, 52]))
            changed.append((time_s + float(rng.normal(0, 0.004)), cymbal, max(velocity, 75)))
    return changed
