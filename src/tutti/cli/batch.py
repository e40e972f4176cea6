"""Work through many inputs: one that fails is told and the others are finished."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Generic, Protocol, TypeVar

from tutti.cli.outputs import Job
from tutti.cli.progress import OnProgress
from tutti.cli.report import Outcome, Report
from tutti.errors import InputError, OutputError, TuttiError, UsageError, printable

__all__ = ["Batch", "Result"]

log = logging.getLogger(__name__)


class Result(Protocol):
    """What every verb gives back, as far as the command line needs it."""

    @property
    def warnings(self) -> tuple[str, ...]: ...

    def save_as(self, format_name: str, path: Path) -> Path: ...


R = TypeVar("R", bound=Result)


@dataclass(frozen=True, slots=True)
class Batch(Generic[R]):
    """How to treat every job."""

    work: Callable[[Path | str | BinaryIO, OnProgress], R]
    facts: Callable[[R], dict[str, Any]]
    report: Report
    display: Callable[[str], AbstractContextManager[OnProgress]]
    skip_existing: bool = False

    def run(self, jobs: Sequence[Job]) -> int:
        """Attend to every job; the number that failed.

        Faults of one input (InputError, OutputError, and any unforeseen exception) count and the rest goes on.
        Faults that every input would meet (a wrong device, missing weights) propagate.
        """
        return sum(self._attend(job, f"{index}/{len(jobs)} ") == "failed" for index, job in enumerate(jobs, start=1))

    def _attend(self, job: Job, position: str) -> str:
        start_s = time.perf_counter()
        written: list[str] = []
        try:
            outcome = self._finish(job, position, written, start_s)
        except (InputError, OutputError) as error:
            outcome = _failure(job, written, error.code, str(error), start_s)
        except TuttiError:
            raise
        except Exception as error:
            log.exception("Unforeseen while working on %s", printable(job.input.name))
            message = f"tutti broke on it ({type(error).__name__}: {error}). Please report this with the traceback."
            outcome = _failure(job, written, "internal", message, start_s)
        self.report.tell(outcome)
        return outcome.status

    def _finish(self, job: Job, position: str, written: list[str], start_s: float) -> Outcome:
        if job.input.fault:
            raise job.input.fault
        if self.skip_existing and job.is_done:
            return Outcome(job.input.name, "skipped", tuple(map(str, job.outputs.values())))
        source = job.input.name if job.input.is_link else job.input.path or _standard_input()
        with self.display(position + printable(job.input.name)) as on_progress:
            result = self.work(source, on_progress)
            for format_name, path in job.outputs.items():
                _make_folder(path.parent)
                result.save_as(format_name, path)
                written.append(str(path))
        return Outcome(
            input=job.input.name,
            status="done",
            outputs=tuple(written),
            seconds=time.perf_counter() - start_s,
            warnings=result.warnings,
            facts=self.facts(result),
        )


def _failure(job: Job, written: list[str], code: str, message: str, start_s: float) -> Outcome:
    seconds = time.perf_counter() - start_s
    return Outcome(job.input.name, "failed", tuple(written), code, message, seconds)


def _standard_input() -> BinaryIO:
    if sys.stdin.isatty():
        raise UsageError("Standard input is a terminal. Pipe a recording in: cat song.mp3 | tutti ... -")
    return sys.stdin.buffer


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {printable(str(folder))!r} cannot be made ({error.strerror}). Choose another with -o."
        ) from error
