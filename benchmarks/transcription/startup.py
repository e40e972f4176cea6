"""`python -m benchmarks.transcription.startup`: what a cold start, the steady state and a three-hour file cost."""

from __future__ import annotations

import argparse
import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.transcription.conditions import describe
from benchmarks.transcription.folders import DATA, DOCUMENT
from benchmarks.transcription.memory import PeakMemory
from benchmarks.transcription.recording import recording
from benchmarks.transcription.report import MEGABYTE, replace_section, table
from benchmarks.transcription.systems import Worker, measure, thread_environment

TUTTI = Path(sys.executable).with_name("tutti")
SHORT_S, STEADY_S, CUT_S = 30.0, 300.0, 600.0
EDGE_S = 10.0
"""Left out of the comparison at the end of the cut, where the shorter file has nothing more to hear."""


@dataclass(frozen=True)
class Figure:
    name: str
    measured: str
    goal: str
    met: bool | None
    """None where the machine cannot measure it."""


@dataclass(frozen=True)
class LongRun:
    """One run of the installed command on a terminal."""

    wall_s: float
    peak_bytes: int | None
    notes: list[dict[str, Any]]
    progress: int
    """How often something was written to the terminal."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    figures = [*cold_figures(options.threads, options.data), steady_figure(options.threads, options.data)]
    if options.hours > 0:
        figures += long_figures(options.hours, options.threads, options.data)
    text = describe(options.threads, {}) + "\n" + figure_table(figures) + "\n"
    print(text)
    if options.write:
        DOCUMENT.write_text(replace_section(DOCUMENT.read_text(), "startup", text))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transcription.startup", description=__doc__)
    parser.add_argument("--threads", type=int, default=2, help="processor threads (default: 2)")
    parser.add_argument(
        "--hours", type=float, default=3.0, help="length of the long file; 0 leaves it out (default: 3)"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the evaluation data")
    parser.add_argument("--write", action="store_true", help=f"also keep the table in {DOCUMENT.name}")
    return parser.parse_args(arguments)


def cold_figures(threads: int, data: Path) -> list[Figure]:
    """Cold processes: medians after one run that warms the file cache."""
    bare_s = _median_s([sys.executable, "-c", "pass"], threads, 15)
    import_s = _median_s([sys.executable, "-c", "import tutti"], threads, 15) - bare_s
    help_s = _median_s([str(TUTTI), "--help"], threads, 9)
    audio = recording(SHORT_S, data)
    with tempfile.TemporaryDirectory() as folder:
        command = [str(TUTTI), "transcribe", str(audio), "-o", f"{folder}/out.mid", "--device", "cpu", "--quiet"]
        first_s = _median_s(command, threads, 3)
    return [
        Figure("`import tutti`, more than bare Python", f"{1000 * import_s:.0f} ms", "< 150 ms", import_s < 0.15),
        Figure("`tutti --help`", f"{1000 * help_s:.0f} ms", "< 400 ms", help_s < 0.4),
        Figure("first MIDI of a 30 s file, cold process", f"{first_s:.2f} s", "< 5 s", first_s < 5.0),
    ]


def steady_figure(threads: int, data: Path) -> Figure:
    """Library, model loaded, second call on a five-minute file: file to MIDI."""
    worker = Worker("tutti", "benchmarks.transcription.workers.tutti_library", Path(sys.executable), knows_drums=True)
    speed = STEADY_S / measure(worker, [recording(STEADY_S, data)], threads).steady_s
    return Figure("steady speed, file to MIDI, 5 min file", f"{speed:.1f} × real time", ">= 40 ×", speed >= 40.0)


def long_figures(hours: float, threads: int, data: Path) -> list[Figure]:
    """A long file and its first ten minutes, both through the installed command."""
    duration_s = 3600 * hours
    whole = _run_on_terminal(recording(duration_s, data), threads)
    cut = _run_on_terminal(recording(CUT_S, data), threads)
    name = f"{hours:g} h file"
    differing = differing_notes(whole.notes, cut.notes, CUT_S - EDGE_S)
    peak = "not measured here" if whole.peak_bytes is None else f"{whole.peak_bytes / MEGABYTE:.0f} MB"
    peak_met = None if whole.peak_bytes is None else whole.peak_bytes < 1500 * MEGABYTE
    speed = duration_s / whole.wall_s
    return [
        Figure(f"{name}: wall time", f"{whole.wall_s:.0f} s ({speed:.1f} × real time)", "–", None),
        Figure(f"{name}: peak resident memory, decoder included", peak, "< 1500 MB", peak_met),
        Figure(f"{name}: writes of progress to a terminal", str(whole.progress), "> 0", whole.progress > 0),
        Figure(
            f"{name}: notes that differ from those of its first 10 min, out of {len(cut.notes)}",
            str(differing),
            "0",
            differing == 0 and len(cut.notes) > 0,
        ),
    ]


def differing_notes(whole: Sequence[dict[str, Any]], cut: Sequence[dict[str, Any]], until_s: float) -> int:
    """Notes before `until_s` (seconds) that only one of the two has; what they do later is not looked at."""

    def seen(notes: Sequence[dict[str, Any]]) -> set[tuple[Any, ...]]:
        return {
            (n["onset_s"], min(n["offset_s"], until_s), n["pitch"], n["velocity"], n["program"], n["is_drum"])
            for n in notes
            if n["onset_s"] < until_s
        }

    return len(seen(whole) ^ seen(cut))


def figure_table(figures: Sequence[Figure]) -> str:
    words = {True: "yes", False: "**no**", None: "–"}
    return table(["figure", "measured", "goal", "met"], ([f.name, f.measured, f.goal, words[f.met]] for f in figures))


def _median_s(command: Sequence[str], threads: int, times: int) -> float:
    """Median wall time of fresh processes, after one that does not count."""
    seconds = []
    for _ in range(times + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, env=thread_environment(threads), stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def _run_on_terminal(audio: Path, threads: int) -> LongRun:
    """The installed command with a terminal as its standard error, so that it shows its progress."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "notes.json"
        command = [str(TUTTI), "transcribe", str(audio), "-o", str(target), "--device", "cpu"]
        ours, theirs = pty.openpty()
        written: list[bytes] = []
        reader = threading.Thread(target=_drain, args=(ours, written), daemon=True)
        environment = {**thread_environment(threads), "TERM": "xterm"}
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        reader.start()
        with PeakMemory(process) as memory:
            status = process.wait()
        wall_s = time.perf_counter() - started
        reader.join()
        os.close(ours)
        if status != 0:
            sys.exit(f"tutti transcribe failed on {audio.name}:\n{b''.join(written).decode(errors='replace')}")
        return LongRun(wall_s, memory.peak_bytes, json.loads(target.read_text())["notes"], len(written))


def _drain(terminal: int, written: list[bytes]) -> None:
    """Collects what is written to the terminal until its other side is closed."""
    while True:
        try:
            text = os.read(terminal, 65536)
        except OSError:  # Linux reports the closed side as an input/output error
            return
        if not text:
            return
        written.append(text)


if __name__ == "__main__":
    main()
