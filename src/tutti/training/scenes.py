"""The material of the recipes that listen to drums: kits, scenes, shards, and batches prepared while one is learnt."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from tutti.audio.bands import DRUMS_FRONT_END
from tutti.datasets.drum_scenes import Hit, SceneMaker
from tutti.datasets.drum_voices import build_drum_voices
from tutti.datasets.muldjord import build_muldjord
from tutti.datasets.note_bank import build_bank
from tutti.datasets.scene_shards import SceneShards, write_scene_shard
from tutti.datasets.struck import build_struck
from tutti.errors import TrainingError
from tutti.music.files import write_atomic
from tutti.training.recipes import Table

__all__ = ["Ahead", "SceneMaterial", "open_scenes"]


class SceneMaterial(Table):
    """Where sounds and takes come from; relative paths count from the recipe file."""

    groove_midi: Path
    bank: Path
    salamander: Path | None = None
    muldjord: Path | None = None
    """The folder of MuldjordKit, see `datasets.muldjord`."""
    held_out_kits: tuple[str, ...]
    """How the names of the voices begin that only validation hears."""
    corpus: Path
    shards: int = Field(ge=1)
    validation_shards: int = Field(4, ge=1)
    scenes_per_shard: int = Field(16, ge=1)
    scene_s: float = Field(24.0, gt=5)
    processes: int = Field(2, ge=1)


def open_scenes(material: SceneMaterial, base: Path, seed: int) -> tuple[SceneShards, SceneShards]:
    """Shards to learn from and shards to validate on, with other takes and other kits; what is missing is made.

    Raises TrainingError when a source is missing, or when the corpus was drawn from something else.
    """
    corpus = base / material.corpus
    parts = {"train": material.shards, "validation": material.validation_shards}
    missing = [
        (split, number)
        for split, count in parts.items()
        for number in range(count)
        if not (corpus / split / f"shard_{number:05d}.json").exists()
    ]
    if missing:
        bank = base / material.bank
        for name in build_bank(bank, base / material.salamander if material.salamander else None):
            print(f"bank: {name}", flush=True)
        kits = [build_drum_voices(bank), build_struck(bank)]
        kits += [build_muldjord(bank, base / material.muldjord)] if material.muldjord else []
        for name in chain.from_iterable(kits):
            print(f"bank: {name}", flush=True)
    _claim(material, base, seed)
    if missing:
        jobs = [(material, base, seed, missing[part :: material.processes]) for part in range(material.processes)]
        with multiprocessing.get_context("spawn").Pool(material.processes) as pool:
            pool.starmap(_write, jobs)
    learn, validation = (SceneShards(corpus / split, count) for split, count in parts.items())
    return learn, validation


def _claim(material: SceneMaterial, base: Path, seed: int) -> None:
    """Write down what the corpus is drawn from, or refuse one that was drawn from something else."""
    corpus = base / material.corpus
    origin = {
        "seed": seed,
        "scene_s": material.scene_s,
        "scenes_per_shard": material.scenes_per_shard,
        "held_out_kits": list(material.held_out_kits),
        "front_end": repr(DRUMS_FRONT_END),
        "strokes": [field.name for field in fields(Hit)],
        "voices": sorted(path.stem for path in (base / material.bank).glob("*.json")),
    }
    claim = corpus / "corpus.json"
    corpus.mkdir(parents=True, exist_ok=True)
    if not claim.exists():
        write_atomic(claim, json.dumps(origin, indent=1).encode())
    known = json.loads(claim.read_text())
    changed = [name for name in origin if origin[name] != known.get(name)]
    if changed:
        raise TrainingError(f"{corpus} was drawn with another {', '.join(changed)}. Delete it or name a new folder.")


def _write(material: SceneMaterial, base: Path, seed: int, numbers: list[tuple[str, int]]) -> None:
    torch.set_num_threads(1)
    makers: dict[str, SceneMaker] = {}
    for split, number in numbers:
        if split not in makers:
            makers[split] = SceneMaker(
                base / material.bank, base / material.groove_midi, material.scene_s, split, material.held_out_kits
            )
        folder = base / material.corpus / split
        write_scene_shard(folder, number, material.scenes_per_shard, makers[split], seed)


class Ahead:
    """`batches(step)` as `make` gives them, the next one made in the background meanwhile."""

    def __init__(self, make: Callable[[int], dict[str, Any]]) -> None:
        self.make = make
        self._pool = ThreadPoolExecutor(1)
        self._next: tuple[int, Future[dict[str, Any]]] | None = None

    def __call__(self, step: int) -> dict[str, Any]:
        batch = self._next[1].result() if self._next and self._next[0] == step else self.make(step)
        self._next = (step + 1, self._pool.submit(self.make, step + 1))
        return batch
