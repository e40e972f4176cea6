"""What a listener puts right in a chart: a small file, applied without listening again.

    tempo = "half"                 # or "double"; or bpm = 92.5
    metre = "7/8"
    first_downbeat_s = 1.84        # a bar begins at the beat nearest to it; or shift_downbeat = 1 (beats later)
    title = "Song"
    drop = ["h3", "h17"]

    [[add]]
    time_s = 12.48
    instrument = "crash"
    velocity = 100

    [change.h12]
    instrument = "ride"            # and/or velocity, time_s

The same as JSON. Ids are those of the chart it was written for, all of them, whatever the order; the corrected chart
numbers its hits anew. What a listener added or changed is certain: its confidence is 1.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tutti.capabilities.drums.types import DrumChart
from tutti.capabilities.drums.writing_down import Draft
from tutti.errors import CorrectionError, InputAccessError, InputNotFoundError, OptionError
from tutti.music.beats import Beats
from tutti.music.drum_hits import DrumHit, DrumHits, hit_id

__all__ = ["AddedHit", "ChangedHit", "Corrections", "corrected", "read_corrections"]

MAX_FILE_BYTES = 16 * 2**20
_NAMED = 5
"""So many faults of a kind are named in a message."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AddedHit(_Part):
    """A stroke that was not heard."""

    time_s: float
    instrument: str
    velocity: int = 90


class ChangedHit(_Part):
    """A stroke that was heard as something else; None leaves as it was."""

    instrument: str | None = None
    velocity: int | None = None
    time_s: float | None = None


class Corrections(_Part):
    """Everything to put right in one chart."""

    drop: tuple[str, ...] = ()
    """Ids of hits that were none."""
    add: tuple[AddedHit, ...] = ()
    change: dict[str, ChangedHit] = {}
    """Id -> what is right."""
    tempo: Literal["half", "double"] | None = None
    bpm: Annotated[float | None, Field(ge=20, le=400)] = None
    """A steady tempo instead of the beats heard (beats a minute)."""
    metre: Annotated[str | None, Field(pattern=r"^\d{1,2}/(4|8)$")] = None
    first_downbeat_s: Annotated[float | None, Field(ge=0)] = None
    shift_downbeat: int = 0
    """Bars begin so many beats later, or earlier when negative."""
    title: Annotated[str | None, Field(max_length=200)] = None


def read_corrections(path: str | PathLike[str]) -> Corrections:
    """The corrections in a file, JSON where its name ends so, else TOML.

    Raises InputNotFoundError, InputAccessError, and CorrectionError for what is no list of corrections.
    """
    file = Path(path)
    name = repr(str(file))
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, ValueError) as error:  # ValueError: a NUL in the path
        raise InputNotFoundError(f"There is no corrections file {name}. Check the path.") from error
    except OSError as error:
        raise InputAccessError(f"{name} cannot be read: {error.strerror}. Give a file you may read.") from error
    if len(data) > MAX_FILE_BYTES:
        raise CorrectionError(f"{name} is more than {MAX_FILE_BYTES} bytes of corrections; so many are not read.")
    try:
        text = data.decode()
        document = json.loads(text) if file.suffix.lower() == ".json" else tomllib.loads(text)
        return Corrections.model_validate(document)
    except ValidationError as error:
        said = [f"{'.'.join(map(str, d['loc']))}: {d['msg']}" for d in error.errors(include_url=False)]
        more = f"; and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
        raise CorrectionError(
            f"{name} has corrections that make no sense: {'; '.join(said[:_NAMED])}{more}. It may hold: "
            f"{', '.join(Corrections.model_fields)}."
        ) from None
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, no JSON
        raise CorrectionError(f"{name} is not readable TOML or JSON ({error}). Correct it there.") from error


def corrected(draft: Draft, corrections: Corrections) -> DrumChart:
    """The chart of `draft` with `corrections` made; its provenance says so.

    Raises CorrectionError, naming the one that cannot be made.
    """
    options = draft.provenance.options
    made = [*options.get("corrections", ()), corrections.model_dump(mode="json", exclude_defaults=True)]
    try:
        return replace(
            draft,
            hits=_hits(draft, corrections),
            beats=_beats(draft, corrections),
            title=draft.title if corrections.title is None else corrections.title,
            provenance=replace(draft.provenance, options={**options, "corrections": made}),
        ).written()
    except OptionError as error:
        raise CorrectionError(f"{error} Nothing was changed.") from error


def _hits(draft: Draft, corrections: Corrections) -> DrumHits:
    dropped = set(corrections.drop)
    _check_ids(draft.hits, [*corrections.drop, *corrections.change])
    if both := dropped.intersection(corrections.change):
        raise OptionError(f"{_listed(sorted(both))} is both dropped and changed.")
    hits = []
    for index, hit in enumerate(draft.hits):
        name = hit_id(index)
        if name in corrections.change:
            said = corrections.change[name].model_dump(exclude_none=True)
            hits.append(_hit(draft, f"change.{name}", **{**_fields(hit), **said}))
        elif name not in dropped:
            hits.append(hit)
    hits += [_hit(draft, f"add, entry {row}", **one.model_dump()) for row, one in enumerate(corrections.add, start=1)]
    return DrumHits.of(hits)


def _fields(hit: DrumHit) -> dict[str, Any]:
    return {"time_s": hit.time_s, "instrument": hit.instrument, "velocity": hit.velocity}


def _hit(draft: Draft, where: str, **fields: Any) -> DrumHit:
    """A hit that a listener vouches for."""
    try:
        hit = DrumHit(**fields)
    except OptionError as error:
        raise OptionError(f"In {where}: {error}") from error
    if hit.time_s > draft.duration_s + 1:  # one that was heard may ring on past the last sample
        raise OptionError(f"In {where}: {hit.time_s} s is after the end of the recording at {draft.duration_s:.3f} s.")
    return hit


def _check_ids(hits: DrumHits, names: list[str]) -> None:
    count = len(hits)
    missing = [name for name in dict.fromkeys(names) if _index(name, count) is None]
    if missing and not count:
        raise OptionError(f"There is no hit {_listed(missing)}: the chart has no hits.")
    if missing:
        digits = re.search(r"[0-9]{1,9}", missing[0])
        middle = min(int(digits[0]) if digits else 0, count - 1)
        near = [(hit_id(row), hits[row]) for row in range(max(0, middle - 1), min(count, middle + 2))]
        nearest = ", ".join(f"{name} ({hit.instrument} at {hit.time_s:.3f} s)" for name, hit in near)
        raise OptionError(
            f"There is no hit {_listed(missing)} in this chart, which has {hit_id(0)} to {hit_id(count - 1)}; nearest: "
            f"{nearest}. Was the file written for another chart?"
        )


def _index(name: str, count: int) -> int | None:
    match = re.fullmatch(r"h(0|[1-9][0-9]{0,8})", name)
    return int(match[1]) if match and int(match[1]) < count else None


def _listed(names: list[str]) -> str:
    said = ", ".join(repr(name[:40]) for name in names[:_NAMED])
    return f"{said} and {len(names) - _NAMED} more" if len(names) > _NAMED else said


def _beats(draft: Draft, corrections: Corrections) -> Beats:
    if corrections.bpm is not None and corrections.tempo is not None:
        raise OptionError("Both bpm and tempo are given; give one of them.")
    if corrections.first_downbeat_s is not None and corrections.shift_downbeat:
        raise OptionError("Both first_downbeat_s and shift_downbeat are given; give one of them.")
    beats = draft.beats
    if corrections.bpm is not None:
        begin_s = next((t for t in (corrections.first_downbeat_s, *beats.grid.downbeats_s) if t is not None), 0.0)
        beats = Beats.at_bpm(corrections.bpm, begin_s, draft.duration_s, beats.beats_per_bar, beats.beat_quarters)
    elif corrections.tempo is not None:
        beats = beats.halved() if corrections.tempo == "half" else beats.doubled()
    if corrections.metre is not None:
        numerator, denominator = map(int, corrections.metre.split("/"))
        beats = beats.with_metre(numerator, denominator)
    if corrections.first_downbeat_s is not None:
        times_s, first_s = beats.grid.times_s, corrections.first_downbeat_s
        if len(times_s) < 2 or not times_s[0] - 30 / beats.bpm <= first_s <= times_s[-1] + 30 / beats.bpm:
            span = f"from {times_s[0]:.3f} to {times_s[-1]:.3f} s" if times_s else "nowhere"
            raise OptionError(f"No bar can begin at {first_s} s: beats were heard {span}.")
        beats = beats.with_downbeat_near(first_s)
    return beats.shifted(corrections.shift_downbeat) if corrections.shift_downbeat else beats
