"""The decoder process: the only place where a stranger's bytes meet a C library.

Started by `tutti.audio.child` with the file as standard input, the pipe of `tutti.audio.protocol` as standard
output and one JSON argument. It limits itself before it looks at the file, decodes, mixes and resamples
block by block, and ends. What kills it is reported by its reader.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Iterator
from typing import Any, Final, Protocol

import numpy as np

from tutti.audio import protocol
from tutti.audio.by_libsndfile import LibsndfileFile, LibsndfileRefusedError
from tutti.audio.limits import AudioLimits
from tutti.audio.protocol import Job
from tutti.audio.resampling import Conditioner, FloatArray
from tutti.audio.sniffing import ACCEPTED, Container, sniff
from tutti.errors import AudioEmptyError, AudioFormatError, DecoderError, InputError

__all__ = ["limit_process", "main", "run"]

_MAX_STDERR_BYTES: Final = 1 << 16
_MAX_OPEN_FILES: Final = 64
_MISSING_S: Final = 0.1
"""A recording shorter than its header says by more than this is reported as incomplete."""


class _Opened(Protocol):
    """An open recording, by whichever library. `blocks` yields (n, channels) float32."""

    sample_rate_hz: int
    channels: int
    declared_frames: int | None
    warnings: list[str]

    @property
    def declares_exactly(self) -> bool: ...

    def blocks(self) -> Iterator[FloatArray]: ...

    def close(self) -> None: ...


def main(argument: str) -> int:
    """Decodes standard input to standard output. The exit status adds nothing to the DONE or ERROR message."""
    job = Job.from_json(argument)
    out = os.dup(1)
    os.dup2(2, 1)  # C libraries print; the pipe is not theirs
    limit_process(job.limits)
    return run(0, out, job)


def limit_process(limits: AudioLimits) -> None:
    """Bounds memory, processor time, written bytes and open files of this process, for good."""
    _limit(resource.RLIMIT_AS, limits.max_memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.max_cpu_s, spare=1)  # SIGXCPU at the limit, SIGKILL a second later
    _limit(resource.RLIMIT_FSIZE, _MAX_STDERR_BYTES)
    _limit(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)
    _limit(resource.RLIMIT_CORE, 0)


def run(fd: int, out: int, job: Job) -> int:
    """Decodes the file open at `fd` and writes messages to `out`. Every failure becomes an ERROR message."""
    try:
        _decode(fd, out, job)
    except BrokenPipeError:
        return 1  # the reader is gone: nobody to tell
    except InputError as error:
        return _report(out, error)
    except MemoryError:
        megabytes = job.limits.max_memory_bytes >> 20
        return _report(out, DecoderError(f"needs more than {megabytes} MB to decode. Raise max_memory_bytes."))
    except Exception as error:
        return _report(out, DecoderError(f"could not be decoded ({type(error).__name__}: {error}). Export it again."))
    return 0


def _report(out: int, error: InputError) -> int:
    with contextlib.suppress(BrokenPipeError):
        protocol.send_json(out, protocol.ERROR, protocol.encode_error(error))
    return 1


def _limit(kind: int, wanted: int, spare: int = 0) -> None:
    _, hard = resource.getrlimit(kind)
    soft, most = (value if hard == resource.RLIM_INFINITY else min(value, hard) for value in (wanted, wanted + spare))
    try:
        resource.setrlimit(kind, (soft, most))
    except (OSError, ValueError):
        if sys.platform == "linux":
            raise
        # macOS refuses RLIMIT_AS; AudioLimits.max_memory_bytes says so.


def _decode(fd: int, out: int, job: Job) -> None:
    container = sniff(lambda offset, size: os.pread(fd, size, offset))
    if container is None:
        raise AudioFormatError(f"holds no sound that tutti can decode{_hint(fd)}. {ACCEPTED}")
    with contextlib.closing(_open(fd, container, job.limits)) as opened:
        _stream(opened, container, out, job)


def _open(fd: int, container: Container, limits: AudioLimits) -> _Opened:
    """By libsndfile where it can, by FFmpeg otherwise. When both refuse, libsndfile's words are reported."""
    if not container.by_libsndfile:
        return _open_by_ffmpeg(fd, container, limits)
    try:
        return LibsndfileFile(fd, container, limits)
    except LibsndfileRefusedError as error:
        refused = error
    try:
        return _open_by_ffmpeg(fd, container, limits)
    except AudioFormatError as error:
        raise AudioFormatError(f"cannot be decoded as {container.name} ({refused}). Export it again.") from error


def _open_by_ffmpeg(fd: int, container: Container, limits: AudioLimits) -> _Opened:
    from tutti.audio.by_ffmpeg import FFmpegFile  # doubles the start-up time, and most recordings do not need it

    return FFmpegFile(fd, container, limits)


def _stream(opened: _Opened, container: Container, out: int, job: Job) -> None:
    conditioner = Conditioner(opened.sample_rate_hz, opened.channels, job.sample_rate_hz, mono=job.mono)
    frames = values = 0
    for block in opened.blocks():
        if not frames:
            protocol.send_json(out, protocol.HEADER, _header(opened, container, conditioner))
        frames += len(block)
        job.limits.check_duration(frames / opened.sample_rate_hz)
        values += _send_samples(out, conditioner.process(block))
    if not frames:
        raise AudioEmptyError("holds no samples. Record or export it again.")
    values += _send_samples(out, conditioner.finish())
    warnings = [*_incomplete(frames, opened), *opened.warnings, *conditioner.warnings]
    protocol.send_json(out, protocol.DONE, {"values": values, "warnings": warnings})


def _header(opened: _Opened, container: Container, conditioner: Conditioner) -> dict[str, Any]:
    declared = opened.declared_frames
    return {
        "sample_rate_hz": opened.sample_rate_hz,
        "native_channels": opened.channels,
        "channels": conditioner.channels,
        "duration_s": None if declared is None else declared / opened.sample_rate_hz,
        "container": container.name,
    }


def _send_samples(out: int, block: FloatArray) -> int:
    if block.size:
        protocol.send(out, protocol.SAMPLES, np.ascontiguousarray(block).data.cast("B"))
    return block.size


def _incomplete(frames: int, opened: _Opened) -> list[str]:
    if opened.declared_frames is None or not opened.declares_exactly:
        return []
    read_s, declared_s = frames / opened.sample_rate_hz, opened.declared_frames / opened.sample_rate_hz
    if declared_s - read_s <= _MISSING_S:
        return []
    return [f"the file is incomplete: {read_s:.1f} s of the {declared_s:.1f} s that its header promises were read."]


def _hint(fd: int) -> str:
    head = os.pread(fd, 256, 0)
    return " (it looks like text)" if all(byte >= 0x20 or byte in b"\t\r\n" for byte in head) else ""
