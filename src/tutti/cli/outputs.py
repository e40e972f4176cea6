"""Where results go, decided for every input before any work starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tutti.cli.inputs import STDIN, Input
from tutti.errors import UnknownFormatError, UsageError, printable

__all__ = ["Job", "parse_formats", "plan"]


@dataclass(frozen=True, slots=True)
class Job:
    """One input and the files it becomes."""

    input: Input
    outputs: dict[str, Path]
    """Format name → file."""

    @property
    def is_done(self) -> bool:
        return all(path.is_file() for path in self.outputs.values())


def parse_formats(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """The formats in a comma-separated list, each once. Raises UnknownFormatError."""
    names = tuple(dict.fromkeys(name.strip().lower().removeprefix(".") for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise UnknownFormatError(f"Unknown format {', '.join(unknown) or text!r}. Use one of: {', '.join(known)}.")
    return names


def plan(inputs: Sequence[Input], output: str | None, formats: str | None, known: Sequence[str]) -> list[Job]:
    """Jobs for `inputs`.

    Without `output` a result lies beside its input (standard input: in the current folder). `output` is a file when
    its suffix is a known format, and a folder otherwise. Raises UsageError, before anything is written, when two
    results would share a file or a result would replace an input.
    """
    if output == STDIN:
        raise UsageError("-o - is no place for results, which are files. Name a folder or a file.")
    if output is not None and _is_file(output, known):
        jobs = [_single(inputs, Path(output), parse_formats(formats, known) if formats else None)]
    else:
        names = parse_formats(formats or known[0], known)
        jobs = [Job(item, _targets(item, output, names)) for item in inputs]
    _refuse_collisions(jobs)
    return jobs


def _is_file(output: str, known: Sequence[str]) -> bool:
    if output.endswith(("/", os.sep)) or os.path.isdir(output):  # noqa: PTH112 - never raises
        return False
    suffix = Path(output).suffix.removeprefix(".").lower()
    if suffix and suffix not in known:
        raise UnknownFormatError(
            f"-o {printable(output)!r} ends in no known format ({', '.join(known)}). "
            f"If a folder is meant, end it with a slash: {printable(output) + '/'!r}."
        )
    return bool(suffix)


def _single(inputs: Sequence[Input], output: Path, formats: tuple[str, ...] | None) -> Job:
    name = output.suffix.removeprefix(".").lower()
    if len(inputs) != 1:
        raise UsageError(
            f"-o {printable(str(output))!r} is one file, but there are {len(inputs)} inputs. Give a folder: end it "
            "with a slash."
        )
    if formats not in (None, (name,)):
        raise UsageError(
            f"-o {printable(str(output))!r} and --format disagree. Leave one of them out, or give a folder: end it "
            "with a slash."
        )
    return Job(inputs[0], {name: output})


def _targets(item: Input, output: str | None, formats: Sequence[str]) -> dict[str, Path]:
    base = Path(output) / item.relative if output is not None else item.path or item.relative
    return {name: base.parent / f"{base.stem}.{name}" for name in formats}


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    owners = {
        os.path.realpath(job.input.path): job.input.name for job in jobs if job.input.path and not job.input.fault
    }
    for job in jobs:
        if job.input.fault:
            continue
        for path in job.outputs.values():
            key = os.path.realpath(path)
            if job.input.path and key == os.path.realpath(job.input.path):
                raise UsageError(
                    f"{printable(job.input.name)!r} would be written over itself. Name another folder with -o."
                )
            if key in owners:
                raise UsageError(
                    f"{printable(job.input.name)!r} would be written to {printable(str(path))!r}, which "
                    f"{printable(owners[key])!r} already takes. Rename one of them or give them different output "
                    "folders."
                )
            owners[key] = job.input.name
