"""tutti's own weights files: safetensors, read as far as their table, with nothing but Python.

A file that was converted here cannot be named by a sha256 on a card, as it says where it came from. It carries the
checksum of itself instead: `content_sha256` in its metadata, over table, other metadata and tensors.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from tutti.errors import WeightsError

__all__ = ["Table", "content_sha256", "header_of", "not_safetensors", "read_table"]

_MAX_HEADER_BYTES = 16 * 2**20
_METADATA, _CHECKSUM = "__metadata__", "content_sha256"
_BLOCK_BYTES = 1 << 22


class Table(NamedTuple):
    """What stands at the beginning of a safetensors file."""

    tensors: dict[str, Any]
    """Name → {dtype, shape, data_offsets}; nothing in it is checked."""
    metadata: dict[str, str]
    data_begin: int
    """Byte of the file where the tensors begin."""


def read_table(path: Path) -> Table:
    """The table and metadata of a safetensors file, without reading a tensor. Raises WeightsError."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MAX_HEADER_BYTES:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
    except (OSError, ValueError, RecursionError, struct.error) as error:
        raise not_safetensors(path, error) from error
    if not isinstance(header, dict):
        raise not_safetensors(path, "no table of tensors")
    metadata = header.pop(_METADATA, {})
    if not (isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())):
        raise not_safetensors(path, "metadata that is not text")
    return Table(header, metadata, 8 + length)


def not_safetensors(path: Path, reason: object) -> WeightsError:
    return WeightsError(f"{path} is not a safetensors file ({reason}). Pull or install it again.")


def content_sha256(path: Path) -> str | None:
    """The checksum that the file at `path` carries, or None when it carries none or another. Raises WeightsError."""
    table = read_table(path)
    said = table.metadata.pop(_CHECKSUM, None)
    with path.open("rb") as file:
        file.seek(table.data_begin)
        found = _checksum(table.tensors, table.metadata, iter(lambda: file.read(_BLOCK_BYTES), b""))
    return said if said == found else None


def header_of(tensors: Mapping[str, Any], metadata: Mapping[str, str], data: Iterable[bytes | memoryview]) -> bytes:
    """The beginning of a file with this table, these metadata and their checksum with the `data` of all tensors."""
    checksum = _checksum(tensors, metadata, data)
    header = _json({_METADATA: {**metadata, _CHECKSUM: checksum}, **tensors})
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header


def _checksum(table: Mapping[str, Any], metadata: Mapping[str, str], data: Iterable[bytes | memoryview]) -> str:
    digest = sha256(_json({_METADATA: dict(metadata), **table}))
    for block in data:
        digest.update(block)
    return digest.hexdigest()


def _json(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
