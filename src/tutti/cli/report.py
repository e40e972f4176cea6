"""What is said about each input: lines for people, or one line of JSON each for programs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from tutti.errors import printable

__all__ = ["JsonReport", "Outcome", "Report", "TextReport"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one input ended."""

    input: str
    status: Literal["done", "skipped", "failed"]
    outputs: tuple[str, ...] = ()
    error_code: str | None = None
    error_message: str | None = None
    seconds: float = 0.0
    """Wall time this input took."""
    warnings: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    """What the verb counts, such as `notes`."""


class Report(Protocol):
    def tell(self, outcome: Outcome) -> None: ...


@dataclass(frozen=True, slots=True)
class TextReport:
    """Where the outputs are goes to standard output; failures and warnings go to standard error."""

    quiet: bool

    def tell(self, outcome: Outcome) -> None:
        name = printable(outcome.input)
        for warning in outcome.warnings:
            print(f"{name}: warning: {printable(warning)}", file=sys.stderr)
        if outcome.status == "failed":
            print(_complaint(outcome), file=sys.stderr)
        elif not self.quiet:
            print(f"{name} → {', '.join(map(printable, outcome.outputs))} ({self._remark(outcome)})", flush=True)

    def _remark(self, outcome: Outcome) -> str:
        if outcome.status == "skipped":
            return "already there"
        facts = [f"{value} {name}" for name, value in outcome.facts.items() if isinstance(value, int)]
        return ", ".join([*facts, f"{outcome.seconds:.1f} s"])


@dataclass(frozen=True, slots=True)
class JsonReport:
    """One JSON object per input on standard output; failures are named on standard error too."""

    def tell(self, outcome: Outcome) -> None:
        failed = outcome.status == "failed"
        line = {
            "input": outcome.input,
            "status": outcome.status,
            "outputs": list(outcome.outputs),
            "error": {"code": outcome.error_code, "message": outcome.error_message} if failed else None,
            "seconds": round(outcome.seconds, 3),
            **outcome.facts,
            "warnings": list(outcome.warnings),
        }
        print(json.dumps(line), flush=True)  # pure ASCII: file names that are not UTF-8 survive
        if failed:
            print(_complaint(outcome), file=sys.stderr)


def _complaint(outcome: Outcome) -> str:
    message = printable(outcome.error_message or "")
    # the reader names the file, without its folder, in front of what it found
    own_name = printable(Path(outcome.input).name)
    return f"{printable(outcome.input)}: {message.removeprefix(f'{own_name}: ')}"
