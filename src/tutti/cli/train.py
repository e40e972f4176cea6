"""`tutti train`: run a recipe of this repository again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tutti.errors import MissingExtraError

__all__ = ["app"]

app = typer.Typer(
    help="Train a model by its recipe.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)


@app.callback()
def _group() -> None:
    """Keeps the recipe's name on the command line while there is only one."""


@app.command("transcription")
def transcription(
    config: Annotated[
        Path, typer.Option("--config", exists=True, dir_okay=False, help="The recipe's settings, a TOML file.")
    ],
    run_dir: Annotated[
        Path, typer.Option("--run-dir", file_okay=False, help="Where checkpoint, losses and weights go.")
    ] = Path("runs/transcription"),
    device: Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[Literal["fp32", "bf16"], typer.Option(help="Number format of the network.")] = "fp32",
    max_minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop after so many minutes and keep what was learnt.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, metavar="DIR", help="Go on in this run folder, instead of --run-dir."
        ),
    ] = None,
) -> None:
    """Train the network of `tutti transcribe` from a seed and print where its weights are.

    Needs the extra `train`.
    """
    try:
        from tutti.capabilities.transcription.train import train
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "lightning":
            raise
        raise MissingExtraError("Training needs the extra `train`. Run: pip install 'tutti[train]'") from missing

    weights = train(
        config,
        resume or run_dir,
        device=device,
        precision=precision,
        max_minutes=max_minutes,
        resume=resume and resume / "checkpoint.ckpt",
    )
    typer.echo(str(weights))
