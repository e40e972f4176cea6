"""Arrays into tutti's own weights files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutti.music.files import write_atomic
from tutti.weights.native import header_of

__all__ = ["write_safetensors"]

_DTYPES = {"float32": "F32", "int64": "I64"}


def write_safetensors(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write float32 and int64 arrays, whole or not at all, with a checksum of all of it in the metadata.

    The same content gives the same bytes. Raises OutputError.
    """
    table: dict[str, Any] = {}
    data: list[memoryview] = []
    begin = 0
    for name in sorted(tensors):
        array = np.asarray(tensors[name], order="C")
        end = begin + array.nbytes
        table[name] = {"dtype": _DTYPES[array.dtype.name], "shape": list(array.shape), "data_offsets": [begin, end]}
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        data.append(little.reshape(-1).view(np.uint8).data)
        begin = end
    write_atomic(path, (header_of(table, metadata, data), *data))
