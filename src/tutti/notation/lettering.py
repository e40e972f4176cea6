"""The letters of a page: which font holds one, how wide it is, and its outline as PDF operators.

Text is set in STIX, which has the widths of Times and comes with matplotlib (its files are used, not its code); letters
it lacks come from DejaVu Sans, which comes with it too, or from an installed font that has them. The note of a tempo
mark is a letter of a music font of Verovio.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Protocol
from xml.etree import ElementTree as ET

from fontTools.pens.basePen import BasePen  # type: ignore[import-untyped]
from fontTools.svgLib.path import parse_path  # type: ignore[import-untyped]
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

__all__ = ["Box", "Face", "Letter", "font_of", "music_face", "outline", "runs", "text_width"]

Box = tuple[float, float, float, float]
"""Least x, least y, greatest x, greatest y."""

_STIX: Final = {
    (False, False): "STIXGeneral", (True, False): "STIXGeneralBol",
    (False, True): "STIXGeneralItalic", (True, True): "STIXGeneralBolIta",
}  # fmt: skip
_MISSING: Final = ".notdef"


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter, in units of its face; y upwards."""

    operators: str
    """Its outline, to be filled; nothing for a space."""
    box: Box
    advance: float


class Face(Protocol):
    """A font of one weight and slant."""

    name: str
    units: float
    """To the font size."""

    def letter(self, letter: str) -> Letter:
        """A letter it lacks is a box, which says enough."""


class _FontFile:
    def __init__(self, path: str) -> None:
        self._font = TTFont(path, lazy=True, fontNumber=0)
        self._names: dict[int, str] = self._font.getBestCmap() or {}
        self._glyphs = self._font.getGlyphSet()
        self._letters: dict[str, Letter] = {}
        self.name = Path(path).stem
        self.units = float(self._font["head"].unitsPerEm)

    def holds(self, letter: str) -> bool:
        return ord(letter) in self._names

    def letter(self, letter: str) -> Letter:
        if letter not in self._letters:
            glyph = self._glyphs[self._names.get(ord(letter), _MISSING)]
            pen = _Pen(self._glyphs)
            glyph.draw(pen)
            self._letters[letter] = Letter(pen.operators, pen.box, float(glyph.width))
        return self._letters[letter]


class _MusicFont:
    """A music font of Verovio, which keeps a file a glyph and a table of widths."""

    units = 1000.0

    def __init__(self, name: str) -> None:
        self.name = name
        self._letters: dict[str, Letter] = {}

    def letter(self, letter: str) -> Letter:
        if letter not in self._letters:
            package = find_spec("verovio")
            assert package is not None
            assert package.origin is not None
            folder = Path(package.origin).parent / "data"
            code = f"{ord(letter):04X}"
            paths = [path for path in ET.parse(folder / self.name / f"{code}.xml").iter() if path.tag.endswith("path")]
            operators, box = outline(" ".join(path.attrib["d"] for path in paths))
            table = ET.parse(folder / f"{self.name}.xml").getroot()
            advance = next(float(row.attrib["h-a-x"]) for row in table if row.get("c") == code)
            self._letters[letter] = Letter(operators, box, advance)
        return self._letters[letter]


@cache
def music_face(name: str) -> Face:
    """The music font of Verovio that is called so."""
    return _MusicFont(name)


def font_of(face: Face, letter: str) -> str:
    """The font of a PDF that holds `letter` of `face`, by its name there: 256 letters each, a code the low byte."""
    return f"{face.name}-{ord(letter) >> 8:X}"


def runs(text: str, *, bold: bool = False, italic: bool = False) -> Iterator[tuple[Face, str]]:
    """`text` in pieces that each have one face."""
    return ((face, "".join(letters)) for face, letters in groupby(text, lambda letter: _face_of(letter, bold, italic)))


def text_width(text: str, size: float, *, bold: bool = False, italic: bool = False) -> float:
    """How wide `text` is at a font size, in the same units."""
    return size * sum(
        sum(face.letter(letter).advance for letter in letters) / face.units
        for face, letters in runs(text, bold=bold, italic=italic)
    )


@lru_cache(maxsize=4096)
def _face_of(letter: str, bold: bool, italic: bool) -> _FontFile:
    """The first face that holds `letter`; the one asked for where none does."""
    names = (_STIX[bold, italic], "STIXGeneral", "DejaVuSans")
    for name in names:
        face = _shipped(name)
        if face.holds(letter) or letter.isspace():
            return face
    return _installed(letter) or _shipped(names[0])


@cache
def _shipped(name: str) -> _FontFile:
    package = find_spec("matplotlib")  # finds it and does not run it
    assert package is not None
    assert package.origin is not None
    return _FontFile(str(Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / f"{name}.ttf"))


def _installed(letter: str) -> _FontFile | None:
    from matplotlib.font_manager import fontManager  # its search takes long the first time

    for entry in fontManager.ttflist:
        if "Last Resort" not in entry.name:
            face = _file(entry.fname)
            if face is not None and face.holds(letter):
                return face
    return None


@cache
def _file(path: str) -> _FontFile | None:
    try:
        return _FontFile(path)
    except Exception:  # whatever lies among the fonts of a machine: pictures for letters, broken files
        return None


@cache
def outline(data: str) -> tuple[str, Box]:
    """The path of an SVG as PDF operators, and the box around all its points, those that steer its curves too."""
    pen = _Pen(None)
    parse_path(data, pen)
    return pen.operators, pen.box


class _Pen(BasePen):  # type: ignore[misc]
    """Writes what it draws as PDF operators."""

    def __init__(self, glyphs: Any) -> None:
        super().__init__(glyphs)
        self._said: list[str] = []
        self._points: list[tuple[float, float]] = []

    @property
    def operators(self) -> str:
        return " ".join(self._said)

    @property
    def box(self) -> Box:
        if not self._points:
            return 0.0, 0.0, 0.0, 0.0
        xs, ys = zip(*self._points, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def _moveTo(self, point: tuple[float, float]) -> None:  # noqa: N802 - the names of fontTools
        self._say("m", point)

    def _lineTo(self, point: tuple[float, float]) -> None:  # noqa: N802
        self._say("l", point)

    def _curveToOne(self, *points: tuple[float, float]) -> None:  # noqa: N802
        self._say("c", *points)

    def _closePath(self) -> None:  # noqa: N802
        self._said.append("h")

    def _say(self, operator: str, *points: tuple[float, float]) -> None:
        self._points += points
        self._said += [f"{x:g} {y:g}" for x, y in points]
        self._said.append(operator)
