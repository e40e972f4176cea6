"""Drums out of a mix by HTDemucs, window by window in bounded memory.

The network is the class of the `demucs` package (S. Rouard, F. Massa, A. Défossez, "Hybrid Transformers for music
source separation", ICASSP 2023); its weights come by a card or from a folder, and are loaded strictly. Windows, their
triangular weights, the padding of the last ones and the shifts are those of `demucs.apply.apply_model`, which holds
whole recordings and all stems in memory.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from tutti.errors import CardError, HashMismatchError, MissingExtraError, OptionError, WeightsError, WeightsMissingError
from tutti.listening.spool import FloatArray, Spool
from tutti.weights.cards import Card, find_card
from tutti.weights.devices import choose_device
from tutti.weights.loaded import LOADED, with_cpu_fallback
from tutti.weights.opening import load_strict, open_strict
from tutti.weights.store import hash_of, locate, path_of

__all__ = ["Demucs", "DemucsOptions", "build", "is_available", "open_demucs", "separated"]

_MAX_SHIFT_S: Final = 0.5
_SILENT: Final = 1e-8
"""Standard deviation below which a recording is silent: -160 dB."""

Separate = Callable[[Tensor], Tensor]
"""(channels, segment) → the drums in it, (channels, segment)."""


@dataclass(frozen=True)
class DemucsOptions:
    """How HTDemucs is applied. Raises OptionError for what makes no sense."""

    model: str = "htdemucs"
    """The name of a card with capability "stems"."""
    repository: Path | None = None
    """A folder that holds the model's file, instead of the cache of fetched weights."""
    shifts: int = 0
    """0 is one pass; n averages n passes, each moved by a random part of half a second."""
    overlap: float = 0.25
    """Part of a window that the next one shares."""
    segment_s: float | None = None
    """Length of a window in seconds; None is the longest, the one the network was trained with."""
    seed: int = 0
    """Of the shifts."""
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.shifts < 0:
            raise OptionError(f"shifts={self.shifts!r} is negative. Use 0, or a few for a slightly better result.")
        if not 0 <= self.overlap < 1:
            raise OptionError(f"overlap={self.overlap!r} is not within 0 and 1. 0.25 is a good choice.")
        if self.segment_s is not None and not self.segment_s > 0:
            raise OptionError(f"segment_s={self.segment_s!r} is no positive number of seconds. Leave it out.")


def is_available(options: DemucsOptions) -> bool:
    """Whether the package and the model's file are here. The file is not checked yet. Raises UnknownModelError."""
    if importlib.util.find_spec("demucs") is None:
        return False
    card = find_card(options.model)
    if options.repository is not None:
        return bool(_candidates(card, options.repository))
    return path_of(card).is_file()


@dataclass(frozen=True)
class _Weights:
    """One file of a model and what it is known by."""

    card: Card
    path: Path


class Demucs:
    """HTDemucs ready to separate; goes on on the CPU where a GPU has too little memory."""

    def __init__(self, options: DemucsOptions, weights: _Weights) -> None:
        self.options = options
        self.weights = weights
        self.warnings: list[str] = []
        self.device = options.device
        self.network: Any = self._resilient(self._load)

    @property
    def sample_rate_hz(self) -> int:
        return int(self.network.samplerate)

    def drums(self, mix: Spool) -> Iterator[FloatArray]:
        """Consecutive blocks (channels, n) of the drums in `mix`, together as long as it.

        `mix` has one or two channels; one is separated as two equal ones and averaged again.
        """
        rate, options = self.sample_rate_hz, self.options
        segment = int((self.network.segment if options.segment_s is None else options.segment_s) * rate)
        shifts = None
        if options.shifts:
            draw = random.Random(options.seed)
            most = int(_MAX_SHIFT_S * rate)
            shifts = [most - draw.randint(0, most) for _ in range(options.shifts)]
        yield from separated(mix, self._drums_of, segment=segment, overlap=options.overlap, shifts=shifts)

    def detail(self) -> dict[str, Any]:
        """What was used, for the provenance of a result."""
        options = self.options
        return {
            "model": self.weights.card.name,
            "weights_sha256": self.weights.card.sha256,
            "device": str(self.device),
            "shifts": options.shifts,
            "overlap": options.overlap,
            "segment_s": float(self.network.segment if options.segment_s is None else options.segment_s),
            "seed": options.seed,
        }

    def _drums_of(self, segment: Tensor) -> Tensor:
        drums: Tensor = self._resilient(lambda device: self._on(device, segment))
        return drums

    @torch.inference_mode()
    def _on(self, device: str, segment: Tensor) -> Tensor:
        if device != self.device:
            self.network = self._load(device)
        network = self.network
        stereo = segment.expand(network.audio_channels, -1)[None].to(torch.device(self.device))
        drums: Tensor = network(stereo)[0, network.sources.index("drums")].cpu()
        return drums.mean(dim=0, keepdim=True) if len(segment) == 1 else drums

    def _load(self, name: str) -> Any:
        device = choose_device(name)
        self.device = str(device)
        card, path = self.weights.card, self.weights.path
        network: Any = LOADED.get(card, device, "fp32", lambda: build(card, path).to(device))
        longest = float(network.segment)
        if self.options.segment_s is not None and self.options.segment_s > longest:
            raise OptionError(f"segment_s={self.options.segment_s:g} is too long: {card.name} hears {longest:g} s.")
        return network

    def _resilient(self, attempt: Callable[[str], Any]) -> Any:
        value, warning = with_cpu_fallback(attempt, self.device)
        if warning is not None:
            self.warnings.append(warning)
        return value


def open_demucs(options: DemucsOptions) -> Demucs:
    """The model of `options`, loaded.

    Raises MissingExtraError without the package, WeightsError without the right file, CardError, DeviceError,
    OptionError for a window longer than the model hears.
    """
    card = find_card(options.model)
    if (card.capability, card.framework) != ("stems", "torch"):
        raise CardError(f"{card.name} is a model for {card.capability} in {card.framework}; it separates nothing.")
    _network_class()
    if options.repository is None:
        return Demucs(options, _Weights(card, locate(card)))
    path = _in_repository(card, options.repository)
    return Demucs(options, _Weights(card.model_copy(update={"sha256": hash_of(path)}), path))


def build(card: Card, path: Path | None) -> nn.Module:
    """The network of `card` with the weights at `path`, for inference; random weights without a path.

    Raises MissingExtraError, CardError, WeightsError, StrictLoadingError.
    """
    table = card.config.get("network")
    if not isinstance(table, dict) or "segment_samples" not in table:
        raise CardError(f"The card of {card.name} has no table [config.network] with segment_samples. Add it.")
    arguments = {key: value for key, value in table.items() if key != "segment_samples"}
    segment = Fraction(table["segment_samples"], table.get("samplerate", 44_100))
    try:
        network: nn.Module = _network_class()(segment=segment, **arguments)
    except TypeError as error:
        raise CardError(f"In the card of {card.name}, [config.network] does not fit HTDemucs: {error}.") from error
    if path is not None and path.suffix == ".th":
        load_strict(network, _tensors_of_pickle(path), card.name)
    elif path is not None:
        open_strict(network, path, card.name)
    return network.eval()


def _network_class() -> Any:
    try:
        from demucs.htdemucs import HTDemucs  # an extra, and slow to import
    except ImportError as error:
        raise MissingExtraError(
            f"Separation by Demucs needs one more package ({error}). Run: pip install 'tutti[demucs]', or choose the "
            "stems 'light'."
        ) from error
    return HTDemucs


def _candidates(card: Card, repository: Path) -> list[Path]:
    """Files of the model in a folder: its signature, at times with a hash behind it. Safetensors first."""
    signature = Path(card.file).stem
    return [path for suffix in (".safetensors", ".th") for path in sorted(repository.glob(f"{signature}*{suffix}"))]


def _in_repository(card: Card, repository: Path) -> Path:
    found = _candidates(card, repository)
    if not found:
        raise WeightsMissingError(
            f"{repository} holds no file of {card.name}. Put {card.file} there, or fetch it: "
            f"tutti models pull {card.name}"
        )
    return found[0]


def _tensors_of_pickle(path: Path) -> dict[str, Tensor]:
    """The state in a `.th` file of Demucs, named by its signature and the first digits of its sha256.

    It is a pickle: torch's restricted reader admits tensors, plain containers and fractions, and the name of the
    network's class, which is not called. Raises HashMismatchError, WeightsError.
    """
    digits = path.stem.partition("-")[2]
    if not digits or not hash_of(path).startswith(digits):
        raise HashMismatchError(f"The sha256 of {path} does not begin with the digits in its name. Fetch it again.")
    admitted: list[Any] = [Fraction, (_NetworkName, "demucs.htdemucs.HTDemucs")]
    try:
        with torch.serialization.safe_globals(admitted):
            state = torch.load(path, map_location="cpu", weights_only=True)["state"]
        return {str(name): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    except Exception as error:  # a damaged pickle can end in any error
        reason = str(error).partition("\n")[0]
        raise WeightsError(
            f"{path} is no state of Demucs ({type(error).__name__}: {reason}). Fetch it again."
        ) from error


class _NetworkName:
    """Stands for the class that a `.th` file names."""


def separated(
    mix: Spool, separate: Separate, *, segment: int, overlap: float, shifts: list[int] | None
) -> Iterator[FloatArray]:
    """Consecutive blocks of the drums in `mix`: normalised as a whole, separated in windows, blended, scaled back.

    `segment` is a window's length in samples. `shifts` are how many samples of silence to hear before the recording,
    one for each pass; None is one pass without.
    """
    mean, deviation = _loudness(mix, segment)
    if deviation < _SILENT:
        yield from (np.zeros_like(mix.read(at, min(at + segment, mix.length))) for at in range(0, mix.length, segment))
        return
    heard = _Normalised(mix, mean, deviation + _SILENT)
    stride = int((1 - overlap) * segment)
    if stride < 1:
        raise OptionError(f"overlap={overlap!r} leaves no step between windows. 0.25 is a good choice.")
    passes = [_blended(heard, separate, segment, stride, before) for before in shifts or [0]]
    for blocks in zip(*(_of_length(one, stride) for one in passes), strict=True):
        drums = blocks[0]
        for other in blocks[1:]:
            drums = drums + other
        yield (drums / len(blocks) * heard.scale + mean).numpy()


class _Normalised:
    """`mix` less its mean, in units of its deviation; still zero outside."""

    def __init__(self, mix: Spool, mean: float, scale: float) -> None:
        self.mix, self.mean, self.scale = mix, mean, scale

    def read(self, start: int, stop: int) -> Tensor:
        samples = self.mix.read(start, stop)
        inside = slice(max(0, -start), max(0, min(stop, self.mix.length) - start))
        samples[:, inside] = (samples[:, inside] - np.float32(self.mean)) / np.float32(self.scale)
        return torch.from_numpy(np.ascontiguousarray(samples))


def _loudness(mix: Spool, block: int) -> tuple[float, float]:
    """Mean and standard deviation of the mean of the channels."""
    total = squares = 0.0
    for at in range(0, mix.length, block):
        mono = mix.read(at, min(at + block, mix.length)).mean(axis=0, dtype=np.float64)
        total += float(mono.sum())
        squares += float(mono @ mono)
    mean = total / mix.length
    return mean, max(0.0, (squares - total * mean) / max(mix.length - 1, 1)) ** 0.5


def _blended(heard: _Normalised, separate: Separate, segment: int, stride: int, before: int) -> Iterator[Tensor]:
    """One pass over the recording behind `before` samples of silence, which are not given back."""
    rise = torch.arange(1, segment // 2 + 1)
    weight = torch.cat([rise, torch.arange(segment - segment // 2, 0, -1)]).float()
    weight /= weight.max()
    drums = torch.zeros(heard.mix.channels, segment)
    weights = torch.zeros(segment)
    length = before + heard.mix.length
    for at in range(0, length, stride):
        size = min(segment, length - at)
        margin = (segment - size) // 2  # the last windows are filled up on both sides
        start = at - before - margin
        answer = separate(heard.read(start, start + segment))[:, margin : margin + size]
        drums[:, :size] += weight[:size] * answer
        weights[:size] += weight[:size]
        ready = drums[:, : min(stride, size)] / weights[: min(stride, size)]
        if at + ready.shape[1] > before:
            yield ready[:, max(0, before - at) :]
        drums = torch.cat([drums[:, stride:], torch.zeros(heard.mix.channels, stride)], dim=1)
        weights = torch.cat([weights[stride:], torch.zeros(stride)])


def _of_length(blocks: Iterator[Tensor], length: int) -> Iterator[Tensor]:
    """The same samples in blocks of `length`, the last as long as the rest."""
    pending: list[Tensor] = []
    waiting = 0
    for block in blocks:
        pending.append(block)
        waiting += block.shape[1]
        if waiting >= length:
            joined = torch.cat(pending, dim=1)
            while joined.shape[1] >= length:
                yield joined[:, :length]
                joined = joined[:, length:]
            pending, waiting = [joined], joined.shape[1]
    if waiting:
        yield torch.cat(pending, dim=1)
