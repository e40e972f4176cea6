"""A transcription as a picture: pitches over time, a colour per instrument family, drums in rows below."""

from __future__ import annotations

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tutti.capabilities.transcription.families import FAMILIES, family_of_program
from tutti.music.drum_kit import DRUM_CLASSES, class_of_key
from tutti.music.notes import Note, Notes

__all__ = ["piano_roll", "to_png"]

_COLOURS = (
    "#1f6feb", "#2aa198", "#8250df", "#bf5b04", "#7a4419", "#1a7f37", "#57ab5a", "#cf222e", "#d4397b", "#3aa6c9",
    "#9a6700", "#6e7781", "#e0528b",
)  # fmt: skip
_NATURALS = {0: "C", 2: "D", 4: "E", 5: "F", 7: "G", 9: "A", 11: "B"}


def piano_roll(notes: Notes, duration_s: float, title: str = "") -> Figure:
    """Draw `notes`; louder notes are more opaque. The figure belongs to no window and no global state."""
    figure = Figure(figsize=(12, 6), layout="constrained")
    FigureCanvasAgg(figure)
    heights = [3, 1] if notes.pitched and notes.drums else [1]
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    if notes.pitched:
        _draw_pitched(axes[0], notes.pitched)
    if notes.drums:
        _draw_drums(axes[-1], notes.drums)
    if not len(notes):
        axes[0].text(0.5, 0.5, "no notes", transform=axes[0].transAxes, ha="center", color="#57606a")
        axes[0].set_yticks([])
    axes[-1].set_xlim(0, max(duration_s, notes.end_s, 0.1))
    axes[-1].set_xlabel("time (s)")
    axes[0].set_title(title or "transcription", loc="left", parse_math=False)
    return figure


def to_png(figure: Figure, dpi: int = 110) -> bytes:
    with io.BytesIO() as image:
        # no creation date or version: the same notes give the same bytes
        figure.savefig(image, format="png", dpi=dpi, metadata={"Software": None})
        return image.getvalue()


def _draw_pitched(axes: object, notes: tuple[Note, ...]) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    by_family: dict[str, list[Note]] = {}
    for note in notes:
        by_family.setdefault(family_of_program(note.program) or "other", []).append(note)
    for family, members in by_family.items():
        colour = _COLOURS[FAMILIES.index(family)] if family in FAMILIES else "#57606a"
        boxes = [Rectangle((n.onset_s, n.pitch - 0.45), n.duration_s, 0.9) for n in members]
        opacities = [0.35 + 0.65 * n.velocity / 127 for n in members]
        # a light edge parts notes that follow each other on one pitch
        axes.add_collection(PatchCollection(boxes, facecolor=colour, alpha=opacities, edgecolor="white", linewidth=0.8))
        axes.plot([], [], color=colour, linewidth=6, label=f"{family} ({len(members)})")
    low, high = min(note.pitch for note in notes), max(note.pitch for note in notes)
    axes.set_ylim(low - 2, high + 2)
    named = _NATURALS if high - low <= 24 else {0: "C"}
    ticks = [pitch for pitch in range(low - 2, high + 3) if pitch % 12 in named]
    axes.set_yticks(ticks, [f"{named[pitch % 12]}{pitch // 12 - 1}" for pitch in ticks], fontsize=8)
    axes.grid(True, color="#d0d7de", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_ylabel("pitch")
    axes.legend(loc="upper right", fontsize=8, framealpha=0.9)


def _draw_drums(axes: object, hits: tuple[Note, ...]) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    names = [class_of_key(hit.pitch) or "other" for hit in hits]
    rows = [name for name in (*DRUM_CLASSES, "other") if name in names]
    heights = [rows.index(name) for name in names]
    sizes = [6 + 44 * (hit.velocity / 127) ** 2 for hit in hits]
    axes.scatter([hit.onset_s for hit in hits], heights, s=sizes, marker="|", color="#24292f")
    axes.set_yticks(range(len(rows)), [row.replace("_", " ") for row in rows], fontsize=8)
    axes.set_ylim(-0.8, len(rows) - 0.2)
    axes.grid(True, axis="x", color="#d0d7de", linewidth=0.6)
