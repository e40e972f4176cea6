"""One process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

from tutti.errors import DownloadError

__all__ = ["locked"]

_PATIENCE_S = 600.0
_PAUSE_S = 0.1


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`. The lock is the operating system's, so it goes with the process that held it.

    Raises DownloadError when another process keeps it for ten minutes, OSError when the file cannot be made.
    """
    with path.open("a") as file:
        give_up = time.monotonic() + _PATIENCE_S
        while not _try_lock(file.fileno()):
            if time.monotonic() > give_up:
                raise DownloadError(f"Another process has been fetching into {path.parent} for long. Try again later.")
            time.sleep(_PAUSE_S)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
