"""Printing a sheet: the engravers, which of them are here, and what they give.

| backend | runs | gives |
|---|---|---|
| `verovio` | in this process | SVG and PDF of every page, PNG of the first |
| `lilypond` | the `lilypond` program: of the package of that name, else of the system | the same |
| `musescore` | MuseScore's program, without a screen | the same |
| `none` | nothing | MusicXML only |
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

from tutti.errors import EngravingError, MissingExtraError, OptionError, printable
from tutti.notation.musicxml import to_musicxml
from tutti.notation.sheet import Sheet

if TYPE_CHECKING:
    from tutti.notation.pages import SetPages

__all__ = ["BACKENDS", "Backend", "Engraving", "Paper", "available_backends", "engrave"]

Backend = Literal["verovio", "lilypond", "musescore", "none"]
Paper = Literal["a4", "letter"]
BACKENDS: Final[tuple[Backend, ...]] = get_args(Backend)

_TIME_LIMIT_S: Final = 120.0
_MUSESCORE_NAMES: Final = ("mscore4portable", "MuseScore4", "mscore", "musescore", "mscore3", "musescore3")
_KEPT_VARIABLES: Final = ("HOME", "PATH", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")
_LAST_WORDS: Final = 300


@dataclass(frozen=True)
class Engraving:
    """A printed sheet. A form is made when it is first asked for, and then kept; asking raises EngravingError when the
    engraver fails. Everything but `musicxml` is empty for the backend `none`."""

    musicxml: bytes

    @cached_property
    def pages_svg(self) -> tuple[str, ...]:
        """One SVG a page."""
        return ()

    @cached_property
    def pdf(self) -> bytes:
        """All pages."""
        return b""

    @cached_property
    def png(self) -> bytes:
        """The first page, on white."""
        return b""


def available_backends() -> dict[Backend, str]:
    """The backends that can be used here, in order of preference, and what each would run."""
    found: dict[Backend, str] = {}
    if find_spec("verovio") is not None:
        found["verovio"] = "in this process"
    for name, program in (("lilypond", _lilypond()), ("musescore", _musescore())):
        if program is not None:
            found[name] = program  # type: ignore[index]
    return {**found, "none": "MusicXML only"}


def engrave(
    sheet: Sheet, backend: Backend = "verovio", paper: Paper = "a4", *, time_limit_s: float = _TIME_LIMIT_S
) -> Engraving:
    """`sheet`, ready to be printed. A program that runs longer than `time_limit_s` is ended.

    Raises OptionError for a backend or paper that does not exist, and for a sheet that contradicts itself;
    MissingExtraError when the backend is not installed. The result raises EngravingError, naming the cause, when the
    engraver fails.
    """
    if paper not in get_args(Paper):
        raise OptionError(f"There is no paper {paper!r}. Use one of: {', '.join(get_args(Paper))}.")
    musicxml = to_musicxml(sheet)
    match backend:
        case "none":
            return Engraving(musicxml)
        case "verovio":
            if find_spec("verovio") is None:
                raise MissingExtraError(
                    "The engraver Verovio is not installed. Install it with: pip install verovio, or choose another."
                )
            return _ByVerovio(musicxml, sheet, paper)
        case "lilypond":
            from tutti.notation.lilypond import to_lilypond

            return _ByLilyPond(musicxml, _required_lilypond(), to_lilypond(sheet, paper).encode(), time_limit_s)
        case "musescore":
            return _ByMuseScore(musicxml, _required_musescore(), time_limit_s)
    raise OptionError(f"There is no engraver {backend!r}. Use one of: {', '.join(BACKENDS)}.")


@dataclass(frozen=True)
class _ByVerovio(Engraving):
    sheet: Sheet
    paper: Paper

    @cached_property
    def _pages(self) -> SetPages:
        from tutti.notation.pages import set_pages

        return set_pages(self.sheet, self.musicxml, self.paper)

    @cached_property
    def pages_svg(self) -> tuple[str, ...]:
        return self._pages.svgs()

    @cached_property
    def pdf(self) -> bytes:
        return self._pages.pdf()

    @cached_property
    def png(self) -> bytes:
        return self._pages.png()


@dataclass(frozen=True)
class _ByProgram(Engraving, ABC):
    """Printed by a program that writes chart.pdf, and one SVG and PNG a page."""

    program: str

    @abstractmethod
    def _printed(self, suffix: str) -> dict[str, bytes]:
        """The files of a kind that it writes."""

    @cached_property
    def pages_svg(self) -> tuple[str, ...]:
        return tuple(page.decode() for page in self._pages("svg"))

    @cached_property
    def pdf(self) -> bytes:
        return self._pages("pdf")[0]

    @cached_property
    def png(self) -> bytes:
        return self._pages("png")[0]

    def _pages(self, suffix: str) -> list[bytes]:
        files = self._printed(suffix)
        pages = [files[file] for file in sorted(files, key=_page_of) if file.endswith(f".{suffix}")]
        if not pages:
            wrote = ", ".join(sorted(files)) or "nothing"
            raise EngravingError(f"{Path(self.program).name} ended without an error but wrote only: {wrote}.")
        return pages


@dataclass(frozen=True)
class _ByLilyPond(_ByProgram):
    source: bytes
    time_limit_s: float

    def _printed(self, suffix: str) -> dict[str, bytes]:
        kind = {"pdf": ["--pdf"], "png": ["--png", "-dresolution=150"], "svg": ["-dbackend=svg"]}[suffix]
        options = ["--loglevel=ERROR", "-dno-point-and-click", "--output=chart", *kind]
        return _run([self.program, *options, "chart.ly"], {"chart.ly": self.source}, self.time_limit_s)


@dataclass(frozen=True)
class _ByMuseScore(_ByProgram):
    time_limit_s: float

    def _printed(self, suffix: str) -> dict[str, bytes]:
        command = [self.program, "-o", f"chart.{suffix}", "chart.musicxml"]
        return _run(command, {"chart.musicxml": self.musicxml}, self.time_limit_s)


def _page_of(file: str) -> tuple[int, str]:
    number = re.search(r"(\d+)\.\w+$", file)
    return int(number[1]) if number else 0, file


def _run(command: Sequence[str], inputs: Mapping[str, bytes], time_limit_s: float) -> dict[str, bytes]:
    """Run a program in an empty folder of its own with few variables; returns the files it wrote there.

    When its time is up, it and whatever it started are ended. Raises EngravingError.
    """
    name = Path(command[0]).name
    environment = {key: value for key in _KEPT_VARIABLES if (value := os.environ.get(key))}
    environment |= {"QT_QPA_PLATFORM": "offscreen", "LC_ALL": "C.UTF-8"}
    with tempfile.TemporaryDirectory(prefix="tutti-") as folder, tempfile.TemporaryFile() as words:
        for file, content in inputs.items():
            (Path(folder) / file).write_bytes(content)
        try:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=words, stderr=words,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise EngravingError(f"Could not start {command[0]!r}: {error.strerror or error}.") from error
        try:
            code = process.wait(time_limit_s)
        except subprocess.TimeoutExpired as error:
            raise EngravingError(
                f"{name} was ended after {time_limit_s:g} s without a result. Allow more time, or choose verovio."
            ) from error
        finally:
            _end(process)
        if code:
            words.seek(0)
            said = printable(" ".join(words.read().decode(errors="replace").split())[-_LAST_WORDS:])
            raise EngravingError(f"{name} failed with code {code}: {said or 'it said nothing'}. Or choose verovio.")
        return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.name not in inputs}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program that still runs, and its children."""
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def _lilypond() -> str | None:
    """The program of the package `lilypond`, which is of a known version, else the system's."""
    if find_spec("lilypond") is not None:
        import lilypond  # type: ignore[import-untyped]

        program = lilypond.executable()
        if Path(program).is_file():
            return str(program)
    return shutil.which("lilypond")


def _required_lilypond() -> str:
    program = _lilypond()
    if program is None:
        raise MissingExtraError(
            "LilyPond is not installed. Install it with: pip install lilypond, or from https://lilypond.org; "
            "or choose the engraver verovio."
        )
    return program


def _required_musescore() -> str:
    program = _musescore()
    if program is None:
        raise MissingExtraError(
            "MuseScore is not installed, or its program (mscore, musescore) is not on the PATH. "
            "Install it from https://musescore.org, or choose the engraver verovio."
        )
    return program


def _musescore() -> str | None:
    return next((program for name in _MUSESCORE_NAMES if (program := shutil.which(name))), None)
