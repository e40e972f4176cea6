"""Work through many inputs: one that fails is told and the others are finished."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
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
Together = Callable[[Sequence[Path | str | BinaryIO], OnProgress], Iterator[tuple[int, R | InputError]]]


@dataclass(frozen=True, slots=True)
class Batch(Generic[R]):
    """How to treat every job."""

    work: Callable[[Path | str | BinaryIO, OnProgress], R]
    facts: Callable[[R], dict[str, Any]]
    report: Report
    display: Callable[[str], AbstractContextManager[OnProgress]]
    skip_existing: bool = False
    together: Together[R] | None = None
    """Works on many inputs at once where that is faster; gives each one's number with its result or fault."""

    def run(self, jobs: Sequence[Job]) -> int:
        """Attend to every job; the number that failed.

        Faults of one input (InputError, OutputError, and any unforeseen exception) count and the rest goes on.
        Faults that every input would meet (a wrong device, missing weights) propagate.
        """
        left = self._attend_together(jobs) if self.together is not None else jobs
        for index, job in enumerate(left, start=1):
            self._attend(job, f"{index}/{len(left)} ")
        return self.report.finish()

    def _attend_together(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Work on all jobs that are work; those that are left: skipped, faulty, and all in hand when something broke
        of which nobody knows whose fault it was."""
        assert self.together is not None
        waiting = {
            number: job for number, job in enumerate(jobs) if not job.input.fault and not self._is_to_be_skipped(job)
        }
        numbers, sources = list(waiting), [_source(job) for job in waiting.values()]
        try:
            with self.display(f"{len(sources)} recordings") as on_progress:
                began_s = time.perf_counter()
                for place, result in self.together(sources, on_progress):
                    self._conclude(waiting[numbers[place]], result, began_s)
                    del waiting[numbers[place]]
                    began_s = time.perf_counter()
        except TuttiError:
            raise
        except Exception:
            log.exception("Unforeseen while working on several inputs; going on one by one")
        done = set(numbers) - waiting.keys()
        return [job for number, job in enumerate(jobs) if number not in done]

    def _conclude(self, job: Job, result: R | InputError, start_s: float) -> None:
        written: list[str] = []
        try:
            if isinstance(result, InputError):
                raise result
            outcome = self._write(job, result, written, start_s)
        except (InputError, OutputError) as error:
            outcome = _failure(job, written, error.code, str(error), start_s)
        self.report.tell(outcome)

    def _is_to_be_skipped(self, job: Job) -> bool:
        return self.skip_existing and job.is_done

    def _attend(self, job: Job, position: str) -> None:
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

    def _finish(self, job: Job, position: str, written: list[str], start_s: float) -> Outcome:
        if job.input.fault:
            raise job.input.fault
        if self._is_to_be_skipped(job):
            return Outcome(job.input.name, "skipped", tuple(map(str, job.outputs.values())))
        with self.display(position + printable(job.input.name)) as on_progress:
            return self._write(job, self.work(_source(job), on_progress), written, start_s)

    def _write(self, job: Job, result: R, written: list[str], start_s: float) -> Outcome:
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


def _source(job: Job) -> Path | str | BinaryIO:
    return job.input.name if job.input.is_link else job.input.path or _standard_input()


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
