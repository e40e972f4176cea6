"""What was given → a file open for reading, or an array. Nothing is decoded here, and nothing but files is opened."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from tutti.audio.limits import AudioLimits
from tutti.errors import (
    AudioEmptyError,
    AudioLimitError,
    InputAccessError,
    InputError,
    InputNotFoundError,
    OutputError,
    UsageError,
    printable,
)

__all__ = ["ArraySource", "FileSource", "Source", "naming", "open_source"]

Source = str | os.PathLike[str] | bytes | BinaryIO | tuple[np.ndarray, int]
"""A path, the bytes of a file, a binary file object (read from where it stands), or samples with their rate in Hz:
(n,) or (n, channels), floats of full scale 1, or integers of full scale 2**(bits - 1)."""

_COPY_BYTES: Final = 1 << 20
_FULL_SCALES: Final = {"int8": 1 << 7, "uint8": 1 << 7, "int16": 1 << 15, "int32": 1 << 31}
_NOT_FOUND: Final = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}


@dataclass(frozen=True)
class FileSource:
    """A file open at `fd`, which its owner closes. `name` is safe to print."""

    name: str
    fd: int


@dataclass(frozen=True)
class ArraySource:
    """`samples` (n, channels) as they were given; `full_scale` is what divides them to ±1."""

    name: str
    samples: NDArray[np.generic]
    sample_rate_hz: int
    full_scale: int


def open_source(source: Source, limits: AudioLimits) -> FileSource | ArraySource:
    """Opens what was given. Bytes and file objects are copied to an unnamed temporary file, paths are not.

    Raises UsageError for what is no source, InputNotFoundError, InputAccessError, AudioEmptyError for a file or an
    array of nothing, AudioLimitError beyond `limits`, OutputError when the temporary file cannot be written.
    """
    if isinstance(source, tuple):
        return _array_source(source, limits)
    if isinstance(source, (str, os.PathLike)):
        path = os.fsdecode(source)
        name = printable(Path(path).name or path)
        fd = _open_path(path, name, limits)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        name = "the given bytes"
        fd = _copy(_reader_of(source), name, limits)
    elif hasattr(source, "read"):
        name = _name_of_stream(source)
        fd = _copy(_reading(source.read, name), name, limits)
    else:
        kind = type(source).__name__
        raise UsageError(f"A {kind} is no recording. Give a path, bytes, a binary file object or (samples, rate_hz).")
    return FileSource(name, _checked(fd, name, limits))


def _open_path(path: str, name: str, limits: AudioLimits) -> int:
    try:
        # A pipe without a writer must not hold us here.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except ValueError as error:  # a NUL in the path
        raise InputNotFoundError(f"{name}: is no file name. Check the path.") from error
    except OSError as error:
        raise _refused(error, name, path) from error
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            return fd
        if stat.S_ISDIR(mode):
            raise InputAccessError(f"{name}: is a directory. Give the recordings in it.")
        if not stat.S_ISFIFO(mode):
            raise InputAccessError(f"{name}: is a device or socket, not a file. Give a file, or pipe it in.")
        os.set_blocking(fd, True)
        copied = _copy(_reading(lambda size: os.read(fd, size), name), name, limits)
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return copied


def _refused(error: OSError, name: str, path: str) -> InputError:
    if error.errno in _NOT_FOUND:
        hint = " tutti reads files; fetch it first." if "://" in path else " Check the path."
        return InputNotFoundError(f"{name}: is not there.{hint}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return InputAccessError(f"{name}: may not be read. Check its permissions.")
    return InputAccessError(f"{name}: cannot be opened ({error.strerror}). Check the path.")


def _checked(fd: int, name: str, limits: AudioLimits) -> int:
    try:
        size = os.fstat(fd).st_size
        if not size:
            raise AudioEmptyError(f"{name}: is empty (0 bytes). Record or export it again.")
        with naming(name):
            limits.check_file_bytes(size)
    except BaseException:
        os.close(fd)
        raise
    return fd


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Puts `name` in front of the message of an InputError raised inside."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{name}: {error}") from None


def _name_of_stream(stream: BinaryIO) -> str:
    name = getattr(stream, "name", None)
    return printable(Path(name).name) if isinstance(name, str) and name else "the given stream"


def _reader_of(data: bytes | bytearray | memoryview) -> Callable[[], bytes | memoryview]:
    pieces = iter((memoryview(data).cast("B"), b""))
    return lambda: next(pieces)


def _reading(read: Callable[[int], bytes], name: str) -> Callable[[], bytes]:
    def piece() -> bytes:
        try:
            data = read(_COPY_BYTES)
        except OSError as error:
            raise InputAccessError(f"{name}: cannot be read ({error.strerror or error}).") from error
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise UsageError(f"{name}: gives {type(data).__name__}, not bytes. Open it in binary mode ('rb').")
        return bytes(data)

    return piece


def _copy(read: Callable[[], bytes | memoryview], name: str, limits: AudioLimits) -> int:
    """Copies what `read` gives to an unnamed temporary file and returns a descriptor at its start."""
    size = 0
    try:
        with tempfile.TemporaryFile(buffering=0) as spool:
            while piece := read():
                size += len(piece)
                with naming(name):
                    limits.check_file_bytes(size)
                _write_all(spool.fileno(), piece)
            os.lseek(spool.fileno(), 0, os.SEEK_SET)
            return os.dup(spool.fileno())
    except OSError as error:
        folder = tempfile.gettempdir()
        raise OutputError(
            f"{name}: cannot be copied to the temporary folder {folder} ({error.strerror}). "
            "Free some space there or set TMPDIR."
        ) from error


def _write_all(fd: int, piece: bytes | memoryview) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _array_source(source: tuple[np.ndarray, int], limits: AudioLimits) -> ArraySource:
    name = "the given array"
    if len(source) != 2 or not isinstance(source[0], np.ndarray):
        raise UsageError("A tuple source is (samples, rate_hz): a NumPy array and a whole number of Hz.")
    samples, rate = source
    if isinstance(rate, bool) or not (isinstance(rate, (int, float, np.number)) and float(rate).is_integer()):
        raise UsageError(f"A sample rate of {rate!r} is no whole number of Hz. Give the array's rate.")
    full_scale = 1 if samples.dtype.kind == "f" else _FULL_SCALES.get(samples.dtype.name)
    if full_scale is None:
        raise UsageError(f"Samples of type {samples.dtype} have no full scale. Give floats, or integers to 32 bits.")
    if samples.ndim not in (1, 2):
        raise UsageError(f"Samples of shape {samples.shape} are no recording. Give (samples,) or (samples, channels).")
    columns = samples[:, None] if samples.ndim == 1 else samples
    with naming(name):
        _check_array(columns, int(rate), limits)
    return ArraySource(name, columns, int(rate), full_scale)


def _check_array(samples: NDArray[np.generic], sample_rate_hz: int, limits: AudioLimits) -> None:
    length, channels = samples.shape
    if channels > limits.max_channels >= length > 0:
        raise AudioLimitError(f"has {channels} channels and {length} samples; it lies on its side. Transpose it.")
    limits.check_shape(sample_rate_hz, channels)
    if not length:
        raise AudioEmptyError("holds no samples. Give at least one.")
    limits.check_duration(length / sample_rate_hz)
