"""What libsndfile decodes, through the decoder's own code in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tutti.audio.limits import AudioLimits
from tutti.errors import AudioEmptyError, AudioFormatError, AudioLimitError, InputError

Decode = Callable[..., Any]


@pytest.mark.parametrize(
    ("container", "subtype", "rate_hz", "tolerance"),
    [
        ("WAV", "PCM_U8", 16_000, 1e-2),
        ("WAV", "PCM_16", 44_100, 1e-4),
        ("WAV", "PCM_24", 96_000, 1e-6),
        ("WAV", "FLOAT", 16_000, 0.0),
        ("RF64", "PCM_16", 16_000, 1e-4),
        ("W64", "PCM_16", 16_000, 1e-4),
        ("AIFF", "PCM_16", 22_050, 1e-4),
        ("CAF", "PCM_16", 16_000, 1e-4),
        ("AU", "PCM_16", 16_000, 1e-4),
        ("FLAC", "PCM_16", 48_000, 1e-4),
        ("OGG", "VORBIS", 44_100, 3e-2),
        ("OGG", "OPUS", 48_000, 3e-2),
        ("MP3", "MPEG_LAYER_III", 44_100, 3e-2),
    ],
)
def test_formats(decode: Decode, recordings: Any, container: str, subtype: str, rate_hz: int, tolerance: float) -> None:
    tone = recordings.tone(2.0, rate_hz, channels=2)
    decoded = decode(recordings.sound(container, subtype, samples=tone, rate_hz=rate_hz), mono=False)
    assert decoded.header == {
        "sample_rate_hz": rate_hz,
        "native_channels": 2,
        "channels": 2,
        "duration_s": 2.0,
        "container": container,
    }
    assert decoded.warnings == []
    samples = decoded.samples.reshape(-1, 2)
    assert samples.shape == tone.shape
    middle = slice(rate_hz // 2, -rate_hz // 2)
    np.testing.assert_allclose(samples[middle], tone[middle], atol=tolerance)


def test_silence_reads_as_zeros(decode: Decode, recordings: Any) -> None:
    decoded = decode(recordings.wav(bytes(32_000)))
    np.testing.assert_array_equal(decoded.samples, np.zeros(16_000, np.float32))
    assert decoded.warnings == []


def test_broken_samples_are_replaced_with_a_warning(decode: Decode, recordings: Any) -> None:
    decoded = decode(recordings.float_wav(np.array([0.5, np.nan, np.inf, -np.inf, 1e20, -0.5])))
    np.testing.assert_array_equal(decoded.samples, np.array([0.5, 0, 0, 0, 0, -0.5], np.float32))
    assert decoded.warnings == ["4 samples were not finite numbers or absurdly loud; they were replaced by silence."]


@pytest.mark.parametrize(
    ("wav", "error", "message"),
    [
        ({"data": b""}, AudioEmptyError, "holds no samples. Record or export it again."),
        ({"channels": 0}, AudioFormatError, "cannot be decoded as WAV (Channel count is zero). Export it again."),
        ({"channels": 64}, AudioLimitError, "has 64 channels, more than the limit of 32. Mix it down first."),
        (
            {"rate_hz": 1},
            AudioLimitError,
            "has a sample rate of 1 Hz, below the limit of 2000 Hz. Check its header, or resample it.",
        ),
        (
            {"rate_hz": 768_000},
            AudioLimitError,
            "has a sample rate of 768000 Hz, above the limit of 384000 Hz. Check its header, or resample it.",
        ),
    ],
)
def test_headers_that_are_refused(
    decode: Decode, recordings: Any, wav: dict[str, Any], error: type[InputError], message: str
) -> None:
    with pytest.raises(error) as raised:
        decode(recordings.wav(**wav))
    assert str(raised.value) == message


def test_a_header_only_file_has_44_bytes(recordings: Any) -> None:
    assert len(recordings.wav(b"")) == 44


def test_a_cut_wav_gives_what_is_there_with_a_warning(decode: Decode, recordings: Any) -> None:
    decoded = decode(recordings.wav(bytes(3200), declared=4000))
    assert len(decoded.samples) == 1600
    assert decoded.warnings == ["the file is incomplete: 800 bytes that its header promises are missing."]


@pytest.mark.parametrize("declared", [0xFFFFFFFF, 0x7FFFFFFF, 3200])
def test_a_wav_written_as_a_stream_is_complete(decode: Decode, recordings: Any, declared: int) -> None:
    decoded = decode(recordings.wav(bytes(3200), declared=declared))
    assert len(decoded.samples) == 1600
    assert decoded.warnings == []


def test_chunks_before_the_data_are_skipped(decode: Decode, recordings: Any) -> None:
    before = b"junk\x05\0\0\0" + b"12345\0"
    assert decode(recordings.wav(bytes(3200), before_data=before)).warnings == []
    cut = decode(recordings.wav(bytes(3200), before_data=before, declared=3300))
    assert cut.warnings == ["the file is incomplete: 100 bytes that its header promises are missing."]


def test_a_cut_mp3_gives_what_is_there_with_a_warning(decode: Decode, recordings: Any) -> None:
    mp3 = recordings.sound("MP3", samples=recordings.tone(4.0, 44_100), rate_hz=44_100)
    decoded = decode(mp3[: len(mp3) // 2])
    assert 1.5 < len(decoded.samples) / 44_100 < 2.5
    read_s = len(decoded.samples) / 44_100
    assert decoded.warnings == [
        f"the file is incomplete: {read_s:.1f} s of the 4.0 s that its header promises were read."
    ]


def test_a_cut_flac_gives_all_that_is_there(decode: Decode, recordings: Any) -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal(160_000)).astype(np.float32)
    flac = recordings.sound("FLAC", "PCM_16", samples=noise)
    decoded = decode(flac[: len(flac) // 2])
    # The frame that was cut is lost, what was decoded in the same block before it is not.
    assert 160_000 * 0.5 - 8192 < len(decoded.samples) <= 160_000 * 0.5
    np.testing.assert_allclose(decoded.samples, noise[: len(decoded.samples)], atol=1e-4)
    assert decoded.warnings[0].endswith("of the 10.0 s that its header promises were read.")
    assert decoded.warnings[1].startswith("decoding stopped at damaged data (")


def test_a_flac_damaged_from_the_start(decode: Decode, recordings: Any) -> None:
    flac = recordings.sound("FLAC", "PCM_16")
    with pytest.raises(
        AudioFormatError, match=r"^is FLAC damaged from where its sound begins \(.*\)\. Export it again\."
    ):
        decode(flac[:200])


def test_a_flac_of_hours_is_refused_by_its_header(decode: Decode, recordings: Any) -> None:
    with pytest.raises(AudioLimitError) as raised:
        decode(recordings.flac(1000, declared=48_000 * 14_401))
    assert str(raised.value) == ("is longer than the limit of 14400 s. Cut it into parts or raise max_duration_s.")


def test_a_flac_of_unknown_length_is_refused_while_it_unpacks(decode: Decode, recordings: Any) -> None:
    bomb = recordings.flac(48_000 * 60, declared=0)
    assert len(bomb) < 20_000
    assert len(decode(bomb).samples) == 48_000 * 60
    with pytest.raises(AudioLimitError, match=r"^is longer than the limit of 20 s\."):
        decode(bomb, limits=AudioLimits(max_duration_s=20))


def test_a_flac_that_declares_too_much(decode: Decode, recordings: Any) -> None:
    decoded = decode(recordings.flac(48_000, declared=96_000))
    assert len(decoded.samples) == 48_000
    assert decoded.warnings[0] == ("the file is incomplete: 1.0 s of the 2.0 s that its header promises were read.")


def test_mp3_frames_that_make_no_sense(decode: Decode, recordings: Any) -> None:
    mp3 = recordings.sound("MP3", samples=recordings.tone(1.0, 44_100), rate_hz=44_100)
    with pytest.raises(AudioFormatError) as raised:
        decode(mp3[:100])
    assert str(raised.value) == "cannot be decoded as MP3 (its frames make no sense). Export it again."
