"""Models of the MT3 family in torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tutti.capabilities.transcription.hearing_tokens import Opened
from tutti.capabilities.transcription.models.adapter import Adapter, adapter_of, configured
from tutti.capabilities.transcription.models.mt3_network import build_network
from tutti.errors import DeviceError
from tutti.nets.t5_stepping import PackedDecoder, StepPrecision, T5Stepper
from tutti.weights.cards import Card
from tutti.weights.devices import choose_device, choose_precision
from tutti.weights.loaded import LOADED, with_cpu_fallback
from tutti.weights.native import read_table
from tutti.weights.opening import NoFirstWeights, open_strict
from tutti.weights.store import identified, path_of

__all__ = ["TorchBackend", "build_backend", "open_backend"]


@dataclass(frozen=True)
class TorchBackend:
    """A network of the family; `hearing_tokens.Backend`."""

    network: nn.Module
    place: torch.device
    precision: StepPrecision

    @property
    def device(self) -> str:
        return str(self.place)

    @cached_property
    def _decoder(self) -> PackedDecoder:
        return PackedDecoder(self.network.decoder, self.precision)  # type: ignore[arg-type]

    @torch.inference_mode()
    def encode(self, frames: NDArray[np.float32]) -> Sequence[Tensor]:
        """(frames, width) of each row."""
        heard = torch.from_numpy(frames).to(self.place)
        with torch.autocast(self.place.type, torch.bfloat16, enabled=self.precision == "bf16"):
            states: Tensor = self.network.encode(heard)  # type: ignore[operator]
        return list(states.float().flatten(0, 1))

    @torch.inference_mode()
    def remember(self, states: Tensor, previous: NDArray[np.int64]) -> Tensor:
        tokens = torch.from_numpy(previous)[None].to(self.place)
        remembered: Tensor = self.network.remember(states[None, None], tokens)  # type: ignore[operator]
        return remembered[0, 0]

    def stepper(self, rows: int, banned: NDArray[np.int64]) -> T5Stepper:
        return T5Stepper(self._decoder, rows, banned)


def open_backend(card: Card, device: str, precision: str, as_variant: Callable[[Adapter], Adapter]) -> Opened:
    """The model of `card`, from memory when it was used before; on the CPU if the GPU has no room for it.

    `as_variant` changes what a quirk changes in the network. Raises WeightsError, DeviceError, OptionError.
    """
    found = identified(card)
    path = path_of(card)
    adapter = as_variant(configured(adapter_of(card), read_table(path).metadata))

    def on(name: str) -> TorchBackend:
        where = choose_device(name)
        bits = _step_precision(precision, where)
        # the position table is part of the network, and no part of its file
        kind = f"{bits} {adapter.network.positions}"
        return LOADED.get(found, where, kind, lambda: build_backend(path, adapter, card.name, where, bits))

    backend, warning = with_cpu_fallback(on, device)
    return Opened(backend, adapter, found, () if warning is None else (warning,))


def _step_precision(name: str, device: torch.device) -> StepPrecision:
    if name == "int8" and device.type != "cpu":
        raise DeviceError(f"int8 is for the CPU, not for {device}. Use --device cpu, or --precision bf16.")
    if name in ("auto", "int8"):  # rounding may change which token is likeliest: only on request
        return "int8" if name == "int8" else "fp32"
    return cast(StepPrecision, choose_precision(name, device))


def build_backend(
    path: Path, adapter: Adapter, name: str, device: torch.device, precision: StepPrecision
) -> TorchBackend:
    """The network of `adapter` with the weights of the model `name` at `path`. Raises WeightsError."""
    with NoFirstWeights():
        network = build_network(adapter)
    open_strict(network, path, name)
    return TorchBackend(network.eval().to(device), device, precision)
