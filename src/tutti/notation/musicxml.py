"""A sheet as MusicXML 4.0 (https://www.w3.org/2021/06/musicxml40/).

Drums are `unpitched`, placed as if in treble clef, each note with the id of its instrument; `midi-unpitched` counts
keys from 1. A note's id is its stroke's, so that a page can be followed and coloured. The file holds music only: the
engravers draw the legend, and the part list names the instruments.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm
from xml.etree import ElementTree as ET

from tutti.notation.layout import (
    bar_number,
    legend_entries,
    line_starts,
    metre,
    one_line,
    pieces_used,
    swing_words,
    with_a_bar,
)
from tutti.notation.pieces import PIECES, Piece, Voice
from tutti.notation.sheet import Bar, Sheet, Stroke, Swing
from tutti.notation.spelling import Event, Tuplet, Value, Voices, spell_sheet

__all__ = ["DOUBTFUL_COLOUR", "legend_to_musicxml", "to_musicxml"]

DOUBTFUL_COLOUR = "#8C959F"

_PART = "P1"
_VOICES: dict[Voice, tuple[str, str]] = {"hands": ("1", "up"), "feet": ("2", "down")}
_MIDDLE_LINE = ("B", "4")


def to_musicxml(sheet: Sheet) -> bytes:
    """The sheet as a MusicXML file, UTF-8. Raises OptionError when a stroke fits no division of its bar."""
    sheet = with_a_bar(sheet)
    written = spell_sheet(sheet)
    root = ET.Element("score-partwise", version="4.0")
    _head(root, sheet)
    part = _add(root, "part", id=_PART)
    durations = [event.duration for voices in written for event in (*voices.hands, *voices.feet)]
    divisions = lcm(4, *(duration.denominator for duration in durations))
    starts = set(line_starts(sheet, written))
    for index, voices in enumerate(written):
        _measure(part, sheet, index, voices, divisions, starts_line=index in starts and index > 0)
    return _file(root)


def legend_to_musicxml(sheet: Sheet) -> bytes | None:
    """One bar that names every kind of head on the sheet by a lyric; None for a sheet without strokes."""
    entries = legend_entries(sheet)
    if not entries:
        return None
    root = ET.Element("score-partwise", version="4.0")
    part_row = _add(_add(root, "part-list"), "score-part", id=_PART)
    _add(part_row, "part-name", "Legend", **{"print-object": "no"})
    pieces = list(dict.fromkeys(PIECES[stroke.instrument] for stroke, _ in entries))
    for piece in pieces:
        _add(_add(part_row, "score-instrument", id=_instrument_id(piece)), "instrument-name", piece.label)
    measure = _add(_add(root, "part", id=_PART), "measure", number="0", implicit="yes")
    attributes = _add(measure, "attributes")
    _add(attributes, "divisions", "1")
    time = _add(attributes, "time", **{"print-object": "no"})
    _add(time, "beats", str(len(entries)))
    _add(time, "beat-type", "4")
    _add(_add(attributes, "clef"), "sign", "percussion")
    for stroke, label in entries:
        note = _add(measure, "note")
        _unpitched(note, stroke)
        _add(note, "duration", "1")
        _head_of(note, stroke, ("1", "none"), Value("quarter"), None)
        lyric = _add(note, "lyric")
        _add(lyric, "syllabic", "single")
        _add(lyric, "text", label)
    _add(_add(measure, "barline", location="right"), "bar-style", "none")
    return _file(root)


def _file(root: ET.Element) -> bytes:
    ET.indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'.encode()


def _head(root: ET.Element, sheet: Sheet) -> None:
    if title := one_line(sheet.title):
        _add(_add(root, "work"), "work-title", title)
    _add(_add(_add(root, "identification"), "encoding"), "software", "tutti")
    for kind, text in (("title", title), ("subtitle", one_line(sheet.note))):
        if text:
            credit = _add(root, "credit", page="1")
            _add(credit, "credit-type", kind)
            _add(credit, "credit-words", text, justify="center", halign="center", valign="top")
    part = _add(_add(root, "part-list"), "score-part", id=_PART)
    _add(part, "part-name", "Drums", **{"print-object": "no"})
    pieces = pieces_used(sheet)
    for piece in pieces:
        _add(_add(part, "score-instrument", id=_instrument_id(piece)), "instrument-name", piece.label)
    for piece in pieces:
        midi = _add(part, "midi-instrument", id=_instrument_id(piece))
        _add(midi, "midi-channel", "10")
        _add(midi, "midi-unpitched", str(piece.key + 1))


def _measure(part: ET.Element, sheet: Sheet, index: int, voices: Voices, divisions: int, *, starts_line: bool) -> None:
    bar = sheet.bars[index]
    is_pickup = sheet.has_pickup and index == 0
    measure = _add(part, "measure", number=str(bar_number(sheet, index)))
    if is_pickup:
        measure.set("implicit", "yes")
    if starts_line:
        _add(measure, "print", **{"new-system": "yes"})
    _left_barline(measure, sheet, index)
    _attributes(measure, sheet, index, divisions)
    _directions(measure, bar, sheet.swing if index == 0 else None)
    _notes(measure, voices.hands, "hands", divisions)
    _add(_add(measure, "backup"), "duration", str(int(voices.quarters * divisions)))
    _notes(measure, voices.feet, "feet", divisions)
    _right_barline(measure, sheet, index)


def _attributes(measure: ET.Element, sheet: Sheet, index: int, divisions: int) -> None:
    bar = sheet.bars[index]
    before = sheet.bars[index - 1] if index else None
    attributes = ET.Element("attributes")
    if before is None:
        _add(attributes, "divisions", str(divisions))
    if before is None or metre(sheet, index) != metre(sheet, index - 1):
        time = _add(attributes, "time")
        for tag, number in zip(("beats", "beat-type"), metre(sheet, index), strict=True):
            _add(time, tag, str(number))
    if before is None:
        _add(_add(attributes, "clef"), "sign", "percussion")
    if bar.repeats_previous != (before is not None and before.repeats_previous):
        style = _add(attributes, "measure-style")
        if bar.repeats_previous:
            _add(style, "measure-repeat", "1", type="start", slashes="1")
        else:
            _add(style, "measure-repeat", type="stop")
    if len(attributes):
        measure.append(attributes)


def _directions(measure: ET.Element, bar: Bar, swing: Swing | None) -> None:
    if mark := one_line(bar.rehearsal):
        _add(_direction(measure), "rehearsal", mark)
    if bar.bpm is not None:
        metronome = _add(_direction(measure), "metronome")
        beat = Value.of(bar.beat_quarters)
        _add(metronome, "beat-unit", beat.name)
        for _ in range(beat.dots):
            _add(metronome, "beat-unit-dot")
        _add(metronome, "per-minute", f"{bar.bpm:.0f}")
        _add(measure[-1], "sound", tempo=f"{float(bar.bpm * bar.beat_quarters):.6g}")
    if swing is not None and (words := swing_words(swing)):
        _add(_direction(measure), "words", words, **{"font-style": "italic"})
        parts = _add(_add(measure[-1], "sound"), "swing")
        _add(parts, "first", str(swing.first))
        _add(parts, "second", str(swing.second))
        _add(parts, "swing-type", swing.unit)
    if words := one_line(bar.text):
        _add(_direction(measure), "words", words, **{"font-style": "italic"})


def _direction(measure: ET.Element) -> ET.Element:
    return _add(_add(measure, "direction", placement="above"), "direction-type")


def _left_barline(measure: ET.Element, sheet: Sheet, index: int) -> None:
    bar = sheet.bars[index]
    starts_ending = bar.ending and (index == 0 or sheet.bars[index - 1].ending != bar.ending)
    if bar.opens_repeat or starts_ending:
        barline = _add(measure, "barline", location="left")
        if bar.opens_repeat:
            _add(barline, "bar-style", "heavy-light")
        if starts_ending:
            _add(barline, "ending", number=str(bar.ending), type="start")
        if bar.opens_repeat:
            _add(barline, "repeat", direction="forward")


def _right_barline(measure: ET.Element, sheet: Sheet, index: int) -> None:
    bar = sheet.bars[index]
    is_last = index == len(sheet.bars) - 1
    ends_ending = bar.ending and (is_last or sheet.bars[index + 1].ending != bar.ending)
    if bar.closes_repeat or ends_ending or is_last:
        barline = _add(measure, "barline", location="right")
        if bar.closes_repeat or is_last:
            _add(barline, "bar-style", "light-heavy")
        if ends_ending:
            _add(barline, "ending", number=str(bar.ending), type="stop" if bar.closes_repeat else "discontinue")
        if bar.closes_repeat:
            _add(barline, "repeat", direction="backward")


def _notes(measure: ET.Element, events: Sequence[Event], voice: Voice, divisions: int) -> None:
    beams = _beams(events)
    for place, event in enumerate(events):
        for count, stroke in enumerate(event.graces):
            _grace(measure, stroke, voice, count, len(event.graces))
        if event.is_rest:
            _rest(measure, event, voice, divisions)
        for count, stroke in enumerate(event.strokes):
            note = _add(measure, "note", id=stroke.id)
            if count:
                _add(note, "chord")
            _unpitched(note, stroke)
            _add(note, "duration", _duration(event, divisions))
            _head_of(note, stroke, _VOICES[voice], event.value, event.tuplet)
            for level, mark in enumerate(beams[place] if not count else [], start=1):
                _add(note, "beam", mark, number=str(level))
            _notations(note, event, stroke, voice, is_first=not count)


def _rest(measure: ET.Element, event: Event, voice: Voice, divisions: int) -> None:
    note = _add(measure, "note", **({"print-object": "no"} if event.hidden else {}))
    rest = _add(note, "rest", **({"measure": "yes"} if event.fills_bar else {}))
    if event.centred and not event.fills_bar:
        _add(rest, "display-step", _MIDDLE_LINE[0])
        _add(rest, "display-octave", _MIDDLE_LINE[1])
    _add(note, "duration", _duration(event, divisions))
    _add(note, "voice", _VOICES[voice][0])
    if not event.fills_bar:
        _value(note, event.value, event.tuplet)
    _notations(note, event, None, voice, is_first=True)


def _grace(measure: ET.Element, stroke: Stroke, voice: Voice, count: int, total: int) -> None:
    """One is a slashed eighth; several are 16ths under a beam."""
    note = _add(measure, "note", id=stroke.id)
    _add(note, "grace", **({"slash": "yes"} if total == 1 else {}))
    _unpitched(note, stroke)
    _head_of(note, stroke, _VOICES[voice], Value("eighth" if total == 1 else "16th"), None)
    for level in ("1", "2") if total > 1 else ():
        _add(note, "beam", "begin" if count == 0 else "end" if count == total - 1 else "continue", number=level)


def _unpitched(note: ET.Element, stroke: Stroke) -> None:
    piece = PIECES[stroke.instrument]
    unpitched = _add(note, "unpitched")
    _add(unpitched, "display-step", piece.step)
    _add(unpitched, "display-octave", str(piece.octave))


def _head_of(
    note: ET.Element, stroke: Stroke, voice_and_stem: tuple[str, str], value: Value, tuplet: Tuplet | None
) -> None:
    """What stands between duration and beams."""
    piece = PIECES[stroke.instrument]
    voice, stem = voice_and_stem
    if stroke.doubtful:
        note.set("color", DOUBTFUL_COLOUR)
    _add(note, "instrument", id=_instrument_id(piece))
    _add(note, "voice", voice)
    _value(note, value, tuplet)
    _add(note, "stem", stem)
    _add(note, "notehead", piece.head, **({"parentheses": "yes"} if stroke.ghost else {}))


def _value(note: ET.Element, value: Value, tuplet: Tuplet | None) -> None:
    _add(note, "type", value.name)
    for _ in range(value.dots):
        _add(note, "dot")
    if tuplet is not None:
        ratio = _add(note, "time-modification")
        _add(ratio, "actual-notes", str(tuplet.actual))
        _add(ratio, "normal-notes", str(tuplet.normal))
        _add(ratio, "normal-type", tuplet.unit)


def _notations(note: ET.Element, event: Event, stroke: Stroke | None, voice: Voice, *, is_first: bool) -> None:
    notations = ET.Element("notations")
    if is_first and event.tuplet is not None:
        placement = "above" if voice == "hands" else "below"
        if event.tuplet_starts:
            bracket = "no" if event.tuplet_is_beamed else "yes"
            _add(notations, "tuplet", type="start", bracket=bracket, placement=placement)
        if event.tuplet_stops:
            _add(notations, "tuplet", type="stop")
    if is_first and event.tremolo:
        _add(_add(notations, "ornaments"), "tremolo", str(event.tremolo), type="single")
    if stroke is not None and stroke.accent:
        _add(_add(notations, "articulations"), "accent", placement="above" if voice == "hands" else "below")
    if len(notations):
        note.append(notations)


def _beams(events: Sequence[Event]) -> list[list[str]]:
    """The beam marks of each event, from the first level on."""
    marks: list[list[str]] = [[] for _ in events]
    run: list[int] = []
    for place, event in enumerate(events):
        if event.beam:
            run.append(place)
        if event.beam == "end":
            flags = [0, *(events[member].value.flags for member in run), 0]
            for at, member in enumerate(run, start=1):
                marks[member] = [
                    _beam_mark(flags[at - 1] >= level, flags[at + 1] >= level, is_first=at == 1)
                    for level in range(1, flags[at] + 1)
                ]
            run = []
    return marks


def _beam_mark(joins_before: bool, joins_after: bool, *, is_first: bool) -> str:
    if joins_before:
        return "continue" if joins_after else "end"
    if joins_after:
        return "begin"
    return "forward hook" if is_first else "backward hook"


def _duration(event: Event, divisions: int) -> str:
    ticks = event.duration * divisions
    assert ticks.denominator == 1
    return str(int(ticks))


def _instrument_id(piece: Piece) -> str:
    return f"{_PART}-{piece.name}"


def _add(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, tag, attributes)
    child.text = text
    return child
