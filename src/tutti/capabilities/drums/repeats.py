"""What repeats on a sheet and what stands out: percent bars, repeat signs with endings, fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from tutti.notation.sheet import Bar, Sheet, Stroke

__all__ = ["RepeatStyle", "mark_fills", "mark_repeats"]

RepeatStyle = Literal["none", "bars", "signs"]

_TOMS = frozenset({"tom_high", "tom_mid", "tom_low"})
_DRUMS = _TOMS | {"snare"}
_CRASHES = frozenset({"crash", "splash", "china"})
_PHRASES = (8, 4)
_WINDOW = 4


def mark_repeats(sheet: Sheet, style: RepeatStyle) -> Sheet:
    """`sheet` with its repeats written in short.

    "none": every bar in full. "bars": a bar like the one before is a percent sign. "signs": phrases of eight or four
    bars played twice are written once between repeat signs as well, with two endings where only the last bar differs;
    the hits of the second pass join the `also` of the first.
    """
    if style == "none":
        return sheet
    if style == "signs":
        sheet = replace(sheet, bars=tuple(_folded(sheet.bars, first=int(sheet.has_pickup))))
    bars = []
    for row, bar in enumerate(sheet.bars):
        before = sheet.bars[row - 1] if row else None
        same = before is not None and bool(bar.strokes) and _content(bar) == _content(before)
        marked = bool(bar.rehearsal or bar.text or bar.opens_repeat or bar.ending or bar.bpm is not None)
        after_sign = before is not None and (before.closes_repeat or before.ending > 0)
        bars.append(replace(bar, repeats_previous=same and not marked and not after_sign))
    return replace(sheet, bars=tuple(bars))


def _content(bar: Bar) -> tuple[object, ...]:
    """What is printed in a bar."""
    heads = ((s.position, s.instrument, s.ghost, s.accent, s.grace, s.tremolo) for s in bar.strokes)
    return bar.numerator, bar.denominator, bar.divisions, tuple(heads)


def _folded(bars: Sequence[Bar], first: int) -> list[Bar]:
    """`bars` with phrases that come twice written once. Phrases start whole numbers of four bars after a rehearsal
    mark, or after whichever of the first four bars saves the most."""
    return min((_fold_from(bars, begin) for begin in range(first, first + 4)), key=len)


def _fold_from(bars: Sequence[Bar], begin: int) -> list[Bar]:
    result = list(bars[:begin])
    row = anchor = begin
    while row < len(bars):
        if bars[row].rehearsal:
            anchor = row
        length = next((n for n in _PHRASES if (row - anchor) % 4 == 0 and _comes_twice(bars[row : row + 2 * n], n)), 0)
        if length:
            result += _once(bars[row : row + length], bars[row + length : row + 2 * length])
        else:
            result.append(bars[row])
        row += 2 * length or 1
    return result


def _comes_twice(bars: Sequence[Bar], length: int) -> bool:
    if len(bars) < 2 * length:
        return False
    contents = [_content(bar) for bar in bars]
    one_bar_over_and_over = len(set(contents)) == 1  # percent signs say that better
    plain = not any(bar.rehearsal or bar.bpm is not None for bar in (*bars[1:length], *bars[length:]))
    played = any(bar.strokes for bar in bars[: length - 1])
    same = contents[: length - 1] == contents[length : 2 * length - 1]
    alike = _rolls(bars[:length]) == _rolls(bars[length:])
    same_text = [bar.text for bar in bars[: length - 1]] == [bar.text for bar in bars[length : 2 * length - 1]]
    return plain and played and same and same_text and alike and not one_bar_over_and_over


def _rolls(bars: Sequence[Bar]) -> list[list[bool]]:
    """Which heads stand for more than one hit, last bar left out."""
    return [[bool(stroke.also) for stroke in bar.strokes] for bar in bars[:-1]]


def _once(bars: Sequence[Bar], again: Sequence[Bar]) -> list[Bar]:
    """Two passes of a phrase as one."""
    with_endings = _content(bars[-1]) != _content(again[-1])
    shared = len(bars) - with_endings
    once = [
        replace(bar, strokes=tuple(map(_joined, bar.strokes, other.strokes)))
        for bar, other in zip(bars[:shared], again[:shared], strict=True)
    ]
    if with_endings:
        once.append(replace(bars[-1], ending=1))
    once[0] = replace(once[0], opens_repeat=True)
    once[-1] = replace(once[-1], closes_repeat=True)
    return [*once, *([replace(again[-1], ending=2)] if with_endings else [])]


def _joined(stroke: Stroke, later: Stroke) -> Stroke:
    return replace(stroke, also=(*stroke.also, later.id, *later.also), doubtful=stroke.doubtful and later.doubtful)


def mark_fills(sheet: Sheet) -> Sheet:
    """`sheet` with "Fill" over bars that leave the groove for the drums and lead to something new: a section, a crash,
    or the groove again."""
    bars = list(sheet.bars)
    for row, bar in enumerate(sheet.bars[:-1]):
        around = [b for b in sheet.bars[max(0, row - _WINDOW) : row] if b.strokes]
        if len(around) < 2 or not bar.strokes:
            continue
        following = sheet.bars[row + 1]
        leads_on = bool(following.rehearsal) or any(
            s.position == 0 and s.instrument in _CRASHES for s in following.strokes
        )
        usual = sorted(_count(b, _DRUMS) for b in around)[len(around) // 2]
        more = _count(bar, _DRUMS) - usual
        toms = _count(bar, _TOMS) - max(_count(b, _TOMS) for b in around)
        if (more < 3 and toms < 2) or max(_likeness(bar, b) for b in around) >= 0.7:
            continue
        if leads_on or (toms >= 2 and max(_likeness(following, b) for b in around) > 0.7):
            bars[row] = replace(bar, text="Fill")
    return replace(sheet, bars=tuple(bars))


def _count(bar: Bar, instruments: frozenset[str]) -> int:
    return sum(stroke.instrument in instruments and not stroke.ghost for stroke in bar.strokes)


def _likeness(one: Bar, other: Bar) -> float:
    """The share of strokes that two bars have in common (0-1)."""
    sides = [{(s.position, s.instrument) for s in bar.strokes if not s.ghost} for bar in (one, other)]
    together = sides[0] | sides[1]
    return len(sides[0] & sides[1]) / len(together) if together else 1.0
