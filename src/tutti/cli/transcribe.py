"""`tutti transcribe`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from tutti.catalog import capability
from tutti.cli.batch import Batch
from tutti.cli.inputs import collect
from tutti.cli.options import with_options
from tutti.cli.outputs import plan
from tutti.cli.parts import WithParts, results_of
from tutti.cli.progress import OnProgress, bar, progress_wanted, silence
from tutti.cli.report import JsonReport, TextReport
from tutti.errors import InputError

if TYPE_CHECKING:
    from tutti.audio.reading import Source

__all__ = ["app"]

ROW = capability("transcribe")
FORMATS = ", ".join(ROW.formats)

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(ROW.verb)
@with_options(ROW.options_type)
def transcribe(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN", help="Recordings: files, folders (searched to the bottom), globs, or - for standard input."
        ),
    ],
    *,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR|FILE",
            help="Where results go: a folder (trees are kept below it), or one file that ends in a known format. "
            "Default: beside each input.",
        ),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="LIST",
            help=f"What to write, comma-separated: {FORMATS}. Default: {ROW.formats[0]}, or what -o FILE says.",
        ),
    ] = None,
    split: Annotated[
        bool,
        typer.Option(
            "--split",
            help="Write a file per instrument as well, named after it: song.piano.mid, song.drums.mid beside song.mid.",
        ),
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing", help="Leave inputs alone whose results are all there, whatever options made them."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON per input on standard output.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress and say nothing of successes.")
    ] = False,
    options: dict[str, Any],
) -> None:
    """Write the notes of recordings down: MIDI, JSON, JAMS, a piano-roll picture.

    Everything is read and computed on this machine. An existing result is replaced.

    Exit status: 0 when every input succeeded, 1 when some failed (each is named on standard error and the others are
    finished), 2 for wrong usage, 130 when interrupted.
    """
    checked = ROW.options(options)
    jobs = plan(collect(inputs), output, formats, ROW.formats)
    run = ROW.run
    recordings = import_module(f"{ROW.module}.run")
    taken = results_of(jobs)

    def together(sources: Sequence[Source], on_progress: OnProgress) -> Iterator[tuple[int, Any]]:
        for number, result in recordings.run_many(sources, checked, on_progress=on_progress):
            yield number, WithParts(result, taken) if split and not isinstance(result, InputError) else result

    def work(source: Path | str | BinaryIO, on_progress: OnProgress) -> Any:
        result = run(source, checked, on_progress=on_progress)
        return WithParts(result, taken) if split else result

    batch = Batch(
        work=work,
        facts=WithParts.facts if split else _facts,
        report=JsonReport() if as_json else TextReport(quiet),
        display=bar if progress_wanted(quiet=quiet) else silence,
        skip_existing=skip_existing,
        together=together if len(jobs) > 1 and recordings.hears_many(checked) else None,
    )
    if batch.run(jobs):
        raise typer.Exit(1)


def _facts(result: Any) -> dict[str, Any]:
    return {"notes": len(result.notes), "duration_s": result.duration_s}
