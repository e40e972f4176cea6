"""Networks by name or path, and token ids from them: the level below `run`, for programs that bring their own."""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutti.capabilities.groove.models.drum_pattern_transformer import DrumPatternTransformer, open_checkpoint
from tutti.capabilities.groove.models.tutti_groove import GrooveNet, GrooveNetConfig
from tutti.capabilities.groove.sampling import Guide, Sampling, sample
from tutti.capabilities.groove.styles import style_called
from tutti.capabilities.groove.tokens import Conditions, Grammar, Tokenizer, tokenizer
from tutti.errors import OptionError, WeightsError, WeightsMissingError
from tutti.weights.cards import Card, find_card
from tutti.weights.devices import choose_device
from tutti.weights.loaded import LOADED, with_cpu_fallback
from tutti.weights.native import read_table
from tutti.weights.opening import NoFirstWeights, open_strict
from tutti.weights.store import hash_of, locate

__all__ = ["BarCount", "Loaded", "generate_pattern", "load_model", "open_model"]

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

Network = GrooveNet | DrumPatternTransformer


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network in memory and where it is from."""

    network: Network
    metadata: dict[str, Any]
    sha256: str
    device: str
    warning: str | None = None
    """What was done instead of what was asked."""


def load_model(model_path: str | os.PathLike[str], device: str | None = None) -> tuple[Network, dict[str, Any]]:
    """A network, ready to generate, and its metadata: at least `vocab_size`, `max_length`, `device`, `sha256`.

    `model_path` is the name, id or alias of a style, the name of a model card, or the path of a checkpoint: safetensors
    as the recipe writes it, or a `.pt` of a DrumPatternTransformer. The four used last stay in memory, by content, not
    by name. `device` None is the best there is; a GPU without room leaves the network on the CPU, and
    `metadata["device"]` says so.

    Raises UnknownModelError, WeightsMissingError, WeightsError, StrictLoadingError, DeviceError.
    """
    loaded = open_model(str(model_path), device or "auto")
    return loaded.network, dict(loaded.metadata)


def open_model(name: str, device: str = "auto") -> Loaded:
    """`load_model`, with more said of it."""
    (network, metadata, sha256), warning = with_cpu_fallback(lambda place: _opened(name, place), device)
    on = str(next(network.parameters()).device)
    return Loaded(network, {**metadata, "device": on, "sha256": sha256}, sha256, on, warning)


def _opened(name: str, device: str) -> tuple[Network, dict[str, Any], str]:
    chosen = choose_device(device)
    style = style_called(name)
    if name.endswith((".pt", ".pth", ".safetensors")) or os.sep in name:
        path = Path(name)
        if not path.is_file():
            raise WeightsMissingError(f"There is no checkpoint at {name}. Check the path; nothing stands in for it.")
        card_name, sha256, config = path.name, hash_of(path), None
    else:
        card: Card = find_card(style.model if style is not None else name)
        if card.capability != "groove":
            raise OptionError(f"The model {card.name} is for {card.capability}, not for groove.")
        path, card_name, sha256 = locate(card), card.name, card.sha256
        config = card.settings("network", GrooveNetConfig)

    def build() -> tuple[Network, dict[str, Any]]:
        network, metadata = (
            open_checkpoint(path) if path.suffix in (".pt", ".pth") else _open_own(path, card_name, config)
        )
        size = sum(parameter.numel() for parameter in network.parameters())
        log.info("%s: %d parameters for %s", card_name, size, chosen)
        return network.to(chosen), metadata

    network, metadata = LOADED.get(_ByContent("groove", sha256), chosen, "fp32", build)
    return network, metadata, sha256


@dataclass(frozen=True, slots=True)
class _ByContent:
    """Weights in memory are the same whatever they are called."""

    name: str
    sha256: str


def _open_own(path: Path, name: str, config: GrooveNetConfig | None) -> tuple[GrooveNet, dict[str, Any]]:
    """A file of the recipe; without a card's `config` it says itself what network it is for."""
    config = config or _config_in(path)
    if config.vocab_size != len(tokenizer()):
        raise WeightsError(
            f"{name} has a vocabulary of {config.vocab_size} tokens; those of tutti are {len(tokenizer())}. It was "
            "trained with another tokenizer, and what it says would be misread."
        )
    with NoFirstWeights():
        network = GrooveNet(config).eval()
    open_strict(network, path, name)
    return network, {"vocab_size": config.vocab_size, "max_length": config.max_length, "config": asdict(config)}


def _config_in(path: Path) -> GrooveNetConfig:
    said = read_table(path).metadata
    try:
        config = GrooveNetConfig(**json.loads(said["config"]))
        sizes = [getattr(config, field.name) for field in fields(config) if field.name != "dropout"]
        if not all(isinstance(size, int) and 0 < size <= 65_536 for size in sizes) or config.width % (2 * config.heads):
            raise ValueError(f"no network can be built from {config}")
        numbers = (12 * config.layers + 8 * config.inner_layers) * config.width**2
        if numbers > path.stat().st_size:  # two bytes a number, or more
            raise ValueError(f"the file is too small for {config}")
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path} does not say what network it is for ({error}). Give a file of the recipe."
        ) from error
    return config


class BarCount:
    """A guide for tokenizers without a grammar: no end before all bars have begun, then at their end token or at a bar
    too many, whichever comes first."""

    def __init__(self, size: int, bar: int | None, end: int | None, never: Sequence[int], bars: int) -> None:
        self._may = np.ones(size, bool)
        self._may[list(never)] = False
        self._bar, self._end, self._left, self._done = bar, end, bars, False

    @property
    def is_done(self) -> bool:
        return self._done

    def allowed(self) -> NDArray[np.bool_]:
        may = self._may.copy()
        if self._left > 0 and self._bar is not None and self._end is not None:
            may[self._end] = False
        return may

    def advance(self, token: int) -> None:
        if token == self._bar:
            self._left -= 1
        self._done = token == self._end or self._left < 0

    def closed(self, ids: list[int]) -> list[int]:
        """`ids` with the end token, if there is one, instead of the bar too many."""
        return [*ids[:-1], *([] if self._end is None else [self._end])] if self._left < 0 else ids


def generate_pattern(
    model: Any,
    tokenizer: Any,
    prompt_tokens: Sequence[int] | None = None,
    num_bars: int = 4,
    temperature: float = 1.0,
    top_k: int = 50,
    top_p: float = 0.9,
    max_length: int = 512,
    device: str = "cpu",
    *,
    seed: int | None = None,
    repetition_penalty: float = 1.0,
    metre: str = "4/4",
    style_id: int = 0,
) -> list[int]:
    """Token ids: the prompt, `num_bars` bars after it, and the end token.

    Logits over temperature (0 takes the most probable), top k (0 is off), top p (1 is off), then a draw from a
    generator of its own. With tutti's `Tokenizer` every pattern is well-formed, and `prompt_tokens` are a header and
    whole bars, by default the header of nothing but `metre`. With any other that has a `vocab` (MidiTok's) a prompt is
    what it is, by default its BOS, and a bar is what `Bar_None` begins. `style_id` is for DrumPatternTransformer.
    Generation ends sooner where `max_length` tokens, the prompt among them, are reached.

    Raises OptionError for values out of range, unknown ids, a prompt as long as `max_length`, a tokenizer of another
    size than the model's vocabulary; DeviceError.
    """
    if not 1 <= num_bars <= 1024:
        raise OptionError(f"num_bars is 1-1024; got {num_bars}.")
    if max_length < 1:
        raise OptionError(f"max_length is at least 1; got {max_length}.")
    if seed is not None and seed < 0:
        raise OptionError(f"seed is at least 0; got {seed}.")
    sampling = Sampling(temperature, top_k, top_p, repetition_penalty)
    size = model.config.vocab_size
    if size != len(tokenizer):
        raise OptionError(f"The model has a vocabulary of {size} tokens, the tokenizer one of {len(tokenizer)}.")
    prompt, guide = _begun(tokenizer, prompt_tokens, num_bars, metre, size)
    if not prompt:
        raise OptionError("prompt_tokens holds none. Leave it out to begin with nothing.")
    if unknown := [token for token in prompt if not 0 <= token < size]:
        raise OptionError(f"The prompt has ids that are no tokens: {unknown[:5]}; they are 0-{size - 1}.")
    chosen = choose_device(device)
    if next(model.parameters()).device != chosen:
        model = deepcopy(model).to(chosen)  # the network itself may be in use where it is
    model.eval()
    if isinstance(model, DrumPatternTransformer):
        model = model.in_style(style_id)
    seeds = [(secrets.randbits(63) if seed is None else seed,)]
    ids = sample(model, [prompt], [guide], seeds, sampling, max_length=max_length)[0].ids
    return guide.closed(ids) if isinstance(guide, BarCount) else ids


def _begun(tokens: Any, prompt: Sequence[int] | None, bars: int, metre: str, size: int) -> tuple[list[int], Guide]:
    if isinstance(tokens, Tokenizer):
        prompt = tokens.header(Conditions(metre=metre, bars=bars)) if prompt is None else list(prompt)
        return prompt, Grammar(tokens, metre, bars)
    vocab = tokens.vocab
    named = {name: vocab.get(f"{name}_None") for name in ("BOS", "EOS", "PAD", "MASK", "Bar")}
    if prompt is None:
        if named["BOS"] is None:
            raise OptionError("The tokenizer has no BOS_None to begin with. Give prompt_tokens.")
        prompt = [named["BOS"]]
    never = [named[name] for name in ("BOS", "PAD", "MASK") if named[name] is not None]
    return list(prompt), BarCount(size, named["Bar"], named["EOS"], never, bars)
