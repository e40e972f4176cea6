"""A drum chart as a JSON file: everything heard, from which the sheet is written again without listening again.

    detected_bpm, bpm_alternatives            beats a minute of the middle beat, half and double; null without beats
    bpm_unreliable                            calibrated: the tempo should be checked by ear
    bpm_unreliable_literal                    by the tracker's own strength below 0.5, where it has one
    duration_seconds
    confidence_score, low_confidence          mean of the hits' confidence, null without hits; whether it is below 0.5
    hit_summary                               how often each piece is hit
    hits       [{id, time, instrument, velocity, confidence}]   seconds, loudness 1-127, certainty 0-1
    beats      {times_s, positions, beat_quarters, confidence, method, literal_strength}
    title, note, sections, warnings, provenance

What is derived from the rest is written for other programs and passed over when the file is read. Where the recording
lies is not written: files are passed on, and paths in a file from elsewhere are not to be trusted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tutti.capabilities.drums.corrections import Corrections, corrected
from tutti.capabilities.drums.types import LOW_CONFIDENCE, DrumChart, Provenance
from tutti.capabilities.drums.writing_down import Draft, options_of
from tutti.errors import ChartFileError, InputAccessError, InputNotFoundError, OptionError
from tutti.music.beats import Beats
from tutti.music.drum_hits import DrumHit, DrumHits, hit_id
from tutti.music.sections import Section, Sections
from tutti.music.timing import BeatGrid

__all__ = ["is_chart", "read_chart", "to_compatible_json", "to_json"]

MAX_FILE_BYTES = 64 * 2**20
MAX_DURATION_S = 24 * 3600.0
MAX_BEATS = 200_000
"""As many as fit between the start and the end at the shortest distance of two: what a sheet can be asked to bridge."""
MAX_BEATS_PER_BAR = 64
MAX_HITS = 500_000

_LITERAL_STRENGTH = 0.5
_SLACK_S = 1.0
"""A hit may be heard so long after the last sample."""


def to_json(chart: DrumChart) -> str:
    """The chart as `read_chart` reads it back, sheet and all, but for where its recording lies."""
    document = _summary(chart, chart.beats.bpm_unreliable)
    document |= {
        "bpm_alternatives": [] if chart.bpm is None else list(chart.beats.alternatives_bpm),
        "bpm_unreliable_literal": _literally_unreliable(chart.beats),
        "low_confidence": chart.confidence is not None and chart.confidence < LOW_CONFIDENCE,
        "title": chart.sheet.title,
        "note": chart.sheet.note,
        "warnings": list(chart.warnings),
        "hits": [
            {
                "id": hit_id(index),
                "time": hit.time_s,
                "instrument": hit.instrument,
                "velocity": hit.velocity,
                "confidence": hit.confidence,
            }
            for index, hit in enumerate(chart.hits)
        ],
        "beats": {
            "times_s": chart.beats.grid.times_s,
            "positions": chart.beats.grid.positions,
            "beat_quarters": str(chart.beats.beat_quarters),
            "confidence": chart.beats.confidence,
            "bpm_unreliable": chart.beats.bpm_unreliable,
            "method": chart.beats.method,
            "literal_strength": chart.beats.literal_strength,
        },
        "sections": [asdict(section) for section in Draft.of(chart).sections],
        "provenance": asdict(chart.provenance),
    }
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode(errors="replace").decode()  # a file's name need not be text


def to_compatible_json(chart: DrumChart) -> str:
    """The fields that programs for other drum transcribers expect, and no others: `velocity` is the confidence (0-1)
    there, times and confidences have 4 decimals, and `bpm_unreliable` follows the tracker's own strength."""
    document = _summary(chart, _literally_unreliable(chart.beats))
    document["hits"] = [
        {"time": round(hit.time_s, 4), "instrument": hit.instrument, "velocity": round(hit.confidence, 4)}
        for hit in chart.hits
    ]
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _summary(chart: DrumChart, bpm_unreliable: bool) -> dict[str, Any]:
    return {
        "detected_bpm": None if chart.bpm is None else round(chart.bpm, 2),
        "bpm_unreliable": bpm_unreliable,
        "duration_seconds": chart.duration_s,
        "confidence_score": None if chart.confidence is None else round(chart.confidence, 4),
        "hit_summary": chart.hits.summary,
    }


def _literally_unreliable(beats: Beats) -> bool:
    """By the tracker's strength where it gives one; the others say themselves."""
    if beats.literal_strength is None:
        return beats.bpm_unreliable
    return beats.literal_strength < _LITERAL_STRENGTH


class _Part(BaseModel):
    """A part of the file. Nothing is converted: "1" is no number."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class _Hit(_Part):
    id: str
    time: float
    instrument: str
    velocity: int
    confidence: float


class _Beats(_Part):
    times_s: list[float] = Field(max_length=MAX_BEATS)
    positions: list[int] = Field(max_length=MAX_BEATS)
    beat_quarters: Literal["1/2", "1", "3/2"]
    confidence: float = Field(ge=0, le=1)
    bpm_unreliable: bool
    method: str
    literal_strength: float | None


class _Section(_Part):
    start_s: float
    end_s: float
    label: str


def _finite(value: dict[str, Any]) -> dict[str, Any]:
    json.dumps(value, allow_nan=False)  # raises ValueError for what JSON does not know
    return value


_Free = Annotated[dict[str, Any], AfterValidator(_finite)]


class _Provenance(_Part):
    tutti_version: str
    model: str
    weights_sha256: str
    device: str
    precision: str
    source: str
    stems: _Free
    beats: str
    options: _Free


class _File(_Part):
    duration_seconds: float = Field(ge=0, le=MAX_DURATION_S)
    title: str
    note: str
    warnings: list[str]
    hits: list[_Hit] = Field(max_length=MAX_HITS)
    beats: _Beats
    sections: list[_Section]
    provenance: _Provenance


def read_chart(
    source: str | PathLike[str] | bytes,
    corrections: Corrections | None = None,
    engraving: Mapping[str, Any] | None = None,
) -> DrumChart:
    """The chart in a file that `to_json` wrote, or in its bytes, with `corrections` made and its sheet written again.

    `engraving` are options for print (`title`, `repeats`, `engraver`, `paper`) that take the place of the file's.

    `recording` and `backing` are None. Raises InputNotFoundError, InputAccessError, ChartFileError, CorrectionError.
    """
    data, name = _bytes_of(source)
    if len(data) > MAX_FILE_BYTES:
        raise ChartFileError(f"{name} is more than {MAX_FILE_BYTES} bytes; no drum chart is so long.")
    try:
        draft = _draft(_File.model_validate_json(data))
        draft = draft.engraved(engraving or {})
        if corrections is None:
            return draft.written()
    except ValidationError as error:
        raise ChartFileError(_advice(name, _complaints(error))) from None
    except (OptionError, OverflowError) as error:
        raise ChartFileError(_advice(name, str(error))) from error
    return corrected(draft, corrections)


def _advice(name: str, complaint: str) -> str:
    return f"{name} is not a drum chart of tutti: {complaint} Give the .json that tutti drums wrote, unchanged."


def _complaints(error: ValidationError) -> str:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    said = [": ".join(filter(None, (".".join(map(str, d["loc"]))[:60], d["msg"][:120]))) for d in details[:3]]
    return "; ".join(said) + "."


def _bytes_of(source: str | PathLike[str] | bytes) -> tuple[bytes, str]:
    """The data, at most one byte more than MAX_FILE_BYTES of a file, and what to call it."""
    if isinstance(source, bytes):
        return source, "The data"
    name = repr(str(source))
    try:
        with Path(source).open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1), name
    except (FileNotFoundError, ValueError) as error:  # ValueError: a NUL in the path
        raise InputNotFoundError(f"There is no chart {name}. Check the path.") from error
    except OSError as error:
        raise InputAccessError(f"{name} cannot be read: {error.strerror}. Give a file you may read.") from error


def _draft(file: _File) -> Draft:
    hits = _hits(file.hits, file.duration_seconds)
    beats = _beats(file.beats, file.duration_seconds)
    provenance = Provenance(**file.provenance.model_dump())
    if not isinstance(provenance.options.get("corrections", []), list):
        raise OptionError("its corrections are no list.")
    options_of(provenance)
    return Draft(
        hits=hits,
        beats=beats,
        title=file.title,
        note=file.note,
        sections=Sections(tuple(Section(one.start_s, one.end_s, one.label) for one in file.sections)),
        duration_s=file.duration_seconds,
        provenance=provenance,
        warnings=tuple(file.warnings),
    )


def _hits(rows: Sequence[_Hit], duration_s: float) -> DrumHits:
    found = [DrumHit(row.time, row.instrument, row.velocity, row.confidence) for row in rows]
    hits = DrumHits.of(found)
    in_order = all(a is b for a, b in zip(found, hits, strict=True))
    if not in_order or any(row.id != hit_id(index) for index, row in enumerate(rows)):
        raise OptionError("its hits are not h0, h1 and so on in order of time; make changes by a corrections file.")
    if len(hits) and hits[-1].time_s > duration_s + _SLACK_S:
        raise OptionError(f"a hit is at {hits[-1].time_s} s of {duration_s} s.")
    return hits


def _beats(said: _Beats, duration_s: float) -> Beats:
    grid = BeatGrid(tuple(said.times_s), tuple(said.positions))
    shortest_s = min((after - before for before, after in pairwise(grid.times_s)), default=duration_s)
    if max((duration_s, *grid.times_s[-1:])) > shortest_s * MAX_BEATS:
        raise OptionError(f"two of its beats are {shortest_s} s apart, too near for its length.")
    if max(grid.positions, default=1) > MAX_BEATS_PER_BAR:
        raise OptionError(f"it has bars of more than {MAX_BEATS_PER_BAR} beats.")
    return Beats(
        grid=grid,
        confidence=said.confidence,
        bpm_unreliable=said.bpm_unreliable,
        method=said.method,
        beat_quarters=Fraction(said.beat_quarters),
        literal_strength=said.literal_strength,
    )


def is_chart(path: Path) -> bool:
    """Whether the file at `path` is text that begins as a chart file does; whether it is one, reading tells."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
