"""Damaged files of every kind: the reader gives samples or an InputError, whatever happens, and it never hangs."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tutti.audio.reading import AudioLimits, read_audio
from tutti.errors import InputError

Run = Callable[[bytes], tuple[int, bytes]]

KINDS = ("wav", "float", "flac", "ogg", "opus", "mp3", "aiff", "m4a", "mkv", "adts", "w64", "caf")
DEATHS = {-signal.SIGXCPU, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGFPE, -signal.SIGBUS, -signal.SIGKILL}
INTERESTING = (0, 1, 2, 4, 8, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF)
FUZZING = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def samples_of(recordings: Any) -> dict[str, bytes]:
    """A small sound file of each kind."""
    tone, wide = recordings.tone(0.2, 16_000), recordings.tone(0.2, 48_000)
    return {
        "wav": recordings.sound("WAV", "PCM_16", samples=tone),
        "float": recordings.float_wav(tone),
        "flac": recordings.sound("FLAC", "PCM_16", samples=tone),
        "ogg": recordings.sound("OGG", "VORBIS", samples=tone),
        "opus": recordings.sound("OGG", "OPUS", samples=wide, rate_hz=48_000),
        "mp3": recordings.sound("MP3", samples=tone),
        "aiff": recordings.sound("AIFF", "PCM_16", samples=tone),
        "m4a": recordings.encoded("ipod", samples=wide, rate_hz=48_000),
        "mkv": recordings.encoded("matroska", samples=wide, rate_hz=48_000),
        "adts": recordings.encoded("adts", samples=wide, rate_hz=48_000),
        "w64": recordings.sound("W64", "PCM_16", samples=tone),
        "caf": recordings.sound("CAF", "PCM_16", samples=tone),
    }


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """The decoder in forks of one process; see fuzz_worker."""
    worker = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("fuzz_worker.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    requests, answers = worker.stdin, worker.stdout

    def run(data: bytes) -> tuple[int, bytes]:
        requests.write(struct.pack("<I", len(data)) + data)
        requests.flush()
        ended, size = struct.unpack("<iI", answers.read(8))
        return ended, answers.read(size)

    yield run
    requests.close()
    worker.wait()
    answers.close()


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A few changes, mostly near the beginning, where the headers are."""
    steps = draw(
        st.lists(st.tuples(st.sampled_from(["byte", "word", "cut", "drop", "repeat"]), places, values), max_size=5)
    )

    def apply(data: bytes) -> bytes:
        for step, place, value in steps:
            data = _damaged(data, step, int(place * len(data)), value)
        return data

    return apply


places = st.one_of(st.floats(0, 0.02), st.floats(0, 0.2), st.floats(0, 1, exclude_max=True))
values = st.one_of(st.sampled_from(INTERESTING), st.integers(0, 0xFFFFFFFF))


def _damaged(data: bytes, step: str, at: int, value: int) -> bytes:
    if step == "byte":
        return data[:at] + bytes([value & 0xFF]) + data[at + 1 :]
    if step == "word":
        return data[:at] + value.to_bytes(4, "little" if value % 2 else "big") + data[at + 4 :]
    if step == "cut":
        return data[:at]
    if step == "drop":
        return data[:at] + data[at + value % 64 :]
    return data[:at] + data[at : at + value % 64] + data[at:]


def check(ended: int, said: bytes, parse: Callable[[bytes], Any]) -> None:
    if ended < 0:
        assert ended in DEATHS  # the reader makes a DecoderError of these
        return
    assert ended in (0, 1)
    try:
        decoded = parse(said)
    except InputError as error:
        message = str(error)
        assert (ended, bool(message)) == (1, True)
    else:
        assert ended == 0
        assert np.isfinite(decoded.samples).all()
        assert len(decoded.samples) == decoded.trailer["values"]


def test_the_files_are_sound_before_they_are_damaged(samples_of: dict[str, bytes], run: Run, parse: Any) -> None:
    assert samples_of.keys() == set(KINDS)
    for kind, data in samples_of.items():
        ended, said = run(data)
        assert ended == 0, kind
        assert len(parse(said).samples) >= 1500, kind


def test_a_hang_ends(recordings: Any, run: Run) -> None:
    assert run(recordings.hanging_wav())[0] == -signal.SIGXCPU


@settings(FUZZING, max_examples=400)
@given(kind=st.sampled_from(KINDS), change=damage())
def test_damaged_files(
    kind: str, change: Callable[[bytes], bytes], samples_of: dict[str, bytes], run: Run, parse: Any
) -> None:
    check(*run(change(samples_of[kind])), parse)


@settings(FUZZING, max_examples=100)
@given(magic=st.sampled_from(KINDS), rest=st.binary(max_size=400))
def test_noise_behind_a_good_beginning(
    magic: str, rest: bytes, samples_of: dict[str, bytes], run: Run, parse: Any
) -> None:
    check(*run(samples_of[magic][:24] + rest), parse)


@settings(FUZZING, max_examples=12)
@given(kind=st.sampled_from(KINDS), change=damage())
def test_damaged_files_through_the_reader(
    kind: str, change: Callable[[bytes], bytes], samples_of: dict[str, bytes]
) -> None:
    try:
        audio = read_audio(change(samples_of[kind]), sample_rate_hz=8000, limits=AudioLimits(timeout_s=5))
    except InputError as error:
        message = str(error)
        assert message.startswith("the given bytes: ")
    else:
        assert np.isfinite(audio.samples).all()
        assert len(audio.samples) > 0
