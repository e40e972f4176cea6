"""Pages set from Verovio's systems: a title, a legend of the heads that occur, lines of four bars, page numbers.

Verovio engraves the music as one long strip; here its systems are stacked on pages, so that the first page has room for
what stands above the music.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree as ET

from tutti.errors import EngravingError
from tutti.notation.layout import metre, one_line
from tutti.notation.lettering import text_width
from tutti.notation.musicxml import legend_to_musicxml
from tutti.notation.pdf import to_pdf, to_png
from tutti.notation.sheet import Sheet
from tutti.notation.vector import SVG, XLINK, At, Drawing, draw

__all__ = ["PAPERS_MM", "SetPage", "SetPages", "set_pages"]

PAPERS_MM: Final = {"a4": (210.0, 297.0), "letter": (215.9, 279.4)}

_UNITS_PER_MM: Final = 125.0
"""Verovio's inner units; a staff is 720 high, thus 5.8 mm."""
_MARGIN_MM: Final = 14.0
_FOOT_MM: Final = 8.0
"""Above the bottom margin, for the page number."""
_GAP_MM: Final = 4.0
"""Between two systems, where they reach towards each other most."""
_WIDEST_GAP_MM: Final = 9.0
_LEGEND_SCALE: Final = 0.7
_TITLE_MM: Final = 7.0
_NOTE_MM: Final = 3.6
_NUMBER_MM: Final = 3.4
_GREY: Final = "#57606A"
_STYLE: Final = (
    "text{white-space:pre}g.ending,g.reh,g.tempo,g.title{font-weight:bold}g.dir,g.mNum{font-style:italic}"
    "ellipse,path,polygon,polyline,rect{stroke:currentColor}"
)
_TALLEST: Final = 60_000
_SECOND_SIGN: Final = re.compile(r'(<layer [^>]*n="2"[^>]*>\s*)<mRpt [^>]*/>')
_ROOM: Final = "room"
"""Type of the rests that only take room."""
_OPTIONS: Final[dict[str, Any]] = {
    "header": "none",
    "footer": "none",
    "pageHeight": _TALLEST,
    "pageMarginLeft": 0,
    "pageMarginRight": 0,
    "pageMarginTop": 0,
    "pageMarginBottom": 0,
    "adjustPageHeight": True,
    "minLastJustification": 0.4,
    "lyricSize": 4.0,
    "lyricTopMinMargin": 3.5,
    "lyricWordSpace": 6.0,
    "font": "Bravura",
    "smuflTextFont": "embedded",
    "svgFormatRaw": True,
}


@dataclass(frozen=True, slots=True)
class SetPage:
    """One page: a drawing in SVG, and the same in the parts it is put together from."""

    svg: ET.Element
    parts: tuple[tuple[At, Drawing], ...]


@dataclass(frozen=True, slots=True)
class SetPages:
    """Pages of one size that can be printed."""

    pages: tuple[SetPage, ...]
    title: str
    paper: str

    def svgs(self) -> tuple[str, ...]:
        """One SVG a page. Notes carry the ids of their strokes."""
        return tuple(ET.tostring(page.svg, encoding="unicode") for page in self.pages)

    def pdf(self) -> bytes:
        """All pages."""
        return to_pdf([page.parts for page in self.pages], PAPERS_MM[self.paper], _UNITS_PER_MM, self.title)

    def png(self) -> bytes:
        """The first page, on white."""
        return to_png(self.pages[0].parts, PAPERS_MM[self.paper], _UNITS_PER_MM)


@dataclass(frozen=True, slots=True)
class _Strip:
    """One system, what it draws, and how far it reaches (Verovio's inner units)."""

    system: ET.Element
    drawing: Drawing
    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def of(cls, system: ET.Element, defs: Sequence[ET.Element]) -> _Strip:
        drawing = draw([system], defs)
        return cls(system, drawing, *drawing.bounds)

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(frozen=True, slots=True)
class _Engraved:
    strips: tuple[_Strip, ...]
    glyphs: Mapping[str, ET.Element]
    font_faces: tuple[str, ...]
    """CSS of the music font where the text uses it."""


def set_pages(sheet: Sheet, musicxml: bytes, paper: str) -> SetPages:
    """The sheet, which is `musicxml`, on pages engraved by Verovio. Raises EngravingError when Verovio fails."""
    size = [mm * _UNITS_PER_MM for mm in PAPERS_MM[paper]]
    width = size[0] - 2 * _MARGIN_MM * _UNITS_PER_MM
    music = _engraved(musicxml, sheet, width, seed=1)
    legend = legend_to_musicxml(sheet)
    key = None if legend is None else _engraved(legend, Sheet(""), width / _LEGEND_SCALE, seed=2)
    head, head_height = _head(sheet, key, size[0])
    stacked = _stacked(music.strips, size[1], head_height)
    pages = []
    for number, strips in enumerate(stacked, start=1):
        root = _document(PAPERS_MM[paper], size, [music, key] if number == 1 and key else [music])
        placed = head if number == 1 else []
        x = _MARGIN_MM * _UNITS_PER_MM
        placed = placed + [_placed(strip, x, y, min(1.0, width / strip.right)) for strip, y in strips]
        if len(stacked) > 1:
            foot = size[1] - _MARGIN_MM * _UNITS_PER_MM
            placed.append(_words(f"{number} / {len(stacked)}", size[0] / 2, foot, _NUMBER_MM))
        root.extend(one.group for one in placed)
        pages.append(SetPage(root, tuple((one.at, one.drawing) for one in placed)))
    return SetPages(tuple(pages), one_line(sheet.title), paper)


def _engraved(musicxml: bytes, sheet: Sheet, width: float, seed: int) -> _Engraved:
    """`seed` gives ids to what has none of its own: the same ones each time, others for each score on a page."""
    import verovio

    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    breaks = "encoded" if b"new-system" in musicxml else "none"
    toolkit.setOptions({**_OPTIONS, "pageWidth": max(100, round(width / 10))})
    toolkit.resetXmlIdSeed(seed)
    score = musicxml.decode()
    if any(bar.repeats_previous for bar in sheet.bars):
        score = _with_room_for_repeats(score, sheet, toolkit)
    _load(toolkit, score, breaks)
    strips: list[_Strip] = []
    glyphs: dict[str, ET.Element] = {}
    font_faces: list[str] = []
    for page in range(1, toolkit.getPageCount() + 1):
        root = ET.fromstring(_plain_glyph_names(toolkit.renderToSVG(page)))
        _take_out_room(root)
        defs = root.findall(f"{SVG}defs/{SVG}g")
        glyphs |= {group.attrib["id"]: group for group in defs}
        font_faces += [s.text for s in root.iter(f"{SVG}style") if s.text and s.text.startswith("@font-face")]
        strips += [_Strip.of(group, defs) for group in root.iter(f"{SVG}g") if group.get("class") == "system"]
    if not strips:
        raise EngravingError("Verovio drew nothing of this score.")
    return _Engraved(tuple(strips), glyphs, tuple(dict.fromkeys(font_faces)))


def _load(toolkit: Any, score: str, breaks: str) -> None:
    toolkit.setOptions({"breaks": breaks})
    if not toolkit.loadData(score):
        raise EngravingError("Verovio could not read the score. Please report this with the MusicXML file.")


def _with_room_for_repeats(score: str, sheet: Sheet, toolkit: Any) -> str:
    """Verovio gives a percent sign no room but its own, and draws it once a voice.

    Rests in place of the second sign make the bar as wide as one of plain beats; they are taken out of the picture.
    """
    _load(toolkit, score, "none")  # without lines nothing is laid out yet
    metres = (metre(sheet, index) for index, bar in enumerate(sheet.bars) if bar.repeats_previous)
    return _SECOND_SIGN.sub(lambda found: found[1] + _rests(*next(metres)), toolkit.getMEI())


def _rests(count: int, unit: int) -> str:
    return f'<rest dur="{unit}" type="{_ROOM}"/>' * count


def _take_out_room(root: ET.Element) -> None:
    for layer in root.iter(f"{SVG}g"):
        if layer.get("class") == "layer":
            for child in [child for child in layer if _ROOM in child.get("class", "").split()]:
                layer.remove(child)


def _plain_glyph_names(svg: str) -> str:
    """Glyphs under their code alone: Verovio adds the name of the page, and here pages share them."""
    return re.sub(r'((?:id="|href="#)[0-9A-F]{4,5})-\w+"', r'\1"', svg)


@dataclass(frozen=True, slots=True)
class _Placed:
    """Something on a page: as SVG, which holds its place, and as a drawing beside it."""

    group: ET.Element
    at: At
    drawing: Drawing


def _head(sheet: Sheet, legend: _Engraved | None, page_width: float) -> tuple[list[_Placed], float]:
    """Title, note and legend, and where the music may begin (inner units from the top of the page)."""
    head: list[_Placed] = []
    y = _MARGIN_MM * _UNITS_PER_MM
    widest = page_width - 2 * _MARGIN_MM * _UNITS_PER_MM
    for text, size_mm, name in ((one_line(sheet.title), _TITLE_MM, "title"), (one_line(sheet.note), _NOTE_MM, "note")):
        if text:
            size_mm = min(size_mm, size_mm * widest / text_width(text, size_mm * _UNITS_PER_MM, bold=name == "title"))
            y += 0.8 * size_mm * _UNITS_PER_MM
            head.append(_words(text, page_width / 2, y, size_mm, name))
            y += (0.45 * size_mm + 1) * _UNITS_PER_MM
    if legend is not None:
        strip = legend.strips[0]
        scale = min(_LEGEND_SCALE, widest / strip.right)
        head.append(_placed(strip, (page_width - scale * (strip.right + strip.left)) / 2, y, scale))
        head[-1].group.set("class", "legend")
        y += scale * strip.height + 3 * _UNITS_PER_MM
    return head, y


def _placed(strip: _Strip, x: float, y: float, scale: float) -> _Placed:
    """A system with its left end at `x` and its highest mark at `y`; a scale below 1 squeezes one that is too wide."""
    at = At(round(scale, 4), round(scale, 4), round(x), round(y - scale * strip.top))
    group = ET.Element(f"{SVG}g", transform=f"translate({at.x}, {at.y}) scale({at.across:.4f}, {at.down:.4f})")
    group.append(strip.system)
    return _Placed(group, at, strip.drawing)


def _stacked(strips: tuple[_Strip, ...], page_height: float, head: float) -> list[list[tuple[_Strip, float]]]:
    """Systems and where each begins, page by page. A full page is spread to its foot."""
    bottom = page_height - (_MARGIN_MM + _FOOT_MM) * _UNITS_PER_MM
    pages: list[list[_Strip]] = [[]]
    y = head
    for strip in strips:
        if pages[-1] and y + strip.height > bottom:
            pages.append([])
            y = _MARGIN_MM * _UNITS_PER_MM
        pages[-1].append(strip)
        y += strip.height + _GAP_MM * _UNITS_PER_MM
    placed: list[list[tuple[_Strip, float]]] = []
    for index, page in enumerate(pages):
        y = head if index == 0 else _MARGIN_MM * _UNITS_PER_MM
        free = bottom - y - sum(strip.height for strip in page)
        gap = min(_WIDEST_GAP_MM * _UNITS_PER_MM, free / max(1, len(page) - 1))
        row: list[tuple[_Strip, float]] = []
        for strip in page:
            row.append((strip, y))
            y += strip.height + gap
        placed.append(row)
    return placed


def _document(size_mm: tuple[float, float], size: list[float], engraved: list[_Engraved]) -> ET.Element:
    root = ET.Element(
        f"{SVG}svg",
        {
            "width": f"{size_mm[0]:g}mm",
            "height": f"{size_mm[1]:g}mm",
            "viewBox": f"0 0 {size[0]:.0f} {size[1]:.0f}",
            "color": "black",
            "font-family": "Times, serif",
        },
    )
    faces = dict.fromkeys(face for part in engraved for face in part.font_faces)
    ET.SubElement(root, f"{SVG}style").text = "".join([_STYLE, *faces])
    defs = ET.SubElement(root, f"{SVG}defs")
    glyphs = {name: glyph for part in engraved for name, glyph in part.glyphs.items()}
    defs.extend(glyphs[name] for name in sorted(glyphs))
    ET.SubElement(root, f"{SVG}rect", x="0", y="0", width=f"{size[0]:.0f}", height=f"{size[1]:.0f}",
                  fill="white", stroke="none")  # fmt: skip
    return root


def _words(text: str, x: float, y: float, size_mm: float, name: str = "") -> _Placed:
    """A centred line of text on the baseline `y`."""
    group = ET.Element(f"{SVG}g", {"class": name} if name else {})
    if name != "title":
        group.set("fill", _GREY)
    line = ET.SubElement(group, f"{SVG}text", {"x": f"{x:.0f}", "y": f"{y:.0f}", "text-anchor": "middle",
                                               "font-size": f"{size_mm * _UNITS_PER_MM:.0f}px"})  # fmt: skip
    line.text = text
    return _Placed(group, At(), draw([group]))


def _register_namespaces() -> None:
    ET.register_namespace("", SVG.strip("{}"))
    ET.register_namespace("xlink", XLINK.strip("{}"))


_register_namespaces()
