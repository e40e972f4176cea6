"""The recipe of `tutti-notes`: a note bank, a corpus of mixed pieces as features, and a network that learns from both.

`tutti train transcription --config FILE` builds whatever is missing, then trains. Every draw follows from the seed.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from tutti.audio.log_frequency import DB_PER_UNIT, NOTES_FRONT_END
from tutti.capabilities.transcription.hearing_frames import build
from tutti.capabilities.transcription.models.tutti_notes import NotesNet, NotesNetConfig, Predictions
from tutti.capabilities.transcription.targets import Targets, both, losses, targets_of
from tutti.capabilities.transcription.thresholds import choose_thresholds
from tutti.datasets.feature_shards import STEPS_PER_UNIT, FeatureShards, write_shard
from tutti.datasets.mixtures import Piece
from tutti.errors import TrainingError
from tutti.music.notes import Notes
from tutti.training.loop import Schedule, fit
from tutti.training.material import Material, build_material, mixer_of
from tutti.training.recipes import Table, follow, read_recipe

__all__ = ["Recipe", "train"]


class Learning(Table):
    steps: int = Field(ge=1)
    batch: int = Field(8, ge=1)
    crop_frames: int = Field(256, ge=64, multiple_of=2)
    learning_rate: float = Field(2e-3, gt=0)
    warmup_steps: int = Field(100, ge=1)
    transpose: int = Field(4, ge=0, le=12)
    mixed: float = Field(0.25, ge=0, le=1)
    validation_pieces: int = Field(48, ge=1)


class Recipe(Table):
    seed: int
    material: Material
    network: NotesNetConfig = NotesNetConfig()
    learning: Learning


def train(
    config_path: Path,
    run_dir: Path,
    *,
    device: str = "auto",
    precision: str = "fp32",
    max_minutes: float | None = None,
    resume: Path | None = None,
) -> Path:
    """Train by the recipe at `config_path`; returns the averaged weights, `run_dir/tutti-notes.safetensors`.

    Stops after `max_minutes` if given; `resume` is the `run_dir/checkpoint.ckpt` of a run that stopped. Losses go to
    `run_dir/losses.jsonl`. Raises TrainingError when material is missing, before anything is learnt.
    """
    recipe = read_recipe(config_path, Recipe)
    if resume is not None and not resume.is_file():
        raise TrainingError(f"No checkpoint at {resume}. Begin the run without --resume.")
    write = partial(write_shard, front_end=NOTES_FRONT_END)
    build_material(recipe.material, config_path.parent, recipe.seed, repr(NOTES_FRONT_END), write)
    validation = _validation_pieces(recipe, config_path.parent)
    torch.manual_seed(recipe.seed)
    network = NotesNet(recipe.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches = _Batches(recipe, FeatureShards(config_path.parent / recipe.material.corpus, recipe.material.shards))
    learning = recipe.learning
    schedule = Schedule(learning.steps, learning.learning_rate, learning.warmup_steps)
    steps = fit(network, _losses_of, batches, schedule, device=device, precision=precision, resume=resume)
    weights = follow(steps, run_dir / "tutti-notes.safetensors", network.config, learning.steps, max_minutes, resume)
    _validate(recipe, validation, weights)
    return weights


def _validation_pieces(recipe: Recipe, base: Path) -> list[Piece]:
    """Pieces of the scores that are kept from training."""
    mixer = mixer_of(recipe.material, base, validation=True)
    rng = np.random.default_rng((recipe.seed, 11))
    return [mixer.draw(rng) for _ in range(recipe.learning.validation_pieces)]


def _validate(recipe: Recipe, pieces: list[Piece], weights: Path) -> None:
    """Choose thresholds on `pieces` and write them with their scores beside `weights`."""
    model = build(weights, recipe.network, torch.device("cpu"), "fp32")
    thresholds, scores = choose_thresholds(model, ((piece.samples, Notes.of(piece.notes)) for piece in pieces))
    report = {"thresholds": asdict(thresholds), "scores": scores}
    weights.with_name("validation.json").write_text(json.dumps(report, indent=1))
    print(f"validation: {report}", flush=True)


def _losses_of(network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    predicted: Predictions = network(batch["frames"].contiguous(memory_format=torch.channels_last))
    return losses(predicted, batch)


class _Batches:
    """`batches(step)`: crops of the corpus, transposed, mistuned, brightened and levelled at random."""

    def __init__(self, recipe: Recipe, shards: FeatureShards) -> None:
        self.recipe, self.shards = recipe, shards

    def __call__(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.recipe.seed, 7, step))
        items = [self._item(rng) for _ in range(self.recipe.learning.batch)]
        return {name: torch.stack([item[name] for item in items]) for name in items[0]}

    def _item(self, rng: np.random.Generator) -> dict[str, Tensor]:
        frames, targets = self._crop(rng)
        if rng.random() < self.recipe.learning.mixed:  # two pieces at once are denser than anything the composer writes
            other, more = self._crop(rng)
            frames, targets = _sum(frames, other, rng.uniform(-8, 8)), both(targets, more)
        frames = np.where(frames > 0, frames + _tilt(rng, frames.shape[-1]), 0.0).clip(0.0, 2.0)
        tensors = {name: torch.from_numpy(getattr(targets, name)) for name in targets.__dataclass_fields__}
        return {"frames": torch.from_numpy(frames.astype(np.float32)), **tensors}

    def _crop(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], Targets]:
        """A stretch of a piece, moved in pitch: front-end units (2, frames, bins) and their targets."""
        learning = self.recipe.learning
        stored, notes, begin = self.shards.crop(rng, learning.crop_frames)
        transpose = int(rng.integers(-learning.transpose, learning.transpose + 1))
        mistune = int(rng.choice([-1, 0, 0, 0, 1]))  # bins of a third of a semitone
        frames = _shifted(stored, transpose * NOTES_FRONT_END.bins_per_semitone + mistune)
        targets = targets_of(notes, begin, learning.crop_frames, NOTES_FRONT_END.frame_s, transpose)
        return frames.astype(np.float32) / np.float32(STEPS_PER_UNIT), targets


def _sum(first: NDArray[np.float32], second: NDArray[np.float32], level_db: float) -> NDArray[np.float32]:
    """Two spectra sounding together, the second `level_db` above the first over the stretch (powers add)."""
    first_power, second_power = (_above_floor(frames) for frames in (first, second))
    ratio = 1.0  # of silence to anything there is none
    if first_power.any() and second_power.any():
        ratio = float(first_power.mean() / second_power.mean()) * 10 ** (level_db / 10)
    return np.log10(1 + first_power + second_power * np.float32(ratio)) * np.float32(10 / DB_PER_UNIT)


def _above_floor(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Power in multiples of the floor's, less the floor itself, so that sums of silence are silence."""
    power: NDArray[np.float32] = 10 ** (frames * np.float32(DB_PER_UNIT / 10)) - np.float32(1)
    return power


def _shifted(frames: np.ndarray[Any, Any], bins: int) -> np.ndarray[Any, Any]:
    """The spectrum moved up by `bins`, floor coming in at the other end."""
    moved = np.zeros_like(frames)
    if bins >= 0:
        moved[..., bins:] = frames[..., : frames.shape[-1] - bins]
    else:
        moved[..., :bins] = frames[..., -bins:]
    return moved


def _tilt(rng: np.random.Generator, bins: int) -> np.ndarray[Any, Any]:
    """A smooth curve over frequency within about +-9 dB, in front-end units (50 dB)."""
    points = rng.normal(0, 0.06, 6)
    return np.interp(np.linspace(0, 5, bins), np.arange(6), points) + rng.normal(0, 0.08)
