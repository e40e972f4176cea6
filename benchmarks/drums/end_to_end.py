"""Rendered takes to sheets: hits and beats are heard, bars compared with the rule's reading of what was played."""

from __future__ import annotations

from collections.abc import Sequence

import soundfile as sf

from benchmarks.drums.charts import rule_reading, share
from benchmarks.drums.rendered import RenderedTake
from benchmarks.drums.systems import BeatSystem, HitSystem
from benchmarks.transcription.report import table
from benchmarks.transcription.startup import Figure, figure_table
from tutti.capabilities.drums.chart_metrics import BarCheck, check_bars
from tutti.capabilities.drums.quantise import quantise
from tutti.listening.beats import last_resort

GOAL = 0.80


def checked_bars(takes: Sequence[RenderedTake], hits: HitSystem | None, beats: BeatSystem | None) -> list[BarCheck]:
    """Every bar of the takes; None for hits or beats gives the true ones."""
    checks: list[BarCheck] = []
    for one in takes:
        given_hits = one.take.hits if hits is None else hits.hear(one.audio)
        given_beats = one.take.beats if beats is None else beats.hear(one.audio)
        if len(given_beats.grid) < 2:
            given_beats = last_resort(sf.info(one.audio).duration)
        truth, _ = rule_reading(one.take)
        checks += check_bars(truth, quantise(given_hits, given_beats, repeats="none"))
    return checks


def report(takes: dict[str, list[RenderedTake]], hits: HitSystem, beats: BeatSystem) -> str:
    """By set of takes."""
    rows, figures = [], []
    for title, own in takes.items():
        whole = checked_bars(own, hits, beats)
        parts = [checked_bars(own, hits, None), checked_bars(own, None, beats)]
        shares = [f"{100 * share(each):.1f} %" for each in (whole, *parts)]
        rows.append([title, str(len(own)), str(len(whole)), *shares])
        figures.append(Figure(f"{title}, bars right", shares[0], f">= {100 * GOAL:.0f} %", share(whole) >= GOAL))
    header = ["rendered takes", "takes", "bars", "end to end", "hits heard, true beats", "true hits, beats heard"]
    return "\n".join([figure_table(figures), "", table(header, rows), ""])
