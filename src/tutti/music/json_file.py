"""Notes as JSON that reads back to equality."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from tutti.errors import MidiError, OptionError
from tutti.music.notes import Note, Notes, PedalEvent

__all__ = ["from_json", "to_json"]

_NOTE_KEYS = ("onset_s", "offset_s", "pitch", "velocity", "program", "is_drum")


def to_json(notes: Notes) -> str:
    """`{"notes": [{"onset_s", "offset_s", "pitch", "velocity", "program", "is_drum"}], "pedal": [...]}`."""
    document = {
        "notes": [{key: getattr(note, key) for key in _NOTE_KEYS} for note in notes],
        "pedal": [asdict(event) for event in notes.pedal],
    }
    return json.dumps(document)


def from_json(text: str) -> Notes:
    """The notes in a document of `to_json`; other keys are passed over. Raises MidiError for anything else."""
    try:
        document = json.loads(text)
        notes = [_note(fields) for fields in document["notes"]]
        pedal = [PedalEvent(float(e["onset_s"]), float(e["offset_s"]), e["program"]) for e in document.get("pedal", [])]
    except (ValueError, TypeError, KeyError, AttributeError, OptionError, RecursionError) as error:
        raise MidiError(
            f"This is not a JSON file of notes ({type(error).__name__}: {error}). Expected an object with a list "
            f'"notes" of objects with {", ".join(_NOTE_KEYS)}.'
        ) from error
    return Notes.of(notes, pedal)


def _note(fields: dict[str, Any]) -> Note:
    return Note(**{key: fields[key] for key in _NOTE_KEYS})
