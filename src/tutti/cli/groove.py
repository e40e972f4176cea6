"""`tutti groove`."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tutti.catalog import capability
from tutti.cli.options import with_options
from tutti.cli.outputs import parse_formats
from tutti.cli.progress import bar, progress_wanted, silence
from tutti.errors import OptionError, OutputError, UnknownFormatError, UsageError, printable

__all__ = ["app"]

ROW = capability("groove")
FORMATS = ", ".join(ROW.formats)

Prompt = Annotated[Path, typer.Argument(metavar="IN.mid", help="Drums: MIDI (channel 10), or JSON as tutti writes it.")]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|DIR",
        help="The file to write, ending in a known format, or a folder (end it with a slash). Several patterns are "
        "numbered: beat-1.mid, beat-2.mid. Default: named after style, tempo and seed, or after the prompt.",
    ),
]
Formats = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        metavar="LIST",
        help=f"What to write, comma-separated: {FORMATS}. Default: {ROW.formats[0]}, or what -o FILE says.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and say nothing of success.")]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
@with_options(ROW.options_type)
def groove(
    context: typer.Context,
    *,
    output: Output = None,
    formats: Formats = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    options: dict[str, Any],
) -> None:
    """Play a drum pattern in a style: MIDI for a sequencer, sound, a picture.

    Each time another, and with the same --seed the same again; the seed is told. An existing result is replaced.

    Exit status: 0 when the patterns were written, 1 when weights or a file failed, 2 for wrong usage, 130 when
    interrupted.
    """
    if context.invoked_subcommand is None:
        _play(None, options, output, formats, as_json, quiet)
    elif given := _given(context):
        raise UsageError(
            f"Give {', '.join(given)} after `{context.invoked_subcommand}`, not before: "
            f"tutti groove {context.invoked_subcommand} …"
        )


@app.command("styles")
def styles(as_json: AsJson = False) -> None:
    """List the styles with their tempo, swing and what they are; own ones are files in a folder (docs/groove.md)."""
    from tutti.capabilities.groove.styles import find_style, get_style_params, list_available_styles

    names = list_available_styles()
    if as_json:
        print(json.dumps({name: get_style_params(name) for name in names}))
        return
    width = max(map(len, names))
    for name in names:
        style = find_style(name)
        swing = f"{style.swing_percent:g} % of {style.swing_division}s" if style.swing_percent else "as played"
        print(f"{name:{width}}  {style.bpm[0]:3g}-{style.bpm[1]:g} bpm  swing {swing:14}  {style.description}")


def _command(task: str, name: str, summary: str) -> None:
    """One subcommand that does `task` with a prompt."""

    def command(
        prompt: Prompt,
        *,
        output: Output = None,
        formats: Formats = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
        options: dict[str, Any],
    ) -> None:
        if options["task"] not in ("auto", task):
            raise UsageError(f"`tutti groove {name}` does not {options['task']}. Leave --task out.")
        _play(prompt, {**options, "task": task}, output, formats, as_json, quiet)

    command.__doc__ = f"{summary}\n\nOptions and exit status are those of `tutti groove`."
    app.command(name)(with_options(ROW.options_type)(command))


_command("continue", "continue", "Play on where a pattern ends: writes the new bars alone.")
_command("humanise", "humanise", "Keep every stroke of a pattern and play it anew: timing and dynamics.")
_command("vary", "vary", "Write a pattern like this one; --distance says how far off.")
_command("fill_in", "fill-in", "Write the empty bars of a pattern, to fit what is before and after.")
_command("answer", "answer", "Replace the second half of a pattern's last bar by a fill.")


def _given(context: typer.Context) -> list[str]:
    """Flags before a subcommand, which would not reach it."""
    sources = {flag.opts[0]: context.get_parameter_source(flag.name or "") for flag in context.command.params}
    return [flag for flag, source in sources.items() if source is not None and source.name == "COMMANDLINE"]


def _play(
    prompt: Path | None, options: dict[str, Any], output: str | None, formats: str | None, as_json: bool, quiet: bool
) -> None:
    checked = ROW.options(options)
    place = _place(output, formats)
    began_s = time.perf_counter()
    with (bar if progress_wanted(quiet=quiet) else silence)("groove") as on_progress:
        result = ROW.run(prompt, checked, on_progress=on_progress)
    written = [path for target in place(prompt, result) for path in _saved(result, prompt, *target)]
    seconds = time.perf_counter() - began_s
    for warning in result.warnings:
        print(f"warning: {printable(warning)}", file=sys.stderr)
    if as_json:
        print(json.dumps(_facts(result, written, seconds)))
    elif not quiet:
        first = result.pattern
        print(
            f"{', '.join(printable(str(path)) for path in written)} ({len(first)} strokes, {first.bars} bars, "
            f"{first.bpm:g} bpm, seed {result.provenance.seed}, {seconds:.1f} s)"
        )


def _saved(result: Any, prompt: Path | None, name: str, path: Path) -> Sequence[Path]:
    for own in result.paths(name, path):
        if prompt is not None and own.exists() and prompt.exists() and own.samefile(prompt):
            raise UsageError(f"{printable(str(own))!r} would be written over itself. Name another file with -o.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {printable(str(path.parent))!r} cannot be made ({error.strerror}).") from error
    saved: Sequence[Path] = result.save_as(name, path)
    return saved


def _place(output: str | None, formats: str | None) -> Callable[[Path | None, Any], list[tuple[str, Path]]]:
    """Which formats go where, checked before anything is played."""
    names = parse_formats(formats, ROW.formats) if formats else None
    text, path = output or "", Path(output or "")
    is_folder = output is None or text.endswith(("/", os.sep)) or path.is_dir()
    fitting = [known for known in ROW.formats if text.lower().endswith(f".{known}")]
    if output is not None and not is_folder and not fitting:
        if path.suffix:
            raise UnknownFormatError(
                f"-o {printable(text)!r} ends in no known format ({FORMATS}). End it with a slash if it is a folder."
            )
        is_folder = True
    if not is_folder and names not in (None, (max(fitting, key=len),)):
        raise OptionError(f"-o {printable(text)!r} and --format disagree. Leave one of them out, or give a folder.")

    def targets(prompt: Path | None, result: Any) -> list[tuple[str, Path]]:
        if output is not None and not is_folder:
            return [(max(fitting, key=len), path)]
        folder = path if output is not None else (prompt.parent if prompt is not None else Path())
        said = result.provenance
        stem = (
            f"{prompt.stem}.{said.task}"
            if prompt is not None
            else re.sub(r"\W+", "-", f"{said.style}-{result.pattern.bpm:g}bpm-{said.seed}").strip("-").lower()
        )
        return [(name, folder / f"{stem}.{name}") for name in names or ROW.formats[:1]]

    return targets


def _facts(result: Any, written: Sequence[Path], seconds: float) -> dict[str, Any]:
    said = result.provenance
    return {
        "outputs": [str(path) for path in written],
        "style": said.style,
        "task": said.task,
        "seed": said.seed,
        "bpm": result.pattern.bpm,
        "bars": result.pattern.bars,
        "strokes": [len(pattern) for pattern in result],
        "feel": {name: None if math.isnan(value) else round(value, 3) for name, value in result.feel.items()},
        "seconds": round(seconds, 3),
        "warnings": list(result.warnings),
    }
