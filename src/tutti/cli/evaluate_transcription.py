"""`tutti evaluate transcription`: notes against the notes there are."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutti.errors import InputError, InputNotFoundError, MidiError, UsageError, printable

if TYPE_CHECKING:
    from tutti.music.notes import Notes

__all__ = ["transcription"]

_COLUMNS = {
    "onset": "onset_f1",
    "on+off": "onset_offset_f1",
    "frame": "frame_f1",
    "drums": "drum_key_onset_f1",
    "flat": "multi_flat_f1",
    "class": "multi_class_f1",
    "full": "multi_full_f1",
    "on class": "multi_onset_class_f1",
    "notes": "note_ratio",
}
"""What is printed of each file's scores."""

_ROWS = {
    "onset": "onset",
    "onset+offset": "onset_offset",
    "onset+velocity": "onset_velocity",
    "onset+offset+velocity": "onset_offset_velocity",
    "frame": "frame",
    "drum onset, by key": "drum_key_onset",
    "drum onset, any drum": "drum_onset",
    **{f"onset+offset+program, {name}": f"multi_{name}" for name in ("flat", "class", "full")},
    **{f"the same without drums, {name}": f"multi_pitched_{name}" for name in ("flat", "class", "full")},
    **{f"onset+program, {name}": f"multi_onset_{name}" for name in ("flat", "class", "full")},
}
"""What is printed of their means."""

_WIDTH = 100
_LEAST_FILES = 5
"""Fewer say nothing about others like them."""

_CONVENTIONS = {
    "matching": "onsets within 50 ms, offsets within 50 ms or 20 % of the reference note, the same MIDI pitch; "
    "mir_eval's largest matching",
    "drums": "left out of onset, on+off and frame; by General MIDI key and onset alone elsewhere",
    "frame": "62.5 frames a second, notes of at least 50 ms, reference cells above velocity 30",
    "instruments": "flat, class and full: onset+offset+program F1 with all programs as one, by General MIDI class of "
    "eight, each by itself; 'on class' is onset+program by class. Precision weighted by notes given, recall by notes "
    "there are",
    "mean": "over files (macro), of those that have the score; the interval is a bootstrap over files",
}


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two files to hold against each other."""

    name: str
    reference: Path | None
    estimate: Path | None


def transcription(
    reference: Annotated[
        Path, typer.Argument(metavar="REF", help="The notes there are: MIDI, tutti's JSON, or a folder of such files.")
    ],
    estimate: Annotated[
        Path,
        typer.Argument(
            metavar="EST",
            help="The notes given: a file, or where REF is a folder, a folder with files of the same names; their "
            "suffixes may differ, and of several the JSON is taken.",
        ),
    ],
    *,
    pedal: Annotated[
        bool,
        typer.Option(
            help="Let notes ring on while the sustain pedal is down, as the MT3 paper does, or end where they are let "
            "go."
        ),
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON per file on standard output, and one for all.")
    ] = False,
) -> None:
    """Measure how right notes are, as the MT3 paper does.

    A line for each file holds F1 scores of onsets, onsets with offsets, frames, drums, and of everything with its
    instrument, told apart not at all (flat), by General MIDI class, or fully; 'notes' is how many were given for each
    there is, and no measure of quality. Below are their means over files, and from five files on the middle 95 % of
    such means if other files of that kind had been drawn (bootstrap).

    Exit status: 0 when every file was measured, 1 when some had no partner or could not be read (each is named on
    standard error and the others are finished), 2 for wrong usage.
    """
    from tutti.capabilities.transcription.metrics import evaluate_fully

    measured: dict[str, Mapping[str, float]] = {}
    pairs = list(_pairs(reference, estimate))
    for pair in pairs:
        try:
            known, given = _read(pair, pedal=pedal)
        except InputError as error:
            print(f"{printable(pair.name)}: {printable(str(error))}", file=sys.stderr)
            if as_json:
                fault = {"code": error.code, "message": str(error)}
                print(json.dumps({"input": pair.name, "status": "failed", "error": fault}), flush=True)
            continue
        measured[pair.name] = scores = evaluate_fully(known, given)
        if as_json:
            counts = {"true_notes": len(known), "given_notes": len(given)}
            print(json.dumps({"input": pair.name, "status": "done", **counts, **scores}), flush=True)
    if measured:
        conventions = {**_CONVENTIONS, "pedal": "held" if pedal else "ignored"}
        print(_summary(measured, conventions) if as_json else "\n".join(_report(measured, conventions)))
    if len(measured) < len(pairs):
        raise typer.Exit(1)


def _pairs(reference: Path, estimate: Path) -> Iterator[_Pair]:
    if not reference.is_dir() and not estimate.is_dir():
        yield _Pair(estimate.name, reference, estimate)
        return
    for path, other in ((reference, estimate), (estimate, reference)):
        if not path.is_dir():
            if not path.exists():
                raise InputNotFoundError(f"There is no folder {printable(str(path))!r}. Check the path.")
            raise UsageError(
                f"{printable(str(other))!r} is a folder, but {printable(str(path))!r} a file. Give two of a kind."
            )
    known, given = _by_stem(reference), _by_stem(estimate)
    for stem in sorted(known.keys() | given.keys()):
        yield _Pair(stem, known.get(stem), given.get(stem))


def _by_stem(folder: Path) -> dict[str, Path]:
    """Files of notes below `folder` by their path in it without suffix; the most exact of several."""
    from tutti.music.notes_file import NOTES_SUFFIXES

    found: dict[str, Path] = {}
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in NOTES_SUFFIXES and path.is_file()]
    for path in sorted(paths, key=lambda path: NOTES_SUFFIXES.index(path.suffix.lower())):
        found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    if not found:
        endings = ", ".join(NOTES_SUFFIXES)
        raise InputNotFoundError(f"The folder {printable(str(folder))!r} holds no notes (files ending in {endings}).")
    return found


def _read(pair: _Pair, *, pedal: bool) -> tuple[Notes, Notes]:
    from tutti.music.notes_file import read_notes

    if pair.reference is None:
        raise InputNotFoundError("There is no reference of that name for it. Add one, or take the estimate away.")
    if pair.estimate is None:
        raise InputNotFoundError("There is no estimate of that name for it. Transcribe it, or take the reference away.")
    known, given = read_notes(pair.reference), read_notes(pair.estimate)
    if not len(known):
        raise MidiError(f"{printable(str(pair.reference))!r} holds no notes, and nothing can be measured against none.")
    return (known.sustained(), given.sustained()) if pedal else (known, given)


def _summary(measured: Mapping[str, Mapping[str, float]], conventions: Mapping[str, str]) -> str:
    from tutti.capabilities.transcription.metrics import mean_scores

    files = list(measured.values())
    means = mean_scores(files)
    spans = {name: span for name in means if (span := _interval([s[name] for s in files if name in s])) is not None}
    line: dict[str, Any] = {"input": None, "files": len(files), **means, "intervals_95": spans}
    return json.dumps({**line, "conventions": dict(conventions)})


def _interval(values: Sequence[float]) -> tuple[float, float] | None:
    from tutti.capabilities.transcription.metrics import bootstrap_interval

    return bootstrap_interval(values) if len(values) >= _LEAST_FILES else None


def _report(measured: Mapping[str, Mapping[str, float]], conventions: Mapping[str, str]) -> Iterator[str]:
    """Lines for people: a table of files, one of means, the sweep, the conventions."""
    from tutti.capabilities.transcription.metrics import SWEEP_MS, mean_scores

    files = list(measured.values())
    means = mean_scores(files)
    yield from _table_of_files({**measured, f"mean of {len(files)}": means} if len(files) > 1 else measured)
    yield ""
    yield from _table_of_means(files, means)
    yield ""
    for name, key in (("onset", "onset"), ("onset+offset", "onset_offset")):
        cells = (f"{means[f'{key}_f1_{tolerance}ms']:.3f} at {tolerance} ms" for tolerance in SWEEP_MS)
        yield f"{name} F1 by tolerance: {', '.join(cells)}"
    yield ""
    for name, text in conventions.items():
        yield from textwrap.wrap(f"{name}: {text}.", _WIDTH, subsequent_indent="  ")


def _table_of_files(lines: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Aligned columns; "-" for what does not occur."""
    width = max(len(printable(name)) for name in lines)
    yield f"{'F1':{width}}  " + "  ".join(f"{title:>8}" for title in _COLUMNS)
    for name, scores in lines.items():
        cells = (f"{scores[key]:.3f}" if key in scores else "-" for key in _COLUMNS.values())
        yield f"{printable(name):{width}}  " + "  ".join(f"{cell:>8}" for cell in cells)


def _table_of_means(files: Sequence[Mapping[str, float]], means: Mapping[str, float]) -> Iterator[str]:
    title = "mean over files" if len(files) > 1 else "in detail"
    width = max(map(len, _ROWS))
    yield (
        f"{title:{width}}  precision    recall        F1" + "  95 % interval" * (len(files) >= _LEAST_FILES) + "  files"
    )
    for name, key in _ROWS.items():
        values = [scores[f"{key}_f1"] for scores in files if f"{key}_f1" in scores]
        if not values:
            continue
        cells = "  ".join(f"{means[f'{key}_{part}']:>8.3f}" for part in ("precision", "recall", "f1"))
        span = _interval(values)
        shown = f"{span[0]:.3f}-{span[1]:.3f}" if span else "-"
        yield f"{name:{width}}   {cells}" + f"  {shown:>13}" * (len(files) >= _LEAST_FILES) + f"  {len(values):>5}"
