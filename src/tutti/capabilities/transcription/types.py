"""What can be asked of a transcription, and what comes back. No framework is imported here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tutti.errors import UnknownFormatError
from tutti.music import jams_file, json_file, midi
from tutti.music.files import write_atomic
from tutti.music.notes import Notes

if TYPE_CHECKING:
    import mido
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "Family", "Options", "Provenance", "Transcription"]

Family = Literal[
    "piano",
    "chromatic percussion",
    "organ",
    "guitar",
    "bass",
    "strings",
    "ensemble",
    "brass",
    "reed",
    "pipe",
    "synth lead",
    "synth pad",
    "voice",
    "drums",
]


class Options(BaseModel):
    """How to transcribe. The same names are keyword arguments, command-line flags and request fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[str, Field(description="Name of the model card, see `tutti models list`.")] = "tutti-notes"
    device: Annotated[
        str,
        Field(description="Where to compute: auto, cpu, cuda, cuda:N or mps.", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$"),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        Field(description="Number format of the network; auto takes bf16 where the hardware computes it."),
    ] = "auto"
    onset_threshold: Annotated[
        float | None,
        Field(
            description="Confidence (0-1) from which an onset becomes a note; lower finds more notes, and more wrong "
            "ones. Default: the model card's.",
            gt=0,
            lt=1,
        ),
    ] = None
    min_note_s: Annotated[float, Field(description="Shorter pitched notes are dropped (seconds).", ge=0, le=10)] = 0.03
    instruments: Annotated[
        tuple[Family, ...],
        Field(
            description="Keep notes of these instrument families only, and drop all that were taken for others; none "
            "means all. May be repeated."
        ),
    ] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made a result."""

    tutti_version: str
    model: str
    weights_sha256: str
    device: str
    precision: str
    source: str
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Transcription:
    """The notes of one recording."""

    notes: Notes
    duration_s: float
    provenance: Provenance
    warnings: tuple[str, ...] = ()

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the format that the suffix of `path` names (see `FORMATS`), atomically.

        Raises UnknownFormatError for another suffix and OutputError when it cannot be written.
        """
        target = Path(path)
        return self.save_as(target.suffix.removeprefix(".").lower(), target)

    def save_as(self, format_name: str, path: str | PathLike[str]) -> Path:
        """Write `format_name` ("mid", "json", "jams" or "png") to `path`, atomically."""
        if format_name not in _WRITERS:
            raise UnknownFormatError(
                f"No writer for {format_name!r} ({Path(path).name!r}). Use one of: {', '.join(FORMATS)}."
            )
        target = Path(path)
        write_atomic(target, _WRITERS[format_name](self))
        return target

    def to_mido(self) -> mido.MidiFile:
        return midi.to_mido(self.notes)

    def to_json(self) -> str:
        """The notes, with duration, provenance and warnings beside them; `music.json_file.from_json` reads it."""
        document = json.loads(json_file.to_json(self.notes))
        document["duration_s"] = self.duration_s
        document["provenance"] = asdict(self.provenance)
        document["warnings"] = list(self.warnings)
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

    def plot(self) -> Figure:
        """A piano roll, one colour per instrument family, drums below."""
        from tutti.capabilities.transcription.picture import piano_roll

        return piano_roll(self.notes, self.duration_s, title=self.provenance.source)


def _png(transcription: Transcription) -> bytes:
    from tutti.capabilities.transcription.picture import to_png

    return to_png(transcription.plot())


def _jams(transcription: Transcription) -> bytes:
    return json.dumps(jams_file.to_jams(transcription.notes, transcription.duration_s), indent=1).encode()


_WRITERS = {
    "mid": lambda transcription: midi.to_midi_bytes(transcription.notes),
    "json": lambda transcription: transcription.to_json().encode(),
    "jams": _jams,
    "png": _png,
}

FORMATS: tuple[str, ...] = tuple(_WRITERS)
