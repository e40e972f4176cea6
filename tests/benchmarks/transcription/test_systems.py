import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.transcription import cache
from benchmarks.transcription.memory import process_tree, resident_bytes
from benchmarks.transcription.systems import Measurement, Worker, measure, thread_environment, to_measurement, to_notes
from benchmarks.transcription.workers.protocol import FileReport, Job, Report, read_report

ROW = (0.25, 0.5, 60.0, 90, 4, False)

ECHO = """
import os
from benchmarks.transcription.workers.protocol import System, serve

def load(threads):
    calls = []
    def to_midi(audio, target):
        calls.append(audio)
        target.write_bytes(audio.read_bytes())
        return [(0.0, 1.0, 60.0, len(calls), threads, False)]
    return System(to_midi, {"echo": os.environ["OMP_NUM_THREADS"]})

serve(load)
"""


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    (tmp_path / "echo_worker.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Worker("echo", "echo_worker", Path(sys.executable), knows_drums=False)


def test_a_worker_warms_up_on_the_first_file_then_does_all(worker: Worker, tmp_path: Path) -> None:
    audio = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for path in audio:
        path.write_bytes(b"sound")

    measurement = measure(worker, audio, threads=3)

    assert measurement.versions == {"echo": "3"}
    assert [file.audio for file in measurement.files] == [str(path) for path in audio]
    assert [measurement.notes_of(path)[0].velocity for path in audio] == [2, 3]
    assert measurement.notes_of(audio[0])[0].program == 3
    assert 0 < measurement.load_s < measurement.first_midi_s


def test_a_failing_worker_ends_the_benchmark_with_its_words(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"(?s)echo failed:.*FileNotFoundError"):
        measure(worker, [tmp_path / "missing.wav"], threads=1)


def test_times_are_counted_from_the_start_of_the_process() -> None:
    report = Report({}, loaded_at=102.0, first_midi_at=105.0, first_call_s=2.9, files=[FileReport("a", 1.5, [ROW])])

    measurement = to_measurement(report, started_at=100.0, peak_bytes=None)

    assert (measurement.load_s, measurement.first_midi_s, measurement.steady_s) == (2.0, 5.0, 1.5)


def test_rows_become_notes_that_mir_eval_accepts() -> None:
    notes = to_notes([ROW, (-0.01, -0.02, 61.4, 1, 0, True)])

    assert (notes[1].onset_s, notes[1].program) == (0.25, 4)
    assert notes[0].onset_s == 0.0 < notes[0].offset_s
    assert (notes[0].pitch, notes[0].is_drum) == (61, True)


def test_every_thread_pool_is_held() -> None:
    environment = thread_environment(2)

    assert {environment[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")} == {"2"}


def test_a_kept_measurement_comes_back_equal_and_follows_the_content(tmp_path: Path) -> None:
    audio = tmp_path / "a.wav"
    audio.write_bytes(b"one")
    before = cache.path_for("peer", "set", [audio])
    measurement = Measurement((FileReport("a.wav", 1.0, [ROW]),), {"x": "1"}, 1.0, 2.0, 3.0, None)
    target = tmp_path / "deep" / "kept.json"

    cache.save(target, measurement)
    audio.write_bytes(b"two")

    assert cache.load(target) == measurement
    assert cache.path_for("peer", "set", [audio]) != before


def test_a_report_survives_its_file(tmp_path: Path) -> None:
    report = Report({"x": "1"}, 1.0, 2.0, 0.5, [FileReport("a.wav", 1.0, [ROW])])
    path = tmp_path / "report.json"
    path.write_text(json.dumps(asdict(report)))

    assert read_report(path) == report
    assert Job(["a.wav"], "out", 2).threads == 2


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="memory is measured through /proc")
def test_the_tree_of_a_process_holds_its_children() -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(flush=True); input()'])"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()
        tree = process_tree(process.pid)
        sizes = [resident_bytes(pid) for pid in tree]
        process.communicate(b"\n")

    assert len(tree) == 2
    assert all(size > 1_000_000 for size in sizes)
    assert resident_bytes(process.pid) == 0
