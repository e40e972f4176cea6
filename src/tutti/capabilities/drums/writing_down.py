"""Hits and beats → the sheet of a chart: the step that a first run, a chart file read back and a correction share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tutti.capabilities.drums.quantise import quantise
from tutti.capabilities.drums.types import DrumChart, Options, Provenance
from tutti.music.beats import Beats
from tutti.music.drum_hits import DrumHits
from tutti.music.sections import Sections
from tutti.notation.sheet import Sheet

__all__ = ["ENGRAVING", "Draft", "options_of", "write_down", "written_out"]

ENGRAVING = ("repeats", "engraver", "paper")
"""Options that say how a chart is printed, not what is heard."""


def write_down(
    hits: DrumHits,
    beats: Beats,
    options: Options,
    title: str,
    *,
    sections: Sections | None = None,
    note: str = "",
) -> Sheet:
    """The sheet of `hits` against `beats`, repetition printed as `options` ask, `note` below the title.

    The same input gives the same sheet. Raises OptionError for hits without beats.
    """
    sheet = quantise(hits, beats, title=title, sections=sections, repeats=options.repeats)
    return replace(sheet, note=note)


@dataclass(frozen=True, slots=True)
class Draft:
    """A chart before its sheet is written: what is read from a file and what corrections change."""

    hits: DrumHits
    beats: Beats
    title: str
    note: str
    sections: Sections
    duration_s: float
    provenance: Provenance
    warnings: tuple[str, ...] = ()
    recording: Path | None = None
    backing: Path | None = None

    @classmethod
    def of(cls, chart: DrumChart) -> Draft:
        """What `chart` was written from; its sections are the rehearsal marks of its sheet."""
        return cls(
            hits=chart.hits,
            beats=chart.beats,
            title=chart.sheet.title,
            note=chart.sheet.note,
            sections=_sections(chart.sheet, chart.duration_s),
            duration_s=chart.duration_s,
            provenance=chart.provenance,
            warnings=chart.warnings,
            recording=chart.recording,
            backing=chart.backing,
        )

    def engraved(self, engraving: Mapping[str, Any]) -> Draft:
        """With other options for print: `title`, and those of ENGRAVING."""
        provenance = replace(self.provenance, options={**self.provenance.options, **engraving})
        return replace(self, provenance=provenance, title=engraving.get("title", self.title))

    def sheet(self, options: Options) -> Sheet:
        """As `write_down`."""
        return write_down(self.hits, self.beats, options, self.title, sections=self.sections, note=self.note)

    def written(self) -> DrumChart:
        """The chart, engraved as its provenance says. Raises OptionError for hits without beats."""
        return DrumChart(
            hits=self.hits,
            beats=self.beats,
            sheet=self.sheet(options_of(self.provenance)),
            duration_s=self.duration_s,
            provenance=self.provenance,
            warnings=self.warnings,
            recording=self.recording,
            backing=self.backing,
        )


def written_out(chart: DrumChart) -> Sheet:
    """The chart's sheet with every bar that is played, whatever repeat signs it is printed with."""
    options = options_of(chart.provenance)
    if options.repeats != "signs":
        return chart.sheet
    return Draft.of(chart).sheet(options.model_copy(update={"repeats": "none"}))


def options_of(provenance: Provenance) -> Options:
    """How a chart is engraved, as its provenance says; what it does not say is as it is by default."""
    said = provenance.options
    return Options(**{name: said[name] for name in ENGRAVING if name in said})


def _sections(sheet: Sheet, duration_s: float) -> Sections:
    """The rehearsal marks, each up to the next one."""
    marked = [bar for bar in sheet.bars if bar.rehearsal]
    if not marked:
        return Sections()
    starts_s = [max(0.0, bar.start_s) for bar in marked]
    end_s = max(duration_s, starts_s[-1] + 1)
    return Sections.between([*starts_s, end_s], [bar.rehearsal for bar in marked])
