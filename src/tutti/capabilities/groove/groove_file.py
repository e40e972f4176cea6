"""Patterns as JSON that reads back to equality."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from tutti.capabilities.groove.features import features_of
from tutti.capabilities.groove.pattern import MAX_BARS, Hit, Pattern
from tutti.capabilities.groove.types import Groove
from tutti.errors import MidiError, OptionError
from tutti.music.drum_kit import class_of_key
from tutti.music.timing import TimeSignature

__all__ = ["FORMAT_NAME", "read_json", "to_json"]

FORMAT_NAME = "tutti-groove"
VERSION = 1
MAX_HITS = 1_000_000


def to_json(groove: Groove, index: int) -> bytes:
    """One pattern with all that is known of it.

    A hit has `beat` (quarter notes) and `time_s` from the first downbeat, `key` and `velocity` as in MIDI, its `voice`
    (null for what is no piece of the kit), the nearest straight sixteenth as `bar` and `sixteenth` of the bar, both
    from 1, and `offset_ms` from it. Features without a value are null.
    """
    pattern = groove.patterns[index]
    document = {
        "format": FORMAT_NAME,
        "version": VERSION,
        "bpm": pattern.bpm,
        "metre": f"{pattern.metre.numerator}/{pattern.metre.denominator}",
        "bars": pattern.bars,
        "hits": [_fields(hit, pattern) for hit in pattern],
        "findings": [asdict(finding) for finding in groove.findings[index]],
        "warnings": list(groove.warnings),
        "features": {name: value if math.isfinite(value) else None for name, value in features_of(pattern).items()},
        "provenance": asdict(groove.provenance) | {"pattern": index + 1},
    }
    return json.dumps(document, indent=1, allow_nan=False).encode()


def _fields(hit: Hit, pattern: Pattern) -> dict[str, Any]:
    sixteenth = math.floor(hit.beat * 4 + 0.5)
    bar = math.floor(sixteenth / 4 / pattern.bar_beats)
    return {
        "beat": hit.beat,
        "time_s": hit.beat * pattern.beat_ms / 1000,
        "key": hit.key,
        "voice": class_of_key(hit.key),
        "velocity": hit.velocity,
        "bar": bar + 1,
        "sixteenth": sixteenth - math.floor(bar * pattern.bar_beats * 4) + 1,
        "offset_ms": (hit.beat - sixteenth / 4) * pattern.beat_ms,
    }


def read_json(data: bytes) -> Pattern:
    """The pattern in a document of `to_json`; what else it holds is passed over. Raises MidiError for anything else."""
    try:
        document = json.loads(data)
        if document["format"] != FORMAT_NAME or _whole(document, "version") != VERSION:
            raise ValueError(f"it is {document['format']!r:.40} version {document['version']!r:.20}")
        rows = document["hits"]
        if not isinstance(rows, list) or len(rows) > MAX_HITS:
            raise ValueError(f"hits is a list of at most {MAX_HITS}")
        hits = tuple(Hit(_number(row, "beat"), _whole(row, "key"), _whole(row, "velocity")) for row in rows)
        numerator, denominator = document["metre"].split("/")
        metre = TimeSignature(int(numerator), int(denominator))
        pattern = Pattern(hits, _number(document, "bpm"), _whole(document, "bars"), metre)
        if pattern.bars > MAX_BARS:
            raise ValueError(f"it has {pattern.bars} bars; a groove has at most {MAX_BARS}")
        if outside := [hit.beat for hit in hits if not -pattern.bar_beats <= hit.beat < pattern.beats + 1]:
            raise ValueError(f"a hit at beat {outside[0]:g} is not in its {pattern.bars} bars")
        return pattern
    except (ValueError, OverflowError, TypeError, KeyError, AttributeError, OptionError, RecursionError) as error:
        raise MidiError(
            f"This is not a groove that tutti wrote as JSON ({type(error).__name__}: {error}). Expected an object with "
            f'"format": "{FORMAT_NAME}", "version": {VERSION}, bpm, metre, bars and hits with beat, key and velocity.'
        ) from error


def _number(fields: dict[str, Any], key: str) -> float:
    value = fields[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{key} is a number, not {value!r:.40}")
    return float(value)


def _whole(fields: dict[str, Any], key: str) -> int:
    value = fields[key]
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{key} is a whole number, not {value!r:.40}")
    return value
