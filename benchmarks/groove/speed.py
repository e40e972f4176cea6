"""How long a pattern takes, what a batch saves, whether later tokens cost more, and what it takes from nothing.

A pattern is four bars in 4/4, the network warm, through `run`. The sixteen calls and the batch write the same sixteen
patterns: the same conditions and seeds, and so the same tokens. Peak memory and cold starts are of processes of their
own.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.groove.sets import SAMPLING
from benchmarks.transcription.memory import PeakMemory
from benchmarks.transcription.report import MEGABYTE, table
from tutti.capabilities.groove.generation import open_model
from tutti.capabilities.groove.run import run
from tutti.capabilities.groove.sampling import Sampled, sample
from tutti.capabilities.groove.styles import find_style
from tutti.capabilities.groove.tokens import Conditions, Grammar, tokenizer
from tutti.capabilities.groove.types import Options

__all__ = ["report"]

TIMES = 10
ROWS = 16
BARS = 4
_STYLES = ("Funk", "J Dilla")
_POINTS, _AROUND = (100, 500, 900), 40
_COLD_TIMES = 3


def _options(model: str, style: str, seed: int, count: int = 1) -> Options:
    return Options(style=style, bars=BARS, seed=seed, count=count, model=model, device="cpu")


def _seconds(options: Options) -> float:
    began_s = time.perf_counter()
    run(None, options)
    return time.perf_counter() - began_s


def _drawn(model: str, rows: list[int]) -> tuple[list[Sampled], float]:
    """The patterns with these numbers, in one batch, and the seconds they took."""
    network, t = open_model(model, "cpu").network, tokenizer()
    prompt, untold = (t.header(Conditions(style, bpm=100.0, metre="4/4", bars=BARS)) for style in ("funk", None))
    guides, seeds = [Grammar(t, "4/4", BARS) for _ in rows], [(1, row) for row in rows]
    began_s = time.perf_counter()
    answers = sample(
        network,
        [prompt] * len(rows),
        guides,
        seeds,
        SAMPLING,
        max_length=BARS * 320,
        head=len(prompt),
        untold=[untold] * len(rows),
    )
    return answers, time.perf_counter() - began_s


def _batch_row(model: str) -> list[str]:
    numbers = list(range(ROWS))
    _drawn(model, numbers[:1])
    together, batch_s = _drawn(model, numbers)
    singles = [_drawn(model, [number]) for number in numbers]
    alone_s = sum(seconds for _, seconds in singles)
    same = sum(one.ids == batch.ids for ((one,), _), batch in zip(singles, together, strict=True))
    own, theirs = (sum(len(one.ids) for one in rows) for rows in (together, [one for (one,), _ in singles]))
    ratio = f"{alone_s / batch_s:.1f}"
    return [f"{alone_s:.2f} s", f"{theirs}", f"{batch_s:.2f} s", f"{own}", ratio, f"{same} of {ROWS}"]


def _cost_by_place(model: str, longest: int) -> dict[int, float]:
    """Milliseconds a token, around each of the points that are reached; a row alone."""
    network, t = open_model(model, "cpu").network, tokenizer()
    prompt, untold = (t.header(Conditions(style, bpm=100.0, metre="4/4")) for style in ("funk", None))
    times_s: list[float] = []
    sample(
        network,
        [prompt],
        [Grammar(t, "4/4", 64)],
        [(1,)],
        SAMPLING,
        max_length=len(prompt) + longest,
        head=len(prompt),
        untold=[untold],
        check=lambda _drawn: times_s.append(time.perf_counter()),
    )
    each = np.diff(times_s) * 1000
    return {
        point: float(np.mean(each[point - _AROUND : point + _AROUND]))
        for point in _POINTS
        if point + _AROUND <= len(each) + 1
    }


def _watched(command: list[str], threads: int) -> tuple[float, float | None]:
    """Seconds and peak megabytes of a process."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TUTTI_THREADS": str(threads)}
    began_s = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    with process, PeakMemory(process) as memory:
        if process.wait():
            raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
        seconds = time.perf_counter() - began_s
    return seconds, None if memory.peak_bytes is None else memory.peak_bytes / MEGABYTE


def _cold_s(model: str, threads: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tutti", "groove", "--style", "Funk", "--bars", str(BARS), "--seed", "1"]
        command += ["--device", "cpu", "--model", model, "-q", "-o", str(Path(folder) / "beat.mid")]
        return [_watched(command, threads)[0] for _ in range(_COLD_TIMES + 1)][1:]  # the first fetches it to memory


def report(threads: int, model: str = "tutti-groove", times: int = TIMES, longest: int = max(_POINTS) + _AROUND) -> str:
    rows = []
    for style in _STYLES:
        run(None, _options(model, style, 0))
        seconds = [_seconds(_options(model, style, seed)) for seed in range(1, times + 1)]
        several = _seconds(_options(model, style, 1, ROWS))
        middle = statistics.median(seconds)
        spread = f"{min(seconds):.2f}–{max(seconds):.2f} s"
        faster = BARS * 240 / find_style(style).usual_bpm / middle
        rows.append([style, f"{middle:.2f} s", spread, f"{faster:.1f}", f"{several:.2f} s"])
    head = [f"{BARS} bars", "one pattern, median", f"range of {times}", "× real time", f"{ROWS} patterns, one call"]
    batch = ["sixteen calls", "tokens", "one batch", "tokens", "calls ÷ batch", "same patterns"]
    costs = _cost_by_place(model, longest)
    flat = f" ({max(costs.values()) / min(costs.values()):.2f} from the cheapest to the dearest)" if costs else ""
    cold = _cold_s(model, threads)
    _, one_mb = _watched([sys.executable, "-m", __name__, model, str(threads), "1"], threads)
    _, all_mb = _watched([sys.executable, "-m", __name__, model, str(threads), str(ROWS)], threads)
    peaks = " / ".join("–" if peak is None else f"{peak:.0f} MB" for peak in (one_mb, all_mb))
    return "\n\n".join(
        [
            __doc__.strip(),
            table(head, rows),
            table(batch, [_batch_row(model)]),
            "Milliseconds a token, a row alone: "
            + ", ".join(f"{cost:.2f} around token {point}" for point, cost in costs.items())
            + f"{flat}.",
            f"Peak memory of a process that plays one pattern / {ROWS} at once: {peaks}.",
            f"`tutti groove` from the command line, cold: {statistics.median(cold):.2f} s (median of {_COLD_TIMES}, "
            f"{min(cold):.2f}–{max(cold):.2f} s).",
        ]
    )


def _work(model: str, threads: int, count: int) -> None:
    torch.set_num_threads(threads)
    run(None, _options(model, "Funk", 1, count))


if __name__ == "__main__":
    _work(sys.argv[1], *map(int, sys.argv[2:]))
