"""What can be asked of a drum chart, and what comes back. No framework is imported here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tutti.errors import UnknownFormatError
from tutti.music.beats import Beats
from tutti.music.drum_hits import DrumHits
from tutti.music.files import write_atomic
from tutti.notation.sheet import Sheet

if TYPE_CHECKING:
    from tutti.capabilities.drums.corrections import Corrections

__all__ = ["FORMATS", "DrumChart", "Options", "Provenance"]

LOW_CONFIDENCE = 0.5
"""Below this mean confidence a result warns of itself."""


class Options(BaseModel):
    """How to chart. The same names are keyword arguments, command-line flags and request fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[str, Field(description="Name of the model card that hears the hits, see `tutti models list`.")] = (
        "tutti-drums"
    )
    stems: Annotated[
        Literal["auto", "demucs", "light", "none"],
        Field(
            description="How the drums are separated before they are listened to; auto is demucs where it is "
            "installed with its weights, else none: the network hears drums in a mix."
        ),
    ] = "auto"
    beats: Annotated[
        Literal["auto", "tutti", "madmom", "librosa"],
        Field(description="What finds the beats; auto is tutti's own tracker."),
    ] = "auto"
    bpm: Annotated[
        float | None,
        Field(
            description="The tempo, when you know it: beats a minute, steady. Beats are those of the metre: eighths in "
            "5/8 and 7/8, dotted quarters in 6/8.",
            ge=20,
            le=400,
        ),
    ] = None
    metre: Annotated[
        str | None,
        Field(description="The time signature, when you know it, such as 4/4, 6/8 or 7/8.", pattern=r"^\d{1,2}/(4|8)$"),
    ] = None
    first_downbeat_s: Annotated[
        float | None, Field(description="When the first bar begins (seconds), when you know it.", ge=0)
    ] = None
    onset_threshold: Annotated[
        float | None,
        Field(
            description="Confidence (0-1) from which a stroke counts; lower finds more strokes, and more wrong ones. "
            "Default: the model card's, one for each family of drums.",
            gt=0,
            lt=1,
        ),
    ] = None
    clip: Annotated[
        Literal["fixed", "stretched"],
        Field(
            description="For the model annoteator: clips of 0.2 s as it was trained on, or a 16th note stretched to "
            "0.2 s as its authors' program does."
        ),
    ] = "fixed"
    repeats: Annotated[
        Literal["bars", "signs", "none"],
        Field(
            description="How repetition is printed: a percent sign for a bar like the one before, repeat signs and "
            "endings as well, or every bar written out."
        ),
    ] = "bars"
    engraver: Annotated[
        Literal["verovio", "lilypond", "musescore", "none"],
        Field(description="What prints the PDF, SVG and PNG; none leaves the MusicXML to your own program."),
    ] = "verovio"
    paper: Annotated[Literal["a4", "letter"], Field(description="Size of the pages.")] = "a4"
    title: Annotated[
        str | None, Field(description="Title on the sheet. Default: the recording's name.", max_length=200)
    ] = None
    shifts: Annotated[
        int, Field(description="For demucs: random shifts to average over; 0 is exact and repeatable.", ge=0, le=20)
    ] = 0
    overlap: Annotated[
        float, Field(description="For demucs: share of a segment that the next one covers again.", ge=0, lt=1)
    ] = 0.25
    segment_s: Annotated[
        float | None,
        Field(description="For demucs: length of a segment (seconds). Default: the model's.", gt=0, le=7.8),
    ] = None
    demucs_repository: Annotated[
        Path | None, Field(description="For demucs: a folder with the model's file, instead of the cache.")
    ] = None
    keep: Annotated[
        Path | None,
        Field(
            description="A folder where each stage leaves what it found, so that a run that was stopped, or is asked "
            "something else, goes on from there."
        ),
    ] = None
    device: Annotated[
        str,
        Field(description="Where to compute: auto, cpu, cuda, cuda:N or mps.", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$"),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        Field(description="Number format of the network; auto takes bf16 where the hardware computes it."),
    ] = "auto"


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made a result."""

    tutti_version: str
    model: str
    weights_sha256: str
    device: str
    precision: str
    source: str
    stems: dict[str, Any]
    """What was separated, and how."""
    beats: str
    """What found the beats."""
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DrumChart:
    """Who hit what when, and how a drummer would write it down."""

    hits: DrumHits
    beats: Beats
    sheet: Sheet
    duration_s: float
    provenance: Provenance
    warnings: tuple[str, ...] = ()
    recording: Path | None = None
    """Where the sound lies, for formats that need it; None where it came by a pipe or from memory."""
    backing: Path | None = None
    """The recording without its drums, where something was separated and kept."""

    @property
    def confidence(self) -> float | None:
        """Mean confidence of the hits, 0-1; None without hits."""
        return sum(hit.confidence for hit in self.hits) / len(self.hits) if len(self.hits) else None

    @property
    def bpm(self) -> float | None:
        """Beats a minute of the middle beat; None without beats."""
        return self.beats.bpm if len(self.beats.grid) > 1 else None

    def edited(self, corrections: Corrections) -> DrumChart:
        """The chart with `corrections` made, engraved anew without listening again.

        Raises CorrectionError, naming the one that cannot be made; nothing is changed then.
        """
        from tutti.capabilities.drums.corrections import corrected
        from tutti.capabilities.drums.writing_down import Draft

        return corrected(Draft.of(self), corrections)

    def to_json(self) -> str:
        """Everything, as `chart_file.read_chart` reads it back."""
        from tutti.capabilities.drums.chart_file import to_json

        return to_json(self)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the format that the end of `path` names (see `FORMATS`), atomically.

        Raises UnknownFormatError for another one and OutputError when it cannot be written.
        """
        target = Path(path)
        name = target.name.lower()
        fitting = [known for known in FORMATS if name.endswith(f".{known}")]
        return self.save_as(max(fitting, key=len, default=target.suffix.removeprefix(".")), target)

    def save_as(self, format_name: str, path: str | PathLike[str]) -> Path:
        """Write one of `FORMATS` to `path`, atomically."""
        if format_name not in _WRITERS:
            raise UnknownFormatError(
                f"No writer for {format_name!r} ({Path(path).name!r}). Use one of: {', '.join(FORMATS)}."
            )
        target = Path(path)
        write_atomic(target, _WRITERS[format_name](self))
        return target


def _writer(name: str) -> Callable[[DrumChart], bytes]:
    """A writer of `outputs`, imported when it is used: engravers and audio cost time."""

    def write(chart: DrumChart) -> bytes:
        from tutti.capabilities.drums import outputs

        made: bytes = getattr(outputs, name)(chart)
        return made

    return write


def _compatible_json(chart: DrumChart) -> bytes:
    from tutti.capabilities.drums.chart_file import to_compatible_json

    return to_compatible_json(chart).encode()


_WRITERS: dict[str, Callable[[DrumChart], bytes]] = {
    "pdf": _writer("pdf"),
    "json": lambda chart: chart.to_json().encode(),
    "hits.json": _compatible_json,
    "mid": _writer("quantised_midi"),
    "played.mid": _writer("played_midi"),
    "musicxml": _writer("musicxml"),
    "svg": _writer("svg"),
    "png": _writer("png"),
    "csv": _writer("csv_table"),
    "txt": _writer("audacity_labels"),
    "preview.flac": _writer("preview"),
    "drumless.flac": _writer("drumless"),
}

FORMATS: tuple[str, ...] = tuple(_WRITERS)
