"""What can be asked of a groove, and what comes back. No framework is imported here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tutti.capabilities.groove.pattern import Pattern
from tutti.errors import UnknownFormatError
from tutti.music.files import write_atomic

__all__ = ["FORMATS", "Finding", "Groove", "Options", "Provenance"]


class Options(BaseModel):
    """What to play. The same names are keyword arguments, command-line flags and request fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    style: Annotated[
        str | None,
        Field(description="Name of a style, see `tutti groove styles`. Default: rock, or none where a prompt tells."),
    ] = None
    bars: Annotated[int, Field(description="How many bars to write.", ge=1, le=128)] = 4
    tempo_bpm: Annotated[
        float | None,
        Field(
            description="Quarter notes a minute. Default: the prompt's, or the middle of the style's range.",
            ge=30,
            le=300,
            json_schema_extra={"flag": "--tempo"},
        ),
    ] = None
    metre: Annotated[
        str | None,
        Field(
            description="The time signature, such as 4/4, 3/4, 6/8 or 7/8. Default: the prompt's, or 4/4.",
            pattern=r"^\d{1,2}/(4|8)$",
        ),
    ] = None
    seed: Annotated[
        int | None,
        Field(description="The same seed gives the same pattern. Default: one drawn anew, told in the result.", ge=0),
    ] = None
    count: Annotated[int, Field(description="How many patterns to write, each another.", ge=1, le=64)] = 1
    task: Annotated[
        Literal["auto", "new", "continue", "vary", "humanise", "fill_in", "answer"],
        Field(
            description="What to do with a prompt: continue it; vary it; humanise it (keep its strokes, play them "
            "anew); fill_in its empty bars; answer it with a fill in its last bar. auto is continue, or new without "
            "a prompt."
        ),
    ] = "auto"
    distance: Annotated[
        float, Field(description="For vary: share of the prompt's strokes that may go (0-1).", ge=0, le=1)
    ] = 0.3
    fill_every: Annotated[
        int, Field(description="A fill in every so many bars, counted from the first; 0 is none.", ge=0, le=64)
    ] = 0
    density: Annotated[
        float | None,
        Field(description="Strokes in four beats to aim for. Default: what the style is like.", ge=1, le=60),
    ] = None
    swing_percent: Annotated[
        float | None,
        Field(
            description="Share of a pair that its first note takes (50 straight, 66.7 triplets, 75 at most). Default: "
            "the style's, or as the network plays.",
            ge=50,
            le=75,
        ),
    ] = None
    swing_division: Annotated[
        Literal["8th", "16th"] | None,
        Field(description="What is swung: pairs of eighths or of sixteenths. Default: the style's."),
    ] = None
    micro_timing_ms: Annotated[
        float | None,
        Field(
            description="How far strokes stray from where the style puts them (milliseconds). Default: the style's.",
            ge=0,
            le=60,
        ),
    ] = None
    ghost_note_prob: Annotated[
        float | None,
        Field(description="Share of the snare strokes that are ghost notes (0-1). Default: the style's.", ge=0, le=1),
    ] = None
    velocity_variation: Annotated[
        float | None,
        Field(
            description="How much a stroke that is repeated differs in velocity, as a share of it (0-1). Default: the "
            "style's.",
            ge=0,
            le=1,
        ),
    ] = None
    temperature: Annotated[
        float, Field(description="How daring: 1 as learnt, lower is safer, 0 always the most probable.", ge=0, le=2)
    ] = 0.9
    top_k: Annotated[int, Field(description="Draw among the k most probable tokens; 0 is off.", ge=0)] = 0
    top_p: Annotated[
        float, Field(description="Draw among the most probable tokens that make up this share; 1 is off.", gt=0, le=1)
    ] = 0.98
    repetition_penalty: Annotated[
        float, Field(description="Above 1, what was just played becomes less probable; 1 is off.", ge=1, le=3)
    ] = 1.0
    guidance: Annotated[
        float,
        Field(
            description="How clearly to play the style: 1 is as the network learnt it, more sets it off against all "
            "others. Other than 1 takes twice the work.",
            ge=1,
            le=4,
        ),
    ] = 2.0
    model: Annotated[
        str | None,
        Field(
            description="Name of a model card, or the path of a checkpoint (.safetensors, .pt). Default: the style's."
        ),
    ] = None
    drum_map: Annotated[
        Literal["gm", "ableton", "td17", "superior", "addictive"],
        Field(description="Which notes mean which drums in MIDI files, the prompt's among them."),
    ] = "gm"
    ticks_per_quarter: Annotated[
        int, Field(description="Resolution of the MIDI file, such as 480 or 960.", ge=96, le=960)
    ] = 480
    lead_in_bars: Annotated[
        int,
        Field(
            description="Bars of rest before the first, so that strokes ahead of it keep their place; without them "
            "they begin with the file.",
            ge=0,
            le=4,
        ),
    ] = 0
    device: Annotated[
        str,
        Field(description="Where to compute: auto, cpu, cuda, cuda:N or mps.", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$"),
    ] = "auto"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is amiss with a pattern, and where."""

    level: Literal["error", "warning"]
    code: str
    """A stable name, such as `too_many_hands`."""
    message: str
    bar: int | None = None
    """From 1; None where all of the pattern is meant."""
    beat: float | None = None
    """Quarter notes into the bar, from 1."""
    voice: str | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made a result."""

    tutti_version: str
    model: str
    weights_sha256: str
    device: str
    style: str | None
    seed: int
    task: str
    source: str
    stopped: tuple[str, ...]
    """For each pattern: "end", or "length" where the tokens ran out."""
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Groove:
    """One pattern or more, as asked."""

    patterns: tuple[Pattern, ...]
    findings: tuple[tuple[Finding, ...], ...]
    """Of each pattern, after all was done to it."""
    provenance: Provenance
    warnings: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Pattern]:
        return iter(self.patterns)

    def __len__(self) -> int:
        return len(self.patterns)

    @property
    def pattern(self) -> Pattern:
        """The first."""
        return self.patterns[0]

    @property
    def feel(self) -> dict[str, float]:
        """Features of the first pattern by name (`features.features_of`): swing, lean, ghosts and more, as measured."""
        from tutti.capabilities.groove.features import features_of

        return features_of(self.pattern)

    def paths(self, format_name: str, path: str | PathLike[str]) -> tuple[Path, ...]:
        """The files that `save_as` writes."""
        target = Path(path)
        ending = f".{format_name}"
        if len(self) == 1:
            return (target,)
        stem = target.name[: -len(ending)] if target.name.lower().endswith(ending) else target.name
        return tuple(target.with_name(f"{stem}-{index + 1}{ending}") for index in range(len(self)))

    def save(self, path: str | PathLike[str]) -> tuple[Path, ...]:
        """`save_as` the format that the end of `path` names (see `FORMATS`). Raises UnknownFormatError for others."""
        target = Path(path)
        name = target.name.lower()
        fitting = [known for known in FORMATS if name.endswith(f".{known}")]
        return self.save_as(max(fitting, key=len, default=target.suffix.removeprefix(".")), target)

    def save_as(self, format_name: str, path: str | PathLike[str]) -> tuple[Path, ...]:
        """Write one of `FORMATS`, one file for each pattern, atomically; the files that were written.

        Several are numbered: `beat.mid` becomes `beat-1.mid`, `beat-2.mid` and so on. Raises UnknownFormatError, and
        OutputError when a file cannot be written.
        """
        target = Path(path)
        if format_name not in _WRITERS:
            raise UnknownFormatError(
                f"No writer for {format_name!r} ({target.name!r}). Use one of: {', '.join(FORMATS)}."
            )
        paths = self.paths(format_name, target)
        made = [_WRITERS[format_name](self, index) for index in range(len(self))]  # all, before one is written
        for own, data in zip(paths, made, strict=True):
            write_atomic(own, data)
        return paths


def _writer(name: str) -> Callable[[Groove, int], bytes]:
    """A writer of `outputs`, imported when it is used."""

    def write(groove: Groove, index: int) -> bytes:
        from tutti.capabilities.groove import outputs

        made: bytes = getattr(outputs, name)(groove, index)
        return made

    return write


_WRITERS: dict[str, Callable[[Groove, int], bytes]] = {
    "mid": _writer("midi"),
    "quantised.mid": _writer("quantised_midi"),
    "template.mid": _writer("template_midi"),
    "json": _writer("json_file"),
    "png": _writer("png"),
    "wav": _writer("wav"),
}

FORMATS: tuple[str, ...] = tuple(_WRITERS)
