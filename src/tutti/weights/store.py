"""Weights on disk: where they lie, how they get there, whether they are the right ones.

Fetched files lie in the cache folder under their sha256, so two cards that name one file share it. A fetch goes to a
`.part` file that a later call continues, is checked whole, and lands by a rename; a lock keeps two processes apart.
Weights that are converted on this machine lie in the cache folder under their card's name.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tutti.errors import (
    DownloadError,
    HashMismatchError,
    OptionError,
    OutputError,
    WeightsError,
    WeightsMissingError,
)
from tutti.settings import settings
from tutti.weights.cards import BUNDLED, Card, check_uri
from tutti.weights.fetching import OnBytes, Remote, download, open_remote, shown
from tutti.weights.locking import locked
from tutti.weights.native import content_sha256, read_table

__all__ = [
    "OnBytes",
    "hash_of",
    "identified",
    "locate",
    "path_of",
    "pull",
    "pull_upstream",
    "refuse_offline",
    "verify",
    "writing",
]

BUNDLED_FILES = Path(__file__).with_name("bundled")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def path_of(card: Card) -> Path:
    """Where the weights of `card` lie or would lie; nothing is checked."""
    if BUNDLED in card.locations:
        return BUNDLED_FILES / card.file
    if card.is_converted:
        return settings().cache_dir / "converted" / card.file
    return _fetched() / card.sha256 / card.file


def locate(card: Card) -> Path:
    """The verified file of `card`.

    Raises WeightsMissingError when it is not here, HashMismatchError when it is another file.
    """
    path = path_of(card)
    if not path.is_file():
        raise WeightsMissingError(f"The weights of {card.name} are not at {path}. {_how_to_get(card)}.")
    verify(card)
    return path


def _how_to_get(card: Card) -> str:
    if BUNDLED in card.locations:
        return "Install tutti again"
    if not card.is_converted:
        return f"Fetch it: tutti models pull {card.name}"
    by_hand = f"tutti models convert UPSTREAM_FILE --card {card.name}"
    if any(file.can_be_fetched for file in card.upstream):
        return f"Fetch it: tutti models pull {card.name} (or convert a file you have: {by_hand})"
    return f"Get the file that its authors published ({card.source}), then: {by_hand}"


def identified(card: Card) -> Card:
    """`card` with a sha256 of its weights, whatever kind of card it is: converted weights carry theirs.

    Raises as `locate`.
    """
    path = locate(card)
    if not card.is_converted:
        return card
    return card.model_copy(update={"sha256": read_table(path).metadata["content_sha256"]})


_VERIFIED: set[tuple[str, int, int, str]] = set()


def verify(card: Card) -> None:
    """Check the file of `card` against its size and sha256, once per process and file state.

    Raises WeightsMissingError or HashMismatchError.
    """
    path = path_of(card)
    try:
        right = _is_right(path, card)
    except OSError as error:
        raise WeightsMissingError(f"The weights of {card.name} are not at {path}: {error.strerror}.") from error
    if not right:
        advice = _how_to_get(card)
        if BUNDLED not in card.locations:
            advice = "Delete it, then: " + advice.removeprefix("Fetch it: ")
        raise HashMismatchError(f"{path} is not the file that the card of {card.name} names. {advice}.")


def _is_right(path: Path, card: Card) -> bool:
    state = path.stat()
    key = (str(path), state.st_size, state.st_mtime_ns, card.sha256 or card.name)
    if key not in _VERIFIED:
        if not (_is_converted_right if card.is_converted else _is_fetched_right)(path, card, state.st_size):
            return False
        _VERIFIED.add(key)
    return True


def _is_fetched_right(path: Path, card: Card, size_bytes: int) -> bool:
    return size_bytes == card.size_bytes and hash_of(path) == card.sha256


def _is_converted_right(path: Path, card: Card, size_bytes: int) -> bool:
    try:
        table = read_table(path)
        right_size = size_bytes - table.data_begin == card.size_bytes
        return right_size and table.metadata.get("card") == card.name and content_sha256(path) is not None
    except WeightsError:
        return False


def hash_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pull(what: Card | str, on_bytes: OnBytes | None = None) -> Path:
    """Fetch the weights of a card, or the file at a URI, unless they are here; returns their path.

    A fetch that broke off is continued, a wrong file in the cache is replaced. The file of a URI lies under its sha256,
    which is the name of its folder. Raises WeightsMissingError when fetching is switched off, DownloadError,
    HashMismatchError (the bad file is removed), OutputError (disk full), MissingExtraError, OptionError for a URI that
    names no file.
    """
    told = on_bytes or _silent
    return _pull_uri(what, told) if isinstance(what, str) else _pull_card(what, told)


def pull_upstream(card: Card, on_bytes: OnBytes | None = None) -> Path:
    """Fetch the published file from which the weights of `card` are made; returns its path. Nothing is converted.

    Raises WeightsMissingError when no address or no sha256 of one is known, and as `pull`.
    """
    for file in card.upstream:
        if file.can_be_fetched:
            facts = file.model_dump(include={"size_bytes", "sha256", "locations"})
            return _pull_card(card.model_copy(update={**facts, "file": file.name}), on_bytes or _silent)
    raise WeightsMissingError(f"Nobody has stated where to fetch {card.name} and its sha256. {_how_to_get(card)}.")


def _silent(_done: int, _total: int) -> None:
    """Tell nobody."""


def _pull_card(card: Card, on_bytes: OnBytes) -> Path:
    path = path_of(card)
    if BUNDLED in card.locations or card.is_converted:
        return locate(card)  # there is nowhere to fetch it from; this says how to mend it
    if path.is_file() and _is_right(path, card):
        return path
    refuse_offline(card.name)
    part = path.with_name(path.name + ".part")
    with writing(part), locked(path.with_name(path.name + ".lock")):
        # Looked at again: another process may have fetched it while this one waited.
        if not (path.is_file() and _is_right(path, card)):
            path.unlink(missing_ok=True)
            _fetch(card, part, on_bytes)
            part.replace(path)
    return path


def _fetch(card: Card, part: Path, on_bytes: OnBytes) -> None:
    """Bring `part` to be the file of `card`, from the first of its locations that serves it."""
    failures = []
    for uri in card.locations:
        continued = part.exists()
        try:
            _complete(uri, card, part, on_bytes)
            if _landed(part, card):
                return
            if continued:  # the half that was here may be of another file: once more from the beginning
                _complete(uri, card, part, on_bytes)
                if _landed(part, card):
                    return
        except DownloadError as error:
            failures.append(str(error))
            continue
        raise HashMismatchError(
            f"What {shown(uri)} served is not the file that the card of {card.name} names; it was removed. "
            "Try again; if it stays so, the file was changed at its source."
        )
    raise DownloadError(f"Could not fetch {card.name}. " + " ".join(failures))


def _complete(uri: str, card: Card, part: Path, on_bytes: OnBytes) -> None:
    if part.exists() and part.stat().st_size == card.size_bytes:
        return
    if part.exists() and part.stat().st_size > card.size_bytes:
        part.unlink()
    remote = open_remote(uri)
    if remote.size_bytes not in (None, card.size_bytes):
        raise DownloadError(
            f"{shown(uri)} holds {remote.size_bytes} bytes, the card says {card.size_bytes}. "
            "Pull again, or check the card."
        )
    download(replace(remote, size_bytes=card.size_bytes), part, on_bytes)


def _landed(part: Path, card: Card) -> bool:
    right = hash_of(part) == card.sha256
    if not right:
        part.unlink()
    return right


def _pull_uri(uri: str, on_bytes: OnBytes) -> Path:
    try:
        name = unquote(Path(urlsplit(check_uri(uri)).path).name)
    except ValueError as error:
        raise OptionError(f"{error}.") from error
    if not name.isprintable() or name in (".", "..") or "/" in name:
        raise OptionError(f"{shown(uri)!r} names no file.")
    refuse_offline(shown(uri))
    folder = _fetched() / "incoming" / hashlib.sha256(uri.encode()).hexdigest()
    part, mark = folder / f"{name}.part", folder / f"{name}.of"
    with writing(part), locked(folder / f"{name}.lock"):
        remote = open_remote(uri)
        _keep_only_the_same(part, mark, remote)
        download(remote, part, on_bytes)
        target = _fetched() / hash_of(part) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
        mark.unlink()
    return target


def _keep_only_the_same(part: Path, mark: Path, remote: Remote) -> None:
    """Without a known sha256, a half is only continued when its source shows that it has not changed since."""
    now = f"{remote.size_bytes} {remote.fingerprint}"
    if remote.fingerprint is None or not mark.exists() or mark.read_text(encoding="utf-8") != now:
        part.unlink(missing_ok=True)
    mark.write_text(now, encoding="utf-8")


def _fetched() -> Path:
    return settings().cache_dir / "weights"


def refuse_offline(name: str) -> None:
    """Raises WeightsMissingError when fetching is switched off."""
    if settings().offline:
        raise WeightsMissingError(f"{name} is not here and TUTTI_OFFLINE is set. Unset it, then pull again.")


@contextlib.contextmanager
def writing(part: Path, variable: str = "TUTTI_CACHE_DIR") -> Iterator[None]:
    """Make the folder of `part`, and turn what the file system refuses into OutputError.

    `variable` is the one that says where the folder is.
    """
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno in _FULL:
            part.unlink(missing_ok=True)
            raise OutputError(f"The disk is full: {part.parent} has no room for {part.stem}. Free some.") from error
        raise OutputError(
            f"Could not write to {part.parent}: {error.strerror or error}. Set {variable} to another folder."
        ) from error
