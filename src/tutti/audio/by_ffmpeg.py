"""Decoding by FFmpeg (PyAV): M4A/AAC, the sound of videos, what libsndfile refuses. Only in the decoder process.

FFmpeg sees one open file and one demuxer chosen by content; it may open nothing else, neither a file nor an address.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final, NoReturn

import av
import av.logging
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard

from tutti.audio.limits import AudioLimits
from tutti.audio.resampling import FloatArray
from tutti.audio.sniffing import ACCEPTED, Container
from tutti.errors import AudioEmptyError, AudioFormatError

__all__ = ["FFmpegFile"]

_BLOCK_VALUES: Final = 1 << 17
_BUFFER_BYTES: Final = 1 << 17
_MAX_DAMAGED_PACKETS: Final = 10_000
_CODECS: Final = (
    "aac", "ac3", "adpcm_", "alac", "eac3", "flac", "mp1", "mp2", "mp3", "opus", "pcm_", "vorbis", "wmav",
)  # fmt: skip
_SAMPLE_FORMATS: Final[dict[str, tuple[type[np.number[Any]], float]]] = {
    "u8": (np.uint8, 1 / (1 << 7)),
    "s16": (np.int16, 1 / (1 << 15)),
    "s32": (np.int32, 1 / (1 << 31)),
    "flt": (np.float32, 1.0),
    "dbl": (np.float64, 1.0),
}
"""Sample formats, without the `p` of the planar ones: their type, and what makes them ±1."""


class FFmpegFile:
    """An open recording: its first sound stream. Native rate in Hz, channels, and the frames the header declares."""

    def __init__(self, fd: int, container: Container, limits: AudioLimits) -> None:
        """Raises AudioFormatError when FFmpeg refuses the file, AudioEmptyError, AudioLimitError."""
        self.warnings: list[str] = []
        self._name = container.name
        self._damaged_packets = 0
        self._container = self._open(fd, container.demuxer)
        try:
            self._stream = self._sound()
            self._frames = self._decoded()
            self._first = next(self._frames, None)
            self.sample_rate_hz, self.channels = self._shape()
            limits.check_shape(self.sample_rate_hz, self.channels)
            self.declared_frames, self.declares_exactly = self._declared(container)
            limits.check_duration((self.declared_frames or 0) / self.sample_rate_hz)
        except BaseException:
            self._container.close()
            raise

    def blocks(self) -> Iterator[FloatArray]:
        """Yields (n, channels). Raises AudioFormatError when the rate or the channels change on the way."""
        pending: list[FloatArray] = []  # each (channels, n)
        frame = self._first
        while frame is not None:
            if _shape_of(frame) != (self.sample_rate_hz, self.channels):
                raise AudioFormatError("changes its sample rate or its channels midway. Export it again.")
            pending.append(_planes(frame))
            if sum(plane.size for plane in pending) >= _BLOCK_VALUES:
                yield np.concatenate(pending, axis=1).T
                pending = []
            frame = next(self._frames, None)
        if pending:
            yield np.concatenate(pending, axis=1).T
        if self._damaged_packets:
            self.warnings.append(f"{self._damaged_packets} damaged packets were skipped; later times may be early.")

    def close(self) -> None:
        self._container.close()

    def _open(self, fd: int, demuxer: str) -> InputContainer:
        os.lseek(fd, 0, os.SEEK_SET)
        raw = open(fd, "rb", buffering=0, closefd=False)  # noqa: SIM115 - lives as long as the container
        try:
            return av.open(
                raw,
                "r",
                format=demuxer,
                options={"protocol_whitelist": "none"},
                io_open=_refuse_to_open,
                metadata_errors="replace",
                buffer_size=_BUFFER_BYTES,
            )
        except (av.FFmpegError, OSError) as error:  # OSError: it was led to seek before the beginning
            raise AudioFormatError(f"cannot be decoded as {self._name} ({_words(error)}). Export it again.") from error

    def _sound(self) -> AudioStream:
        if not self._container.streams.audio:
            raise AudioFormatError(f"is {self._name} without sound. {ACCEPTED}")
        sound = self._container.streams.audio[0]
        # PyAV has no context for a coding that FFmpeg does not know, whatever its types say.
        codec = "something unknown" if sound.codec_context is None else sound.codec_context.name
        if not codec.startswith(_CODECS):
            raise AudioFormatError(f"holds sound coded as {codec}, which tutti does not decode. {ACCEPTED}")
        sound.codec_context.thread_count = 1
        for other in self._container.streams:
            if other.index != sound.index:
                other.discard = Discard.all
        return sound

    def _decoded(self) -> Iterator[AudioFrame]:
        """Frames with samples. Packets that do not decode and places that cannot be read are skipped and counted."""
        packets = self._container.demux(self._stream)
        unreadable = False
        while self._damaged_packets < _MAX_DAMAGED_PACKETS:
            try:
                packet = next(packets, None)
            except av.EOFError:
                return
            except (av.FFmpegError, OSError):
                if unreadable:  # twice at one place: there is no way past it
                    self.warnings.append("decoding stopped at damaged data; what follows is missing.")
                    return
                unreadable = True
                packets = self._container.demux(self._stream)  # a generator is spent once it has raised
                continue
            if packet is None:
                return
            if packet.size:  # the last one, which only flushes the decoder, is empty
                self._damaged_packets += unreadable
                unreadable = False
            try:
                frames = [frame for frame in packet.decode() if isinstance(frame, AudioFrame)]
            except av.EOFError:
                return
            except (av.FFmpegError, OSError):
                self._damaged_packets += 1
                continue
            yield from (frame for frame in frames if frame.samples)
        raise AudioFormatError(f"is {self._name} with too many damaged packets. Export it again.")

    def _shape(self) -> tuple[int, int]:
        """Rate and channels of the first frame: headers are wrong about them for some AAC."""
        if self._first is not None:
            return _shape_of(self._first)
        if self._damaged_packets or self.warnings:
            raise AudioFormatError(f"is {self._name} damaged from where its sound begins. Export it again.")
        raise AudioEmptyError("holds no samples. Record or export it again.")

    def _declared(self, container: Container) -> tuple[int | None, bool]:
        """Frames by the header, and whether they speak of the sound alone rather than of a longer picture."""
        if container.estimates_duration:
            return None, False
        if self._stream.duration is not None and self._stream.time_base is not None:
            return max(0, round(self._stream.duration * self._stream.time_base * self.sample_rate_hz)), True
        if self._container.duration is None:
            return None, False
        frames = self._container.duration * self.sample_rate_hz // av.time_base
        return max(0, frames), len(self._container.streams) == 1


def _refuse_to_open(url: str, _flags: int, _options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"a recording may not open {url!r}")


def _shape_of(frame: AudioFrame) -> tuple[int, int]:
    return int(frame.sample_rate), int(frame.layout.nb_channels)


def _planes(frame: AudioFrame) -> FloatArray:
    """(channels, n) float32, full scale 1.

    PyAV's `to_ndarray` sees a ninth plane in eight planar channels and reads from nowhere.
    """
    kind, channels = frame.format.name, frame.layout.nb_channels
    if kind.removesuffix("p") not in _SAMPLE_FORMATS:
        raise AudioFormatError(f"holds samples of format {kind}, which tutti does not decode. {ACCEPTED}")
    dtype, scale = _SAMPLE_FORMATS[kind.removesuffix("p")]
    planes: tuple[Any, ...] = frame.planes  # buffers, which their types do not say
    if frame.format.is_planar:
        raw = np.stack([np.frombuffer(plane, dtype, frame.samples) for plane in planes[:channels]])
    else:
        raw = np.frombuffer(planes[0], dtype, frame.samples * channels).reshape(-1, channels).T
    values = raw.astype(np.float32)
    if dtype is np.uint8:
        values -= np.float32(128)
    values *= np.float32(scale)
    return values


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).strip(" .")
