"""The recipe of `tutti-groove`: bars of the Groove MIDI Dataset as tokens, and a network that says what comes next.

`tutti train groove --config FILE` trains. Every draw follows from the seed.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tutti.capabilities.groove.models.tutti_groove import GrooveNet, GrooveNetConfig
from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.capabilities.groove.recall import contexts_of
from tutti.capabilities.groove.tokens import METRES, SUBSTYLES, Conditions, Tokenizer, tokenizer
from tutti.datasets.groove_midi import index_of, played_take
from tutti.errors import OptionError
from tutti.music.timing import TimeSignature
from tutti.training.growth import grow_from
from tutti.training.loop import Schedule, fit
from tutti.training.recipes import Table, follow, read_recipe

__all__ = ["GrooveRecipe", "Take", "likelihoods", "takes_of", "train"]

_IGNORED = -100
_LENGTHS, _LENGTH_SHARES = (1, 2, 4, 8, 16), (0.04, 0.10, 0.30, 0.46, 0.10)
_CUT_METRES = {"2/4": 2.0, "3/4": 3.0, "7/8": 3.5}
"""Metres that no drummer played here: bars of 4/4 without their end."""


class GrooveLearning(Table):
    start: Path | None = None
    """Weights to begin with instead of random ones: a safetensors file of this network or a smaller one."""
    steps: int = Field(ge=1)
    batch: int = Field(16, ge=1)
    tokens: int = Field(1024, ge=64)
    """At most so many in a sequence."""
    learning_rate: float = Field(1.5e-3, gt=0)
    warmup_steps: int = Field(100, ge=1)
    weight_decay: float = Field(0.05, ge=0)
    forget: float = Field(0.15, ge=0, le=1)
    """How often each condition is left out."""


class GrooveRecipe(Table):
    seed: int
    groove_midi: Path
    network: GrooveNetConfig = GrooveNetConfig()
    learning: GrooveLearning


@dataclass(frozen=True, slots=True)
class Take:
    """One take as a pattern, with what its drummer was asked for."""

    pattern: Pattern
    style: str
    substyle: str | None
    is_fill: bool

    def conditions(self, pattern: Pattern) -> Conditions:
        """Those of `pattern`, a part of the take."""
        metre = f"{pattern.metre.numerator}/{pattern.metre.denominator}"
        density = len(pattern) * 4 / pattern.beats
        return Conditions(self.style, self.substyle, pattern.bpm, metre, pattern.bars, density)


def takes_of(root: Path, split: str) -> list[Take]:
    """All takes of a published split whose metre has a token. Raises TrainingError."""
    found = []
    for row in index_of(root):
        if row["split"] != split or row["time_signature"].replace("-", "/") not in METRES:
            continue
        played = played_take(root / "midi" / row["midi_filename"])
        numerator, denominator = map(int, row["time_signature"].split("-"))
        hits = tuple(Hit(*stroke) for stroke in played.strokes)
        if not hits:
            continue
        pattern = Pattern(hits, played.bpm, played.bars, TimeSignature(numerator, denominator))
        style, _, substyle = row["style"].partition("/")
        sub = substyle.split("-")[-1]
        found.append(Take(pattern, style, sub if sub in SUBSTYLES else None, row["beat_type"] == "fill"))
    return found


class Crops:
    """Training sequences, drawn from takes."""

    def __init__(self, takes: Sequence[Take], learning: GrooveLearning, seed: int) -> None:
        self._t: Tokenizer = tokenizer()
        self._learning, self._seed = learning, seed
        self._beats = [take for take in takes if not take.is_fill]
        self._fills: dict[str, list[Pattern]] = defaultdict(list)
        for take in takes:
            if take.is_fill:
                self._fills[take.style] += _filled_bars(take.pattern)
        bars = Counter[str]()
        for take in self._beats:
            bars[take.style] += take.pattern.bars
        weights = np.array([take.pattern.bars * bars[take.style] ** -0.35 for take in self._beats])
        self._weights = weights / weights.sum()

    def batch(self, step: int) -> dict[str, Tensor]:
        """Ids (batch, tokens), padded, their contexts, and how many of each row are conditions (batch,)."""
        rng = np.random.default_rng((self._seed, 3, step))
        length = int(rng.choice(_LENGTHS, p=_LENGTH_SHARES))  # one for all: less is padding
        rows, heads = zip(*(self.sequence(rng, length) for _ in range(self._learning.batch)), strict=True)
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), self._t.pad_id)
        for row, tokens in zip(ids, rows, strict=True):
            row[: len(tokens)] = tokens
        contexts = torch.tensor([contexts_of(row) for row in ids.tolist()])
        return {"ids": torch.from_numpy(ids), "contexts": contexts, "heads": torch.tensor(heads)}

    def sequence(self, rng: np.random.Generator, bars_asked: int) -> tuple[list[int], int]:
        """Ids of at most `bars_asked` bars, and how many of them are conditions."""
        t = self._t
        take = self._beats[rng.choice(len(self._beats), p=self._weights)]
        pattern = take.pattern
        if rng.random() < 0.06 and (pattern.metre.numerator, pattern.metre.denominator) == (4, 4):
            pattern = _shortened(pattern, str(rng.choice(list(_CUT_METRES))))
        length = min(bars_asked, pattern.bars)
        pattern = pattern.cut(int(rng.integers(pattern.bars - length + 1)), length)
        pattern = _nudged(pattern, rng)
        bars = t.bar_tokens(pattern)
        fills = [fill for fill in self._fills[take.style] if fill.metre == pattern.metre]
        if fills and rng.random() < 0.15:
            fill = fills[rng.integers(len(fills))]
            bars = [*bars[: len(bars) - fill.bars], *([b[0], t.fill_id, *b[1:]] for b in t.bar_tokens(fill))]
        while sum(map(len, bars)) > self._learning.tokens - 12 and len(bars) > 1:
            bars.pop(0)
        asked = replace(take.conditions(pattern), bars=len(bars))
        forgotten: dict[str, Any] = {
            name: None
            for name in ("style", "substyle", "bpm", "bars", "density")
            if rng.random() < (0.5 if name in ("density", "substyle") else self._learning.forget)
        }
        head = t.header(replace(asked, **forgotten))
        if len(bars) > 2 and rng.random() < 0.25:
            later = int(rng.integers(1, len(bars) - 1))
            head = [*head, t.future_id, *(token for bar in bars[-later:] for token in bar), t.present_id]
            return [*head, *(token for bar in bars[:-later] for token in bar), t.eos_id], len(head)
        return [*head, *(token for bar in bars for token in bar), t.eos_id], len(head)


def _filled_bars(pattern: Pattern) -> list[Pattern]:
    """The bars of a fill: all that hold more than a pick-up."""
    bars = [pattern.cut(bar, 1) for bar in range(pattern.bars)]
    return [bar for bar in bars if len(bar) >= 4]


def _shortened(pattern: Pattern, metre: str) -> Pattern:
    kept = _CUT_METRES[metre]
    hits = []
    for hit in pattern:
        bar, place = divmod(hit.beat + 0.125, 4.0)
        if place < kept:
            hits.append(replace(hit, beat=bar * kept + place - 0.125))
    return replace(pattern, hits=tuple(hits), metre=TimeSignature(*map(int, metre.split("/"))))


def _nudged(pattern: Pattern, rng: np.random.Generator) -> Pattern:
    """A little louder or softer, earlier or later, faster or slower, and with what a grid takes away put back at
    random."""
    louder, late = rng.normal(1, 0.05), rng.normal(0, 0.003)
    blur = rng.uniform(-1 / 240, 1 / 240, len(pattern)) * rng.integers(2)
    hits = [
        Hit(hit.beat + late + blurred, hit.key, int(np.clip(round(hit.velocity * louder), 1, 127)))
        for hit, blurred in zip(pattern, blur.tolist(), strict=True)
    ]
    return replace(pattern, hits=tuple(hits), bpm=pattern.bpm * rng.uniform(0.95, 1.05))


def train(
    config_path: Path,
    run_dir: Path,
    *,
    device: str = "auto",
    precision: str = "fp32",
    max_minutes: float | None = None,
    resume: Path | None = None,
) -> Path:
    """Train by the recipe at `config_path`; returns the averaged weights, `run_dir/tutti-groove.safetensors`.

    Arguments and files are those of every recipe; `validation.json` holds the likelihoods of the published validation
    takes. Raises TrainingError when material is missing, before anything is learnt.
    """
    recipe = read_recipe(config_path, GrooveRecipe)
    root = config_path.parent / recipe.groove_midi
    learning = recipe.learning
    crops = Crops(takes_of(root, "train"), learning, recipe.seed)
    torch.manual_seed(recipe.seed)
    network = GrooveNet(recipe.network)
    if learning.start is not None:
        grow_from(network, config_path.parent / learning.start)
    schedule = Schedule(learning.steps, learning.learning_rate, learning.warmup_steps, learning.weight_decay, 1.0)
    steps = fit(
        network,
        _losses,
        crops.batch,
        schedule,
        device=device,
        precision=precision,
        resume=resume,
    )
    weights = follow(steps, run_dir / "tutti-groove.safetensors", network.config, learning.steps, max_minutes, resume)
    report = likelihoods(weights, recipe.network, takes_of(root, "validation"))
    weights.with_name("validation.json").write_text(json.dumps(report, indent=1))
    print(f"validation: {report}", flush=True)
    return weights


_KINDS = ("Position", "PitchDrum", "MicroTiming", "Velocity")


def _losses(network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Mean negative log likelihood a token, its parts by kind of token."""
    ids, heads = batch["ids"], batch["heads"]
    logits = network(ids[:, :-1], batch["contexts"][:, :-1]).float()
    targets = ids[:, 1:].clone()
    order = torch.arange(targets.shape[1], device=ids.device)
    targets[(order[None] < heads[:, None] - 1) | (targets == tokenizer().pad_id)] = _IGNORED
    targets[targets == tokenizer().fill_id] = _IGNORED  # it is asked for, not guessed
    kept = targets != _IGNORED
    logits, targets = logits[kept], targets[kept]
    each = F.cross_entropy(logits, targets, reduction="none")
    losses = {}
    rest = torch.ones_like(targets, dtype=torch.bool)
    for kind in _KINDS:
        first, last = tokenizer().span(kind)
        own = (targets >= first) & (targets < last)
        rest &= ~own
        losses[kind] = each[own].sum() / len(targets)
    losses["other"] = each[rest].sum() / len(targets)
    return losses


def windows(takes: Sequence[Take], bars: int) -> Iterator[tuple[Take, Pattern]]:
    """Every whole window of `bars` bars of the takes that are no fills, side by side."""
    for take in takes:
        if not take.is_fill:
            for first in range(0, take.pattern.bars - bars + 1, bars):
                cut = take.pattern.cut(first, bars)
                if len(cut):
                    yield take, cut


@torch.inference_mode()
def likelihoods(weights: Path, config: GrooveNetConfig, takes: Sequence[Take], bars: int = 8) -> dict[str, float]:
    """Mean negative log likelihood (nats) a token of each kind, of all and of a stroke, with all conditions told; over
    how many windows, and how many were left out (too long, or without a token for their style)."""
    from tutti.weights.opening import open_strict

    network = GrooveNet(config).eval()
    open_strict(network, weights, weights.stem)
    t = tokenizer()
    sums, counts = Counter[str](), Counter[str]()
    strokes, heard, left_out = 0, 0, 0
    for take, pattern in windows(takes, bars):
        try:
            ids = torch.tensor(t.encode(pattern, take.conditions(pattern)))
        except OptionError:  # a style or metre without a token
            left_out += 1
            continue
        if int(network.ends[ids].sum()) > config.max_length:
            left_out += 1
            continue
        heard += 1
        head = len(t.header(Conditions()))
        contexts = torch.tensor(contexts_of(ids.tolist()))
        nll = F.cross_entropy(network(ids[None, :-1], contexts[None, :-1])[0], ids[1:], reduction="none")[head - 1 :]
        for token, value in zip(ids[head:].tolist(), nll.tolist(), strict=True):
            kind = t.tokens[token].partition("_")[0]
            sums[kind] += value
            counts[kind] += 1
        strokes += sum(1 for token in ids.tolist() if t.tokens[token].startswith("PitchDrum"))
    report = {kind: sums[kind] / counts[kind] for kind in counts}
    report["token"] = sum(sums.values()) / sum(counts.values())
    report["stroke"] = sum(sums.values()) / max(1, strokes)
    return report | {"windows": heard, "left_out": left_out}
