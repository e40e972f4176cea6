"""`python -m benchmarks.transcription`: accuracy and speed beside Basic Pitch, as Markdown on standard output."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import soundfile as sf  # type: ignore[import-untyped]

from benchmarks.transcription import cache
from benchmarks.transcription.conditions import describe
from benchmarks.transcription.folders import DATA, DOCUMENT
from benchmarks.transcription.peer import basic_pitch_python
from benchmarks.transcription.report import SetResult, SystemResult, render_report, replace_section
from benchmarks.transcription.scores import PieceScore, score_piece
from benchmarks.transcription.sets import SETS, EvaluationSet, Piece
from benchmarks.transcription.systems import Measurement, Worker, measure, measure_console

WORKERS = "benchmarks.transcription.workers"
PEER, OURS = "basic-pitch", "tutti"


def main(command_line: Sequence[str] | None = None) -> None:
    arguments = _arguments(command_line)
    if not arguments.data.is_dir():
        sys.exit(f"No evaluation data at {arguments.data}. Name its folder with --data.")
    chosen = [entry for entry in SETS if entry.name in arguments.sets]
    results = [_run_set(entry, _workers(arguments.systems), arguments) for entry in chosen]
    versions = {
        name: number
        for system in results[0].systems.values()
        for name, number in system.measurement.versions.items()
        if name != "numpy"
    }
    text = render_report(results, describe(arguments.threads, versions))
    print(text)
    if arguments.write:
        DOCUMENT.write_text(replace_section(DOCUMENT.read_text(), "comparison", text))


def _arguments(command_line: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transcription", description=__doc__)
    names = [entry.name for entry in SETS]
    parser.add_argument("--sets", nargs="+", choices=names, default=names, help="which evaluation sets (default: all)")
    parser.add_argument("--systems", nargs="+", choices=[PEER, OURS], default=[PEER, OURS], help="default: both")
    parser.add_argument("--threads", type=int, default=2, help="processor threads for either system (default: 2)")
    parser.add_argument("--reuse-peer", action="store_true", help="take the peer's notes from an earlier run if there")
    parser.add_argument("--no-console", action="store_true", help="leave out the installed command's cold processes")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the evaluation data")
    parser.add_argument("--write", action="store_true", help=f"also keep the tables in {DOCUMENT.name}")
    return parser.parse_args(command_line)


def _workers(systems: Sequence[str]) -> dict[str, Worker]:
    """The chosen systems, the peer first."""
    workers = {}
    if PEER in systems:
        workers[PEER] = Worker("Basic Pitch", f"{WORKERS}.basic_pitch", basic_pitch_python(), knows_drums=False)
    if OURS in systems:
        workers[OURS] = Worker("tutti", f"{WORKERS}.tutti_library", Path(sys.executable), knows_drums=True)
    return workers


def _run_set(entry: EvaluationSet, workers: dict[str, Worker], arguments: argparse.Namespace) -> SetResult:
    pieces = entry.pieces(arguments.data)
    audio = [piece.audio for piece in pieces]
    systems = {}
    for key, worker in workers.items():
        print(f"{entry.title}: {worker.name} ...", file=sys.stderr)
        measurement, reused = _measured(key, worker, entry, audio, arguments)
        console_s = measure_console(audio, arguments.threads) if key == OURS and not arguments.no_console else ()
        scores = tuple(_scored(piece, measurement, worker) for piece in pieces)
        systems[worker.name] = SystemResult(scores, measurement, tuple(console_s), reused)
    return SetResult(entry.title, entry.drums, sum(sf.info(path).duration for path in audio), systems)


def _measured(
    key: str, worker: Worker, entry: EvaluationSet, audio: Sequence[Path], arguments: argparse.Namespace
) -> tuple[Measurement, bool]:
    """A measurement and whether it was kept from an earlier run, which only the peer's may be."""
    kept = cache.path_for(key, entry.name, audio)
    if key == PEER and arguments.reuse_peer and kept.is_file():
        return cache.load(kept), True
    measurement = measure(worker, audio, arguments.threads)
    cache.save(kept, measurement)
    return measurement, False


def _scored(piece: Piece, measurement: Measurement, worker: Worker) -> PieceScore:
    return score_piece(piece.name, piece.references, measurement.notes_of(piece.audio), worker.knows_drums)


if __name__ == "__main__":
    main()
