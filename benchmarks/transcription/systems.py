"""Running a system over files in a process of its own, timed from the start of that process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.transcription.folders import REPOSITORY
from benchmarks.transcription.memory import PeakMemory
from benchmarks.transcription.workers.protocol import FileReport, Job, NoteRow, Report, read_report
from tutti.music.notes import Note, Notes

SHORTEST_NOTE_S = 0.001


@dataclass(frozen=True)
class Worker:
    """A system that can be measured as a library."""

    name: str
    module: str
    python: Path
    knows_drums: bool


@dataclass(frozen=True)
class Measurement:
    """What a worker did with a set of files."""

    files: tuple[FileReport, ...]
    versions: dict[str, str]
    load_s: float
    """From the start of the process to a loaded model."""
    first_call_s: float
    first_midi_s: float
    """From the start of the process to the first MIDI file."""
    peak_bytes: int | None

    @property
    def steady_s(self) -> float:
        """Wall time of all files, file to MIDI, after the first call."""
        return sum(file.wall_s for file in self.files)

    def notes_of(self, audio: Path) -> Notes:
        return next(to_notes(file.notes) for file in self.files if file.audio == str(audio))


def thread_environment(threads: int) -> dict[str, str]:
    """This process's environment with every thread pool held to `threads`."""
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(pools, str(threads))}


def measure(worker: Worker, audio: Sequence[Path], threads: int) -> Measurement:
    """`audio` through `worker` in one fresh process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job_path, report_path = folder / "job.json", folder / "report.json"
        job_path.write_text(json.dumps(asdict(Job([str(path) for path in audio], name, threads))))
        command = [str(worker.python), "-W", "ignore", "-m", worker.module, str(job_path), str(report_path)]
        started_at = time.time()
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=thread_environment(threads), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        with PeakMemory(process) as memory:
            _, complaints = process.communicate()
        if process.returncode != 0:
            sys.exit(f"{worker.name} failed:\n{complaints.decode(errors='replace')}")
        return to_measurement(read_report(report_path), started_at, memory.peak_bytes)


def to_measurement(report: Report, started_at: float, peak_bytes: int | None) -> Measurement:
    return Measurement(
        files=tuple(report.files),
        versions=report.versions,
        load_s=report.loaded_at - started_at,
        first_call_s=report.first_call_s,
        first_midi_s=report.first_midi_at - started_at,
        peak_bytes=peak_bytes,
    )


def measure_console(audio: Sequence[Path], threads: int) -> list[float]:
    """Seconds that the installed `tutti transcribe` takes for each file, a cold process every time."""
    script = Path(sys.executable).with_name("tutti")
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for path in audio:
            command = [
                str(script),
                "transcribe",
                str(path),
                "-o",
                f"{folder}/{path.stem}.mid",
                "--device",
                "cpu",
                "--quiet",
            ]
            started = time.perf_counter()
            subprocess.run(command, check=True, env=thread_environment(threads), stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - started)
    return seconds


def to_notes(rows: Sequence[NoteRow]) -> Notes:
    """Rows of a worker as notes; an offset not after its onset is moved there, which mir_eval needs too."""
    return Notes.of(_note(*row) for row in rows)


def _note(onset_s: float, offset_s: float, pitch: float, velocity: int, program: int, is_drum: bool) -> Note:
    start_s = max(0.0, onset_s)
    return Note(start_s, max(offset_s, start_s + SHORTEST_NOTE_S), round(pitch), velocity, program, is_drum)
