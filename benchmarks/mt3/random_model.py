"""A full-size model with the random weights of the parity benchmark, converted as a published file would be."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.parity.random_weights import RandomModel, random_tensors
from benchmarks.parity.systems import KEYS, SEED
from benchmarks.parity.upstream_files import Setup, read_shapes, repeats_of, write_upstream
from tutti.capabilities.transcription.conversion import convert
from tutti.capabilities.transcription.models.adapter import adapter_of
from tutti.weights.cards import find_card

__all__ = ["write_model"]


def write_model(cache: Path, name: str = "mt3_pytorch", keys: str = "mt3_pytorch", row_length: int = 300) -> None:
    """Put the weights of the card `name` where a process whose cache folder is `cache` looks for them."""
    card = find_card(name)
    adapter = adapter_of(card)
    network = adapter.network
    random = RandomModel(adapter.codec, SEED, network.width, network.decoder_layers, network.logit_scale, row_length)
    shapes = read_shapes(KEYS / f"keys_{keys}.txt")
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = write_upstream(
            Path(folder), Setup(name, adapter), random_tensors(random, shapes, repeats_of(shapes))
        )
        (cache / "converted").mkdir(parents=True, exist_ok=True)
        convert(checkpoint, card, is_any_file=True).write(cache / "converted" / card.file)
