from __future__ import annotations

import gc
import io
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from tutti.audio import reading
from tutti.audio.reading import Audio, AudioLimits, open_stream, read_audio
from tutti.errors import (
    AudioEmptyError,
    AudioFormatError,
    AudioLimitError,
    InputAccessError,
    InputError,
    InputNotFoundError,
    OptionError,
)

RNG = np.random.default_rng(0)


@pytest.fixture
def stereo_wav(recordings: Any) -> bytes:
    """3 s of stereo at 44.1 kHz."""
    return recordings.sound("WAV", "FLOAT", samples=recordings.tone(3.0, 44_100, channels=2), rate_hz=44_100)


def test_a_stream_of_blocks(stereo_wav: bytes, tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(stereo_wav)
    with open_stream(path, sample_rate_hz=16_000, block_s=1.25) as stream:
        assert (stream.name, stream.sample_rate_hz) == ("song.wav", 16_000)
        assert (stream.native_sample_rate_hz, stream.native_channels, stream.duration_s) == (44_100, 2, 3.0)
        blocks = list(stream)
    assert [len(block) for block in blocks] == [20_000, 20_000, 8_000]
    assert all(block.dtype == np.float32 for block in blocks)
    assert stream.warnings == []


def test_a_last_block_is_never_empty(recordings: Any) -> None:
    with open_stream(recordings.wav(bytes(2 * 8000)), sample_rate_hz=16_000, block_s=0.25) as stream:
        assert [len(block) for block in stream] == [4000, 4000]


@pytest.mark.parametrize("kind", ["file", "array"])
def test_a_stream_of_blocks_with_their_channels(kind: str, stereo_wav: bytes, recordings: Any) -> None:
    source: Any = stereo_wav if kind == "file" else (recordings.tone(3.0, 44_100, channels=2), 44_100)
    with open_stream(source, sample_rate_hz=16_000, mono=False, block_s=1.25) as stream:
        blocks = list(stream)
    assert [block.shape for block in blocks] == [(20_000, 2), (20_000, 2), (8_000, 2)]
    whole = read_audio(source, sample_rate_hz=16_000, mono=False).samples
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    np.testing.assert_allclose(whole[:, 1], whole[:, 0] * -0.5, atol=1e-5)


@pytest.mark.parametrize("kind", ["path", "str", "bytes", "stream", "array", "integers"])
def test_every_kind_of_source_gives_the_same_samples(kind: str, recordings: Any, tmp_path: Path) -> None:
    samples = (RNG.standard_normal((30_000, 2)) * 3000).astype(np.int16)
    data = recordings.sound("WAV", "PCM_16", samples=samples, rate_hz=44_100)
    path = tmp_path / "my söng\n.wav"
    path.write_bytes(data)
    source: Any = {
        "path": path,
        "str": str(path),
        "bytes": data,
        "stream": io.BytesIO(data),
        "array": ((samples / 32_768).astype(np.float64), 44_100),
        "integers": (samples, 44_100),
    }[kind]
    audio = read_audio(source, sample_rate_hz=16_000)
    expected = soxr.resample((samples / 32_768).mean(axis=1).astype(np.float32), 44_100, 16_000, quality="HQ")
    assert (audio.sample_rate_hz, audio.warnings) == (16_000, ())
    np.testing.assert_allclose(audio.samples, expected, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(block_s=st.floats(1e-4, 3.0), rate_hz=st.sampled_from([8_000, 16_000, 44_100]))
def test_the_samples_of_an_array_do_not_depend_on_the_blocks(block_s: float, rate_hz: int) -> None:
    samples = np.random.default_rng(1).standard_normal(16_000).astype(np.float32)
    whole = read_audio((samples, 16_000), sample_rate_hz=rate_hz).samples
    with open_stream((samples, 16_000), sample_rate_hz=rate_hz, block_s=block_s) as stream:
        np.testing.assert_array_equal(np.concatenate(list(stream)), whole)


@pytest.mark.parametrize("block_s", [0.01, 0.3337, 1.0, 60.0])
def test_the_samples_of_a_file_do_not_depend_on_the_blocks(block_s: float, stereo_wav: bytes) -> None:
    whole = read_audio(stereo_wav, sample_rate_hz=24_000).samples
    with open_stream(stereo_wav, sample_rate_hz=24_000, block_s=block_s) as stream:
        np.testing.assert_array_equal(np.concatenate(list(stream)), whole)


def test_a_file_and_its_array_give_the_same_samples(stereo_wav: bytes, recordings: Any) -> None:
    """Block sizes inside differ; soxr must not care."""
    tone = recordings.tone(3.0, 44_100, channels=2)
    np.testing.assert_array_equal(
        read_audio(stereo_wav, sample_rate_hz=16_000).samples, read_audio((tone, 44_100), sample_rate_hz=16_000).samples
    )


def test_a_cut_at_the_end_changes_nothing_before_it() -> None:
    samples = RNG.standard_normal(44_100 * 4).astype(np.float32)
    whole = read_audio((samples, 44_100), sample_rate_hz=16_000).samples
    start = read_audio((samples[: 44_100 * 2], 44_100), sample_rate_hz=16_000).samples
    # soxr transforms in blocks: rounding differs where the last one meets the end.
    np.testing.assert_array_equal(whole[:28_000], start[:28_000])
    np.testing.assert_allclose(whole[:31_900], start[:31_900], atol=1e-5)


def test_reading_whole_keeps_the_rate_and_the_channels_when_asked(stereo_wav: bytes, recordings: Any) -> None:
    audio = read_audio(stereo_wav, mono=False)
    assert (audio.sample_rate_hz, audio.samples.shape, audio.duration_s) == (44_100, (132_300, 2), 3.0)
    np.testing.assert_array_equal(audio.samples, recordings.tone(3.0, 44_100, channels=2))
    resampled = read_audio(stereo_wav, mono=False, sample_rate_hz=22_050)
    assert resampled.samples.shape == (66_150, 2)
    assert read_audio(stereo_wav).samples.shape == (132_300,)


def test_warnings_reach_the_reader(recordings: Any) -> None:
    data = recordings.float_wav(np.array([0.5, np.nan] * 4000))
    expected = "4000 samples were not finite numbers or absurdly loud; they were replaced by silence."
    assert read_audio(data).warnings == (expected,)
    with open_stream(data, sample_rate_hz=16_000) as stream:
        blocks = list(stream)
    assert stream.warnings == [expected]
    assert np.isfinite(blocks[0]).all()
    assert read_audio((np.array([0.5, np.inf]), 8000)).warnings == (
        "1 samples were not finite numbers or absurdly loud; they were replaced by silence.",
    )


def test_an_array_in_double_precision_may_be_too_loud_for_single() -> None:
    audio = read_audio((np.array([0.25, 1e300]), 8000))
    np.testing.assert_array_equal(audio.samples, np.array([0.25, 0.0], np.float32))


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [(np.uint8, 0, 192), (np.int8, -128, 64), (np.int16, -32_768, 16_384), (np.int32, -(2**31), 2**30)],
)
def test_integers_have_a_full_scale(dtype: Any, low: int, high: int) -> None:
    samples = np.array([low, high], dtype)
    np.testing.assert_array_equal(read_audio((samples, 8000)).samples, np.array([-1.0, 0.5], np.float32))
    assert samples.tolist() == [low, high]  # the caller's array is left alone


def test_the_callers_array_is_never_shared() -> None:
    samples = np.ones(100, np.float32)
    audio = read_audio((samples, 8000))
    audio.samples[:] = 7
    assert samples.max() == 1


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("empty.wav", "b''", AudioEmptyError, "empty.wav: is empty (0 bytes). Record or export it again."),
        ("header.wav", "wav(b'')", AudioEmptyError, "header.wav: holds no samples. Record or export it again."),
        (
            "text.wav",
            "b'not a sound'",
            AudioFormatError,
            "text.wav: holds no sound that tutti can decode (it looks like text). "
            "Give WAV, FLAC, MP3, OGG/Opus, AIFF, M4A/AAC, or a video (MP4, MOV, MKV, WebM) with sound.",
        ),
        (
            "mute.wav",
            "wav(channels=0)",
            AudioFormatError,
            "mute.wav: cannot be decoded as WAV (Channel count is zero). Export it again.",
        ),
        (
            "wide.wav",
            "wav(channels=64)",
            AudioLimitError,
            "wide.wav: has 64 channels, more than the limit of 32. Mix it down first.",
        ),
        (
            "slow.wav",
            "wav(rate_hz=1)",
            AudioLimitError,
            "slow.wav: has a sample rate of 1 Hz, below the limit of 2000 Hz. Check its header, or resample it.",
        ),
        (
            "fast.wav",
            "wav(rate_hz=768_000)",
            AudioLimitError,
            "fast.wav: has a sample rate of 768000 Hz, above the limit of 384000 Hz. Check its header, or resample it.",
        ),
        (
            "bomb.flac",
            "flac(1000, declared=48_000 * 3600 * 5)",
            AudioLimitError,
            "bomb.flac: is longer than the limit of 14400 s. Cut it into parts or raise max_duration_s.",
        ),
    ],
)
def test_bad_files(
    recordings: Any, tmp_path: Path, name: str, content: str, error: type[InputError], message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(eval(content, {"wav": recordings.wav, "flac": recordings.flac}))
    for read in (lambda: open_stream(path, sample_rate_hz=16_000), lambda: read_audio(path)):
        with pytest.raises(error) as raised:
            read()
        assert type(raised.value) is error
        assert str(raised.value) == message


def test_bad_paths(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match=r"^none\.wav: is not there\. Check the path\.$"):
        read_audio(tmp_path / "none.wav")
    with pytest.raises(InputAccessError, match=r": is a directory\. Give the recordings in it\.$"):
        open_stream(tmp_path, sample_rate_hz=16_000)


def test_a_limit_while_streaming_comes_after_the_first_blocks(recordings: Any) -> None:
    bomb = recordings.flac(48_000 * 30, declared=0)
    stream = open_stream(bomb, sample_rate_hz=8000, block_s=1.0, limits=AudioLimits(max_duration_s=20))
    assert stream.duration_s is None
    with pytest.raises(AudioLimitError, match=r"^the given bytes: is longer than the limit of 20 s\."):
        list(stream)
    assert list(stream) == []


def test_a_length_that_no_header_tells(recordings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_FIRST_CAPACITY", 1000)
    noise = (RNG.standard_normal(20_000) * 0.1).astype(np.float32)
    flac = bytearray(recordings.sound("FLAC", "PCM_16", samples=noise))
    flac[18:26] = (int.from_bytes(flac[18:26], "big") >> 36 << 36).to_bytes(8, "big")
    np.testing.assert_allclose(read_audio(bytes(flac)).samples, noise, atol=1e-4)


def test_reading_at_once_is_bounded(recordings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = AudioLimits(max_decoded_bytes=40_000)
    known = recordings.flac(48_000)
    with pytest.raises(AudioLimitError, match=r"^the given bytes: decodes to more than 40,000 bytes"):
        read_audio(known, limits=limits)
    monkeypatch.setattr(reading, "_FIRST_CAPACITY", 1000)
    unknown = recordings.flac(48_000, declared=0)
    with pytest.raises(AudioLimitError, match=r"^the given bytes: decodes to more than 40,000 bytes"):
        read_audio(unknown, limits=limits)
    with open_stream(known, sample_rate_hz=48_000, limits=limits) as stream:
        assert sum(len(block) for block in stream) == 48_000


def test_leaving_early_stops_the_decoder(recordings: Any) -> None:
    data = recordings.wav(bytes(2 * 16_000 * 300))
    with open_stream(data, sample_rate_hz=16_000) as stream:
        next(stream)
    assert list(stream) == []
    stream.close()
    feed: Any = stream._feed
    assert feed._process.returncode is not None


def test_an_abandoned_stream_leaves_no_process(recordings: Any) -> None:
    stream = open_stream(recordings.wav(bytes(2 * 16_000 * 300)), sample_rate_hz=16_000)
    feed: Any = stream._feed
    process = feed._process
    del stream, feed
    gc.collect()
    assert process.returncode is not None


@pytest.mark.parametrize("rate_hz", [0, -1, 384_001, 0.5, 16_000.5, float("nan")])
def test_a_rate_that_makes_no_sense(rate_hz: Any) -> None:
    with pytest.raises(OptionError, match=r"^sample_rate_hz=.* is no whole number from 1 to 384000\.$"):
        open_stream((np.zeros(9), 8000), sample_rate_hz=rate_hz)
    with pytest.raises(OptionError):
        read_audio((np.zeros(9), 8000), sample_rate_hz=rate_hz)


@pytest.mark.parametrize("block_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_block_that_makes_no_sense(block_s: float) -> None:
    with pytest.raises(OptionError, match=r"^block_s=.* is no positive number of seconds\. 10 is a good choice\.$"):
        open_stream((np.zeros(9), 8000), sample_rate_hz=8000, block_s=block_s)


def test_audio_is_frozen() -> None:
    audio = Audio(np.zeros(8000, np.float32), 16_000)
    assert audio.duration_s == 0.5
    with pytest.raises(AttributeError):
        audio.sample_rate_hz = 1  # type: ignore[misc]


_MEASURE = """
import resource, sys
from tutti.audio.reading import open_stream
scale = 1 if sys.platform == "darwin" else 1024  # ru_maxrss in bytes there, in KiB here
with open_stream(sys.argv[1], sample_rate_hz=16_000, block_s=1.0) as stream:
    next(stream)
    early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    samples = 16_000 + sum(len(block) for block in stream)
own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(samples, early * scale, own * scale, child * scale, "torch" in sys.modules, "soundfile" in sys.modules)
"""


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    """A recording of 100 MB passes through; neither process holds more than a fraction of it. Nothing imports torch."""
    path = tmp_path / "long.wav"
    seconds, rate_hz = 300, 44_100
    minute = (RNG.standard_normal((rate_hz * 10, 2)) * 3000).astype("<i2").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, rate_hz, 0, "NONE", ""))
        for _ in range(seconds // 10):
            file.writeframesraw(minute)
            file.writeframesraw(minute)
    size = path.stat().st_size
    assert size > 100e6
    said = subprocess.run([sys.executable, "-c", _MEASURE, str(path)], capture_output=True, text=True, check=True)
    samples, early, own, child, has_torch, has_soundfile = said.stdout.split()
    assert int(samples) == 2 * seconds * 16_000
    assert int(own) - int(early) < 8e6
    assert int(child) < size * 0.9
    assert (has_torch, has_soundfile) == ("False", "False")
