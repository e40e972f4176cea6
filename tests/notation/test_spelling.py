from fractions import Fraction

import pytest
from hypothesis import given

from tests.notation.conftest import bars, tab
from tutti.errors import OptionError
from tutti.music.drum_kit import DRUM_CLASSES, key_of_class
from tutti.notation.pieces import PIECES
from tutti.notation.sheet import Bar, Sheet, Stroke
from tutti.notation.spelling import Event, spell, spell_sheet


def read(events: tuple[Event, ...]) -> str:
    """A voice in short: `4` a quarter, `8.` a dotted eighth, `r` a rest, `h` hidden, `{3:` a tuplet, `[` `]` beams."""
    short = {"whole": "1", "half": "2", "quarter": "4", "eighth": "8", "16th": "16", "32nd": "32", "64th": "64"}
    words = []
    for event in events:
        word = ("r" if event.is_rest else "") + short[event.value.name] + "." * event.value.dots
        word += {"begin": "[", "end": "]"}.get(event.beam, "") + ("h" if event.hidden else "")
        if event.tuplet and event.tuplet_starts:
            word = f"{{{event.tuplet.actual}:{event.tuplet.normal} {word}"
        words.append(word + ("}" if event.tuplet_stops else ""))
    return " ".join(words)


@given(bars())
def test_each_voice_fills_its_bar_and_writes_every_stroke_once(bar: Bar) -> None:
    voices = spell(bar)
    for events in (voices.hands, voices.feet):
        assert sum(event.duration for event in events) == bar.quarters == voices.quarters
        end = Fraction(0)
        for event in events:
            assert event.position == end
            end = event.end
            scale = Fraction(event.tuplet.normal, event.tuplet.actual) if event.tuplet else 1
            assert event.fills_bar or event.duration == event.value.quarters * scale
            assert all(stroke.position == event.position for stroke in (*event.strokes, *event.graces))
    written = [s for e in (*voices.hands, *voices.feet) for s in (*e.graces, *e.strokes)]
    assert sorted(map(repr, written)) == sorted(map(repr, bar.strokes))


@given(bars())
def test_beams_and_tuplets_open_and_close(bar: Bar) -> None:
    voices = spell(bar)
    for events in (voices.hands, voices.feet):
        beams = [event.beam for event in events if event.beam]
        assert beams.count("begin") == beams.count("end")
        inside = None
        for event in events:
            assert not event.beam or (event.strokes and event.value.flags)
            if event.tuplet_starts:
                assert inside is None
                inside = event.tuplet
            assert event.tuplet == inside
            if event.tuplet_stops:
                inside = None
        assert inside is None


@pytest.mark.parametrize(
    ("metre", "snare", "kick", "hands", "feet"),
    [
        ("4/4", "xx xx xx xx", "x - x -", "8[ 8] 8[ 8] 8[ 8] 8[ 8]", "4 r4 4 r4"),
        ("4/4", "- x - x", "x - - -", "r4 4 r4 4", "4 r4 r2"),
        ("4/4", "x - - -", "- - - -", "4 r4 r2", "r1h"),
        ("4/4", "- - - -", "- - - -", "r1", "r1h"),
        ("4/4", "x-xx -x-x ---x x--x", "- - - -", "8[ 16 16] r16 8[ 16] r8. 16 8.[ 16]", "r1h"),
        ("4/4", "x------- -x------ xxxxxxxx -", "- - - -",
         "4 r32 16. r8 32[ 32 32 32 32 32 32 32] r4", "r1h"),
        ("4/4", "xxx x-x -x- -xx", "x x x x", "{3:2 8[ 8 8]} {3:2 4 8} {3:2 r8 4} {3:2 r8 8[ 8]}", "4 4 4 4"),
        ("4/4", "xxxxxx x-x-xx x--xxx xxx---", "- - - -",
         "{6:4 16[ 16 16 16 16 16]} {3:2 8[ 8 16 16]} 8[ {3:2 16 16 16]} {3:2 16[ 16 16]} r8", "r1h"),
        ("3/4", "- x x", "x - -", "r4 4 4", "4 r4 r4"),
        ("4/4", "-x-x-- - - -", "- - - -", "{3:2 r16 8} 8 r4 r2", "r1h"),
        ("6/8", "--- x--", "x-x --x", "r4. 4.", "4 8 r4 8"),
        ("6/8", "xx xxxx", "x -", "{2:3 8[ 8]} {4:6 16[ 16 16 16]}", "4. r4."),
        ("9/8", "xxx x-x -xx", "x - -", "8[ 8 8] 4 8 r8 8[ 8]", "4. r4. r4."),
        ("12/8", "x - - -", "- - - -", "4. r4. r2.", "r1.h"),
        ("7/8", "x x x x x x x", "x - - - x - -", "8[ 8] 8[ 8] 8[ 8 8]", "4 r4 4."),
        ("5/8", "x xx x - x", "- - - - -", "8[ 16 16] 4 8", "r1h"),
        ("3/8", "x x x", "x - -", "8[ 8 8]", "4."),
        ("2/2", "xx xxxx", "x x", "4 4 8[ 8 8 8]", "2 2"),
    ],
)  # fmt: skip
def test_reads_as_a_drummer_writes(metre: str, snare: str, kick: str, hands: str, feet: str) -> None:
    voices = spell(tab(metre, snare=snare, kick=kick))
    assert read(voices.hands) == hands
    assert read(voices.feet) == feet


def test_a_roll_alone_is_as_long_as_it_sounds() -> None:
    assert read(spell(tab(snare="r - r x")).hands) == "2 4 4"
    assert read(spell(tab(snare="r - - -")).hands) == "1"
    assert read(spell(tab(snare="-r - - x")).hands) == "r8 8 r4 r4 4"


def test_a_roll_under_a_beam_stays_there() -> None:
    assert read(spell(tab("3/8", snare="r - xxx")).hands).startswith("8[ r8 ")


def test_a_flam_stands_before_its_stroke_and_takes_no_time() -> None:
    first, *_ = spell(tab(snare="f - - -", kick="x - - -")).hands
    assert [stroke.grace for stroke in (*first.graces, *first.strokes)] == [True, False]
    assert first.duration == 1


def test_a_grace_without_a_stroke_of_its_voice_is_kept() -> None:
    grace = Stroke("a", Fraction(1), "snare", grace=True)
    kick = Stroke("b", Fraction(1), "kick")
    voices = spell(Bar(4, 4, (grace, kick), (1, 1, 1, 1)))
    assert [event.graces for event in voices.hands if event.graces] == [(grace,)]


@pytest.mark.parametrize("metre", ["4/4", "1/4"])
def test_a_pickup_begins_with_the_beat_of_its_first_stroke(metre: str) -> None:
    bar = tab(metre, snare="- - - -x" if metre == "4/4" else "-x")
    voices, _ = spell_sheet(Sheet("", (bar, tab(kick="x x x x")), has_pickup=True))
    assert voices.quarters == 1
    assert read(voices.hands) == "r8 8"


def test_rests_of_both_voices_are_printed_once() -> None:
    voices = spell(tab(snare="x - - x", kick="x - x -"))
    assert read(voices.hands) == "4 r4 r4 4"
    assert read(voices.feet) == "4 r4h 4 r4"
    assert [event.centred for event in voices.hands] == [False, True, False, False]


def test_heads_of_a_chord_stand_in_order_of_height() -> None:
    (chord, *_) = spell(tab(crash="x - - -", snare="x - - -", tom_low="x - - -")).hands
    assert [stroke.instrument for stroke in chord.strokes] == ["tom_low", "snare", "crash"]


@pytest.mark.parametrize(
    ("bar", "message"),
    [
        (Bar(4, 4, (), (1, 1)), "has 4 beats"),
        (Bar(4, 4, (Stroke("a", Fraction(1, 3), "snare"),), (2, 1, 1, 1)), "'a' is at 1/3, which is on none"),
        (Bar(4, 4, (Stroke("a", Fraction(4), "snare"),), (1, 1, 1, 1)), "outside its bar"),
        (Bar(4, 4, (Stroke("a", Fraction(0), "gong"),), (1, 1, 1, 1)), "no drum 'gong'"),
    ],
)
def test_a_bar_that_contradicts_itself_is_refused(bar: Bar, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        spell(bar)


def test_every_drum_has_a_look_of_its_own() -> None:
    assert tuple(PIECES) == DRUM_CLASSES
    looks = {(piece.step, piece.octave, piece.head) for piece in PIECES.values()}
    assert len(looks) == len({piece.lilypond for piece in PIECES.values()}) == len(DRUM_CLASSES)
    assert all(piece.key == key_of_class(piece.name) for piece in PIECES.values())
    assert {piece.name for piece in PIECES.values() if piece.voice == "feet"} == {"kick", "hihat_pedal"}
    assert (PIECES["snare"].place, PIECES["ride"].place, PIECES["kick"].place) == (1, 4, -3)
