"""Pieces as features on disk, so that training hears each of them many times at the price of reading.

A shard is `shard_00000.npy`, uint8 `(pieces, 2, frames, bins)` of a log-frequency front end (one step is 0.4 dB), and
`shard_00000.json` with the notes of each piece. Shards are drawn from seeds of their own: any of them can be made
again.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tutti.audio.log_frequency import LogFrequency
from tutti.datasets.mixtures import Mixer
from tutti.errors import TrainingError
from tutti.music.files import write_atomic
from tutti.music.notes import Note

__all__ = ["STEPS_PER_UNIT", "FeatureShards", "write_shard"]

STEPS_PER_UNIT = 125.0


def write_shard(folder: Path, number: int, pieces: int, mixer: Mixer, front_end: LogFrequency, seed: int) -> None:
    """Draw and store one shard; the JSON lands last, so a shard with JSON is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng((seed, number))
    features, labels = [], []
    for _ in range(pieces):
        piece = mixer.draw(rng)
        padded = np.pad(piece.samples, front_end.reach)
        frames = front_end(torch.from_numpy(padded)[None])[0]
        features.append((frames * STEPS_PER_UNIT).round().to(torch.uint8).numpy())
        labels.append([(n.onset_s, n.offset_s, n.pitch, n.velocity, n.program, n.is_drum) for n in piece.notes])
    np.save(folder / f"shard_{number:05d}.npy", np.stack(features))
    write_atomic(folder / f"shard_{number:05d}.json", json.dumps(labels).encode())


class FeatureShards:
    """The first `count` shards of a folder, memory mapped. Raises TrainingError when one is missing."""

    def __init__(self, folder: Path, count: int) -> None:
        self.features: list[NDArray[np.uint8]] = []
        self.notes: list[list[list[Note]]] = []
        for number in range(count):
            path = folder / f"shard_{number:05d}.json"
            if not path.exists():
                raise TrainingError(f"No {path}. Make it: tutti train transcription --config RECIPE")
            self.features.append(np.load(path.with_suffix(".npy"), mmap_mode="r"))
            self.notes.append([[Note(*fields) for fields in piece] for piece in json.loads(path.read_text())])

    def crop(self, rng: np.random.Generator, frames: int) -> tuple[NDArray[np.uint8], list[Note], int]:
        """A random stretch: features (2, frames, bins), the piece's notes, and the stretch's first frame."""
        shard = int(rng.integers(len(self.features)))
        piece = int(rng.integers(len(self.notes[shard])))
        begin = int(rng.integers(self.features[shard].shape[2] - frames + 1))
        return self.features[shard][piece, :, begin : begin + frames], self.notes[shard][piece], begin
