"""Models of the MT3 family whose encoder is T5's, in JAX. torch is not imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from tutti.capabilities.transcription.hearing_tokens import Opened
from tutti.capabilities.transcription.models.adapter import Adapter, adapter_of, configured
from tutti.errors import DeviceError, MissingExtraError, OptionError
from tutti.nets.t5_config import position_table
from tutti.weights.cards import Card
from tutti.weights.native import not_safetensors, read_table
from tutti.weights.store import identified, path_of

try:
    import jax

    from tutti.nets.t5_jax import T5JaxStepper, Tree, encode, pack
except ModuleNotFoundError as error:
    if error.name is None or not error.name.startswith("jax"):
        raise
    raise MissingExtraError("The backend jax needs one more package. Run: pip install 'tutti[jax]'") from error

__all__ = ["JaxBackend", "build_backend", "open_backend"]

_MEMORY = ("memory.", "memory_projection.")


@dataclass(frozen=True)
class JaxBackend:
    """A network of the family; `hearing_tokens.Backend`. States are JAX arrays (frames, width)."""

    tree: Tree
    adapter: Adapter
    place: jax.Device

    precision = "fp32"

    @property
    def device(self) -> str:
        return f"{self.place.platform}:{self.place.id}" if self.place.platform != "cpu" else "cpu"

    def encode(self, frames: NDArray[np.float32]) -> Sequence[jax.Array]:
        network = self.adapter.network
        positions = position_table(network.positions, network.width)[: frames.shape[1]]
        # one by one: another number of segments would be compiled anew
        return [encode(self.tree, each[None], positions, network)[0] for each in frames]

    def remember(self, states: jax.Array, previous: NDArray[np.int64]) -> jax.Array:  # noqa: ARG002
        """The states as they are: models with a memory are refused when they are opened."""
        return states

    def stepper(self, rows: int, banned: NDArray[np.int64]) -> T5JaxStepper:
        return T5JaxStepper(self.tree, self.adapter.network, rows, banned, self.place)


def open_backend(card: Card, device: str, precision: str, as_variant: Callable[[Adapter], Adapter]) -> Opened:
    """The model of `card`, from memory when it was used before.

    `as_variant` changes what a quirk changes in the network. Raises WeightsError, DeviceError, OptionError for a model
    or precision that is not for JAX.
    """
    if precision not in ("auto", "fp32"):
        raise OptionError(f"The backend jax computes in fp32, not in {precision}. Leave precision out, or use torch.")
    found, path = identified(card), path_of(card)
    adapter = as_variant(configured(adapter_of(card), read_table(path).metadata))
    _check_kind(card, adapter)
    return Opened(_opened(path, found.sha256, adapter, card.name, _device(device)), adapter, found)


def _check_kind(card: Card, adapter: Adapter) -> None:
    parts = {
        "a Perceiver encoder": adapter.perceiver is not None,
        "a stem that hears notes": adapter.has_note_stem,
        "a memory": adapter.memory_rows > 0,
    }
    for part, has_it in parts.items():
        if has_it:
            raise OptionError(f"{card.name} has {part}, which the backend jax has not. Use --backend torch or onnx.")


def _device(name: str) -> jax.Device:
    if name == "auto":
        return jax.devices()[0]
    kind, _, number = name.partition(":")
    try:
        return jax.devices(kind)[int(number or 0)]
    except (RuntimeError, IndexError) as error:
        here = ", ".join(str(device) for device in jax.devices())
        raise DeviceError(f"JAX has no device {name} here. It has: {here}. Use --device auto or cpu.") from error


@lru_cache(maxsize=2)
def _opened(path: Path, _sha256: str, adapter: Adapter, name: str, device: jax.Device) -> JaxBackend:
    return build_backend(_weights(path), adapter, name, device)


def _weights(path: Path) -> dict[str, NDArray[Any]]:
    try:
        return {name: _in_single(value) for name, value in load_file(path).items()}
    except (SafetensorError, OSError, AttributeError, TypeError) as error:  # the latter: a type that numpy has not
        raise not_safetensors(path, error) from error


def _in_single(value: NDArray[Any]) -> NDArray[Any]:
    """Weights may be kept in fewer bits than are computed with."""
    return value.astype(np.float32) if jax.numpy.issubdtype(value.dtype, np.floating) else value


def build_backend(weights: dict[str, NDArray[Any]], adapter: Adapter, name: str, device: jax.Device) -> JaxBackend:
    """The network of `adapter` with the weights of the model `name`. Raises StrictLoadingError."""
    used = {key: value for key, value in weights.items() if not (adapter.has_memory and key.startswith(_MEMORY))}
    features = adapter.front_end.features if adapter.is_projected else None
    tree = pack(used, adapter.network, features, name)
    return JaxBackend(jax.device_put(tree, device), adapter, device)
