"""Any recording → float32 samples at the asked rate, whole (`read_audio`) or block by block (`open_stream`).

Times count from the first sample of the sound: a video whose sound starts late is not padded.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self

import numpy as np

from tutti.audio.child import Child
from tutti.audio.limits import AudioLimits
from tutti.audio.protocol import Job
from tutti.audio.resampling import Conditioner, FloatArray
from tutti.audio.sources import ArraySource, Source, naming, open_source
from tutti.errors import OptionError

__all__ = ["Audio", "AudioLimits", "AudioStream", "Source", "open_stream", "read_audio"]

_ARRAY_BLOCK_VALUES: Final = 1 << 18
_FIRST_CAPACITY: Final = 1 << 20
_MAX_RATE_HZ: Final = 384_000


@dataclass(frozen=True)
class Audio:
    """A recording in memory: `samples` float32, (n,) when mono, (n, channels) otherwise; full scale is 1."""

    samples: FloatArray
    sample_rate_hz: int
    warnings: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate_hz


class _Feed(Protocol):
    """Where samples come from: a decoder process, or an array."""

    native_sample_rate_hz: int
    native_channels: int
    channels: int
    duration_s: float | None

    @property
    def warnings(self) -> list[str]: ...

    def read_into(self, out: FloatArray) -> int: ...

    def close(self) -> None: ...


class AudioStream:
    """An iterator over float32 blocks: all of the same length but the last, which is never empty.

    Blocks are (n,) when mono, (n, channels) otherwise.

    Use it as a context manager; leaving it, an error, or its end stop the decoder. `duration_s` is what the header
    says, and None where it says nothing. `warnings` is complete when the iterator is exhausted.
    """

    def __init__(self, feed: _Feed, name: str, sample_rate_hz: int, block_samples: int, *, mono: bool) -> None:
        self.name: Final = name
        self.sample_rate_hz: Final = sample_rate_hz
        self.native_sample_rate_hz: Final = feed.native_sample_rate_hz
        self.native_channels: Final = feed.native_channels
        self.duration_s: Final = feed.duration_s
        self._feed = feed
        self._block_samples = block_samples
        self._mono = mono
        self._is_closed = False

    @property
    def warnings(self) -> list[str]:
        return list(self._feed.warnings)

    def __iter__(self) -> Iterator[FloatArray]:
        return self

    def __next__(self) -> FloatArray:
        """The next block. Raises InputError when decoding fails; what came before is then incomplete."""
        if self._is_closed:
            raise StopIteration
        block = np.empty(self._block_samples * self._feed.channels, np.float32)
        try:
            values = self._feed.read_into(block)
        except BaseException:
            self.close()
            raise
        if values < len(block):
            self.close()
            block = block[:values].copy()
        if not values:
            raise StopIteration
        return block if self._mono else block.reshape(-1, self._feed.channels)

    def close(self) -> None:
        """Stops the decoder. May be called again."""
        self._is_closed = True
        self._feed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exception_type: type[BaseException] | None, exception: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_stream(
    source: Source,
    *,
    sample_rate_hz: int,
    mono: bool = True,
    limits: AudioLimits | None = None,
    block_s: float = 10.0,
) -> AudioStream:
    """Opens a recording as a stream of blocks of `block_s` seconds at `sample_rate_hz`, mono or with its own channels.

    The samples do not depend on `block_s`. Memory is bounded by one block, however long the recording; files and
    bytes are decoded by a process of their own. The first samples are decoded before this returns, so a source that
    is no recording fails here.

    A file that is cut or damaged gives what can be decoded, and a warning says so; one of which nothing can be decoded
    is an error.

    Raises InputError (InputNotFoundError, InputAccessError, AudioFormatError, AudioEmptyError, AudioLimitError,
    DecoderError), UsageError for what is no source, OutputError when a copy of a stream cannot be kept.
    """
    rate_hz = _checked_rate(sample_rate_hz)
    if not (math.isfinite(block_s) and block_s > 0):
        raise OptionError(f"block_s={block_s!r} is no positive number of seconds. 10 is a good choice.")
    name, feed = _open_feed(source, Job(rate_hz, mono, limits or AudioLimits()))
    return AudioStream(feed, name, rate_hz, max(1, round(block_s * rate_hz)), mono=mono)


def read_audio(
    source: Source, *, sample_rate_hz: int | None = None, mono: bool = True, limits: AudioLimits | None = None
) -> Audio:
    """Reads a whole recording, at its own rate unless `sample_rate_hz` is given, with one copy in memory.

    Raises as `open_stream`, and AudioLimitError when the result would be larger than `limits.max_decoded_bytes`.
    """
    limits = limits or AudioLimits()
    rate_hz = None if sample_rate_hz is None else _checked_rate(sample_rate_hz)
    name, feed = _open_feed(source, Job(rate_hz, mono, limits))
    try:
        rate_hz = rate_hz or feed.native_sample_rate_hz
        samples = _gather(feed, rate_hz, name, limits)
    finally:
        feed.close()
    return Audio(samples if mono else samples.reshape(-1, feed.channels), rate_hz, tuple(feed.warnings))


def _checked_rate(sample_rate_hz: int) -> int:
    if not 1 <= sample_rate_hz <= _MAX_RATE_HZ or sample_rate_hz != int(sample_rate_hz):
        raise OptionError(f"sample_rate_hz={sample_rate_hz!r} is no whole number from 1 to {_MAX_RATE_HZ}.")
    return int(sample_rate_hz)


def _open_feed(source: Source, job: Job) -> tuple[str, _Feed]:
    opened = open_source(source, job.limits)
    if isinstance(opened, ArraySource):
        return opened.name, _ArrayFeed(opened, job)
    try:
        return opened.name, Child(opened, job)
    finally:
        os.close(opened.fd)


def _gather(feed: _Feed, rate_hz: int, name: str, limits: AudioLimits) -> FloatArray:
    """All values of `feed`, (n,). The header's length sizes the array; a wrong one costs time, not truth."""
    expected = _FIRST_CAPACITY
    if feed.duration_s is not None:
        expected = (math.ceil(feed.duration_s * rate_hz) + 1) * feed.channels
        _check_values(expected, name, limits)
    samples = np.empty(expected, np.float32)
    filled = 0
    while (filled := filled + feed.read_into(samples[filled:])) == len(samples):
        grown = len(samples) + max(len(samples) // 2, _FIRST_CAPACITY)
        _check_values(filled, name, limits)
        samples.resize(grown, refcheck=False)
    samples.resize(filled, refcheck=False)
    return samples


def _check_values(values: int, name: str, limits: AudioLimits) -> None:
    with naming(name):
        limits.check_decoded_bytes(values * np.dtype(np.float32).itemsize)


class _ArrayFeed:
    """Samples in memory, taken through the same conditioning block by block."""

    def __init__(self, source: ArraySource, job: Job) -> None:
        length, self.native_channels = source.samples.shape
        self.native_sample_rate_hz = source.sample_rate_hz
        self.duration_s: float | None = length / source.sample_rate_hz
        self._source = source
        self._conditioner = Conditioner(source.sample_rate_hz, self.native_channels, job.sample_rate_hz, mono=job.mono)
        self.channels = self._conditioner.channels
        self._pieces = self._conditioned()
        self._left = np.zeros(0, np.float32)

    @property
    def warnings(self) -> list[str]:
        return self._conditioner.warnings

    def read_into(self, out: FloatArray) -> int:
        filled = 0
        while filled < len(out):
            if not len(self._left):
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._left = piece.reshape(-1)
            taken = self._left[: len(out) - filled]
            out[filled : filled + len(taken)] = taken
            self._left = self._left[len(taken) :]
            filled += len(taken)
        return filled

    def close(self) -> None:
        """Lets go of the array."""
        self._pieces = iter(())

    def _conditioned(self) -> Iterator[FloatArray]:
        samples = self._source.samples
        step = max(1, _ARRAY_BLOCK_VALUES // self.native_channels)
        for start in range(0, len(samples), step):
            yield self._conditioner.process(_to_float(samples[start : start + step], self._source.full_scale))
        yield self._conditioner.finish()


def _to_float(block: np.ndarray, full_scale: int) -> FloatArray:
    """Full scale becomes 1. A float64 beyond float32 becomes infinite, and the conditioner replaces it."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = block.astype(np.float32, copy=False)
    if block.dtype == np.uint8:
        values -= np.float32(full_scale)
    if full_scale != 1:
        values /= np.float32(full_scale)
    return values
