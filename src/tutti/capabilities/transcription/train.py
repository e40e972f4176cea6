"""The recipe of `tutti-notes`: a note bank, a corpus of mixed pieces as features, and a network that learns from both.

`tutti train transcription --config FILE` builds whatever is missing, then trains. Every draw follows from the seed.
"""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import asdict
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
from tutti.datasets.mixtures import Mixer, Piece
from tutti.datasets.note_bank import build_bank
from tutti.datasets.plucked import build_plucked
from tutti.errors import TrainingError
from tutti.music.files import write_atomic
from tutti.music.notes import Notes
from tutti.training.loop import Schedule, fit
from tutti.training.recipes import Table, follow, read_recipe

__all__ = ["Recipe", "train"]


class Material(Table):
    """Where sounds and scores come from; relative paths count from the recipe file."""

    percepiano: Path
    groove_midi: Path
    bank: Path
    salamander: Path | None = None
    plucked_guitars: int = Field(10, ge=0)
    corpus: Path
    shards: int = Field(200, ge=1)
    pieces_per_shard: int = Field(24, ge=1)
    piece_s: float = Field(15.984, gt=5)
    processes: int = Field(2, ge=1)


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
    _build_material(recipe, config_path.parent)
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
    material = recipe.material
    mixer = Mixer(base / material.bank, base / material.percepiano, base / material.groove_midi, material.piece_s, True)
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


def _build_material(recipe: Recipe, base: Path) -> None:
    """Render the bank and draw the shards that are not there yet."""
    material = recipe.material
    corpus, bank = base / material.corpus, base / material.bank
    missing = [n for n in range(material.shards) if not (corpus / f"shard_{n:05d}.json").exists()]
    if missing or not any(bank.glob("*.json")):
        for name in build_bank(bank, base / material.salamander if material.salamander else None):
            print(f"bank: {name}", flush=True)
        for name in build_plucked(bank, material.plucked_guitars, recipe.seed):
            print(f"bank: {name}", flush=True)
    _claim_corpus(recipe, corpus, bank)
    if not missing:
        return
    jobs = [(recipe, base, missing[part :: material.processes]) for part in range(material.processes)]
    with multiprocessing.get_context("spawn").Pool(material.processes) as pool:
        pool.starmap(_write_shards, jobs)


def _claim_corpus(recipe: Recipe, corpus: Path, bank: Path) -> None:
    """Write down what the corpus is drawn from, or refuse one that was drawn from something else."""
    origin = {
        "seed": recipe.seed,
        "piece_s": recipe.material.piece_s,
        "pieces_per_shard": recipe.material.pieces_per_shard,
        "front_end": repr(NOTES_FRONT_END),
        "voices": sorted(path.stem for path in bank.glob("*.json")),
    }
    claim = corpus / "corpus.json"
    corpus.mkdir(parents=True, exist_ok=True)
    if not claim.exists():
        write_atomic(claim, json.dumps(origin, indent=1).encode())
    known = json.loads(claim.read_text())
    changed = [name for name in origin if origin[name] != known.get(name)]
    if changed:
        raise TrainingError(f"{corpus} was drawn with another {', '.join(changed)}. Delete it or name a new folder.")


def _write_shards(recipe: Recipe, base: Path, numbers: list[int]) -> None:
    torch.set_num_threads(1)
    material = recipe.material
    mixer = Mixer(base / material.bank, base / material.percepiano, base / material.groove_midi, material.piece_s)
    for number in numbers:
        write_shard(base / material.corpus, number, material.pieces_per_shard, mixer, NOTES_FRONT_END, recipe.seed)
