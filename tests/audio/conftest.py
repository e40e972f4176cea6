"""Small recordings made on the spot, sound and broken, and the decoder run inside the test process."""

from __future__ import annotations

import io
import json
import os
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from tutti.audio import decoder, protocol
from tutti.audio.limits import AudioLimits
from tutti.audio.protocol import Job


def _tone(seconds: float = 1.0, rate_hz: int = 16_000, channels: int = 1, f_hz: float = 440.0) -> np.ndarray:
    """(n, channels) float32; the second channel is the first halved and inverted, and so on."""
    wave = 0.5 * np.sin(2 * np.pi * f_hz * np.arange(round(seconds * rate_hz)) / rate_hz)
    return np.stack([wave * (-0.5) ** channel for channel in range(channels)], axis=1).astype(np.float32)


class Recordings:
    """Files as bytes."""

    tone = staticmethod(_tone)

    def sound(
        self, container: str, subtype: str | None = None, *, samples: np.ndarray | None = None, rate_hz: int = 16_000
    ) -> bytes:
        """A file that libsndfile writes."""
        buffer = io.BytesIO()
        samples = _tone(rate_hz=rate_hz) if samples is None else samples
        soundfile.write(buffer, samples, rate_hz, format=container, subtype=subtype)
        return buffer.getvalue()

    def wav(
        self,
        data: bytes = b"\0\0" * 1600,
        *,
        channels: int = 1,
        rate_hz: int = 16_000,
        bits: int = 16,
        tag: int = 1,
        declared: int | None = None,
        before_data: bytes = b"",
    ) -> bytes:
        """A WAV file written byte by byte, so that its header may lie."""
        frame = channels * bits // 8
        header = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * frame & 0xFFFFFFFF, frame & 0xFFFF, bits)
        size = len(data) if declared is None else declared
        body = b"WAVEfmt " + struct.pack("<I", 16) + header + before_data + b"data" + struct.pack("<I", size) + data
        return b"RIFF" + struct.pack("<I", len(body)) + body

    def float_wav(self, samples: np.ndarray, *, channels: int = 1, rate_hz: int = 16_000) -> bytes:
        return self.wav(samples.astype("<f4").tobytes(), channels=channels, rate_hz=rate_hz, bits=32, tag=3)

    def hanging_wav(self) -> bytes:
        """libsndfile 1.2.2 never returns from opening this: a chunk's size takes its parser back to the same chunk."""
        info = b"INFOzzzz" + struct.pack("<I", 0xFFFFFFF8) + bytes(16)
        return self.wav(bytes(64), before_data=b"LIST" + struct.pack("<I", len(info)) + info)

    def flac(self, samples: int, *, declared: int | None = None, rate_hz: int = 48_000) -> bytes:
        """Silence of `samples` samples whose header declares `declared` of them (0: unknown)."""
        data = bytearray(self.sound("FLAC", "PCM_16", samples=np.zeros(samples, np.int16), rate_hz=rate_hz))
        if declared is not None:
            fields = int.from_bytes(data[18:26], "big") >> 36 << 36 | declared
            data[18:26] = fields.to_bytes(8, "big")
        return bytes(data)

    def encoded(
        self,
        container: str,
        codec: str = "aac",
        *,
        samples: np.ndarray | None = None,
        rate_hz: int = 44_100,
        with_video: bool = False,
        options: dict[str, str] | None = None,
        codec_options: dict[str, str] | None = None,
    ) -> bytes:
        """A file that FFmpeg writes; `samples` (n, channels) float32."""
        samples = _tone(rate_hz=rate_hz, channels=2) if samples is None else samples
        with tempfile.NamedTemporaryFile() as file:
            self._write(file.name, container, codec, samples, rate_hz, with_video, options or {}, codec_options or {})
            return Path(file.name).read_bytes()

    def _write(
        self,
        path: str,
        container: str,
        codec: str,
        samples: np.ndarray,
        rate_hz: int,
        with_video: bool,
        options: dict[str, str],
        codec_options: dict[str, str],
    ) -> None:
        with av.open(path, "w", format=container, options=options) as output:
            if with_video:
                picture = output.add_stream("mpeg4", rate=25)
                picture.width = picture.height = 32
                picture.pix_fmt = "yuv420p"
            if samples.size:
                self._mux_sound(output, codec, samples, rate_hz, codec_options)
            if with_video:
                for _ in range(50):
                    output.mux(picture.encode(av.VideoFrame(32, 32, "yuv420p")))
                output.mux(picture.encode(None))

    def _mux_sound(self, output: Any, codec: str, samples: np.ndarray, rate_hz: int, options: dict[str, str]) -> None:
        stream = output.add_stream(codec, rate=rate_hz, options=options)
        stream.layout = layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[samples.shape[1]]
        step = 1152 if codec == "libmp3lame" else 1024
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate_hz)
        for start in range(0, len(samples), step):
            packed = np.ascontiguousarray(samples[start : start + step]).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
            frame.sample_rate = rate_hz
            for converted in resampler.resample(frame):
                output.mux(stream.encode(converted))
        output.mux(stream.encode(None))


@pytest.fixture(scope="session")
def recordings() -> Recordings:
    return Recordings()


@dataclass(frozen=True)
class Decoded:
    """What a decoder said."""

    header: dict[str, Any] | None
    samples: np.ndarray
    trailer: dict[str, Any]

    @property
    def warnings(self) -> list[str]:
        return self.trailer["warnings"]


def parse_messages(data: bytes) -> Decoded:
    """Reads a decoder's messages; raises the error that it reports."""
    header, parts, position = None, [], 0
    while True:
        kind, size = protocol.PREFIX.unpack_from(data, position)
        payload = data[position + protocol.PREFIX.size :][:size]
        assert len(payload) == size
        position += protocol.PREFIX.size + size
        if kind == protocol.SAMPLES:
            parts.append(np.frombuffer(payload, np.float32))
        elif kind == protocol.HEADER:
            header = json.loads(payload)
        elif kind == protocol.ERROR:
            raise protocol.decode_error(json.loads(payload))
        else:
            assert kind == protocol.DONE
            assert position == len(data)
            return Decoded(header, np.concatenate([np.zeros(0, np.float32), *parts]), json.loads(payload))


@pytest.fixture(scope="session")
def parse() -> Callable[[bytes], Decoded]:
    return parse_messages


@pytest.fixture
def decode() -> Callable[..., Decoded]:
    """`decode(data, sample_rate_hz=None, mono=True, limits=...)`: the decoder's code, in this process."""

    def decode(
        data: bytes, *, sample_rate_hz: int | None = None, mono: bool = True, limits: AudioLimits | None = None
    ) -> Decoded:
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out:
            source.write(data)
            source.flush()
            status = decoder.run(source.fileno(), out.fileno(), Job(sample_rate_hz, mono, limits or AudioLimits()))
            said = os.pread(out.fileno(), os.fstat(out.fileno()).st_size, 0)
        try:
            decoded = parse_messages(said)
        except Exception:
            assert status == 1
            raise
        assert status == 0
        return decoded

    return decode
