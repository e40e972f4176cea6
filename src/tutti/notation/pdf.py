"""Drawings as PDF and as a picture.

Glyphs of the music are forms, drawn once and used by name. Text is text, which can be searched and copied: its letters
are a font whose glyphs are their outlines (type 3), so that a page looks the same everywhere.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Final

import pydyf  # type: ignore[import-untyped]

from tutti.notation.lettering import Face, font_of
from tutti.notation.vector import At, Drawing

__all__ = ["Page", "to_pdf", "to_png"]

Page = Sequence[tuple[At, Drawing]]
"""Drawings and where they lie, in units from the top left corner."""

_POINTS_PER_MM: Final = 72 / 25.4
_PDFIUM: Final = Lock()
"""It may be called by one thread at a time."""


def to_pdf(pages: Sequence[Page], size_mm: tuple[float, float], units_per_mm: float, title: str = "") -> bytes:
    """The pages, all of one size, as one PDF with its fonts embedded. The same pages give the same bytes."""
    document = pydyf.PDF()
    drawings = [drawing for page in pages for _, drawing in page]
    resources = pydyf.Dictionary(
        {
            "XObject": _forms(document, {name: form for one in drawings for name, form in one.forms.items()}),
            "Font": _fonts(document, {letter for one in drawings for letter in one.letters}),
        }
    )
    document.add_object(resources)
    width, height = (side * _POINTS_PER_MM for side in size_mm)
    scale = _POINTS_PER_MM / units_per_mm
    for page in pages:
        marks = [At(scale, -scale, 0.0, height).operator]
        for at, drawing in page:
            marks += ["q", at.operator, *drawing.operators, "Q"]
        content = _stream(document, marks)
        leaf = {
            "Type": "/Page",
            "Parent": document.pages.reference,
            "MediaBox": pydyf.Array([0, 0, f"{width:.2f}", f"{height:.2f}"]),
            "Resources": resources.reference,
            "Contents": content.reference,
        }
        document.add_page(pydyf.Dictionary(leaf))
    document.info["Creator"] = pydyf.String("tutti")
    if title:
        document.info["Title"] = _words(title)
    with io.BytesIO() as file:
        document.write(file)
        return file.getvalue()


def to_png(page: Page, size_mm: tuple[float, float], units_per_mm: float, dpi: int = 150) -> bytes:
    """One page as a picture on white."""
    import pypdfium2  # type: ignore[import-untyped]

    with _PDFIUM, pypdfium2.PdfDocument(to_pdf([page], size_mm, units_per_mm)) as document, io.BytesIO() as file:
        picture = document[0].render(scale=dpi / 72).to_pil()
        picture.save(file, "PNG")
        return file.getvalue()


def _forms(document: pydyf.PDF, forms: Mapping[str, Drawing]) -> pydyf.Dictionary:
    made = {}
    for name, form in sorted(forms.items()):
        box = pydyf.Array([f"{side:g}" for side in form.bounds])
        made[name] = _stream(document, form.operators, {"Type": "/XObject", "Subtype": "/Form", "BBox": box}).reference
    return pydyf.Dictionary(made)


def _fonts(document: pydyf.PDF, letters: set[tuple[Face, str]]) -> pydyf.Dictionary:
    fonts: dict[str, tuple[Face, list[str]]] = {}
    for face, letter in sorted(letters, key=lambda one: (one[0].name, one[1])):
        fonts.setdefault(font_of(face, letter), (face, []))[1].append(letter)
    return pydyf.Dictionary({name: _font(document, name, *held) for name, held in fonts.items()})


def _font(document: pydyf.PDF, name: str, face: Face, letters: Sequence[str]) -> bytes:
    """`letters`, in rising order and alike but for their low byte, as a font."""
    drawn = {ord(letter) & 0xFF: face.letter(letter) for letter in letters}
    first, last = min(drawn), max(drawn)
    shapes = {}
    for code, letter in drawn.items():
        reach = " ".join(f"{side:g}" for side in letter.box)
        marks = [f"{letter.advance:g} 0 {reach} d1", *([letter.operators, "f"] if letter.operators else [])]
        shapes[f"g{code:02X}"] = _stream(document, marks).reference
    boxes = [letter.box for letter in drawn.values()]
    lefts, lows, rights, highs = zip(*boxes, strict=True)
    names = [part for code in drawn for part in (code, f"/g{code:02X}")]
    font = pydyf.Dictionary(
        {
            "Type": "/Font",
            "Subtype": "/Type3",
            "Name": f"/{name}",
            "FontBBox": pydyf.Array([f"{side:g}" for side in (min(lefts), min(lows), max(rights), max(highs))]),
            "FontMatrix": pydyf.Array([f"{1 / face.units:.8g}", 0, 0, f"{1 / face.units:.8g}", 0, 0]),
            "FirstChar": first,
            "LastChar": last,
            "Widths": pydyf.Array(
                [f"{drawn[code].advance:g}" if code in drawn else 0 for code in range(first, last + 1)]
            ),
            "CharProcs": pydyf.Dictionary(shapes),
            "Encoding": pydyf.Dictionary({"Type": "/Encoding", "Differences": pydyf.Array(names)}),
            "Resources": pydyf.Dictionary(),
            "ToUnicode": _stream(document, [_meanings(letters)]).reference,
        }
    )
    document.add_object(font)
    reference: bytes = font.reference
    return reference


def _meanings(letters: Sequence[str]) -> str:
    """Which letters the codes of a font stand for, as a program that copies text reads it."""
    blocks = [letters[start : start + 100] for start in range(0, len(letters), 100)]  # no more may be in one
    rows = [
        "\n".join(
            [
                f"{len(block)} beginbfchar",
                *(f"<{ord(letter) & 0xFF:02X}> <{letter.encode('utf-16-be').hex()}>" for letter in block),
                "endbfchar",
            ]
        )
        for block in blocks
    ]
    return "\n".join(
        [
            "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapType 2 def /CMapName /Letters def",
            "1 begincodespacerange <00> <FF> endcodespacerange",
            *rows,
            "endcmap CMapName currentdict /CMap defineresource pop end end",
        ]
    )


def _stream(document: pydyf.PDF, parts: Sequence[str], extra: Mapping[str, object] | None = None) -> pydyf.Stream:
    stream = pydyf.Stream(list(parts), dict(extra or {}), compress=True)
    document.add_object(stream)
    return stream


def _words(text: str) -> bytes:
    """A string that is not only of plain letters has to be UTF-16."""
    return b"<FEFF" + text.encode("utf-16-be").hex().encode() + b">"
