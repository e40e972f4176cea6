"""From what the user named to a list of recordings: files, folders, globs, standard input."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tutti.errors import InputAccessError, InputError, InputNotFoundError

__all__ = ["AUDIO_SUFFIXES", "STDIN", "Input", "collect", "printable"]

STDIN = "-"

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

    @property
    def path(self) -> Path | None:
        """None for standard input."""
        return None if self.name == STDIN else Path(self.name)


def collect(names: Iterable[str]) -> list[Input]:
    """Every recording that `names` mean, in order, each once.

    Whether a file that was named is there is left to whoever opens it; a folder or glob that holds nothing becomes
    an input with a fault.
    """
    found: dict[str, Input] = {}
    for name in names:
        for item in _expand(name):
            found.setdefault(STDIN if item.name == STDIN else os.path.realpath(item.name), item)
    return list(found.values())


def printable(text: str) -> str:
    """`text` on one line that every terminal can show: control characters and broken UTF-8 are escaped."""
    whole = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in whole)


def _expand(name: str) -> Iterator[Input]:
    if name == STDIN:
        yield Input(name, Path("stdin"))
    elif os.path.isdir(name):  # noqa: PTH112 - Path.is_dir raises where the folder above may not be searched
        yield from _folder(Path(name))
    elif glob.has_magic(name) and not os.path.lexists(name):
        yield from _pattern(name)
    else:
        yield Input(name, Path(Path(name).name))


def _folder(folder: Path) -> Iterator[Input]:
    shown = repr(printable(str(folder)))
    if not os.access(folder, os.R_OK | os.X_OK):
        yield Input(
            str(folder), Path(), InputAccessError(f"The folder {shown} may not be read. Check its permissions.")
        )
        return
    recordings = _recordings(folder)
    if not recordings:
        endings = ", ".join(sorted(AUDIO_SUFFIXES))
        fault = InputNotFoundError(
            f"The folder {shown} holds no recordings (files ending in {endings}). "
            "To open a file whatever its ending, name the file itself."
        )
        yield Input(str(folder), Path(), fault)
    for path in recordings:
        yield Input(str(path), path.relative_to(folder))


def _pattern(pattern: str) -> Iterator[Input]:
    root = _fixed_part(pattern)
    matches = sorted(Path(match) for match in glob.glob(pattern, recursive=True))  # noqa: PTH207 - takes absolute ones
    files = [path for match in matches for path in (_recordings(match) if match.is_dir() else [match])]
    if not files:
        fault = InputNotFoundError(f"Nothing matches {printable(pattern)!r}. Check the pattern and the current folder.")
        yield Input(pattern, Path(), fault)
    for path in files:
        yield Input(str(path), path.relative_to(root))


def _recordings(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _fixed_part(pattern: str) -> Path:
    """The folders of `pattern` before its first wildcard."""
    fixed = Path()
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed /= part
    return fixed
