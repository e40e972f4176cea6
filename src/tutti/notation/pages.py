"""Pages set from Verovio's systems: a title, a legend of the heads that occur, lines of four bars, page numbers.

Verovio engraves the music as one long strip; here its systems are stacked on pages, so that the first page has room for
what stands above the music.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree as ET

from tutti.errors import EngravingError
from tutti.notation.layout import metre, one_line
from tutti.notation.musicxml import legend_to_musicxml
from tutti.notation.sheet import Sheet
from tutti.notation.vector import SVG, XLINK, bounds, text_width

__all__ = ["PAPERS_MM", "set_pages"]

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
class _Strip:
    """One system, and how far it reaches (Verovio's inner units)."""

    system: ET.Element
    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(frozen=True, slots=True)
class _Engraved:
    strips: tuple[_Strip, ...]
    glyphs: Mapping[str, ET.Element]
    font_faces: tuple[str, ...]
    """CSS of the music font where the text uses it."""


def set_pages(sheet: Sheet, musicxml: bytes, paper: str) -> list[str]:
    """The sheet, which is `musicxml`, as SVG pages engraved by Verovio. Notes carry the ids of their strokes.

    Raises EngravingError when Verovio fails.
    """
    size = [mm * _UNITS_PER_MM for mm in PAPERS_MM[paper]]
    width = size[0] - 2 * _MARGIN_MM * _UNITS_PER_MM
    music = _engraved(musicxml, sheet, width, seed=1)
    legend = legend_to_musicxml(sheet)
    key = None if legend is None else _engraved(legend, Sheet(""), width / _LEGEND_SCALE, seed=2)
    head, head_height = _head(sheet, key, size[0])
    pages = _stacked(music.strips, size[1], head_height)
    documents = []
    for number, placed in enumerate(pages, start=1):
        root = _document(PAPERS_MM[paper], size, [music, key] if number == 1 and key else [music])
        root.extend(head if number == 1 else ())
        for strip, y in placed:
            x = _MARGIN_MM * _UNITS_PER_MM
            root.append(_placed(strip, x, y, min(1.0, width / strip.right)))
        if len(pages) > 1:
            foot = size[1] - _MARGIN_MM * _UNITS_PER_MM
            root.append(_words(f"{number} / {len(pages)}", size[0] / 2, foot, _NUMBER_MM))
        documents.append(ET.tostring(root, encoding="unicode"))
    return documents


def _engraved(musicxml: bytes, sheet: Sheet, width: float, seed: int) -> _Engraved:
    """`seed` gives ids to what has none of its own: the same ones each time, others for each score on a page."""
    import verovio

    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    breaks = "line" if b"new-system" in musicxml else "none"
    toolkit.setOptions({**_OPTIONS, "breaks": breaks, "pageWidth": max(100, round(width / 10))})
    toolkit.resetXmlIdSeed(seed)
    if not toolkit.loadData(musicxml.decode()):
        raise EngravingError("Verovio could not read the score. Please report this with the MusicXML file.")
    if any(bar.repeats_previous for bar in sheet.bars):
        toolkit.loadData(_with_room_for_repeats(toolkit.getMEI(), sheet))
    strips: list[_Strip] = []
    glyphs: dict[str, ET.Element] = {}
    font_faces: list[str] = []
    for page in range(1, toolkit.getPageCount() + 1):
        root = ET.fromstring(_plain_glyph_names(toolkit.renderToSVG(page)))
        _take_out_room(root)
        defs = {group.attrib["id"]: group for group in root.iterfind(f"{SVG}defs/{SVG}g")}
        glyphs |= defs
        font_faces += [s.text for s in root.iter(f"{SVG}style") if s.text and s.text.startswith("@font-face")]
        for group in root.iter(f"{SVG}g"):
            if group.get("class") == "system":
                strips.append(_Strip(group, *bounds(group, defs)))
    if not strips:
        raise EngravingError("Verovio drew nothing of this score.")
    return _Engraved(tuple(strips), glyphs, tuple(dict.fromkeys(font_faces)))


def _with_room_for_repeats(mei: str, sheet: Sheet) -> str:
    """Verovio gives a percent sign no room but its own, and draws it once a voice.

    Rests in place of the second sign make the bar as wide as one of plain beats; they are taken out of the picture.
    """
    metres = (metre(sheet, index) for index, bar in enumerate(sheet.bars) if bar.repeats_previous)
    return _SECOND_SIGN.sub(lambda found: found[1] + _rests(*next(metres)), mei)


def _rests(count: int, unit: int) -> str:
    return f'<rest dur="{unit}" type="{_ROOM}"/>' * count


def _take_out_room(root: ET.Element) -> None:
    for parent in root.iter(f"{SVG}g"):
        for child in [child for child in parent if _ROOM in child.get("class", "").split()]:
            parent.remove(child)


def _plain_glyph_names(svg: str) -> str:
    """Glyphs under their code alone: Verovio adds the name of the page, and here pages share them."""
    return re.sub(r'((?:id="|href="#)[0-9A-F]{4,5})-\w+"', r'\1"', svg)


def _head(sheet: Sheet, legend: _Engraved | None, page_width: float) -> tuple[list[ET.Element], float]:
    """Title, note and legend, and where the music may begin (inner units from the top of the page)."""
    head: list[ET.Element] = []
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
        head[-1].set("class", "legend")
        y += scale * strip.height + 3 * _UNITS_PER_MM
    return head, y


def _placed(strip: _Strip, x: float, y: float, scale: float) -> ET.Element:
    """A system with its left end at `x` and its highest mark at `y`; a scale below 1 squeezes one that is too wide."""
    place = f"translate({x:.0f}, {y - scale * strip.top:.0f}) scale({scale:.4f}, {scale:.4f})"
    group = ET.Element(f"{SVG}g", transform=place)
    group.append(strip.system)
    return group


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


def _words(text: str, x: float, y: float, size_mm: float, name: str = "") -> ET.Element:
    """A centred line of text on the baseline `y`."""
    group = ET.Element(f"{SVG}g", {"class": name} if name else {})
    if name != "title":
        group.set("fill", _GREY)
    line = ET.SubElement(group, f"{SVG}text", {"x": f"{x:.0f}", "y": f"{y:.0f}", "text-anchor": "middle",
                                               "font-size": f"{size_mm * _UNITS_PER_MM:.0f}px"})  # fmt: skip
    line.text = text
    return group


def _register_namespaces() -> None:
    ET.register_namespace("", SVG.strip("{}"))
    ET.register_namespace("xlink", XLINK.strip("{}"))


_register_namespaces()
