"""How the benchmark talks to the process it measures.

The job arrives as a JSON file, the report leaves as one; standard output stays free for whatever the system prints.
Times are seconds of wall clock; `*_at` are seconds since the epoch, so that the parent can count from the start of the
process, interpreter and imports included.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

NoteRow = tuple[float, float, float, int, int, bool]
"""onset_s, offset_s, MIDI pitch, velocity, program, is_drum."""

ToMidi = Callable[[Path, Path], list[NoteRow]]
"""Reads the audio file, writes the MIDI file, returns its notes."""


@dataclass(frozen=True)
class Job:
    audio: list[str]
    """Files to transcribe; the first one is transcribed twice, so that every timed call is a warm one."""
    midi_folder: str
    threads: int


@dataclass(frozen=True)
class FileReport:
    audio: str
    wall_s: float
    notes: list[NoteRow]


@dataclass(frozen=True)
class Report:
    versions: dict[str, str]
    loaded_at: float
    first_midi_at: float
    first_call_s: float
    files: list[FileReport]


@dataclass(frozen=True)
class System:
    """What a worker measures: a loaded transcriber and what it is made of."""

    to_midi: ToMidi
    versions: dict[str, str]


def read_report(path: Path) -> Report:
    document: dict[str, Any] = json.loads(path.read_text())
    return Report(**{**document, "files": read_files(document["files"])})


def read_files(rows: list[dict[str, Any]]) -> list[FileReport]:
    """File reports from their JSON rows."""
    return [FileReport(row["audio"], row["wall_s"], [_note_row(note) for note in row["notes"]]) for row in rows]


def serve(load: Callable[[int], System]) -> None:
    """The whole life of a worker: `python -m … JOB.json REPORT.json`. `load` takes the number of threads."""
    job_path, report_path = (Path(argument) for argument in sys.argv[1:3])
    job = Job(**json.loads(job_path.read_text()))
    system = load(job.threads)
    loaded_at = time.time()
    first = _transcribe(system.to_midi, job.audio[0], job.midi_folder)
    first_midi_at = time.time()
    files = [_transcribe(system.to_midi, audio, job.midi_folder) for audio in job.audio]
    report = Report(system.versions, loaded_at, first_midi_at, first.wall_s, files)
    report_path.write_text(json.dumps(asdict(report)))


def _note_row(values: list[Any]) -> NoteRow:
    onset_s, offset_s, pitch, velocity, program, is_drum = values
    return (onset_s, offset_s, pitch, velocity, program, is_drum)


def _transcribe(to_midi: ToMidi, audio: str, midi_folder: str) -> FileReport:
    source = Path(audio)
    started = time.perf_counter()
    notes = to_midi(source, Path(midi_folder) / f"{source.stem}.mid")
    return FileReport(audio, time.perf_counter() - started, notes)
