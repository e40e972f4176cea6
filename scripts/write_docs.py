"""Write the documents that are made from code: the command line and the table of models.

`tests/test_docs.py` compares `pages()` with what lies in docs/, so nothing there can drift.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from typer.testing import CliRunner

from tutti.cli.main import COMMANDS, app
from tutti.weights.cards import BUNDLED, BUNDLED_CARDS, Card, UpstreamFile, find_card

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOTICE = "<!-- Written by scripts/write_docs.py; `make docs` writes it anew. -->"


def pages() -> dict[str, str]:
    """File name below docs/ → content."""
    return {"command-line.md": command_line(), "models.md": models()}


def command_line() -> str:
    sections = [f"## {' '.join(['tutti', *path])}\n\n```text\n{_help(path)}\n```\n" for path in _command_paths()]
    return "\n".join([f"# The command line\n\n{NOTICE}\n", *sections])


def models() -> str:
    names = sorted(tomllib.loads(path.read_text())["name"] for path in BUNDLED_CARDS.glob("*.toml"))
    cards = [find_card(name) for name in names]
    return "\n".join([f"# Models\n\n{NOTICE}\n", _table(cards), *map(_section, cards)])


def _table(cards: list[Card]) -> str:
    rows = [
        "| name | for | licence | parameters | size | lies in the package |",
        "|---|---|---|---|---|---|",
        *(
            f"| `{card.name}` | {card.capability} | {card.licence} | {card.parameters:,} "
            f"| {card.size_bytes / 1e6:.1f} MB | {_place(card)} |"
            for card in cards
        ),
    ]
    return "\n".join(rows) + "\n"


def _place(card: Card) -> str:
    if BUNDLED in card.locations:
        return "yes"
    return "no, made by conversion" if card.is_converted else "no"


def _section(card: Card) -> str:
    parts = [f"## {card.name}\n\n{card.description}\n"]
    if card.scores:
        rows = (f"| {score.data} | {score.metric} | {score.value:.3f} | {score.note} |" for score in card.scores)
        parts.append("\n".join(["| measured on | metric | value | note |", "|---|---|---|---|", *rows]) + "\n")
    facts = [f"Source: {card.source}{f', commit {card.commit}' if card.commit else ''}"]
    if training := card.training:
        facts += [
            f"Trained on: {training.data}",
            f"Training: {training.steps:,} steps, {training.hours_heard:g} hours of audio heard, "
            f"{training.wall_hours:g} hours of wall time, seed {training.seed}, recipe `{training.recipe}`",
        ]
    facts += [f"Made from: {_upstream(file)}" for file in card.upstream]
    facts += [f"Attribution: {text}" for text in card.attribution]
    facts += [f"Weakness: {text}" for text in card.weaknesses]
    parts.append("\n".join(f"- {fact.rstrip('.')}." for fact in facts) + "\n")
    return "\n".join(parts)


def _upstream(file: UpstreamFile) -> str:
    parts = [f"`{file.name}`", file.note]
    parts += [f"{name} = {value}" for name, value in file.settings.items()]
    if file.size_bytes:
        parts.append(f"{file.size_bytes:,} bytes")
    parts.append(f"sha256 `{file.sha256}`" if file.sha256 else "sha256 not stated")
    return "; ".join(filter(None, parts))


def _command_paths() -> Iterator[tuple[str, ...]]:
    yield ()
    for name, command in COMMANDS.items():
        yield (name,)
        for inner in getattr(command.load(), "commands", {}):
            yield (name, inner)


def _help(path: tuple[str, ...]) -> str:
    result = CliRunner(env={"COLUMNS": "100"}).invoke(app, [*path, "--help"], prog_name="tutti")
    if result.exit_code:
        raise RuntimeError(f"tutti {' '.join(path)} --help failed: {result.output}")
    return "\n".join(line.rstrip() for line in result.stdout.strip().splitlines())


if __name__ == "__main__":
    for name, text in pages().items():
        (DOCS / name).write_text(text)
        print(DOCS / name)
