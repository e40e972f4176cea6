"""The tokens of consecutive segments to notes, each as soon as it is final.

A recording of hours needs no more memory than one of minutes. The order is that in which notes become final; `Notes`
sorts them.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Protocol

from tutti.capabilities.transcription.codec import CODECS, CodecName
from tutti.capabilities.transcription.mt3_notes import Mt3NoteBuilder
from tutti.capabilities.transcription.quirks import Quirk
from tutti.capabilities.transcription.token_rows import DecodingReport, TokenNote, TokenRow
from tutti.capabilities.transcription.ymt3_notes import Ymt3NoteBuilder

__all__ = ["NoteBuilder", "note_builder"]


class NoteBuilder(Protocol):
    """Feed `push` every segment in order, then `finish` once."""

    @property
    def report(self) -> DecodingReport:
        """How well the tokens read so far held together."""

    def push(self, rows: Sequence[TokenRow]) -> list[TokenNote]:
        """The notes that became final with the next segment; `rows` has one per channel, else ValueError."""

    def finish(self, end_s: float, /) -> list[TokenNote]:
        """The recording ends at `end_s` seconds: all notes that were not final yet."""


def note_builder(rule: CodecName, kept: Set[Quirk], channels: int = 1) -> NoteBuilder:
    """A builder by the rule of a vocabulary; `kept` are the quirks to be kept, those of other rules are ignored.

    Raises ValueError for several channels where the rule knows one.
    """
    if rule == "ymt3":
        return Ymt3NoteBuilder(CODECS[rule], kept, channels)
    if channels != 1:
        raise ValueError(f"{rule} has one channel of tokens, not {channels}")
    return Mt3NoteBuilder(CODECS[rule], kept, has_ties=rule == "mt3")
