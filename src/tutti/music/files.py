"""Files land whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable
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
    errno.EEXIST: "A device or pipe of that name is in the way: choose another name.",
    errno.EISDIR: "A folder of that name is in the way: choose another name.",
    errno.ENAMETOOLONG: "The name is too long: choose a shorter one with -o.",
}


def write_atomic(path: str | PathLike[str], data: bytes | Iterable[bytes | memoryview]) -> None:
    """Write `data`, whole or in parts, to `path` through a temporary file beside it, synced and renamed.

    Whatever was at `path` stays until the new content is complete. Raises OutputError, leaving nothing behind.
    """
    target = Path(path)
    try:
        _check_target(target)
        temporary = target.parent / f".tutti-{secrets.token_hex(8)}.part"  # short, whatever the target's name
        try:
            _write_synced(temporary, [data] if isinstance(data, bytes) else data)
            temporary.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "Choose another place with -o.")
        raise OutputError(f"Could not write {str(target)!r}: {error.strerror or error}. {advice}") from error
    except ValueError as error:  # a NUL in the path
        raise OutputError(f"Could not write {str(target)!r}: {error}. Choose another name.") from error


def _check_target(target: Path) -> None:
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "Is a directory")
    if target.exists() and not target.is_file():  # a rename would take the place of /dev/null
        raise FileExistsError(errno.EEXIST, "Not an ordinary file")


def _write_synced(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # less the umask; tempfile's are private
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
