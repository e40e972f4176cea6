import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.capabilities.transcription.test_conversion import small_card
from tests.capabilities.transcription.upstream import small_state
from tutti.capabilities.transcription import conversion_process
from tutti.capabilities.transcription.conversion_process import convert_apart, do
from tutti.errors import HashMismatchError, StrictLoadingError, TuttiError, WeightsError
from tutti.weights.native import content_sha256

Ending = tuple[int, bytes, bytes]


def in_this_process(command: list[str], *, input: bytes, **_options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.CompletedProcess(command, 0, json.dumps(do(json.loads(input))).encode(), b"")


def ending_with(ending: Ending) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    return lambda command, **_options: subprocess.CompletedProcess(command, *ending)


def test_the_job_and_the_answer_survive_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative names are those of the caller's folder. For a real process see tests/cli/test_models.py."""
    monkeypatch.setattr(conversion_process.subprocess, "run", in_this_process)
    monkeypatch.chdir(tmp_path)
    torch.save(small_state("mt3_pytorch"), "their.pth")
    metadata = convert_apart(Path("their.pth"), small_card("mt3_pytorch"), Path("ours.safetensors"), settings={})
    assert metadata["upstream_file"] == "their.pth"
    assert content_sha256(tmp_path / "ours.safetensors") is not None
    torch.save({**small_state("mt3_pytorch"), "more": torch.zeros(1)}, "their.pth")
    with pytest.raises(StrictLoadingError, match="extra: more"):
        convert_apart(Path("their.pth"), small_card("mt3_pytorch"), tmp_path / "none.safetensors", settings={})
    assert not (tmp_path / "none.safetensors").exists()


@pytest.mark.parametrize(
    ("ending", "kind", "reason"),
    [
        ((-9, b"", b""), WeightsError, r"the conversion broke \(status -9\)\. Free memory"),
        ((1, b"", b"Traceback\nMemoryError\n"), WeightsError, r"status 1: MemoryError"),
        ((0, b"", b""), WeightsError, "answered nonsense"),
        ((0, b"[]", b""), WeightsError, "answered nonsense"),
        ((0, b'{"error": "HashMismatchError", "message": "no"}', b""), HashMismatchError, "no"),
        ((0, b'{"error": "annotations", "message": "no"}', b""), WeightsError, "no"),
    ],
)
def test_a_process_that_ends_badly_is_an_error(
    ending: Ending, kind: type[TuttiError], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion_process.subprocess, "run", ending_with(ending))
    with pytest.raises(kind, match=reason) as caught:
        convert_apart(tmp_path / "their.pth", small_card("mt3_pytorch"), tmp_path / "x.safetensors", settings={})
    assert type(caught.value) is kind


def test_the_process_limits_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below what PyTorch alone takes, the process ends, and its caller goes on."""
    module = "tutti.capabilities.transcription.conversion_process"
    low = f"import {module} as c; c.MAX_MEMORY_BYTES = 100 << 20; c.main()"
    start, _, _ = conversion_process._BOOT.partition("\n")
    monkeypatch.setattr(conversion_process, "_BOOT", f"{start}\n{low}")
    torch.save(small_state("mt3_pytorch"), tmp_path / "their.pth")
    with pytest.raises(WeightsError, match="the conversion broke"):
        convert_apart(tmp_path / "their.pth", small_card("mt3_pytorch"), tmp_path / "x.safetensors", settings={})
    assert not (tmp_path / "x.safetensors").exists()
