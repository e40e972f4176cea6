"""Sheets for the tests of notation: bars of random strokes, and charts written as drum tablature."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import lcm
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tutti.music.drum_kit import DRUM_CLASSES
from tutti.notation.sheet import Bar, Sheet, Stroke, Swing

METRES = ((2, 4), (3, 4), (4, 4), (5, 4), (2, 2), (3, 8), (5, 8), (7, 8), (6, 8), (9, 8), (12, 8))
SIMPLE_DIVISIONS = (1, 2, 4, 8, 3, 6, 12)
COMPOUND_DIVISIONS = (1, 3, 6, 12, 2, 4)


@st.composite
def bars(draw: st.DrawFn, metre: tuple[int, int] | None = None) -> Bar:
    """A bar of unnamed strokes on the parts of its beats, no two of a kind in one place."""
    numerator, denominator = metre or draw(st.sampled_from(METRES))
    bar = Bar(numerator, denominator)
    compound = bar.beat_quarters == Fraction(3, 2)
    beats = int(bar.quarters / bar.beat_quarters)
    allowed = COMPOUND_DIVISIONS if compound else SIMPLE_DIVISIONS
    divisions = tuple(draw(st.sampled_from(allowed)) for _ in range(beats))
    places = [
        bar.beat_quarters * (beat + Fraction(part, parts))
        for beat, parts in enumerate(divisions)
        for part in range(parts)
    ]
    heads = draw(st.sets(st.tuples(st.sampled_from(places), st.sampled_from(DRUM_CLASSES)), max_size=20))
    strokes = [
        Stroke(
            "", position, name, ghost=draw(st.booleans()), accent=draw(st.booleans()), doubtful=draw(st.booleans()),
            tremolo=draw(st.sampled_from((0, 0, 0, 0, 1, 2, 3))),
        )
        for position, name in sorted(heads)
    ]  # fmt: skip
    graces = [replace(s, grace=True, tremolo=0, accent=False) for s in strokes if draw(st.integers(0, 9)) == 0]
    strokes = sorted([*graces, *strokes], key=lambda stroke: stroke.position)
    return replace(bar, strokes=tuple(strokes), divisions=divisions)


@st.composite
def sheets(draw: st.DrawFn) -> Sheet:
    """A sheet of one to five bars; strokes are named n0, n1, …"""
    metre = draw(st.one_of(st.none(), st.sampled_from(METRES)))
    written = draw(st.lists(bars(metre), min_size=1, max_size=5))
    swing = draw(st.sampled_from((None, Swing("eighth", 2, 1), Swing("16th", 3, 2))))
    return named(Sheet("Random", tuple(written), swing))


def named(sheet: Sheet) -> Sheet:
    """`sheet` with its strokes called n0, n1, … and a tempo."""
    number = 0
    out: list[Bar] = []
    for bar in sheet.bars:
        out.append(replace(bar, strokes=tuple(replace(s, id=f"n{number + i}") for i, s in enumerate(bar.strokes))))
        number += len(bar.strokes)
    return replace(sheet, bars=(replace(out[0], bpm=120.0), *out[1:]))


def tab(metre: str = "4/4", **lines: str) -> Bar:
    """A bar in tablature: a word a beat, a letter a part of it: `-` silence, `f` flam, `g` ghost, `r` roll."""
    numerator, denominator = map(int, metre.split("/"))
    bar = Bar(numerator, denominator)
    words = {name: line.split() for name, line in lines.items()}
    beats = int(bar.quarters / bar.beat_quarters)
    assert all(len(row) == beats for row in words.values())
    strokes: list[Stroke] = []
    for name, row in words.items():
        for beat, word in enumerate(row):
            for part, letter in enumerate(word):
                position = bar.beat_quarters * (beat + Fraction(part, len(word)))
                if letter == "f":
                    strokes.append(Stroke("", position, name, grace=True))
                if letter != "-":
                    strokes.append(Stroke("", position, name, ghost=letter == "g", tremolo=3 * (letter == "r")))
    strokes.sort(key=lambda stroke: stroke.position)
    divisions = tuple(lcm(*(len(row[beat]) for row in words.values())) for beat in range(beats))
    return replace(bar, strokes=tuple(strokes), divisions=divisions)


@pytest.fixture
def fake_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Puts a Python program of a name on an otherwise empty PATH."""

    def put(name: str, body: str) -> None:
        program = tmp_path / name
        program.write_text(f"#!{sys.executable}\n{body}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return put
