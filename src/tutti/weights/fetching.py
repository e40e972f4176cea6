"""Bytes from elsewhere into a `.part` file, continued where an earlier fetch broke off.

fsspec speaks to every kind of place. Its back ends raise errors of their own; from here on they are DownloadError.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

from tutti.errors import DownloadError, MissingExtraError, OutputError

__all__ = ["OnBytes", "Remote", "download", "open_remote", "shown"]

OnBytes = Callable[[int, int], None]
"""Called as `on_bytes(done, total)`; `total` is 0 while it is unknown."""

_BLOCK_BYTES = 1 << 22
_CONNECT_S, _SILENCE_S = 30.0, 60.0
_EXTRAS = {"http": "http", "https": "http", "s3": "s3"}


class _NoRangesError(Exception):
    """The server only serves the file from its beginning."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file elsewhere that was found to be there."""

    uri: str
    size_bytes: int | None
    fingerprint: str | None
    """Changes when the content does; None when the place gives no such thing."""
    _files: Any
    _path: str

    def blocks(self, offset: int) -> Iterator[bytes]:
        """The content from byte `offset` on. Raises DownloadError."""
        try:
            with self._files.open(self._path, "rb", **self._how(offset)) as source:
                if offset:
                    source.seek(offset)
                while block := source.read(_BLOCK_BYTES):
                    yield block
        except Exception as error:  # every back end has errors of its own
            if isinstance(error, ValueError) and offset and self._speaks_http:
                raise _NoRangesError from error
            raise _failure(self.uri, error) from error

    @property
    def _speaks_http(self) -> bool:
        return _EXTRAS.get(urlsplit(self.uri).scheme) == "http"

    def _how(self, offset: int) -> dict[str, Any]:
        if self._speaks_http and not offset:
            return {"block_size": 0}  # one answer streamed to its end, which every server can do
        return {"block_size": _BLOCK_BYTES, "cache_type": "none"}


def open_remote(uri: str) -> Remote:
    """The file at `uri`, one that `cards.check_uri` passed. Raises DownloadError, MissingExtraError."""
    import fsspec  # type: ignore[import-untyped] # slow to import, and only fetching needs it

    scheme = urlsplit(uri).scheme
    path = url2pathname(urlsplit(uri).path) if scheme == "file" else uri
    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        raise MissingExtraError(
            f"Fetching from {scheme}:// needs one more package. Run: pip install 'tutti[{_EXTRAS.get(scheme, scheme)}]'"
        ) from error
    try:
        files = fsspec.filesystem(scheme, **_options(scheme))
        facts = files.info(path)
    except Exception as error:  # every back end has errors of its own
        raise _failure(uri, error) from error
    if facts.get("type") == "directory":
        raise DownloadError(f"{shown(uri)} is a folder. Name a file in it.")
    marks = [facts.get(key) for key in ("ETag", "Last-Modified", "LastModified", "mtime")]
    fingerprint = " ".join(str(mark) for mark in marks if mark) or None
    return Remote(uri, facts.get("size"), fingerprint, files, path)


def _options(scheme: str) -> dict[str, Any]:
    if _EXTRAS.get(scheme) != "http":
        return {}
    from aiohttp import ClientTimeout

    # The default timeout counts the whole answer, which a large file on a slow line outlasts.
    timeout = ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
    return {"headers": {"Accept-Encoding": "identity"}, "client_kwargs": {"timeout": timeout, "trust_env": True}}


def download(remote: Remote, part: Path, on_bytes: OnBytes) -> None:
    """Append to `part` what it lacks of `remote`.

    Raises DownloadError (what arrived stays in `part`), OutputError when the disk has too little room, OSError when
    writing fails.
    """
    try:
        _append(remote, part, _size(part), on_bytes)
    except _NoRangesError:
        part.unlink()
        _append(remote, part, 0, on_bytes)
    done = _size(part)
    if remote.size_bytes is not None and done != remote.size_bytes:
        raise DownloadError(
            f"{shown(remote.uri)} broke off at byte {done} of {remote.size_bytes}. Run the same again to continue."
        )


def _append(remote: Remote, part: Path, done: int, on_bytes: OnBytes) -> None:
    total = remote.size_bytes or 0
    free = shutil.disk_usage(part.parent).free
    if total - done > free:
        raise OutputError(f"The disk is full: {part.parent} has room for {free} of {total - done} bytes. Free some.")
    on_bytes(done, total)
    with part.open("ab") as file:
        for block in remote.blocks(done):
            file.write(block)
            done += len(block)
            if total and done > total:
                file.truncate(0)
                raise DownloadError(f"{shown(remote.uri)} sent more than the {total} bytes it announced.")
            on_bytes(done, total)
        file.flush()
        os.fsync(file.fileno())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _failure(uri: str, error: Exception) -> DownloadError:
    cause = error.__cause__ or error  # what the connection said, where a back end only says "not found"
    return DownloadError(
        f"{shown(uri)} could not be fetched ({_reason(uri, cause)}). Check the address and the network, then run the "
        "same again; what has arrived is kept."
    )


def _reason(uri: str, cause: BaseException) -> str:
    if status := getattr(cause, "status", None):
        return f"HTTP status {status}"
    if shown(uri) != uri:  # the words of a back end may quote the whole address, however escaped
        return type(cause).__name__
    return " ".join(str(cause).split()) or type(cause).__name__


def shown(uri: str) -> str:
    """`uri` without password and query, which may hold keys."""
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
