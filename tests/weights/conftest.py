import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tutti.settings import settings
from tutti.weights.cards import Card

CONTENT = bytes(range(256)) * 4096 * 9
"""9 MiB: three of the blocks a continued fetch asks for."""


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache and a folder of cards of the test's own, below the path given."""
    monkeypatch.setenv("TUTTI_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TUTTI_CARDS_DIR", str(tmp_path / "cards"))
    monkeypatch.delenv("TUTTI_OFFLINE", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "cards").mkdir()
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


@pytest.fixture
def make_card() -> Callable[..., Card]:
    """A card of `CONTENT`, with the fields given changed."""

    def make(*locations: str, content: bytes = CONTENT, **fields: Any) -> Card:
        facts: dict[str, Any] = {
            "name": "far",
            "capability": "transcription",
            "framework": "torch",
            "description": "a model of the tests",
            "licence": "Apache-2.0",
            "source": "the tests",
            "parameters": 1,
            "file": "far.safetensors",
            "size_bytes": len(content),
            "sha256": sha256(content).hexdigest(),
            "locations": locations or ("https://models.invalid/far.safetensors",),
        }
        return Card.model_validate({**facts, **fields})

    return make


@dataclass
class Server:
    """A web server on this machine, its manners, and what it was asked."""

    address: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    etag: str = '"1"'
    breaks_at: int | None = None
    """Close the connection at this byte of the content."""
    status: int = 200
    says_size: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """(method, Range header) of every request"""

    @property
    def uri(self) -> str:
        return f"{self.address}/models/far.safetensors"

    @property
    def gets(self) -> list[str | None]:
        return [wanted for method, wanted in self.asked if method == "GET"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        web: Server = self.server.web
        wanted = self.headers["Range"]
        web.asked.append((self.command, wanted))
        if web.status != 200:
            self.send_response(web.status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        total, first, last = len(web.content), 0, len(web.content) - 1
        if wanted and web.ranges:
            first, last = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
            last = min(last, total - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{total}")
        else:
            self.send_response(200)
        if web.says_size:
            self.send_header("Content-Length", str(last + 1 - first))
        else:
            self.send_header("Connection", "close")
        if web.etag:
            self.send_header("ETag", web.etag)
        self.end_headers()
        if with_body:
            stop = last + 1 if web.breaks_at is None else max(first, min(last + 1, web.breaks_at))
            self.wfile.write(web.content[first:stop])
            self.close_connection = self.close_connection or stop != last + 1 or not web.says_size

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up early is none of the tests' business."""


@pytest.fixture
def server() -> Iterator[Server]:
    web = Server()
    listener = _Listener(("127.0.0.1", 0), _Handler)
    listener.web = web  # type: ignore[attr-defined]
    web.address = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield web
    listener.shutdown()
    listener.server_close()
    thread.join()
