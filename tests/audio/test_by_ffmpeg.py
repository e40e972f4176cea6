"""What FFmpeg decodes, through the decoder's own code in this process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np
import pytest

from tutti.audio import by_ffmpeg
from tutti.audio.by_ffmpeg import FFmpegFile
from tutti.audio.limits import AudioLimits
from tutti.audio.sniffing import Container
from tutti.errors import AudioEmptyError, AudioFormatError, AudioLimitError

Decode = Callable[..., Any]
WAV = Container("WAV", False, "wav")


@pytest.fixture
def file_of() -> Iterator[Callable[[bytes], int]]:
    files = []

    def file_of(data: bytes) -> int:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
        files.append(file)
        file.write(data)
        file.flush()
        return file.fileno()

    yield file_of
    for file in files:
        file.close()


@pytest.mark.parametrize(
    ("container", "codec", "rate_hz", "is_known"),
    [
        ("ipod", "aac", 44_100, True),
        ("ipod", "alac", 44_100, True),
        ("mp4", "aac", 48_000, True),
        ("mov", "pcm_s16le", 44_100, True),
        ("matroska", "aac", 44_100, True),
        ("webm", "libopus", 48_000, True),
        ("adts", "aac", 44_100, False),
        ("avi", "libmp3lame", 44_100, True),
    ],
)
def test_formats(decode: Decode, recordings: Any, container: str, codec: str, rate_hz: int, is_known: bool) -> None:
    tone = recordings.tone(2.0, rate_hz, channels=2)
    decoded = decode(recordings.encoded(container, codec, samples=tone, rate_hz=rate_hz), mono=False)
    assert (decoded.header["sample_rate_hz"], decoded.header["channels"]) == (rate_hz, 2)
    assert decoded.warnings == []
    if is_known:
        assert decoded.header["duration_s"] == pytest.approx(2.0, abs=0.1)
    else:
        assert decoded.header["duration_s"] is None
    samples = decoded.samples.reshape(-1, 2)
    assert len(samples) / rate_hz == pytest.approx(2.0, abs=0.1)
    left = samples[rate_hz // 2 : rate_hz * 3 // 2, 0]
    spectrum = np.abs(np.fft.rfft(left))
    assert np.argmax(spectrum) == 440
    assert np.sqrt(np.mean(left**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize(
    ("codec", "tolerance"),
    [("pcm_u8", 1e-2), ("pcm_s16le", 1e-4), ("pcm_s32le", 1e-6), ("pcm_f32le", 1e-6), ("pcm_f64le", 1e-6)],
)
def test_sample_formats_have_full_scale_one(decode: Decode, recordings: Any, codec: str, tolerance: float) -> None:
    tone = recordings.tone(1.0, 16_000)
    decoded = decode(recordings.encoded("matroska", codec, samples=tone, rate_hz=16_000))
    np.testing.assert_allclose(decoded.samples, tone[:, 0], atol=tolerance)


def test_eight_channels(decode: Decode, recordings: Any) -> None:
    """PyAV's own conversion reads beyond the planes of these."""
    tones = recordings.tone(1.0, 48_000, channels=8)
    decoded = decode(recordings.encoded("matroska", "ac3", samples=tones[:, :6], rate_hz=48_000), mono=False)
    assert decoded.header["channels"] == 6
    decoded = decode(recordings.encoded("ipod", samples=tones, rate_hz=48_000), mono=False)
    assert decoded.header["channels"] == 8
    levels = np.sqrt(np.mean(decoded.samples.reshape(-1, 8)[10_000:-10_000] ** 2, axis=0))
    assert np.sort(levels)[-3:] == pytest.approx(np.array([0.125, 0.25, 0.5]) / np.sqrt(2), rel=0.15)


@pytest.mark.parametrize("container", ["mp4", "matroska", "mov"])
def test_the_sound_of_a_video(decode: Decode, recordings: Any, container: str) -> None:
    tone = recordings.tone(1.0, 44_100)
    decoded = decode(recordings.encoded(container, samples=tone, with_video=True))
    assert len(decoded.samples) / 44_100 == pytest.approx(1.0, abs=0.1)
    assert decoded.warnings == []  # the picture of two seconds is no missing sound


def test_a_video_without_sound(decode: Decode, recordings: Any) -> None:
    silent = recordings.encoded("mp4", samples=np.zeros((0, 1), np.float32), with_video=True)
    with pytest.raises(AudioFormatError, match=r"^is MP4/M4A without sound\. Give WAV, "):
        decode(silent)


def test_mp3_of_variable_bit_rate_is_read_to_its_end(decode: Decode, recordings: Any) -> None:
    """libsndfile would guess the length from the first frames and drop most of it."""
    rate_hz = 44_100
    tone = recordings.tone(10.0, rate_hz)
    tone[: rate_hz * 2, 0] = 0.2 * np.random.default_rng(0).standard_normal(rate_hz * 2)
    mp3 = recordings.encoded(
        "mp3",
        "libmp3lame",
        samples=tone,
        options={"write_xing": "0", "id3v2_version": "0"},
        codec_options={"flags": "+qscale", "global_quality": str(4 * 118)},
    )
    decoded = decode(mp3)
    assert len(decoded.samples) / rate_hz == pytest.approx(10.0, abs=0.1)
    assert decoded.header["duration_s"] is None


def test_a_cut_video_gives_what_is_there_with_a_warning(decode: Decode, recordings: Any) -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal((441_000, 1))).astype(np.float32)
    whole = recordings.encoded("mp4", samples=noise, options={"movflags": "faststart"})
    decoded = decode(whole[: len(whole) // 2])
    read_s = len(decoded.samples) / 44_100
    assert 3.0 < read_s < 6.0
    assert decoded.warnings[0].startswith(f"the file is incomplete: {read_s:.1f} s of the 10.0 s")


def test_a_cut_m4a_without_its_table_of_contents(decode: Decode, recordings: Any) -> None:
    whole = recordings.encoded("ipod")
    with pytest.raises(AudioFormatError, match=r"^cannot be decoded as MP4/M4A \(.+\)\. Export it again\.$"):
        decode(whole[: len(whole) // 2])


def test_damaged_packets_are_skipped_and_counted(decode: Decode, recordings: Any) -> None:
    data = bytearray(recordings.encoded("adts", samples=recordings.tone(4.0, 44_100)))
    frame_at = [index for index in range(len(data) - 1) if data[index] == 0xFF and data[index + 1] == 0xF1]
    middle = frame_at[len(frame_at) // 2]
    data[middle + 7 : middle + 60] = b"\xff" * 53
    decoded = decode(bytes(data))
    assert decoded.warnings == ["1 damaged packets were skipped; later times may be early."]
    assert len(decoded.samples) / 44_100 == pytest.approx(4.0, abs=0.2)


def test_reading_goes_on_behind_a_place_that_cannot_be_read(decode: Decode, recordings: Any) -> None:
    data = recordings.encoded("adts", samples=recordings.tone(4.0, 44_100))
    whole = decode(data)

    class Stumbling:
        """A container whose demuxer raises once, as PyAV's do at a place they cannot read."""

        def __init__(self, container: Any) -> None:
            self.container, self.stumbled = container, False

        def demux(self, stream: Any) -> Iterator[Any]:
            for index, packet in enumerate(self.container.demux(stream)):
                yield packet
                if index == 20 and not self.stumbled:
                    self.stumbled = True
                    raise av.InvalidDataError(1, "Invalid data")

        def __getattr__(self, name: str) -> Any:
            return getattr(self.container, name)

    open_container = FFmpegFile._open
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FFmpegFile, "_open", lambda self, fd, demuxer: Stumbling(open_container(self, fd, demuxer)))
        decoded = decode(data)
    assert decoded.warnings == ["1 damaged packets were skipped; later times may be early."]
    assert len(decoded.samples) == len(whole.samples)


def test_nothing_but_damage(decode: Decode) -> None:
    frame = b"\xff\xf1\x50\x80\x04\x3f\xfc" + b"\xff" * 26
    with pytest.raises(AudioFormatError) as raised:
        decode(frame * 20)
    assert str(raised.value) == "is AAC damaged from where its sound begins. Export it again."


def test_too_much_damage_is_given_up(decode: Decode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_ffmpeg, "_MAX_DAMAGED_PACKETS", 5)
    with pytest.raises(AudioFormatError, match=r"^is AAC with too many damaged packets\. Export it again\.$"):
        decode((b"\xff\xf1\x50\x80\x04\x3f\xfc" + b"\xff" * 26) * 20)


def test_no_samples(file_of: Callable[[bytes], int], recordings: Any) -> None:
    with pytest.raises(AudioEmptyError, match=r"^holds no samples\."):
        FFmpegFile(file_of(recordings.wav(b"")), WAV, AudioLimits())


def test_limits(file_of: Callable[[bytes], int], recordings: Any) -> None:
    with pytest.raises(AudioLimitError, match=r"^has a sample rate of 768000 Hz"):
        FFmpegFile(file_of(recordings.wav(rate_hz=768_000)), WAV, AudioLimits())
    with pytest.raises(AudioLimitError, match=r"^is longer than the limit of 1 s"):
        FFmpegFile(file_of(recordings.wav(bytes(16_000 * 4))), WAV, AudioLimits(max_duration_s=1))


def test_a_codec_that_is_not_on_the_list(decode: Decode, recordings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_ffmpeg, "_CODECS", ("opus",))
    with pytest.raises(AudioFormatError, match=r"^holds sound coded as aac, which tutti does not decode\. Give WAV"):
        decode(recordings.encoded("ipod"))


def test_a_codec_that_nobody_knows(decode: Decode, recordings: Any) -> None:
    unknown = recordings.encoded("mov", "pcm_s16le").replace(b"sowt", b"zzzz")
    with pytest.raises(AudioFormatError, match=r"^holds sound coded as something unknown, which tutti does not"):
        decode(unknown)


def test_a_seek_before_the_beginning_is_damage(
    file_of: Callable[[bytes], int], recordings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def led_astray(*_arguments: Any, **_options: Any) -> Any:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(by_ffmpeg.av, "open", led_astray)
    with pytest.raises(AudioFormatError) as raised:
        FFmpegFile(file_of(recordings.wav()), WAV, AudioLimits())
    assert str(raised.value) == "cannot be decoded as WAV (Invalid argument). Export it again."


def test_a_sample_format_that_is_not_on_the_list(
    decode: Decode, recordings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_ffmpeg, "_SAMPLE_FORMATS", {"s16": (np.int16, 1.0)})
    with pytest.raises(AudioFormatError, match=r"^holds samples of format fltp, which tutti does not decode\."):
        decode(recordings.encoded("ipod"))


def test_a_rate_that_changes_midway(decode: Decode, recordings: Any) -> None:
    first = recordings.encoded("adts", rate_hz=44_100)
    second = recordings.encoded("adts", rate_hz=32_000)
    with pytest.raises(AudioFormatError, match=r"^changes its sample rate or its channels midway\."):
        decode(first + second)


def test_a_recording_may_open_nothing_else(file_of: Callable[[bytes], int], recordings: Any) -> None:
    """A playlist in FFmpeg's hands: even if the container list let one in, no second file would be opened."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as secret:
        secret.write(recordings.wav())
        secret.flush()
        playlist = f"ffconcat version 1.0\nfile '{os.fspath(secret.name)}'\n".encode()
        with pytest.raises(AudioFormatError):
            FFmpegFile(file_of(playlist), Container("playlist", False, "concat"), AudioLimits())
        with av.open(secret.name) as readable:
            assert readable.streams.audio
    with pytest.raises(PermissionError):
        by_ffmpeg._refuse_to_open("http://127.0.0.1/", 1, {})
