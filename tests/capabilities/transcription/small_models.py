"""Models of the MT3 family with random weights, small enough for a test: their kinds are whole, their sizes are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tutti.capabilities.transcription.codec import EOS
from tutti.capabilities.transcription.generation import GenerationRules, Row, RowKey, Written, generate
from tutti.capabilities.transcription.hearing_tokens import Backend, nothing_before
from tutti.capabilities.transcription.models import (
    mr_mt3,
    mt3,
    mt3_pytorch,
    tutti_mt3_tiny,
    ymt3_plus,
    yptf_moe_multi,
    yptf_multi,
)
from tutti.capabilities.transcription.models.adapter import Adapter
from tutti.capabilities.transcription.models.mt3_network import build_network
from tutti.capabilities.transcription.models.perceiver_config import PerceiverConfig
from tutti.weights.cards import Card
from tutti.weights.saving import write_safetensors

SIZES = {"width": 16, "heads": 2, "head_width": 8, "feed_forward": 24, "decoder_layers": 2}
SEGMENT_SAMPLES = 1500  # a dozen frames
STEM_SAMPLES = 3072  # a dozen pairs of frames


def _small(adapter: Adapter, max_tokens: int = 90) -> Adapter:
    network = replace(adapter.network, **SIZES, encoder_layers=2 if adapter.network.encoder_layers else 0)
    bands = 16 if not adapter.is_projected and adapter.perceiver is None else adapter.front_end.bands
    front_end = replace(
        adapter.front_end, segment_samples=STEM_SAMPLES if adapter.has_note_stem else SEGMENT_SAMPLES, bands=bands
    )
    return replace(adapter, network=network, front_end=front_end, max_tokens=max_tokens)


def _perceiver(experts: int, latents: int) -> PerceiverConfig:
    # rotary tables need heads to be a multiple of four
    return PerceiverConfig(
        latents, blocks=2, layers=1, width=32, heads=4, stem_channels=3, max_frames=16, experts=experts
    )


ADAPTERS: dict[str, Adapter] = {
    "mt3": _small(mt3.ADAPTER),
    "mt3_pytorch": _small(mt3_pytorch.ADAPTER),
    "mr_mt3": replace(_small(mr_mt3.ADAPTER), memory_rows=5),
    "ymt3_plus": _small(ymt3_plus.ADAPTER),
    "tutti_mt3_tiny": replace(_small(tutti_mt3_tiny.ADAPTER), decoding="greedy"),  # random weights know no order
    "yptf_multi": replace(_small(yptf_multi.ADAPTER, 24), perceiver=_perceiver(0, 26)),
    "yptf_moe_multi": replace(_small(yptf_moe_multi.ADAPTER, 24), perceiver=_perceiver(3, 26)),
}


@torch.no_grad()
def network_of(adapter: Adapter) -> torch.nn.Module:
    """Weights at random, such that tokens differ from row to row and some rows end early."""
    torch.manual_seed(3)
    network = build_network(adapter).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)  # type: ignore[operator]
    if adapter.has_note_stem:  # which begins by hearing nothing, whatever comes
        network.stem.hearing.notes.head.bias.zero_()  # type: ignore[union-attr, operator]
        network.stem.hearing.notes.head.weight.mul_(100)  # type: ignore[union-attr, operator]
    scale = 3 / adapter.network.logit_scale
    network.decoder.logits.weight.mul_(scale)  # type: ignore[union-attr, operator]
    network.decoder.logits.weight[EOS].mul_(1.6)  # type: ignore[union-attr, index]
    return network


def frames_of(adapter: Adapter, segments: int, seed: int = 0) -> NDArray[np.float32]:
    shape = (segments, adapter.front_end.frames, adapter.front_end.features)
    loudness = 3 if adapter.has_note_stem else 1  # what is soft begins everywhere, and all rows are alike
    return np.random.default_rng(seed).normal(0, loudness, shape).astype(np.float32)


def write_all(
    backend: Backend, adapter: Adapter, frames: NDArray[np.float32], rows: int, banned: Sequence[int] = ()
) -> dict[int, Written]:
    """What a backend writes of every row, by its number; with a memory, each remembers the same."""
    states = list(backend.encode(frames))
    if adapter.memory_rows:
        previous = nothing_before(adapter)
        states = [backend.remember(each, previous) for each in states]  # type: ignore[arg-type]
    waiting = [Row(RowKey(0, number, 0), each) for number, each in enumerate(states)]

    def take(count: int) -> list[Row]:
        taken, waiting[:] = waiting[:count], waiting[count:]
        return taken

    stepper = backend.stepper(rows, np.array(banned, np.int64))
    rules = GenerationRules(adapter.decoding, adapter.max_tokens)
    return {written.key.segment: written for written in generate(stepper, take, rules)}


def assert_same(found: dict[int, Written], expected: dict[int, Written], tolerance: float = 1e-4) -> None:
    assert found.keys() == expected.keys()
    for number, written in expected.items():
        np.testing.assert_array_equal(found[number].tokens, written.tokens)
        np.testing.assert_allclose(found[number].log_probs, written.log_probs, atol=tolerance)


@dataclass(frozen=True)
class SmallModel:
    card: Card
    adapter: Adapter
    network: torch.nn.Module


def write_model(folder: Path, name: str, adapter_name: str, settings: dict[str, str] | None = None) -> SmallModel:
    """A card in `folder`/cards and its weights, those of an adapter with `SIZES`, as converted in `folder` as cache."""
    from tutti.capabilities.transcription.models.adapter import adapter_of, configured
    from tutti.weights.cards import read_card

    sizes = "".join(f"{key} = {value}\n" for key, value in {**SIZES, "encoder_layers": 2}.items())
    text = (
        f'name = "{name}"\ncapability = "transcription"\nframework = "torch"\ndescription = "of the tests"\n'
        'licence = "Apache-2.0"\nsource = "the tests"\nparameters = 1\nlocations = ["converted"]\n'
        f'file = "{name}.safetensors"\nsize_bytes = %d\n[config]\nadapter = "{adapter_name}"\n[config.network]\n{sizes}'
    )
    path = folder / "cards" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text % 1)
    adapter = configured(adapter_of(read_card(path)), settings or {})
    network = network_of(adapter)
    tensors = {key: value.numpy() for key, value in network.state_dict().items()}
    path.write_text(text % sum(value.nbytes for value in tensors.values()))
    weights = folder / "converted" / f"{name}.safetensors"
    weights.parent.mkdir(exist_ok=True)
    write_safetensors(weights, tensors, {"card": name, **(settings or {})})
    return SmallModel(read_card(path), adapter, network)
