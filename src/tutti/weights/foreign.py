"""Tensors in files that PyTorch wrote, described first and read one by one. numpy only; no code of the file runs.

The published checkpoints of other projects hold more than weights: optimiser states of twice their size, pickled
objects of the training. Only the state dict is looked at, and a tensor takes memory when it is read, as much as its
shape says.
"""

from __future__ import annotations

import contextlib
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tutti.errors import WeightsError, printable
from tutti.weights.inert import Described, read_inert

__all__ = ["Array", "ForeignTensor", "as_native", "open_torch"]

Array = NDArray[Any]
"""float32, or int64 for counters."""
Kind = Literal["float", "integer", "bool"]

_MAX_PICKLE_BYTES = 64 * 2**20
_LISTED = 4

_STORAGES: dict[str, tuple[str, Kind]] = {
    "DoubleStorage": ("<f8", "float"),
    "FloatStorage": ("<f4", "float"),
    "HalfStorage": ("<f2", "float"),
    "BFloat16Storage": ("bfloat16", "float"),
    "LongStorage": ("<i8", "integer"),
    "IntStorage": ("<i4", "integer"),
    "ShortStorage": ("<i2", "integer"),
    "CharStorage": ("|i1", "integer"),
    "ByteStorage": ("|u1", "integer"),
    "BoolStorage": ("|b1", "bool"),
}


@dataclass(frozen=True)
class ForeignTensor:
    """A tensor that can be read: its form is known, its numbers are still in the file."""

    name: str
    shape: tuple[int, ...]
    kind: Kind
    read: Callable[[], Array]
    """Gives float32 for any kind of float, else int64. Raises WeightsError when the file is damaged there."""


def as_native(raw: bytes, dtype: str, shape: tuple[int, ...]) -> Array:
    """Numbers in C order, little endian, as float32 or int64. `dtype` is numpy's, or "bfloat16".

    What float32 cannot hold becomes infinite.
    """
    if dtype == "bfloat16":  # the upper half of a float32
        wide = np.frombuffer(raw, "<u2").astype("<u4") << 16
        return wide.view("<f4").reshape(shape)
    numbers = np.frombuffer(raw, dtype).reshape(shape)
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32 if numbers.dtype.kind == "f" else np.int64)


@contextlib.contextmanager
def open_torch(path: Path) -> Iterator[dict[str, ForeignTensor]]:
    """The tensors of the state dict in a `.pth`, `.pt` or `.ckpt` file (torch 1.6 or later) by their names.

    The file holds a state dict, or a dict with one under `state_dict` as Lightning writes it. Raises WeightsError for
    anything else.
    """
    with contextlib.ExitStack() as stack:
        with _naming(path):
            _check_beginning(path)
            reader = _Reader(stack.enter_context(zipfile.ZipFile(path)), path)
            tensors = {name: reader.tensor(name, described) for name, described in reader.state_dict().items()}
        yield tensors


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What zipfile raises for damaged archives, which is more than it documents, as WeightsError."""
    try:
        yield
    except (zipfile.BadZipFile, EOFError, ValueError, RuntimeError, IndexError, struct.error) as error:
        raise WeightsError(f"{path} is damaged or cut off ({error}). Fetch it again.") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}. Check its name and rights.") from error


def _check_beginning(path: Path) -> None:
    with path.open("rb") as file:
        beginning = file.read(512)
    if beginning.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return
    if not beginning:
        reason = "is empty. Fetch it again"
    elif beginning.startswith(b"version https://git-lfs"):
        reason = "only points to a file that Git LFS holds. Run: git lfs pull"
    elif beginning.startswith(b"\x80") or beginning[257:262] == b"ustar":
        reason = "has the format of torch before 1.6. Open it in torch and save its state_dict anew"
    else:
        reason = "is no checkpoint of torch. Check which file it is"
    raise WeightsError(f"{path} {reason}.")


class _Reader:
    """An open archive: `<root>/data.pkl`, and storages as `<root>/data/<key>`."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self.archive, self.path = archive, path
        roots = [name.removesuffix("data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise WeightsError(f"{path} is a zip file, but no checkpoint of torch. Check which file it is.")
        (self.root,) = roots

    def state_dict(self) -> dict[str, Described]:
        with self._member("data.pkl", _MAX_PICKLE_BYTES) as file:
            try:
                content = read_inert(file)
            except WeightsError as error:
                raise self._fault(f"cannot be read: {error}. Fetch it again") from error
        if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
            content = content["state_dict"]
        if not isinstance(content, dict) or not content:
            raise self._fault("holds no state_dict. Save that of the network alone")
        strange = [str(name) for name, value in content.items() if not _is_named_tensor(name, value)]
        if strange:
            listed = printable(", ".join(strange[:_LISTED]))[:200]
            raise self._fault(f"holds no state_dict: {listed} are no tensors. Save the state_dict alone")
        return content

    def tensor(self, name: str, described: Described) -> ForeignTensor:
        if described.storage.kind not in _STORAGES:
            raise self._fault(f"has numbers of an unknown kind in {name} ({described.storage.kind})")
        _, kind = _STORAGES[described.storage.kind]
        return ForeignTensor(name, described.shape, kind, lambda: self._read(name, described))

    def _read(self, name: str, tensor: Described) -> Array:
        with _naming(self.path):
            return self._numbers(name, tensor)

    def _numbers(self, name: str, tensor: Described) -> Array:
        """Exactly the bytes of one tensor."""
        dtype, _ = _STORAGES[tensor.storage.kind]
        width = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
        numbers = prod(tensor.shape)
        order = _memory_order(tensor)
        if order is None:
            raise self._fault(f"has gaps or repeats in {name}. Save its tensors contiguous")
        with self._member(f"data/{tensor.storage.key}", tensor.storage.numbers * width) as member:
            member.seek(tensor.offset * width)
            raw = member.read(numbers * width)
        if len(raw) != numbers * width:
            raise self._fault(f"says that {name} has more numbers than it holds. Fetch it again")
        stored = as_native(raw, dtype, tuple(tensor.shape[axis] for axis in order))
        return np.asarray(stored.transpose(np.argsort(order)), order="C")

    def _member(self, name: str, most_bytes: int) -> IO[bytes]:
        try:
            info = self.archive.getinfo(self.root + name)
        except KeyError as error:
            raise self._fault(f"lacks its part {printable(name)}. Fetch it again") from error
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise self._fault("is packed in a way that torch never does. Fetch it from its source")
        if info.file_size > most_bytes:
            raise self._fault(f"has {info.file_size} bytes in {printable(name)}, more than belong there")
        return self.archive.open(info)

    def _fault(self, what: str) -> WeightsError:
        return WeightsError(f"{self.path} {what}.")


def _is_named_tensor(name: object, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, Described)


def _memory_order(tensor: Described) -> list[int] | None:
    """The axes from the slowest to the fastest in memory; None unless the tensor fills its place without gaps."""
    if len(tensor.strides) != len(tensor.shape):
        return None
    order = sorted(range(len(tensor.shape)), key=lambda axis: (-tensor.strides[axis], axis))
    step = 1
    for axis in reversed(order):
        if tensor.shape[axis] != 1 and tensor.strides[axis] != step:
            return None
        step *= tensor.shape[axis]
    return order
