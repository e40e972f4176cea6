"""What every way to print a sheet shares: which bars make a line, the metre that is printed, and words made safe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from tutti.notation.pieces import PIECES, Piece
from tutti.notation.sheet import Bar, Sheet, Stroke, Swing
from tutti.notation.spelling import Voices

__all__ = [
    "bar_number",
    "legend_entries",
    "line_starts",
    "metre",
    "one_line",
    "pieces_used",
    "swing_words",
    "with_a_bar",
]

_BARS_PER_LINE = 4
_COLUMNS_PER_LINE = 72
"""Four bars of 16ths fit on a line with room for their first signs; four bars of 32nds do not."""
_LONGEST_TEXT = 200


def line_starts(sheet: Sheet, written: Sequence[Voices]) -> tuple[int, ...]:
    """The indices of the bars that begin a line: four bars a line, fewer where they are dense, and each section anew.

    A pickup shares the line of the four bars after it, and a last single bar that of the four before it.
    """
    widths = [4 if bar.repeats_previous else _columns(voices) for bar, voices in zip(sheet.bars, written, strict=True)]
    sections = [index for index, bar in enumerate(sheet.bars) if index == 0 or bar.rehearsal]
    starts: list[int] = []
    for first, end in pairwise([*sections, len(sheet.bars)]):
        lines = [first]
        for index in range(first, end):
            bars = index - lines[-1] - (sheet.has_pickup and lines[-1] == 0)
            if index > lines[-1] and (bars == _BARS_PER_LINE or sum(widths[lines[-1] : index + 1]) > _COLUMNS_PER_LINE):
                lines.append(index)
        if len(lines) > 1 and lines[-1] == end - 1 and sum(widths[lines[-2] : end]) <= _COLUMNS_PER_LINE:
            lines.pop()
        starts += lines
    return tuple(starts) if sheet.bars else ()


def _columns(voices: Voices) -> int:
    events = (*voices.hands, *voices.feet)
    return max(4, len({event.position for event in events}) + sum(len(event.graces) for event in events))


def with_a_bar(sheet: Sheet) -> Sheet:
    """`sheet`, or where it has no bars an empty one of 4/4: a score of nothing is none."""
    return sheet if sheet.bars else replace(sheet, bars=(Bar(4, 4),))


def metre(sheet: Sheet, index: int) -> tuple[int, int]:
    """The time signature in force at a bar. A pickup has that of the bar after it."""
    if sheet.has_pickup and index == 0 and len(sheet.bars) > 1:
        index = 1
    bar = sheet.bars[index]
    return bar.numerator, bar.denominator


def bar_number(sheet: Sheet, index: int) -> int:
    """What the bar is called: bars count from 1, a pickup is 0."""
    return index + (0 if sheet.has_pickup else 1)


def pieces_used(sheet: Sheet) -> tuple[Piece, ...]:
    """What the legend explains, in the order of `DRUM_CLASSES`."""
    used = {stroke.instrument for bar in sheet.bars for stroke in bar.strokes}
    return tuple(piece for name, piece in PIECES.items() if name in used)


def legend_entries(sheet: Sheet) -> list[tuple[Stroke, str]]:
    """A stroke to show and what to call it: every piece that occurs, then a ghost note and an unsure one if any."""
    strokes = [stroke for bar in sheet.bars for stroke in bar.strokes]
    entries = [(Stroke("", Fraction(0), piece.name), piece.label) for piece in pieces_used(sheet)]
    if ghost := next((stroke for stroke in strokes if stroke.ghost), None):
        entries.append((Stroke("", Fraction(0), ghost.instrument, ghost=True), "Ghost note"))
    if doubtful := next((stroke for stroke in strokes if stroke.doubtful), None):
        entries.append((Stroke("", Fraction(0), doubtful.instrument, doubtful=True), "Unsure"))
    return entries


def swing_words(swing: Swing) -> str:
    """What is printed for straight notes that are played long-short; nothing for an even pair."""
    if swing.first == swing.second:
        return ""
    return "Swing" if swing.unit == "eighth" else "Swing 16ths"


def one_line(text: str) -> str:
    """`text` as one line that XML can hold and a page can show: no control characters, not endless."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _LONGEST_TEXT else line[: _LONGEST_TEXT - 1] + "…"
