"""A network of one layer with random weights, its card, and what drummers and programmers play."""

from __future__ import annotations

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tutti.capabilities.groove.models.tutti_groove import GrooveNet, GrooveNetConfig
from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.capabilities.groove.prompts import read_pattern
from tutti.music.timing import TimeSignature

TAKES = sorted((Path(__file__).parents[2] / "data" / "groove").glob("*.mid"))
KICK, SNARE, HAT, OPEN, RIDE, CRASH = 36, 38, 42, 46, 51, 49


def take(name: str) -> Pattern:
    """The take of tests/data/groove whose file name holds `name`."""
    (path,) = (path for path in TAKES if name in path.name)
    return read_pattern(path)[0]


def small_network(seed: int = 0, **config: Any) -> GrooveNet:
    """Random everywhere, so that tokens, places and what is recalled all tell."""
    torch.manual_seed(seed)
    network = GrooveNet(GrooveNetConfig(**{"layers": 1, "width": 32, "heads": 2, "max_length": 512, **config})).eval()
    with torch.no_grad():
        for table in (network.embedding, network.place, *network.recalled, network.asked):
            table.weight.normal_(std=0.2)  # type: ignore[union-attr, operator]
    return network


def small_weights(path: Path, seed: int = 0, **config: Any) -> Path:
    network = small_network(seed, **config)
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, path, {"config": json.dumps(asdict(network.config))})
    return path


def small_card(folder: Path, seed: int = 0) -> Path:
    """A card named tutti-groove in `folder`, its weights as the store keeps them: TUTTI_CARDS_DIR and _CACHE_DIR."""
    made = small_weights(folder / "made.safetensors", seed)
    data = made.read_bytes()
    digest = sha256(data).hexdigest()
    path = folder / "weights" / digest / "tutti-groove.safetensors"
    path.parent.mkdir(parents=True)
    made.rename(path)
    (folder / "tutti-groove.toml").write_text(
        'name = "tutti-groove"\ncapability = "groove"\nframework = "torch"\ndescription = "of the tests"\n'
        'licence = "Apache-2.0"\nsource = "the tests"\nparameters = 1\nfile = "tutti-groove.safetensors"\n'
        f'size_bytes = {len(data)}\nsha256 = "{digest}"\nlocations = ["{path.as_uri()}"]\n'
        "[config.network]\n" + "".join(f"{name} = {value}\n" for name, value in asdict(small_network().config).items())
    )
    return folder


def pattern_of(*hits: tuple[float, int, int], bars: int = 1, bpm: float = 100, metre: str = "4/4") -> Pattern:
    numerator, denominator = map(int, metre.split("/"))
    return Pattern(tuple(Hit(*hit) for hit in hits), bpm, bars, TimeSignature(numerator, denominator))


def rock(bars: int = 4, bpm: float = 100) -> Pattern:
    """Straight eighths, kick on 1 and 3, snare on 2 and 4: on the grid, each voice at one velocity."""
    hits = [(half / 2, HAT, 80) for half in range(8 * bars)]
    hits += [(4.0 * bar + beat, KICK if beat % 2 == 0 else SNARE, 100) for bar in range(bars) for beat in range(4)]
    return pattern_of(*hits, bars=bars, bpm=bpm)
