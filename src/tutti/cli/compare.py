"""`tutti compare`: what two files of notes share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tutti.errors import UnknownFormatError, printable

if TYPE_CHECKING:
    from tutti.capabilities.transcription.comparison import Comparison

__all__ = ["app"]

_COLUMNS = ("matched", "moved", "other instrument", "only A", "only B")

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command("compare")
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Notes: MIDI, or JSON as tutti writes it.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The notes to hold against them.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE.png", help="Draw both as piano rolls on one time axis, differences marked."
        ),
    ] = None,
    tolerance_ms: Annotated[
        float, typer.Option(min=0, max=500, help="Onsets so near are at the same time (milliseconds).")
    ] = 50.0,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Exit with 1 unless both hold equal notes: times, pitch, velocity, program."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON on standard output.")] = False,
) -> None:
    """Count what two files of notes share, and draw it.

    A note of A and one of B on the same pitch match when their onsets are within the tolerance and the instrument is
    the same; 'other instrument' is the same but for that, and 'moved' the same note up to half a second away. A table
    has a line for each instrument, where A and B differ in that the one of A.

    Exit status: 0 when both were compared, whatever was found, and 1 when one could not be read; with --exact also 1
    when they differ; 2 for wrong usage.
    """
    from tutti.capabilities.transcription import comparison
    from tutti.music.notes_file import read_notes

    if output is not None and output.suffix.lower() != ".png":
        raise UnknownFormatError(f"-o {printable(str(output))!r} is no picture's name. Give one that ends in .png.")
    found = comparison.compare(read_notes(a), read_notes(b), tolerance_ms / 1000)
    if output is not None:
        _draw(found, (a.name, b.name), output)
    print(_json(found, a, b) if as_json else "\n".join(_report(found, a, b)))
    if exact and not found.is_identical:
        raise typer.Exit(1)


def _draw(found: Comparison, names: tuple[str, str], output: Path) -> None:
    from tutti.capabilities.transcription.comparison_picture import comparison_rolls
    from tutti.capabilities.transcription.picture import to_png
    from tutti.music.files import write_atomic

    write_atomic(output, to_png(comparison_rolls(found, (printable(names[0]), printable(names[1])))))


def _counts(found: Comparison) -> dict[str, int]:
    kinds = ("matched", "moved", "other_instrument", "only_a", "only_b", "other_length", "other_velocity")
    return {kind: len(getattr(found, kind)) for kind in kinds}


def _json(found: Comparison, a: Path, b: Path) -> str:
    line = {
        "a": str(a),
        "b": str(b),
        "tolerance_s": found.tolerance_s,
        "a_notes": len(found.a),
        "b_notes": len(found.b),
        **_counts(found),
        "is_identical": found.is_identical,
        "is_same_within_tolerance": found.is_same_within_tolerance,
        "instruments": {name: asdict(counts) for name, counts in found.by_instrument.items()},
    }
    return json.dumps(line)


def _report(found: Comparison, a: Path, b: Path) -> Iterator[str]:
    for letter, path, notes in (("A", a, found.a), ("B", b, found.b)):
        yield f"{letter}: {printable(str(path))} ({len(notes)} notes)"
    yield ""
    counts = _counts(found)
    lines = {name: list(asdict(each).values()) for name, each in found.by_instrument.items()}
    lines["all"] = list(counts.values())[: len(_COLUMNS)]
    width = max(map(len, lines))
    yield f"{'':{width}}  " + "  ".join(f"{title:>8}" for title in _COLUMNS)
    for name, values in lines.items():
        cells = (f"{value:>{max(8, len(title))}}" for value, title in zip(values, _COLUMNS, strict=True))
        yield f"{name:{width}}  " + "  ".join(cells)
    yield ""
    lengths, velocities = counts["other_length"], counts["other_velocity"]
    yield f"Of the matched, {lengths} have another length and {velocities} another velocity."
    yield _verdict(found)


def _verdict(found: Comparison) -> str:
    if found.is_identical:
        return "The notes are identical."
    if found.is_same_within_tolerance:
        return f"The notes are the same within {found.tolerance_s * 1000:g} ms, but not identical."
    return "The notes differ."
