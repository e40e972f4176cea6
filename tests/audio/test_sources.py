from __future__ import annotations

import errno
import io
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tutti.audio import sources
from tutti.audio.limits import AudioLimits
from tutti.audio.sources import ArraySource, FileSource, naming, open_source
from tutti.errors import (
    AudioEmptyError,
    AudioFormatError,
    AudioLimitError,
    InputAccessError,
    InputNotFoundError,
    OutputError,
    UsageError,
)

LIMITS = AudioLimits()


@contextmanager
def opened(source: Any, limits: AudioLimits = LIMITS) -> Iterator[FileSource]:
    result = open_source(source, limits)
    assert isinstance(result, FileSource)
    try:
        yield result
    finally:
        os.close(result.fd)


def open_descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


@pytest.mark.parametrize("as_given", [str, os.fsencode])
def test_a_path_is_opened_in_place(tmp_path: Path, as_given: Any) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(b"content")

    class PathLike:
        def __fspath__(self) -> Any:
            return as_given(path)

    with opened(PathLike()) as source:
        assert source.name == "song.wav"
        assert os.fstat(source.fd).st_ino == path.stat().st_ino


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("my song.wav", "my song.wav"),
        ("Für Elise 🎹.wav", "Für Elise 🎹.wav"),
        ("a\nb\x1b[31m.wav", r"a\nb\x1b[31m.wav"),
    ],
)
def test_any_name_opens_and_is_safe_to_print(tmp_path: Path, name: str, shown: str) -> None:
    (tmp_path / name).write_bytes(b"content")
    with opened(tmp_path / name) as source:
        assert source.name == shown


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_bytes_are_copied(make: Any) -> None:
    with opened(make(b"content")) as source:
        assert source.name == "the given bytes"
        assert os.pread(source.fd, 100, 0) == b"content"


def test_a_stream_is_read_from_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(b"skipped content")
    with path.open("rb") as stream:
        stream.seek(8)
        with opened(stream) as source:
            assert source.name == "song.wav"
            assert os.pread(source.fd, 100, 0) == b"content"
    with opened(io.BytesIO(b"content")) as source:
        assert source.name == "the given stream"


def test_a_pipe_is_read_to_its_end() -> None:
    """As a shell's process substitution gives it."""
    read_fd, write_fd = os.pipe()
    os.write(write_fd, b"content")
    os.close(write_fd)
    with opened(f"/dev/fd/{read_fd}") as source:
        assert os.pread(source.fd, 100, 0) == b"content"
    os.close(read_fd)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.wav", "missing.wav: is not there. Check the path."),
        ("/dev/null/x.wav", "x.wav: is not there. Check the path."),
        ("https://example.org/song.mp3", "song.mp3: is not there. tutti reads files; fetch it first."),
        ("a\0b.wav", r"a\x00b.wav: is no file name. Check the path."),
        ("x" * 300, "x" * 300 + ": is not there. Check the path."),
    ],
)
def test_a_missing_file(path: str, message: str) -> None:
    with pytest.raises(InputNotFoundError) as raised:
        open_source(path, LIMITS)
    assert str(raised.value) == message


def test_an_empty_path_is_missing() -> None:
    with pytest.raises(InputNotFoundError):
        open_source("", LIMITS)


def test_a_directory(tmp_path: Path) -> None:
    (tmp_path / "album.wav").mkdir()
    before = open_descriptors()
    with pytest.raises(InputAccessError) as raised:
        open_source(tmp_path / "album.wav", LIMITS)
    assert str(raised.value) == "album.wav: is a directory. Give the recordings in it."
    assert open_descriptors() == before


def test_a_device_is_not_read() -> None:
    with pytest.raises(InputAccessError, match=r"^zero: is a device or socket, not a file\."):
        open_source("/dev/zero", LIMITS)


def test_a_socket_cannot_be_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # socket paths are short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        with pytest.raises(InputAccessError, match=r"^s: cannot be opened \(.+\)\. Check the path\.$"):
            open_source("s", LIMITS)


def test_no_permission() -> None:
    """In a process of an ordinary user, since root may read everything."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "secret.wav"
        path.write_bytes(b"content")
        path.chmod(0)
        code = (
            "import os, sys\n"
            "path = sys.argv[1]\n"
            "from tutti.audio.reading import open_stream\n"
            "from tutti.errors import InputAccessError\n"
            "if os.geteuid() == 0: os.setgroups([]); os.setuid(65534)\n"
            "try: open_stream(path, sample_rate_hz=16000)\n"
            "except InputAccessError as error: print(error)\n"
        )
        said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert said.stdout == "secret.wav: may not be read. Check its permissions.\n"


@pytest.mark.parametrize("source", [b"", io.BytesIO()])
def test_an_empty_file(source: Any) -> None:
    with pytest.raises(AudioEmptyError, match=r": is empty \(0 bytes\)\. Record or export it again\.$"):
        open_source(source, LIMITS)


def test_a_file_beyond_the_limit_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "big.wav"
    path.write_bytes(bytes(1001))
    limits = AudioLimits(max_file_bytes=1000)
    before = open_descriptors()
    with pytest.raises(AudioLimitError, match=r"^big\.wav: has more than 1,000 bytes, the limit\."):
        open_source(path, limits)
    assert open_descriptors() == before


def test_a_stream_beyond_the_limit_is_not_read_to_its_end() -> None:
    class Endless:
        pieces = 0

        def read(self, size: int) -> bytes:
            self.pieces += 1
            return bytes(size)

    endless: Any = Endless()
    with pytest.raises(AudioLimitError, match=r"^the given stream: has more than"):
        open_source(endless, AudioLimits(max_file_bytes=3 << 20))
    assert endless.pieces == 4


def test_a_stream_that_fails() -> None:
    class Failing:
        def read(self, _size: int) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    failing: Any = Failing()
    with pytest.raises(InputAccessError) as raised:
        open_source(failing, LIMITS)
    assert str(raised.value) == "the given stream: cannot be read (Input/output error)."


def test_a_text_stream_is_a_mistake() -> None:
    text: Any = io.StringIO("RIFF")
    with pytest.raises(UsageError) as raised:
        open_source(text, LIMITS)
    assert str(raised.value) == "the given stream: gives str, not bytes. Open it in binary mode ('rb')."


def test_no_room_for_the_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(_fd: int, _data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sources.os, "write", no_space)
    with pytest.raises(OutputError, match=r"^the given bytes: cannot be copied .* \(No space left on device\)\. Free"):
        open_source(b"content", LIMITS)


@pytest.mark.parametrize("source", [None, 7, ["song.wav"]])
def test_what_is_no_source(source: Any) -> None:
    with pytest.raises(UsageError, match=f"^A {type(source).__name__} is no recording. Give a path, bytes"):
        open_source(source, LIMITS)


def test_an_array_is_taken_as_it_is() -> None:
    samples = np.zeros((10, 2), np.float64)
    source = open_source((samples, 44_100), LIMITS)
    assert isinstance(source, ArraySource)
    assert source.samples is samples
    assert (source.sample_rate_hz, source.full_scale) == (44_100, 1)
    column = open_source((np.zeros(10, np.int16), np.int32(8000)), LIMITS)
    assert isinstance(column, ArraySource)
    assert (column.samples.shape, column.full_scale) == ((10, 1), 32_768)


@pytest.mark.parametrize(
    ("samples", "rate", "error", "message"),
    [
        ([0.0], 8000, UsageError, "A tuple source is (samples, rate_hz): a NumPy array and a whole number of Hz."),
        (np.zeros(9), 0.5, UsageError, "A sample rate of 0.5 is no whole number of Hz. Give the array's rate."),
        (np.zeros(9), True, UsageError, "A sample rate of True is no whole number of Hz. Give the array's rate."),
        (
            np.zeros(9),
            float("inf"),
            UsageError,
            "A sample rate of inf is no whole number of Hz. Give the array's rate.",
        ),
        (np.zeros(9), "8000", UsageError, "A sample rate of '8000' is no whole number of Hz. Give the array's rate."),
        (
            np.zeros(9, np.int64),
            8000,
            UsageError,
            "Samples of type int64 have no full scale. Give floats, or integers to 32 bits.",
        ),
        (
            np.zeros(9, np.complex64),
            8000,
            UsageError,
            "Samples of type complex64 have no full scale. Give floats, or integers to 32 bits.",
        ),
        (
            np.zeros((2, 3, 4)),
            8000,
            UsageError,
            "Samples of shape (2, 3, 4) are no recording. Give (samples,) or (samples, channels).",
        ),
        (np.zeros(0), 8000, AudioEmptyError, "the given array: holds no samples. Give at least one."),
        (
            np.zeros((9, 0)),
            8000,
            AudioFormatError,
            "the given array: has 0 channels, so there is nothing to hear. Export it again.",
        ),
        (
            np.zeros((2, 9000)),
            8000,
            AudioLimitError,
            "the given array: has 9000 channels and 2 samples; it lies on its side. Transpose it.",
        ),
        (
            np.zeros((99, 64)),
            8000,
            AudioLimitError,
            "the given array: has 64 channels, more than the limit of 32. Mix it down first.",
        ),
        (
            np.zeros(9),
            1,
            AudioLimitError,
            "the given array: has a sample rate of 1 Hz, below the limit of 2000 Hz. Check its header, or resample it.",
        ),
        (
            np.broadcast_to(np.float32(0), 8000 * 14_401),
            8000,
            AudioLimitError,
            "the given array: is longer than the limit of 14400 s. Cut it into parts or raise max_duration_s.",
        ),
    ],
)
def test_an_array_that_is_no_recording(samples: Any, rate: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        open_source((samples, rate), LIMITS)
    assert type(raised.value) is error
    assert str(raised.value) == message


def test_a_tuple_of_three_is_no_source() -> None:
    three: Any = (np.zeros(9), 8000, 1)
    with pytest.raises(UsageError, match=r"^A tuple source is"):
        open_source(three, LIMITS)


def test_naming_keeps_the_class_and_lets_other_errors_pass() -> None:
    with pytest.raises(AudioLimitError, match=r"^x: is long\.$"), naming("x"):
        raise AudioLimitError("is long.")
    with pytest.raises(KeyError), naming("x"):
        raise KeyError("k")
