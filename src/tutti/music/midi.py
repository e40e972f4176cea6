"""Notes from and to standard MIDI files, through symusic.

Written files are type 1 with one track per instrument. MIDI has sixteen channels and a piece may have more instruments:
drums take channel 10, the others share the fifteen left in turn, and each track sets its program before its notes, so
that a reader which keeps tracks apart (this one does) gets every program back.

symusic counts seconds in single precision, in steps of 1 ms from 2.3 hours on, so ticks become seconds here.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import symusic
from symusic.core import ControlChangeTick, NoteTick, TempoTick, TimeSignatureTick

from tutti.errors import InputAccessError, InputNotFoundError, MidiError, OptionError
from tutti.music.files import write_atomic
from tutti.music.instruments import program_name
from tutti.music.notes import Note, Notes, PedalEvent
from tutti.music.timing import Tempo, TempoMap, TimeSignature

if TYPE_CHECKING:
    import mido

__all__ = ["MidiScore", "read_midi", "read_midi_score", "to_midi_bytes", "to_mido", "write_midi"]

MAX_FILE_BYTES = 64 * 2**20
MAX_EVENTS = 1_000_000
MAX_DURATION_S = 24 * 3600.0

_SUSTAIN = 64  # the controller's number, and the value from which the pedal counts as down
_MICROSECONDS_PER_MINUTE = 60_000_000
_TICKS_PER_QUARTER = 960
_MIN_TICKS_PER_S = 1920  # 960 at 120 bpm: a tick is 0.52 ms
_MAX_TICK = 2**28 - 1  # the longest wait that MIDI can write between two events
_MAX_TICKS_PER_QUARTER = 2**15 - 1
_MAX_MICROSECONDS_PER_QUARTER = 2**24 - 1
_FOUR_FOUR = (TimeSignature(4, 4),)


@dataclass(frozen=True, slots=True)
class MidiScore:
    """A MIDI file's notes with its tempi and time signatures."""

    notes: Notes
    tempo_map: TempoMap
    time_signatures: tuple[TimeSignature, ...]
    """As the file gives them, in order; none means the 4/4 that MIDI takes for granted."""


def read_midi(source: str | PathLike[str] | bytes) -> Notes:
    """The notes and pedal of `read_midi_score`."""
    return read_midi_score(source).notes


def read_midi_score(source: str | PathLike[str] | bytes) -> MidiScore:
    """Notes, sustain pedal and timing of a MIDI file or its bytes, in seconds by the file's own tempo map.

    Left out: notes that never sound (no length, no velocity) or never end, time signatures that are none, and the
    pedal of drums and of channels without notes. Where notes of one pitch and channel overlap, the first note-off ends
    the first of them. Raises InputNotFoundError, InputAccessError, MidiError.
    """
    data, name = _bytes_of(source)
    if len(data) > MAX_FILE_BYTES:
        raise MidiError(f"{name} is more than {MAX_FILE_BYTES} bytes of MIDI; so much is not read. Split it.")
    score = _parse(data, name)
    try:
        tempo_map = _tempo_map(score)
        _check_limits(score, tempo_map, name)
        return MidiScore(_notes(score, tempo_map), tempo_map, tuple(_time_signatures(score)))
    except OptionError as error:  # a value that no note or tempo can have
        raise MidiError(f"{name} is broken: {error} Open and save it again in a MIDI editor.") from error


def _bytes_of(source: str | PathLike[str] | bytes) -> tuple[bytes, str]:
    """The data, at most one byte more than MAX_FILE_BYTES of a file, and what to call it."""
    if isinstance(source, bytes):
        return source, "The data"
    path = Path(source)
    name = repr(str(path))
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1), name
    except (FileNotFoundError, ValueError) as error:  # ValueError: a NUL in the path
        raise InputNotFoundError(f"There is no file {name}. Check the path.") from error
    except OSError as error:
        raise InputAccessError(f"{name} cannot be read: {error.strerror}. Give a file you may read.") from error


def _parse(data: bytes, name: str) -> Any:
    if data[:4] == b"MThd" and data[8:10] == b"\x00\x02":
        raise MidiError(f"{name} is a type 2 MIDI file, of pieces apart from each other. Save it as type 0 or 1.")
    try:
        score: Any = symusic.Score.from_midi(data)
    except Exception as error:  # the parser raises RuntimeError and ValueError of many kinds
        raise MidiError(
            f"{name} is not a readable MIDI file ({error}). Open and save it again in a MIDI editor."
        ) from error
    if score.tpq < 1:
        raise MidiError(f"{name} gives no ticks per quarter note. Open and save it again in a MIDI editor.")
    return score


def _tempo_map(score: Any) -> TempoMap:
    bpm_at_tick = {0: 120.0}
    for tempo in score.tempos:  # of several at one tick the last counts
        bpm_at_tick[tempo.time] = _MICROSECONDS_PER_MINUTE / tempo.mspq if tempo.mspq else math.inf
    return TempoMap(tuple(Tempo(tick / score.tpq, bpm) for tick, bpm in sorted(bpm_at_tick.items())))


def _check_limits(score: Any, tempo_map: TempoMap, name: str) -> None:
    events = len(score.tempos) + sum(len(track.notes) + len(track.controls) for track in score.tracks)
    if events > MAX_EVENTS:
        raise MidiError(f"{name} holds {events} notes and controls; more than {MAX_EVENTS} are not read. Split it.")
    if any(event.time < 0 for track in score.tracks for event in (*track.notes, *track.controls)):
        raise MidiError(f"{name} lasts longer than ticks can count. Open and save it again in a MIDI editor.")
    end_s = tempo_map.to_seconds(score.end() / score.tpq)
    if end_s > MAX_DURATION_S:
        raise MidiError(f"{name} lasts {end_s:.0f} s; more than {MAX_DURATION_S:.0f} s are not read. Split it.")


def _notes(score: Any, tempo_map: TempoMap) -> Notes:
    notes: list[Note] = []
    pedal: list[PedalEvent] = []

    def time_s(tick: int) -> float:
        return tempo_map.to_seconds(tick / score.tpq)

    for track in score.tracks:
        for note in track.notes:
            if note.duration > 0 and note.velocity > 0:
                span_s = time_s(note.time), time_s(note.time + note.duration)
                notes.append(Note(*span_s, note.pitch, note.velocity, track.program, track.is_drum))
        if not track.is_drum:
            held = _held(track.controls, score.end())
            pedal += [PedalEvent(time_s(down), time_s(up), track.program) for down, up in held]
    return Notes.of(notes, pedal)


def _held(controls: Iterable[ControlChangeTick], end: int) -> Iterator[tuple[int, int]]:
    """Ticks at which the pedal goes down and up. (symusic's own `track.pedals` starts later tracks' first at zero.)"""
    down: int | None = None
    for control in sorted((c for c in controls if c.number == _SUSTAIN), key=lambda c: c.time):
        if control.value >= _SUSTAIN and down is None:
            down = control.time
        elif control.value < _SUSTAIN and down is not None:
            if control.time > down:
                yield down, control.time
            down = None
    if down is not None and end > down:  # never let go
        yield down, end


def _time_signatures(score: Any) -> Iterator[TimeSignature]:
    for signature in score.time_signatures:
        try:
            yield TimeSignature(signature.numerator, signature.denominator, signature.time / score.tpq)
        except OptionError:  # 0/4 and the like; nothing that sounds depends on it
            continue


def write_midi(
    notes: Notes,
    path: str | PathLike[str],
    tempo_map: TempoMap | None = None,
    time_signatures: Sequence[TimeSignature] = _FOUR_FOUR,
) -> None:
    """Write `to_midi_bytes` of the same arguments to `path`, atomically. Raises OutputError and OptionError."""
    write_atomic(path, to_midi_bytes(notes, tempo_map, time_signatures))


def to_mido(
    notes: Notes, tempo_map: TempoMap | None = None, time_signatures: Sequence[TimeSignature] = _FOUR_FOUR
) -> mido.MidiFile:
    """The same file as `to_midi_bytes` writes, as mido's object."""
    import mido

    return mido.MidiFile(file=io.BytesIO(to_midi_bytes(notes, tempo_map, time_signatures)))


def to_midi_bytes(
    notes: Notes, tempo_map: TempoMap | None = None, time_signatures: Sequence[TimeSignature] = _FOUR_FOUR
) -> bytes:
    """A type 1 MIDI file at the tempi of `tempo_map`, or at 120 bpm.

    Onsets and offsets keep their place in seconds to half a tick, 0.26 ms (a little more only where a tempo map has
    too many beats to count so finely); tempi are rounded to the microsecond per quarter note that MIDI can write.
    Spans of an instrument's pedal that overlap become one. Raises OptionError for what MIDI cannot hold: more than 24
    hours, a tempo below 3.6 bpm.
    """
    tempi = (tempo_map or TempoMap()).tempi
    ticks = _Ticks(tempi, last_beat=_last_beat(notes, tempi, time_signatures))
    score: Any = symusic.Score(ticks.per_quarter)
    microseconds_before = None
    for tick, microseconds in ticks.microseconds.items():
        if microseconds != microseconds_before:  # a steady tempo is one event, however many beats it was given for
            score.tempos.append(TempoTick(tick, mspq=microseconds))
        microseconds_before = microseconds
    for signature in sorted(time_signatures, key=lambda s: s.beat):
        tick = round(signature.beat * ticks.per_quarter)
        score.time_signatures.append(TimeSignatureTick(tick, signature.numerator, signature.denominator))
    for track in _tracks(notes, ticks):
        score.tracks.append(track)
    return bytes(score.dumps_midi())


def _last_beat(notes: Notes, tempi: tuple[Tempo, ...], signatures: Sequence[TimeSignature]) -> float:
    end_s = max((notes.end_s, *(event.offset_s for event in notes.pedal)))
    if end_s > MAX_DURATION_S:
        raise OptionError(
            f"A MIDI file holds at most {MAX_DURATION_S:.0f} s; these notes end at {end_s:.0f} s. Cut them."
        )
    return max((TempoMap(tempi).to_beat(end_s), tempi[-1].beat, *(s.beat for s in signatures), 1.0))


class _Ticks:
    """Seconds to ticks, by the tempi as the file will have them: on whole ticks, in whole microseconds."""

    def __init__(self, tempi: tuple[Tempo, ...], last_beat: float) -> None:
        wanted = max(_TICKS_PER_QUARTER, math.ceil(_MIN_TICKS_PER_S * 60 / min(tempo.bpm for tempo in tempi)))
        self.per_quarter = min(wanted, _MAX_TICKS_PER_QUARTER, int(_MAX_TICK / last_beat))
        if self.per_quarter < 1:
            raise OptionError(f"A MIDI file holds at most {_MAX_TICK} beats; this one would have {last_beat:.0f}.")
        self.microseconds = {round(t.beat * self.per_quarter): _microseconds_per_quarter(t.bpm) for t in tempi}
        """Per quarter note, from each tick on at which that changes."""
        self._map = TempoMap(
            tuple(
                Tempo(tick / self.per_quarter, _MICROSECONDS_PER_MINUTE / microseconds)
                for tick, microseconds in self.microseconds.items()
            )
        )

    def span(self, onset_s: float, offset_s: float) -> tuple[int, int]:
        """First and last tick of what sounds, at least one apart."""
        begin = round(self._map.to_beat(onset_s) * self.per_quarter)
        return begin, max(begin + 1, round(self._map.to_beat(offset_s) * self.per_quarter))


def _microseconds_per_quarter(bpm: float) -> int:
    microseconds = round(_MICROSECONDS_PER_MINUTE / bpm)
    if not 1 <= microseconds <= _MAX_MICROSECONDS_PER_QUARTER:
        raise OptionError(f"A MIDI file cannot hold a tempo of {bpm} bpm. Use one between 3.6 and 60000000.")
    return microseconds


def _tracks(notes: Notes, ticks: _Ticks) -> Iterator[Any]:
    members: dict[tuple[bool, int], list[Note]] = {(False, event.program): [] for event in notes.pedal}
    for note in notes:
        members.setdefault((note.is_drum, note.program), []).append(note)
    for (is_drum, program), own in sorted(members.items()):
        name = "Drums" if is_drum else program_name(program)
        track: Any = symusic.Track(name=name, program=program, is_drum=is_drum)
        for note in own:
            begin, end = ticks.span(note.onset_s, note.offset_s)
            track.notes.append(NoteTick(begin, end - begin, note.pitch, note.velocity))
        pedal = () if is_drum else (event for event in notes.pedal if event.program == program)
        for down, up in _merged(ticks.span(event.onset_s, event.offset_s) for event in pedal):
            track.controls.append(ControlChangeTick(down, _SUSTAIN, 127))
            track.controls.append(ControlChangeTick(up, _SUSTAIN, 0))
        yield track


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans in order, those that overlap joined: one pedal is either down or up."""
    current: tuple[int, int] | None = None
    for down, up in spans:
        if current is None:
            current = down, up
        elif down < current[1]:
            current = current[0], max(current[1], up)
        else:
            yield current
            current = down, up
    if current is not None:
        yield current
