"""The evaluation sets: every piece with its audio and its truth. None of it is ever trained or tuned on."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from symusic.core import NoteSecond, NoteTick, ScoreSecond, ScoreTick, TempoTick, TrackTick

from benchmarks.transcription.references import (
    DrumReference,
    PitchedReference,
    PlayedNote,
    Reference,
    drum_class,
    extend_by_pedal,
)
from benchmarks.transcription.render import render
from tutti.datasets.percepiano import VALIDATION_FAMILIES

RENDERED_PIECES = 20
MIN_TAKE_S = 10.0
MAX_TAKE_S = 60.0
_KEYS_OF_GENERAL_MIDI = {22: 42, 26: 46, 58: 43}
"""V-Drums keys that a General MIDI font leaves silent, and what they are there."""

T = TypeVar("T")


@dataclass(frozen=True)
class Piece:
    name: str
    audio: Path
    references: tuple[Reference, ...]
    """More than one where annotators differ; a piece's score is then the mean over them."""


@dataclass(frozen=True)
class EvaluationSet:
    name: str
    title: str
    drums: bool
    pieces: Callable[[Path], list[Piece]]
    """From the data folder; renders what is not in the cache yet."""


def guitar(data: Path) -> list[Piece]:
    folder = data / "transcription_audio"
    stem = "guitarset_00_BN1-129-Eb_solo"
    notes = _notes_from_csv(folder / f"{stem}_notes.csv")
    return [Piece(stem, folder / f"{stem}_mic.flac", (PitchedReference("GuitarSet", notes),))]


def voice(data: Path) -> list[Piece]:
    folder = data / "transcription_audio"
    references = tuple(
        PitchedReference(annotator, _notes_from_csv(folder / f"vocadito_1_notes{annotator}_midi.csv"))
        for annotator in ("A1", "A2")
    )
    return [Piece("vocadito_1", folder / "vocadito_1.flac", references)]


def piano_recording(data: Path) -> list[Piece]:
    folder = data / "percepiano"
    rows = _rows(folder / "audio" / "audio.csv")
    return [
        Piece(
            row["clip_id"],
            folder / row["file"],
            (_piano_reference(folder / "midi" / f"{row['clip_id']}.mid", float(row["audio_time_minus_midi_time_s"])),),
        )
        for row in rows
    ]


def piano_rendered(data: Path) -> list[Piece]:
    folder = data / "percepiano"
    return [_rendered_clip(folder / row["midi"]) for row in _validation_clips(folder)]


def drums_rendered(data: Path) -> list[Piece]:
    folder = data / "gmd"
    takes = [
        row
        for row in _rows(folder / "info.csv")
        if row["split"] == "validation" and row["beat_type"] == "beat" and float(row["duration"]) >= MIN_TAKE_S
    ]
    takes.sort(key=lambda row: row["id"])
    chosen = _spread(takes, RENDERED_PIECES)
    return [_rendered_take(folder / "midi" / row["midi_filename"], row["id"]) for row in chosen]


def drums_in_mixes(data: Path) -> list[Piece]:
    folder = data / "mdb_drums"
    pieces = []
    for row in _rows(folder / "tracks.csv"):
        track = row["track"]
        mix = ("full_mix", f"{track}_MIX") if row["full_mix"] == "1" else ("mix_from_raw", f"{track}_RAWMIX")
        lines = (folder / "annotations" / "class" / f"{track}_class.txt").read_text().split("\n")
        onsets = tuple((float(line.split()[0]), line.split()[1]) for line in lines if line.strip())
        audio = folder / "audio" / mix[0] / f"{mix[1]}.flac"
        pieces.append(Piece(track, audio, (DrumReference("MDB Drums", onsets),)))
    return pieces


SETS = (
    EvaluationSet("piano-rendered", "PercePiano, rendered with MuseScore General", False, piano_rendered),
    EvaluationSet("piano-recording", "PercePiano recording", False, piano_recording),
    EvaluationSet("guitar", "GuitarSet solo", False, guitar),
    EvaluationSet("voice", "vocadito 1, two annotators", False, voice),
    EvaluationSet("drums-rendered", "Groove MIDI, rendered with MuseScore General", True, drums_rendered),
    EvaluationSet("drums-in-mixes", "MDB Drums, full mixes", True, drums_in_mixes),
)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _spread(items: list[T], count: int) -> list[T]:
    """`count` of the items, evenly over the list."""
    return [items[index * len(items) // count] for index in range(count)]


def _notes_from_csv(path: Path) -> tuple[PlayedNote, ...]:
    return tuple(
        PlayedNote(float(row["onset_s"]), float(row["offset_s"]), float(row["midi_pitch"])) for row in _rows(path)
    )


def _validation_clips(folder: Path) -> list[dict[str, str]]:
    """Twenty human clips, taken in turn from each held-out family, none of them the one that exists as a recording."""
    family_of = {row["segment_id"]: row["score_family"] for row in _rows(folder / "groups.csv")}
    recorded = {row["clip_id"] for row in _rows(folder / "audio" / "audio.csv")}
    clips = [row for row in _rows(folder / "clips.csv") if row["is_deadpan"] == "0" and row["clip_id"] not in recorded]
    per_family = -(-RENDERED_PIECES // len(VALIDATION_FAMILIES))
    chosen = [
        clip
        for family in sorted(VALIDATION_FAMILIES)
        for clip in _spread([row for row in clips if family_of[row["segment_id"]] == family], per_family)
    ]
    return chosen[:RENDERED_PIECES]


def _piano_reference(path: Path, shift_s: float = 0.0) -> PitchedReference:
    score = ScoreSecond.from_file(path)
    notes = extend_by_pedal(_played(score), _pedals(score))
    moved = (PlayedNote(note.onset_s + shift_s, note.offset_s + shift_s, note.pitch) for note in notes)
    return PitchedReference("MIDI", tuple(note for note in moved if note.onset_s >= 0.0))


def _played(score: ScoreSecond) -> Iterator[PlayedNote]:
    for track in score.tracks:
        for note in track.notes:
            yield PlayedNote(note.time, note.time + note.duration, float(note.pitch))


def _pedals(score: ScoreSecond) -> list[tuple[float, float]]:
    return [(pedal.time, pedal.time + pedal.duration) for track in score.tracks for pedal in track.pedals]


def _rendered_clip(path: Path) -> Piece:
    reference = _piano_reference(path)
    end_s = max(note.offset_s for note in reference.notes)
    return Piece(path.stem, render(path.read_bytes(), path.stem, end_s), (reference,))


def _rendered_take(path: Path, take: str) -> Piece:
    """The first minute of a take. Its V-Drums keys are moved to where General MIDI has the same instrument."""
    score = ScoreSecond.from_file(path)
    hits = [hit for track in score.tracks for hit in track.notes if hit.time < MAX_TAKE_S]
    name = take.replace("/", "-")
    end_s = max(hit.time for hit in hits)
    onsets = tuple(sorted((hit.time, drum_class(hit.pitch)) for hit in hits))
    return Piece(name, render(_general_midi_drums(hits), name, end_s), (DrumReference("MIDI", onsets),))


def _general_midi_drums(hits: list[NoteSecond]) -> bytes:
    """A MIDI file whose tick is 50 µs, so that no onset moves by more than half of that."""
    ticks_per_s = 20_000
    score = ScoreTick(ticks_per_s // 2)
    score.tempos.append(TempoTick(0, qpm=120.0))
    track = TrackTick("drums", 0, True)
    for hit in hits:
        pitch = _KEYS_OF_GENERAL_MIDI.get(hit.pitch, hit.pitch)
        length = max(1, round(hit.duration * ticks_per_s))
        track.notes.append(NoteTick(round(hit.time * ticks_per_s), length, pitch, hit.velocity))
    score.tracks.append(track)
    return score.dumps_midi()
