"""The sound of one video through yt-dlp, as a library and on a short leash.

All its requests go through `wire`, so that neither a page nor a redirect leads into a private network and the limits
hold for everything together. It gets no proxies, no cookies, no configuration, no cache, no ffmpeg, and writes one
file. What it is trusted with: its code and its plugins, and, for some sites, a JavaScript runtime (deno, where it is
installed), which it starts without rights to the network.
"""

from __future__ import annotations

import importlib.util
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tutti.audio.wire import Answer, Wire, shown
from tutti.errors import (
    Cancelled,
    LinkError,
    LinkGoneError,
    LinkLimitError,
    LinkNotAudioError,
    LinkRefusedError,
    printable,
)

__all__ = ["fetch_from_site", "site_of"]

_FORMAT: Final = "bestaudio[protocol^=http]/best[protocol^=http]"
"""Plain files and numbered pieces. Streams of other kinds would need ffmpeg to become a file."""
_MAX_WORDS: Final = 200
_REFUSED: Final = re.compile(r"private|log ?in|sign in|members|account|age.restricted|not available in your|geo", re.I)
_GONE: Final = re.compile(
    r"unavailable|removed|deleted|terminated|does not exist|not found|no longer|HTTP Error 4(04|10)", re.I
)


def site_of(url: str) -> str | None:
    """yt-dlp's name of the site that `url` is a page of; None when it knows none, or is not installed."""
    if importlib.util.find_spec("yt_dlp") is None:
        return None
    import yt_dlp.extractor

    for extractor in yt_dlp.extractor.gen_extractor_classes():
        if extractor.ie_key() != "Generic" and extractor.suitable(url):
            return str(extractor.ie_key())
    return None


def fetch_from_site(
    url: str, site: str, folder: Path, wire: Wire, on_bytes: Callable[[int, int], None]
) -> tuple[Path, str]:
    """The file of the video's sound inside `folder`, and the video's title. Raises as `links.fetch_link`."""
    from yt_dlp.utils import YoutubeDLError

    leash = _Leash(wire)
    options: dict[str, Any] = {
        "format": _FORMAT,
        "outtmpl": str(folder / "sound.%(ext)s"),
        "allowed_extractors": ["default", "-generic"],
        "noplaylist": True,
        "playlist_items": "1",
        "lazy_playlist": True,
        "proxy": "",
        "cachedir": False,
        "cookiefile": None,
        "enable_file_urls": False,
        "external_downloader": {"default": "native"},
        "ffmpeg_location": str(folder / "none"),
        "fixup": "never",
        "nopart": True,
        "updatetime": False,
        "retries": 1,
        "fragment_retries": 1,
        "extractor_retries": 1,
        "socket_timeout": wire.policy.silence_s,
        "max_filesize": wire.policy.max_bytes,
        "quiet": True,
        "no_warnings": True,
        "noprogress": True,
        "logger": _Silent(),
        "progress_hooks": [lambda told: on_bytes(told.get("downloaded_bytes") or 0, told.get("total_bytes") or 0)],
    }
    try:
        with leash, _downloader(options, leash) as downloader:
            info = downloader.extract_info(url, download=False, ie_key=site)
            _check_info(info, url, wire)
            info = downloader.process_ie_result(info, download=True)
    except YoutubeDLError as error:
        raise leash.refusal or _failure(url, error) from error
    if leash.refusal is not None and isinstance(leash.refusal, (LinkLimitError, Cancelled)):
        raise leash.refusal
    files = [path for path in folder.iterdir() if path.is_file()]
    if len(files) != 1:
        raise leash.refusal or LinkError(f"{shown(url)} gave no sound. Download it yourself and give the file.")
    return files[0], str(info.get("title") or "")


def _check_info(info: Any, url: str, wire: Wire) -> None:
    """Refuses by what the site says, before the sound is fetched."""
    if info is None or info.get("_type") in ("playlist", "multi_video"):
        raise LinkError(f"{shown(url)} is a list of videos. Give the link of one of them.")
    if info.get("is_live") or info.get("live_status") in ("is_live", "is_upcoming"):
        raise LinkError(f"{shown(url)} is live, so it has no end. Give a recording.")
    duration_s = info.get("duration")
    if duration_s is not None and duration_s > wire.policy.max_duration_s:
        raise LinkLimitError(
            f"{shown(url)} is {duration_s:.0f} s long, the limit is {wire.policy.max_duration_s:g} s. "
            "Download it yourself and give a part of it."
        )
    size = info.get("filesize") or 0
    if size > wire.policy.max_bytes:
        raise LinkLimitError(
            f"{shown(url)} has {size:,} bytes of sound, the limit is {wire.policy.max_bytes:,}. "
            "Download it yourself and give a part of it."
        )


def _failure(url: str, error: Exception) -> LinkError:
    """yt-dlp's words, sorted as far as they can be."""
    words = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).removeprefix("ERROR: ")
    words = printable(re.sub(r"^\[[^]]*\] [^:]*: ", "", words).partition("\n")[0].partition("; please report")[0])
    said = f"{shown(url)} could not be fetched ({words[:_MAX_WORDS].strip(' .')})."
    if "Requested format is not available" in words:
        return LinkNotAudioError(f"{said} It has no sound that can be stored as it is. Give the file.")
    if _REFUSED.search(words):
        return LinkRefusedError(f"{said} Download it yourself and give the file.")
    if _GONE.search(words):
        return LinkGoneError(f"{said} Check the link.")
    return LinkError(f"{said} Check the link; sites change often: pip install --upgrade yt-dlp")


class _Leash:
    """The wire as yt-dlp uses it, and why it first refused: yt-dlp goes on after errors, and forgets their kind.

    On leaving, answers are closed that yt-dlp read to no end.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.refusal: LinkError | Cancelled | None = None
        self._open: list[Answer] = []

    def __enter__(self) -> _Leash:
        return self

    def __exit__(self, *_: object) -> None:
        for answer in self._open:
            answer.close()

    def ask(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> Answer:
        self._open = [answer for answer in self._open if not answer.closed]
        try:
            self._open.append(self.wire.ask(method, url, headers, body))
        except (LinkError, Cancelled) as error:
            self.note(error)
            raise
        return self._open[-1]

    def note(self, error: LinkError | Cancelled) -> None:
        """Keeps the first, but a limit that was reached in any case."""
        if self.refusal is None or isinstance(error, (LinkLimitError, Cancelled)):
            self.refusal = error


class _Silent:
    """A logger of yt-dlp that says nothing; its errors are raised as well."""

    def debug(self, message: str) -> None: ...

    def info(self, message: str) -> None: ...

    def warning(self, message: str, *, once: bool = False) -> None: ...

    def error(self, message: str) -> None: ...


def _downloader(options: dict[str, Any], leash: _Leash) -> Any:
    """A YoutubeDL whose only way to the network is `leash`. The classes are made here, where yt-dlp is imported."""
    import yt_dlp
    from yt_dlp.networking.common import RequestHandler, Response
    from yt_dlp.networking.exceptions import HTTPError, RequestError, TransportError

    class LeashRH(RequestHandler):  # type: ignore[misc] # yt-dlp has no types, and wants this ending
        _SUPPORTED_URL_SCHEMES = ("http", "https")
        _SUPPORTED_PROXY_SCHEMES = None
        _SUPPORTED_FEATURES = None

        def _check_extensions(self, extensions: dict[str, Any]) -> None:
            super()._check_extensions(extensions)
            for name in ("cookiejar", "timeout", "legacy_ssl", "keep_header_casing"):
                extensions.pop(name, None)

        def _send(self, request: Any) -> Any:
            method, url, body = request.method, request.url, _body_of(request.data)
            cookies = self._get_cookiejar(request)
            for _ in range(leash.wire.policy.max_redirects + 1):
                headers = self._get_headers(request)
                if cookie := cookies.get_cookie_header(url):
                    headers["Cookie"] = cookie
                if body is None:
                    headers.pop("Content-Type", None)
                try:
                    answer = leash.ask(method, url, headers, body)
                except (LinkLimitError, Cancelled) as error:
                    raise RequestError(str(error), cause=error) from error
                except LinkError as error:  # an extractor may do without this answer
                    raise TransportError(str(error), cause=error) from error
                cookies.extract_cookies(_Headed(answer), urllib.request.Request(url))
                response = LeashResponse(answer, answer.url, answer.headers, answer.status)
                if (there := answer.moved_to) is None:
                    if not 200 <= answer.status < 300:
                        raise HTTPError(response)
                    return response
                answer.close()
                if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                    method, body = "GET", None
                url = there
            raise HTTPError(response, redirect_loop=True)

    class LeashResponse(Response):  # type: ignore[misc]
        def read(self, amt: int | None = None) -> bytes:
            try:
                data: bytes = self.fp.read(-1 if amt is None else amt)
            except (LinkError, Cancelled) as error:
                leash.note(error)
                raise TransportError(str(error), cause=error) from error
            if self.fp.closed:
                self.close()
            return data

    class Downloader(yt_dlp.YoutubeDL):  # type: ignore[misc]
        def build_request_director(self, _handlers: Any, _preferences: Any = None) -> Any:
            return super().build_request_director([LeashRH])

    return Downloader(options)


class _Headed:
    """What a cookie jar asks an answer for."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def info(self) -> Any:
        return self._answer.headers


def _body_of(data: Any) -> bytes | None:
    if data is None or isinstance(data, bytes):
        return data
    return bytes(data.read()) if hasattr(data, "read") else b"".join(data)
