"""The vector graphics of an engraved page: SVG read once, measured and turned into the operators of a PDF.

This reads what Verovio writes and no more of SVG: groups, `use`, paths, polygons, polylines, rectangles, ellipses and
text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import groupby
from typing import Final, NamedTuple
from xml.etree import ElementTree as ET

from tutti.notation.lettering import Box, Face, font_of, music_face, outline, runs, text_width

__all__ = ["SVG", "XLINK", "At", "Drawing", "draw"]

SVG: Final = "{http://www.w3.org/2000/svg}"
XLINK: Final = "{http://www.w3.org/1999/xlink}"

_BOLD: Final = frozenset({"ending", "reh", "tempo", "title"})
_ITALIC: Final = frozenset({"dir", "mNum"})
_STYLED: Final = frozenset({"color", "fill", "font-family", "font-size", "font-style", "font-weight"})
_LINE: Final = re.compile(r"M(-?[\d.]+) (-?[\d.]+) L(-?[\d.]+) (-?[\d.]+)")
_MOVED_AND_SCALED: Final = re.compile(r"translate\((-?[\d.]+), (-?[\d.]+)\) scale\(([\d.]+), ([\d.]+)\)")
_TRANSFORM: Final = re.compile(r"(translate|scale)\(\s*([-\d.e]+)(?:[\s,]+([-\d.e]+))?\s*\)")
_ROUND: Final = 0.5523
"""How far the points that steer lie along the tangent, in radii, for a quarter of a circle."""
_NAMED: Final = {"black": "#000000", "white": "#FFFFFF"}


class At(NamedTuple):
    """Where something is drawn: scaled, then moved. Verovio turns and skews nothing."""

    across: float = 1.0
    down: float = 1.0
    x: float = 0.0
    y: float = 0.0

    def within(self, outer: At) -> At:
        """Scaled and moved once more, by `outer`."""
        if outer == _AS_IT_IS:
            return self
        return At(
            self.across * outer.across,
            self.down * outer.down,
            self.x * outer.across + outer.x,
            self.y * outer.down + outer.y,
        )

    @property
    def operator(self) -> str:
        return f"{self.across:g} 0 0 {self.down:g} {self.x:.8g} {self.y:.8g} cm"


class Drawing:
    """What SVG elements draw, as PDF operators in the units around them, y downwards as in SVG.

    They need the forms and the letters that are named here.
    """

    def __init__(self) -> None:
        self.operators: list[str] = []
        self.forms: dict[str, Drawing] = {}
        """Those that are painted by their name."""
        self.letters: set[tuple[Face, str]] = set()
        self._boxes: list[Box] = []

    @property
    def bounds(self) -> Box:
        """Left, top, right and bottom; zeros when nothing is drawn."""
        if not self._boxes:
            return 0.0, 0.0, 0.0, 0.0
        left, top, right, bottom = zip(*self._boxes, strict=True)
        return min(left), min(top), max(right), max(bottom)

    def cover(self, box: Box, at: At, pad: float = 0.0) -> None:
        """Count a box that is drawn at `at`, with a pen that reaches `pad` beyond it."""
        left, right = sorted((box[0] * at.across + at.x, box[2] * at.across + at.x))
        top, bottom = sorted((box[1] * at.down + at.y, box[3] * at.down + at.y))
        self._boxes.append((left - pad, top - pad, right + pad, bottom + pad))


@dataclass(frozen=True, slots=True)
class _Style:
    """What a group hands down to what it holds."""

    colour: str = "black"
    fill: str | None = None
    """None is the current colour."""
    bold: bool = False
    italic: bool = False
    font_size: float = 0.0
    music_font: str = ""

    def below(self, element: ET.Element) -> _Style:
        said = element.attrib
        classes = said.get("class", "").split()
        bold, italic = not _BOLD.isdisjoint(classes), not _ITALIC.isdisjoint(classes)
        if not bold and not italic and _STYLED.isdisjoint(said):
            return self
        size = said.get("font-size")
        family = said.get("font-family", "")
        return replace(
            self,
            colour=said.get("color", self.colour),
            fill=said.get("fill", self.fill),
            bold=said.get("font-weight", "bold" if self.bold or bold else "") == "bold",
            italic=said.get("font-style", "italic" if self.italic or italic else "") == "italic",
            font_size=float(size.removesuffix("px")) if size else self.font_size,
            music_font=self.music_font if not family or "Times" in family else family,
        )

    @property
    def paint(self) -> str:
        return self.fill if self.fill not in (None, "currentColor") else self.colour


_AS_IT_IS: Final = At()
_PLAIN: Final = _Style()
_INHERITED: Final = _Style(colour="")
"""In a form: whoever uses it sets the colour."""


def draw(elements: Sequence[ET.Element], defs: Sequence[ET.Element] = ()) -> Drawing:
    """What `elements` draw, where `use` means the groups of `defs`."""
    drawing = Drawing()
    writer = _Writer(drawing, {group.attrib["id"]: group for group in defs})
    for element in elements:
        writer.element(element, _AS_IT_IS, _PLAIN)
    return drawing


class _Writer:
    """Goes through an SVG and writes a drawing."""

    def __init__(self, drawing: Drawing, defs: dict[str, ET.Element]) -> None:
        self._drawing = drawing
        self._say = drawing.operators.append
        self._defs = defs
        self._pen: dict[str, str] = {}
        """What colour and lines are set to by now."""

    def element(self, element: ET.Element, at: At, style: _Style) -> None:
        style = style.below(element)
        name = element.tag.removeprefix(SVG)
        if name in ("svg", "g"):
            if "placeholder" not in element.get("class", "").split():
                at = _own_place(element).within(at) if "transform" in element.attrib else at
                for child in element:
                    self.element(child, at, style)
        elif name == "use":
            self._form(element, at, style)
        elif name == "text":
            self._text(element, at, style)
        elif name in _OUTLINES:
            self._shape(element, *_OUTLINES[name](element), at, style)

    def _shape(self, element: ET.Element, operators: str, box: Box, at: At, style: _Style) -> None:
        width = float(element.get("stroke-width", 0))
        is_open = operators.endswith("l")
        is_line = is_open or element.get("fill") == "none" or element.get("fill-opacity") == "0"
        if is_line and not width:
            return
        if "transform" in element.attrib:
            at = _own_place(element).within(at)
        if width:
            self._set("w", f"{width:g} w")
            self._set("J", "2 J" if element.get("stroke-linecap") == "square" else "0 J")
            self._colour("RG", style.colour)
        if not is_line:
            self._colour("rg", style.paint)
        paint = "S" if is_line else "B" if width else "f"
        self._say(f"{operators} {paint}" if at == _AS_IT_IS else f"q {at.operator} {operators} {paint} Q")
        self._drawing.cover(box, at, width / 2 * abs(at.down))

    def _form(self, element: ET.Element, at: At, style: _Style) -> None:
        name = element.get(f"{XLINK}href", "").removeprefix("#")
        if name not in self._defs:
            return
        if name not in self._drawing.forms:
            form = self._drawing.forms[name] = Drawing()
            writer = _Writer(form, self._defs)
            for part in self._defs[name]:
                writer.element(part, _AS_IT_IS, _INHERITED)
        form = self._drawing.forms[name]
        at = _own_place(element).within(at)
        self._colour("rg", style.paint)
        self._say(f"q {at.operator} /{name} Do Q")
        self._drawing.cover(form.bounds, at)

    def _text(self, element: ET.Element, at: At, style: _Style) -> None:
        """A line of text. Its spans follow each other, whatever white space lies between their tags."""
        spans = [span for span in _spans(element, style) if span[1].font_size]
        widths = [_width(text, span) for text, span in spans]
        anchor = {"start": 0.0, "middle": 0.5, "end": 1.0}[element.get("text-anchor", "start")]
        x = float(element.get("x", 0)) - anchor * sum(widths)
        y = float(element.get("y", 0))
        for (text, span), width in zip(spans, widths, strict=True):
            self._colour("rg", span.paint)
            self._letters(text, span, At(span.font_size, -span.font_size, x, y).within(at))
            x += width

    def _letters(self, text: str, style: _Style, at: At) -> None:
        """`at` is the left end of the baseline, and the font size."""
        for face, letters in _faces(text, style):
            self._drawing.letters.update((face, letter) for letter in letters)
            for font, group in groupby(letters, partial(font_of, face)):
                row = tuple(group)
                wide = sum(face.letter(letter).advance for letter in row) / face.units
                codes = bytes(ord(letter) & 0xFF for letter in row).hex()
                place = f"{at.across:g} 0 0 {at.down:g} {at.x:.8g} {at.y:.8g} Tm"
                self._say(f"BT /{font} 1 Tf {place} <{codes}> Tj ET")
                if style.music_font:
                    lefts, lows, rights, highs = zip(*(face.letter(letter).box for letter in row), strict=True)
                    reach = min(lefts), min(lows), max(*rights, wide * face.units), max(highs)
                    self._drawing.cover(tuple(part / face.units for part in reach), at)
                else:
                    self._drawing.cover((0.0, -0.25, wide, 0.75), at)
                at = at._replace(x=at.x + wide * at.across)

    def _colour(self, operator: str, colour: str) -> None:
        if colour:
            self._set(operator, f"{_rgb(colour)} {operator}")

    def _set(self, key: str, operator: str) -> None:
        if self._pen.get(key) != operator:
            self._pen[key] = operator
            self._say(operator)


def _own_place(element: ET.Element) -> At:
    """What an element's own transform says, the last of it first."""
    transform = element.get("transform", "")
    if usual := _MOVED_AND_SCALED.fullmatch(transform):
        x, y, across, down = map(float, usual.groups())
        return At(across, down, x, y)
    at = _AS_IT_IS
    for name, first, second in reversed(_TRANSFORM.findall(transform)):
        if name == "translate":
            at = at.within(At(x=float(first), y=float(second or 0)))
        else:
            at = at.within(At(float(first), float(second or first)))
    return at


@cache
def _rgb(colour: str) -> str:
    code = _NAMED.get(colour, colour).removeprefix("#")
    return " ".join(f"{int(code[place : place + 2], 16) / 255:.4g}" for place in (0, 2, 4))


def _spans(element: ET.Element, style: _Style) -> Iterator[tuple[str, _Style]]:
    if element.text and (element.text.strip() or not len(element)):
        yield element.text, style
    for child in element:
        yield from _spans(child, style.below(child))


def _faces(text: str, style: _Style) -> Iterable[tuple[Face, str]]:
    if style.music_font:
        return [(music_face(style.music_font), text)]
    return runs(text, bold=style.bold, italic=style.italic)


def _width(text: str, style: _Style) -> float:
    if style.music_font:
        face = music_face(style.music_font)
        return sum(face.letter(letter).advance for letter in text) / face.units * style.font_size
    return text_width(text, style.font_size, bold=style.bold, italic=style.italic)


def _path(element: ET.Element) -> tuple[str, Box]:
    data = element.attrib["d"]
    if line := _LINE.fullmatch(data):
        x, y, end_x, end_y = line.groups()
        box = float(x), float(y), float(end_x), float(end_y)
        return f"{x} {y} m {end_x} {end_y} l", box
    return outline(data)


def _polygon(element: ET.Element) -> tuple[str, Box]:
    operators, box = _polyline(element)
    return f"{operators} h", box


def _polyline(element: ET.Element) -> tuple[str, Box]:
    pairs = [pair.split(",") for pair in element.attrib["points"].split()]
    xs, ys = ([float(number) for number in row] for row in zip(*pairs, strict=True))
    first, *others = (f"{x} {y}" for x, y in pairs)
    return " ".join([f"{first} m", *(f"{point} l" for point in others)]), (min(xs), min(ys), max(xs), max(ys))


def _rectangle(element: ET.Element) -> tuple[str, Box]:
    x, y, width, height = (float(element.attrib[name]) for name in ("x", "y", "width", "height"))
    return f"{x:g} {y:g} {width:g} {height:g} re", (x, y, x + width, y + height)


def _ellipse(element: ET.Element) -> tuple[str, Box]:
    x, y, across, down = (float(element.attrib[name]) for name in ("cx", "cy", "rx", "ry"))
    left, top, right, bottom = x - across, y - down, x + across, y + down
    a, b = across * _ROUND, down * _ROUND
    curves = (
        (right, y + b, x + a, bottom, x, bottom),
        (x - a, bottom, left, y + b, left, y),
        (left, y - b, x - a, top, x, top),
        (x + a, top, right, y - b, right, y),
    )
    rounds = " ".join(" ".join(f"{number:g}" for number in curve) + " c" for curve in curves)
    return f"{right:g} {y:g} m {rounds} h", (left, top, right, bottom)


_OUTLINES: Final[dict[str, Callable[[ET.Element], tuple[str, Box]]]] = {
    "path": _path,
    "polygon": _polygon,
    "polyline": _polyline,
    "rect": _rectangle,
    "ellipse": _ellipse,
}
