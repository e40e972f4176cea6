"""Bars of a chart with every hit on the right slot, given true hits and beats: `python -m benchmarks.drums.charts`.

Two truths:

- **Groove MIDI validation.** Players have a click but no score, so slots follow from a rule that knows nothing of the
  quantiser: true ticks, less the median lead of the strokes nearest to beats, two beats either way. A beat is read in
  triplets where thirds fit its hits better than 16ths, and those of the bar as well, and it has both off-beat thirds.
  In a take whose hits thirds fit better it is read so unless 16ths fit clearly better, by half of what lies between a
  third and a quarter: a lone stroke a little behind the third is the shuffle of the beats around it, not a 16th. It is
  read in sextuplets where these fit still better and there are at least four onsets; else in 16ths. It is divided in
  twice as many parts where two strokes on one piece share a part. Strokes that follow each other faster than 32nds are
  one flam or roll. Every hit goes to the nearest part.
- **Scored performances.** The same bars as the rule writes them are performed anew with timing errors that follow one
  another as they do in the training takes (lag-1 correlation .5), with a lead, and some of them with swing. What was to
  be played is then known exactly. They can be made harder: jitter on hits, jitter and drift on beats.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.transcription.folders import DATA
from tutti.capabilities.drums.chart_metrics import BarCheck, check_bars
from tutti.capabilities.drums.quantise import quantise
from tutti.datasets.groove_midi import drums_of
from tutti.music.beats import Beats
from tutti.music.drum_hits import DrumHit, DrumHits
from tutti.music.drum_kit import class_of_key
from tutti.music.midi import read_midi_score
from tutti.music.timing import BeatGrid
from tutti.notation.sheet import Bar, Sheet, Stroke

Floats = NDArray[np.float64]

MIN_BARS = 4
_FLAM_S = 0.045
_CLEAR = 0.3


@dataclass(frozen=True)
class Take:
    """A drummer's take with its click."""

    name: str
    style: str
    is_fill: bool
    hits: DrumHits
    bpm: float
    """Quarter notes a minute."""
    beat_quarters: Fraction
    beats_per_bar: int
    bars: int

    @property
    def beats(self) -> Beats:
        beat_s = 60 / self.bpm * float(self.beat_quarters)
        count = self.bars * self.beats_per_bar + 1
        positions = tuple(row % self.beats_per_bar + 1 for row in range(count))
        grid = BeatGrid(tuple(row * beat_s for row in range(count)), positions)
        return Beats(grid, 1.0, False, "truth", self.beat_quarters)


def groove_takes(data: Path, split: str = "validation") -> Iterator[Take]:
    """All takes of a split."""
    folder = data / "gmd"
    with (folder / "info.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    for row in rows:
        yield read_groove(folder / "midi" / row["midi_filename"], row["id"], row["style"], row["beat_type"] == "fill")


def read_groove(path: Path, name: str, style: str, is_fill: bool) -> Take:
    """One file of Groove MIDI; two strokes on one piece within a millisecond count once."""
    score = read_midi_score(path)
    metre = score.time_signatures[0] if score.time_signatures else None
    numerator, denominator = (metre.numerator, metre.denominator) if metre else (4, 4)
    compound = denominator == 8 and numerator % 3 == 0
    worth = Fraction(3, 2) if compound else Fraction(4, denominator)
    found: dict[tuple[int, str], DrumHit] = {}
    for note in drums_of(path):
        name_of = class_of_key(note.pitch)
        if name_of is not None:
            found.setdefault((round(note.onset_s * 1000), name_of), DrumHit(note.onset_s, name_of, note.velocity))
    hits = DrumHits.of(found.values())
    bpm = score.tempo_map.bpm_at(0.0)
    last = max((hit.time_s for hit in hits), default=0.0) * bpm / 60
    bar_quarters = 4 * numerator / denominator
    bars = max(1, int((last + 0.1) // bar_quarters) + 1)
    return Take(name, style, is_fill, hits, bpm, worth, numerator // 3 if compound else numerator, bars)


def rule_sheet(take: Take) -> Sheet:
    """The take as the rule at the top of this file reads it."""
    return rule_reading(take)[0]


def rule_reading(take: Take) -> tuple[Sheet, frozenset[int]]:
    """The same, and the bars with a stroke that the rule itself is not sure of: further than 0.3 of a part from its
    slot, in a flam or roll, or in a beat that thirds and 16ths fit about as well."""
    beat_s = 60 / take.bpm * float(take.beat_quarters)
    at = np.array([hit.time_s for hit in take.hits]) / beat_s
    at = np.maximum(at - _lead(at), 0.0)
    beat = np.floor(at + 1 / 24).astype(int)  # a hair before the beat is the beat
    straight = (3, 2) if take.beat_quarters == Fraction(3, 2) else (4, 3)
    gain = _distance(at, straight[0]) - _distance(at, straight[1])
    clear = abs(1 / straight[0] - 1 / straight[1]) / 2
    gain = gain * ((np.abs(at - np.round(at)) > 0.1) & (_distance(at, 2) > 0.04))
    folded = _too_fast(take.hits, at, beat_s)
    placed: list[Fraction] = [Fraction(0)] * len(at)
    swung = _mean(gain) > 0
    doubtful: set[int] = set()
    for row, position in enumerate(at):
        own, bar = beat == beat[row], beat // take.beats_per_bar == beat[row] // take.beats_per_bar
        thirds = np.unique(np.round(at[own & (_distance(at, 2) > 0.04)] * 3) % 3)
        group = {1, 2} <= set(thirds)
        fits = gain[own & (gain != 0)]
        better = _mean(fits)
        in_triplets = len(fits) > 0 and (better > -clear if swung else better > 0 and _mean(gain[bar]) > 0 and group)
        parts = straight[1] if in_triplets else straight[0]
        onsets = len(np.unique(np.round(at[own] * 16)))
        if take.beat_quarters != Fraction(3, 2):
            if onsets >= 4 and _mean(_distance(at[own], 6)) * 6 < _mean(_distance(at[own], 4)) * 4 * 0.6:
                parts = 6
        elif parts == 3:
            parts = 6
        rows = [place for place in np.flatnonzero(own) if place not in folded]
        if _shares_a_part(take.hits, at, rows, parts):
            parts *= 2
        placed[row] = Fraction(round(position * parts), parts)
        if abs(position * parts - round(position * parts)) > _CLEAR:
            doubtful.add(int(placed[row] // take.beats_per_bar))
        if len(fits) and abs(better) < clear:
            doubtful.add(int(placed[row] // take.beats_per_bar))
    for row, head in folded.items():
        placed[row] = placed[head]
        doubtful.add(int(placed[row] // take.beats_per_bar))
    return _sheet(take, placed), frozenset(doubtful)


def _too_fast(hits: DrumHits, at: Floats, beat_s: float) -> dict[int, int]:
    """Strokes that follow each other on one piece faster than 32nds need one slot: the last of two (a flam), the first
    of more (a roll; its last has its own where it is nearest to an eighth)."""
    limit = max(_FLAM_S / beat_s, 0.85 / 8)
    folded: dict[int, int] = {}
    for name in {hit.instrument for hit in hits}:
        rows = [row for row, hit in enumerate(hits) if hit.instrument == name]
        chains: list[list[int]] = []
        for row in rows:
            if chains and at[row] - at[chains[-1][-1]] < limit:
                chains[-1].append(row)
            else:
                chains.append([row])
        for chain in chains:
            if len(chain) == 2 and (at[chain[1]] - at[chain[0]]) * beat_s <= _FLAM_S:
                folded[chain[0]] = chain[1]
            elif len(chain) > 2:
                ends = round(at[chain[-1]] * 8) % 4 == 0
                folded |= dict.fromkeys(chain[1:-1] if ends else chain[1:], chain[0])
    return folded


def _lead(at: Floats) -> Floats:
    """How late the strokes nearest to beats are around each stroke (beats): the median over two beats either way."""
    off = at - np.round(at)
    on_beat = np.abs(off) < 1 / 6
    result = np.zeros(len(at))
    for row, position in enumerate(at):
        near = off[on_beat & (np.abs(at - position) <= 2)]
        result[row] = np.median(near) if len(near) else 0.0
    return result


def _distance(at: Floats, parts: int) -> Floats:
    """To the nearest of `parts` parts of a beat (beats)."""
    return np.abs(at - np.round(at * parts) / parts)


def _mean(values: Floats) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _shares_a_part(hits: DrumHits, at: Floats, rows: Sequence[int], parts: int) -> bool:
    places = [(round(at[row] * parts), hits[int(row)].instrument) for row in rows]
    return len(set(places)) < len(places)


def _sheet(take: Take, placed: Sequence[Fraction]) -> Sheet:
    """A sheet of hits at `placed` (beats from the first)."""
    by_bar: dict[int, list[Stroke]] = defaultdict(list)
    for row, (hit, place) in enumerate(zip(take.hits, placed, strict=True)):
        bar = int(place // take.beats_per_bar)
        position = (place - bar * take.beats_per_bar) * take.beat_quarters
        by_bar[bar].append(Stroke(f"r{row}", position, hit.instrument))
    bar_s = 60 / take.bpm * float(take.beat_quarters) * take.beats_per_bar
    metre = (3 * take.beats_per_bar, 8) if take.beat_quarters == Fraction(3, 2) else (take.beats_per_bar, 4)
    bars = [Bar(*metre, tuple(by_bar[bar]), start_s=bar * bar_s) for bar in range(max(by_bar, default=-1) + 1)]
    return Sheet(take.name, tuple(bars))


@dataclass(frozen=True)
class Playing:
    """How a scored performance is played."""

    name: str
    spread_s: float = 0.012
    lead_s: float = -0.01
    long: float = 0.5
    """How long the first of two eighths is, as a share of the two."""
    hit_jitter_s: float = 0.0
    beat_jitter_s: float = 0.0
    drift: float = 0.0
    """How much the tempo wanders (share of it)."""


PLAYINGS = (
    Playing("as Groove MIDI is played"),
    Playing("looser, 15 ms", spread_s=0.015),
    Playing("hits ±10 ms more", hit_jitter_s=0.010),
    Playing("beats ±15 ms", beat_jitter_s=0.015),
    Playing("tempo wanders 6 %", drift=0.06),
    Playing("swung 60 %", long=0.6),
    Playing("swung 67 %", long=2 / 3),
)


def perform(take: Take, playing: Playing, rng: np.random.Generator) -> tuple[Sheet, DrumHits, Beats]:
    """The rule's sheet of `take` played anew. Swung eighths: only beats that hold nothing but the beat and its half
    are swung, as on paper."""
    truth = rule_sheet(take)
    beat_s = 60 / take.bpm * float(take.beat_quarters)
    count = len(truth.bars) * take.beats_per_bar + 2
    tempo = 1 + playing.drift * np.sin(2 * np.pi * np.arange(count) / 37 + rng.uniform(0, 6))
    times_s = 0.1 + np.concatenate([[0.0], np.cumsum(beat_s / tempo)])
    starts = {id(bar): row * take.beats_per_bar for row, bar in enumerate(truth.bars)}
    played: dict[tuple[Fraction, str], tuple[Fraction, int]] = {}
    velocities = {f"r{row}": hit.velocity for row, hit in enumerate(take.hits)}
    for bar in truth.bars:
        for stroke in bar.strokes:
            at = starts[id(bar)] + stroke.position / take.beat_quarters
            played.setdefault((at, stroke.instrument), (at, velocities[stroke.id]))
    halves = {int(at) for at, _ in played} - {int(at) for at, _ in played if at % 1 not in (0, Fraction(1, 2))}
    late_s, before = 0.0, None
    hits, kept = [], defaultdict(list)
    for number, ((at, name), (_, velocity)) in enumerate(sorted(played.items())):
        if at != before:
            late_s = 0.5 * late_s + rng.normal(0, 0.87 * playing.spread_s * 0.9)
            before = at
        beat, into = int(at), float(at % 1)
        swung = playing.long != 0.5 and beat in halves and into == 0.5
        sound = playing.long if swung else into
        error_s = late_s + rng.normal(0, 0.43 * playing.spread_s) + rng.uniform(-1, 1) * playing.hit_jitter_s
        time_s = times_s[beat] + sound * (times_s[beat + 1] - times_s[beat]) + playing.lead_s + error_s
        hits.append(DrumHit(max(0.0, float(time_s)), name, velocity))
        bar = beat // take.beats_per_bar
        slot = Fraction(beat) + Fraction(2, 3) if swung else at
        kept[bar].append(Stroke(f"p{number}", (slot - bar * take.beats_per_bar) * take.beat_quarters, name))
    heard_s = times_s + rng.uniform(-1, 1, len(times_s)) * playing.beat_jitter_s
    grid = BeatGrid(tuple(map(float, heard_s)), tuple(row % take.beats_per_bar + 1 for row in range(len(heard_s))))
    bars = tuple(
        Bar(bar.numerator, bar.denominator, tuple(kept[row]), start_s=float(heard_s[row * take.beats_per_bar]))
        for row, bar in enumerate(truth.bars)
    )
    return Sheet(take.name, bars), DrumHits.of(hits), Beats(grid, 1.0, False, "truth", take.beat_quarters)


def share(checks: Sequence[BarCheck]) -> float:
    return sum(check.right for check in checks) / len(checks) if checks else 1.0


def table(data: Path) -> list[tuple[str, int, int, float]]:
    """(what, takes, bars, share of bars right)."""
    takes = list(groove_takes(data))
    long = [take for take in takes if not take.is_fill and take.bars >= MIN_BARS]
    fills = [take for take in takes if take.is_fill]
    rows = []
    for name, chosen in (("Groove MIDI validation, beats", long), ("Groove MIDI validation, fills", fills)):
        checks, clear = [], []
        for take in chosen:
            truth, doubtful = rule_reading(take)
            own = check_bars(truth, _written(take.hits, take.beats))
            checks += own
            clear += [check for check in own if check.row is not None and check.row not in doubtful]
        rows.append((name, len(chosen), len(checks), share(checks)))
        rows.append((f"{name}, bars the rule is sure of", len(chosen), len(clear), share(clear)))
    for playing in PLAYINGS:
        checks = []
        for number, take in enumerate(long):
            truth, hits, beats = perform(take, playing, np.random.default_rng(number))
            checks += check_bars(truth, _written(hits, beats))
        rows.append((f"Scored: {playing.name}", len(long), len(checks), share(checks)))
    return rows


def _written(hits: DrumHits, beats: Beats) -> Sheet:
    return quantise(hits, beats, repeats="none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=DATA)
    print("| given true hits and beats | takes | bars | bars right |\n|---|---|---|---|")
    for name, takes, bars, right in table(parser.parse_args().data):
        print(f"| {name} | {takes} | {bars} | {100 * right:.1f} % |")


if __name__ == "__main__":
    main()
