"""Decoding by libsndfile: WAV, FLAC, OGG, MP3, AIFF and their kin. Only in the decoder process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

import numpy as np
import soundfile

from tutti.audio.limits import AudioLimits
from tutti.audio.resampling import FloatArray
from tutti.audio.sniffing import Container
from tutti.errors import AudioFormatError

__all__ = ["LibsndfileFile", "LibsndfileRefusedError"]

_BLOCK_VALUES: Final = 1 << 17
_UNKNOWN_FRAMES: Final = 1 << 60
_STREAMED_BYTES: Final = 0x7FFFF000
"""Sizes from here on mean that the writer did not know."""
_SFE_BAD_FILE: Final = 7


class LibsndfileRefusedError(Exception):
    """libsndfile cannot open the file, or cannot say how long it is and would drop its last block."""


class LibsndfileFile:
    """An open recording. Native rate in Hz, channels, and the frames that the header declares."""

    declares_exactly: Final = True

    def __init__(self, fd: int, container: Container, limits: AudioLimits) -> None:
        """Raises LibsndfileRefusedError, and AudioFormatError or AudioLimitError by what the header says."""
        os.lseek(fd, 0, os.SEEK_SET)
        self._container = container
        try:
            self._file = soundfile.SoundFile(fd, closefd=False)
        except soundfile.LibsndfileError as error:
            raise LibsndfileRefusedError(_words(error)) from error
        self.sample_rate_hz = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.declared_frames: int | None = int(self._file.frames)
        try:
            limits.check_shape(self.sample_rate_hz, self.channels)
            if self.declared_frames >= _UNKNOWN_FRAMES:
                raise LibsndfileRefusedError("the header does not say how long it is")
            limits.check_duration(self.declared_frames / self.sample_rate_hz)
        except BaseException:
            self.close()
            raise
        self.warnings = _missing_bytes(fd)

    def blocks(self) -> Iterator[FloatArray]:
        """Yields (n, channels), valid until the next is asked for. Raises AudioFormatError when nothing decodes."""
        buffer = np.empty((max(1, _BLOCK_VALUES // self.channels), self.channels), np.float32)
        is_first = True
        while True:
            buffer.fill(np.nan)
            try:
                block = self._file.read(out=buffer)
            except soundfile.LibsndfileError as error:
                yield from self._rescued(buffer, error, is_first=is_first)
                return
            if not len(block):
                return
            is_first = False
            yield block

    def close(self) -> None:
        self._file.close()

    def _rescued(self, buffer: FloatArray, error: soundfile.LibsndfileError, *, is_first: bool) -> Iterator[FloatArray]:
        """What was decoded before `error`. libsndfile says that it failed, not how far it had come."""
        written = np.flatnonzero(~np.isnan(buffer[:, -1]))
        words = _words(error)
        if written.size:
            yield buffer[: int(written[-1]) + 1]
        elif is_first:
            raise AudioFormatError(
                f"is {self._container.name} damaged from where its sound begins ({words}). Export it again."
            ) from error
        self.warnings.append(f"decoding stopped at damaged data ({words}).")


def _words(error: soundfile.LibsndfileError) -> str:
    # Error 7 speaks of a missing file when MPEG frames make no sense.
    return "its frames make no sense" if error.code == _SFE_BAD_FILE else str(error.error_string).strip(" .")


def _missing_bytes(fd: int) -> list[str]:
    """libsndfile silently shortens a cut WAV file to what is there; its chunks tell."""
    end = _declared_wav_end(fd)
    missing = 0 if end is None else end - os.fstat(fd).st_size
    return [f"the file is incomplete: {missing} bytes that its header promises are missing."] if missing > 0 else []


def _declared_wav_end(fd: int) -> int | None:
    """Where a WAV file's sound ends, in bytes; None for other files and for those written as a stream."""
    if os.pread(fd, 4, 0) != b"RIFF":
        return None
    offset = 12
    while len(chunk := os.pread(fd, 8, offset)) == 8:
        size = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            return None if size >= _STREAMED_BYTES else offset + 8 + size
        offset += 8 + size + size % 2
    return None
