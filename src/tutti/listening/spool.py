"""A decoded recording on disk: written once from its beginning, then read anywhere, in bounded memory.

Separation needs the whole recording before its first answer (loudness) and overlapping windows of it afterwards; a
pipe or an open file can only be read once.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["FloatArray", "Spool"]

FloatArray = NDArray[np.float32]

_VALUE_BYTES: Final = 4


class Spool:
    """Samples (channels, length), float32, in an unnamed file inside `folder`; 4 bytes a sample and channel."""

    def __init__(self, folder: Path, channels: int) -> None:
        """Raises OSError when the file cannot be made, as `append` does when the disk is full."""
        self.channels: Final = channels
        self.length = 0
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close()

    def append(self, block: FloatArray) -> None:
        """`block` (n, channels) behind what is there."""
        self._file.write(np.ascontiguousarray(block, np.float32).data)
        self.length += len(block)

    def finish(self) -> None:
        """Call once after the last `append`, before the first `read`."""
        self._file.flush()

    def read(self, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop`, (channels, stop - start); zeros outside the recording."""
        samples = np.zeros((stop - start, self.channels), np.float32)
        first, last = max(start, 0), min(stop, self.length)
        if first < last:
            row = self.channels * _VALUE_BYTES
            view = samples[first - start : last - start].reshape(-1).view(np.uint8).data
            filled = 0
            while filled < len(view):
                size = os.preadv(self._file.fileno(), [view[filled:]], first * row + filled)
                if not size:
                    raise OSError("a temporary file lost its end")
                filled += size
        return samples.T

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exception_type: type[BaseException] | None, exception: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
