"""`tutti models`: the cards, and the files they speak of."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tutti.errors import TuttiError, UnknownFormatError
from tutti.weights.cards import Card, find_card, load_cards
from tutti.weights.store import locate, path_of, pull, pull_upstream, verify, writing

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

    Prints where the file lies. That of a URI lies in a folder named by its sha256, for a card of your own. Weights that
    their authors publish in another format are converted; the file that was fetched stays in the cache.
    """
    card = None if "://" in what else find_card(what)
    with _progress(what) as on_bytes:
        if card is not None and card.is_converted:
            path = _pull_and_convert(card, on_bytes)
        else:
            path = pull(card or what, on_bytes)
    typer.echo(str(path))


def _pull_and_convert(card: Card, on_bytes: OnBytes) -> Path:
    target = path_of(card)
    if target.is_file():
        return locate(card)
    _convert(pull_upstream(card, on_bytes), card, target, {}, is_any_file=False)
    return target


@app.command("convert")
def convert_model(
    upstream_file: Annotated[
        Path,
        typer.Argument(metavar="UPSTREAM_FILE", help="A .pth, .pt or .ckpt file, or the folder of a T5X checkpoint."),
    ],
    card: Annotated[str, typer.Option("--card", metavar="NAME", help="The model it holds, see `tutti models list`.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="OUT.safetensors", help="Default: where the model looks for its weights."),
    ] = None,
    any_file: Annotated[
        bool,
        typer.Option("--any-file", help="Take a file that the card does not know: an own fine-tuning, for example."),
    ] = False,
    memory_rows: Annotated[
        int | None,
        typer.Option("--memory-rows", min=0, help="For mr_mt3 with --any-file: states of the memory that are used."),
    ] = None,
    mel_bank: Annotated[
        str | None,
        typer.Option(
            "--mel-bank",
            metavar="[linear_in_mel|linear_in_hz]",
            help="For mr_mt3 with --any-file: what it was trained with, TensorFlow's mel bank or torchaudio's.",
        ),
    ] = None,
) -> None:
    """Make a model's weights from the file that its authors published.

    No code in the file is run. Names, shapes and numbers must be those of the model. Prints where the weights lie.
    """
    given = {"memory_rows": memory_rows, "mel_bank": mel_bank}
    settings = {name: str(value) for name, value in given.items() if value is not None}
    found = find_card(card)
    _convert(upstream_file, found, out or path_of(found), settings, is_any_file=any_file)
    typer.echo(str(out or path_of(found)))


def _convert(source: Path, card: Card, target: Path, settings: dict[str, str], *, is_any_file: bool) -> None:
    from tutti.capabilities.transcription.conversion_process import convert_apart

    if target.suffix != ".safetensors":
        raise UnknownFormatError(f"{target} is no name for converted weights. End it in .safetensors.")
    if target == path_of(card):
        with writing(target):  # makes the cache folder
            pass
    convert_apart(source, card, target, settings=settings, is_any_file=is_any_file)


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
