"""A folder through a model of the MT3 family, on the command line, killed and taken up again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tutti.music.midi import read_midi

ROOT = Path(__file__).parents[2]
COUNT = 12


def tutti(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=cwd, capture_output=True, text=True, timeout=240, check=False)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tutti", *arguments]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Excerpts of a guitar, each longer than a segment, in two folders."""
    samples, rate_hz = soundfile.read(ROOT / "examples" / "guitar_solo.flac", dtype="float32")
    for number in range(COUNT):
        path = tmp_path / "in" / f"part{number % 2}" / f"take{number:02}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        begin = number * rate_hz
        soundfile.write(path, samples[begin : begin + round(2.5 * rate_hz)], rate_hz)
    return tmp_path


def written(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below `out` with the time it was written at and what it holds."""
    # a file that was being written when the process was killed lies under a hidden name
    files = (path for path in (folder / "out").rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_a_folder_that_was_killed_is_taken_up_again_with_nothing_lost_or_done_twice(folder: Path) -> None:
    asked = ["transcribe", "in", "--model", "tutti-mt3-tiny", "-o", "out/", "--device", "cpu", "--batch", "2"]
    with subprocess.Popen(command(*asked), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the first recording is done
        process.send_signal(signal.SIGKILL)
    before = written(folder)
    assert 0 < len(before) < COUNT
    for name in before:
        read_midi(folder / name)  # nothing is half-written
    time.sleep(0.02)  # later times are later than the clock's grain
    result = tutti(*asked, "--skip-existing", "--json", cwd=folder)
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted(line["status"] for line in lines) == ["done"] * (COUNT - len(before)) + ["skipped"] * len(before)
    after = written(folder)
    assert set(after) == {f"out/part{n % 2}/take{n:02}.mid" for n in range(COUNT)}
    assert {name: after[name] for name in before} == before


def test_each_that_fails_is_told_and_the_rest_is_finished(folder: Path) -> None:
    (folder / "in" / "empty.wav").write_bytes(b"")
    (folder / "in" / "text.flac").write_text("no sound at all")
    soundfile.write(folder / "in" / "nothing.wav", np.zeros(0, np.float32), 16_000)
    soundfile.write(folder / "in" / "blink.wav", np.zeros(80, np.float32), 16_000)
    result = tutti("transcribe", "in", "--model", "tutti-mt3-tiny", "-o", "out/", "--format", "mid,json", cwd=folder)
    assert result.returncode == 1
    assert {Path(name).name for name in written(folder)} == {
        f"{stem}.{suffix}" for stem in ["blink", *(f"take{n:02}" for n in range(COUNT))] for suffix in ("mid", "json")
    }
    *_, first, second, third, fourth = result.stderr.splitlines()
    assert first == f"3 of {COUNT + 4} inputs failed:"
    assert [line.split(":")[0] for line in sorted((second, third, fourth))] == [
        "  in/empty.wav",
        "  in/nothing.wav",
        "  in/text.flac",
    ]
    assert "Traceback" not in result.stderr


def test_a_model_whose_weights_are_not_here_says_how_to_get_them(folder: Path) -> None:
    environment = {**os.environ, "TUTTI_CACHE_DIR": str(folder / "cache")}
    result = subprocess.run(
        command("transcribe", "in", "--model", "mr_mt3", "-o", "out/"),
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert "tutti models pull mr_mt3 (or convert a file you have: tutti models convert UPSTREAM_FILE" in result.stderr
    assert not (folder / "out").exists()
