"""From what the user named to a list of recordings: files, folders, globs, links, standard input."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from tutti.errors import InputAccessError, InputError, InputNotFoundError, printable

__all__ = ["AUDIO_SUFFIXES", "STDIN", "Input", "collect"]

STDIN = "-"

_LINK = re.compile(r"https?://", re.IGNORECASE)

AUDIO_SUFFIXES = frozenset(
    {".aac", ".aif", ".aifc", ".aiff", ".avi", ".flac", ".m4a", ".m4v", ".mka", ".mkv", ".mov", ".mp3", ".mp4"}
    | {".mpga", ".oga", ".ogg", ".opus", ".wav", ".wave", ".weba", ".webm"}
)
"""What is looked for inside folders. A file named by itself is opened whatever its suffix."""


@dataclass(frozen=True, slots=True)
class Input:
    """One thing to work on."""

    name: str
    """As the user wrote it, or as it was found; "-" for standard input."""
    relative: Path
    """Where it lies below the folder that was named; decides where its outputs go below an output folder."""
    fault: InputError | None = None
    """Why there is nothing to work on."""

    is_link: bool = False

    @property
    def path(self) -> Path | None:
        """None for standard input and for links."""
        return None if self.name == STDIN or self.is_link else Path(self.name)


def collect(names: Iterable[str], *, links: bool = False) -> list[Input]:
    """Every recording that `names` mean, in order, each once; with `links`, addresses as well as files.

    Whether a file that was named is there is left to whoever opens it; a folder or glob that holds nothing becomes
    an input with a fault.
    """
    found: dict[str, Input] = {}
    for name in names:
        for item in [_link(name)] if links and _LINK.match(name) else _expand(name):
            found.setdefault(item.name if item.path is None else os.path.realpath(item.name), item)
    return list(found.values())


def _link(address: str) -> Input:
    """Results of a link are called after the last part of its address that says something."""
    parts = urlsplit(address)
    said = [value for _, value in parse_qsl(parts.query)] or [
        Path(unquote(parts.path)).stem or parts.hostname or "link"
    ]
    return Input(address, Path(re.sub(r"[^\w-]+", "_", said[0])[:80]), is_link=True)


def _expand(name: str) -> Iterator[Input]:
    if name == STDIN:
        yield Input(name, Path("stdin"))
    elif _is_folder(name):
        yield from _folder(Path(name))
    elif glob.has_magic(name) and not os.path.lexists(name):
        yield from _pattern(name)
    else:
        yield Input(name, Path(Path(name).name))


def _folder(folder: Path) -> Iterator[Input]:
    found = list(_search(folder, folder))
    if not found:
        endings = ", ".join(sorted(AUDIO_SUFFIXES))
        fault = InputNotFoundError(
            f"The folder {printable(str(folder))!r} holds no recordings (files ending in {endings}). "
            "To open a file whatever its ending, name the file itself."
        )
        yield Input(str(folder), Path(), fault)
    yield from found


def _pattern(pattern: str) -> Iterator[Input]:
    root = _fixed_part(pattern)
    matches = sorted(Path(match) for match in glob.glob(pattern, recursive=True))  # noqa: PTH207 - takes absolute ones
    found = [
        item
        for match in matches
        for item in (_search(match, root) if _is_folder(match) else [Input(str(match), match.relative_to(root))])
    ]
    if not found:
        fault = InputNotFoundError(f"Nothing matches {printable(pattern)!r}. Check the pattern and the current folder.")
        yield Input(pattern, Path(), fault)
    yield from found


def _search(folder: Path, root: Path) -> Iterator[Input]:
    """The recordings in `folder` by name, below `root`; folders that may not be read are inputs with a fault."""
    closed: list[OSError] = []
    paths = [
        Path(above) / name
        for above, _, names in os.walk(folder, onerror=closed.append)
        for name in names
        if Path(name).suffix.lower() in AUDIO_SUFFIXES and not name.startswith(".")
    ]
    for path in sorted(filter(_may_be_file, paths)):
        yield Input(str(path), path.relative_to(root))
    for name in sorted(str(error.filename) for error in closed):
        fault = InputAccessError(f"The folder {printable(name)!r} may not be read. Check its permissions.")
        yield Input(name, Path(), fault)


def _is_folder(path: str | Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises where the folder above may not be searched


def _may_be_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except PermissionError:
        return True  # whoever opens it says why it cannot
    except OSError:
        return False  # a link to nothing


def _fixed_part(pattern: str) -> Path:
    """The folders of `pattern` before its first wildcard."""
    fixed = Path()
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed /= part
    return fixed
