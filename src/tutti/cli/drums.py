"""`tutti drums`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from tutti.catalog import capability
from tutti.cli.batch import Batch
from tutti.cli.inputs import collect
from tutti.cli.options import with_options
from tutti.cli.outputs import plan
from tutti.cli.progress import OnProgress, bar, progress_wanted, silence
from tutti.cli.report import JsonReport, TextReport
from tutti.errors import OptionError

__all__ = ["app"]

ROW = capability("drums")
FORMATS = ", ".join(ROW.formats)

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(ROW.verb)
@with_options(ROW.options_type)
def drums(
    context: typer.Context,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN",
            help="Recordings: files, folders (searched to the bottom), globs, links (https://…), or - for standard "
            "input. A chart that tutti wrote as JSON is engraved anew, without listening again.",
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
    edit: Annotated[
        Path | None,
        typer.Option(
            "--edit",
            metavar="FILE",
            help="Corrections to make, TOML or JSON: hits to drop, add or change, tempo, metre, first downbeat, title.",
        ),
    ] = None,
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
    """Write the drums of recordings down: a chart to play from, MIDI, MusicXML, the hits.

    Everything is read and computed on this machine; only a link is fetched. An existing result is replaced.

    Exit status: 0 when every input succeeded (an empty chart is a success with a warning), 1 when some failed (each is
    named on standard error and the others are finished), 2 for wrong usage, 130 when interrupted.
    """
    from tutti.capabilities.drums.chart_file import is_chart, read_chart
    from tutti.capabilities.drums.corrections import read_corrections
    from tutti.capabilities.drums.writing_down import ENGRAVING

    checked = ROW.options(options)
    corrections = None if edit is None else read_corrections(edit)
    engraving = {name: options[name] for name in ("title", *ENGRAVING) if _was_given(context, name)}
    of_listening = [
        f"--{name.replace('_', '-')}"
        for name in options
        if name not in (*engraving, "device", "precision", "keep") and _was_given(context, name)
    ]
    jobs = plan(collect(inputs, links=True), output, formats, ROW.formats)
    if of_listening:
        for job in jobs:
            if job.input.path and not job.input.fault and is_chart(job.input.path):
                raise OptionError(
                    f"{job.input.name!r} is a chart, and nothing is heard anew in it: {', '.join(of_listening)} would "
                    "change nothing. Give the recording, or say what is right in a file for --edit."
                )

    def work(source: Path | str | BinaryIO, on_progress: OnProgress) -> Any:
        if isinstance(source, Path) and is_chart(source):
            return read_chart(source, corrections, engraving)
        chart = ROW.run(source, checked, on_progress=on_progress)
        return chart if corrections is None else chart.edited(corrections)

    batch = Batch(
        work=work,
        facts=lambda chart: {
            "hits": len(chart.hits),
            "bars": len(chart.sheet.bars),
            "bpm": chart.bpm and round(chart.bpm, 2),
            "duration_s": chart.duration_s,
        },
        report=JsonReport() if as_json else TextReport(quiet),
        display=bar if progress_wanted(quiet=quiet) else silence,
        skip_existing=skip_existing,
    )
    if batch.run(jobs):
        raise typer.Exit(1)


def _was_given(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"
