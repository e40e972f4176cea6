"""What a groove may start from: a drum track in a MIDI file, a groove that was saved as JSON, or a pattern."""

from __future__ import annotations

import io
import math
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from tutti.capabilities.groove.drum_maps import unmapped
from tutti.capabilities.groove.groove_file import read_json
from tutti.capabilities.groove.pattern import MAX_BARS, MAX_BPM, MIN_BPM, Hit, Pattern
from tutti.errors import InputAccessError, InputNotFoundError, MidiError
from tutti.music.midi import MAX_FILE_BYTES, MidiScore, read_midi_score
from tutti.music.timing import TimeSignature

__all__ = ["read_pattern"]


_EARLY_BEATS = 1 / 16
"""A stroke nearer to the bar line after it belongs to the next bar."""

_ROLAND = {22: 42, 26: 46, 58: 43}  # edges of the hi-hat, rim of the floor tom
_PERCUSSION_KEYS = range(35, 82)
_MICROSECONDS_PER_MINUTE = 60_000_000


def read_pattern(
    source: str | PathLike[str] | bytes | BinaryIO | Pattern, drum_map: str = "gm"
) -> tuple[Pattern, tuple[str, ...]]:
    """A pattern, and warnings about what it leaves out.

    Of MIDI the drum channel counts, its keys read by `drum_map` (see `drum_maps`), and the first tempo and time
    signature. The bars are those that have strokes in them, or as many as the file is long where it ends on a bar line.
    Raises InputNotFoundError, InputAccessError, MidiError, and OptionError for a map of another name.
    """
    if isinstance(source, Pattern):
        return source, ()
    data = _bytes_of(source)
    if len(data) > MAX_FILE_BYTES:
        raise MidiError(f"The prompt is more than {MAX_FILE_BYTES} bytes; so much is not read. Cut it.")
    if data.lstrip()[:1] == b"{":
        return read_json(data), ()
    name = repr(str(source)) if isinstance(source, str | PathLike) else "The prompt"
    if not data:
        raise MidiError(f"{name} is empty. Give a MIDI file with drums on channel 10.")
    try:
        score = read_midi_score(data)
        return _pattern(score, _length_beats(data), drum_map), _warnings(score)
    except MidiError as error:
        raise MidiError(str(error).replace("The data", name, 1).replace("The MIDI file", name, 1)) from error


def _bytes_of(source: str | PathLike[str] | bytes | BinaryIO) -> bytes:
    """At most one byte more than MAX_FILE_BYTES of a file."""
    if isinstance(source, bytes):
        return source
    if not isinstance(source, str | PathLike):
        return source.read(MAX_FILE_BYTES + 1)
    name = repr(str(source))
    try:
        with Path(source).open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, ValueError) as error:  # ValueError: a NUL in the path
        raise InputNotFoundError(f"There is no file {name}. Check the path.") from error
    except OSError as error:
        raise InputAccessError(f"{name} cannot be read: {error.strerror}. Give a file you may read.") from error


def _pattern(score: MidiScore, length_beats: float | None, drum_map: str) -> Pattern:
    if not score.notes.drums:
        raise MidiError(_no_drums(score))
    bpm = _plain_bpm(score.tempo_map.tempi[0].bpm)
    if not MIN_BPM <= bpm <= MAX_BPM:
        raise MidiError(
            f"The MIDI file's tempo is {bpm:g} bpm; a groove has {MIN_BPM:g}-{MAX_BPM:g}. Set it in the file."
        )
    metre = _metre(score)
    hits = []
    for note in score.notes.drums:
        key = unmapped(note.pitch, drum_map)
        # seconds go to beats with an error of the last digit; rounded, a beat is the number that was written
        beat = round(score.tempo_map.to_beat(note.onset_s), 7)
        hits.append(Hit(beat, _ROLAND.get(key, key), note.velocity))
    bars = _bars(max(hit.beat for hit in hits), length_beats, metre.quarters_per_bar)
    if bars > MAX_BARS:
        raise MidiError(f"The MIDI file has {bars} bars; a prompt has at most {MAX_BARS}. Cut it.")
    return Pattern(tuple(hits), bpm, bars, metre)


def _no_drums(score: MidiScore) -> str:
    pitches = [note.pitch for note in score.notes]
    if not pitches:
        return "The MIDI file holds no notes. Give one with a drum track on channel 10."
    if len({note.program for note in score.notes}) == 1 and all(pitch in _PERCUSSION_KEYS for pitch in pitches):
        return (
            f"The MIDI file holds no notes on channel 10; its {len(pitches)} notes look like drums on another channel. "
            "Set their channel to 10 in a sequencer and save it again."
        )
    return "The MIDI file holds no notes on channel 10, which is the drums'. Give one with a drum track there."


def _metre(score: MidiScore) -> TimeSignature:
    first = next(iter(score.time_signatures), TimeSignature())
    return TimeSignature(first.numerator, first.denominator)


def _plain_bpm(bpm: float) -> float:
    """The shortest number that MIDI writes as the same microseconds a quarter note."""
    wanted = round(_MICROSECONDS_PER_MINUTE / bpm)
    short = (round(bpm, digits) for digits in range(7))
    return next((value for value in short if value and round(_MICROSECONDS_PER_MINUTE / value) == wanted), bpm)


def _bars(last_beat: float, length_beats: float | None, bar_beats: float) -> int:
    struck = math.floor((last_beat + _EARLY_BEATS) / bar_beats) + 1
    if length_beats is None:
        return struck
    whole = round(length_beats / bar_beats)
    is_whole = abs(length_beats - whole * bar_beats) < 1e-6
    return whole if is_whole and whole >= 1 and last_beat < length_beats else struck


def _length_beats(data: bytes) -> float | None:
    """Quarter notes until the last track ends; None where that cannot be read. (symusic keeps only where notes end.)"""
    import mido

    try:
        file = mido.MidiFile(file=io.BytesIO(data), clip=True)
        ticks = max((sum(message.time for message in track) for track in file.tracks), default=0)
        return float(ticks / file.ticks_per_beat)
    except Exception:  # symusic has read the notes; mido raises errors of many kinds about the rest
        return None


def _warnings(score: MidiScore) -> tuple[str, ...]:
    found = []
    if len({tempo.bpm for tempo in score.tempo_map.tempi}) > 1:
        bpm = _plain_bpm(score.tempo_map.tempi[0].bpm)
        found.append(f"The MIDI file changes its tempo; all of it is taken at the first, {bpm:g} bpm.")
    if len({(s.numerator, s.denominator) for s in score.time_signatures}) > 1:
        metre = _metre(score)
        found.append(
            f"The MIDI file changes its metre; all of it is taken as the first, {metre.numerator}/{metre.denominator}."
        )
    return tuple(found)
