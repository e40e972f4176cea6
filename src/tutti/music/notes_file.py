"""Notes from a file, whatever it is: MIDI, or the JSON that tutti writes."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from tutti.errors import InputAccessError, InputNotFoundError, MidiError, printable
from tutti.music.json_file import from_json
from tutti.music.midi import MAX_FILE_BYTES, read_midi
from tutti.music.notes import Notes

__all__ = ["NOTES_SUFFIXES", "read_notes"]

NOTES_SUFFIXES: tuple[str, ...] = (".json", ".mid", ".midi")
"""Of files that hold notes, the most exact first: MIDI rounds times to its ticks."""


def read_notes(path: str | PathLike[str]) -> Notes:
    """The notes of a MIDI file, or of a JSON file as `json_file.to_json` has it, told by the suffix.

    Raises InputNotFoundError, InputAccessError, MidiError for what cannot be read and for other suffixes.
    """
    file = Path(path)
    match file.suffix.lower():
        case ".mid" | ".midi":
            return read_midi(file)
        case ".json":
            return from_json(_bytes_of(file))
        case _:
            raise MidiError(f"{printable(str(file))!r} is no file of notes. Give one of: {', '.join(NOTES_SUFFIXES)}.")


def _bytes_of(file: Path) -> bytes:
    name = printable(str(file))
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, ValueError) as error:  # ValueError: a NUL in the path
        raise InputNotFoundError(f"There is no file {name!r}. Check the path.") from error
    except OSError as error:
        raise InputAccessError(f"{name!r} cannot be read: {error.strerror}. Give a file you may read.") from error
    if len(data) > MAX_FILE_BYTES:
        raise MidiError(f"{name!r} is more than {MAX_FILE_BYTES} bytes of JSON; so much is not read. Split it.")
    return data
