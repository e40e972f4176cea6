"""Tensors in a checkpoint directory of T5X, read without JAX: msgpack and numpy.

Such a directory holds a msgpack file `checkpoint`, a tree of names. Its leaves are small arrays themselves, in Flax's
encoding, or say that the array lies beside it in zarr format, in a folder named by its place in the tree. What lies
below `target` are parameters; what the optimiser kept lies below `state` and is never read.
"""

from __future__ import annotations

import contextlib
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from tutti.errors import WeightsError, printable
from tutti.weights.foreign import Array, ForeignTensor, as_native

__all__ = ["CHECKPOINT", "open_t5x"]

CHECKPOINT = "checkpoint"

_MAX_TREE_BYTES = 512 * 2**20
_MAX_TABLE_BYTES = 1 << 20
_MAX_CHUNKS = 1 << 16
_NAME = re.compile(r"[A-Za-z0-9_]+")
_DTYPES = {"float32": "<f4", "float16": "<f2", "float64": "<f8", "bfloat16": "bfloat16"}
_ZARR_DTYPES = {"<f4", "<f2", "<f8", "bfloat16"}
_FLAX_ARRAY = 1


@dataclass(frozen=True)
class _Inline:
    """An array in the tree itself: (shape, dtype, bytes) packed once more."""

    packed: bytes


@contextlib.contextmanager
def open_t5x(folder: Path) -> Iterator[dict[str, ForeignTensor]]:
    """The parameters in a T5X checkpoint directory by their place in the tree, `target.encoder...`.

    Raises WeightsError for anything else.
    """
    yield dict(_parameters(_tree(folder), folder))


def _tree(folder: Path) -> dict[str, Any]:
    path = folder / CHECKPOINT
    packed = _read_file(path, _MAX_TREE_BYTES)
    try:
        tree = msgpack.unpackb(packed, ext_hook=_ext, strict_map_key=False)
        target = tree.get("optimizer", tree)["target"]
    except Exception as error:  # whatever broken bytes lead to
        raise WeightsError(
            f"{path} is no checkpoint of T5X ({type(error).__name__}). Fetch the folder again."
        ) from error
    if not isinstance(target, dict):
        raise WeightsError(f"{path} holds no parameters. Fetch the folder again.")
    return {"target": target}


def _ext(code: int, data: bytes) -> object:
    return _Inline(data) if code == _FLAX_ARRAY else None


def _parameters(tree: dict[str, Any], folder: Path, above: str = "") -> Iterator[tuple[str, ForeignTensor]]:
    for key, leaf in tree.items():
        if not (isinstance(key, str) and _NAME.fullmatch(key)):  # it becomes the name of a folder
            raise WeightsError(
                f"{folder} has a parameter of the strange name {printable(str(key)[:80])!r}. Do not use it."
            )
        name = f"{above}{key}"
        if isinstance(leaf, _Inline):
            yield name, _inline_tensor(name, leaf, folder)
        elif isinstance(leaf, dict) and "driver" in leaf:
            yield name, _zarr_tensor(name, folder / name)
        elif isinstance(leaf, dict):
            yield from _parameters(leaf, folder, f"{name}.")
        else:
            raise WeightsError(f"{folder} has a parameter that is no array: {name}. Fetch the folder again.")


def _inline_tensor(name: str, leaf: _Inline, folder: Path) -> ForeignTensor:
    try:
        shape, dtype, data = msgpack.unpackb(leaf.packed)
        if not _is_shape(shape) or not isinstance(data, bytes):
            raise ValueError("no array")
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise WeightsError(f"{folder} is damaged: {name} is no array. Fetch the folder again.") from error
    stored = _DTYPES.get(str(dtype))
    if stored is None:
        raise WeightsError(f"{folder} has {printable(str(dtype))} numbers in {name}; only floats belong there.")
    if len(data) != prod(shape) * _width(stored):
        raise WeightsError(f"{folder} is damaged: {name} has {len(data)} bytes for {shape}. Fetch the folder again.")
    return ForeignTensor(name, tuple(shape), "float", lambda: as_native(data, stored, tuple(shape)))


@dataclass(frozen=True)
class _Zarr:
    """What `.zarray` says."""

    folder: Path
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    separator: str
    unpack: Callable[[bytes, int], bytes]


def _zarr_tensor(name: str, folder: Path) -> ForeignTensor:
    zarr = _zarr_table(folder)
    return ForeignTensor(name, zarr.shape, "float", lambda: _read_zarr(zarr))


def _zarr_table(folder: Path) -> _Zarr:
    path = folder / ".zarray"
    try:
        table = json.loads(_read_file(path, _MAX_TABLE_BYTES))
        shape, chunks, dtype = table["shape"], table["chunks"], table["dtype"]
        compressor, separator = table["compressor"], table.get("dimension_separator", ".")
        codec = None if compressor is None else compressor["id"]
        if not (_is_shape(shape) and _is_shape(chunks) and len(chunks) == len(shape) and 0 not in chunks):
            raise ValueError(f"chunks {chunks} of {shape}")
        if table["zarr_format"] != 2 or table["order"] != "C" or table.get("filters") or separator not in (".", "/"):
            raise ValueError("another layout than zarr 2 in C order")
        if dtype not in _ZARR_DTYPES or codec not in _UNPACK:
            raise ValueError(f"numbers of type {dtype} packed by {codec}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(f"{path} describes no array that can be read ({error}). Fetch the folder again.") from error
    return _Zarr(folder, tuple(shape), tuple(chunks), dtype, separator, _UNPACK[codec])


def _read_zarr(zarr: _Zarr) -> Array:
    """The array, chunk by chunk; chunks at the edges are stored whole and cut here."""
    counts = [-(-size // chunk) for size, chunk in zip(zarr.shape, zarr.chunks, strict=True)]
    if prod(counts) > _MAX_CHUNKS or prod(zarr.chunks) > 2 * max(1, prod(zarr.shape)):
        raise WeightsError(f"{zarr.folder} is cut into chunks that do not suit {zarr.shape}. Fetch the folder again.")
    whole = np.empty(zarr.shape, np.float32)
    for place in product(*map(range, counts)):
        corner = [index * chunk for index, chunk in zip(place, zarr.chunks, strict=True)]
        target = whole[tuple(slice(begin, begin + chunk) for begin, chunk in zip(corner, zarr.chunks, strict=True))]
        target[...] = _chunk(zarr, place)[tuple(map(slice, target.shape))]
    return whole


def _chunk(zarr: _Zarr, place: tuple[int, ...]) -> Array:
    path = zarr.folder / (zarr.separator.join(map(str, place)) or "0")
    size = prod(zarr.chunks) * _width(zarr.dtype)
    packed = _read_file(path, 2 * size + _MAX_TABLE_BYTES)
    try:
        raw = zarr.unpack(packed, size)
    except zlib.error as error:
        raise WeightsError(f"{path} is damaged ({error}). Fetch it again.") from error
    if len(raw) != size:
        raise WeightsError(f"{path} holds {len(raw)} bytes or more, not {size}. Fetch it again.")
    return as_native(raw, zarr.dtype, zarr.chunks)


def _inflate(packed: bytes, size: int) -> bytes:
    """What gzip or zlib packed, at most a byte more than `size`."""
    machine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    raw = machine.decompress(packed, size + 1)
    if len(raw) == size and not machine.eof:
        raise zlib.error("it breaks off")
    return raw


_UNPACK: dict[str | None, Callable[[bytes, int], bytes]] = {
    None: lambda packed, size: packed[: size + 1],
    "gzip": _inflate,
    "zlib": _inflate,
}


def _read_file(path: Path, most_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read: {error.strerror or error}. A T5X checkpoint is a folder with a file "
            f"{CHECKPOINT!r} and a folder for each large parameter; fetch all of it."
        ) from error
    if len(content) > most_bytes:
        raise WeightsError(f"{path} has more than the {most_bytes} bytes that belong there. Fetch it again.")
    return content


def _is_shape(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(type(size) is int and size >= 0 for size in value)


def _width(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
