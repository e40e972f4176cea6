"""`tutti drums` from the installed console script: a real recording, and everything that can be wrong with one."""

import json
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

Run = Callable[..., subprocess.CompletedProcess[str]]
Samples = NDArray[np.float32]

RATE_HZ = 16_000
SEED = 3


@pytest.fixture(scope="session")
def groove() -> Path:
    return Path(__file__).resolve().parents[2] / "examples" / "drum_groove.flac"


def struck(times_s: Sequence[float], duration_s: float) -> Samples:
    """Thumps and hisses by turns."""
    rng = np.random.default_rng(SEED)
    since_s = np.arange(RATE_HZ // 4) / RATE_HZ
    thump = np.sin(2 * np.pi * (50 * since_s + 60 * (1 - np.exp(-since_s / 0.02)) * 0.02)) * np.exp(-since_s / 0.06)
    hiss = 0.5 * rng.normal(0, 1, len(since_s)) * np.exp(-since_s / 0.03)
    samples = np.zeros(round(duration_s * RATE_HZ) + RATE_HZ, np.float32)
    for row, time_s in enumerate(times_s):
        begin = round(time_s * RATE_HZ)
        samples[begin : begin + len(since_s)] += 0.5 * (hiss if row % 2 else thump).astype(np.float32)
    return samples[: round(duration_s * RATE_HZ)]


def outcome(answer: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert "Traceback" not in answer.stderr
    (line,) = map(json.loads, answer.stdout.splitlines())
    return line  # type: ignore[no-any-return]


def test_a_recording_becomes_a_chart_in_every_format(tutti: Run, groove: Path, tmp_path: Path) -> None:
    formats = "pdf,json,hits.json,mid,played.mid,musicxml,svg,png,csv,txt,preview.flac"
    answer = tutti("drums", groove, "-o", "out/", "--format", formats, "--json")
    line = outcome(answer)
    assert (answer.returncode, line["status"]) == (0, "done")
    assert line["outputs"] == [f"out/drum_groove.{name}" for name in formats.split(",")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        f"drum_groove.{name}" for name in formats.split(",")
    )
    assert (tmp_path / "out/drum_groove.pdf").read_bytes().startswith(b"%PDF")
    hits = json.loads((tmp_path / "out/drum_groove.hits.json").read_text())
    required = {"detected_bpm", "bpm_unreliable", "duration_seconds", "confidence_score", "hit_summary", "hits"}
    assert required <= set(hits)
    assert len(hits["hits"]) == line["hits"]
    assert abs(soundfile.info(groove).duration - hits["duration_seconds"]) < 0.1


TONE = (0.3 * np.sin(2 * np.pi * 220 * np.arange(6 * RATE_HZ) / RATE_HZ)).astype(np.float32)
FADED = TONE * np.interp(np.arange(len(TONE)), [0, RATE_HZ // 4], [0, 1]).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("silence", np.zeros(5 * RATE_HZ, np.float32)),
        ("a tone that fades in", FADED),
        ("a tone", TONE),
    ],
)
def test_without_drums_the_chart_is_empty_and_says_so(name: str, samples: Samples, tutti: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "quiet.wav", samples, RATE_HZ)
    answer = tutti("drums", "quiet.wav", "--format", "pdf,mid,hits.json", "--json")
    line = outcome(answer)
    assert (answer.returncode, line["status"], line["hits"]) == (0, "done", 0), name
    assert "no drums were heard; the chart is empty." in str(line["warnings"])
    assert len(list(tmp_path.iterdir())) == 4


def test_a_second_of_drums(tutti: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", struck([0.1, 0.35, 0.6, 0.85], 1.0), RATE_HZ)
    answer = tutti("drums", "short.wav", "--format", "pdf,json", "--json")
    line = outcome(answer)
    assert (answer.returncode, line["status"]) == (0, "done")
    assert (tmp_path / "short.pdf").exists()


def test_free_tempo_is_written_and_the_tempo_called_uncertain(tutti: Run, tmp_path: Path) -> None:
    times_s = np.cumsum(np.random.default_rng(SEED).uniform(0.09, 1.4, 40))
    soundfile.write(tmp_path / "free.wav", struck(times_s.tolist(), float(times_s[-1]) + 1), RATE_HZ)
    answer = tutti("drums", "free.wav", "--format", "pdf,hits.json", "--json")
    line = outcome(answer)
    assert answer.returncode == 0
    assert json.loads((tmp_path / "free.hits.json").read_text())["bpm_unreliable"]
    assert "Set it with --bpm." in str(line["warnings"])


def test_seven_eighths_when_told(tutti: Run, tmp_path: Path) -> None:
    eighth_s = 0.25
    times_s = [0.5 + eighth_s * (7 * bar + place) for bar in range(8) for place in (0, 2, 4, 5)]
    soundfile.write(tmp_path / "seven.wav", struck(times_s, times_s[-1] + 1), RATE_HZ)
    answer = tutti(
        "drums", "seven.wav", "--metre", "7/8", "--bpm", "240", "--first-downbeat-s", "0.5",
        "--format", "json,musicxml", "--json",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    score = (tmp_path / "seven.musicxml").read_text()
    assert "<beats>7</beats>" in score
    assert "<beat-type>8</beat-type>" in score
    assert 7 <= int(str(outcome(answer)["bars"])) <= 9


@pytest.mark.parametrize("link", ["http://127.0.0.1/song.mp3", "https://10.0.0.7/song.mp3", "http://[::1]/song.mp3"])
def test_a_link_to_this_machine_or_its_neighbours_is_refused(link: str, tutti: Run, tmp_path: Path) -> None:
    answer = tutti("drums", link, "--json")
    line = outcome(answer)
    assert (answer.returncode, line["status"]) == (1, "failed")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_recording_is_told_and_leaves_nothing(tutti: Run, tmp_path: Path) -> None:
    (tmp_path / "text.mp3").write_text("these are words\n" * 60)
    answer = tutti("drums", "text.mp3", "-o", "out/", "--json")
    line = outcome(answer)
    assert (answer.returncode, line["error"]["code"]) == (1, "not_audio")  # type: ignore[index]
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="session")
def chart(groove: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart of the example as JSON."""
    made = tmp_path_factory.mktemp("chart") / "groove.json"
    subprocess.run([Path(sys.executable).with_name("tutti"), "drums", groove, "-o", made, "-q"], check=True)
    return made


def test_corrections_are_engraved_without_listening_again(tutti: Run, chart: Path, tmp_path: Path) -> None:
    (tmp_path / "fix.toml").write_text('title = "Again"\ndrop = ["h0"]\n[change.h1]\ninstrument = "crash"\n')
    answer = tutti("drums", chart, "--edit", "fix.toml", "-o", "again.json", "--json")
    assert answer.returncode == 0, answer.stderr
    before = json.loads(chart.read_text())
    assert outcome(answer)["hits"] == len(before["hits"]) - 1


def test_a_correction_of_a_hit_that_is_not_there_changes_nothing(tutti: Run, chart: Path, tmp_path: Path) -> None:
    (tmp_path / "fix.toml").write_text('drop = ["h99999"]\n')
    answer = tutti("drums", chart, "--edit", "fix.toml", "-o", "out/", "--json")
    assert answer.returncode == 2
    assert "h99999" in answer.stderr
    assert "Nothing was changed." in answer.stderr
    assert not (tmp_path / "out").exists()


def test_an_engraver_that_fails_mid_way_leaves_nothing_half_written(tutti: Run, chart: Path, tmp_path: Path) -> None:
    """MuseScore stands for any program: this one writes half a page and dies."""
    broken = tmp_path / "bin" / "mscore"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nprintf '%%PDF-1.7 half' > chart.pdf\necho 'out of staves' >&2\nexit 3\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    answer = tutti(
        "drums", chart, "--engraver", "musescore", "-o", "out/", "--format", "pdf", "--json",
        PATH=f"{broken.parent}:/usr/bin:/bin",
    )  # fmt: skip
    line = outcome(answer)
    assert (answer.returncode, line["status"], line["outputs"]) == (1, "failed", [])
    assert "out of staves" in answer.stderr
    assert list(tmp_path.rglob("*.pdf")) == []


def test_a_run_that_is_killed_goes_on_from_what_it_kept(tutti: Run, groove: Path, tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("tutti")
    command = [script, "drums", groove, "--stems", "light", "--keep", "kept", "-o", "groove.pdf", "-q"]
    process = subprocess.Popen(command, cwd=tmp_path)
    finished = tmp_path / "kept" / "stems.json"
    deadline = time.monotonic() + 120
    while not finished.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert finished.exists()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").glob("*.flac")}
    assert kept
    assert not (tmp_path / "groove.pdf").exists()
    answer = tutti(*command[1:])
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "groove.pdf").read_bytes().startswith(b"%PDF")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
