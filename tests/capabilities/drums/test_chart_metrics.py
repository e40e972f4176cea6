from dataclasses import replace
from fractions import Fraction

import pytest

from tutti.capabilities.drums.chart_metrics import bars_right, check_bars
from tutti.notation.sheet import Bar, Sheet, Stroke, Swing


def bar(start_s: float, *strokes: tuple[Fraction | int, str], divisions: int = 2) -> Bar:
    heads = tuple(Stroke(f"s{start_s}-{row}", Fraction(at), name) for row, (at, name) in enumerate(strokes))
    return Bar(4, 4, heads, (divisions,) * 4, start_s)


HALF = Fraction(1, 2)
TRUTH = Sheet("t", (bar(0.0, (0, "kick"), (1, "snare")), bar(2.0, (0, "kick"), (HALF, "hihat_open"))))


def test_the_same_sheet_is_right() -> None:
    assert bars_right(TRUTH, TRUTH) == 1.0
    assert bars_right(Sheet("a"), Sheet("b")) == 1.0


@pytest.mark.parametrize(
    "second",
    [
        bar(2.0, (0, "kick")),
        bar(2.0, (0, "kick"), (HALF, "hihat_closed")),
        bar(2.0, (0, "kick"), (Fraction(3, 4), "hihat_open"), divisions=4),
        bar(2.0, (0, "kick"), (HALF, "hihat_open"), (3, "snare")),
        replace(bar(2.0, (0, "kick"), (HALF, "hihat_open")), numerator=3, divisions=(2, 2, 2)),
    ],
)
def test_anything_wrong_makes_a_bar_wrong(second: Bar) -> None:
    assert bars_right(TRUTH, Sheet("e", (TRUTH.bars[0], second))) == 0.5


def test_what_is_wrong_is_named() -> None:
    check = check_bars(TRUTH, Sheet("e", (TRUTH.bars[0], bar(2.0, (0, "kick"), (3, "snare")))))[1]
    assert check.missing == {(HALF, "hihat_open")}
    assert check.added == {(Fraction(3), "snare")}
    assert (check.row, check.right) == (1, False)


def test_bars_are_matched_by_time() -> None:
    moved = Sheet("e", tuple(replace(b, start_s=b.start_s + 0.05) for b in TRUTH.bars))
    assert bars_right(TRUTH, moved) == 1.0
    late = Sheet("e", tuple(replace(b, start_s=b.start_s + 0.5) for b in TRUTH.bars))
    assert bars_right(TRUTH, late) == 0.0


def test_bars_too_many_count_as_wrong() -> None:
    more = replace(TRUTH, bars=(*TRUTH.bars, bar(4.0, (0, "crash"))))
    assert bars_right(TRUTH, more) == pytest.approx(2 / 3)
    assert bars_right(more, TRUTH) == pytest.approx(2 / 3)
    assert bars_right(TRUTH, replace(TRUTH, bars=(*TRUTH.bars, bar(4.0)))) == 1.0


def test_swing_is_the_triplets_it_stands_for() -> None:
    written = Sheet("e", (bar(0.0, (0, "ride"), (HALF, "ride")),), Swing("eighth", 3, 2))
    triplets = Sheet("t", (bar(0.0, (0, "ride"), (Fraction(2, 3), "ride"), divisions=3),))
    dotted = Sheet("t", (bar(0.0, (0, "ride"), (Fraction(3, 4), "ride"), divisions=4),))
    assert bars_right(triplets, written) == bars_right(written, triplets) == bars_right(dotted, written) == 1.0
    assert bars_right(triplets, replace(written, swing=None)) == 0.0


def test_a_flam_or_roll_is_one_slot() -> None:
    flam = Stroke("g", Fraction(1), "snare", grace=True)
    bars = (replace(TRUTH.bars[0], strokes=(TRUTH.bars[0].strokes[0], flam, TRUTH.bars[0].strokes[1])), TRUTH.bars[1])
    assert bars_right(TRUTH, replace(TRUTH, bars=bars)) == 1.0
