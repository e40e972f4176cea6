"""`tutti models`: the cards, and the files they speak of."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from tutti.errors import TuttiError
from tutti.weights.cards import find_card, load_cards
from tutti.weights.store import path_of, pull, verify

if TYPE_CHECKING:
    from tutti.weights.store import OnBytes

__all__ = ["app"]

app = typer.Typer(
    help="List, inspect, fetch and verify models.",
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A model's name, see `tutti models list`.")]


@app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print the cards as JSON on standard output.")] = False,
) -> None:
    """Every model there is a card for, and whether its weights are here."""
    cards = load_cards()
    if as_json:
        rows = [{**card.model_dump(mode="json"), "here": path_of(card).is_file()} for card in cards.values()]
        typer.echo(json.dumps(rows))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("name", "capability", "licence", "size", "here"):
        table.add_column(column)
    for name, card in sorted(cards.items()):
        here = "yes" if path_of(card).is_file() else "no"
        table.add_row(name, card.capability, card.licence, f"{card.size_bytes / 1e6:.1f} MB", here)
    Console().print(table)


@app.command()
def info(name: Name) -> None:
    """Everything the card of a model says, as JSON."""
    typer.echo(json.dumps(find_card(name).model_dump(mode="json"), indent=1, ensure_ascii=False))


@app.command("pull")
def pull_model(
    what: Annotated[
        str,
        typer.Argument(metavar="NAME|URI", help="A model's name, or a file at https://, http://, s3:// or file:///."),
    ],
) -> None:
    """Fetch a model's weights; a fetch that broke off is continued.

    Prints where the file lies. That of a URI lies in a folder named by its sha256, for a card of your own.
    """
    with _progress(what) as on_bytes:
        path = pull(what if "://" in what else find_card(what), on_bytes)
    typer.echo(str(path))


@app.command("verify")
def verify_models(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Models; all that are here if none.")
    ] = None,
) -> None:
    """Check weights against their cards. Exit status 1 when any is wrong or missing."""
    cards = [find_card(name) for name in names] if names else [c for c in load_cards().values() if path_of(c).exists()]
    wrong = 0
    for card in cards:
        try:
            verify(card)
        except TuttiError as error:
            wrong += 1
            typer.echo(f"{card.name}: {error}", err=True)
        else:
            typer.echo(f"{card.name}: ok")
    if wrong:
        raise typer.Exit(1)


@app.command("path")
def path_of_model(name: Name) -> None:
    """Where a model's weights lie, or would lie once fetched."""
    typer.echo(str(path_of(find_card(name))))


@contextmanager
def _progress(what: str) -> Iterator[OnBytes]:
    """A bar on standard error that counts bytes, where somebody watches."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    # Standard output stays untouched: it may be a pipe that somebody parses.
    with Progress(*columns, console=console, disable=not sys.stderr.isatty(), redirect_stdout=False) as bar:
        task = bar.add_task(escape(what.rpartition("/")[2].partition("?")[0] or what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
