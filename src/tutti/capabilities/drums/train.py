"""The recipe of `tutti-drums`: scenes of a drummer and a band, mixed anew at every step, and a network that hears hits.

`tutti train drums --config FILE` builds whatever is missing, then trains. Every draw follows from the seed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import mir_eval
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from tutti.audio.bands import DRUMS_FRONT_END, STEPS_PER_UNIT
from tutti.capabilities.drums.decode import FAMILIES, Answers, Thresholds, decode_hits
from tutti.capabilities.drums.hearing import FrameModel, build_frame_model
from tutti.capabilities.drums.models.tutti_drums import DrumsNet, DrumsNetConfig
from tutti.capabilities.drums.recurrence import recalled
from tutti.capabilities.drums.targets import can_be_heard, losses, targets_of
from tutti.datasets.scene_mixes import RECORDS, Mix, draw_mix
from tutti.datasets.scene_shards import SceneShards
from tutti.training.calibration import fit_logistic
from tutti.training.growth import grow_from
from tutti.training.loop import Schedule, fit
from tutti.training.recipes import Table, follow, read_recipe
from tutti.training.scenes import Ahead, SceneMaterial, open_scenes

__all__ = ["DrumsRecipe", "train"]

_EDGE_FRAMES = 20
"""Frames at both ends of a crop that lack context and teach nothing."""
_NEVER = 1.1  # a threshold that no probability reaches
_CANDIDATES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75)


class DrumsLearning(Table):
    start: Path | None = None
    """Weights to begin with instead of random ones: a safetensors file of this network or a smaller one."""
    steps: int = Field(ge=1)
    batch: int = Field(16, ge=1)
    crop_frames: int = Field(400, ge=128)
    learning_rate: float = Field(3e-3, gt=0)
    warmup_steps: int = Field(200, ge=1)
    validation_pieces: int = Field(288, ge=1)
    validation_frames: int = Field(1600, ge=256)


class DrumsRecipe(Table):
    seed: int
    material: SceneMaterial
    network: DrumsNetConfig = DrumsNetConfig()
    learning: DrumsLearning


def train(
    config_path: Path,
    run_dir: Path,
    *,
    device: str = "auto",
    precision: str = "fp32",
    max_minutes: float | None = None,
    resume: Path | None = None,
) -> Path:
    """Train by the recipe at `config_path`; returns the averaged weights, `run_dir/tutti-drums.safetensors`.

    Arguments and files are those of every recipe. Raises TrainingError when material is missing, before anything is
    learnt.
    """
    recipe = read_recipe(config_path, DrumsRecipe)
    learn, validation = open_scenes(recipe.material, config_path.parent, recipe.seed)
    torch.manual_seed(recipe.seed)
    network = DrumsNet(recipe.network)
    learning = recipe.learning
    if learning.start is not None:
        grow_from(network, config_path.parent / learning.start)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    schedule = Schedule(learning.steps, learning.learning_rate, learning.warmup_steps)
    batches = Ahead(lambda step: batch_of(recipe, learn, step))
    steps = fit(network, _losses_of, batches, schedule, device=device, precision=precision, resume=resume)
    weights = follow(steps, run_dir / "tutti-drums.safetensors", network.config, learning.steps, max_minutes, resume)
    _validate(recipe, validation, weights)
    return weights


def batch_of(recipe: DrumsRecipe, shards: SceneShards, step: int) -> dict[str, Tensor]:
    """Levels (batch, windows, frames, bands) and the targets of `targets_of`, each (batch, frames, classes)."""
    rng = np.random.default_rng((recipe.seed, 7, step))
    frames = recipe.learning.crop_frames
    items = []
    for _ in range(recipe.learning.batch):
        mix = draw_mix(shards, rng, frames, DRUMS_FRONT_END.frame_s)
        targets = targets_of(mix.hits, frames, DRUMS_FRONT_END.frame_s)
        items.append((mix.levels, *astuple(targets)))
    names = ("levels", "onset", "velocity", "counts")
    return {
        name: torch.from_numpy(np.stack(column)) for name, column in zip(names, zip(*items, strict=True), strict=True)
    }


def _losses_of(network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return losses(network(batch["levels"].contiguous(memory_format=torch.channels_last)), batch, _EDGE_FRAMES)


def _validate(recipe: DrumsRecipe, shards: SceneShards, weights: Path) -> None:
    """Choose each family's threshold on held-out kits and takes; thresholds and scores go beside `weights`."""
    model = build_frame_model(weights, recipe.network, torch.device("cpu"), "fp32")
    frames = recipe.learning.validation_frames
    mixes = [
        draw_mix(shards, np.random.default_rng((recipe.seed, 11, number)), frames, DRUMS_FRONT_END.frame_s, RECORDS)
        for number in range(recipe.learning.validation_pieces)
    ]
    heard = [_heard(model, mix) for mix in mixes]
    chosen, scores, calibration = {}, {}, []
    for family in FAMILIES:
        tried = {value: _f1(_judged(mixes, heard, family, value)) for value in _CANDIDATES}
        chosen[family] = max(tried, key=lambda value: tried[value])
        scores[family] = tried[chosen[family]]
        judged = _judged(mixes, heard, family, chosen[family])
        calibration.append(fit_logistic(judged.probabilities, judged.right))
    slopes, middles = zip(*calibration, strict=True)
    report = {"thresholds": chosen, "onset_f1": scores, "calibration": {"slope": slopes, "middle": middles}}
    weights.with_name("validation.json").write_text(json.dumps(report, indent=1))
    print(f"validation: {report}", flush=True)


def _heard(model: FrameModel, mix: Mix) -> Answers:
    reach = model.network.config.reach_frames
    levels = (mix.levels * STEPS_PER_UNIT).round().astype(np.uint8)
    return recalled(model.answers(np.pad(levels, ((0, 0), (reach, reach), (0, 0)))))


@dataclass(frozen=True, slots=True)
class _Judged:
    """Hits of one family over all pieces: how probable each was, whether it was right, and how many there are."""

    probabilities: NDArray[np.float64]
    right: NDArray[np.bool_]
    true: int


def _judged(mixes: Sequence[Mix], heard: Sequence[Answers], family: str, threshold: float) -> _Judged:
    """What one threshold gives, at 50 ms; what nobody can hear is neither asked for nor wrong.

    Those who annotate records know the drums by themselves: what is half covered, and left out of learning, counts.
    """
    probabilities: list[float] = []
    right: list[bool] = []
    true = 0
    thresholds = replace(Thresholds(*[_NEVER] * len(FAMILIES)), **{family: threshold})
    for mix, answers in zip(mixes, heard, strict=True):
        hits = decode_hits(answers, thresholds, DRUMS_FRONT_END.frame_s)
        played = [hit for hit in mix.hits if hit.instrument in FAMILIES[family] and hit.time_s >= 0]
        covered_s = np.array([hit.time_s for hit in played if not can_be_heard(hit)])
        truth_s = np.sort([hit.time_s for hit in played if can_be_heard(hit)])
        kept = [hit for hit in hits if not len(covered_s) or np.abs(covered_s - hit.time_s).min() > 0.03]
        matched: set[int] = set()
        if kept and len(truth_s):
            times_s = np.array([hit.time_s for hit in kept])
            matched = {given for _, given in mir_eval.util.match_events(truth_s, times_s, 0.05)}
        probabilities += [hit.confidence for hit in kept]
        right += [row in matched for row in range(len(kept))]
        true += len(truth_s)
    return _Judged(np.array(probabilities), np.array(right, np.bool_), true)


def _f1(judged: _Judged) -> float:
    return 2 * float(judged.right.sum()) / max(1, len(judged.right) + judged.true)
