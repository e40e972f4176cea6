from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tutti.audio.sniffing import Container, sniff


def sniffed(data: bytes) -> Container | None:
    return sniff(lambda offset, size: data[offset : offset + size])


@pytest.mark.parametrize(
    ("container", "name"),
    [
        ("WAV", "WAV"),
        ("RF64", "RF64"),
        ("W64", "W64"),
        ("AIFF", "AIFF"),
        ("FLAC", "FLAC"),
        ("OGG", "OGG"),
        ("CAF", "CAF"),
        ("AU", "AU"),
        ("MP3", "MP3"),
    ],
)
def test_what_libsndfile_writes(recordings: Any, container: str, name: str) -> None:
    found = sniffed(recordings.sound(container))
    assert found is not None
    assert (found.name, found.by_libsndfile) == (name, True)


@pytest.mark.parametrize(
    ("container", "name", "demuxer"),
    [
        ("ipod", "MP4/M4A", "mov"),
        ("mp4", "MP4/M4A", "mov"),
        ("mov", "MP4/M4A", "mov"),
        ("matroska", "Matroska/WebM", "matroska"),
        ("adts", "AAC", "aac"),
        ("avi", "AVI", "avi"),
    ],
)
def test_what_ffmpeg_writes(recordings: Any, container: str, name: str, demuxer: str) -> None:
    found = sniffed(recordings.encoded(container))
    assert found is not None
    assert (found.name, found.by_libsndfile, found.demuxer) == (name, False, demuxer)


@pytest.mark.parametrize("data", [b"", b"R", b"hello, world\n" * 9, bytes(4096), b"\x1f\x8b" + bytes(range(256))])
def test_what_is_no_sound(data: bytes) -> None:
    assert sniffed(data) is None


@pytest.mark.parametrize(
    "playlist",
    [b"#EXTM3U\n#EXTINF:1\nfile.ts\n", b"ffconcat version 1.0\nfile x.wav\n", b"v=0\no=- 0 0 IN IP4 127.0.0.1\n"],
)
def test_what_points_elsewhere_is_no_sound(playlist: bytes) -> None:
    assert sniffed(playlist) is None


@pytest.mark.parametrize(
    "header",
    [
        b"\xff\xeb\x90\x44",  # reserved MPEG version
        b"\xff\xfb\xf0\x44",  # forbidden bit rate
        b"\xff\xfb\x9c\x44",  # reserved sample rate
        b"\xff\xf1\x7c\x80",  # AAC with a sample rate that does not exist
        b"\xff\xfb\x90",
    ],
)
def test_frames_must_make_sense(header: bytes) -> None:
    assert sniffed(header + (bytes(60) if len(header) == 4 else b"")) is None


def test_tags_and_padding_before_the_frames_are_skipped(recordings: Any) -> None:
    mp3 = recordings.sound("MP3")
    tag = b"ID3\x04\0\0" + bytes([0, 0, 1, 2]) + bytes(130)
    with_footer = b"ID3\x04\0\x10" + bytes([0, 0, 0, 5]) + bytes(5) + b"3DI\x04\0\x10" + bytes([0, 0, 0, 5])
    for data in (tag + mp3, tag + tag + mp3, with_footer + mp3, tag + bytes(500) + mp3):
        found = sniffed(data)
        assert found is not None
        assert found.name == "MP3"
    flac = sniffed(tag + recordings.sound("FLAC"))
    assert flac is not None
    assert flac.name == "FLAC"
    assert sniffed(tag[:8]) is None


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [22_050, 44_100])
def test_only_an_mp3_that_counts_its_frames_goes_to_libsndfile(recordings: Any, channels: int, rate_hz: int) -> None:
    samples = np.zeros((rate_hz, channels), np.float32)
    for counted in ("1", "0"):
        options = {"write_xing": counted, "id3v2_version": "0"}
        found = sniffed(recordings.encoded("mp3", "libmp3lame", samples=samples, rate_hz=rate_hz, options=options))
        assert found is not None
        assert found.by_libsndfile is (counted == "1")
        assert found.estimates_duration is (counted == "0")
