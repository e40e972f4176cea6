from __future__ import annotations

import dataclasses

import pytest

from tutti.audio.limits import AudioLimits
from tutti.errors import AudioFormatError, AudioLimitError, OptionError


def test_the_defaults_admit_a_recording_of_music() -> None:
    limits = AudioLimits()
    limits.check_shape(44_100, 2)
    limits.check_duration(3 * 3600.0)
    limits.check_file_bytes(2 << 30)
    limits.check_decoded_bytes(3 * 3600 * 48_000 * 4)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(AudioLimits)])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "4"])
def test_a_limit_is_a_positive_number(field: str, value: object) -> None:
    with pytest.raises(OptionError, match=f"^{field}="):
        AudioLimits(**{field: value})


def test_what_is_counted_is_whole() -> None:
    with pytest.raises(OptionError, match=r"^max_cpu_s=1\.5 is not a whole number\. Give one, or leave it out\.$"):
        AudioLimits(max_cpu_s=1.5)  # type: ignore[arg-type]
    assert AudioLimits(timeout_s=1.5).timeout_s == 1.5


@pytest.mark.parametrize(
    ("rate_hz", "channels", "error", "message"),
    [
        (44_100, 0, AudioFormatError, "has 0 channels, so there is nothing to hear. Export it again."),
        (44_100, 33, AudioLimitError, "has 33 channels, more than the limit of 32. Mix it down first."),
        (
            1_999,
            1,
            AudioLimitError,
            "has a sample rate of 1999 Hz, below the limit of 2000 Hz. Check its header, or resample it.",
        ),
        (
            384_001,
            1,
            AudioLimitError,
            "has a sample rate of 384001 Hz, above the limit of 384000 Hz. Check its header, or resample it.",
        ),
    ],
)
def test_shape_outside_the_limits(rate_hz: int, channels: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        AudioLimits().check_shape(rate_hz, channels)
    assert str(raised.value) == message


def test_the_limits_themselves_are_allowed() -> None:
    limits = AudioLimits(max_duration_s=5.0, max_file_bytes=10, max_decoded_bytes=20)
    limits.check_shape(2_000, 32)
    limits.check_shape(384_000, 1)
    limits.check_duration(5.0)
    limits.check_file_bytes(10)
    limits.check_decoded_bytes(20)


def test_size_and_length_beyond_the_limits() -> None:
    limits = AudioLimits(max_duration_s=5.0, max_file_bytes=1000, max_decoded_bytes=2000)
    with pytest.raises(AudioLimitError, match=r"^has more than 1,000 bytes, the limit"):
        limits.check_file_bytes(1001)
    with pytest.raises(AudioLimitError, match=r"^is longer than the limit of 5 s"):
        limits.check_duration(5.01)
    with pytest.raises(AudioLimitError, match=r"^decodes to more than 2,000 bytes"):
        limits.check_decoded_bytes(2001)
