"""`tutti export`: models for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tutti.weights.cards import find_card

__all__ = ["app"]

app = typer.Typer(
    help="Write models for other runtimes.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)


@app.callback()
def _group() -> None:
    """Write models for other runtimes."""  # with a callback, one subcommand stays a subcommand


@app.command("onnx")
def onnx_model(
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="A model of the MT3 family that is here.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="Default: where --backend onnx looks for it."),
    ] = None,
    precision: Annotated[
        Literal["fp32", "int8"],
        typer.Option("--precision", help="Of the decoder's weights; int8 is faster, and may change tokens."),
    ] = "fp32",
) -> None:
    """Write a model of the MT3 family for onnxruntime, which then needs neither torch nor the weights.

    A folder of ONNX files that says of itself what it is; an older export there is replaced, whole or not at all.
    Prints where the folder lies.
    """
    from tutti.capabilities.transcription.onnx_export import export

    typer.echo(str(export(find_card(model), out, precision)))
