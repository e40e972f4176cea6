"""The measurements as Markdown. Pure functions: the same results give the same text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.transcription.references import DRUM_CLASSES
from benchmarks.transcription.scores import SWEEP_S, Counts, Interval, PieceScore, Score, mean_interval, pooled
from benchmarks.transcription.systems import Measurement

MEGABYTE = 1e6
NOTHING = "–"


@dataclass(frozen=True)
class SystemResult:
    """One system on one set."""

    scores: tuple[PieceScore, ...]
    measurement: Measurement
    console_s: tuple[float, ...] = ()
    """Seconds per file of the installed command, a cold process each; empty where it was not measured."""
    reused: bool = False
    """True when the measurement comes from an earlier run: its notes are good, its times are not comparable."""


@dataclass(frozen=True)
class SetResult:
    title: str
    drums: bool
    audio_s: float
    systems: dict[str, SystemResult]
    """In the order of the columns; the peer first."""


def render_report(results: Sequence[SetResult], conditions: str) -> str:
    """Everything that goes between the markers of the document."""
    parts = [
        conditions,
        "### Accuracy\n",
        accuracy_table(results),
        "\nF1 with the 95 % bootstrap interval over pieces (none for a single piece): notes by onset (50 ms) and pitch "
        "(50 cents), drums by onset (50 ms). *Difference* is paired by piece.\n",
        "### What is behind the F1\n",
        detail_table(results),
        "\nPrecision and recall are pooled over the pieces' first annotators, F1 with offset is a mean over "
        "pieces. Lag is the median of estimated minus true onset.\n",
        "### F1 by onset tolerance\n",
        sweep_table(results),
    ]
    if any(score.classes for score in _all_scores(results)):
        parts += ["\n### Drum classes\n", class_table(results), "\nF1 pooled over the pieces, with the true onsets.\n"]
    parts += ["\n### Time and memory\n", speed_table(results), "\n### Piece by piece\n", piece_table(results)]
    return "\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def accuracy_table(results: Sequence[SetResult]) -> str:
    names = _names(results)
    header = ["set", "pieces", *names] + (["difference", "ratio"] if len(names) == 2 else [])
    return table(header, (_accuracy_row(result, names) for result in results))


def _accuracy_row(result: SetResult, names: Sequence[str]) -> list[str]:
    f1s = [[score.f1 for score in result.systems[name].scores] for name in names]
    row = [result.title, str(len(f1s[0])), *(interval_text(mean_interval(values)) for values in f1s)]
    if len(names) == 2:
        peer, ours = f1s
        difference = mean_interval([own - other for own, other in zip(ours, peer, strict=True)])
        row += [interval_text(difference, "+.3f"), ratio_text(float(np.mean(ours)), float(np.mean(peer)))]
    return row


def detail_table(results: Sequence[SetResult]) -> str:
    header = ["set", "system", "precision", "recall", "F1 with offset", "notes per true note", "lag ms"]
    return table(
        header,
        (_detail_row(result, name, system) for result in results for name, system in result.systems.items()),
    )


def _detail_row(result: SetResult, name: str, system: SystemResult) -> list[str]:
    counts = pooled(piece.scores[0].onset for piece in system.scores)
    lags = [score.lag_s for piece in system.scores for score in piece.scores if score.lag_s is not None]
    with_offset = NOTHING if result.drums else f"{np.mean([piece.f1_with_offset for piece in system.scores]):.3f}"
    return [
        result.title,
        name,
        f"{counts.precision:.3f}",
        f"{counts.recall:.3f}",
        with_offset,
        f"{np.mean([piece.ratio for piece in system.scores]):.2f}",
        f"{1000 * float(np.median(lags)):+.0f}" if lags else NOTHING,
    ]


def sweep_table(results: Sequence[SetResult]) -> str:
    header = ["set", "system", *(f"{1000 * tolerance_s:.0f} ms" for tolerance_s in SWEEP_S)]
    rows = [
        [result.title, name, *(f"{_mean_f1(system, tolerance_s):.3f}" for tolerance_s in SWEEP_S)]
        for result in results
        for name, system in result.systems.items()
    ]
    return table(header, rows)


def _mean_f1(system: SystemResult, tolerance_s: float) -> float:
    per_piece = [np.mean([score.sweep[tolerance_s].f1 for score in piece.scores]) for piece in system.scores]
    return float(np.mean(per_piece))


def class_table(results: Sequence[SetResult]) -> str:
    rows = []
    for result in results:
        for name, system in result.systems.items():
            scores = [piece.scores[0] for piece in system.scores]
            if scores[0].classes:
                counts = [pooled(score.classes[label] for score in scores) for label in DRUM_CLASSES]
                rows.append([result.title, name, *(class_text(count) for count in counts)])
    return table(["set", "system", *DRUM_CLASSES], rows)


def speed_table(results: Sequence[SetResult]) -> str:
    names = _names(results)
    header = ["set", "audio s", "system", "load s", "first call s", "first MIDI from cold s", "all files, warm s"]
    header += ["× real time", "peak MB", "command, cold, s per file"]
    if len(names) == 2:
        header.append(f"warm time ÷ {names[0]}")
    return table(header, (row for result in results for row in _speed_rows(result)))


def _speed_rows(result: SetResult) -> list[list[str]]:
    peer = next(iter(result.systems.values()))
    return [_speed_row(result, name, system, peer) for name, system in result.systems.items()]


def _speed_row(result: SetResult, name: str, system: SystemResult, peer: SystemResult) -> list[str]:
    measured = system.measurement
    row = [
        result.title,
        f"{result.audio_s:.0f}",
        name + (" (earlier run)" if system.reused else ""),
        f"{measured.load_s:.2f}",
        f"{measured.first_call_s:.2f}",
        f"{measured.first_midi_s:.2f}",
        f"{measured.steady_s:.2f}",
        f"{result.audio_s / measured.steady_s:.1f}",
        NOTHING if measured.peak_bytes is None else f"{measured.peak_bytes / MEGABYTE:.0f}",
        f"{np.mean(system.console_s):.2f}" if system.console_s else NOTHING,
    ]
    if len(result.systems) == 2:
        comparable = system is not peer and not peer.reused
        row.append(ratio_text(measured.steady_s, peer.measurement.steady_s) if comparable else NOTHING)
    return row


def piece_table(results: Sequence[SetResult]) -> str:
    names = _names(results)
    rows = []
    for result in results:
        for pieces in zip(*(result.systems[name].scores for name in names), strict=True):
            rows += _piece_rows(result.title, pieces)
    return table(["piece", "set", "truth", "notes", *names], rows)


def _piece_rows(title: str, pieces: Sequence[PieceScore]) -> list[list[str]]:
    """A row per annotator, and one for their mean where there are several."""
    rows = []
    for scores in zip(*(piece.scores for piece in pieces), strict=True):
        f1s = [f"{score.onset.f1:.3f}" for score in scores]
        rows.append([pieces[0].name, title, scores[0].annotator, str(scores[0].onset.reference), *f1s])
    if len(rows) > 1:
        rows.append([pieces[0].name, title, "mean", NOTHING, *(f"{piece.f1:.3f}" for piece in pieces)])
    return rows


def interval_text(interval: Interval, form: str = ".3f") -> str:
    if interval.low is None or interval.high is None:
        return f"{interval.mean:{form}}"
    return f"{interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def class_text(counts: Counts) -> str:
    return f"{counts.f1:.3f} ({counts.reference})"


def ratio_text(ours: float, peer: float) -> str:
    return f"{ours / peer:.2f}" if peer else NOTHING


def replace_section(document: str, name: str, body: str) -> str:
    """`document` with what stands between the markers of section `name` replaced by `body`.

    Raises ValueError when the markers are not there exactly once and in order.
    """
    begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
    if document.count(begin) != 1 or document.count(end) != 1 or document.index(begin) > document.index(end):
        raise ValueError(f"The document needs the line {begin} and after it the line {end}, once each.")
    head, rest = document.split(begin)
    tail = rest.split(end)[1]
    return f"{head}{begin}\n{body.strip()}\n{end}{tail}"


def _names(results: Sequence[SetResult]) -> list[str]:
    return list(results[0].systems)


def _all_scores(results: Sequence[SetResult]) -> Iterator[Score]:
    return (
        score
        for result in results
        for system in result.systems.values()
        for piece in system.scores
        for score in piece.scores
    )
