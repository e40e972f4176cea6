"""A file per instrument beside the one that holds them all: `song.piano.mid` beside `song.mid`."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutti.cli.outputs import Job
from tutti.errors import OutputError, printable

if TYPE_CHECKING:
    from tutti.capabilities.transcription.types import Transcription

__all__ = ["WithParts", "results_of"]


def results_of(jobs: Sequence[Job]) -> frozenset[str]:
    """The real paths that `jobs` write, where no part may go."""
    return frozenset(os.path.realpath(path) for job in jobs for path in job.outputs.values())


@dataclass(frozen=True, slots=True)
class WithParts:
    """A transcription that writes its parts first, so that where the whole is, all of them are."""

    whole: Transcription
    taken: Collection[str]
    """Real paths of the other results."""

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.whole.warnings

    def facts(self) -> dict[str, Any]:
        return {
            "notes": len(self.whole.notes),
            "duration_s": self.whole.duration_s,
            "instruments": list(self.whole.split()),
        }

    def save_as(self, format_name: str, path: Path) -> Path:
        """Write `format_name` to `path`, and each instrument's to its name before the suffix.

        Raises OutputError where that is the place of another input's result.
        """
        for name, part in self.whole.split().items():
            own = path.with_name(f"{path.stem}.{name}{path.suffix}")
            if os.path.realpath(own) in self.taken:
                raise OutputError(
                    f"{printable(str(own))!r} would hold the {name} of one input, but it is the place of another's "
                    "result. Rename one of them or give them different output folders."
                )
            part.save_as(format_name, own)
        return self.whole.save_as(format_name, path)
