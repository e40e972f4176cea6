"""The decoder as a process: that it is isolated, fast to end, and reported truly when it dies."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tutti.audio import child as child_module
from tutti.audio import protocol
from tutti.audio.child import Child, command_line
from tutti.audio.limits import AudioLimits
from tutti.audio.protocol import Job
from tutti.audio.sources import FileSource
from tutti.errors import AudioLimitError, DecoderError

HEADER = {"sample_rate_hz": 8000, "native_channels": 1, "channels": 1, "duration_s": 1.0}
PREAMBLE = (
    "import json, os, signal, sys, time\n"
    "from tutti.audio import protocol\n"
    "def header(): protocol.send_json(1, protocol.HEADER, " + repr(HEADER) + ")\n"
    "def samples(n): protocol.send(1, protocol.SAMPLES, bytes(4 * n))\n"
    "def done(**content): protocol.send_json(1, protocol.DONE, content)\n"
)


@pytest.fixture
def start(recordings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Child]]:
    """`start(data=…)` a real decoder on a file, or `start(code=…)` a process that plays one."""
    started: list[Child] = []

    def start(data: bytes | None = None, *, code: str | None = None, **limits: Any) -> Child:
        job = Job(8000, True, AudioLimits(**{"timeout_s": 20.0, **limits}))
        if code is not None:
            monkeypatch.setattr(child_module, "command_line", lambda _job: [sys.executable, "-c", PREAMBLE + code])
        with tempfile.TemporaryFile() as file:
            file.write(recordings.wav() if data is None else data)
            file.flush()
            file.seek(0)
            started.append(Child(FileSource("song.wav", file.fileno()), job))
        return started[-1]

    yield start
    for child in started:
        child.close()


def is_gone(child: Child) -> bool:
    """Whether the process has ended and was waited for: a zombie would still take a signal."""
    try:
        os.kill(child._process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def read_all(child: Child, step: int = 300) -> np.ndarray:
    parts = []
    while True:
        part = np.empty(step, np.float32)
        values = child.read_into(part)
        parts.append(part[:values])
        if values < step:
            return np.concatenate(parts)


def test_a_recording_comes_through(start: Callable[..., Child], recordings: Any) -> None:
    tone = recordings.tone(1.0, 8000)
    child = start(recordings.sound("WAV", "FLOAT", samples=tone, rate_hz=8000))
    assert (child.native_sample_rate_hz, child.native_channels, child.channels, child.duration_s) == (8000, 1, 1, 1.0)
    np.testing.assert_array_equal(read_all(child), tone[:, 0])
    assert child.warnings == []
    child.close()
    assert is_gone(child)


def test_the_interpreter_is_isolated() -> None:
    command = command_line(Job(8000, True, AudioLimits()))
    assert command[:2] == [sys.executable, "-I"]
    assert all(Path(folder).is_absolute() for folder in command[5:])


def test_the_working_directory_lends_no_modules(
    start: Callable[..., Child], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("soundfile", "json", "resource"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('hijacked')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert len(read_all(start())) == 800


def test_the_environment_is_not_handed_on(start: Callable[..., Child], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    code = (
        "header()\n"
        "done(values=0, warnings=sorted(name for name in os.environ if name in {'SECRET_TOKEN', 'HOME', 'LC_ALL'}))\n"
    )
    child = start(code=code)
    assert read_all(child).size == 0
    assert child.warnings == ["LC_ALL"]


def test_a_file_that_hangs_libsndfile_is_given_up(start: Callable[..., Child], recordings: Any) -> None:
    """libsndfile 1.2.2 loops for ever; a later one that does not would decode the file or refuse it."""
    began = time.monotonic()
    with pytest.raises(DecoderError) as raised:
        start(recordings.hanging_wav(), timeout_s=1.5)
    assert str(raised.value) == (
        "song.wav: the decoder gave no sound for 1.5 s and was stopped. "
        "The file is damaged or made to do this; convert it, or raise timeout_s."
    )
    assert time.monotonic() - began < 10


def test_too_much_processor_time(start: Callable[..., Child], recordings: Any) -> None:
    with pytest.raises(DecoderError) as raised:
        start(recordings.hanging_wav(), max_cpu_s=1)
    assert str(raised.value) == (
        "song.wav: the decoder process used more than 1 s of processor time and was stopped. "
        "Raise max_cpu_s or try another copy."
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds the address space")
def test_too_much_memory(start: Callable[..., Child]) -> None:
    with pytest.raises(DecoderError) as raised:
        start(max_memory_bytes=64 << 20)
    assert str(raised.value) == "song.wav: needs more than 64 MB to decode. Raise max_memory_bytes."


def test_a_silent_decoder_is_stopped_between_blocks(start: Callable[..., Child]) -> None:
    child = start(code="header(); samples(100); signal.pause()", timeout_s=1.0)
    with pytest.raises(DecoderError, match=r"^song\.wav: the decoder gave no sound for 1 s and was stopped\."):
        read_all(child)
    assert is_gone(child)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "the decoder process was killed, most likely because memory ran out. Free memory or try another copy.",
        ),
        (
            "os.kill(os.getpid(), signal.SIGSEGV)",
            "the decoder process crashed (SIGSEGV). The file is damaged; convert it or try another copy.",
        ),
        (
            "sys.exit('no module of that name')",
            "the decoder process ended with status 1 (no module of that name). "
            "Check the installation or try another copy.",
        ),
        ("os._exit(3)", "the decoder process ended with status 3. Check the installation or try another copy."),
    ],
)
@pytest.mark.parametrize("before", ["", "header(); samples(100); "])
def test_how_a_decoder_died(start: Callable[..., Child], before: str, code: str, message: str) -> None:
    with pytest.raises(DecoderError) as raised:
        read_all(start(code=before + code))
    assert str(raised.value) == f"song.wav: {message}"


def test_a_signal_without_a_name() -> None:
    assert child_module._signal_name(signal.SIGRTMIN + 3 if hasattr(signal, "SIGRTMIN") else 99).startswith("signal ")
    assert child_module._signal_name(signal.SIGABRT) == "SIGABRT"


@pytest.mark.parametrize(
    "code",
    [
        "os.write(1, b'nonsense' * 100); signal.pause()",
        "samples(10)",
        "protocol.send(1, protocol.HEADER, b'[]')",
        "protocol.send(1, protocol.HEADER, b'{')",
        "protocol.send(1, protocol.HEADER, b'{}')",
        "protocol.send(1, protocol.HEADER, b'{' + b' ' * (1 << 17))",
        "header(); header()",
        "header(); samples(10); done(values=9, warnings=[])",
        "header(); samples(10); done()",
        "header(); protocol.send(1, protocol.SAMPLES, b'123'); done(values=0, warnings=[])",
    ],
)
def test_nonsense_is_not_believed(start: Callable[..., Child], code: str) -> None:
    with pytest.raises(DecoderError) as raised:
        read_all(start(code=code))
    assert str(raised.value) == ("song.wav: the decoder answered nonsense. The file may attack it; do not use it.")


def test_an_error_after_samples_is_raised(start: Callable[..., Child]) -> None:
    error = "{'error': 'AudioLimitError', 'message': 'x\\ny'}"
    child = start(code=f"header(); samples(100); protocol.send_json(1, protocol.ERROR, {error})")
    with pytest.raises(AudioLimitError) as raised:
        read_all(child)
    assert str(raised.value) == r"song.wav: x\ny"
    assert is_gone(child)


def test_warnings_are_printable_and_short(start: Callable[..., Child]) -> None:
    child = start(code="header(); done(values=0, warnings=['a\\x1b', 'b' * 9999])")
    read_all(child)
    assert child.warnings == [r"a\x1b", "b" * 300]


def test_close_ends_a_busy_decoder_and_may_be_repeated(start: Callable[..., Child]) -> None:
    child = start(code="header(); signal.pause()")
    child.close()
    assert is_gone(child)
    child.close()


def test_an_abandoned_child_is_ended(recordings: Any) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(recordings.wav(bytes(3_200_000)))
        file.flush()
        file.seek(0)
        child = Child(FileSource("song.wav", file.fileno()), Job(8000, True, AudioLimits()))
    pid = child._process.pid
    del child
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_no_descriptor_is_left_behind(start: Callable[..., Child]) -> None:
    before = sum(1 for _ in Path("/dev/fd").iterdir())
    child = start()
    read_all(child)
    child.close()
    with pytest.raises(DecoderError):
        start(code="os._exit(1)")
    gc.collect()
    assert sum(1 for _ in Path("/dev/fd").iterdir()) == before


def test_a_decoder_that_cannot_be_started(start: Callable[..., Child], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "command_line", lambda _job: ["/nowhere/python"])
    with pytest.raises(DecoderError) as raised:
        start()
    assert str(raised.value) == (
        "song.wav: the decoder process could not be started (No such file or directory). Free memory and try again."
    )


def test_waiting_for_ever_is_possible(start: Callable[..., Child]) -> None:
    assert read_all(start(timeout_s=1e15)).size == 800


def test_children_of_threads_do_not_wait_for_each_other(start: Callable[..., Child]) -> None:
    """A descriptor that leaks into a second child would keep the first one's pipe open."""
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(read_all(start()).size)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [800] * 4


def test_the_header_a_child_needs_is_the_one_the_decoder_sends(decode: Any, recordings: Any) -> None:
    assert HEADER.keys() <= decode(recordings.wav()).header.keys()
    assert len(json.dumps(HEADER)) < protocol.MAX_JSON_BYTES
