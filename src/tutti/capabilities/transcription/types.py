"""What can be asked of a transcription, and what comes back. No framework is imported here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from tutti.capabilities.transcription.quirks import Quirk
from tutti.errors import UnknownFormatError
from tutti.music import jams_file, json_file, midi
from tutti.music.beats import Beats
from tutti.music.files import write_atomic
from tutti.music.notes import Notes
from tutti.music.timing import TempoMap, TimeSignature

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
        Literal["auto", "fp32", "bf16", "int8"],
        Field(
            description="Number format of the network; auto takes bf16 where the hardware computes it, and fp32 for "
            "the MT3 family, whose tokens it may change. int8 is for the MT3 family on a CPU."
        ),
    ] = "auto"
    backend: Annotated[
        Literal["auto", "torch", "onnx", "jax"],
        Field(
            description="What computes a model of the MT3 family; onnx takes what `tutti export onnx` wrote, and needs "
            "no torch. auto is torch."
        ),
    ] = "auto"
    variant: Annotated[
        Literal["faithful", "corrected"] | None,
        Field(
            description="MT3 family: do as upstream's code does, oddities and all, or what it meant to do. Default: "
            "the model card's."
        ),
    ] = None
    except_quirks: Annotated[
        tuple[Quirk, ...],
        Field(
            description="Oddities of upstream's code to treat the other way than `variant` says, by name; "
            "docs/provenance tells of each. May be repeated."
        ),
    ] = ()
    batch: Annotated[
        int | None,
        Field(
            description="MT3 family: segments written at once; more are faster and take more memory. Default: 32, and "
            "8 for models with several channels.",
            ge=1,
            le=1024,
        ),
    ] = None
    onset_threshold: Annotated[
        float | None,
        Field(
            description="Confidence (0-1) from which an onset becomes a note; lower finds more notes, and more wrong "
            "ones. Default: the model card's. Not for the MT3 family.",
            gt=0,
            lt=1,
        ),
    ] = None
    min_note_s: Annotated[
        float | None,
        Field(
            description="Shorter pitched notes are dropped (seconds). Default: 0.03, and 0 for the MT3 family.",
            ge=0,
            le=10,
        ),
    ] = None
    instruments: Annotated[
        tuple[Family, ...],
        Field(
            description="Keep notes of these instrument families only, and drop all that were taken for others; none "
            "means all. May be repeated."
        ),
    ] = ()
    programs: Annotated[
        tuple[Annotated[int, Field(ge=0, le=127)], ...],
        Field(
            description="Keep notes of these General MIDI programs only (0-127, counted from 0), and those of the "
            "families in `instruments`. May be repeated."
        ),
    ] = ()
    group_programs: Annotated[
        bool, Field(description="Write every program as the one that stands for its family: all pianos as program 0.")
    ] = False
    filter_leakage: Annotated[
        bool,
        Field(
            description="Drop notes of tiny instruments (less than 5 % of the notes) that only double others, at the "
            "same time on the same pitch or octaves from it. A heuristic: it can hit real notes."
        ),
    ] = False
    quantise: Annotated[
        int | None,
        Field(
            description="Put onsets and offsets on a grid of so many parts of a beat: 4 makes sixteenths, 12 "
            "triplets as well. Beats are heard in the recording, or steady at tempo_bpm; MIDI gets their tempi.",
            ge=1,
            le=48,
        ),
    ] = None
    tempo_bpm: Annotated[
        float | None,
        Field(
            description="With quantise: the steady tempo of the grid (quarter notes a minute), for music played to a "
            "click. Where its beats lie is found from the notes.",
            ge=20,
            le=400,
        ),
    ] = None

    @field_validator("tempo_bpm")
    @classmethod
    def _tempo_is_for_quantising(cls, bpm: float | None, others: ValidationInfo) -> float | None:
        if bpm is not None and others.data.get("quantise", 0) is None:
            raise ValueError("it is the tempo of the grid that quantise puts notes on; give quantise as well")
        return bpm


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
    beats: Beats | None = None
    """What the notes were quantised to; MIDI is then written with its tempi and metre."""

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

    def split(self) -> dict[str, Transcription]:
        """One transcription per instrument, by name, drums last: "piano", "bass", "drums".

        An instrument is called after its family, or after its program where the family has several here.
        """
        from tutti.capabilities.transcription.finishing import split_instruments

        return {name: replace(self, notes=notes) for name, notes in split_instruments(self.notes).items()}

    def to_mido(self) -> mido.MidiFile:
        return midi.to_mido(self.notes, *self._timing())

    def to_midi_bytes(self) -> bytes:
        """A type 1 MIDI file, a track per instrument; at the tempi of `beats` where there are some."""
        return midi.to_midi_bytes(self.notes, *self._timing())

    def _timing(self) -> tuple[TempoMap, tuple[TimeSignature, ...]] | tuple[()]:
        return () if self.beats is None else (self.beats.grid.tempo_map(), self.beats.grid.time_signatures())

    def to_json(self) -> str:
        """The notes, with duration, provenance and warnings beside them; `music.json_file.from_json` reads it.

        Where they were quantised, "beats" are pairs of time (seconds) and place in the bar, counted from 1.
        """
        document = json.loads(json_file.to_json(self.notes))
        document["duration_s"] = self.duration_s
        if self.beats is not None:
            document["beats"] = list(self.beats.grid)
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
    "mid": Transcription.to_midi_bytes,
    "json": lambda transcription: transcription.to_json().encode(),
    "jams": _jams,
    "png": _png,
}

FORMATS: tuple[str, ...] = tuple(_WRITERS)
