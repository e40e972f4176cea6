"""`tutti train`: run a recipe of this repository again."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import typer

from tutti.errors import MissingExtraError, TrainingError

__all__ = ["app"]

app = typer.Typer(
    help="Train a model by its recipe.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)


Config = Annotated[
    Path, typer.Option("--config", exists=True, dir_okay=False, help="The recipe's settings, a TOML file.")
]
RunDir = Annotated[Path | None, typer.Option(file_okay=False, help="Where checkpoint, losses and weights go.")]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[Literal["fp32", "bf16"], typer.Option(help="Number format of the network.")]
MaxMinutes = Annotated[float | None, typer.Option(min=0, help="Stop after so many minutes and keep what was learnt.")]
Resume = Annotated[
    Path | None,
    typer.Option(exists=True, file_okay=False, metavar="DIR", help="Go on in this run folder, instead of --run-dir."),
]


def _command(name: str, module: str, summary: str) -> None:
    """One subcommand for the recipe in `module`; all take the same."""

    def command(
        config: Config,
        run_dir: RunDir = Path(f"runs/{name}"),
        device: Device = "auto",
        precision: Precision = "fp32",
        max_minutes: MaxMinutes = None,
        resume: Resume = None,
    ) -> None:
        try:
            train = import_module(module).train
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] != "lightning":
                raise
            raise MissingExtraError("Training needs the extra `train`. Run: pip install 'tutti[train]'") from missing

        checkpoint = resume and resume / "checkpoint.ckpt"
        if checkpoint is not None and not checkpoint.is_file():
            raise TrainingError(f"No checkpoint at {checkpoint}. Begin the run without --resume.")
        weights = train(
            config, resume or run_dir, device=device, precision=precision, max_minutes=max_minutes, resume=checkpoint
        )
        typer.echo(str(weights))

    command.__doc__ = f"{summary}\n\nPrints where the weights are. Needs the extra `train`."
    app.command(name)(command)


_command(
    "transcription", "tutti.capabilities.transcription.train", "Train the network of `tutti transcribe` from a seed."
)
_command("mt3", "tutti.capabilities.transcription.train_mt3", "Train the small model of the MT3 family from a seed.")
_command("drums", "tutti.capabilities.drums.train", "Train the network that hears the hits for `tutti drums`.")
_command("groove", "tutti.capabilities.groove.train", "Train the network that writes drum patterns for `tutti groove`.")
_command("beats", "tutti.training.beats", "Train the network that hears beats and downbeats.")
_command("stroke-beats", "tutti.training.stroke_beats", "Train the network that reads beats from drum strokes.")
