"""Draw the gallery of drum charts in docs/images/drums: twelve grooves, written by hand, as the engraver prints them.

Each chart is a title, and bars in drum tablature: a word a beat, a letter a part of it. `-` is silence, `x` a stroke,
`>` an accent, `g` a ghost note, `f` an accented flam, `d` a drag, `r` a roll,
`?` a stroke the listener is not sure of.
"""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from math import lcm
from pathlib import Path

from PIL import Image, ImageOps

from tutti.music.drum_kit import DRUM_CLASSES
from tutti.music.files import write_atomic
from tutti.notation.engraving import engrave
from tutti.notation.sheet import Bar, Sheet, Stroke, Swing

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "images" / "drums"
MARGIN = 24
"""Around a picture (pixels)."""


def bar(metre: str = "4/4", **lines: str) -> Bar:
    """One bar. Keywords are drum classes; each line has a word a beat."""
    numerator, denominator = map(int, metre.split("/"))
    empty = Bar(numerator, denominator)
    beats = {name: line.split() for name, line in lines.items()}
    count = int(empty.quarters / empty.beat_quarters)
    assert all(len(words) == count and name in DRUM_CLASSES for name, words in beats.items()), lines
    divisions = tuple(lcm(*(len(words[i]) for words in beats.values())) for i in range(count))
    strokes: list[Stroke] = []
    for name, words in beats.items():
        for beat, word in enumerate(words):
            for place, letter in enumerate(word):
                position = empty.beat_quarters * (beat + Fraction(place, len(word)))
                strokes += _strokes(letter, name, position)
    strokes.sort(key=lambda stroke: (stroke.position, DRUM_CLASSES.index(stroke.instrument)))
    return replace(empty, strokes=tuple(strokes), divisions=divisions)


def _strokes(letter: str, name: str, position: Fraction) -> list[Stroke]:
    if letter == "-":
        return []
    stroke = Stroke(
        "", position, name, ghost=letter == "g", accent=letter in ">f", tremolo=3 * (letter == "r"),
        doubtful=letter == "?",
    )  # fmt: skip
    graces = {"f": 1, "d": 2}.get(letter, 0)
    return [Stroke("", position, name, grace=True)] * graces + [stroke]


def chart(title: str, bpm: float, *bars: Bar, swing: Swing | None = None, pickup: bool = False) -> Sheet:
    """A sheet of `bars` whose strokes are named n0, n1, …"""
    number = 0
    named: list[Bar] = []
    for one in bars:
        strokes = tuple(replace(stroke, id=f"n{number + i}") for i, stroke in enumerate(one.strokes))
        number += len(strokes)
        named.append(replace(one, strokes=strokes))
    return Sheet(title, (replace(named[0], bpm=bpm), *named[1:]), swing, pickup)


def again(one: Bar) -> Bar:
    """`one` once more, as a percent sign."""
    return replace(one, repeats_previous=True, rehearsal="", text="", opens_repeat=False, closes_repeat=False, bpm=None)


def rock_beat() -> Sheet:
    eighths = "xx xx xx xx"
    groove = bar(hihat_closed=eighths, snare="- > - >", kick="x - xx -")
    crash = bar(crash="x - - -", hihat_closed="-x xx xx xx", snare="- > - >", kick="x - xx -")
    lift = bar(hihat_closed="xx xx xx x-", hihat_open="-- -- -- -x", snare="- > - >", kick="xx - xx -x")
    fill = bar(
        hihat_closed="xx xx -- --", snare="- > xxxx ----", tom_high="- - - xx--", tom_low="- - - --xx", kick="x - x x"
    )
    return chart(
        "Rock beat", 116, replace(crash, rehearsal="A"), groove, groove, lift,
        replace(crash, rehearsal="B"), groove, groove, replace(fill, text="Fill"),
    )  # fmt: skip


def ghost_note_funk() -> Sheet:
    hat = "x-x- x-x- x-x- x-x-"
    one = bar(hihat_closed=hat, snare="- >--g -g-g >--g", kick="x - --x- -x--")
    two = bar(hihat_closed="x-x- x-x- x-x- x---", hihat_open="- - - --x-", hihat_pedal="x - - -",
              snare="---g >--g -g-g >--g", kick="--x- - -xx- -")  # fmt: skip
    return chart("Funk with ghost notes", 96, one, two, one, two)


def swing_ride() -> Sheet:
    ride, hat = "x xx x xx", "- x - x"
    time = bar(ride=ride, hihat_pedal=hat)
    comp = bar(ride=ride, hihat_pedal=hat, snare="- -x - g", kick="- - -x -")
    answer = bar(ride=ride, hihat_pedal=hat, snare="-g - -x -", kick="- -x - -")
    fill = bar(ride="x x - -", hihat_pedal=hat, snare="- - xxx x--", tom_high="- - - -x-", tom_low="- - - --x")
    return chart("Swing ride", 168, time, comp, answer, replace(fill, text="Fill"), swing=Swing("eighth", 2, 1))


def shuffle() -> Sheet:
    hat = "x-x x-x x-x x-x"
    plain = bar(hihat_closed=hat, snare="- > - >", kick="x - x-x -")
    ghosts = bar(hihat_closed=hat, snare="-g- >g- -g- >g-", kick="x-x - --x -")
    fill = bar(
        hihat_closed="x-x x-x --- ---", snare="- > xxx ---", tom_mid="- - - xx-", tom_low="- - - --x", kick="x - x x"
    )
    return chart("Shuffle", 126, plain, ghosts, plain, replace(fill, text="Fill"))


def half_time() -> Sheet:
    hat = "x-x x-x x-x x-x"
    one = bar(hihat_closed=hat, snare="-g- -g- >g- -g-", kick="x - - --x")
    two = bar(hihat_closed="x-x x-x x-x x--", hihat_open="- - - --x", snare="-g- -g- >g- -g-", kick="x-x - --x -")
    return chart("Half-time shuffle", 92, replace(one, text="Half-time"), two, one, two)


def samba() -> Sheet:
    feet = {"kick": "x--x x--x x--x x--x", "hihat_pedal": "--x- --x- --x- --x-"}
    ride = "x-xx x-xx x-xx x-xx"
    one = bar(ride=ride, side_stick="x-x- -x-x -x-x -x--", **feet)
    two = bar(ride=ride, side_stick="--x- x-x- -x-x x-x-", **feet)
    return chart("Samba", 104, one, two, one, two)


def six_eight_ballad() -> Sheet:
    plain = bar("6/8", hihat_closed="xxx xxx", snare="- >", kick="x --x")
    busy = bar("6/8", hihat_closed="x-xxx- x-x-xx", snare="- >----g", kick="x ---x--")
    bell = bar("6/8", ride="xxx xx-", ride_bell="- --x", snare="- >", kick="x-x -")
    duplets = bar("6/8", crash="x -", tom_high="-x -", tom_low="- xx", kick="x -")
    return chart("Ballad in 6/8", 58, plain, busy, bell, replace(duplets, text="Fill"))


def seven_eight() -> Sheet:
    one = bar("7/8", hihat_closed="x x x x x x x", snare="- - > - - > -", kick="x - - - x - -")
    two = bar("7/8", hihat_closed="x x x x xx x x", snare="- - > - - > -g", kick="x -x - - x - -")
    return chart("Seven", 220, one, two, one, again(one))


def five_four() -> Sheet:
    ride, feet = "x xx x x xx", {"kick": "x - -x x -", "hihat_pedal": "- x - - x"}
    one = bar("5/4", ride=ride, side_stick="- - -x - x", **feet)
    two = bar("5/4", ride="x xx x x x-", side_stick="- - -x - -", snare="- - - - -x", **feet)
    return chart("Five", 160, one, two, one, two, swing=Swing("eighth", 2, 1))


def flams_and_rolls() -> Sheet:
    one = bar(snare="f-xx x-f- x-xx f", kick="x - x -", hihat_pedal="- x - x")
    two = bar(snare="d-x- d-x- xxxx f", kick="x - x -", hihat_pedal="- x - x")
    three = bar(snare="r - r x", kick="x x x x")
    four = bar(snare="xxxxxx xxx f f-", tom_low="- - - -x", kick="x - x x")
    return chart("Flams and rolls", 88, one, two, three, four)


def fills() -> Sheet:
    lead_in = bar("1/4", snare="xx")
    groove = bar(crash="x - - -", hihat_closed="-x xx xx xx", snare="- > - >", kick="x - xx -")
    around = bar(snare="xxxx - - -", tom_high="- xxxx - -", tom_mid="- - xxxx -", tom_low="- - - xxxx", kick="x x x x")
    rolling = bar(hihat_closed="xx xx - -", snare="- > x-xxx- -", tom_high="- - - xxx---", tom_low="- - - ---xxx",
                  kick="x - - -")  # fmt: skip
    broken = bar(
        hihat_closed="xx - - -",
        snare="- x--x - --xx",
        tom_high="- -x-- - -",
        tom_low="- - x-x- x---",
        kick="x --x- -x-x -",
    )
    end = bar(crash="x - - -", splash="- x - -", snare="- - -? -", china="- - - >", kick="x - - x")
    return chart(
        "Fills", 132, lead_in, groove, replace(around, text="Fill 1"), groove, replace(rolling, text="Fill 2"),
        groove, replace(broken, text="Fill 3"), groove, end, pickup=True,
    )  # fmt: skip


def blast() -> Sheet:
    blasts = bar(ride="x-x- x-x- x-x- x-x-", snare="-x-x -x-x -x-x -x-x", kick="x-x- x-x- x-x- x-x-")
    double = bar(crash="x - - -", hihat_closed="- xx xx xx", snare="- > - >", kick="xxxxxxxx xxxx xxxxxxxx x-x-xxxx")
    slow = bar(china="x x x x", snare="- - > -", kick="xxxx xxxx xxxx xxxx")
    stop = bar(crash="> - - -", kick="> - - -")
    return chart(
        "Blast", 190, replace(blasts, opens_repeat=True, rehearsal="A"), again(blasts), double,
        replace(slow, ending=1, closes_repeat=True), replace(stop, ending=2),
        replace(blasts, rehearsal="B"), again(blasts), again(blasts), stop,
    )  # fmt: skip


CHARTS = {
    "rock_beat": rock_beat, "ghost_note_funk": ghost_note_funk, "swing_ride": swing_ride, "shuffle": shuffle,
    "half_time": half_time, "samba": samba, "six_eight_ballad": six_eight_ballad, "seven_eight": seven_eight,
    "five_four": five_four, "flams_and_rolls": flams_and_rolls, "fills": fills, "blast": blast,
}  # fmt: skip


def draw(sheet: Sheet) -> bytes:
    """The first page, cut to what is printed on it."""
    page = Image.open(io.BytesIO(engrave(sheet).png)).convert("L")
    left, top, right, bottom = ImageOps.invert(page).getbbox() or (0, 0, *page.size)
    picture = page.crop((max(0, left - MARGIN), max(0, top - MARGIN), right + MARGIN, bottom + MARGIN))
    with io.BytesIO() as file:
        picture.save(file, "PNG", optimize=True)
        return file.getvalue()


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, make in CHARTS.items():
        write_atomic(PICTURES / f"{name}.png", draw(make()))


if __name__ == "__main__":
    main()
