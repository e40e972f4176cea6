"""A drum chart as the bytes of a file, one function for each format that `types.FORMATS` names."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from tutti.capabilities.drums.quantise import score_positions
from tutti.capabilities.drums.timeline import Timeline, timeline_of
from tutti.capabilities.drums.types import DrumChart
from tutti.capabilities.drums.writing_down import options_of, written_out
from tutti.errors import EngravingError, InputAccessError, InputNotFoundError, OptionError
from tutti.music.drum_hits import DrumHit, hit_id
from tutti.music.drum_kit import key_of_class
from tutti.music.notes import Note, Notes
from tutti.notation.engraving import Backend, Engraving, Paper, engrave
from tutti.notation.layout import bar_number
from tutti.notation.musicxml import to_musicxml
from tutti.notation.sheet import Sheet

__all__ = [
    "audacity_labels",
    "csv_table",
    "drumless",
    "musicxml",
    "pdf",
    "played_midi",
    "png",
    "preview",
    "quantised_midi",
    "svg",
]

_NOTE_S = 0.1
"""How long a note of a drum track is, where the next one on its key leaves so much room."""


def musicxml(chart: DrumChart) -> bytes:
    """For every notation program; read aloud by `music21` and engraved by the engravers here."""
    return to_musicxml(chart.sheet)


def pdf(chart: DrumChart) -> bytes:
    """All pages."""
    return _printed(chart).pdf


def svg(chart: DrumChart) -> bytes:
    """All pages, one below the other in one drawing."""
    return _stacked(_printed(chart).pages_svg).encode()


def png(chart: DrumChart) -> bytes:
    """The first page."""
    return _printed(chart).png


def _printed(chart: DrumChart) -> Engraving:
    options = options_of(chart.provenance)
    if options.engraver == "none":
        raise OptionError("The engraver is none, which prints nothing: choose --engraver verovio, or save as musicxml.")
    return _engraved(chart.sheet, options.engraver, options.paper)


@lru_cache(maxsize=1)  # PDF, SVG and PNG of a chart are one engraving
def _engraved(sheet: Sheet, backend: Backend, paper: Paper) -> Engraving:
    return engrave(sheet, backend, paper)


def _stacked(pages: Sequence[str]) -> str:
    """Pages of one size as one SVG, each a drawing of its own inside it."""
    roots = [page[page.index("<svg") :] for page in pages]
    if len(roots) == 1:
        return pages[0]
    opening = roots[0][: roots[0].index(">")]
    sizes = [re.search(rf'\s{side}="([\d.]+)([a-z]*)"', opening) for side in ("width", "height")]
    if None in sizes:
        raise EngravingError("The engraver drew pages without a size, which do not fit into one SVG. Save as pdf.")
    (width, unit), (height, _) = ((size[1], size[2]) for size in sizes if size)
    step = float(height)
    inner = (root.replace("<svg", f'<svg y="{row * step:g}{unit}"', 1) for row, root in enumerate(roots))
    outer = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}{unit}" height="{len(roots) * step:g}{unit}">'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', outer, *inner, "</svg>"])


def quantised_midi(chart: DrumChart) -> bytes:
    """What the sheet says, swing and rolls played out, at the tempi of the recording: bars and beats line up with it in
    a sequencer. Strokes written as one head sound once, the loudest."""
    sheet = written_out(chart)
    timeline = timeline_of(sheet, chart.beats)
    hits = {hit_id(index): hit for index, hit in enumerate(chart.hits)}
    played = ((timeline.seconds(one.quarters), hits[one.id]) for one in score_positions(sheet))
    return _midi(played, timeline)


def played_midi(chart: DrumChart) -> bytes:
    """Every stroke when it was played, on the bars of `quantised_midi`."""
    timeline = timeline_of(written_out(chart), chart.beats)
    played = ((hit.time_s, hit) for hit in chart.hits)
    return _midi(played, timeline)


def _midi(played: Iterable[tuple[float, DrumHit]], timeline: Timeline) -> bytes:
    from tutti.music.midi import to_midi_bytes  # what prints needs no library of MIDI

    return to_midi_bytes(_notes(played), timeline.tempo_map, timeline.time_signatures)


def _notes(played: Iterable[tuple[float, DrumHit]]) -> Notes:
    """Notes of a drum track; of several on one key at one time the loudest."""
    loudest: dict[tuple[int, float], int] = {}
    for time_s, hit in played:
        place = key_of_class(hit.instrument), time_s
        loudest[place] = max(hit.velocity, loudest.get(place, 0))
    notes = []
    following: dict[int, float] = {}
    for (key, time_s), velocity in sorted(loudest.items(), key=lambda item: -item[0][1]):
        end_s = min(time_s + _NOTE_S, following.get(key, time_s + _NOTE_S))
        notes.append(Note(time_s, end_s, key, velocity, is_drum=True))
        following[key] = time_s
    return Notes.of(notes)


def csv_table(chart: DrumChart) -> bytes:
    """One row a hit: time_s, instrument, velocity (1-127), confidence (0-1), bar and beat, id.

    `bar` is the number printed on the sheet written out, 0 for a pickup; `beat` counts from 1 and is where the head is
    written that stands for the hit.
    """
    sheet = written_out(chart)
    places = {
        name: (bar_number(sheet, index), 1 + float(stroke.position / bar.beat_quarters))
        for index, bar in enumerate(sheet.bars)
        for stroke in bar.strokes
        for name in (stroke.id, *stroke.also)
    }
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["time_s", "instrument", "velocity", "confidence", "bar", "beat", "id"])
    for index, hit in enumerate(chart.hits):
        bar, beat = places[hit_id(index)]
        shown = f"{hit.time_s:.6f}", hit.instrument, hit.velocity, f"{hit.confidence:.4f}", bar, f"{beat:.6g}"
        rows.writerow([*shown, hit_id(index)])
    return table.getvalue().encode()


def audacity_labels(chart: DrumChart) -> bytes:
    """A label track: every hit as a point that says the piece and the id that a corrections file calls it by."""
    lines = [
        f"{hit.time_s:.6f}\t{hit.time_s:.6f}\t{hit.instrument} {hit_id(index)}\n"
        for index, hit in enumerate(chart.hits)
    ]
    return "".join(lines).encode()


def preview(chart: DrumChart) -> bytes:
    """The recording with the hits and a click on top, as FLAC. Raises OptionError where the recording is not known, and
    InputError when it cannot be read."""
    from tutti.capabilities.drums.preview import preview_flac

    if chart.recording is None:
        raise OptionError(
            "A preview needs the recording, and this chart does not know where it lies: it came through a pipe, from a "
            "link or from a chart file. Chart the file itself, or keep what is fetched with --keep."
        )
    return preview_flac(chart.recording, chart.hits, chart.beats)


def drumless(chart: DrumChart) -> bytes:
    """The recording without its drums. Raises OptionError where nothing was separated and kept."""
    if chart.backing is None:
        raise OptionError(
            "There is no recording without drums: nothing was separated, or it was not kept. Use --stems light or "
            "--stems demucs, with --keep FOLDER."
        )
    try:
        return chart.backing.read_bytes()
    except FileNotFoundError as error:
        raise InputNotFoundError(f"{str(chart.backing)!r} is no longer there. Chart the recording again.") from error
    except OSError as error:
        raise InputAccessError(f"{str(chart.backing)!r} cannot be read: {error.strerror}.") from error
