"""Notes as JAMS (Humphrey et al., ISMIR 2014): one `note_midi` annotation per instrument."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tutti.music.notes import Note, Notes

__all__ = ["to_jams"]


def to_jams(notes: Notes, duration_s: float) -> dict[str, Any]:
    """A JAMS object: values are MIDI pitches, confidences are velocities over 127.

    The sandbox of an annotation holds its `program` and `is_drum`; that of the object the `pedal`, as our JSON has it.
    """
    instruments: dict[tuple[bool, int], list[Note]] = {}
    for note in notes:
        instruments.setdefault((note.is_drum, note.program), []).append(note)
    end_s = max(duration_s, notes.end_s)
    return {
        "file_metadata": {
            "title": "", "artist": "", "release": "", "duration": end_s, "identifiers": {}, "jams_version": "0.3.4",
        },
        "annotations": [
            _annotation(members, is_drum, program, end_s)
            for (is_drum, program), members in sorted(instruments.items())
        ],
        "sandbox": {"pedal": [asdict(event) for event in notes.pedal]},
    }  # fmt: skip


def _annotation(notes: list[Note], is_drum: bool, program: int, end_s: float) -> dict[str, Any]:
    return {
        "namespace": "note_midi",
        "annotation_metadata": {
            "curator": {"name": "", "email": ""},
            "annotator": {},
            "version": "",
            "corpus": "",
            "annotation_tools": "tutti",
            "annotation_rules": "",
            "validation": "",
            "data_source": "program",
        },
        "data": [
            {"time": n.onset_s, "duration": n.duration_s, "value": float(n.pitch), "confidence": n.velocity / 127}
            for n in notes
        ],
        "sandbox": {"program": program, "is_drum": is_drum},
        "time": 0.0,
        "duration": end_s,
    }
