"""Hits: every system on the same files in one run, pooled over tracks and track by track."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mir_eval
import numpy as np
from numpy.typing import NDArray

from benchmarks.drums.references import AS_SNARE, FOLDINGS, Folding, Track, mdb_tracks
from benchmarks.drums.rendered import RenderedTake, musescore_kits, rendered_takes, sampled_takes, unheard_kits
from benchmarks.drums.systems import OURS, PEER, HitSystem
from benchmarks.transcription.report import NOTHING, table
from benchmarks.transcription.startup import Figure, figure_table
from tutti.capabilities.drums.decode import FAMILIES
from tutti.capabilities.drums.metrics import (
    WINDOWS_S,
    Counts,
    correlation,
    count,
    family_of,
    matched_velocities,
    pooled,
    summed,
)
from tutti.music.drum_hits import DrumHits
from tutti.music.drum_kit import DRUM_CLASSES

Floats = NDArray[np.float64]

STEMS, OFFICIAL, SUMMED = "MDB drum tracks (6)", "MDB official mixes (2)", "MDB summed mixes (4)"
UNHEARD = "Groove MIDI, kits training never hears"
MUSESCORE = "Groove MIDI, MuseScore General"


@dataclass(frozen=True)
class Scored:
    """One recording heard by one system."""

    recording: str
    families: Mapping[float, Mapping[str, Counts]]
    """By window (s)."""
    pieces: Mapping[str, Counts]
    """At 50 ms."""
    lags_s: Floats
    """Heard less true onset of every match at 50 ms."""
    velocities: Floats
    """(matches, 2): true, heard."""


Scores = Mapping[str, Sequence[Scored]]
"""By system, in the order of the columns."""


def score(recording: str, truth: DrumHits, heard: DrumHits) -> Scored:
    return Scored(
        recording,
        {window_s: count(truth, heard, window_s) for window_s in WINDOWS_S},
        count(truth, heard, WINDOWS_S[0], pieces=True),
        lags(truth, heard),
        matched_velocities(truth, heard),
    )


def lags(truth: DrumHits, heard: DrumHits) -> Floats:
    """Heard less true time (s) of the hits that match at 50 ms within their family."""
    found: list[float] = []
    for family in FAMILIES:
        own = [[hit for hit in hits if family_of(hit.instrument) == family] for hits in (truth, heard)]
        times = [np.array([hit.time_s for hit in hits]) for hits in own]
        if len(times[0]) and len(times[1]):
            found += [times[1][b] - times[0][a] for a, b in mir_eval.util.match_events(*times, WINDOWS_S[0])]
    return np.array(found, np.float64)


def together(scored: Iterable[Scored], window_s: float = WINDOWS_S[0]) -> Counts:
    """Five families and all recordings in one."""
    return pooled(one.families[window_s] for one in scored)


def pieces_f1(scored: Iterable[Scored]) -> float:
    return pooled(one.pieces for one in scored).f1


def velocity_r(scored: Iterable[Scored]) -> float | None:
    return correlation(np.concatenate([np.zeros((0, 2)), *(one.velocities for one in scored)]))


def measure_mdb(systems: Sequence[HitSystem], data: Path, folding: Folding) -> dict[str, Scores]:
    """Sets of MDB Drums → system → tracks."""
    tracks = mdb_tracks(data)
    sets: dict[str, tuple[str, list[Track]]] = {
        STEMS: ("stems", tracks),
        OFFICIAL: ("mixes", [track for track in tracks if track.is_official]),
        SUMMED: ("mixes", [track for track in tracks if not track.is_official]),
    }
    return {
        title: {
            system.name: [
                score(track.name, track.truth[folding], folding.of(system.hear(track.audio(of)))) for track in members
            ]
            for system in systems
        }
        for title, (of, members) in sets.items()
    }


def measure_rendered(systems: Sequence[HitSystem], takes: Sequence[RenderedTake]) -> Scores:
    return {
        system.name: [score(f"{one.take.name}, {one.kit}", one.take.hits, system.hear(one.audio)) for one in takes]
        for system in systems
    }


def report(systems: Sequence[HitSystem], data: Path) -> str:
    """Everything between the markers."""
    systems = [system.remembering() for system in systems]
    folded = {folding: measure_mdb(systems, data, folding) for folding in FOLDINGS}
    takes = sampled_takes(data)
    rendered = {
        UNHEARD: measure_rendered(systems, rendered_takes(takes, unheard_kits())),
        MUSESCORE: measure_rendered(systems, rendered_takes(takes, musescore_kits())),
    }
    return render(folded, rendered, {system.name: system.instruments for system in systems})


def render(
    folded: Mapping[Folding, Mapping[str, Scores]], rendered: Mapping[str, Scores], instruments: Mapping[str, int]
) -> str:
    parts: list[str] = []
    main = folded[AS_SNARE]
    if OURS in instruments:
        figures = [*(figure for one in folded.items() for figure in mdb_goals(*one)), *rendered_goals(rendered)]
        parts += ["### Goals\n", figure_table(figures), ""]
    for folding, sets in folded.items():
        parts += [f"### MDB Drums, {folding.name}\n", pooled_table(sets), ""]
    parts += [f"### Families, {AS_SNARE.name}\n", family_table(main), "\nF1 (precision / recall) at 50 ms.\n"]
    parts += [f"### Track by track, {AS_SNARE.name}\n", track_table(main), "\nPooled F1 of five families at 50 ms.\n"]
    parts += ["### Groove MIDI, rendered\n", rendered_table(rendered, instruments), ""]
    parts += ["### Families, rendered\n", family_table(rendered), ""]
    if OURS in instruments:
        parts += [f"### Pieces by {OURS}, rendered\n", piece_table({t: s[OURS] for t, s in rendered.items()}), ""]
    return "\n".join(parts)


def mdb_goals(folding: Folding, sets: Mapping[str, Scores]) -> Iterable[Figure]:
    """Beside the peers as measured in this run."""
    for set_title, scores in sets.items():
        title = f"{set_title}, {folding.name}"
        ours = together(scores[OURS]).f1
        if PEER in scores:
            peer = together(scores[PEER]).f1
            yield Figure(f"{title}, F1 50 ms", f"{ours:.3f}", f"> {peer:.3f} ({PEER})", ours > peer)
        worst = min(together([one]).f1 for one in scores[OURS])
        yield Figure(f"{title}, worst track", f"{worst:.3f}", ">= 0.75", worst >= 0.75)
    for name, scored in sets[STEMS].items():
        if name.startswith("annoteator"):
            gain = together(sets[STEMS][OURS]).f1 - together(scored).f1
            yield Figure(f"{STEMS}, {folding.name}, above {name}", f"{gain:+.3f}", ">= +0.3", gain >= 0.3)


def rendered_goals(rendered: Mapping[str, Scores]) -> Iterable[Figure]:
    for title, scores in rendered.items():
        families, pieces, r = together(scores[OURS]).f1, pieces_f1(scores[OURS]), velocity_r(scores[OURS])
        yield Figure(f"{title}, 5 classes", f"{families:.3f}", ">= 0.95", families >= 0.95)
        yield Figure(f"{title}, {len(DRUM_CLASSES)} classes", f"{pieces:.3f}", ">= 0.85", pieces >= 0.85)
        yield Figure(f"{title}, velocity r", _number(r), ">= 0.8", r is not None and r >= 0.8)


def pooled_table(sets: Mapping[str, Scores]) -> str:
    header = ["set", "system", "F1 50 ms", "F1 20 ms", "precision", "recall", "worst track", "offset ms"]
    rows = []
    for title, scores in sets.items():
        for name, scored in scores.items():
            counts = together(scored)
            rows.append(
                [
                    title,
                    name,
                    f"{counts.f1:.3f}",
                    f"{together(scored, WINDOWS_S[1]).f1:.3f}",
                    f"{counts.precision:.3f}",
                    f"{counts.recall:.3f}",
                    f"{min(together([one]).f1 for one in scored):.3f}",
                    _offset(scored),
                ]
            )
    return table(header, rows)


def family_table(sets: Mapping[str, Scores]) -> str:
    rows = []
    for title, scores in sets.items():
        for name, scored in scores.items():
            counts = summed(one.families[WINDOWS_S[0]] for one in scored)
            rows.append([title, name, *(_prf(counts[family]) for family in FAMILIES)])
    return table(["set", "system", *FAMILIES], rows)


def track_table(sets: Mapping[str, Scores]) -> str:
    names = list(next(iter(sets.values())))
    rows = [
        [title, scored[0].recording, *(f"{together([one]).f1:.3f}" for one in scored)]
        for title, scores in sets.items()
        for scored in zip(*(scores[name] for name in names), strict=True)
    ]
    return table(["set", "track", *names], rows)


def rendered_table(sets: Mapping[str, Scores], instruments: Mapping[str, int]) -> str:
    """All pieces only for what tells them apart."""
    header = ["set", "system", "5 classes, 50 ms", "5 classes, 20 ms", "14 classes, 50 ms", "velocity r", "offset ms"]
    rows = [
        [
            title,
            name,
            f"{together(scored).f1:.3f}",
            f"{together(scored, WINDOWS_S[1]).f1:.3f}",
            f"{pieces_f1(scored):.3f}" if instruments[name] == len(DRUM_CLASSES) else NOTHING,
            _number(velocity_r(scored)),
            _offset(scored),
        ]
        for title, scores in sets.items()
        for name, scored in scores.items()
    ]
    return table(header, rows)


def piece_table(sets: Mapping[str, Sequence[Scored]]) -> str:
    counts = {title: summed(one.pieces for one in scored) for title, scored in sets.items()}
    rows = [
        [piece, *(f"{_prf(own[piece])}, {own[piece].true} true" for own in counts.values())] for piece in DRUM_CLASSES
    ]
    return table(["piece", *counts], rows)


def _prf(counts: Counts) -> str:
    if not (counts.true or counts.given):
        return NOTHING
    return f"{counts.f1:.3f} ({counts.precision:.2f} / {counts.recall:.2f})"


def _offset(scored: Iterable[Scored]) -> str:
    found = np.concatenate([np.zeros(0), *(one.lags_s for one in scored)])
    return f"{1000 * float(np.median(found)):+.0f}" if len(found) else NOTHING


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"
