from __future__ import annotations

import os

import pytest

from tutti.audio import protocol
from tutti.audio.limits import AudioLimits
from tutti.audio.protocol import Job
from tutti.errors import AudioLimitError, DecoderError


def test_a_job_survives_the_command_line() -> None:
    job = Job(24_000, False, AudioLimits(max_duration_s=12.5, max_channels=3))
    assert Job.from_json(job.to_json()) == job
    assert Job.from_json(Job(None, True, AudioLimits()).to_json()).sample_rate_hz is None


def test_a_message_is_a_kind_a_length_and_a_payload() -> None:
    read_fd, write_fd = os.pipe()
    with os.fdopen(read_fd, "rb") as reader:
        protocol.send(write_fd, protocol.SAMPLES, b"12345678")
        protocol.send_json(write_fd, protocol.DONE, {"values": 2})
        os.close(write_fd)
        assert reader.read() == b"S\x08\0\0\0" + b"12345678" + b"D\x0d\0\0\0" + b'{"values": 2}'


def test_a_gone_reader_is_a_broken_pipe() -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    try:
        with pytest.raises(BrokenPipeError):
            protocol.send(write_fd, protocol.SAMPLES, b"1234")
    finally:
        os.close(write_fd)


def test_errors_keep_class_and_text() -> None:
    error = protocol.decode_error(protocol.encode_error(AudioLimitError("is too long.")))
    assert type(error) is AudioLimitError
    assert str(error) == "is too long."


@pytest.mark.parametrize("name", ["KeyboardInterrupt", "InputError", "nonsense", None])
def test_a_decoder_can_only_raise_what_a_decoder_may(name: str | None) -> None:
    assert type(protocol.decode_error({"error": name, "message": "x"})) is DecoderError
