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
    """`{"notes": [{"onset_s", "offset_s", "pitch", "velocity", "program", "is_drum"}], "pedal": [...]}`.

    Notes whose `confidence` is known have that, too.
    """
    document = {
        "notes": [_fields(note) for note in notes],
        "pedal": [asdict(event) for event in notes.pedal],
    }
    return json.dumps(document)


def _fields(note: Note) -> dict[str, Any]:
    fields = {key: getattr(note, key) for key in _NOTE_KEYS}
    return fields if note.confidence is None else {**fields, "confidence": note.confidence}


def from_json(text: str | bytes) -> Notes:
    """The notes in a document of `to_json`; other keys are passed over. Raises MidiError for anything else."""
    try:
        document = json.loads(text)
        notes = [_note(fields) for fields in document["notes"]]
        pedal = [_pedal_event(fields) for fields in document.get("pedal", [])]
    except (ValueError, OverflowError, TypeError, KeyError, AttributeError, OptionError, RecursionError) as error:
        raise MidiError(
            f"This is not a JSON file of notes ({type(error).__name__}: {error}). Expected an object with a list "
            f'"notes" of objects with {", ".join(_NOTE_KEYS)}.'
        ) from error
    return Notes.of(notes, pedal)


def _note(fields: dict[str, Any]) -> Note:
    pitch, velocity, program = (_integer(fields, key) for key in ("pitch", "velocity", "program"))
    if not isinstance(fields["is_drum"], bool):
        raise TypeError(f"is_drum is true or false, not {fields['is_drum']!r:.40}")
    times_s = _number(fields, "onset_s"), _number(fields, "offset_s")
    confidence = None if fields.get("confidence") is None else _number(fields, "confidence")
    return Note(*times_s, pitch, velocity, program, fields["is_drum"], confidence)


def _pedal_event(fields: dict[str, Any]) -> PedalEvent:
    return PedalEvent(_number(fields, "onset_s"), _number(fields, "offset_s"), _integer(fields, "program"))


def _number(fields: dict[str, Any], key: str) -> float:
    value = fields[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{key} is a number, not {value!r:.40}")
    return float(value)


def _integer(fields: dict[str, Any], key: str) -> int:
    """Nothing is rounded: a pitch of 60.5 is no MIDI number."""
    value = fields[key]
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{key} is a whole number, not {value!r:.40}")
    return value
