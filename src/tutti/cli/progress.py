"""What a person sees while work goes on: a bar on standard error that is gone when the work is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["OnProgress", "bar", "progress_wanted", "silence"]

OnProgress = Callable[[str, float, float], None]
"""Called with the name of the stage, how much of it is done, and how much there is (0 while that is unknown)."""


def progress_wanted(*, quiet: bool) -> bool:
    return not quiet and sys.stderr.isatty()


@contextmanager
def silence(title: str) -> Iterator[OnProgress]:  # noqa: ARG001 - the shape of `bar`
    """Show nothing."""
    yield lambda _stage, _done, _total: None


@contextmanager
def bar(title: str) -> Iterator[OnProgress]:
    """A bar titled `title` that follows the stage reported last."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    # Standard output stays untouched: it may be a pipe that somebody parses.
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(escape(title), total=None)

        def on_progress(stage: str, done: float, total: float) -> None:
            progress.update(task, description=escape(f"{title}: {stage}"), completed=done, total=total or None)

        yield on_progress
