"""The entry point, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
import typer.core

import tutti
from tutti.catalog import CAPABILITIES
from tutti.errors import TuttiError

__all__ = ["COMMANDS", "main"]


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A subcommand whose module is imported when it is called, not when it is listed."""

    module: str
    """Has an `app`."""
    summary: str

    def load(self) -> Any:
        return typer.main.get_command(import_module(self.module).app)


COMMANDS: dict[str, LazyCommand] = {
    **{row.verb: LazyCommand(f"tutti.cli.{row.verb}", row.summary) for row in CAPABILITIES},
    "models": LazyCommand("tutti.cli.models", "List, fetch, check and find model weights."),
    "export": LazyCommand("tutti.cli.export", "Write models for other runtimes."),
    "evaluate": LazyCommand("tutti.cli.evaluate", "Measure answers against the truth."),
    "compare": LazyCommand("tutti.cli.compare", "Count and draw what two files of notes share."),
    "train": LazyCommand("tutti.cli.train", "Train a model by its recipe."),
    "doctor": LazyCommand("tutti.cli.doctor", "Say what tutti runs on here, and what is missing."),
}


class LazyGroup(typer.core.TyperGroup):
    """Lists `COMMANDS` from the table alone."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """A stand-in that carries the summary; `resolve_command` gives the command itself."""
        if cmd_name not in COMMANDS:
            return None
        return typer.core.TyperCommand(cmd_name, help=COMMANDS[cmd_name].summary)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, stand_in, rest = super().resolve_command(ctx, args)
        return name, COMMANDS[name].load() if name in COMMANDS else stand_in, rest


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tutti {tutti.__version__}")
        raise typer.Exit


_OBJECTS_BETWEEN_COLLECTIONS = 50_000

app = typer.Typer(cls=LazyGroup, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def _root(
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Listens to music, writes it down, plays along. Runs on this machine alone; nothing is fetched unless you ask."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 all done, 1 something failed, 2 wrong usage, 130 interrupted."""
    _start_quickly()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        typer.main.get_command(app).main(args=arguments, prog_name="tutti")
    except TuttiError as error:
        print(f"tutti: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as leaving:
        if leaving.code == 130:
            print("tutti: interrupted; what was finished is kept.", file=sys.stderr)
        raise
    sys.exit(0)


def _start_quickly() -> None:
    # Modules and sheets are some 100 000 objects that stay; to look for cycles among them at every 700 new ones took a
    # sixth of the time of a short command.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    # To find plugins, of which tutti uses none, pydantic reads the metadata of every package that is installed.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def _terminate(number: int, _frame: Any) -> NoReturn:
    # As an exception, so that temporary files are removed and the decoder is ended.
    sys.exit(128 + number)
