"""Hits out of files that say what was played, whoever wrote them: truth to measure against, or another's answer.

| file | what it holds |
|---|---|
| `.mid`, `.midi` | channel 10; keys that are no drum of tutti's (hand percussion) are left out |
| `.json` | a chart that tutti wrote |
| `.csv` | columns `time_s` and `instrument`, and `velocity` (1-127) where known; others are passed over |
| `.txt` | a line a hit: `time label`, or `start end label` as Audacity exports; times in seconds |

An instrument or label is one of DRUM_CLASSES or a label of MDB Drums (Southall et al. 2017). Its class labels say a
family only, and stand for one piece of it: score families with them, not pieces.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tutti.capabilities.drums.chart_file import read_chart
from tutti.errors import InputAccessError, InputNotFoundError, MidiError, OptionError, UnknownFormatError
from tutti.music.drum_hits import DrumHit, DrumHits
from tutti.music.drum_kit import DRUM_CLASSES, class_of_key
from tutti.music.midi import read_midi

__all__ = ["SUFFIXES", "VELOCITY", "find_truth", "read_hits"]

SUFFIXES = (".mid", ".midi", ".json", ".csv", ".txt")
"""In the order they are looked for."""
VELOCITY = 90
"""Of every hit in a file that gives none."""
MAX_FILE_BYTES = 64 * 2**20

_OF_MDB = {
    **dict.fromkeys(("SD", "SDB", "SDD", "SDF", "SDG", "SDNS"), "snare"),
    **{"KD": "kick", "SST": "side_stick", "CHH": "hihat_closed", "OHH": "hihat_open", "PHH": "hihat_pedal"},
    **{"HIT": "tom_high", "MHT": "tom_mid", "HFT": "tom_low", "LFT": "tom_low"},
    **{"RDC": "ride", "RDB": "ride_bell", "CRC": "crash", "SPC": "splash", "CHC": "china"},
    **{"HH": "hihat_closed", "TT": "tom_mid", "CY": "crash"},  # of the class files
}
_INSTRUMENTS = {**{name: name for name in DRUM_CLASSES}, **_OF_MDB}
_LEFT_OUT = frozenset({"OT", "TMB"})
"""MDB's "other" and tambourine: no drum that is scored."""
_LINE = re.compile(r"(?P<time>\S+)\s+(?:[-+.\d]\S*\s+)?(?P<label>[A-Za-z]\w*)(?:\s+h\d+)?")
"""tutti's own Audacity labels end with the hit's id."""


def find_truth(folder: Path, name: str) -> Path:
    """The file in `folder` that tells the hits of the recording called `name`, its stem. Raises InputNotFoundError."""
    looked_for = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
    for path in looked_for:
        if path.is_file():
            return path
    raise InputNotFoundError(
        f"There is no truth for it. Looked in {str(folder)!r} for {', '.join(path.name for path in looked_for)}. "
        "Name the truth after the recording, or give another folder with --truth."
    )


def read_hits(path: Path) -> DrumHits:
    """The hits in a file of one of SUFFIXES.

    Raises InputNotFoundError, InputAccessError, MidiError (also for a line or row that says no hit), ChartFileError,
    UnknownFormatError.
    """
    match path.suffix.lower():
        case ".mid" | ".midi":
            return DrumHits.of(_of_midi(path))
        case ".json":
            return read_chart(path).hits
        case ".csv":
            return DrumHits.of(_of_rows(path.name, _read(path)))
        case ".txt":
            return DrumHits.of(_of_lines(path.name, _read(path).splitlines()))
    raise UnknownFormatError(f"{path.name!r} is no file of hits. Give one of: {', '.join(SUFFIXES)}.")


def _of_midi(path: Path) -> Iterator[DrumHit]:
    notes = read_midi(path)
    if len(notes) and not len(notes.drums):
        raise MidiError(f"{path.name} has notes, but none on channel 10, where drums are. Move them there.")
    for note in notes.drums:
        instrument = class_of_key(note.pitch)
        if instrument is not None:
            yield DrumHit(note.onset_s, instrument, note.velocity)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise MidiError(f"{path.name} is more than {MAX_FILE_BYTES} bytes; so many hits nobody plays. Split it.")
        return data.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputNotFoundError(f"There is no file {str(path)!r}. Check the path.") from error
    except OSError as error:
        raise InputAccessError(f"{str(path)!r} cannot be read: {error.strerror}. Give a file you may read.") from error
    except UnicodeDecodeError as error:
        raise MidiError(f"{path.name} is not text in UTF-8. Save it as such.") from error


def _of_rows(name: str, text: str) -> Iterator[DrumHit]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    if not {"time_s", "instrument"} <= set(rows.fieldnames or ()):
        raise MidiError(f"{name} has no columns time_s and instrument. Name them in its first line.")
    for row in rows:
        where = f"{name}, line {rows.line_num}"
        yield from _hit(where, row["time_s"] or "", row["instrument"] or "", row.get("velocity") or str(VELOCITY))


def _of_lines(name: str, lines: Iterable[str]) -> Iterator[DrumHit]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            found = _LINE.fullmatch(line.strip())
            if found is None:
                raise MidiError(f"{name}, line {number}: expected a time in seconds and a label; got {line.strip()!r}.")
            yield from _hit(f"{name}, line {number}", found["time"], found["label"], str(VELOCITY))


def _hit(where: str, time_s: str, label: str, velocity: str) -> Iterator[DrumHit]:
    """One hit, or none for a label that is left out."""
    if label in _LEFT_OUT:
        return
    if label not in _INSTRUMENTS:
        known = ", ".join([*_INSTRUMENTS, *sorted(_LEFT_OUT)])
        raise MidiError(f"{where}: {label!r} is no drum. Use one of: {known}.")
    try:
        yield DrumHit(float(time_s), _INSTRUMENTS[label], int(velocity))
    except (ValueError, OptionError) as error:
        raise MidiError(f"{where} says no hit: {error}") from error
