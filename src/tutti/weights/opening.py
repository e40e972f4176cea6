"""Weights into networks, strictly: safetensors only, every key, every shape, every kind of number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tutti.errors import StrictLoadingError
from tutti.weights.native import not_safetensors, read_table

__all__ = ["Form", "NoFirstWeights", "compare", "load_strict", "open_strict", "read_safetensors"]

_LISTED = 8
_DRAWS = (nn.init.kaiming_uniform_, nn.init.uniform_, nn.init.normal_)


class NoFirstWeights(TorchFunctionMode):
    """`with NoFirstWeights():` networks are built without drawing weights, for those that `open_strict` fills."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


class Form(NamedTuple):
    shape: tuple[int, ...]
    kind: str
    """float, integer or bool: weights may be kept in fewer bits than the network computes with, nothing else."""


def open_strict(network: nn.Module, path: Path, name: str) -> dict[str, str]:
    """Load the file at `path` into `network`, the network of the model `name`; returns the file's metadata.

    Its table is held against the network before a tensor is read. Raises WeightsError, StrictLoadingError.
    """
    table = read_table(path).tensors
    try:
        found = {key: Form(tuple(entry["shape"]), _kind(entry["dtype"])) for key, entry in table.items()}
    except (KeyError, TypeError) as error:
        raise not_safetensors(path, "a tensor without shape or type") from error
    compare(network, found, name)
    tensors, metadata = read_safetensors(path)
    network.load_state_dict(tensors)
    return metadata


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, on the CPU, and the file's metadata. Raises WeightsError."""
    read_table(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise not_safetensors(path, error) from error


def load_strict(network: nn.Module, tensors: dict[str, Tensor], name: str) -> None:
    """Copy `tensors` into `network`. Raises StrictLoadingError naming what is missing, extra or of another form."""
    compare(network, {key: _form(tensor) for key, tensor in tensors.items()}, name)
    network.load_state_dict(tensors)


def compare(network: nn.Module, found: Mapping[str, Form], name: str) -> None:
    """Hold the tensors `found`, known by their forms, against the network of the model `name`.

    Raises StrictLoadingError naming what is missing, extra or of another form.
    """
    wanted = {key: _form(tensor) for key, tensor in network.state_dict().items()}
    faults = [f"missing: {key}" for key in wanted.keys() - found.keys()]
    faults += [f"extra: {key}" for key in found.keys() - wanted.keys()]
    for key in wanted.keys() & found.keys():
        if found[key].shape != wanted[key].shape:
            faults.append(f"{key}: the file has {found[key].shape}, the network {wanted[key].shape}")
        elif found[key].kind != wanted[key].kind:
            faults.append(f"{key}: the file has {found[key].kind} numbers, the network {wanted[key].kind}")
    if faults:
        listed = "; ".join(sorted(faults)[:_LISTED])
        more = f"; and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
        raise StrictLoadingError(f"The weights of {name} do not fit its network: {listed}{more}.")


def _form(tensor: Tensor) -> Form:
    if tensor.dtype.is_floating_point:
        return Form(tuple(tensor.shape), "float")
    return Form(tuple(tensor.shape), "bool" if tensor.dtype == torch.bool else "integer")


def _kind(dtype: str) -> str:
    if dtype in ("F64", "F32", "F16", "BF16"):
        return "float"
    if dtype in ("I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8"):
        return "integer"
    return dtype.lower()
