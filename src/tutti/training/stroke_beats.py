"""The recipe of `tutti-stroke-beats`: drummers whose beats are known exactly, and a network that reads their strokes.

`tutti train stroke-beats --config FILE`. It needs no sound: strokes come as a listener might give them, with some left
out, some misnamed and some that nobody played. Every draw follows from the seed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import mir_eval
import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from tutti.datasets.drum_performances import Drummer, Performance
from tutti.listening.beat_net import StrokeBeatNet, StrokeBeatNetConfig
from tutti.listening.beats import FRAMES_PER_S, StrokeBeatModel, Tracking, grid_of, stroke_roll
from tutti.music.drum_hits import DrumHit, DrumHits
from tutti.music.drum_kit import DRUM_CLASSES, class_of_key
from tutti.training.beats import beat_losses, beat_targets
from tutti.training.loop import Schedule, fit
from tutti.training.recipes import Table, follow, read_recipe
from tutti.training.scenes import Ahead
from tutti.weights.opening import open_strict

__all__ = ["StrokeBeatsRecipe", "train"]

Rng = np.random.Generator

_METALS = ("hihat_closed", "hihat_open", "hihat_pedal", "ride", "ride_bell", "crash", "splash", "china")
_SKINS = ("kick", "snare", "side_stick", "tom_high", "tom_mid", "tom_low")


class StrokeBeatsMaterial(Table):
    """Where takes come from; a relative path counts from the recipe file."""

    groove_midi: Path


class StrokeBeatsLearning(Table):
    steps: int = Field(ge=1)
    batch: int = Field(16, ge=1)
    crop_s: float = Field(30.0, gt=5)
    from_the_start: float = Field(0.6, ge=0, le=1)
    """How many crops are the beginning of a recording: mostly that of a bar."""
    learning_rate: float = Field(3e-3, gt=0)
    warmup_steps: int = Field(200, ge=1)
    validation_pieces: int = Field(200, ge=1)


class StrokeBeatsRecipe(Table):
    seed: int
    material: StrokeBeatsMaterial
    network: StrokeBeatNetConfig = StrokeBeatNetConfig()
    learning: StrokeBeatsLearning


def train(
    config_path: Path,
    run_dir: Path,
    *,
    device: str = "auto",
    precision: str = "fp32",
    max_minutes: float | None = None,
    resume: Path | None = None,
) -> Path:
    """Train by the recipe at `config_path`; returns the averaged weights, `run_dir/tutti-stroke-beats.safetensors`.

    Arguments and files are those of every recipe. Raises TrainingError when material is missing, before anything is
    learnt.
    """
    recipe = read_recipe(config_path, StrokeBeatsRecipe)
    learning, takes = recipe.learning, config_path.parent / recipe.material.groove_midi
    learn, validation = (
        Drummer(takes, learning.crop_s, split, learning.from_the_start) for split in ("train", "validation")
    )
    torch.manual_seed(recipe.seed)
    network = StrokeBeatNet(recipe.network)
    schedule = Schedule(learning.steps, learning.learning_rate, learning.warmup_steps)
    batches = Ahead(lambda step: batch_of(recipe, learn, step))
    steps = fit(network, _losses_of, batches, schedule, device=device, precision=precision, resume=resume)
    weights = run_dir / "tutti-stroke-beats.safetensors"
    weights = follow(steps, weights, network.config, learning.steps, max_minutes, resume)
    _validate(recipe, validation, weights)
    return weights


def batch_of(recipe: StrokeBeatsRecipe, drummer: Drummer, step: int) -> dict[str, Tensor]:
    """Strokes (batch, DRUM_CLASSES, frames) with the beats and downbeats in them, (batch, frames) each."""
    rng = np.random.default_rng((recipe.seed, 12, step))
    frames = round(recipe.learning.crop_s * FRAMES_PER_S)
    items = []
    for _ in range(recipe.learning.batch):
        played = drummer.play(rng)
        items.append((stroke_roll(misheard(played, rng), frames), *beat_targets(played.beats, frames)))
    names = ("strokes", "beat", "downbeat")
    return {
        name: torch.from_numpy(np.stack(column)) for name, column in zip(names, zip(*items, strict=True), strict=True)
    }


def misheard(played: Performance, rng: Rng) -> DrumHits:
    """The strokes of a performance as a listener gives them; every performance has a listener of its own.

    Soft strokes and pedals are lost more often than loud ones, metals are taken for other metals and skins for skins,
    here and there or always, and some hits are nobody's, most of them where something else is struck.
    """
    lost, soft_lost = rng.uniform(0, 0.15), rng.uniform(0, 0.8)
    pedal_lost = rng.uniform(0, 1)
    slips, made_up = rng.uniform(0, 0.2) ** 2 * 3, rng.uniform(0, 0.3) ** 2
    jitter_s = rng.uniform(0, 0.008)
    always = {}
    for pieces in (_METALS, _SKINS):
        for piece in pieces:
            if rng.random() < 0.08:
                always[piece] = str(rng.choice(pieces))
    loudness, unevenness = rng.uniform(0.7, 1.3), rng.uniform(0, 0.2)
    hits = []
    for time_s, key, velocity in played.strokes:
        name = class_of_key(key)
        if name is None or rng.random() < lost + soft_lost * (1 - velocity / 127) ** 3:
            continue
        if name == "hihat_pedal" and rng.random() < pedal_lost:
            continue
        name = always.get(name, name)
        pieces = _METALS if name in _METALS else _SKINS
        if rng.random() < slips:
            name = str(rng.choice(pieces))
        at_s = max(0.0, time_s + float(rng.normal(0, jitter_s)))
        strength = int(np.clip(velocity * loudness * (1 + rng.normal(0, unevenness)), 1, 127))
        hits.append(DrumHit(at_s, name, strength))
        if rng.random() < made_up:
            other_s = at_s if rng.random() < 0.7 else max(0.0, at_s + float(rng.uniform(-0.5, 0.5)))
            hits.append(DrumHit(other_s, str(rng.choice(DRUM_CLASSES)), int(rng.integers(20, 110))))
    return DrumHits.of(hits)


def _losses_of(network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return beat_losses(network(batch["strokes"]), batch)


def _validate(recipe: StrokeBeatsRecipe, drummer: Drummer, weights: Path) -> None:
    """Scores on takes that training does not have, misheard as in training, beside `weights`."""
    network = StrokeBeatNet(recipe.network)
    open_strict(network, weights, weights.stem)
    model = StrokeBeatModel(network.eval(), torch.device("cpu"), "fp32")
    frames = round(recipe.learning.crop_s * FRAMES_PER_S)
    scores = []
    for number in range(recipe.learning.validation_pieces):
        rng = np.random.default_rng((recipe.seed, 13, number))
        played = drummer.play(rng)
        beat, downbeat = model.probabilities(misheard(played, rng), frames)
        found = grid_of(beat, downbeat, Tracking(), weights.stem).grid
        first_s = [time_s for time_s, place in played.beats if place == 1]
        scores.append((_f_measure([s for s, _ in played.beats], found.times_s), _f_measure(first_s, found.downbeats_s)))
    beat_f1, downbeat_f1 = np.mean(scores, axis=0)
    report = {"beat_f1": float(beat_f1), "downbeat_f1": float(downbeat_f1)}
    weights.with_name("validation.json").write_text(json.dumps(report, indent=1))
    print(f"validation: {report}", flush=True)


def _f_measure(true_s: Sequence[float], heard_s: Sequence[float]) -> float:
    return float(mir_eval.beat.f_measure(np.array(true_s), np.array(heard_s))) if true_s and heard_s else 0.0
