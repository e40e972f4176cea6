"""The installed console script, on a real recording."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tutti.music.json_file import from_json
from tutti.music.midi import read_midi

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_a_recording_becomes_notes_in_every_format(tutti: Run, recording: Path, tmp_path: Path) -> None:
    answer = tutti("transcribe", recording, "-o", "out/", "--format", "mid,json,jams,png", "--json")
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    (line,) = map(json.loads, answer.stdout.splitlines())
    assert line["status"] == "done"
    assert line["outputs"] == [f"out/guitar_solo.{suffix}" for suffix in ("mid", "json", "jams", "png")]
    notes = read_midi(tmp_path / "out/guitar_solo.mid")
    assert line["notes"] == len(notes) == len(from_json((tmp_path / "out/guitar_solo.json").read_text()))
    assert (tmp_path / "out/guitar_solo.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        f"guitar_solo.{suffix}" for suffix in ("mid", "json", "jams", "png")
    )


def test_the_notes_are_those_of_the_guitar(tutti: Run, recording: Path, tmp_path: Path) -> None:
    """Against the data set's own annotation of the first eight seconds, by pitch and onset within 50 ms."""
    assert tutti("transcribe", recording, "-o", "solo.mid").returncode == 0
    with (Path(__file__).parents[1] / "data" / "guitar_solo_notes.csv").open() as table:
        truth = [(float(row["onset_s"]), round(float(row["pitch"]))) for row in csv.DictReader(table)]
    end_s = max(onset_s for onset_s, _ in truth) + 0.05
    heard = [(note.onset_s, note.pitch) for note in read_midi(tmp_path / "solo.mid") if note.onset_s < end_s]

    def hits(these: list[tuple[float, int]], those: list[tuple[float, int]]) -> float:
        return sum(any(abs(t - s) <= 0.05 and p == q for s, q in those) for t, p in these) / len(these)

    assert hits(truth, heard) > 0.6
    assert hits(heard, truth) > 0.6


def test_standard_input_in_and_a_named_file_out(tutti: Run, recording: Path, tmp_path: Path) -> None:
    answer = tutti("transcribe", "-", "-o", "piped.json", stdin=recording.read_bytes())
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("- → piped.json (")
    assert len(from_json((tmp_path / "piped.json").read_text())) > 0


def test_one_bad_among_good_is_named_and_the_good_are_finished(tutti: Run, recording: Path, tmp_path: Path) -> None:
    music = tmp_path / "music"
    (music / "live").mkdir(parents=True)
    shutil.copy(recording, music / "live" / "good.flac")
    (music / "bad.wav").write_text("no sound at all")
    answer = tutti("transcribe", "music", "gone/*.wav", "-o", "out", "--json")
    assert answer.returncode == 1
    bad, good, gone = map(json.loads, answer.stdout.splitlines())
    assert (bad["input"], bad["error"]["code"]) == ("music/bad.wav", "not_audio")
    assert (good["status"], good["outputs"]) == ("done", ["out/live/good.mid"])
    assert gone["error"]["code"] == "input_not_found"
    assert "music/bad.wav: " in answer.stderr
    assert "Traceback" not in answer.stderr
    again = tutti("transcribe", "music", "-o", "out", "--skip-existing")
    assert again.returncode == 1
    assert again.stdout == "music/live/good.flac → out/live/good.mid (already there)\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "tutti-nots"), "tutti-nots"),
        (("--device", "cuda:77"), "cuda"),
        (("--format", "pdf"), "Use one of: mid, json"),
        (("--onset-threshold", "7"), "onset_threshold=7.0: Input should be less than 1."),
        (("-o", "x.midi"), "ends in no known format"),
        (("--windw", "1"), "No such option"),
    ],
)
def test_wrong_usage_is_two_and_nothing_is_written(
    tutti: Run, recording: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    shutil.copy(recording, tmp_path / "song.flac")
    answer = tutti("transcribe", "song.flac", *arguments)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["song.flac"]


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_nothing_half_written(
    sign: signal.Signals, code: int, recording: Path, tmp_path: Path
) -> None:
    """Stopped while it waits for standard input, after the first recording is finished."""
    script = Path(sys.executable).with_name("tutti")
    process = subprocess.Popen(
        [script, "transcribe", recording, "-", "-o", "out/"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(sign, signal.SIG_DFL),  # whoever runs tests in the background ignores SIGINT
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().endswith("s)\n")
        os.kill(process.pid, sign)
        assert process.wait(timeout=60) == code
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["guitar_solo.mid"]


def test_running_the_module_is_running_the_script(tutti: Run) -> None:
    answer = subprocess.run([sys.executable, "-m", "tutti", "--version"], capture_output=True, text=True, check=False)
    assert answer.stdout == tutti("--version").stdout
