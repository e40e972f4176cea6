"""Scenes as features on disk, drums and band apart, so that training mixes them anew each time it hears them.

A shard is `shard_00000.npy`, uint8 `(scenes, 2, windows, frames, bands)` of the drum front end's stored levels, drums
first, and `shard_00000.json` with hits and beats. Shards are drawn from seeds of their own: any can be made again.
"""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutti.audio.bands import stored_levels
from tutti.datasets.drum_scenes import Hit, SceneMaker
from tutti.errors import TrainingError
from tutti.music.files import write_atomic

__all__ = ["SceneShards", "StoredScene", "write_scene_shard"]


def write_scene_shard(folder: Path, number: int, scenes: int, maker: SceneMaker, seed: int) -> None:
    """Draw and store one shard; the JSON lands last, so a shard with JSON is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng((seed, number))
    features, labels = [], []
    for _ in range(scenes):
        scene = maker.draw(rng)
        sounds = (scene.drums, scene.band)
        features.append(np.stack([np.concatenate(list(stored_levels([sound])), axis=1) for sound in sounds]))
        hits = [astuple(hit) for hit in scene.hits]
        labels.append({"hits": hits, "beats": scene.beats})
    np.save(folder / f"shard_{number:05d}.npy", np.stack(features))
    write_atomic(folder / f"shard_{number:05d}.json", json.dumps(labels).encode())


@dataclass(frozen=True, slots=True)
class StoredScene:
    levels: NDArray[np.uint8]
    """(2, windows, frames, bands): drums, band."""
    hits: tuple[Hit, ...]
    beats: tuple[tuple[float, int], ...]


class SceneShards:
    """The first `count` shards of a folder, memory mapped. Raises TrainingError when one is missing."""

    def __init__(self, folder: Path, count: int) -> None:
        self.scenes: list[StoredScene] = []
        for number in range(count):
            path = folder / f"shard_{number:05d}.json"
            if not path.exists():
                raise TrainingError(f"No {path}. Make it: tutti train drums --config RECIPE")
            levels = np.load(path.with_suffix(".npy"), mmap_mode="r")
            for row, labels in enumerate(json.loads(path.read_text())):
                hits = tuple(
                    Hit(time_s, instrument, velocity, level_db, tuple(shares_db))
                    for time_s, instrument, velocity, level_db, shares_db in labels["hits"]
                )
                beats = tuple((float(time_s), int(place)) for time_s, place in labels["beats"])
                self.scenes.append(StoredScene(levels[row], hits, beats))

    def draw(self, rng: np.random.Generator) -> StoredScene:
        return self.scenes[rng.integers(len(self.scenes))]
