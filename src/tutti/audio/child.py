"""The reader's side of the decoder process: start it, take its messages in time, and never leave it behind."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from typing import IO, Any, Final

from tutti.audio import protocol
from tutti.audio.protocol import Job
from tutti.audio.resampling import FloatArray
from tutti.audio.sources import FileSource
from tutti.errors import DecoderError, InputError, printable

__all__ = ["Child", "command_line"]

_PIPE_BYTES: Final = 1 << 20
_GRACE_S: Final = 5.0
_MAX_WORDS: Final = 300
_VALUE_BYTES: Final = 4
_MAX_POLL_MS: Final = (1 << 31) - 1
_BOOT: Final = (
    "import sys; job, *sys.path[len(sys.path):] = sys.argv[1:]\n"
    "from tutti.audio.decoder import main; import os; os._exit(main(job))"
)
_KEPT_VARIABLES: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "SYSTEMROOT")
_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Threads cost start-up time and address space, and decoding uses none."""


def command_line(job: Job) -> list[str]:
    """The same interpreter, isolated: no user site, no PYTHON variables, nothing from the working directory.

    The reader's module folders come last, for installations that only a path makes visible.
    """
    folders = [entry for entry in sys.path if Path(entry).is_absolute()]
    return [sys.executable, "-I", "-c", _BOOT, job.to_json(), *folders]


class Child:
    """A recording decoded by a process of its own. `read_into` gives its samples; `close` ends it at once.

    Values are float32, `channels` interleaved, at `job.sample_rate_hz`. `warnings` is complete when the samples are.
    """

    def __init__(self, source: FileSource, job: Job) -> None:
        """Starts the decoder and waits until it has decoded the first samples. Raises InputError by what it says."""
        self._name = source.name
        self._limits = job.limits
        self._stderr = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed with the process
        self._process = self._start(source.fd, job, self._stderr)
        self._finalizer = weakref.finalize(self, _end, self._process, self._stderr)
        self._pending_bytes = 0  # of the SAMPLES message under way
        self._received = 0
        self._trailer: dict[str, Any] | None = None
        self.warnings: list[str] = []
        try:
            header = self._header()
            self.native_sample_rate_hz = int(header["sample_rate_hz"])
            self.native_channels = int(header["native_channels"])
            self.channels = int(header["channels"])
            self.duration_s: float | None = header["duration_s"]
        except BaseException:
            self.close()
            raise

    def read_into(self, out: FloatArray) -> int:
        """Fills `out` (n,) and returns how many values it holds now: n, or fewer at the end of the recording.

        Raises InputError for what the decoder reports, DecoderError when it dies or keeps silent too long.
        """
        try:
            return self._read_into(out)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the decoder, whatever it is doing, and waits for it. May be called again."""
        self._finalizer()

    def _start(self, fd: int, job: Job, stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        try:
            process = subprocess.Popen(
                command_line(job),
                bufsize=0,
                stdin=fd,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd="/",
                env=kept | _ONE_THREAD | {"LC_ALL": "C.UTF-8"},
                start_new_session=True,  # Ctrl-C is the reader's to handle
            )
        except OSError as error:
            stderr.close()
            raise DecoderError(
                f"{self._name}: the decoder process could not be started ({error.strerror}). Free memory and try again."
            ) from error
        _widen(process)
        return process

    def _read_into(self, out: FloatArray) -> int:
        view = out.data.cast("B")
        filled = 0
        while filled < len(view) and self._has_samples():
            size = self._receive_some(view[filled : filled + self._pending_bytes])
            self._pending_bytes -= size
            filled += size
        values = filled // _VALUE_BYTES
        self._received += values
        if self._trailer is not None:
            self._finish(self._trailer)
        return values

    def _has_samples(self) -> bool:
        """Whether bytes of a SAMPLES message wait; reads the next message's head when none is under way."""
        while not self._pending_bytes and self._trailer is None:
            kind, size = self._next_message()
            if kind == protocol.SAMPLES and size % _VALUE_BYTES == 0:
                self._pending_bytes = size
            elif kind == protocol.DONE:
                self._trailer = self._json(size)
            else:
                raise self._garbled()
        return self._trailer is None

    def _finish(self, trailer: dict[str, Any]) -> None:
        if trailer.get("values") != self._received:
            raise self._garbled()
        self.warnings = [printable(str(text))[:_MAX_WORDS] for text in trailer.get("warnings", ())]

    def _header(self) -> dict[str, Any]:
        kind, size = self._next_message()
        if kind != protocol.HEADER:
            raise self._garbled()
        header = self._json(size)
        if not {"sample_rate_hz", "native_channels", "channels", "duration_s"} <= header.keys():
            raise self._garbled()
        return header

    def _next_message(self) -> tuple[bytes, int]:
        """The kind and size of the next message. Raises the decoder's own error when that is what it sends."""
        kind, size = protocol.PREFIX.unpack(self._receive(protocol.PREFIX.size))
        if kind == protocol.ERROR:
            error = protocol.decode_error(self._json(size))
            raise type(error)(f"{self._name}: {printable(str(error))}")
        return kind, size

    def _json(self, size: int) -> dict[str, Any]:
        if size > protocol.MAX_JSON_BYTES:
            raise self._garbled()
        try:
            content = json.loads(self._receive(size))
        except ValueError as error:
            raise self._garbled() from error
        if not isinstance(content, dict):
            raise self._garbled()
        return content

    def _receive(self, size: int) -> bytes:
        data = bytearray(size)
        filled = 0
        while filled < size:
            filled += self._receive_some(memoryview(data)[filled:])
        return bytes(data)

    def _receive_some(self, view: memoryview) -> int:
        """Reads at least one byte into `view`. Raises DecoderError when none comes in time, or ever."""
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(min(self._limits.timeout_s * 1000, _MAX_POLL_MS)):
            raise DecoderError(
                f"{self._name}: the decoder gave no sound for {self._limits.timeout_s:g} s and was stopped. "
                "The file is damaged or made to do this; convert it, or raise timeout_s."
            )
        size = os.readv(fd, [view])
        if not size:
            raise self._death()
        return size

    def _garbled(self) -> InputError:
        return DecoderError(f"{self._name}: the decoder answered nonsense. The file may attack it; do not use it.")

    def _death(self) -> InputError:
        """Says how the process ended that closed its pipe without DONE or ERROR."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        status = self._process.returncode
        if status == -signal.SIGXCPU:
            reason = f"used more than {self._limits.max_cpu_s} s of processor time and was stopped. Raise max_cpu_s"
        elif status == -signal.SIGKILL:
            reason = "was killed, most likely because memory ran out. Free memory"
        elif status is not None and status < 0:
            reason = f"crashed ({_signal_name(-status)}). The file is damaged; convert it"
        else:
            reason = f"ended with status {status}{self._last_words()}. Check the installation"
        return DecoderError(f"{self._name}: the decoder process {reason} or try another copy.")

    def _last_words(self) -> str:
        end = os.fstat(self._stderr.fileno()).st_size
        tail = os.pread(self._stderr.fileno(), _MAX_WORDS, max(0, end - _MAX_WORDS)).decode(errors="replace")
        lines = tail.strip().splitlines()
        return f" ({printable(lines[-1])})" if lines else ""


def _widen(process: subprocess.Popen[bytes]) -> None:
    """Lets the decoder run ahead of its reader by more than the 64 KiB of a pipe, where the system can."""
    if process.stdout is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # the user's quota for pipes: only speed is lost
            fcntl.fcntl(process.stdout.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _end(process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
    process.kill()
    if process.stdout is not None:
        process.stdout.close()
    process.wait()
    stderr.close()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
