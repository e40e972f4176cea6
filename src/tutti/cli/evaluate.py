"""`tutti evaluate`: how right the answers are, where the truth is known."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tutti.catalog import capability
from tutti.cli.evaluate_transcription import transcription
from tutti.cli.inputs import STDIN, Input, collect
from tutti.cli.progress import bar, progress_wanted, silence
from tutti.errors import InputError, UsageError, printable

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tutti.music.drum_hits import DrumHits

__all__ = ["app"]

ROW = capability("drums")
_COLUMNS = {
    "F 50 ms": "f1_50ms",
    "F 20 ms": "f1_20ms",
    "kick": "kick_f1_50ms",
    "snare": "snare_f1_50ms",
    "hihat": "hihat_f1_50ms",
    "tom": "tom_f1_50ms",
    "cymbal": "cymbal_f1_50ms",
    "pieces": "f1_pieces_50ms",
    "velocity r": "velocity_r",
}
"""What is printed of the scores of `metrics.evaluate`."""

app = typer.Typer(
    help="Measure answers against the truth.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)


app.command()(transcription)


@app.command()
def drums(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN",
            help="Recordings to listen to: files, folders (searched to the bottom) or globs. Files of hits are "
            "measured as they are: a chart that tutti wrote as JSON, MIDI (channel 10), CSV, labels as text.",
        ),
    ],
    *,
    truth: Annotated[
        Path,
        typer.Option(
            exists=True,
            file_okay=False,
            metavar="DIR",
            help="The folder with the truth, each file named after its recording: MIDI (.mid, channel 10), a tutti "
            "chart (.json), .csv with columns time_s and instrument, or .txt with a line 'time label' a hit. A label "
            "is one of tutti's drums or of MDB Drums.",
        ),
    ],
    model: Annotated[
        str, typer.Option(help="Name of the model card that hears the hits, see `tutti models list`.")
    ] = "tutti-drums",
    stems: Annotated[
        Literal["auto", "demucs", "light", "none"],
        typer.Option(help="How the drums are separated before they are listened to, as for `tutti drums`."),
    ] = "auto",
    device: Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:N or mps.")] = "auto",
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one line of JSON per input on standard output, and one for all of them."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Measure how right the hits of drums are.

    F is 2 · right / (given + true): over kick, snare with side stick, hi-hats, toms and cymbals together and for each
    of them, with hits up to 50 ms (or 20 ms) from the truth; 'pieces' tells all fourteen drums apart. 'velocity r' is
    the correlation of the loudness of matched hits, where the truth knows it. The last line takes all files as one.

    Exit status: 0 when every input was measured, 1 when some failed (each is named on standard error and the others
    are finished), 2 for wrong usage, 130 when interrupted.
    """
    from tutti.capabilities.drums.metrics import evaluate, evaluate_together

    options = ROW.options({"model": model, "stems": stems, "device": device})
    measured: list[tuple[DrumHits, DrumHits]] = []
    lines: list[tuple[str, Mapping[str, float]]] = []
    failed = 0
    for item in collect(inputs):
        try:
            pair = _pair(item, truth, options, quiet)
        except InputError as error:
            failed += 1
            print(f"{printable(item.name)}: {printable(str(error))}", file=sys.stderr)
            if as_json:
                fault = {"code": error.code, "message": str(error)}
                print(json.dumps({"input": item.name, "status": "failed", "error": fault}), flush=True)
            continue
        measured.append(pair)
        scores = evaluate(*pair)
        if as_json:
            print(json.dumps({"input": item.name, "status": "done", **_counted([pair]), **scores}), flush=True)
        lines.append((item.relative.name, scores))
    if measured:
        together = evaluate_together(measured)
        if as_json:
            print(json.dumps({"input": None, "files": len(measured), **_counted(measured), **together}))
        else:
            print("\n".join(_table([*lines, (f"all {len(lines)}", together)])))
    if failed:
        raise typer.Exit(1)


def _pair(item: Input, folder: Path, options: BaseModel, quiet: bool) -> tuple[DrumHits, DrumHits]:
    """The truth and the answer."""
    from tutti.capabilities.drums.truth import SUFFIXES, find_truth, read_hits

    if item.fault:
        raise item.fault
    if item.name == STDIN or item.path is None:
        raise UsageError("Standard input has no name to find its truth by. Name the recording's file.")
    known = read_hits(find_truth(folder, item.path.stem))
    if item.path.suffix.lower() in SUFFIXES:
        return known, read_hits(item.path)
    display = bar if progress_wanted(quiet=quiet) else silence
    with display(printable(item.name)) as on_progress:
        heard: DrumHits = ROW.run(item.path, options, on_progress=on_progress).hits
    return known, heard


def _counted(pairs: Sequence[tuple[DrumHits, DrumHits]]) -> dict[str, Any]:
    return {"true_hits": sum(len(true) for true, _ in pairs), "given_hits": sum(len(given) for _, given in pairs)}


def _table(lines: Sequence[tuple[str, Mapping[str, float]]]) -> list[str]:
    """Aligned columns; "-" for what does not occur."""
    width = max(len(printable(name)) for name, _ in lines)
    rows = [f"{'':{width}}  " + "  ".join(f"{title:>7}" for title in _COLUMNS)]
    for name, scores in lines:
        cells = [f"{scores[key]:.3f}" if key in scores else "-" for key in _COLUMNS.values()]
        aligned = (f"{cell:>{max(7, len(title))}}" for title, cell in zip(_COLUMNS, cells, strict=True))
        rows.append(f"{printable(name):{width}}  " + "  ".join(aligned))
    return rows
