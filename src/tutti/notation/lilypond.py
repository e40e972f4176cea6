r"""A sheet as LilyPond source in drum mode, with a drum style of our own so that every piece lies where `pieces` says.

No text of a user is ever code: strings are quoted, and what stands in them is one line without control characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from tutti.notation.layout import legend_entries, line_starts, metre, one_line, swing_words, with_a_bar
from tutti.notation.pieces import PIECES, Head, Voice
from tutti.notation.sheet import Sheet, Stroke
from tutti.notation.spelling import Event, Value, Voices, spell_sheet

__all__ = ["to_lilypond"]

_HEADS: Final[dict[Head, str]] = {
    "normal": "()", "x": "cross", "circle-x": "xcircle", "diamond": "harmonic-black", "triangle": "triangle",
    "slashed": "slash",
}  # fmt: skip
_DURATIONS: Final = {"whole": 1, "half": 2, "quarter": 4, "eighth": 8, "16th": 16, "32nd": 32, "64th": 64}
_MARKS: Final[dict[Voice, str]] = {"hands": "^", "feet": "_"}
_VERSION: Final = "2.24.0"


def to_lilypond(sheet: Sheet, paper: Literal["a4", "letter"] = "a4") -> str:
    """LilyPond source for version 2.24 and later. Raises OptionError when a stroke fits no division of its bar."""
    sheet = with_a_bar(sheet)
    written = spell_sheet(sheet)
    return "\n".join([
        rf'\version "{_VERSION}"',
        rf'#(set-default-paper-size "{paper}")',
        "#(set-global-staff-size 16)",
        _header(sheet),
        r"\paper { print-first-page-number = ##f ragged-last-bottom = ##t indent = 0",
        r"  top-margin = 12\mm bottom-margin = 12\mm left-margin = 14\mm right-margin = 14\mm }",
        _style(),
        *_legend(sheet),
        r"signs = \drummode {", *_signs(sheet, written), "}",
        r"hands = \drummode { \voiceOne \autoBeamOff", *_voice(sheet, written, "hands"), "}",
        r"feet = \drummode { \voiceTwo \autoBeamOff \omit PercentRepeat \omit PercentRepeatCounter",
        *_voice(sheet, written, "feet"), "}",
        r"\score {",
        r"  \new DrumStaff \with { drumStyleTable = #(alist->hash-table tuttiStyle) } <<",
        r'    \new DrumVoice = "signs" \signs',
        r'    \new DrumVoice = "hands" \hands',
        r'    \new DrumVoice = "feet" \feet',
        "  >>",
        r"  \layout { \context { \Score countPercentRepeats = ##t }",
        r"    \context { \DrumVoice \override NoteHead.output-attributes = #'((class . note)) } }",  # for SVG
        r"  \midi { }",
        "}",
        "",
    ])  # fmt: skip


def _header(sheet: Sheet) -> str:
    note = rf" subtitle = \markup \normal-text \small {_quoted(sheet.note)}" if one_line(sheet.note) else ""
    return rf"\header {{ title = {_quoted(sheet.title)}{note} tagline = ##f }}"


def _style() -> str:
    rows = "\n".join(f"  ({piece.lilypond} {_HEADS[piece.head]} #f {piece.place})" for piece in PIECES.values())
    return f"#(define tuttiStyle '(\n{rows}))"


def _legend(sheet: Sheet) -> list[str]:
    entries = legend_entries(sheet)
    if not entries:
        return []
    notes = " ".join(f"<{_head(stroke)}>4" for stroke, _ in entries)
    words = " ".join(_quoted(label) for _, label in entries)
    return [
        r"\score {",
        r"  << \new DrumStaff \with { drumStyleTable = #(alist->hash-table tuttiStyle) \magnifyStaff #5/7 }",
        rf'  \new DrumVoice = "legend" \drummode {{ \omit Stem \omit Staff.TimeSignature \cadenzaOn {notes} }}',
        r"  \new Lyrics \with { \override LyricText.font-size = #-3 \override LyricSpace.minimum-distance = #2 }",
        rf'  \lyricsto "legend" {{ {words} }} >>',
        r"  \layout { ragged-right = ##t }",
        "}",
    ]


def _signs(sheet: Sheet, written: Sequence[Voices]) -> list[str]:
    """A voice without notes that holds what belongs to the whole score: metres, tempi, marks, words and barlines."""
    starts = set(line_starts(sheet, written))
    lines: list[str] = []
    for index, (bar, voices) in enumerate(zip(sheet.bars, written, strict=True)):
        signs: list[str] = []
        if index in starts and index:
            signs.append(r"\break")
        signs += _barlines(sheet, index)
        if not index or metre(sheet, index) != metre(sheet, index - 1):
            signs.append(r"\numericTimeSignature \time {}/{}".format(*metre(sheet, index)))
        if sheet.has_pickup and not index:
            signs.append(rf"\partial 1*{voices.quarters / 4}")
        if mark := one_line(bar.rehearsal):
            signs.append(rf"\mark \markup \box {_quoted(mark)}")
        if bar.bpm is not None:
            beat = Value.of(bar.beat_quarters)
            signs.append(rf"\tempo {_duration(beat)} = {max(1, round(bar.bpm))}")
        words = [swing_words(sheet.swing) if sheet.swing and not index else "", one_line(bar.text)]
        markup = "".join(rf"^\markup \italic {_quoted(text)}" for text in words if text)
        signs += _grace_room(voices)
        signs.append(f"s1*{voices.quarters / 4}{markup} |")
        lines.append("  " + " ".join(signs))
    if sheet.bars and not sheet.bars[-1].closes_repeat:
        lines.append(r'  \bar "|."')
    last = [*(["(volta #f)"] if sheet.bars and sheet.bars[-1].ending else [])]
    last += ["end-repeat"] if sheet.bars and sheet.bars[-1].closes_repeat else []
    return [*lines, *([rf"  \set Score.repeatCommands = #'({' '.join(last)})"] if last else [])]


def _barlines(sheet: Sheet, index: int) -> list[str]:
    """Repeats and endings at the beginning of a bar."""
    bar = sheet.bars[index]
    ending_before = sheet.bars[index - 1].ending if index else 0
    commands: list[str] = []
    if index and sheet.bars[index - 1].closes_repeat:
        commands.append("end-repeat")
    if ending_before and ending_before != bar.ending:
        commands.append("(volta #f)")
    if bar.ending and ending_before != bar.ending:
        commands.append(f'(volta "{bar.ending}.")')
    if bar.opens_repeat:
        commands.append("start-repeat")
    return [rf"\set Score.repeatCommands = #'({' '.join(commands)})"] if commands else []


def _voice(sheet: Sheet, written: Sequence[Voices], voice: Voice) -> list[str]:
    """One line a bar; a bar and the percent signs after it are one."""
    lines: list[str] = []
    index = 0
    while index < len(written):
        after = index + 1
        while after < len(written) and sheet.bars[after].repeats_previous:
            after += 1
        text = _bar(written[index], voice)
        lines.append(f"  {text} |" if after == index + 1 else rf"  \repeat percent {after - index} {{ {text} | }}")
        index = after
    return lines


def _bar(voices: Voices, voice: Voice) -> str:
    words: list[str] = []
    events = voices.hands if voice == "hands" else voices.feet
    if not events[0].graces:
        words += _grace_room(voices)
    for event in events:
        if event.tuplet is not None and event.tuplet_starts:
            words.append(rf"\tuplet {event.tuplet.actual}/{event.tuplet.normal} {{")
        words += _graces(event)
        words.append(_rest(event) if event.is_rest else _chord(event, voice))
        if event.tuplet_stops:
            words.append("}")
    return " ".join(words)


def _graces(event: Event) -> list[str]:
    if len(event.graces) == 1:
        return [rf"\slashedGrace {{ <{_head(event.graces[0])}>8 }}"]
    notes = [f"<{_head(stroke)}>16" for stroke in event.graces]
    return [rf"\grace {{ {notes[0]}[ {' '.join(notes[1:])}] }}"] if notes else []


def _grace_room(voices: Voices) -> list[str]:
    """Where one voice begins a bar with grace notes, the others must leave as much room before the barline's signs."""
    counts = {len(events[0].graces) for events in (voices.hands, voices.feet)} - {0}
    if not counts:
        return []
    return [r"\grace s8" if max(counts) == 1 else rf"\grace s16*{max(counts)}"]


def _rest(event: Event) -> str:
    if event.hidden:
        return f"s1*{event.duration / 4}"
    kind, grob = ("R", "MultiMeasureRest") if event.fills_bar else ("r", "Rest")
    length = f"1*{event.duration / 4}" if event.fills_bar else _duration(event.value)
    centred = rf"\once \override {grob}.staff-position = #0 " if event.centred or event.fills_bar else ""
    return f"{centred}{kind}{length}"


def _chord(event: Event, voice: Voice) -> str:
    heads = " ".join(_head(stroke) for stroke in event.strokes)
    tremolo = f":{8 << (event.tremolo - 1 + event.value.flags)}" if event.tremolo else ""
    beam = {"begin": "[", "end": "]"}.get(event.beam, "")
    accent = f"{_MARKS[voice]}>" if any(stroke.accent for stroke in event.strokes) else ""
    return f"<{heads}>{_duration(event.value)}{tremolo}{beam}{accent}"


def _head(stroke: Stroke) -> str:
    name = PIECES[stroke.instrument].lilypond
    colour = r"\tweak color #(rgb-color 0.55 0.58 0.62) " if stroke.doubtful else ""
    return f"{colour}\\parenthesize {name}" if stroke.ghost else f"{colour}{name}"


def _duration(value: Value) -> str:
    return f"{_DURATIONS[value.name]}{'.' * value.dots}"


def _quoted(text: str) -> str:
    r"""`text` as a LilyPond string: between quotes nothing but \ and " means anything."""
    return '"' + one_line(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
