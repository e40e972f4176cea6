"""Whether engravers print what they are given: note heads in the SVG of every chart of the gallery, counted."""

from __future__ import annotations

import re

from benchmarks.transcription.report import table
from scripts.write_gallery import CHARTS
from tutti.notation.engraving import Backend, available_backends, engrave

HEADS: dict[Backend, str] = {"verovio": r'id="n\d+" class="note"', "lilypond": r'class="note"'}
"""What stands where a head of the chart is; Verovio draws those of the legend as notes, too, but gives them no id."""


def report() -> str:
    heads = {name: head for name, head in HEADS.items() if name in available_backends()}
    rows = []
    for name, make in CHARTS.items():
        sheet = make()
        given = sum(len(bar.strokes) for bar in sheet.bars if not bar.repeats_previous)
        printed = [len(re.findall(head, "".join(engrave(sheet, each).pages_svg))) for each, head in heads.items()]
        rows.append([name.replace("_", " "), str(given), *map(str, printed)])
    return table(["chart of the gallery", "notes given", *heads], rows)
