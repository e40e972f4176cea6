"""Pieces as sound on disk, for networks whose spectra belong to a segment and so cannot be cut out of a longer one.

A shard is `shard_00000.npy`, int16 `(pieces, samples)` mono, and `shard_00000.json` with the notes of each piece.
Shards are drawn from seeds of their own: any of them can be made again.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from tutti.audio.resampling import QUALITY
from tutti.datasets.mixtures import Mixer
from tutti.datasets.note_bank import SAMPLE_RATE_HZ
from tutti.errors import TrainingError
from tutti.music.files import write_atomic
from tutti.music.notes import Note

__all__ = ["AudioShards", "write_audio_shard"]

_FULL_SCALE = 2**15 - 1


def write_audio_shard(folder: Path, number: int, pieces: int, mixer: Mixer, sample_rate_hz: int, seed: int) -> None:
    """Draw and store one shard; the JSON lands last, so a shard with JSON is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng((seed, number))
    sounds, labels = [], []
    for _ in range(pieces):
        piece = mixer.draw(rng)
        samples = soxr.resample(piece.samples, SAMPLE_RATE_HZ, sample_rate_hz, quality=QUALITY)
        sounds.append((samples.clip(-1, 1) * _FULL_SCALE).round().astype(np.int16))
        labels.append([(n.onset_s, n.offset_s, n.pitch, n.velocity, n.program, n.is_drum) for n in piece.notes])
    np.save(folder / f"shard_{number:05d}.npy", np.stack(sounds))
    write_atomic(folder / f"shard_{number:05d}.json", json.dumps(labels).encode())


class AudioShards:
    """The first `count` shards of a folder, memory mapped. Raises TrainingError when one is missing."""

    def __init__(self, folder: Path, count: int) -> None:
        self.sounds: list[NDArray[np.int16]] = []
        self.notes: list[list[list[Note]]] = []
        for number in range(count):
            path = folder / f"shard_{number:05d}.json"
            if not path.exists():
                raise TrainingError(f"No {path}. Make it: tutti train mt3 --config RECIPE")
            self.sounds.append(np.load(path.with_suffix(".npy"), mmap_mode="r"))
            self.notes.append([[Note(*fields) for fields in piece] for piece in json.loads(path.read_text())])

    def crop(self, rng: np.random.Generator, samples: int) -> tuple[NDArray[np.float32], list[Note], int]:
        """A random stretch: its samples, the piece's notes, and the number of the stretch's first sample."""
        shard = int(rng.integers(len(self.sounds)))
        piece = int(rng.integers(len(self.notes[shard])))
        begin = int(rng.integers(self.sounds[shard].shape[1] - samples + 1))
        sound = self.sounds[shard][piece, begin : begin + samples]
        return sound.astype(np.float32) / np.float32(_FULL_SCALE), self.notes[shard][piece], begin
