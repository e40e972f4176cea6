"""What is said about each input: lines for people, or one line of JSON each for programs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from tutti.errors import printable

__all__ = ["JsonReport", "Outcome", "Report", "TextReport"]

_FEW = 5
"""So many inputs can be overlooked at a glance."""


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

    def finish(self) -> int:
        """All has been told; the number of failures."""
        ...


@dataclass(slots=True)
class TextReport:
    """Where the outputs are goes to standard output; failures and warnings go to standard error.

    Of several inputs the failures are told once more at the end, where they are not lost among the others.
    """

    quiet: bool
    _told: int = 0
    _complaints: list[str] = field(default_factory=list)

    def tell(self, outcome: Outcome) -> None:
        self._told += 1
        name = printable(outcome.input)
        for warning in outcome.warnings:
            print(f"{name}: warning: {printable(warning)}", file=sys.stderr)
        if outcome.status == "failed":
            self._complaints.append(_complaint(outcome))
            print(self._complaints[-1], file=sys.stderr)
        elif not self.quiet:
            print(f"{name} → {', '.join(map(printable, outcome.outputs))} ({self._remark(outcome)})", flush=True)

    def finish(self) -> int:
        if self._complaints and self._told > _FEW:
            print(f"{len(self._complaints)} of {self._told} inputs failed:", file=sys.stderr)
            for complaint in self._complaints:
                print(f"  {complaint}", file=sys.stderr)
        return len(self._complaints)

    def _remark(self, outcome: Outcome) -> str:
        if outcome.status == "skipped":
            return "already there"
        facts = [f"{value} {name}" for name, value in outcome.facts.items() if isinstance(value, int)]
        return ", ".join([*facts, f"{outcome.seconds:.1f} s"])


@dataclass(slots=True)
class JsonReport:
    """One JSON object per input on standard output; failures are named on standard error too."""

    _failures: int = 0

    def finish(self) -> int:
        return self._failures

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
        self._failures += failed
        if failed:
            print(_complaint(outcome), file=sys.stderr)


def _complaint(outcome: Outcome) -> str:
    message = printable(outcome.error_message or "")
    # the reader names the file, without its folder, in front of what it found
    own_name = printable(Path(outcome.input).name)
    return f"{printable(outcome.input)}: {message.removeprefix(f'{own_name}: ')}"
