"""Write the documents that are made from code: the command line and the table of models.

`tests/test_docs.py` compares `pages()` with what lies in docs/, so nothing there can drift.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from typer.testing import CliRunner

from tutti.cli.main import COMMANDS, app
from tutti.weights.cards import Card, load_cards

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOTICE = "<!-- Written by scripts/write_docs.py; `make docs` writes it anew. -->"


def pages() -> dict[str, str]:
    """File name below docs/ → content."""
    return {"command-line.md": command_line(), "models.md": models()}


def command_line() -> str:
    sections = [f"## {' '.join(['tutti', *path])}\n\n```text\n{_help(path)}\n```\n" for path in _command_paths()]
    return "\n".join([f"# The command line\n\n{NOTICE}\n", *sections])


def models() -> str:
    cards = sorted(load_cards(), key=lambda card: (card.capability, card.name))
    rows = "".join(
        f"| `{card.name}` | {card.capability} | {card.licence} | {card.size_bytes / 1e6:.1f} MB | {_scores(card)} |\n"
        for card in cards
    )
    table = f"| name | capability | licence | size | score |\n|---|---|---|---|---|\n{rows}"
    return "\n".join([f"# Models\n\n{NOTICE}\n", table, *map(_section, cards)])


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
