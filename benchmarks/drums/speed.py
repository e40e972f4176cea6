"""How long a four-minute song takes: from nothing to its PDF, its hits alone, and a corrected chart.

The song is the mixes of MDB Drums one after the other, over and over.
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import torch

from benchmarks.drums.references import mdb_tracks
from benchmarks.drums.systems import OURS, HitSystem
from benchmarks.transcription.folders import CACHE
from benchmarks.transcription.memory import PeakMemory
from benchmarks.transcription.report import MEGABYTE, table
from benchmarks.transcription.startup import TUTTI, Figure, figure_table
from benchmarks.transcription.systems import thread_environment
from tutti.capabilities.drums.chart_file import read_chart
from tutti.capabilities.drums.corrections import read_corrections

SONG_S = 240.0
RATE_HZ = 44_100
TIMES = 3
EDIT = 'title = "Corrected"\ndrop = ["h0"]\n\n[change.h1]\ninstrument = "crash"\n'


@dataclass(frozen=True)
class Run:
    wall_s: float
    peak_bytes: int | None


@dataclass(frozen=True)
class Edit:
    """Seconds from a chart and its corrections to a PDF."""

    cold_s: float
    running_s: float


@dataclass(frozen=True)
class Speeds:
    """Of one song of `song_s`; None where tutti's own models are not there."""

    song_s: float
    to_pdf: Run | None
    edit: Edit | None
    hits_s: dict[str, float]
    """By system: file to hits, the model loaded."""


def song(data: Path, duration_s: float = SONG_S) -> Path:
    """A stereo 16-bit FLAC, kept in the cache."""
    target = CACHE / "recordings" / f"drums-{duration_s:.0f}s.flac"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        left = round(duration_s * RATE_HZ)
        unfinished = target.with_suffix(".part")
        with sf.SoundFile(unfinished, "w", RATE_HZ, 2, "PCM_16", format="FLAC") as file:
            for track in itertools.cycle(mdb_tracks(data)):
                block = sf.read(track.mix, dtype="float32", always_2d=True)[0][:left]
                file.write(np.repeat(block, 2, axis=1) if block.shape[1] == 1 else block)
                left -= len(block)
                if left <= 0:
                    break
        unfinished.replace(target)
    return target


def measure(systems: Sequence[HitSystem], data: Path, threads: int) -> Speeds:
    torch.set_num_threads(threads)
    audio = song(data)
    hits_s = {system.name: median_s(lambda system=system: system.hear(audio)) for system in systems}
    if OURS not in hits_s:
        return Speeds(SONG_S, None, None, hits_s)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chart, edit, pdf = folder / "song.json", folder / "fix.toml", folder / "song.pdf"
        listen = ["--stems", "none", "--device", "cpu", "--quiet"]
        run(["drums", str(audio), "-o", str(chart), *listen], threads)  # also warms the file cache
        edit.write_text(EDIT)
        runs = [run(["drums", str(audio), "-f", "pdf", "-o", str(pdf), *listen], threads) for _ in range(TIMES)]
        command = ["drums", str(chart), "--edit", str(edit), "-f", "pdf", "-o", str(pdf), "--quiet"]
        run(command, threads)  # compiles what an installed package has compiled
        cold_s = statistics.median(run(command, threads).wall_s for _ in range(TIMES))
        corrections, number = read_corrections(edit), itertools.count()

        def correct() -> None:
            new = corrections.model_copy(update={"title": f"Corrected {next(number)}"})  # what is printed last is kept
            read_chart(chart, new).save(pdf)

        edited = Edit(cold_s, median_s(correct))
    whole = sorted(runs, key=lambda each: each.wall_s)[TIMES // 2]
    peaks = [each.peak_bytes for each in runs if each.peak_bytes is not None]
    return Speeds(SONG_S, Run(whole.wall_s, max(peaks, default=None)), edited, hits_s)


def run(arguments: Sequence[str], threads: int) -> Run:
    """The installed command in a cold process. Exits where it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(TUTTI), *arguments], env=_environment(threads), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    with PeakMemory(process) as memory:
        _, complaints = process.communicate()
    if process.returncode != 0:
        sys.exit(f"tutti {' '.join(arguments)} failed:\n{complaints.decode(errors='replace')}")
    return Run(time.perf_counter() - started, memory.peak_bytes)


def _environment(threads: int) -> dict[str, str]:
    """Modules may be compiled once, as they are where a package is installed."""
    return {name: value for name, value in thread_environment(threads).items() if name != "PYTHONDONTWRITEBYTECODE"}


def median_s(work: Callable[[], object]) -> float:
    """Of TIMES runs, after one that does not count."""
    seconds = []
    for _ in range(TIMES + 1):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def report(systems: Sequence[HitSystem], data: Path, threads: int) -> str:
    return render(measure(systems, data, threads))


def render(speeds: Speeds) -> str:
    parts = []
    if OURS in speeds.hits_s:
        parts += [figure_table(list(goals(speeds))), ""]
    rows = [[name, f"{wall_s:.2f}", f"{speeds.song_s / wall_s:.0f}"] for name, wall_s in speeds.hits_s.items()]
    title = f"hits of a {speeds.song_s / 60:g} min song, file to hits, model loaded"
    return "\n".join([*parts, table([title, "s", "× real time"], rows), ""])


def goals(speeds: Speeds) -> list[Figure]:
    found = []
    name = f"{speeds.song_s / 60:g} min song to PDF, cold process"
    if speeds.to_pdf is not None:
        wall_s, peak = speeds.to_pdf.wall_s, speeds.to_pdf.peak_bytes
        shown = f"{wall_s:.1f} s ({speeds.song_s / wall_s:.0f} × real time)"
        found.append(Figure(name, shown, "<= 10 s", wall_s <= 10))
        shown = "not measured here" if peak is None else f"{peak / MEGABYTE:.0f} MB"
        met = None if peak is None else peak < 1000 * MEGABYTE
        found.append(Figure(f"{name}: peak memory, decoder included", shown, "< 1000 MB", met))
    if speeds.edit is not None:
        for where, edit_s in (("a running process", speeds.edit.running_s), ("cold process", speeds.edit.cold_s)):
            found.append(Figure(f"its chart corrected, to PDF, {where}", f"{edit_s:.2f} s", "< 1 s", edit_s < 1))
    own = speeds.song_s / speeds.hits_s[OURS]
    found.append(Figure("hits alone, model loaded", f"{own:.0f} × real time", ">= 60 ×", own >= 60))
    return found
