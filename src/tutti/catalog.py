"""The table of capabilities: the only list of them. Library, command line, documents and contract tests read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tutti.errors import OptionError, UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

__all__ = ["CAPABILITIES", "Capability", "capability"]


@dataclass(frozen=True, slots=True)
class Capability:
    """One row. Everything that imports the capability is a method, so that reading the table costs nothing."""

    verb: str
    """What the user types: `tutti <verb>`, `tutti.<verb>(...)`."""
    module: str
    """The package with `run.run`, `types.Options`, `types.FORMATS` and the result type in `types`."""
    result: str
    """Name of the result type."""
    summary: str
    """One line of help."""
    takes: str
    gives: str

    @property
    def options_type(self) -> type[BaseModel]:
        """The model of every option; imports no framework."""
        return self._types("Options")  # type: ignore[no-any-return]

    @property
    def result_type(self) -> type[Any]:
        return self._types(self.result)  # type: ignore[no-any-return]

    @property
    def formats(self) -> tuple[str, ...]:
        """Names of the formats a result can be saved in, each also its file suffix."""
        return self._types("FORMATS")  # type: ignore[no-any-return]

    @property
    def run(self) -> Callable[..., Any]:
        """`run(source, options, on_progress=None, cancelled=None)`; imports what it computes with."""
        return import_module(f"{self.module}.run").run  # type: ignore[no-any-return]

    def options(self, values: Mapping[str, Any]) -> BaseModel:
        """Checked options. Raises OptionError naming every value that is out of range or unknown."""
        from pydantic import ValidationError

        try:
            return self.options_type(**values)
        except ValidationError as error:
            raise OptionError(self._explain(error)) from None

    def _types(self, name: str) -> Any:
        return getattr(import_module(f"{self.module}.types"), name)

    def _explain(self, error: ValidationError) -> str:
        complaints = []
        for detail in error.errors(include_url=False, include_context=False):
            name = ".".join(str(part) for part in detail["loc"])
            if detail["type"] == "extra_forbidden":
                complaints.append(
                    f"{self.verb} has no option {name!r}. It has: {', '.join(self.options_type.model_fields)}."
                )
            elif detail["type"] == "string_pattern_mismatch":  # nobody should have to read a regular expression
                complaints.append(f"{name}={detail['input']!r}: {self.options_type.model_fields[name].description}")
            else:
                complaints.append(f"{name}={detail['input']!r}: {detail['msg']}.")
        return " ".join(complaints)


CAPABILITIES: tuple[Capability, ...] = (
    Capability(
        verb="transcribe",
        module="tutti.capabilities.transcription",
        result="Transcription",
        summary="Write the notes of recordings down: MIDI, JSON, JAMS, a piano-roll picture.",
        takes="a recording of any instruments",
        gives="notes per instrument",
    ),
    Capability(
        verb="drums",
        module="tutti.capabilities.drums",
        result="DrumChart",
        summary="Write the drums of recordings down: a chart to play from, MIDI, MusicXML, the hits.",
        takes="a recording with drums, or a link to one",
        gives="hits and an engraved drum chart",
    ),
    Capability(
        verb="groove",
        module="tutti.capabilities.groove",
        result="Groove",
        summary="Play drum patterns in a style: MIDI for a sequencer, sound, a picture.",
        takes="a style and a tempo, or a pattern to go on from",
        gives="drum patterns that sound played",
    ),
)


def capability(verb: str) -> Capability:
    """The row of `verb`. Raises UsageError naming the verbs there are."""
    for row in CAPABILITIES:
        if row.verb == verb:
            return row
    raise UsageError(f"There is no verb {verb!r}. There is: {', '.join(row.verb for row in CAPABILITIES)}.")
