"""A model file named by a deployment: URI, version and sha256 instead of a card.

It lies at `<cache>/<name>/<version>/<file>`, so a new version is fetched anew and an old one stays. Workers that start
together wait for one of them to fetch it. The hash is never left out, whatever the place: the file is checked before it
lands and each time it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tutti.errors import HashMismatchError, OptionError, WeightsMissingError
from tutti.settings import Settings
from tutti.weights.cards import check_uri
from tutti.weights.fetching import OnBytes, download, open_remote, shown
from tutti.weights.locking import locked
from tutti.weights.store import hash_of, refuse_offline, writing

__all__ = ["NamedFile", "fetch_named", "named_file"]


@dataclass(frozen=True, slots=True)
class NamedFile:
    """Where a model file comes from, which one it must be, and where it is kept."""

    name: str
    file: str
    version: str
    sha256: str
    """In hexadecimal."""
    cache_dir: Path
    uri: str | None = None
    """None when it must be in the cache already."""

    @property
    def path(self) -> Path:
        return self.cache_dir / self.name / self.version / self.file


def named_file(settings: Settings, name: str, file: str, published_sha256: str) -> NamedFile | None:
    """What the `MODEL_…` variables ask for; None when they ask for nothing.

    Without `MODEL_SHA256` it must be the file that was published.
    """
    if settings.model_uri is None and settings.model_version is None:
        return None
    return NamedFile(
        name,
        file,
        settings.model_version or "1",
        (settings.model_sha256 or published_sha256).lower(),
        settings.model_cache_dir,
        settings.model_uri,
    )


def fetch_named(wanted: NamedFile, on_bytes: OnBytes | None = None) -> Path:
    """The verified file, from the cache or else from its URI. A wrong file in the cache is replaced.

    Raises WeightsMissingError when it is not here and there is no URI or fetching is switched off, HashMismatchError
    (nothing of what was fetched stays), DownloadError (a later call continues), OutputError (disk full, cache not
    writable), OptionError for a URI that names no file, MissingExtraError.
    """
    if _is_here(wanted):
        return wanted.path
    uri = wanted.uri
    if uri is None:
        raise WeightsMissingError(
            f"{wanted.path} is not there or not the file with sha256 {wanted.sha256}, and MODEL_URI does not say where "
            "to get it. Set MODEL_URI, or mend MODEL_CACHE_DIR, MODEL_VERSION and MODEL_SHA256."
        )
    try:
        check_uri(uri)
    except ValueError as error:
        raise OptionError(f"MODEL_URI: {error}.") from error
    refuse_offline(shown(uri))
    part = wanted.path.with_name(wanted.file + ".part")
    with writing(part, "MODEL_CACHE_DIR"), locked(wanted.path.with_name(wanted.file + ".lock")):
        if not _is_here(wanted):  # another worker may have fetched it while this one waited
            _fetch(uri, wanted.sha256, part, on_bytes or (lambda _done, _total: None))
            part.replace(wanted.path)
    return wanted.path


def _fetch(uri: str, sha256: str, part: Path, on_bytes: OnBytes) -> None:
    remote = open_remote(uri)
    if remote.size_bytes is None or (part.exists() and part.stat().st_size >= remote.size_bytes):
        part.unlink(missing_ok=True)
    continued = part.exists()
    download(remote, part, on_bytes)
    if continued and hash_of(part) != sha256:  # the half that was here may be of another file
        part.unlink()
        download(remote, part, on_bytes)
    found = hash_of(part)
    if found != sha256:
        part.unlink()
        raise HashMismatchError(
            f"{shown(uri)} has the sha256 {found}, not {sha256}; it was not kept. Set MODEL_URI to the right file, or "
            "MODEL_SHA256 to the hash that its maker states."
        )


def _is_here(wanted: NamedFile) -> bool:
    return wanted.path.is_file() and hash_of(wanted.path) == wanted.sha256
