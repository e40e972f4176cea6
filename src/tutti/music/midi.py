"""Notes from and to standard MIDI files, through symusic.

Written files are type 1 with one track per instrument. MIDI has sixteen channels and a piece may have more instruments:
drums take channel 10, the others share the fifteen left in turn, and each track sets its program before its notes, so
that a reader which keeps tracks apart (this one does) gets every program back.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import symusic
from symusic.core import ControlChangeSecond, ControlChangeTick, NoteTick, TempoTick, TimeSignatureTick

from tutti.errors import InputAccessError, InputNotFoundError, MidiError
from tutti.music.files import write_atomic
from tutti.music.notes import Note, Notes, PedalEvent

if TYPE_CHECKING:
    import mido

__all__ = ["read_midi", "to_midi_bytes", "to_mido", "write_midi"]

MAX_FILE_BYTES = 64 * 2**20
MAX_DURATION_S = 24 * 3600.0
_TICKS_PER_QUARTER = 960
_TEMPO_BPM = 120.0
_TICKS_PER_S = _TICKS_PER_QUARTER * _TEMPO_BPM / 60  # 1920: a tick is 0.52 ms


def read_midi(source: str | PathLike[str] | bytes) -> Notes:
    """Notes and sustain pedal of a MIDI file or its bytes, in seconds by the file's own tempo map.

    Notes that never sound (no length, no velocity) are left out. Raises InputNotFoundError, InputAccessError,
    MidiError.
    """
    data, name = _bytes_of(source)
    if len(data) > MAX_FILE_BYTES:
        raise MidiError(f"{name} is {len(data)} bytes of MIDI; more than {MAX_FILE_BYTES} are not read.")
    try:
        score: Any = symusic.Score.from_midi(data).to("second")  # type: ignore[attr-defined] # their stubs lack it
    except Exception as error:  # the parser raises RuntimeError and ValueError of many kinds
        raise MidiError(
            f"{name} is not a readable MIDI file ({error}). Open and save it again in a MIDI editor."
        ) from error
    if score.end() > MAX_DURATION_S:
        raise MidiError(f"{name} lasts {score.end():.0f} s; more than {MAX_DURATION_S:.0f} s are not read.")
    notes: list[Note] = []
    pedal: list[PedalEvent] = []
    for track in score.tracks:
        program = 0 if track.is_drum else track.program
        for note in track.notes:
            if note.duration > 0 and note.velocity > 0 and note.time >= 0:
                end_s = note.time + note.duration
                notes.append(Note(note.time, end_s, note.pitch, min(note.velocity, 127), program, track.is_drum))
        pedal += _pedal(track.controls, program, score.end())
    return Notes.of(notes, pedal)


def _pedal(controls: Iterable[ControlChangeSecond], program: int, end_s: float) -> Iterator[PedalEvent]:
    """Spans of controller 64 at 64 or more. (symusic's own `track.pedals` starts later tracks' first span at zero.)"""
    down_s: float | None = None
    for control in sorted((c for c in controls if c.number == 64), key=lambda c: c.time):
        if control.value >= 64 and down_s is None:
            down_s = max(0.0, control.time)
        elif control.value < 64 and down_s is not None:
            if control.time > down_s:
                yield PedalEvent(down_s, control.time, program)
            down_s = None
    if down_s is not None and end_s > down_s:  # never let go
        yield PedalEvent(down_s, end_s, program)


def _bytes_of(source: str | PathLike[str] | bytes) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        return source, "The data"
    path = Path(source)
    try:
        return path.read_bytes(), repr(str(path))
    except FileNotFoundError as error:
        raise InputNotFoundError(f"There is no file {str(path)!r}. Check the path.") from error
    except OSError as error:
        raise InputAccessError(f"{str(path)!r} cannot be read: {error.strerror}. Give a file you may read.") from error


def to_midi_bytes(notes: Notes) -> bytes:
    """A type 1 MIDI file at 120 bpm; onsets and offsets keep their place to half a tick, 0.26 ms."""
    score: Any = symusic.Score(_TICKS_PER_QUARTER)
    score.tempos.append(TempoTick(0, qpm=_TEMPO_BPM))
    score.time_signatures.append(TimeSignatureTick(0, 4, 4))
    instruments = sorted({(note.is_drum, note.program) for note in notes} | {(False, e.program) for e in notes.pedal})
    for is_drum, program in instruments:
        track: Any = symusic.Track(name="drums" if is_drum else f"program {program}", program=program, is_drum=is_drum)
        for note in notes:
            if (note.is_drum, note.program) == (is_drum, program):
                begin = round(note.onset_s * _TICKS_PER_S)
                length = max(1, round(note.offset_s * _TICKS_PER_S) - begin)
                track.notes.append(NoteTick(begin, length, note.pitch, note.velocity))
        if not is_drum:
            for event in notes.pedal:
                if event.program == program:
                    begin, end = round(event.onset_s * _TICKS_PER_S), round(event.offset_s * _TICKS_PER_S)
                    track.controls.append(ControlChangeTick(begin, 64, 127))
                    track.controls.append(ControlChangeTick(max(end, begin + 1), 64, 0))
        score.tracks.append(track)
    return bytes(score.dumps_midi())


def write_midi(notes: Notes, path: str | PathLike[str]) -> None:
    """Write `to_midi_bytes(notes)` to `path`, atomically. Raises OutputError."""
    write_atomic(path, to_midi_bytes(notes))


def to_mido(notes: Notes) -> mido.MidiFile:
    """The same file as `to_midi_bytes` writes, as mido's object."""
    import mido

    return mido.MidiFile(file=io.BytesIO(to_midi_bytes(notes)))
