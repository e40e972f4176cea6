"""Weights of the clip classifier: those that ship with tutti, or out of the HDF5 file that Keras wrote, without Keras.

HDF5 is a format for parsers written in C, so a file is opened only after its sha256 was checked. Run as a module it
writes the safetensors file that tutti ships:

    python -m tutti.capabilities.drums.models.annoteator_weights complete_network.h5 annoteator.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from tutti.capabilities.drums.models.annoteator import AnnoteatorNet
from tutti.errors import HashMismatchError, MissingExtraError, StrictLoadingError, WeightsError, WeightsMissingError
from tutti.settings import settings
from tutti.weights.by_uri import fetch_named, named_file
from tutti.weights.cards import Card
from tutti.weights.opening import open_strict
from tutti.weights.store import hash_of, locate

__all__ = ["COMPLETE_NETWORK_SHA256", "open_annoteator", "read_hdf5"]

COMPLETE_NETWORK_SHA256 = "03d46bdddeb827615b7846a218f3e82b46066f95b88e256ac0007d9422fed845"
"""`inference/pretrained_models/annoteators/complete_network.h5` of cb-42/AnNOTEator at commit 41ec9af."""

_KERNELS = {
    "conv2d": (3, 3, 1, 32),
    "conv2d_1": (3, 3, 32, 64),
    "conv2d_2": (3, 3, 64, 64),
    "dense": (960, 100),
    "dense_1": (100, 100),
    "dense_2": (100, 6),
}
"""Layers that hold weights, in the order of the network, and the shapes of their kernels, outputs last."""
_FLATTENED = (15, 1, 64)
"""Height, width and channels in the order that the first dense layer's inputs were flattened in."""


def open_annoteator(card: Card) -> tuple[AnnoteatorNet, str]:
    """The network, on the CPU, and the sha256 of the file its weights are from.

    They are those of `card`, or the `complete_network.h5` that the `MODEL_…` variables ask for. Raises WeightsError of
    any kind, OutputError, OptionError for a URI that names no file, MissingExtraError.
    """
    network = AnnoteatorNet()
    wanted = named_file(settings(), "complete_network", "complete_network.h5", COMPLETE_NETWORK_SHA256)
    if wanted is None:
        open_strict(network, locate(card), card.name)
        return network.eval(), card.sha256
    network.load_state_dict(read_hdf5(fetch_named(wanted), wanted.sha256))
    return network.eval(), wanted.sha256


def read_hdf5(path: Path, sha256: str = COMPLETE_NETWORK_SHA256) -> dict[str, Tensor]:
    """Tensors by the names of AnnoteatorNet; the optimiser's state is left behind.

    Raises WeightsMissingError, HashMismatchError before the file is opened, WeightsError when it is no HDF5,
    StrictLoadingError for a missing, extra or misshapen weight, MissingExtraError without h5py.
    """
    try:
        found = hash_of(path)
    except OSError as error:
        raise WeightsMissingError(f"The weights are not at {path}: {error.strerror}.") from error
    if found != sha256.lower():
        raise HashMismatchError(f"{path} has the sha256 {found}, not {sha256.lower()}; it was not opened.")
    try:
        import h5py  # an extra, and only this file reads HDF5
    except ImportError as error:
        raise MissingExtraError("HDF5 weights need one more package. Run: pip install 'tutti[hdf5]'") from error
    try:
        with h5py.File(path, "r") as file:
            arrays = _weights(file["model_weights"], path)
    except (OSError, KeyError, AttributeError, RuntimeError, TypeError) as error:
        raise WeightsError(f"{path} cannot be read as Keras weights ({error}). Check where it came from.") from error
    tensors = {}
    for place, layer in enumerate(_KERNELS):
        ours = f"convolutions.{place}" if place < 3 else f"dense.{place - 3}"
        tensors[f"{ours}.weight"] = _kernel(layer, arrays[f"{layer}/kernel:0"])
        tensors[f"{ours}.bias"] = torch.from_numpy(arrays[f"{layer}/bias:0"])
    return tensors


def _weights(layers: Any, path: Path) -> dict[str, NDArray[np.float32]]:
    """The arrays of an HDF5 group, `layer/kernel:0` and `layer/bias:0`, all looked at before one is read."""
    there = {
        f"{layer}/{name}": weight
        for layer, group in layers.items()
        if layer in group  # layers without weights, and the list of layers, hold nothing of their own name
        for name, weight in group[layer].items()
    }
    wanted = {f"{layer}/kernel:0": shape for layer, shape in _KERNELS.items()}
    wanted |= {f"{layer}/bias:0": shape[-1:] for layer, shape in _KERNELS.items()}
    faults = [f"missing: {name}" for name in wanted.keys() - there.keys()]
    faults += [f"extra: {name}" for name in there.keys() - wanted.keys()]
    faults += [
        f"{name}: the file has {there[name].shape}, the network {wanted[name]}"
        for name in wanted.keys() & there.keys()
        if there[name].shape != wanted[name]
    ]
    if faults:
        raise StrictLoadingError(f"The weights in {path} do not fit the network: {'; '.join(sorted(faults))}.")
    return {name: np.asarray(weight[()], dtype=np.float32) for name, weight in there.items()}


def _kernel(layer: str, kernel: NDArray[np.float32]) -> Tensor:
    """Outputs first, as torch has them, and the first dense layer's inputs in the order that torch flattens in."""
    if kernel.ndim == 4:
        return torch.from_numpy(kernel).permute(3, 2, 0, 1).contiguous()
    if layer == "dense":
        kernel = kernel.reshape(*_FLATTENED, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
    return torch.from_numpy(kernel).T.contiguous()


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    save_file(read_hdf5(source), target, metadata={"source": f"sha256 {COMPLETE_NETWORK_SHA256}"})


if __name__ == "__main__":
    main()
