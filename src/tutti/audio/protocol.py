"""What the reader asks of the decoder process (one JSON argument), and what it says: messages of one kind byte, a
length, and a payload.

    HEADER   JSON object   once, first; only sent when the first samples were decoded
    SAMPLES  float32       any number of times, native byte order, channels interleaved
    DONE     JSON object   once, last: how many values were sent, and the warnings
    ERROR    JSON object   instead of any further message: error class and text

A stream that ends without DONE or ERROR is a process that died, never a short recording.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import asdict, dataclass
from typing import Any, Final

from tutti import errors
from tutti.audio.limits import AudioLimits

__all__ = [
    "DONE",
    "ERROR",
    "HEADER",
    "MAX_JSON_BYTES",
    "PREFIX",
    "SAMPLES",
    "Job",
    "decode_error",
    "encode_error",
    "send",
    "send_json",
]

HEADER: Final = b"H"
SAMPLES: Final = b"S"
DONE: Final = b"D"
ERROR: Final = b"E"

PREFIX: Final = struct.Struct("<cI")
MAX_JSON_BYTES: Final = 1 << 16

_ERRORS: Final[dict[str, type[errors.InputError]]] = {
    cls.__name__: cls
    for cls in (errors.AudioFormatError, errors.AudioEmptyError, errors.AudioLimitError, errors.DecoderError)
}


@dataclass(frozen=True)
class Job:
    """What the reader asks for. `sample_rate_hz` None keeps the native rate; `mono` takes the mean of the channels."""

    sample_rate_hz: int | None
    mono: bool
    limits: AudioLimits

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        content = json.loads(text)
        return cls(content["sample_rate_hz"], content["mono"], AudioLimits(**content["limits"]))


def send(fd: int, kind: bytes, payload: bytes | memoryview) -> None:
    """Writes one message whole. Raises BrokenPipeError when the reader is gone."""
    _write_all(fd, PREFIX.pack(kind, len(payload)))
    _write_all(fd, payload)


def send_json(fd: int, kind: bytes, content: dict[str, Any]) -> None:
    send(fd, kind, json.dumps(content).encode())


def encode_error(error: errors.InputError) -> dict[str, str]:
    return {"error": type(error).__name__, "message": str(error)}


def decode_error(content: dict[str, Any]) -> errors.InputError:
    """The error a decoder sent; an unknown class becomes a DecoderError."""
    error_class = _ERRORS.get(str(content.get("error")), errors.DecoderError)
    return error_class(str(content.get("message")))


def _write_all(fd: int, payload: bytes | memoryview) -> None:
    rest = memoryview(payload)
    while rest:
        rest = rest[os.write(fd, rest) :]
