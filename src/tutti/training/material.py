"""What recipes of transcription learn from: a note bank, and a corpus of pieces drawn from it as shards."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import Field

from tutti.datasets.mixtures import Mixer
from tutti.datasets.note_bank import build_bank
from tutti.datasets.plucked import build_plucked
from tutti.errors import TrainingError
from tutti.music.files import write_atomic
from tutti.training.recipes import Table

__all__ = ["Material", "ShardWriter", "build_material", "mixer_of"]


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


class ShardWriter(Protocol):
    """Draws and stores shard `number` of `pieces` pieces; can be pickled."""

    def __call__(self, folder: Path, number: int, pieces: int, mixer: Mixer, *, seed: int) -> None: ...


def mixer_of(material: Material, base: Path, *, validation: bool = False) -> Mixer:
    """What draws pieces; for validation from scores that are kept from training."""
    return Mixer(
        base / material.bank,
        base / material.percepiano,
        base / material.groove_midi,
        material.piece_s,
        validation=validation,
    )


def build_material(material: Material, base: Path, seed: int, kind: str, write_shard: ShardWriter) -> None:
    """Render the bank and draw the shards that are not there yet; `kind` says what a shard holds.

    Raises TrainingError when the corpus was drawn from something else.
    """
    corpus, bank = base / material.corpus, base / material.bank
    missing = [n for n in range(material.shards) if not (corpus / f"shard_{n:05d}.json").exists()]
    if missing or not any(bank.glob("*.json")):
        for name in build_bank(bank, base / material.salamander if material.salamander else None):
            print(f"bank: {name}", flush=True)
        for name in build_plucked(bank, material.plucked_guitars, seed):
            print(f"bank: {name}", flush=True)
    _claim_corpus(corpus, _origin(material, bank, seed, kind))
    if not missing:
        return
    jobs = [
        (material, base, seed, missing[part :: material.processes], write_shard) for part in range(material.processes)
    ]
    with multiprocessing.get_context("spawn").Pool(material.processes) as pool:
        pool.starmap(_write_shards, jobs)


def _origin(material: Material, bank: Path, seed: int, kind: str) -> dict[str, Any]:
    return {
        "seed": seed,
        "piece_s": material.piece_s,
        "pieces_per_shard": material.pieces_per_shard,
        "front_end": kind,
        "voices": sorted(path.stem for path in bank.glob("*.json")),
    }


def _claim_corpus(corpus: Path, origin: dict[str, Any]) -> None:
    """Write down what the corpus is drawn from, or refuse one that was drawn from something else."""
    claim = corpus / "corpus.json"
    corpus.mkdir(parents=True, exist_ok=True)
    if not claim.exists():
        write_atomic(claim, json.dumps(origin, indent=1).encode())
    known = json.loads(claim.read_text())
    changed = [name for name in origin if origin[name] != known.get(name)]
    if changed:
        raise TrainingError(f"{corpus} was drawn with another {', '.join(changed)}. Delete it or name a new folder.")


def _write_shards(material: Material, base: Path, seed: int, numbers: list[int], write_shard: ShardWriter) -> None:
    torch.set_num_threads(1)
    mixer = mixer_of(material, base)
    for number in numbers:
        write_shard(base / material.corpus, number, material.pieces_per_shard, mixer, seed=seed)
