"""What is done to notes once a model has heard them: keep, group, filter, quantise, split. The same for every model.

Each step is a function of notes to notes and leaves them alone unless it is asked for; `finish` takes the steps that
the options ask for, in the order of this file. Confidences stay with their notes.
"""

from __future__ import annotations

import cmath
import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import replace
from itertools import zip_longest

from tutti.capabilities.transcription.families import family_of_program, program_of_family
from tutti.capabilities.transcription.types import Options
from tutti.music.beats import Beats
from tutti.music.instruments import program_name
from tutti.music.notes import Note, Notes
from tutti.music.timing import BeatGrid

__all__ = [
    "anchored",
    "drop_leakage",
    "drop_short",
    "finish",
    "group_programs",
    "keep_instruments",
    "quantise",
    "split_instruments",
    "steady_beats",
]

_TINY_SHARE = 0.05
"""Of all pitched notes: an instrument with fewer may be another's leakage."""
_LEAKED_SHARE = 0.5
"""Of its notes must coincide with another instrument's before any is taken for leakage."""
_AT_ONCE_S = 0.03


def finish(notes: Notes, options: Options, beats: Beats | None = None) -> Notes:
    """`notes` as `options` want them; `beats` are what `options.quantise` snaps to, and without them nothing is."""
    notes = drop_short(notes, options.min_note_s or 0.0)
    if options.filter_leakage:
        notes = drop_leakage(notes)
    notes = keep_instruments(notes, options.instruments, options.programs)
    if options.group_programs:
        notes = group_programs(notes)
    if options.quantise is not None and beats is not None and len(beats.grid) > 1:
        notes = quantise(notes, beats.grid, options.quantise)
    return notes


def drop_short(notes: Notes, min_note_s: float) -> Notes:
    """Without pitched notes shorter than `min_note_s`; drums have no length to speak of."""
    return _with(notes, (note for note in notes if note.is_drum or note.duration_s >= min_note_s))


def drop_leakage(notes: Notes) -> Notes:
    """Without the notes of instruments that seem to be no more than echoes of others (a heuristic of our own).

    An instrument is taken for an echo when it holds less than 5 % of the pitched notes and at least half of its notes
    begin within 30 ms of a note of an instrument that is no such small one, on the same pitch or octaves from it. Only
    those notes are dropped; whatever the echo plays by itself stays, and so do drums and every larger instrument. Where
    such notes are real, as in a glockenspiel that doubles a few notes of a flute, they are lost: listen before trusting
    it.
    """
    tracks: dict[int, list[Note]] = {}
    for note in notes.pitched:
        tracks.setdefault(note.program, []).append(note)
    tiny = {program for program, track in tracks.items() if len(track) < _TINY_SHARE * len(notes.pitched)}
    onsets: dict[int, list[float]] = {}  # of the other instruments, by pitch class
    for note in notes.pitched:
        if note.program not in tiny:
            onsets.setdefault(note.pitch % 12, []).append(note.onset_s)
    dropped: set[int] = set()
    for program in tiny:
        doubles = [note for note in tracks[program] if _is_near(onsets.get(note.pitch % 12, []), note.onset_s)]
        if len(doubles) >= _LEAKED_SHARE * len(tracks[program]):
            dropped.update(map(id, doubles))
    return _with(notes, (note for note in notes if id(note) not in dropped))


def _is_near(times_s: list[float], time_s: float) -> bool:
    """Whether one of the sorted `times_s` is within _AT_ONCE_S."""
    row = bisect_left(times_s, time_s - _AT_ONCE_S)
    return row < len(times_s) and times_s[row] <= time_s + _AT_ONCE_S


def keep_instruments(notes: Notes, families: tuple[str, ...] = (), programs: tuple[int, ...] = ()) -> Notes:
    """Notes of these families ("drums" among them) or programs; all where neither is named."""
    if not families and not programs:
        return notes
    kept = {family for family in families if family != "drums"}

    def is_kept(note: Note) -> bool:
        if note.is_drum:
            return "drums" in families
        return note.program in programs or family_of_program(note.program) in kept

    return _with(notes, filter(is_kept, notes))


def group_programs(notes: Notes) -> Notes:
    """Each program as the one that stands for its family; programs of no family stay."""

    def representative(program: int) -> int:
        family = family_of_program(program)
        return program if family is None else program_of_family(family)

    return Notes.of(
        (note if note.is_drum else replace(note, program=representative(note.program)) for note in notes),
        (replace(event, program=representative(event.program)) for event in notes.pedal),
    )


def quantise(notes: Notes, grid: BeatGrid, divisions: int) -> Notes:
    """Onsets and offsets on the nearest of `divisions` equal parts of each beat, every note at least one part long.

    Before the first and after the last beat time is counted as `grid.tempo_map()` counts it, so that all of it falls on
    the ticks of a MIDI file with those tempi. Notes of one instrument and pitch that come to begin together are one,
    the loudest, as long as the longest; one that would ring into the next is cut there. The pedal stays where it is.
    Raises OptionError for a grid of fewer than two beats.
    """
    tempo_map = grid.tempo_map()

    def nearest(time_s: float) -> int:
        return round(tempo_map.to_beat(time_s) * divisions)

    begun: dict[tuple[bool, int, int], dict[int, tuple[Note, int]]] = {}
    for note in notes:
        track = begun.setdefault((note.is_drum, note.program, note.pitch), {})
        onset = nearest(note.onset_s)
        other, end = track.get(onset, (note, onset + 1))
        track[onset] = max(other, note, key=lambda each: each.velocity), max(end, nearest(note.offset_s))
    snapped = []
    for track in begun.values():
        onsets = sorted(track)
        for onset, following in zip_longest(onsets, onsets[1:]):
            note, end = track[onset]
            end = end if following is None else min(end, following)
            onset_s, offset_s = (tempo_map.to_seconds(step / divisions) for step in (onset, end))
            snapped.append(replace(note, onset_s=onset_s, offset_s=offset_s))
    return Notes.of(snapped, notes.pedal)


def steady_beats(notes: Notes, bpm: float, divisions: int, duration_s: float) -> Beats:
    """Beats at exactly `bpm` (quarter notes a minute) where the onsets of `notes` fit them best, bars of four.

    The grid of `divisions` to a beat goes through the circular mean of the onsets; of its points the one that most
    onsets are nearest to is a beat. The first beat of the recording begins a bar. For music that keeps to a click: a
    tempo that is a hundredth off is a beat off after a hundred.
    """
    step_s = 60 / bpm / divisions
    turns = sum(cmath.exp(2j * math.pi * note.onset_s / step_s) for note in notes)
    shift_s = cmath.phase(turns) / (2 * math.pi) * step_s if abs(turns) > 1e-9 else 0.0
    counts = [0] * divisions
    for note in notes:
        counts[round((note.onset_s - shift_s) / step_s) % divisions] += 1
    first_s = (counts.index(max(counts)) * step_s + shift_s) % (divisions * step_s)
    return anchored(Beats.at_bpm(bpm, first_s, max(duration_s, notes.end_s)), divisions)


def anchored(beats: Beats, divisions: int) -> Beats:
    """With a first beat that comes within half a division of 0 s at 0 s.

    A tempo map makes whole beats of what comes before the first, and so little would be one of thousands a minute.
    """
    times_s = beats.grid.times_s
    if len(times_s) < 2 or 2 * divisions * times_s[0] >= times_s[1] - times_s[0]:
        return beats
    return replace(beats, grid=BeatGrid((0.0, *times_s[1:]), beats.grid.positions))


def split_instruments(notes: Notes) -> dict[str, Notes]:
    """Each instrument's notes by name, drums last: "piano", "bass", "drums".

    An instrument is called after its family where that has no other program here, otherwise after its program
    ("violin", "cello"); words are joined by "_".
    """
    programs = sorted({note.program for note in notes.pitched})
    families = [family_of_program(program) for program in programs]
    parts = {}
    for program, family in zip(programs, families, strict=True):
        name = family if family is not None and families.count(family) == 1 else program_name(program)
        own = (note for note in notes.pitched if note.program == program)
        parts[_file_name(name)] = Notes.of(own, (event for event in notes.pedal if event.program == program))
    return {**parts, "drums": Notes.of(notes.drums)} if notes.drums else parts


def _file_name(name: str) -> str:
    letters = "".join(letter if letter.isalnum() else " " for letter in name.lower())
    return "_".join(letters.split())


def _with(notes: Notes, kept: Iterable[Note]) -> Notes:
    """`kept` with the pedal of the instruments that still play."""
    members = tuple(kept)
    programs = {note.program for note in members if not note.is_drum}
    return Notes(members, tuple(event for event in notes.pedal if event.program in programs))
