import io
import re
import warnings
from dataclasses import replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import mido
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.notation.conftest import named, sheets, tab
from tutti.notation.musicxml import legend_to_musicxml, to_musicxml
from tutti.notation.pieces import PIECES
from tutti.notation.sheet import Bar, Sheet, Stroke, Swing

music21 = pytest.importorskip("music21")
verovio = pytest.importorskip("verovio")
HEAVY = settings(
    max_examples=10, deadline=None, phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck)
)
HOSTILE = [
    "<b>&amp;]]>\"'", "a\x00b\x1b[31m\x0c\ud800\uffff", "'; DROP TABLE", "\u202egnol " * 500, "}\\\"#(system)", "",
]  # fmt: skip


@pytest.fixture(scope="module")
def schema() -> Any:
    """The MusicXML 4.0 schema, which the package `musicxml` carries, with what it imports from the net cut out."""
    etree = pytest.importorskip("lxml.etree", reason="validation against the schema needs lxml")
    package = find_spec("musicxml")
    if package is None or package.origin is None:
        pytest.skip("the MusicXML 4.0 schema is in the package musicxml, which is not installed")
    text = (Path(package.origin).parent / "generate_classes" / "musicxml_4_0.xsd").read_text(encoding="utf-8")
    assert "Version 4.0" in text
    text = re.sub(r"<xs:import[^>]*/>", "", text)
    text = re.sub(r'<xs:attribute ref="(xml|xlink):[^"]*"[^>]*/>', "", text)
    return etree.XMLSchema(etree.fromstring(text.encode()))


def assert_valid(data: bytes, schema: Any) -> None:
    from lxml import etree

    schema.assertValid(etree.fromstring(data))


@HEAVY
@given(sheets())
def test_every_sheet_is_valid_against_the_schema(schema: Any, sheet: Sheet) -> None:
    assert_valid(to_musicxml(sheet), schema)
    legend = legend_to_musicxml(sheet)
    if legend is not None:
        assert_valid(legend, schema)


def strokes_of(sheet: Sheet) -> list[tuple[Fraction, str, bool]]:
    """Every stroke in quarter notes from the start of the sheet."""
    start = Fraction(0)
    out = []
    for bar in sheet.bars:
        out += [(start + s.position, s.instrument, s.grace) for s in bar.strokes]
        start += bar.quarters
    return sorted(out)


@HEAVY
@given(sheets())
def test_music21_reads_every_note_back(sheet: Sheet) -> None:
    with warnings.catch_warnings(action="ignore"):
        score = music21.converter.parseData(to_musicxml(sheet), format="musicxml")
    places = {(piece.step, piece.octave, piece.head): piece.name for piece in PIECES.values()}
    found = []
    for measure in score.recurse().getElementsByClass("Measure"):
        for element in measure.recurse().notes:
            offset = Fraction(measure.offset).limit_denominator(1000)
            offset += Fraction(element.getOffsetInHierarchy(measure)).limit_denominator(1000)
            heads = element.notes if element.isChord or hasattr(element, "notes") else [element]
            for head in heads:
                name = places[head.displayStep, head.displayOctave, head.notehead]
                found.append((offset, name, element.duration.isGrace))
    assert sorted(found) == strokes_of(sheet)


def engraved(data: bytes) -> Any:
    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setOptions({"breaks": "none"})
    assert toolkit.loadData(data.decode())
    return toolkit


@HEAVY
@given(sheets())
def test_verovio_draws_every_note_by_its_id_at_its_time(sheet: Sheet) -> None:
    toolkit = engraved(to_musicxml(sheet))
    drawn = re.findall(r'<g id="(n\d+)" class="note"', toolkit.renderToSVG(1))
    assert sorted(drawn) == sorted(s.id for bar in sheet.bars for s in bar.strokes)
    times = {i: row["qstamp"] for row in toolkit.renderToTimemap() for i in row.get("on", [])}
    start = Fraction(0)
    for bar in sheet.bars:
        flammed = {stroke.position for stroke in bar.strokes if stroke.grace}  # Verovio takes the time for it there
        for stroke in bar.strokes:
            if stroke.position not in flammed:
                assert times[stroke.id] == pytest.approx(float(start + stroke.position), abs=1e-3)
        start += bar.quarters


def test_verovio_plays_the_key_of_every_drum_on_channel_10() -> None:
    import base64

    strokes = tuple(Stroke(f"n{i}", Fraction(i), name) for i, name in enumerate(PIECES))
    bars = tuple(
        Bar(2, 4, tuple(replace(s, position=s.position % 2) for s in strokes[i : i + 2]), (1, 1))
        for i in range(0, len(strokes), 2)
    )
    midi = mido.MidiFile(file=io.BytesIO(base64.b64decode(engraved(to_musicxml(Sheet("", bars))).renderToMIDI())))
    on = [message for track in midi.tracks for message in track if message.type == "note_on" and message.velocity]
    assert [message.note for message in on] == [piece.key for piece in PIECES.values()]
    assert {message.channel for message in on} == {9}


def notes_of(sheet: Sheet) -> list[ET.Element]:
    return [note for note in ET.fromstring(to_musicxml(sheet)).iter("note") if note.find("rest") is None]


def test_marks_of_a_note() -> None:
    strokes = (
        Stroke("a", Fraction(0), "snare", ghost=True),
        Stroke("b", Fraction(1), "hihat_open", accent=True, doubtful=True),
        Stroke("g", Fraction(2), "snare", grace=True),
        Stroke("c", Fraction(2), "snare", tremolo=3),
    )
    ghost, open_hat, grace, roll = notes_of(Sheet("", (Bar(4, 4, strokes, (1, 1, 1, 1)),)))
    assert ghost.find("notehead").attrib == {"parentheses": "yes"}
    assert open_hat.findtext("notehead") == "circle-x"
    assert open_hat.find("notations/articulations/accent") is not None
    assert open_hat.get("color") == "#8C959F"
    assert grace.find("grace").get("slash") == "yes"
    assert grace.find("duration") is None
    assert roll.findtext("notations/ornaments/tremolo") == "3"
    assert [note.get("id") for note in (ghost, open_hat, grace, roll)] == ["a", "b", "g", "c"]
    assert {note.findtext("stem") for note in (ghost, open_hat, grace, roll)} == {"up"}


def test_the_part_list_names_the_pieces_that_occur_with_keys_from_one() -> None:
    root = ET.fromstring(to_musicxml(named(Sheet("", (tab(snare="x x x x", kick="x - x -"),)))))
    names = [row.findtext("instrument-name") for row in root.iter("score-instrument")]
    assert names == ["Kick", "Snare"]
    assert [row.findtext("midi-unpitched") for row in root.iter("midi-instrument")] == ["37", "39"]
    assert {row.get("id") for row in root.iterfind(".//note/instrument")} == {"P1-kick", "P1-snare"}


def test_tempo_and_swing_are_printed_once_and_played() -> None:
    bar = tab(ride="x xx x xx")
    root = ET.fromstring(to_musicxml(named(Sheet("", (bar,) * 9, Swing("eighth", 2, 1)))))
    assert [words.text for words in root.iter("words")] == ["Swing"]
    (swing,) = root.iter("swing")
    assert [child.text for child in swing] == ["2", "1", "eighth"]
    (metronome,) = root.iter("metronome")
    assert [child.text for child in metronome] == ["quarter", "120"]


@pytest.mark.parametrize(("metre", "unit", "quarters"), [("6/8", ["quarter", None], "180"), ("7/8", ["eighth"], "60")])
def test_a_tempo_counts_the_beat_that_is_printed(metre: str, unit: list[str | None], quarters: str) -> None:
    beats = 2 if metre == "6/8" else 7
    root = ET.fromstring(to_musicxml(named(Sheet("", (tab(metre, snare=" ".join("x" * beats)),)))))
    (metronome,) = root.iter("metronome")
    assert [child.text for child in metronome] == [*unit, "120"]
    assert root.find(".//sound").get("tempo") == quarters


def test_repeats_endings_and_percent_signs() -> None:
    bar = tab(snare="x - - -")
    form = (
        replace(bar, opens_repeat=True, rehearsal="A"), replace(bar, repeats_previous=True),
        replace(bar, ending=1, closes_repeat=True), replace(bar, ending=2), bar,
    )  # fmt: skip
    measures = list(ET.fromstring(to_musicxml(named(Sheet("", form)))).iter("measure"))
    repeats = [[r.get("direction") for r in m.iter("repeat")] for m in measures]
    assert repeats == [["forward"], [], ["backward"], [], []]
    endings = [[(e.get("number"), e.get("type")) for e in m.iter("ending")] for m in measures]
    assert endings == [[], [], [("1", "start"), ("1", "stop")], [("2", "start"), ("2", "discontinue")], []]
    assert [[s.get("type") for s in m.iter("measure-repeat")] for m in measures] == [[], ["start"], ["stop"], [], []]
    assert all(sum(note.find("rest") is None for note in m.iter("note")) == 1 for m in measures)


def test_a_pickup_is_bar_0_and_has_the_metre_of_the_song() -> None:
    sheet = named(Sheet("", (tab("1/4", snare="xx"), *[tab(snare="x x x x")] * 9), has_pickup=True))
    root = ET.fromstring(to_musicxml(sheet))
    measures = list(root.iter("measure"))
    assert [m.get("number") for m in measures] == [str(i) for i in range(10)]
    assert [m.get("implicit") for m in measures[:2]] == ["yes", None]
    assert [(t.findtext("beats"), t.findtext("beat-type")) for t in root.iter("time")] == [("4", "4")]
    assert [m.get("number") for m in measures if m.find("print") is not None] == ["5"]  # the last one joins its line


@pytest.mark.parametrize("title", HOSTILE)
def test_hostile_words_are_text_and_nothing_else(title: str) -> None:
    bar = replace(tab(snare="x x x x"), text=title, rehearsal=title)
    root = ET.fromstring(to_musicxml(named(Sheet(title, (bar,), note=title))))
    shown = root.findtext("work/work-title") or ""
    assert len(shown) <= 200
    assert shown.isprintable()
    assert engraved(to_musicxml(named(Sheet(title, (bar,), note=title)))).getPageCount() == 1


def test_an_empty_sheet_is_a_file_too() -> None:
    assert ET.fromstring(to_musicxml(Sheet("Nothing"))).find("part") is not None
    assert legend_to_musicxml(Sheet("Nothing", (Bar(4, 4),))) is None
