"""Files land whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from os import PathLike
from pathlib import Path

from tutti.errors import OutputError

__all__ = ["write_atomic"]

_ADVICE = {
    errno.ENOSPC: "The disk is full: free some space.",
    errno.EDQUOT: "The disk quota is used up: free some space.",
    errno.EFBIG: "The file would be larger than this system allows.",
    errno.EACCES: "You may not write there: choose another folder with -o.",
    errno.EPERM: "You may not write there: choose another folder with -o.",
    errno.EROFS: "That file system is read-only: choose another folder with -o.",
    errno.ENOENT: "The folder does not exist: create it first.",
    errno.ENOTDIR: "A part of the path is not a folder: choose another path.",
    errno.EISDIR: "A folder of that name is in the way: choose another name.",
    errno.ENAMETOOLONG: "The name is too long: choose a shorter one with -o.",
}


def write_atomic(path: str | PathLike[str], data: bytes) -> None:
    """Write `data` to `path` through a temporary file beside it, synced and renamed.

    Whatever was at `path` stays until the new content is complete. Raises OutputError, leaving nothing behind.
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "Is a directory")
        descriptor, temporary = tempfile.mkstemp(prefix=".tutti-", suffix=".part", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner may read
            Path(temporary).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "Choose another place with -o.")
        raise OutputError(f"Could not write {str(target)!r}: {error.strerror or error}. {advice}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
