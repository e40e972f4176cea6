from __future__ import annotations

import http.server
import ipaddress
import itertools
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti import settings as tutti_settings
from tutti.audio import video_sites
from tutti.audio.links import FetchedLink, LinkPolicy, fetch_link, is_link
from tutti.audio.reading import read_audio
from tutti.audio.wire import Wire, is_public
from tutti.errors import (
    Cancelled,
    LinkError,
    LinkGoneError,
    LinkLimitError,
    LinkNotAudioError,
    LinkRefusedError,
    OutputError,
)

LOOPBACK = "127.0.0.1"
HOSTS = {
    "songs.example": [LOOPBACK],
    "videos.example": [LOOPBACK],
    "liederü.example".encode("idna").decode(): [LOOPBACK],
    "inside.example": ["10.0.0.7"],
    "both.example": [LOOPBACK, "192.168.1.1"],
}


def resolve(host: str, _port: int) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    if host not in HOSTS:
        raise socket.gaierror("no such host")
    return HOSTS[host]


def is_here_or_public(address: Any) -> bool:
    return str(address) == LOOPBACK or is_public(address)


@pytest.fixture(autouse=True)
def _no_sites_and_fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Looking for a site among 1,800 takes a second; tests of sites bring their own."""
    monkeypatch.delenv("TUTTI_OFFLINE", raising=False)
    tutti_settings.settings.cache_clear()
    monkeypatch.setattr("tutti.audio.links.site_of", lambda _url: None)
    yield
    tutti_settings.settings.cache_clear()


class Server:
    """What the tests' web server gives: path → a function that writes the whole answer."""

    def __init__(self) -> None:
        self.routes: dict[str, Callable[[http.server.BaseHTTPRequestHandler], None]] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.port = 0

    def file(self, path: str, data: bytes, kind: str = "audio/wav", status: int = 200, **headers: str) -> None:
        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            handler.send_header("Content-Type", kind)
            for name, value in {"Content_Length": str(len(data)), **headers}.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(data)

        self.routes[path] = answer

    def moved(self, path: str, there: str, status: int = 302) -> None:
        self.file(path, b"", status=status, Location=there)

    def raw(self, path: str, pieces: Callable[[], Iterator[bytes]]) -> None:
        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            for piece in pieces():
                try:
                    handler.wfile.write(piece)
                except OSError:
                    return

        self.routes[path] = answer

    def url(self, path: str, host: str = "songs.example", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


class _Quiet(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are what these tests are about."""


def serve(server: Server, context: ssl.SSLContext | None = None) -> _Quiet:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.seen.append((self.path, dict(self.headers)))
            path = self.path.partition("?")[0]
            if path in server.routes:
                server.routes[path](self)
            else:
                self.send_error(404)

        def log_message(self, *_: Any) -> None: ...

    httpd = _Quiet((LOOPBACK, 0), Handler)
    if context is not None:
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    server.port = httpd.server_address[1]
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return httpd


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    httpd = serve(made)
    yield made
    httpd.shutdown()
    httpd.server_close()


POLICY = LinkPolicy(
    max_bytes=1 << 20, max_wall_s=20.0, silence_s=5.0, allow_http=True, is_allowed=is_here_or_public, resolve=resolve
)


@pytest.fixture
def wav(recordings: Any) -> bytes:
    return recordings.wav()


# --- what arrives


def test_a_recording_lands_under_its_title(server: Server, wav: bytes, tmp_path: Path) -> None:
    server.file("/band/My%20song.wav", wav)
    told: list[tuple[int, int]] = []
    url = server.url("/band/My%20song.wav?key=secret")
    fetched = fetch_link(url, tmp_path / "new", POLICY, on_bytes=lambda *step: told.append(step))
    path = tmp_path / "new" / "My song.wav"
    assert fetched == FetchedLink(path, "My song", server.url("/band/My%20song.wav"))
    assert path.read_bytes() == wav
    assert list(path.parent.iterdir()) == [path]
    assert told[-1] == (len(wav), len(wav))
    assert server.seen[0][0] == "/band/My%20song.wav?key=secret"
    assert server.seen[0][1]["Host"] == f"songs.example:{server.port}"
    assert read_audio(path).duration_s == pytest.approx(0.1)


def test_redirects_are_followed_and_the_last_name_counts(server: Server, wav: bytes, tmp_path: Path) -> None:
    server.moved("/latest", "/one", 301)
    server.moved("/one", server.url("/tune.wav", "both.example").replace("both", "videos"), 307)
    server.file("/tune.wav", wav)
    assert fetch_link(server.url("/latest"), tmp_path, POLICY).path.name == "tune.wav"
    server.moved("/loop", "/loop")
    with pytest.raises(LinkError, match="more than 3 redirects"):
        fetch_link(server.url("/loop"), tmp_path, POLICY)


def test_names_and_paths_of_every_script(server: Server, wav: bytes, tmp_path: Path) -> None:
    server.file("/%E6%AD%8C/%2E%2E%2Fo%00h.wav", wav)
    fetched = fetch_link(server.url("/歌/%2E%2E%2Fo%00h.wav", "liederü.example"), tmp_path, POLICY)
    assert fetched.path.parent == tmp_path
    assert fetched.title == "o\\x00h"


@pytest.mark.parametrize("path", ["/", "/..", "/.wav"])
def test_links_without_a_name(path: str, server: Server, wav: bytes, tmp_path: Path) -> None:
    server.file(path, wav)
    fetched = fetch_link(server.url(path), tmp_path, POLICY)
    assert fetched.path.parent == tmp_path
    assert fetched.path.read_bytes() == wav
    assert not fetched.path.name.startswith(".")


def test_a_recording_whose_length_nobody_says(server: Server, wav: bytes, tmp_path: Path) -> None:
    server.raw("/song", lambda: iter([b"HTTP/1.0 200 OK\r\n\r\n", wav[:10], wav[10:]]))
    assert fetch_link(server.url("/song"), tmp_path, POLICY).path.read_bytes() == wav


# --- what is refused


def test_a_link_that_is_gone(server: Server, tmp_path: Path) -> None:
    with pytest.raises(LinkGoneError, match="404"):
        fetch_link(server.url("/nothing.wav"), tmp_path, POLICY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("status", "error"), [(401, LinkRefusedError), (403, LinkRefusedError), (503, LinkError)])
def test_a_link_that_is_not_for_everybody(
    status: int, error: type[LinkError], server: Server, wav: bytes, tmp_path: Path
) -> None:
    server.file("/song.wav", wav, status=status)
    with pytest.raises(error, match=str(status)):
        fetch_link(server.url("/song.wav"), tmp_path, POLICY)


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("text/html; charset=utf-8", b"<!doctype html><title>Song</title>", "web page"),
        ("audio/mpeg", b"  <html><body>not here, sorry</body></html>", "web page"),
        ("audio/wav", b"%PDF-1.7 and so on and on", "is no recording"),
        ("audio/wav", b"short", "is no recording"),
        ("audio/wav", b"", "is no recording"),
        ("audio/mpeg", b"ID3\x04\0\0\0\0\0\x05hello and nothing else at all", "is no recording"),
        ("application/vnd.apple.mpegurl", b"#EXTM3U\nhttp://inside.example/secret\n", "is no recording"),
    ],
)
def test_what_is_not_audio(kind: str, data: bytes, words: str, server: Server, tmp_path: Path) -> None:
    server.file("/song", data, kind)
    with pytest.raises(LinkNotAudioError, match=words):
        fetch_link(server.url("/song"), tmp_path, POLICY)
    assert list(tmp_path.iterdir()) == []


def test_packed_content(server: Server, wav: bytes, tmp_path: Path) -> None:
    server.file("/song.wav", wav, Content_Encoding="gzip")
    with pytest.raises(LinkNotAudioError, match="gzip"):
        fetch_link(server.url("/song.wav"), tmp_path, POLICY)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://songs.example/a.wav", LinkRefusedError),
        ("ftp://songs.example/a.wav", LinkRefusedError),
        ("file:///etc/passwd", LinkRefusedError),
        ("https://", LinkError),
        ("https://:443/a.wav", LinkError),
        ("https://songs.example:port/a.wav", LinkError),
        ("https://[::1/a.wav", LinkError),
        ("https://me:secret@songs.example/a.wav", LinkRefusedError),
        ("https://songs.example/a\r\nX: y", LinkError),
        ("https://nowhere.example/a.wav", LinkError),
        (f"https://{'a' * 300}.example/a.wav", LinkError),
        ("https://inside.example/a.wav", LinkRefusedError),
        ("https://127.0.0.1/a.wav", LinkRefusedError),
        ("https://[::ffff:10.0.0.1]/a.wav", LinkRefusedError),
        ("https://[fe80::1]/a.wav", LinkRefusedError),
        ("https://both.example/a.wav", LinkRefusedError),
    ],
)
def test_links_that_are_not_followed(url: str, error: type[LinkError], tmp_path: Path) -> None:
    policy = replace(POLICY, allow_http=False, is_allowed=is_public)
    with pytest.raises(error) as caught:
        fetch_link(url, tmp_path, policy)
    assert type(caught.value) is error
    assert "secret" not in str(caught.value)
    assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_the_system_s_own_names_are_checked_too(tmp_path: Path) -> None:
    for host in ("localhost", "0x7f.1", "2130706433"):
        with pytest.raises(LinkError) as caught:
            fetch_link(f"https://{host}/a.wav", tmp_path)
        assert isinstance(caught.value, LinkRefusedError) or "no host" in str(caught.value)


@pytest.mark.parametrize(
    "there",
    [
        "http://inside.example/a.wav",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/a.wav",
        "file:///etc/passwd",
    ],
)
def test_redirects_to_where_links_may_not_lead(there: str, server: Server, tmp_path: Path) -> None:
    server.moved("/song.wav", there)
    with pytest.raises(LinkRefusedError):
        fetch_link(server.url("/song.wav"), tmp_path, POLICY)


def test_the_address_that_was_checked_is_the_one_that_is_reached(server: Server, wav: bytes, tmp_path: Path) -> None:
    server.file("/song.wav", wav)
    answers = iter([[LOOPBACK], ["10.0.0.7"]])
    policy = replace(POLICY, resolve=lambda _host, _port: next(answers))
    assert fetch_link(server.url("/song.wav", "rebinding.example"), tmp_path, policy).path.read_bytes() == wav
    with pytest.raises(LinkRefusedError):
        fetch_link(server.url("/song.wav", "rebinding.example"), tmp_path, policy)


def test_an_address_that_does_not_answer_gives_way_to_the_next(server: Server, wav: bytes, tmp_path: Path) -> None:
    server.file("/song.wav", wav)
    policy = replace(POLICY, resolve=lambda _host, _port: ["127.0.0.2", LOOPBACK], is_allowed=lambda _address: True)
    assert fetch_link(server.url("/song.wav"), tmp_path, policy).path.read_bytes() == wav


def test_nothing_is_fetched_offline(
    server: Server, wav: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.file("/song.wav", wav)
    monkeypatch.setenv("TUTTI_OFFLINE", "1")
    tutti_settings.settings.cache_clear()
    with pytest.raises(LinkRefusedError, match="TUTTI_OFFLINE"):
        fetch_link(server.url("/song.wav"), tmp_path, POLICY)
    assert server.seen == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True), ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.0.1", False),
        ("127.0.0.1", False), ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False),
        ("224.0.0.1", False), ("240.0.0.1", False), ("255.255.255.255", False), ("192.0.2.1", False), ("::", False),
        ("::1", False), ("fe80::1", False), ("fec0::1", False), ("fc00::1", False), ("ff02::1", False),
        ("2001:db8::1", False), ("::ffff:127.0.0.1", False), ("::127.0.0.1", False), ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False), ("2001:0:a00:1::", False),
    ],
)  # fmt: skip
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@given(st.ip_addresses(v=4))
def test_what_is_not_public_stays_so_inside_ipv6(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    mapped = ipaddress.IPv6Address((0xFFFF << 32) | number)
    nat64 = ipaddress.IPv6Address((0x64FF9B << 96) | number)
    assert is_public(mapped) is is_public(nat64) is is_public(address)
    if not is_public(address):
        assert not is_public(ipaddress.IPv6Address((0x2002 << 112) | (number << 80)))


# --- limits


def test_a_file_that_says_it_is_too_large(server: Server, wav: bytes, tmp_path: Path) -> None:
    server.file("/song.wav", wav)
    with pytest.raises(LinkLimitError, match="more than 1,000 bytes"):
        fetch_link(server.url("/song.wav"), tmp_path, replace(POLICY, max_bytes=1000))


def test_a_stream_without_end(server: Server, wav: bytes, tmp_path: Path) -> None:
    def endless() -> Iterator[bytes]:
        yield b"HTTP/1.0 200 OK\r\n\r\n" + wav
        while True:
            yield bytes(1 << 16)

    server.raw("/radio", endless)
    with pytest.raises(LinkLimitError, match="1,048,576 bytes"):
        fetch_link(server.url("/radio"), tmp_path, POLICY)
    assert list(tmp_path.iterdir()) == []


def drop_by_drop(data: bytes) -> Iterator[bytes]:
    for byte in data:
        yield bytes([byte])
        time.sleep(0.02)


@pytest.mark.parametrize("when", ["head", "body"])
def test_a_server_that_gives_a_byte_now_and_then(when: str, server: Server, wav: bytes, tmp_path: Path) -> None:
    head = b"HTTP/1.0 200 OK\r\n\r\n"
    fast, slow = (b"", head * 10) if when == "head" else (head + wav[:64], wav)
    server.raw("/song", lambda: itertools.chain([fast], drop_by_drop(slow)))
    begun = time.monotonic()
    with pytest.raises(LinkLimitError, match=r"within 0\.5 s"):
        fetch_link(server.url("/song"), tmp_path, replace(POLICY, max_wall_s=0.5))
    assert time.monotonic() - begun < 3


def test_a_server_that_keeps_silent(server: Server, tmp_path: Path) -> None:
    server.routes["/song"] = lambda _handler: time.sleep(2)
    with pytest.raises(LinkError, match="no answer in time"):
        fetch_link(server.url("/song"), tmp_path, replace(POLICY, silence_s=0.2))


def test_a_file_that_breaks_off(server: Server, wav: bytes, tmp_path: Path) -> None:
    server.file("/song.wav", wav, Content_Length=str(len(wav) + 10))
    with pytest.raises(LinkError, match="broke off 10 bytes early"):
        fetch_link(server.url("/song.wav"), tmp_path, POLICY)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_speaks_something_else(server: Server, tmp_path: Path) -> None:
    server.raw("/song", lambda: iter([b"SSH-2.0-OpenSSH_9.2\r\n"]))
    with pytest.raises(LinkError, match="could not be reached"):
        fetch_link(server.url("/song"), tmp_path, POLICY)


def test_a_stop_keeps_nothing(server: Server, wav: bytes, tmp_path: Path) -> None:
    server.file("/song.wav", wav * 50)
    told: list[int] = []
    with pytest.raises(Cancelled):
        fetch_link(
            server.url("/song.wav"),
            tmp_path,
            POLICY,
            on_bytes=lambda done, _total: told.append(done),
            cancelled=lambda: bool(told),
        )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file(server: Server, wav: bytes, tmp_path: Path) -> None:
    server.file("/song.wav", wav)
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(OutputError, match="choose another folder"):
        fetch_link(server.url("/song.wav"), tmp_path / "out", POLICY)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("https://x.example/a", True),
        ("HTTP://x", True),
        ("song.wav", False),
        ("s3://b/c", False),
        (b"https://x", False),
    ],
)
def test_what_is_meant_as_a_link(source: object, expected: bool) -> None:
    assert is_link(source) is expected


# --- TLS


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("needs the command openssl to make a certificate")
    key, made = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", key, "-out", made, "-subj", "/CN=songs.example", "-addext", "subjectAltName=DNS:songs.example"],
        check=True, capture_output=True,
    )  # fmt: skip
    return made, key


def test_the_certificate_must_be_that_of_the_host(
    certificate: tuple[Path, Path], wav: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(*certificate)
    theirs.sni_callback = lambda _socket, name, _context: asked.append(name)
    server = Server()
    server.file("/song.wav", wav)
    httpd = serve(server, theirs)
    policy = replace(POLICY, allow_http=False)
    try:
        with pytest.raises(LinkError, match="certificate is not valid"):  # nobody vouches for it
            fetch_link(server.url("/song.wav", scheme="https"), tmp_path, policy)
        trusting = ssl.create_default_context
        monkeypatch.setattr(ssl, "create_default_context", lambda: trusting(cafile=str(certificate[0])))
        assert fetch_link(server.url("/song.wav", scheme="https"), tmp_path, policy).path.read_bytes() == wav
        assert asked[-1] == "songs.example"
        with pytest.raises(LinkError, match="certificate is not valid"):  # that of another host
            fetch_link(server.url("/song.wav", "videos.example", "https"), tmp_path, policy)
    finally:
        httpd.shutdown()
        httpd.server_close()


# --- video sites


@pytest.fixture
def site(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A video site that yt-dlp knows: what its extractor reads off the page is what the test puts in."""
    pytest.importorskip("yt_dlp", reason="the extra link is not installed")
    import yt_dlp.extractor
    import yt_dlp.globals
    from yt_dlp.extractor.common import InfoExtractor
    from yt_dlp.utils import ExtractorError

    told: dict[str, Any] = {
        "page": server.url("/page", "videos.example"),
        "media": server.url("/media.m4a"),
        "info": {},
    }

    class TestSiteIE(InfoExtractor):
        _VALID_URL = r"https?://videos\.example(?::\d+)?/watch/(?P<id>\w+)"

        def _real_extract(self, _url: str) -> dict[str, Any]:
            if "error" in told:
                raise ExtractorError(told["error"], expected=True)
            page = self._download_webpage(told["page"], "1", fatal=told.get("fatal", True))
            formats = [{"url": told["media"], "format_id": "0", "ext": "m4a", "vcodec": "none", "acodec": "aac"}]
            return {"id": "1", "title": page or "nothing", "formats": formats, **told["info"]}

    yt_dlp.extractor.import_extractors()
    known = {"TestSiteIE": TestSiteIE, "GenericIE": yt_dlp.extractor.get_info_extractor("Generic")}
    monkeypatch.setattr(yt_dlp.globals.extractors, "value", known)
    monkeypatch.setattr("tutti.audio.links.site_of", video_sites.site_of)
    server.file("/page", b"A tune\n of ours", "text/html", Set_Cookie="seen=yes; Path=/")
    told["watch"] = server.url("/watch/1", "videos.example")
    return told


def test_the_sound_of_a_video(site: dict[str, Any], server: Server, recordings: Any, tmp_path: Path) -> None:
    data = recordings.encoded("ipod", samples=recordings.tone(0.5, 44_100, channels=2))
    server.moved("/media.m4a", server.url("/stored", "videos.example"))
    server.file("/stored", data, "audio/mp4")
    told: list[tuple[int, int]] = []
    fetched = fetch_link(site["watch"], tmp_path, POLICY, on_bytes=lambda *step: told.append(step))
    assert (fetched.title, fetched.path) == ("A tune of ours", tmp_path / "A tune of ours.m4a")
    assert fetched.path.read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["A tune of ours.m4a"]
    assert told[-1] == (len(data), len(data))
    (stored,) = [headers for path, headers in server.seen if path == "/stored"]
    assert stored["Accept-Encoding"] == "identity"
    assert stored["Cookie"] == "seen=yes"


@pytest.mark.parametrize(
    ("told", "error", "words"),
    [
        ({"info": {"duration": 20_000}}, LinkLimitError, "20000 s long"),
        ({"info": {"is_live": True}}, LinkError, "is live"),
        ({"error": "Private video. Sign in if you have been granted access"}, LinkRefusedError, "Private video"),
        ({"error": "Video unavailable. It was removed by its owner"}, LinkGoneError, "Video unavailable"),
        ({"error": "Something \x1b[0;31mnew\x1b[0m\nand more"}, LinkError, r"\(Something new\)"),
        ({"media": "m3u8"}, LinkNotAudioError, "no sound that can be stored"),
        ({"page": "http://inside.example/admin"}, LinkRefusedError, "private network"),
        ({"media": "http://inside.example/admin.m4a"}, LinkRefusedError, "private network"),
        ({"page": "moved"}, LinkRefusedError, "private network"),
        ({"media": "html"}, LinkNotAudioError, "web page"),
        ({"media": "endless"}, LinkLimitError, "1,048,576 bytes"),
        ({"media": "gone"}, LinkGoneError, "404"),
        ({"info": {"_type": "playlist", "entries": []}}, LinkError, "list of videos"),
    ],
)
def test_videos_that_are_refused(
    told: dict[str, Any], error: type[LinkError], words: str, site: dict[str, Any], server: Server, tmp_path: Path
) -> None:
    server.moved("/moved", "http://169.254.169.254/latest")
    server.file("/html", b"<!doctype html><p>Please wait for a moment", "audio/mp4")
    server.raw("/endless", lambda: (bytes(1 << 16) if begun else b"HTTP/1.0 200 OK\r\n\r\n" for begun in range(9999)))
    site |= told
    if told.get("media") == "m3u8":
        site["info"] = {"formats": [{"url": server.url("/list.m3u8"), "protocol": "m3u8_native", "ext": "mp4"}]}
    for place in ("page", "media"):
        if not site[place].startswith("http"):
            site[place] = server.url(f"/{site[place]}")
    with pytest.raises(error, match=words) as caught:
        fetch_link(site["watch"], tmp_path, POLICY)
    assert type(caught.value) is error
    assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_a_refused_request_that_the_site_can_do_without(
    site: dict[str, Any], server: Server, recordings: Any, tmp_path: Path
) -> None:
    server.file("/media.m4a", recordings.encoded("ipod"), "audio/mp4")
    site |= {"page": "http://inside.example/statistics", "fatal": False}
    assert fetch_link(site["watch"], tmp_path, POLICY).title == "nothing"


def test_a_stop_in_the_middle_of_a_video(site: dict[str, Any], server: Server, recordings: Any, tmp_path: Path) -> None:
    server.file("/media.m4a", recordings.encoded("ipod"), "audio/mp4")
    with pytest.raises(Cancelled):
        fetch_link(site["watch"], tmp_path, POLICY, cancelled=lambda: len(server.seen) > 1)
    assert list(tmp_path.iterdir()) == []


def test_a_page_without_the_extra(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setattr("tutti.audio.links.site_of", video_sites.site_of)
    server.file("/watch/1", b"<!doctype html>", "text/html")
    with pytest.raises(LinkNotAudioError, match=r"pip install 'tutti\[link\]'"):
        fetch_link(server.url("/watch/1"), tmp_path, POLICY)


@pytest.mark.usefixtures("site")
def test_only_pages_belong_to_a_site() -> None:
    assert video_sites.site_of("https://videos.example/watch/abc") == "TestSite"
    assert video_sites.site_of("https://songs.example/some/page") is None


def test_no_request_begins_when_the_time_is_up(server: Server) -> None:
    wire = Wire(replace(POLICY, max_wall_s=0.01))
    time.sleep(0.02)
    with pytest.raises(LinkLimitError):
        wire.ask("GET", server.url("/"), {})
    assert server.seen == []
