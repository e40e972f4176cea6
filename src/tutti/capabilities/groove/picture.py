"""A pattern as a picture: a row for each voice, strokes where they were played, and how far from the grid they are."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from tutti.capabilities.groove.features import swing_percent
from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.music.drum_kit import class_of_key

__all__ = ["draw", "to_png"]

_BARS_A_SYSTEM = 4
_EARLY_BEATS = 0.125
"""So much of what comes before a system's first bar line is seen in it, as strokes ahead of the bar."""
_INK, _FAINT, _LINE, _BAND = "#24292f", "#57606a", "#d0d7de", "#f6f8fa"
_OTHER = "percussion"
_ORDER = (
    "kick", "snare", "side_stick", "clap", "tom_low", "tom_mid", "tom_high", _OTHER, "hihat_pedal", "hihat_closed",
    "hihat_open", "ride", "ride_bell", "china", "splash", "crash",
)  # fmt: skip
_NAMES = {
    "hihat_closed": "hi-hat", "hihat_open": "open hi-hat", "hihat_pedal": "pedal hi-hat", "tom_high": "high tom",
    "tom_mid": "mid tom", "tom_low": "low tom",
}  # fmt: skip
_FAMILIES = {
    "kick": "#0550ae",
    "snare": "#cf222e",
    "side_stick": "#e16f24",
    "clap": "#bf3989",
    "tom": "#8250df",
    "hihat": "#1a7f37",
    "ride": "#9a6700",
    _OTHER: "#6e7781",
}
_CYMBALS = "#1b7c83"


@dataclass(frozen=True, slots=True)
class _Stroke:
    hit: Hit
    voice: str
    offset_ms: float
    """From the nearest straight sixteenth."""


def draw(pattern: Pattern, title: str) -> Figure:
    """The pattern in systems of up to four bars, the offsets below each; the figure belongs to no window.

    A stroke is a disc at its played time, the larger and darker the louder.
    """
    strokes = [_stroke(hit, pattern) for hit in pattern]
    voices = [voice for voice in _ORDER if any(stroke.voice == voice for stroke in strokes)] or ["kick"]
    across = min(pattern.bars, _BARS_A_SYSTEM)
    systems = math.ceil(pattern.bars / _BARS_A_SYSTEM)
    row_inches, lane_inches = 0.34, 0.85
    system_inches = row_inches * (len(voices) + 0.6) + lane_inches + 0.5
    width = 2.2 + max(4.2, across * min(3.2, 0.19 * pattern.bar_beats * 4))
    figure = Figure(figsize=(width, 0.8 + systems * system_inches), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(h_pad=0.06, hspace=0.0)  # type: ignore[union-attr, call-arg]
    heights = [row_inches * (len(voices) + 0.6), lane_inches] * systems
    rows = figure.subplots(2 * systems, 1, squeeze=False, height_ratios=heights)[:, 0]
    reach_ms = max([10.0, *(1.15 * abs(stroke.offset_ms) for stroke in strokes)])
    for system in range(systems):
        begin = system * _BARS_A_SYSTEM * pattern.bar_beats
        end = begin + across * pattern.bar_beats
        is_last = system == systems - 1
        shown = [
            one for one in strokes if begin - _EARLY_BEATS <= one.hit.beat < end - (0 if is_last else _EARLY_BEATS)
        ]
        grid, lane = rows[2 * system], rows[2 * system + 1]
        for axes in (grid, lane):
            _ruled(axes, pattern, begin, end)
        _draw_grid(grid, shown, voices, pattern, begin)
        _draw_lane(lane, shown, (begin, min(end, pattern.beats)), reach_ms)
    rows[0].set_title(title, loc="left", fontsize=11, fontweight="bold", color=_INK, pad=16, parse_math=False)
    rows[0].set_title(_measured(pattern), loc="right", fontsize=8, color=_FAINT, pad=16)
    return figure


def to_png(figure: Figure, dpi: int = 130) -> bytes:
    with io.BytesIO() as image:
        # no creation date or version: the same pattern gives the same bytes
        figure.savefig(image, format="png", dpi=dpi, metadata={"Software": None})
        return image.getvalue()


def _stroke(hit: Hit, pattern: Pattern) -> _Stroke:
    voice = "clap" if hit.key == 39 else class_of_key(hit.key) or _OTHER
    return _Stroke(hit, voice, (hit.beat - math.floor(hit.beat * 4 + 0.5) / 4) * pattern.beat_ms)


def _colour(voice: str) -> str:
    return _FAMILIES.get(voice) or _FAMILIES.get(voice.split("_")[0]) or _CYMBALS


def _shade(colour: str, loudness: float) -> tuple[float, ...]:
    """The fainter the softer; not transparent, so that no line shows through."""
    share = 0.25 + 0.75 * loudness
    return tuple(1 - share * (1 - part) for part in to_rgb(colour))


def _measured(pattern: Pattern) -> str:
    """Swing as `features.swing_percent` finds it: of sixteenths, or where there are too few to tell of eighths, since a
    lone sixteenth late in a beat looks like a swung eighth."""
    found = (("16ths", swing_percent(pattern, 4)), ("8ths", swing_percent(pattern, 2)))
    told = (f"swing as played: {name} {percent:.0f} %" for name, percent in found if not math.isnan(percent))
    return next(told, "swing: too few strokes to tell")


def _ruled(axes: Axes, pattern: Pattern, begin: float, end: float) -> None:
    """Lines at bars, beats and sixteenths; bars past the last stay empty."""
    beats = [begin + n / 4 for n in range(round((min(end, pattern.beats) - begin) * 4) + 1)]
    bars = [beat for beat in beats if beat % pattern.bar_beats == 0]
    counted = [beat for beat in beats if beat % pattern.bar_beats % _counted(pattern) == 0]
    whole = axes.get_xaxis_transform()  # from the bottom of the axes to the top
    for places, colour, width in ((beats, _LINE, 0.4), (counted, "#afb8c1", 0.8), (bars, _FAINT, 1.1)):
        axes.vlines(places, 0, 1, colors=colour, linewidth=width, transform=whole, zorder=1)
    axes.set_xlim(begin - _EARLY_BEATS - 0.06, end + 0.06)
    axes.set_xticks([])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _counted(pattern: Pattern) -> float:
    """Quarter notes in what is counted in a bar: quarters, or eighths in 6/8, 7/8 and the like."""
    return 1.0 if pattern.metre.denominator <= 4 else 0.5


def _draw_grid(axes: Axes, strokes: Sequence[_Stroke], voices: list[str], pattern: Pattern, begin: float) -> None:
    until = min(begin + _BARS_A_SYSTEM * pattern.bar_beats, pattern.beats)
    for row in range(0, len(voices), 2):
        axes.add_patch(Rectangle((begin, row - 0.5), until - begin, 1, color=_BAND, zorder=0, linewidth=0))
    if strokes:
        loudness = [stroke.hit.velocity / 127 for stroke in strokes]
        axes.scatter(
            [stroke.hit.beat for stroke in strokes],
            [voices.index(stroke.voice) for stroke in strokes],
            s=[(3 + 9 * level) ** 2 for level in loudness],
            c=[_shade(_colour(stroke.voice), level) for stroke, level in zip(strokes, loudness, strict=True)],
            edgecolors="white",
            linewidths=0.5,
            zorder=3,
            clip_on=False,
        )
    axes.set_yticks(range(len(voices)), [_NAMES.get(v, v.replace("_", " ")) for v in voices], fontsize=8.5, color=_INK)
    axes.set_ylim(-0.6, len(voices) - 0.4)
    first = round(begin / pattern.bar_beats)
    unit = _counted(pattern)
    for bar in range(round((until - begin) / pattern.bar_beats)):
        for beat in range(math.ceil(pattern.bar_beats / unit)):
            axes.annotate(
                f"{first + bar + 1}" if beat == 0 else f"{beat + 1}",
                (begin + bar * pattern.bar_beats + beat * unit, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=8.5 if beat == 0 else 6.5,
                fontweight="bold" if beat == 0 else "normal",
                color=_INK if beat == 0 else "#8c959f",
                annotation_clip=False,
            )


def _draw_lane(axes: Axes, strokes: Sequence[_Stroke], span: tuple[float, float], reach_ms: float) -> None:
    """Late is up."""
    axes.add_line(Line2D(span, [0, 0], color=_FAINT, linewidth=0.8, zorder=2))
    if strokes:
        at = [math.floor(stroke.hit.beat * 4 + 0.5) / 4 for stroke in strokes]
        offsets_ms = [stroke.offset_ms for stroke in strokes]
        colours = [_colour(stroke.voice) for stroke in strokes]
        axes.vlines(at, 0, offsets_ms, colors=colours, linewidth=0.7, alpha=0.35, zorder=2)
        axes.scatter(at, offsets_ms, s=8, c=colours, alpha=0.85, linewidths=0, zorder=3)
    axes.set_ylim(-reach_ms, reach_ms)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, symmetric=True, integer=True))
    axes.tick_params(axis="y", labelsize=6.5, labelcolor="#8c959f")
    axes.set_ylabel("late (ms)", fontsize=7, color=_FAINT)
