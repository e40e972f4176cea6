"""Decodes what it is sent, each file in a fork of its own with the decoder's limits: the decoder process without its
start-up time. In: a length (4 bytes) and the file. Out: how the fork ended, a length, and the decoder's messages.
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile

import tutti.audio.by_ffmpeg  # noqa: F401 - imported once, before the forks
from tutti.audio import decoder
from tutti.audio.limits import AudioLimits
from tutti.audio.protocol import Job

# A hang is cut off by processor time here; the reader's clock, which cuts it off as well, is tested elsewhere.
JOB = Job(8000, True, AudioLimits(max_cpu_s=1, max_duration_s=60))


def decode(data: bytes) -> tuple[int, bytes]:
    with tempfile.TemporaryFile(buffering=0) as source:
        source.write(data)
        read_fd, write_fd = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                decoder.limit_process(JOB.limits)
                os._exit(decoder.run(source.fileno(), write_fd, JOB))
            finally:
                os._exit(99)
        os.close(write_fd)
        with os.fdopen(read_fd, "rb") as messages:
            said = messages.read()
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


def main() -> None:
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while head := requests.read(4):
        ended, said = decode(requests.read(struct.unpack("<I", head)[0]))
        answers.write(struct.pack("<iI", ended, len(said)) + said)
        answers.flush()


if __name__ == "__main__":
    main()
