"""The vector graphics of an engraved page: read as SVG, measured, and painted as PDF or PNG.

This reads what Verovio writes and no more of SVG: groups, `use`, paths, polygons, lines, rectangles, ellipses and text.
Text is set in STIX, which has the widths of Times and comes with matplotlib; letters it lacks come from DejaVu Sans or
an installed font that has them. Letters of the music font (the note of a tempo mark) are painted by their outlines.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path as FilePath
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree as ET

import numpy as np
from fontTools.svgLib.path import parse_path  # type: ignore[import-untyped]
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.path import Path
from matplotlib.textpath import TextToPath
from matplotlib.transforms import Affine2D

__all__ = ["SVG", "XLINK", "bounds", "text_width", "to_pdf", "to_png"]

SVG: Final = "{http://www.w3.org/2000/svg}"
XLINK: Final = "{http://www.w3.org/1999/xlink}"

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

_POINTS_PER_INCH: Final = 72
_MM_PER_INCH: Final = 25.4
_FAMILIES: Final = ("STIXGeneral", "DejaVu Sans")
_BOLD: Final = frozenset({"ending", "reh", "tempo", "title"})
_ITALIC: Final = frozenset({"dir", "mNum"})
_MEASURING: Final = TextToPath()


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
        classes = set(element.get("class", "").split())
        size = element.get("font-size")
        family = element.get("font-family", "")
        return replace(
            self,
            colour=element.get("color", self.colour),
            fill=element.get("fill", self.fill),
            bold=element.get("font-weight", "bold" if self.bold or classes & _BOLD else "") == "bold",
            italic=element.get("font-style", "italic" if self.italic or classes & _ITALIC else "") == "italic",
            font_size=float(size.removesuffix("px")) if size else self.font_size,
            music_font=self.music_font if not family or "Times" in family else family,
        )

    @property
    def paint(self) -> str:
        return self.fill if self.fill not in (None, "currentColor") else self.colour


class _At(NamedTuple):
    """Where something is drawn: scaled, then moved. Verovio turns and skews nothing."""

    across: float = 1.0
    down: float = 1.0
    x: float = 0.0
    y: float = 0.0

    def within(self, outer: _At) -> _At:
        return _At(
            self.across * outer.across,
            self.down * outer.down,
            self.x * outer.across + outer.x,
            self.y * outer.down + outer.y,
        )

    @property
    def affine(self) -> Affine2D:
        return Affine2D.from_values(self.across, 0, 0, self.down, self.x, self.y)


_AS_IT_IS: Final = _At()
_PLAIN: Final = _Style()


@dataclass(frozen=True, slots=True)
class _Shape:
    outline: Path
    at: _At
    fill: str | None
    stroke: str | None
    width: float
    cap: str = "butt"

    @property
    def bounds(self) -> Box:
        left, top, right, bottom = _extent(self.outline)
        pad = self.width / 2 if self.stroke else 0.0
        xs = sorted((left * self.at.across + self.at.x, right * self.at.across + self.at.x))
        ys = sorted((top * self.at.down + self.at.y, bottom * self.at.down + self.at.y))
        return xs[0] - pad, ys[0] - pad, xs[1] + pad, ys[1] + pad


def _extent(outline: Path) -> Box:
    """Of its points, those that steer its curves too: never too small."""
    points = np.asarray(outline.vertices, dtype=float)
    if outline.codes is not None:
        points = points[np.asarray(outline.codes) != Path.CLOSEPOLY]
    left, top = points.min(axis=0)
    right, bottom = points.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


@dataclass(frozen=True, slots=True)
class _Words:
    x: float
    y: float
    text: str
    style: _Style
    scale: float
    """Of the text against its font size: what the groups around it do."""

    @property
    def size(self) -> float:
        return self.style.font_size * self.scale

    @property
    def bounds(self) -> Box:
        width = text_width(self.text, self.size, bold=self.style.bold, italic=self.style.italic)
        return self.x, self.y - 0.75 * self.size, self.x + width, self.y + 0.25 * self.size


def bounds(element: ET.Element, defs: Mapping[str, ET.Element]) -> Box:
    """Left, top, right and bottom of what `element` draws, in its own units; zeros when it draws nothing."""
    boxes = [mark.bounds for mark in _marks(element, defs)]
    if not boxes:
        return 0.0, 0.0, 0.0, 0.0
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def text_width(text: str, size: float, *, bold: bool = False, italic: bool = False) -> float:
    """How wide `text` is at a font size, in the same units."""
    with _quiet_about_missing_glyphs():
        width, *_ = _MEASURING.get_text_width_height_descent(text, _font(text, 100.0, bold, italic), ismath=False)
    return float(width) * size / 100


def to_pdf(pages: Sequence[str], size_mm: tuple[float, float], title: str = "") -> bytes:
    """The pages, each an SVG of that size, as one PDF with its fonts embedded. The same pages give the same bytes."""
    metadata = {"Title": title or None, "Creator": "tutti", "Producer": None, "CreationDate": None}
    with io.BytesIO() as file:
        with PdfPages(file, metadata=metadata) as pdf, _quiet_about_missing_glyphs():
            for page in pages:
                pdf.savefig(_figure(page, size_mm))
        return file.getvalue()


def to_png(page: str, size_mm: tuple[float, float], dpi: int = 150) -> bytes:
    """One page as a picture on white."""
    figure = _figure(page, size_mm)
    FigureCanvasAgg(figure)
    with io.BytesIO() as image, _quiet_about_missing_glyphs():
        figure.savefig(image, format="png", dpi=dpi, metadata={"Software": None})
        return image.getvalue()


def _figure(page: str, size_mm: tuple[float, float]) -> Figure:
    figure = Figure(figsize=(size_mm[0] / _MM_PER_INCH, size_mm[1] / _MM_PER_INCH), facecolor="white")
    figure.add_artist(_Page(ET.fromstring(page)))
    return figure


class _Page(Artist):
    """Paints an SVG over the whole of its figure."""

    def __init__(self, root: ET.Element) -> None:
        super().__init__()
        self._units = [float(number) for number in root.attrib["viewBox"].split()][2:]
        defs = {group.attrib["id"]: group for holder in root.iter(f"{SVG}defs") for group in holder}
        self._marks = list(_marks(root, defs))

    def draw(self, renderer: RendererBase) -> None:
        assert self.figure is not None
        box = self.figure.bbox
        scale = box.width / self._units[0]
        flip = _At(scale, -scale, 0.0, box.height)
        for mark in self._marks:
            if isinstance(mark, _Shape):
                _paint_shape(renderer, mark, flip, scale)
            else:
                _paint_words(renderer, mark, flip, scale)


def _paint_shape(renderer: RendererBase, shape: _Shape, flip: _At, scale: float) -> None:
    context = renderer.new_gc()
    context.set_linewidth(shape.width * scale if shape.stroke else 0)
    context.set_foreground(shape.stroke or shape.fill or "none")
    context.set_capstyle("projecting" if shape.cap == "square" else "butt")
    context.set_joinstyle("miter")
    context.set_antialiased(True)
    fill = None if shape.fill is None else to_rgb(shape.fill)
    renderer.draw_path(context, shape.outline, shape.at.within(flip).affine, fill)
    context.restore()


def _paint_words(renderer: RendererBase, words: _Words, flip: _At, scale: float) -> None:
    _, _, x, y = _At(x=words.x, y=words.y).within(flip)
    context = renderer.new_gc()
    context.set_foreground(words.style.paint)
    points = words.size * scale / np.asarray(renderer.points_to_pixels(1.0), dtype=float).item()
    font = _font(words.text, points, words.style.bold, words.style.italic)
    if renderer.flipy():
        y = renderer.get_canvas_width_height()[1] - y
    renderer.draw_text(context, x, y, words.text, font, 0.0, ismath=False)
    context.restore()


def _marks(
    element: ET.Element, defs: Mapping[str, ET.Element], at: _At = _AS_IT_IS, style: _Style = _PLAIN
) -> Iterator[_Shape | _Words]:
    """Everything that `element` draws, in order, and where."""
    at = _transform(element, at)
    style = style.below(element)
    name = element.tag.removeprefix(SVG)
    if name == "text":
        yield from _text(element, at, style)
    elif name == "use":
        target = defs.get(element.get(f"{XLINK}href", "").removeprefix("#"))
        if target is not None:
            yield from _marks(target, defs, at, style)
    elif name in _OUTLINES:
        yield _shape(element, _OUTLINES[name](element), at, style)
    elif name in ("svg", "g") and "placeholder" not in element.get("class", "").split():
        for child in element:
            yield from _marks(child, defs, at, style)


def _shape(element: ET.Element, outline: Path, at: _At, style: _Style) -> _Shape:
    width = float(element.get("stroke-width", 0)) * abs(at.down)
    hollow = (
        element.get("fill") == "none" or element.get("fill-opacity") == "0" or len(np.asarray(outline.vertices)) == 2
    )
    return _Shape(
        outline,
        at,
        None if hollow else style.paint,
        style.colour if width else None,
        width,
        element.get("stroke-linecap", "butt"),
    )


def _text(element: ET.Element, at: _At, style: _Style) -> Iterator[_Shape | _Words]:
    """A line of text. Its spans follow each other, whatever white space lies between their tags."""
    spans = list(_spans(element, style))
    widths = [_advance(text, span) for text, span in spans]
    anchor = element.get("text-anchor", "start")
    x = float(element.get("x", 0)) - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * sum(widths)
    y = float(element.get("y", 0))
    for (text, span), width in zip(spans, widths, strict=True):
        if span.music_font:
            place = x
            for letter in text:
                outline, advance = _glyph(span.music_font, letter)
                size = span.font_size / 1000
                if len(np.asarray(outline.vertices)):  # a space has none
                    yield _Shape(outline, _At(size, -size, place, y).within(at), span.paint, None, 0.0)
                place += advance * size
        else:
            _, _, left, top = _At(x=x, y=y).within(at)
            yield _Words(left, top, text, span, abs(at.down))
        x += width


def _spans(element: ET.Element, style: _Style) -> Iterator[tuple[str, _Style]]:
    if element.text and (element.text.strip() or not len(element)):
        yield element.text, style
    for child in element:
        yield from _spans(child, style.below(child))


def _advance(text: str, style: _Style) -> float:
    if style.music_font:
        return sum(_glyph(style.music_font, letter)[1] for letter in text) * style.font_size / 1000
    return text_width(text, style.font_size, bold=style.bold, italic=style.italic)


@cache
def _glyph(family: str, letter: str) -> tuple[Path, float]:
    """Outline and advance of a letter of one of Verovio's music fonts, in thousandths of the font size."""
    import verovio

    folder = FilePath(verovio.__file__).parent / "data"
    code = f"{ord(letter):04X}"
    glyph = ET.parse(folder / family / f"{code}.xml").getroot()
    outlines = [_parse(path.attrib["d"]) for path in glyph.iter() if path.tag.endswith("path")]
    table = ET.parse(folder / f"{family}.xml").getroot()
    advance = next(float(row.attrib["h-a-x"]) for row in table if row.get("c") == code)
    return Path.make_compound_path(*outlines), advance


_TRANSFORM = re.compile(r"(translate|scale)\(\s*([-\d.e]+)(?:[\s,]+([-\d.e]+))?\s*\)")


def _transform(element: ET.Element, outer: _At) -> _At:
    """What an element's own transform, the last of it first, makes of the place around it."""
    at = _At()
    for name, first, second in reversed(_TRANSFORM.findall(element.get("transform", ""))):
        if name == "translate":
            at = at.within(_At(x=float(first), y=float(second or 0)))
        else:
            at = at.within(_At(float(first), float(second or first)))
    return at.within(outer)


class _Pen:
    """Collects an SVG path as matplotlib's vertices and codes."""

    def __init__(self) -> None:
        self.vertices: list[tuple[float, float]] = []
        self.codes: list[int] = []

    def moveTo(self, point: tuple[float, float]) -> None:  # noqa: N802 - the pen protocol of fontTools
        self._add(Path.MOVETO, point)

    def lineTo(self, point: tuple[float, float]) -> None:  # noqa: N802
        self._add(Path.LINETO, point)

    def curveTo(self, *points: tuple[float, float]) -> None:  # noqa: N802
        self._add(Path.CURVE4, *points)

    def qCurveTo(self, *points: tuple[float, float]) -> None:  # noqa: N802
        self._add(Path.CURVE3, *points)

    def closePath(self) -> None:  # noqa: N802
        self._add(Path.CLOSEPOLY, (0.0, 0.0))

    def endPath(self) -> None:  # noqa: N802
        pass

    def _add(self, code: Any, *points: tuple[float, float]) -> None:
        self.vertices += points
        self.codes += [int(code)] * len(points)


@cache
def _parse(data: str) -> Path:
    pen = _Pen()
    parse_path(data, pen)
    return Path(np.array(pen.vertices), pen.codes)


def _polygon(element: ET.Element) -> Path:
    points = [[float(number) for number in pair.split(",")] for pair in element.attrib["points"].split()]
    return Path(np.array([*points, points[0]]), closed=True)


def _polyline(element: ET.Element) -> Path:
    return Path(np.array([[float(number) for number in pair.split(",")] for pair in element.attrib["points"].split()]))


def _rectangle(element: ET.Element) -> Path:
    x, y, width, height = (float(element.attrib[name]) for name in ("x", "y", "width", "height"))
    return Path(np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]), closed=True)


def _ellipse(element: ET.Element) -> Path:
    x, y, across, down = (float(element.attrib[name]) for name in ("cx", "cy", "rx", "ry"))
    return Affine2D().scale(across, down).translate(x, y).transform_path(Path.unit_circle())


_OUTLINES = {
    "path": lambda element: _parse(element.attrib["d"]),
    "polygon": _polygon,
    "polyline": _polyline,
    "rect": _rectangle,
    "ellipse": _ellipse,
}


def _font(text: str, points: float, bold: bool, italic: bool) -> FontProperties:
    return FontProperties(
        family=list(_families(text)),
        size=points,
        weight="bold" if bold else "normal",
        style="italic" if italic else "normal",
    )


@cache
def _families(text: str) -> tuple[str, ...]:
    """Font families that together hold every letter of `text`, as far as this machine has one that does."""
    missing = {letter for letter in text if not letter.isspace() and ord(letter) > 0xFF}
    for family in _FAMILIES if missing else ():
        missing -= _held(FontProperties(family=family), missing)
    families = list(_FAMILIES)
    for entry in fontManager.ttflist if missing else ():
        if "Last Resort" in entry.name:
            continue
        held = _held(FontProperties(fname=entry.fname), missing)
        if held:
            families.append(entry.name)
            missing -= held
        if not missing:
            break
    return tuple(families)


def _held(font: FontProperties, letters: set[str]) -> set[str]:
    face = get_font(fontManager.findfont(font))
    return {letter for letter in letters if face.get_char_index(ord(letter))}


def _quiet_about_missing_glyphs() -> warnings.catch_warnings[None]:
    """A letter that no font here has is drawn as a box, which says enough."""
    return warnings.catch_warnings(action="ignore", category=UserWarning)
