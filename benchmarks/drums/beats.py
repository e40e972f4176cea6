"""Beats, downbeats and tempo on MDB Drums, drum tracks and mixes.

mir_eval's F-measure (70 ms). Its usual evaluation leaves out the first 5 s on both sides; songs here last 13 to 37 s,
so both are given. The tempo is right when the median interval is within 4 % of the annotation's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mir_eval
import numpy as np
from numpy.typing import NDArray

from benchmarks.drums.references import mdb_tracks
from benchmarks.drums.systems import OUR_BEATS, BeatSystem
from benchmarks.transcription.report import NOTHING, table
from benchmarks.transcription.startup import Figure, figure_table
from tutti.music.timing import BeatGrid

SETS = {"MDB drum tracks (6)": "stems", "MDB mixes (6)": "mixes"}
GOALS = {"MDB drum tracks (6)": 0.967, "MDB mixes (6)": 0.95}
DOWNBEAT_GOAL = 0.80
TEMPO_TOLERANCE = 0.04


@dataclass(frozen=True)
class BeatScore:
    """One recording; whole, and after the first 5 s."""

    recording: str
    beat_f1: float
    trimmed_beat_f1: float
    downbeat_f1: float | None
    trimmed_downbeat_f1: float | None
    true_bpm: float
    bpm: float | None

    @property
    def tempo_is_right(self) -> bool:
        return self.bpm is not None and abs(self.bpm / self.true_bpm - 1) <= TEMPO_TOLERANCE


def score(recording: str, truth: BeatGrid, heard: BeatGrid, knows_bars: bool) -> BeatScore:
    return BeatScore(
        recording,
        f_measure(truth.times_s, heard.times_s),
        f_measure(truth.times_s, heard.times_s, trimmed=True),
        f_measure(truth.downbeats_s, heard.downbeats_s) if knows_bars else None,
        f_measure(truth.downbeats_s, heard.downbeats_s, trimmed=True) if knows_bars else None,
        truth.bpm,
        heard.bpm if len(heard) > 1 else None,
    )


def f_measure(true_s: Sequence[float], heard_s: Sequence[float], *, trimmed: bool = False) -> float:
    """mir_eval's; 0 where nothing was heard."""
    both: list[NDArray[np.float64]] = [np.array(times, np.float64) for times in (true_s, heard_s)]
    if trimmed:
        both = [mir_eval.beat.trim_beats(times) for times in both]
    return float(mir_eval.beat.f_measure(*both)) if all(map(len, both)) else 0.0


def measure(systems: Sequence[BeatSystem], data: Path) -> dict[str, dict[str, list[BeatScore]]]:
    """Set → system → tracks."""
    tracks = mdb_tracks(data)
    return {
        title: {
            system.name: [
                score(track.name, track.beats, system.hear(track.audio(of)).grid, system.knows_bars) for track in tracks
            ]
            for system in systems
        }
        for title, of in SETS.items()
    }


def report(systems: Sequence[BeatSystem], data: Path) -> str:
    return render(measure(systems, data))


def render(sets: Mapping[str, Mapping[str, Sequence[BeatScore]]]) -> str:
    parts = []
    if all(OUR_BEATS in systems for systems in sets.values()):
        parts += [figure_table(list(goals(sets))), ""]
    header = ["set", "system", "beat F1", "beat F1 from 5 s", "downbeat F1", "downbeat F1 from 5 s", "tempo right"]
    rows = [
        [
            title,
            name,
            mean([one.beat_f1 for one in scores]),
            mean([one.trimmed_beat_f1 for one in scores]),
            mean([one.downbeat_f1 for one in scores]),
            mean([one.trimmed_downbeat_f1 for one in scores]),
            f"{sum(one.tempo_is_right for one in scores)} of {len(scores)}",
        ]
        for title, systems in sets.items()
        for name, scores in systems.items()
    ]
    parts += [table(header, rows), "\nMeans over tracks.\n"]
    header = ["set", "track", "true bpm", "system", "bpm", "beat F1", "downbeat F1"]
    each = [
        [
            title,
            one.recording,
            f"{one.true_bpm:.1f}",
            name,
            NOTHING if one.bpm is None else f"{one.bpm:.1f}",
            f"{one.beat_f1:.3f}",
            mean([one.downbeat_f1]),
        ]
        for title, systems in sets.items()
        for name, scores in systems.items()
        for one in scores
    ]
    return "\n".join([*parts, table(header, each), "\nUntrimmed.\n"])


def goals(sets: Mapping[str, Mapping[str, Sequence[BeatScore]]]) -> Iterable[Figure]:
    """Untrimmed."""
    for title, systems in sets.items():
        scores = systems[OUR_BEATS]
        beat = float(np.mean([one.beat_f1 for one in scores]))
        downbeat = float(np.mean([one.downbeat_f1 or 0.0 for one in scores]))
        right = sum(one.tempo_is_right for one in scores)
        yield Figure(f"{title}, beat F1", f"{beat:.3f}", f">= {GOALS[title]}", beat >= GOALS[title])
        yield Figure(f"{title}, downbeat F1", f"{downbeat:.3f}", f">= {DOWNBEAT_GOAL:.2f}", downbeat >= DOWNBEAT_GOAL)
        yield Figure(f"{title}, tempo within 4 %", f"{right} of {len(scores)}", "all", right == len(scores))


def mean(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.3f}" if known else NOTHING
