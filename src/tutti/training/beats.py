"""The recipe of `tutti-beats`: scenes whose beats are known exactly, and a network that finds them.

`tutti train beats --config FILE` builds whatever is missing, then trains. Every draw follows from the seed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import mir_eval
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from tutti.audio.bands import DRUMS_FRONT_END, STEPS_PER_UNIT
from tutti.datasets.scene_mixes import Mix, draw_mix
from tutti.datasets.scene_shards import SceneShards
from tutti.listening.beat_net import BeatNet, BeatNetConfig, BeatPredictions
from tutti.listening.beats import BeatModel, Tracking, grid_of
from tutti.training.calibration import fit_logistic
from tutti.training.loop import Schedule, fit
from tutti.training.recipes import Table, follow, read_recipe
from tutti.training.scenes import Ahead, SceneMaterial, open_scenes
from tutti.weights.opening import open_strict

__all__ = ["BeatsRecipe", "beat_losses", "beat_targets", "train"]

Floats = NDArray[np.float32]

_BEAT_WEIGHT, _DOWNBEAT_WEIGHT = 4.0, 8.0  # about one frame in thirty is a beat's, one in a hundred a downbeat's


class BeatsLearning(Table):
    steps: int = Field(ge=1)
    batch: int = Field(8, ge=1)
    crop_frames: int = Field(1800, ge=256, multiple_of=2)
    stretch: float = Field(0.18, ge=0, lt=0.3)
    """Crops are played faster or slower by up to so much (natural logarithm)."""
    learning_rate: float = Field(3e-3, gt=0)
    warmup_steps: int = Field(200, ge=1)
    validation_pieces: int = Field(96, ge=1)


class BeatsRecipe(Table):
    seed: int
    material: SceneMaterial
    network: BeatNetConfig = BeatNetConfig()
    learning: BeatsLearning


def train(
    config_path: Path,
    run_dir: Path,
    *,
    device: str = "auto",
    precision: str = "fp32",
    max_minutes: float | None = None,
    resume: Path | None = None,
) -> Path:
    """Train by the recipe at `config_path`; returns the averaged weights, `run_dir/tutti-beats.safetensors`.

    Arguments and files are those of every recipe. Raises TrainingError when material is missing, before anything is
    learnt.
    """
    recipe = read_recipe(config_path, BeatsRecipe)
    learn, validation = open_scenes(recipe.material, config_path.parent, recipe.seed)
    torch.manual_seed(recipe.seed)
    network = BeatNet(recipe.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    learning = recipe.learning
    schedule = Schedule(learning.steps, learning.learning_rate, learning.warmup_steps)
    batches = Ahead(lambda step: batch_of(recipe, learn, step))
    steps = fit(network, _losses_of, batches, schedule, device=device, precision=precision, resume=resume)
    weights = follow(steps, run_dir / "tutti-beats.safetensors", network.config, learning.steps, max_minutes, resume)
    _validate(recipe, validation, weights)
    return weights


def batch_of(recipe: BeatsRecipe, shards: SceneShards, step: int) -> dict[str, Tensor]:
    """Levels (batch, windows, frames, bands) with the beats and downbeats in them, (batch, frames / 2) each."""
    rng = np.random.default_rng((recipe.seed, 8, step))
    learning = recipe.learning
    items = []
    for _ in range(learning.batch):
        longest = int(np.ceil(learning.crop_frames * np.exp(learning.stretch))) + 2
        mix = _stretched(draw_mix(shards, rng, longest, DRUMS_FRONT_END.frame_s), learning, rng)
        beat, downbeat = beat_targets(mix.beats, learning.crop_frames // 2)
        items.append({"levels": mix.levels, "beat": beat, "downbeat": downbeat})
    return {name: torch.from_numpy(np.stack([item[name] for item in items])) for name in items[0]}


def _stretched(mix: Mix, learning: BeatsLearning, rng: np.random.Generator) -> Mix:
    """Another tempo: frames are read faster or slower, between two of them both in part."""
    pace = float(np.exp(rng.uniform(-learning.stretch, learning.stretch)))
    at = np.arange(learning.crop_frames) * pace
    first = at.astype(np.intp)
    share = (at - first).astype(np.float32)[:, None]
    levels = mix.levels[:, first] * (1 - share) + mix.levels[:, first + 1] * share
    return replace(mix, levels=levels, beats=tuple((time_s / pace, place) for time_s, place in mix.beats))


def beat_targets(beats: Sequence[tuple[float, int]], frames: int) -> tuple[Floats, Floats]:
    """1 at the frame of a beat (of a downbeat), less beside it; frame t of the network is two front-end frames."""
    beat, downbeat = np.zeros(frames, np.float32), np.zeros(frames, np.float32)
    for time_s, place in beats:
        at = time_s / (2 * DRUMS_FRONT_END.frame_s) - 0.25
        for frame in range(max(0, int(at) - 2), min(frames, int(at) + 4)):
            value = max(0.0, 1 - max(0.0, abs(frame - at) - 0.5) / 1.5)
            beat[frame] = max(beat[frame], value)
            if place == 1:
                downbeat[frame] = max(downbeat[frame], value)
    return beat, downbeat


def _losses_of(network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return beat_losses(network(batch["levels"].contiguous(memory_format=torch.channels_last)), batch)


def beat_losses(predicted: BeatPredictions, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parts of the loss against the batch's "beat" and "downbeat", (batch, frames) each."""
    return {
        "beat": _loss(predicted.beat, batch["beat"], _BEAT_WEIGHT),
        "downbeat": _loss(predicted.downbeat, batch["downbeat"], _DOWNBEAT_WEIGHT),
    }


def _loss(logits: Tensor, wanted: Tensor, weight: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(
        logits.float(), wanted, pos_weight=torch.tensor(weight, device=logits.device)
    )


def _validate(recipe: BeatsRecipe, shards: SceneShards, weights: Path) -> None:
    """Scores on held-out kits and takes, and how sure the network may be, beside `weights`."""
    network = BeatNet(recipe.network)
    open_strict(network, weights, weights.stem)
    model = BeatModel(network.eval(), Tracking(), torch.device("cpu"), "fp32")
    scores, strengths = [], []
    frames = shards.scenes[0].levels.shape[2]
    for number in range(recipe.learning.validation_pieces):
        mix = draw_mix(shards, np.random.default_rng((recipe.seed, 9, number)), frames, DRUMS_FRONT_END.frame_s)
        if len(mix.beats) < 4:
            continue
        beat, downbeat = model.probabilities((mix.levels * STEPS_PER_UNIT).round().astype(np.uint8))
        found = grid_of(beat, downbeat, model.tracking, "tutti-beats")
        wanted = np.array([time_s for time_s, _ in mix.beats])
        first = np.array([time_s for time_s, place in mix.beats if place == 1])
        f1 = mir_eval.beat.f_measure(wanted, np.array(found.grid.times_s))
        scores.append((f1, mir_eval.beat.f_measure(first, np.array(found.grid.downbeats_s))))
        rows = (np.array(found.grid.times_s) / (2 * DRUMS_FRONT_END.frame_s)).astype(int).clip(0, len(beat) - 1)
        strengths.append((float(beat[rows].mean()) if len(rows) else 0.0, f1 > 0.9))
    means = np.mean(scores, axis=0)
    strength, right = np.array(strengths).T
    slope, middle = fit_logistic(strength, right > 0)
    tracking = replace(model.tracking, confidence_slope=slope, confidence_middle=middle)
    report = {"beat_f1": float(means[0]), "downbeat_f1": float(means[1]), "tracking": asdict(tracking)}
    weights.with_name("validation.json").write_text(json.dumps(report, indent=1))
    print(f"validation: {report}", flush=True)
