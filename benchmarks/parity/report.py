"""The comparison as Markdown. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.parity.systems import ROWS, Comparison, Speed
from benchmarks.transcription.report import table

__all__ = ["render_report"]


def render_report(results: Sequence[Comparison], conditions: str) -> str:
    """Everything that goes between the markers of the document."""
    equality = table(
        [
            "model",
            "front end",
            "states",
            "logits",
            "segments with equal tokens",
            "tokens per row",
            "narrowest choice",
            "notes",
            "equal",
        ],
        [_equality(result) for result in results],
    )
    speed = table(
        [
            "model",
            "upstream tokens/s",
            f"torch, {ROWS} rows",
            "ratio",
            "processor time",
            "onnxruntime",
            "ratio",
            "processor time",
            "rows as torch's",
            "torch, one row",
            "ratio",
            "processor time",
        ],
        [_speed(result) for result in results],
    )
    return "\n".join([conditions, "### Equality\n", equality, "\n### Speed\n", speed]) + "\n"


def _equality(result: Comparison) -> list[str]:
    answers = {None: "not asked", True: "all", False: "no"}
    gaps = result.gaps
    return [
        result.title,
        *(f"{gap:.1e}" for gap in (gaps.features, gaps.states, gaps.logits)),
        f"{result.equal_segments} of {result.segments}",
        f"{result.tokens / result.rows:.0f}",
        f"{result.margin:.1e}",
        str(result.notes),
        answers[result.are_notes_equal],
    ]


def _speed(result: Comparison) -> list[str]:
    upstream = result.upstream
    cells = [result.title, f"{upstream.by_clock:.0f}"]
    cells += _beside(result.ours, upstream) + _beside(result.onnx, upstream)
    cells.append(f"{result.onnx_equal_rows} of {result.rows}")
    return cells + _beside(result.alone, upstream)


def _beside(ours: Speed, upstream: Speed) -> list[str]:
    ratios = ours.by_clock / upstream.by_clock, ours.by_processor / upstream.by_processor
    return [f"{ours.by_clock:.0f}", *(f"{ratio:.1f}" for ratio in ratios)]
