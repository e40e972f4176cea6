"""HTTP for addresses that strangers give: checked, bounded and impatient.

Every host is resolved once, every address it resolves to must be allowed, and the connection goes to the address that
was checked, so that a name cannot mean one thing to the check and another to the connection. Each redirect is such a
request of its own. Proxies of the environment are not used: they would resolve names themselves.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from typing import Final, Self
from urllib.parse import SplitResult, quote, urljoin, urlsplit, urlunsplit

from tutti.errors import Cancelled, LinkError, LinkGoneError, LinkLimitError, LinkRefusedError, printable

__all__ = ["Answer", "IPAddress", "LinkPolicy", "Wire", "is_public", "shown"]

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_PORTS: Final = {"http": 80, "https": 443}
_MOVED: Final = (301, 302, 303, 307, 308)
_NEEDS_LOGIN: Final = (401, 402, 403, 407)
_GONE: Final = (404, 410)


def is_public(address: IPAddress) -> bool:
    """Whether an address lies in the open Internet, also where it carries an IPv4 address inside (mapped, NAT64, 6to4,
    Teredo): then both must."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        inside = (address.sixtofour, *(address.teredo or ()))
        if address.is_site_local or any(part is not None and not is_public(part) for part in inside):
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _resolve(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(entry[4][0]) for entry in found]


@dataclass(frozen=True)
class LinkPolicy:
    """Where links may lead and how much they may bring."""

    max_bytes: int = 512 << 20
    """All that is received for one link, in bytes."""
    max_wall_s: float = 900.0
    """From the first request to the last byte."""
    silence_s: float = 20.0
    """Longest wait for a connection or for the next bytes."""
    max_duration_s: float = 4 * 3600.0
    """Longest recording, where a site says how long it is."""
    max_redirects: int = 3
    allow_http: bool = False
    """Admits http://, which anyone on the way can read and change."""
    is_allowed: Callable[[IPAddress], bool] = is_public
    """What an address must be. A service inside a network of its own may admit more."""
    resolve: Callable[[str, int], Sequence[str]] = _resolve
    """(host, port) → addresses; raises OSError where there are none."""


class Wire:
    """Requests for one link, which share its limits. Not for several threads at once."""

    def __init__(self, policy: LinkPolicy, cancelled: Callable[[], bool] | None = None) -> None:
        self.policy = policy
        self.received = 0
        self._cancelled = cancelled
        self._give_up = time.monotonic() + policy.max_wall_s

    @property
    def left_s(self) -> float:
        return self._give_up - time.monotonic()

    def check(self, coming: int = 0) -> None:
        """Raises LinkLimitError when time is used up, or bytes with those that are `coming`; Cancelled."""
        if self._cancelled is not None and self._cancelled():
            raise Cancelled("Stopped on request; nothing was kept.")
        if self.left_s <= 0:
            raise LinkLimitError(
                f"The link did not give its recording within {self.policy.max_wall_s:g} s. "
                "Download it yourself and give the file."
            )
        if self.received + coming > self.policy.max_bytes:
            raise LinkLimitError(
                f"The link holds more than {self.policy.max_bytes:,} bytes, the limit. "
                "Download it yourself and give the file, or a part of it."
            )

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """The answer of `url`, with a body, behind its redirects. Raises LinkError."""
        for _ in range(self.policy.max_redirects + 1):
            answer = self.ask("GET", url, headers)
            if (there := answer.moved_to) is None:
                answer.check_status()
                return answer
            answer.close()
            url = there
        raise LinkError(
            f"{shown(url)} was reached by more than {self.policy.max_redirects} redirects. Use its own link."
        )

    def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """The answer to one request, whatever its status. Raises LinkError when none comes."""
        self.check()
        parts = self.checked(url)
        addresses = self._addresses(parts)
        connection = _Pinned(parts, addresses, self)
        try:
            target = urlunsplit(("", "", quote(parts.path or "/", safe=_SAFE), quote(parts.query, safe=_SAFE), ""))
            sent = {**headers, "Accept-Encoding": "identity", "Connection": "close"}
            connection.request(method, target, body, sent)
            return Answer(connection.getresponse(), url, connection, self)
        except BaseException as error:
            connection.close()
            if isinstance(error, (OSError, http.client.HTTPException, ValueError)):
                self.check()  # the end of the time looks like a lost connection
                raise LinkError(f"{shown(url)} could not be reached ({_reason(error)}). Check the link.") from error
            raise

    def count(self, size: int) -> None:
        """`size` more bytes have come. Raises LinkLimitError, Cancelled."""
        self.received += size
        self.check()

    def checked(self, url: str) -> SplitResult:
        """The parts of `url`. Raises LinkError when it is none, LinkRefusedError when it is not of a kind to follow."""
        try:
            parts = urlsplit(url)
            scheme, host, _ = parts.scheme, parts.hostname, parts.port
        except ValueError as error:
            raise LinkError(f"{printable(url)!r} is no link ({error}). Give one that begins with https://.") from error
        if any(letter <= " " or letter == "\x7f" for letter in url):
            raise LinkError(f"{printable(url)!r} is no link: it holds blanks. Give one that begins with https://.")
        if scheme not in (("https", "http") if self.policy.allow_http else ("https",)):
            raise LinkRefusedError(f"{shown(url)} does not begin with https://. Give a link that does.")
        if not host:
            raise LinkError(f"{printable(url)!r} names no host. Give a link that begins with https://.")
        if parts.username is not None or parts.password is not None:
            raise LinkRefusedError(f"{shown(url)} holds a user name or password. Download it yourself, give the file.")
        return parts

    def _addresses(self, parts: SplitResult) -> list[str]:
        """Where the host is. Raises LinkRefusedError when one of its addresses is not allowed."""
        name = printable(parts.hostname or "")
        try:
            found = list(dict.fromkeys(self.policy.resolve(_host(parts), parts.port or _PORTS[parts.scheme])))
            addresses = [ipaddress.ip_address(text) for text in found]
        except (OSError, ValueError) as error:  # ValueError: no such name can be, or no such address
            raise LinkError(f"There is no host {name}. Check the link.") from error
        if not addresses:
            raise LinkError(f"There is no host {name}. Check the link.")
        if not all(self.policy.is_allowed(address) for address in addresses):
            raise LinkRefusedError(f"{name} is in a private network, where tutti follows no links. Give the file.")
        return found


def _host(parts: SplitResult) -> str:
    """The host in ASCII. Raises UnicodeError for what can be no name."""
    host = parts.hostname or ""
    return host if ":" in host else host.encode("idna").decode("ascii")


_SAFE: Final = "/%:@!$&'()*+,;=~-._?[]"


class _Pinned(http.client.HTTPConnection):
    """A connection to addresses that were checked, cut when the time of its wire is up."""

    def __init__(self, parts: SplitResult, addresses: list[str], wire: Wire) -> None:
        super().__init__(_host(parts), parts.port or _PORTS[parts.scheme], timeout=wire.policy.silence_s)
        self.default_port = _PORTS[parts.scheme]
        self._wire, self._addresses = wire, addresses
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._clock: threading.Timer | None = None

    def connect(self) -> None:
        """Raises OSError when none of the addresses answers."""
        raw = self._reached()
        # The socket is passed on and wrapped; a second handle on it can be shut from the clock's thread.
        handle = socket.socket(fileno=os.dup(raw.fileno()))
        self._clock = threading.Timer(max(self._wire.left_s, 0), _cut, [handle])
        self._clock.daemon = True
        self._clock.start()
        self._handle = handle
        self.sock = raw
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)

    def close(self) -> None:
        super().close()
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
            self._handle.close()

    def _reached(self) -> socket.socket:
        failure: OSError | None = None
        for address in self._addresses:
            wait_s = max(min(self._wire.policy.silence_s, self._wire.left_s), 1e-3)
            try:
                raw = socket.create_connection((address, self.port), wait_s)
            except OSError as error:
                failure = error
                continue
            raw.settimeout(self._wire.policy.silence_s)
            return raw
        assert failure is not None
        raise failure


def _cut(handle: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it was closed in the same moment
        handle.shutdown(socket.SHUT_RDWR)


class Answer:
    """An answer whose body is read within the limits of its wire. Close it, or use it as a context manager."""

    def __init__(self, response: http.client.HTTPResponse, url: str, connection: _Pinned, wire: Wire) -> None:
        self.url = url
        self.status = response.status
        self.headers: Message = response.headers
        self.closed = False
        self._response, self._connection, self._wire = response, connection, wire
        self._left = response.length
        """Bytes that the header promises still; None where it promises nothing."""

    @property
    def moved_to(self) -> str | None:
        """The address that a redirect gives, None for every other answer."""
        location = self.headers.get("Location")
        if self.status not in _MOVED or location is None:
            return None
        return urljoin(self.url, location.encode("latin-1", "replace").decode("utf-8", "replace").strip())

    def check_status(self) -> None:
        """Raises LinkError unless the body is what was asked for, and fits."""
        if self.status != 200:
            self.close()
            where = shown(self.url)
            if self.status in _GONE:
                raise LinkGoneError(f"{where} is gone (HTTP status {self.status}). Check the link.")
            if self.status in _NEEDS_LOGIN:
                raise LinkRefusedError(
                    f"{where} is not public (HTTP status {self.status}). Download it yourself and give the file."
                )
            raise LinkError(f"{where} gives no file (HTTP status {self.status}). Try again later, or give the file.")
        try:
            self._wire.check(self._left or 0)
        except BaseException:
            self.close()
            raise

    def read(self, size: int | None = -1) -> bytes:
        """At most `size` bytes as soon as there are some, all for -1; none at the end. Raises LinkError, Cancelled."""
        if size is None or size < 0:
            pieces = []
            while piece := self.read(1 << 16):
                pieces.append(piece)
            return b"".join(pieces)
        if self.closed or not size:
            return b""
        try:
            piece = self._response.read1(size)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            self._wire.check()
            raise LinkError(f"{shown(self.url)} broke off ({_reason(error)}). Try again later.") from error
        try:
            self._wire.count(len(piece))
            if self._left is not None:
                self._left -= len(piece)
                if not piece and self._left > 0:
                    raise LinkError(f"{shown(self.url)} broke off {self._left:,} bytes early. Try again later.")
        except BaseException:
            self.close()
            raise
        if not piece:
            self.close()
        return piece

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True
        self._response.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def shown(url: str) -> str:
    """`url` without password and query, which may hold keys; safe to print."""
    try:
        parts = urlsplit(url)
        return printable(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")))
    except ValueError:
        return "the link"


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    return printable(str(getattr(error, "strerror", None) or error) or type(error).__name__)
