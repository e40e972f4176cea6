"""A link → a file in a folder: recordings on the web, and video sites through yt-dlp.

Links are a stranger's choice, and they are opened from inside the user's network. `wire` says what keeps them from
reaching anything there; what arrives must be a recording by its content before it gets a name.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from tutti.audio.sniffing import ACCEPTED, sniff
from tutti.audio.video_sites import fetch_from_site, site_of
from tutti.audio.wire import LinkPolicy, Wire, shown
from tutti.errors import LinkNotAudioError, LinkRefusedError, OutputError, printable
from tutti.settings import settings

__all__ = ["FetchedLink", "LinkPolicy", "fetch_link", "is_link"]

OnBytes = Callable[[int, int], None]
"""Called as `on_bytes(done, total)`; `total` is 0 while it is unknown."""

_BLOCK_BYTES: Final = 1 << 16
_MAX_NAME: Final = 80
_HEADERS: Final = {"User-Agent": "tutti", "Accept": "audio/*, video/*;q=0.9, */*;q=0.5"}
_MEDIA_SUFFIX: Final = re.compile(
    r"\.(wav|flac|mp3|ogg|oga|opus|aiff?|aifc|m4a|aac|mp4|m4v|mov|mkv|webm|avi|caf)$", re.I
)


@dataclass(frozen=True)
class FetchedLink:
    """A recording that came by a link."""

    path: Path
    title: str
    """What its site calls it, or the name of the file; one line."""
    url: str
    """The link without its query."""


def is_link(source: object) -> bool:
    """Whether `source` is meant as a link rather than as a path."""
    return isinstance(source, str) and re.match(r"https?://", source, re.I) is not None


def fetch_link(
    url: str,
    folder: Path,
    policy: LinkPolicy | None = None,
    *,
    on_bytes: OnBytes | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> FetchedLink:
    """Fetches the recording at `url` into `folder` and names it after its title; a file of that name is replaced.

    https:// only, unless the policy allows http://. Pages of video sites need the extra `link` (yt-dlp): the sound of
    one video, as it is stored; playlists and live streams are refused. Nothing is left behind on failure.

    Raises LinkError: LinkRefusedError (a private address, a page behind a login, TUTTI_OFFLINE), LinkGoneError,
    LinkLimitError (bytes, seconds of sound, time), LinkNotAudioError; OutputError when `folder` cannot be written to,
    Cancelled once `cancelled()` says True.
    """
    if settings().offline:
        raise LinkRefusedError("TUTTI_OFFLINE is set, so no link is followed. Unset it, or give the file.")
    wire = Wire(policy or LinkPolicy(), cancelled)
    path = wire.checked(url).path
    told = on_bytes or (lambda _done, _total: None)
    with _landing(folder) as part_folder:
        # Asking yt-dlp for the site is slow, and no site gives its pages the names of recordings.
        site = None if _MEDIA_SUFFIX.search(path) else site_of(url)
        if site is not None:
            part, called = fetch_from_site(url, site, part_folder, wire, told)
        else:
            part, called = _fetch_file(url, part_folder, wire, told)
        _check_audio(part, url)
        title = printable(" ".join(called.split())) or "recording"
        landed = folder / _file_name(title, part.suffix)
        part.replace(landed)
    return FetchedLink(landed, title, shown(url))


def _fetch_file(url: str, folder: Path, wire: Wire, told: OnBytes) -> tuple[Path, str]:
    with wire.get(url, _HEADERS) as answer:
        name = Path(unquote(urlsplit(answer.url).path))
        suffix = name.suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,5}", name.suffix) else ""
        part = folder / f"sound{suffix}"
        total = int(answer.headers.get("Content-Length", "0")) if _is_count(answer.headers.get("Content-Length")) else 0
        if answer.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise _not_audio(url, is_page=True)
        encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise LinkNotAudioError(f"{shown(url)} comes compressed ({printable(encoding)}). Download it yourself.")
        done = 0
        with part.open("wb") as file:
            while piece := answer.read(_BLOCK_BYTES):
                if not done and not _may_be_audio(piece):
                    raise _not_audio(url, is_page=piece.lstrip()[:1] == b"<")
                file.write(piece)
                done += len(piece)
                told(done, total)
    return part, name.stem.strip(". ") or urlsplit(answer.url).hostname or ""


def _is_count(text: str | None) -> bool:
    return text is not None and text.isascii() and text.isdecimal()


def _may_be_audio(head: bytes) -> bool:
    """False when the first bytes already show that this is no recording. A tag may be longer than what has come."""
    if len(head) < 16 or head.startswith((b"ID3", b"\0")):
        return True
    return sniff(lambda offset, size: head[offset : offset + size]) is not None


def _check_audio(path: Path, url: str) -> None:
    with path.open("rb") as file:

        def read_at(offset: int, size: int) -> bytes:
            file.seek(offset)
            return file.read(size)

        if sniff(read_at) is None:
            raise _not_audio(url, is_page=read_at(0, 256).lstrip()[:1] == b"<")


def _not_audio(url: str, *, is_page: bool) -> LinkNotAudioError:
    if is_page:
        return LinkNotAudioError(
            f"{shown(url)} is a web page, not a recording. Give the link of the recording itself; for video sites, "
            "run: pip install 'tutti[link]'"
        )
    return LinkNotAudioError(f"{shown(url)} is no recording. {ACCEPTED}")


@contextlib.contextmanager
def _landing(folder: Path) -> Iterator[Path]:
    """A folder inside `folder` for what is not complete yet."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".tutti-") as name:
            yield Path(name)
    except OSError as error:
        raise OutputError(
            f"The recording could not be written to {folder} ({error.strerror or error}). Free some space there or "
            "choose another folder."
        ) from error


def _file_name(title: str, suffix: str) -> str:
    """`title` as far as every file system takes it."""
    kept = "".join(letter if letter.isalnum() or letter in " -_.,()&'" else "_" for letter in title)
    return (kept.encode()[:_MAX_NAME].decode(errors="ignore").strip(" .") or "recording") + suffix.lower()
