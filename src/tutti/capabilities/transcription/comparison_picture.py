"""Two piano rolls on one time axis, what they do not share in colour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator

from tutti.capabilities.transcription.comparison import Comparison
from tutti.music.drum_kit import DRUM_CLASSES, class_of_key
from tutti.music.notes import Note

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["comparison_rolls"]

_COLOURS = {
    "in both": "#aeb8c2",
    "other length": "#57a773",
    "moved": "#d98e04",
    "other instrument": "#8250df",
    "only in A": "#cf222e",
    "only in B": "#1f6feb",
}
"""In the order of drawing, the last on top."""
_INCHES_PER_S = 0.13
_LEAST_WIDTH, _MOST_WIDTH = 14.0, 36.0
_HEIGHT = 12.0
_DPI = 110
_LEAST_NOTE_PX = 3.0
_DRUM_ROW = 3.0
"""Height of a drum's row, in semitones."""
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
_GREY = "#57606a"

_Groups = Mapping[str, list[Note]]


class _Rows:
    """Heights: pitches as they are, a row for each drum below the lowest of them."""

    def __init__(self, notes: Iterable[Note]) -> None:
        every = list(notes)
        pitches = [note.pitch for note in every if not note.is_drum] or [60]
        struck = {_drum_of(note) for note in every if note.is_drum}
        self.drums = [name for name in (*DRUM_CLASSES, "other") if name in struck]
        self.low, self.high = min(pitches), max(pitches)
        self.first_drum = self.low - 2 - _DRUM_ROW

    @property
    def bottom(self) -> float:
        return self.first_drum - _DRUM_ROW * (len(self.drums) - 0.4) if self.drums else self.low - 1.5

    def box(self, note: Note) -> tuple[float, float]:
        """Lowest edge and height of its rectangle."""
        if note.is_drum:
            return self.first_drum - _DRUM_ROW * self.drums.index(_drum_of(note)) - 1.2, 2.4
        return note.pitch - 0.45, 0.9

    def ticks(self) -> dict[float, str]:
        octaves = {
            float(pitch): f"C{pitch // 12 - 1}" for pitch in range(self.low - 2, self.high + 3) if not pitch % 12
        }
        drums = {self.first_drum - _DRUM_ROW * row: name.replace("_", " ") for row, name in enumerate(self.drums)}
        return drums | octaves


def comparison_rolls(comparison: Comparison, names: tuple[str, str] = ("A", "B")) -> Figure:
    """Draw what `comparison` found, `a` above `b`; `names` are what the two are called.

    Long pieces make wide pictures, eight seconds an inch, up to 36 inches. The strip between the rolls counts what is
    not shared as time goes. The figure belongs to no window and no global state.
    """
    end_s = max(comparison.a.end_s, comparison.b.end_s, 0.1)
    width = min(max(_LEAST_WIDTH, end_s * _INCHES_PER_S), _MOST_WIDTH)
    figure = Figure(figsize=(width, _HEIGHT), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    above, strip, below = figure.subplots(3, 1, sharex=True, height_ratios=[6, 1, 6])
    rows = _Rows((*comparison.a, *comparison.b))
    least_s = _LEAST_NOTE_PX * end_s / (width * _DPI)
    for row, (axes, letter, notes) in enumerate(((above, "A", comparison.a), (below, "B", comparison.b))):
        _draw_roll(axes, _groups(comparison, row), rows, least_s)
        axes.set_title(f"{letter}   {names[row]}   ({len(notes)} notes)", loc="left", fontsize=11, parse_math=False)
    _draw_strip(strip, comparison, end_s)
    below.set_xlim(0, end_s)
    below.xaxis.set_major_locator(MultipleLocator(_step_s(end_s, width)))
    below.set_xlabel("time (s)")
    above.tick_params(labelbottom=True)
    figure.legend(handles=_legend(comparison), loc="outside upper left", ncols=6, fontsize=10, frameon=False)
    return figure


def _groups(comparison: Comparison, row: int) -> _Groups:
    """One side's notes by what became of them."""
    stretched = {id(pair[row]) for pair in comparison.other_length}
    matched = [pair[row] for pair in comparison.matched]
    return {
        "in both": [note for note in matched if id(note) not in stretched],
        "other length": [note for note in matched if id(note) in stretched],
        "moved": [pair[row] for pair in comparison.moved],
        "other instrument": [pair[row] for pair in comparison.other_instrument],
        "only in A": list(comparison.only_a) if row == 0 else [],
        "only in B": list(comparison.only_b) if row == 1 else [],
    }


def _draw_roll(axes: Axes, groups: _Groups, rows: _Rows, least_s: float) -> None:
    for name, notes in groups.items():
        if notes:
            corners = [_corners(note, rows, least_s) for note in notes]
            axes.add_collection(PolyCollection(corners, facecolor=_COLOURS[name], edgecolor="white", linewidth=0.3))
    ticks = rows.ticks()
    axes.set_yticks(list(ticks), list(ticks.values()), fontsize=8)
    axes.set_ylim(rows.bottom, rows.high + 1.5)
    if rows.drums:
        axes.axhline(rows.low - 1.5, color=_GREY, linewidth=0.8)
    axes.grid(True, color="#e3e7eb", linewidth=0.6)
    axes.set_axisbelow(True)


def _corners(note: Note, rows: _Rows, least_s: float) -> list[tuple[float, float]]:
    low, height = rows.box(note)
    begin = note.onset_s
    end = begin + max(0.0 if note.is_drum else note.duration_s, least_s)
    return [(begin, low), (begin, low + height), (end, low + height), (end, low)]


def _draw_strip(axes: Axes, comparison: Comparison, end_s: float) -> None:
    """How many notes are not shared, second by second, in shorter or longer bins where a second is no good measure."""
    width_s = max(1.0, end_s / 200) if end_s > 20 else end_s / 50
    edges = np.arange(0, end_s + width_s, width_s)
    onsets = {
        "moved": [a.onset_s for a, _ in comparison.moved],
        "other instrument": [a.onset_s for a, _ in comparison.other_instrument],
        "only in A": [note.onset_s for note in comparison.only_a],
        "only in B": [note.onset_s for note in comparison.only_b],
    }
    below = np.zeros(len(edges) - 1)
    for name, times_s in onsets.items():
        counts, _ = np.histogram(times_s, edges)
        axes.stairs(below + counts, edges, baseline=below, fill=True, color=_COLOURS[name])
        below = below + counts
    axes.set_ylim(0, max(1.0, 1.1 * float(below.max())))
    axes.set_title("differences", loc="left", fontsize=9, color=_GREY)
    axes.tick_params(axis="y", labelsize=8)
    axes.yaxis.get_major_locator().set_params(integer=True, nbins=3)  # type: ignore[call-arg]
    axes.grid(True, axis="x", color="#e3e7eb", linewidth=0.6)
    axes.set_axisbelow(True)


def _legend(comparison: Comparison) -> list[Patch]:
    counts = {
        "in both": len(comparison.matched) - len(comparison.other_length),
        "other length": len(comparison.other_length),
        "moved": len(comparison.moved),
        "other instrument": len(comparison.other_instrument),
        "only in A": len(comparison.only_a),
        "only in B": len(comparison.only_b),
    }
    return [Patch(color=_COLOURS[name], label=f"{name} ({count})") for name, count in counts.items()]


def _drum_of(note: Note) -> str:
    return class_of_key(note.pitch) or "other"


def _step_s(end_s: float, width: float) -> float:
    """Of the marks on the time axis, at least half an inch apart."""
    return next((step for step in _STEPS_S if step * width / end_s >= 0.5), _STEPS_S[-1])
