"""A pattern as the bytes of a file, one function for each format that `types.FORMATS` names."""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tutti.capabilities.groove.drum_maps import mapped, unmapped
from tutti.capabilities.groove.groove_file import to_json
from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.capabilities.groove.types import Groove, Options
from tutti.music.drum_kit import class_of_key, key_of_class

if TYPE_CHECKING:
    import mido

__all__ = ["json_file", "midi", "pattern_midi", "png", "quantised_midi", "template_midi", "wav"]

_CHANNEL = 9  # channel 10, counted from 0
_NOTES_PER_BEAT = 8
"""A note is this part of a quarter note long, where the next one on its key leaves so much room."""
_UNPLAYED_VELOCITY = 20
"""Of the sixteenths that a groove never plays, in its template."""
_FIGURES = ((3, 1), (8, 2))
"""Lines in a beat beside the sixteenths, and how many strokes must lie on lines of their own."""
_EARLY_BEATS = 1 / 16
"""A stroke nearer to the beat after it belongs to that."""


def midi(groove: Groove, index: int) -> bytes:
    """A type 1 MIDI file as played: one track for each voice, ending on the bar line, so that it loops.

    Strokes ahead of the first bar begin with the file unless bars of rest lead in; those from the last bar line on are
    left out. Of strokes on one note at one tick the loudest sounds.
    """
    return _file(groove, groove.patterns[index], _option(groove, "lead_in_bars"))


def quantised_midi(groove: Groove, index: int) -> bytes:
    """`midi` with every stroke on a line of the score, as loud as it was; see `_quantised` for which."""
    return _file(groove, _quantised(groove.patterns[index]), _option(groove, "lead_in_bars"))


def template_midi(groove: Groove, index: int) -> bytes:
    """One bar with a note for each sixteenth, when and how loud the pattern plays it on average: a groove template.

    Sixteenths that are never played lie straight and soft. What is early on the first begins with the file.
    """
    pattern = groove.patterns[index]
    steps = max(1, round(pattern.bar_beats * 4))
    played: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for hit in pattern:
        sixteenth = math.floor(hit.beat * 4 + 0.5)
        played[sixteenth % steps].append((hit.beat - sixteenth / 4, hit.velocity))
    hits = []
    for step in range(steps):
        strokes = played.get(step, [(0.0, _UNPLAYED_VELOCITY)])
        late_beats = sum(late for late, _ in strokes) / len(strokes)
        velocity = sum(velocity for _, velocity in strokes) / len(strokes)
        hits.append(Hit(step / 4 + late_beats, key_of_class("hihat_closed"), round(velocity)))
    return _file(groove, replace(pattern, hits=tuple(hits), bars=1), lead_in_bars=0)


def json_file(groove: Groove, index: int) -> bytes:
    """Hits, findings, features and provenance; `groove_file.read_json` reads it back."""
    return to_json(groove, index)


def png(groove: Groove, index: int) -> bytes:
    """The pattern on its grid, and how far each stroke is from it."""
    from tutti.capabilities.groove.picture import draw, to_png

    pattern = groove.patterns[index]
    said = groove.provenance
    return to_png(draw(pattern, f"{said.style or 'groove'} · {pattern.bpm:g} bpm · seed {said.seed}"))


def wav(groove: Groove, index: int) -> bytes:
    """The pattern on a drum machine, 44.1 kHz stereo in 16 bits, as long as its bars.

    What rings on at the end goes on at the start, so that it loops; with bars of rest at the start it is faded out.
    """
    import soundfile

    from tutti.audio.drum_machine import SAMPLE_RATE_HZ, play

    pattern = groove.patterns[index]
    lead_in_beats = _option(groove, "lead_in_bars") * pattern.bar_beats
    beat_s = pattern.beat_ms / 1000
    strokes = ((max(0.0, (hit.beat + lead_in_beats) * beat_s), hit.key, hit.velocity) for hit in pattern)
    sound = play(strokes, (lead_in_beats + pattern.beats) * beat_s, loops=not lead_in_beats)
    made = io.BytesIO()
    soundfile.write(made, sound, SAMPLE_RATE_HZ, subtype="PCM_16", format="WAV")
    return made.getvalue()


def _option(groove: Groove, name: str) -> Any:
    return groove.provenance.options.get(name, Options.model_fields[name].default)


def _file(groove: Groove, pattern: Pattern, lead_in_bars: int) -> bytes:
    said = groove.provenance
    return pattern_midi(
        pattern,
        ticks_per_quarter=_option(groove, "ticks_per_quarter"),
        drum_map=_option(groove, "drum_map"),
        lead_in_bars=lead_in_bars,
        title=f"{said.style or 'Groove'} {pattern.bpm:g} bpm",
        text=f"tutti {said.tutti_version}; style {said.style or 'none'}; seed {said.seed}",
    )


def pattern_midi(
    pattern: Pattern,
    *,
    ticks_per_quarter: int = 480,
    drum_map: str = "gm",
    lead_in_bars: int = 0,
    title: str = "Groove",
    text: str = "",
) -> bytes:
    """Any pattern as the MIDI file that `midi` makes of a groove's."""
    import mido

    lead_in = lead_in_bars * pattern.bar_beats
    end = round((lead_in + pattern.beats) * ticks_per_quarter)
    loudest: dict[tuple[int, int], int] = {}
    for hit in pattern:
        if hit.beat < pattern.beats:
            tick = min(end - 1, max(0, round((hit.beat + lead_in) * ticks_per_quarter)))
            place = mapped(hit.key, drum_map), tick
            loudest[place] = max(hit.velocity, loudest.get(place, 0))
    voices: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for (note, tick), velocity in sorted(loudest.items()):
        voices[_voice(unmapped(note, drum_map))].append((tick, note, velocity))
    file = mido.MidiFile(type=1, ticks_per_beat=ticks_per_quarter, charset="utf-8")
    file.tracks.append(_conductor(pattern, title, text, end))
    for name, strokes in sorted(voices.items(), key=lambda voice: min(voice[1])[1]):
        file.tracks.append(_track(name, strokes, max(1, ticks_per_quarter // _NOTES_PER_BEAT), end))
    made = io.BytesIO()
    file.save(file=made)
    return made.getvalue()


def _conductor(pattern: Pattern, title: str, text: str, end: int) -> mido.MidiTrack:
    import mido

    metre = pattern.metre
    signature = {"numerator": metre.numerator, "denominator": metre.denominator}
    return mido.MidiTrack(
        [
            mido.MetaMessage("track_name", name=title),
            *([mido.MetaMessage("text", text=text)] if text else []),
            mido.MetaMessage("set_tempo", tempo=round(60_000_000 / pattern.bpm)),
            mido.MetaMessage("time_signature", **signature),
            mido.MetaMessage("end_of_track", time=end),
        ]
    )


def _track(name: str, strokes: list[tuple[int, int, int]], longest: int, end: int) -> mido.MidiTrack:
    """A voice's strokes (tick, note, velocity), each let go before the same note is struck again and at the end."""
    import mido

    events = []
    following: dict[int, int] = {}
    for tick, note, velocity in sorted(strokes, reverse=True):
        until = min(tick + longest, following.get(note, end))
        following[note] = tick
        events += [(tick, 1, note, velocity), (until, 0, note, 0)]
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
    now = 0
    for tick, is_on, note, velocity in sorted(events):  # at one tick, what ends comes before what begins
        kind = "note_on" if is_on else "note_off"
        track.append(mido.Message(kind, channel=_CHANNEL, note=note, velocity=velocity, time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=end - now))
    return track


def _voice(key: int) -> str:
    """What a track of these strokes is called."""
    if key == 39:  # a snare where voices are counted, but no producer would look for it there
        return "Clap"
    return (class_of_key(key) or f"percussion {key}").replace("_", " ").capitalize()


def _quantised(pattern: Pattern) -> Pattern:
    """Every stroke on its nearest sixteenth, or on an eighth triplet or 32nd where its voice plays those in that beat.

    A beat of a voice is in triplets when it is struck twice or more, no stroke is nearer to a sixteenth than to a line
    of the triplet, and one is less than half as far from it: triplets and shuffles. It is in 32nds when two strokes are
    less than half as far from a 32nd as from a sixteenth. What comes to lie on the last bar line goes to the first.
    """
    groups: dict[tuple[str, int], list[Hit]] = defaultdict(list)
    for hit in pattern:
        groups[_voice(hit.key), math.floor(hit.beat + _EARLY_BEATS)].append(hit)
    moved = (
        replace(hit, beat=_nearest(hit.beat, lines) % pattern.beats)
        for group in groups.values()
        for lines in [_lines([hit.beat for hit in group])]
        for hit in group
    )
    return pattern.with_hits(_without_doubles(moved))


def _lines(beats: list[float]) -> int:
    """How many lines a beat has that is struck at `beats`."""
    for lines, needed in _FIGURES:
        near = [(abs(beat - _nearest(beat, lines)), abs(beat - _nearest(beat, 4))) for beat in beats]
        own = sum(2 * to_line < to_sixteenth for to_line, to_sixteenth in near)
        if len(near) > 1 and own >= needed and all(to_line <= to_sixteenth for to_line, to_sixteenth in near):
            return lines
    return 4


def _nearest(beat: float, lines: int) -> float:
    return math.floor(beat * lines + 0.5) / lines


def _without_doubles(hits: Iterable[Hit]) -> Iterator[Hit]:
    """Of hits on one key at one place the loudest."""
    loudest: dict[tuple[float, int], Hit] = {}
    for hit in sorted(hits):
        loudest[hit.beat, hit.key] = hit
    yield from loudest.values()
