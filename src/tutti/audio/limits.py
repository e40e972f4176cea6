"""How long, wide, fast and heavy a recording may be. Checked by the decoder process and for arrays alike."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from tutti.errors import AudioFormatError, AudioLimitError, OptionError

__all__ = ["AudioLimits"]

_GIB = 1 << 30


@dataclass(frozen=True)
class AudioLimits:
    """What is refused. The defaults admit any recording of music and refuse decompression bombs.

    Raises OptionError when a limit is not a positive number.
    """

    max_duration_s: float = 4 * 3600.0
    """Longest decoded recording, in seconds; checked against the header and again while decoding."""
    max_channels: int = 32
    min_sample_rate_hz: int = 2_000
    max_sample_rate_hz: int = 384_000
    max_file_bytes: int = 4 * _GIB
    """Largest file, in bytes as stored. A file object is copied to a temporary file up to this size."""
    max_decoded_bytes: int = 4 * _GIB
    """Largest array `read_audio` returns, in bytes. Streams hold one block and are not bound by it."""
    timeout_s: float = 60.0
    """Longest time the decoder may leave the reader waiting. Time spent between two reads does not count."""
    max_cpu_s: int = 1_800
    """Processor time of the decoder for one recording, in seconds."""
    max_memory_bytes: int = _GIB
    """Address space of the decoder process. macOS does not enforce it; there the other limits hold."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
                raise OptionError(f"{field.name}={value!r} is not a positive number. Give one, or leave it out.")
            if field.type == "int" and not isinstance(value, int):
                raise OptionError(f"{field.name}={value!r} is not a whole number. Give one, or leave it out.")

    def check_file_bytes(self, size: int) -> None:
        """Raises AudioLimitError when a file is larger than `max_file_bytes`."""
        if size > self.max_file_bytes:
            raise AudioLimitError(
                f"has more than {self.max_file_bytes:,} bytes, the limit. Cut it, compress it or raise max_file_bytes."
            )

    def check_shape(self, sample_rate_hz: int, channels: int) -> None:
        """Raises AudioFormatError for no channels or no rate, AudioLimitError outside the limits."""
        if channels < 1:
            raise AudioFormatError("has 0 channels, so there is nothing to hear. Export it again.")
        if channels > self.max_channels:
            raise AudioLimitError(
                f"has {channels} channels, more than the limit of {self.max_channels}. Mix it down first."
            )
        if sample_rate_hz < self.min_sample_rate_hz:
            raise AudioLimitError(
                f"has a sample rate of {sample_rate_hz} Hz, below the limit of {self.min_sample_rate_hz} Hz. "
                "Check its header, or resample it."
            )
        if sample_rate_hz > self.max_sample_rate_hz:
            raise AudioLimitError(
                f"has a sample rate of {sample_rate_hz} Hz, above the limit of {self.max_sample_rate_hz} Hz. "
                "Check its header, or resample it."
            )

    def check_duration(self, duration_s: float) -> None:
        """Raises AudioLimitError when `duration_s` is beyond `max_duration_s`."""
        if duration_s > self.max_duration_s:
            raise AudioLimitError(
                f"is longer than the limit of {self.max_duration_s:g} s. Cut it into parts or raise max_duration_s."
            )

    def check_decoded_bytes(self, size: int) -> None:
        """Raises AudioLimitError when an array would be larger than `max_decoded_bytes`."""
        if size > self.max_decoded_bytes:
            raise AudioLimitError(
                f"decodes to more than {self.max_decoded_bytes:,} bytes, the limit for reading at once. "
                "Stream it, lower the sample rate or raise max_decoded_bytes."
            )
