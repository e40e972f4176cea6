"""The decoder's own steps, in this process; `test_child` runs it as the process it is."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tutti.audio import decoder
from tutti.audio.limits import AudioLimits
from tutti.audio.protocol import Job
from tutti.errors import AudioFormatError, AudioLimitError, DecoderError

Decode = Callable[..., Any]
JOB = Job(None, True, AudioLimits())
ACCEPTED = "Give WAV, FLAC, MP3, OGG/Opus, AIFF, M4A/AAC, or a video (MP4, MOV, MKV, WebM) with sound."


def test_mono_and_resampled(decode: Decode, recordings: Any) -> None:
    tone = recordings.tone(1.0, 44_100, channels=2)
    decoded = decode(recordings.sound("WAV", "FLOAT", samples=tone, rate_hz=44_100), sample_rate_hz=16_000)
    assert (decoded.header["sample_rate_hz"], decoded.header["channels"]) == (44_100, 1)
    assert len(decoded.samples) == decoded.trailer["values"] == 16_000
    expected = recordings.tone(1.0, 16_000)[:, 0] * 0.25
    np.testing.assert_allclose(decoded.samples[200:-200], expected[200:-200], atol=1e-3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"hello,\tworld\r\n" * 9, f"holds no sound that tutti can decode (it looks like text). {ACCEPTED}"),
        (b"\x1f\x8b\x08\0" + bytes(99), f"holds no sound that tutti can decode. {ACCEPTED}"),
    ],
)
def test_no_sound(decode: Decode, data: bytes, message: str) -> None:
    with pytest.raises(AudioFormatError) as raised:
        decode(data)
    assert str(raised.value) == message


def test_ffmpeg_reads_what_libsndfile_refuses(decode: Decode, recordings: Any) -> None:
    """A WAV file that holds AC-3 is rare but legal."""
    decoded = decode(recordings.encoded("wav", "ac3", samples=recordings.tone(1.0, 44_100)))
    assert decoded.header["container"] == "WAV"
    assert len(decoded.samples) / 44_100 == pytest.approx(1.0, abs=0.1)


def test_a_limit_is_not_overruled_by_the_second_decoder(decode: Decode, recordings: Any) -> None:
    with pytest.raises(AudioLimitError):
        decode(recordings.wav(channels=64))


class _Raising:
    """An open recording that fails after one block."""

    sample_rate_hz, channels, declared_frames, declares_exactly = 8000, 1, 8000, True

    def __init__(self, error: BaseException) -> None:
        self.warnings: list[str] = []
        self.error = error
        self.is_closed = False

    def blocks(self) -> Iterator[np.ndarray]:
        yield np.zeros((100, 1), np.float32)
        raise self.error

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "needs more than 1024 MB to decode. Raise max_memory_bytes."),
        (RuntimeError("odd"), "could not be decoded (RuntimeError: odd). Export it again."),
    ],
)
def test_any_failure_is_reported_and_closes_the_file(
    decode: Decode, recordings: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    opened = _Raising(error)
    monkeypatch.setattr(decoder, "_open", lambda *_: opened)
    with pytest.raises(DecoderError) as raised:
        decode(recordings.wav())
    assert str(raised.value) == message
    assert opened.is_closed


@pytest.mark.parametrize("data", ["wav", "text"])
def test_a_gone_reader_ends_the_decoder(recordings: Any, data: str) -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    with tempfile.TemporaryFile() as source:
        source.write(recordings.wav() if data == "wav" else b"hello")
        source.flush()
        assert decoder.run(source.fileno(), write_fd, JOB) == 1
    os.close(write_fd)


def test_the_process_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    limited = {}
    monkeypatch.setattr(resource, "setrlimit", lambda kind, pair: limited.__setitem__(kind, pair))
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    decoder.limit_process(AudioLimits(max_memory_bytes=123, max_cpu_s=7))
    assert limited[resource.RLIMIT_AS] == (123, 123)
    assert limited[resource.RLIMIT_CPU] == (7, 8)
    assert limited[resource.RLIMIT_CORE] == (0, 0)
    assert limited[resource.RLIMIT_FSIZE][1] <= 1 << 16
    assert limited[resource.RLIMIT_NOFILE][1] <= 64


def test_a_stricter_limit_of_the_system_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    limited = {}
    monkeypatch.setattr(resource, "setrlimit", lambda kind, pair: limited.__setitem__(kind, pair))
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (3, 5))
    decoder.limit_process(AudioLimits(max_memory_bytes=123, max_cpu_s=4))
    assert limited[resource.RLIMIT_AS] == (5, 5)
    assert limited[resource.RLIMIT_CPU] == (4, 5)


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_only_macos_may_lack_a_limit(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    def refuse(_kind: int, _pair: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    monkeypatch.setattr(decoder.sys, "platform", platform)
    if platform == "linux":
        with pytest.raises(ValueError, match="current limit"):
            decoder.limit_process(AudioLimits())
    else:
        decoder.limit_process(AudioLimits())


def test_main_keeps_the_pipe_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a C library prints goes to standard error, and limits come before the file."""
    done: list[object] = []
    monkeypatch.setattr(decoder.os, "dup", lambda fd: done.append(("dup", fd)) or 77)
    monkeypatch.setattr(decoder.os, "dup2", lambda *pair: done.append(("dup2", *pair)))
    monkeypatch.setattr(decoder, "limit_process", lambda limits: done.append(limits))
    monkeypatch.setattr(decoder, "run", lambda *arguments: done.append(arguments) or 0)
    assert decoder.main(JOB.to_json()) == 0
    assert done == [("dup", 1), ("dup2", 2, 1), JOB.limits, (0, 77, JOB)]
