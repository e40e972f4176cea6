import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import jams
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.errors import MidiError, OutputError
from tutti.music.drum_kit import DRUM_CLASSES, class_of_key, key_of_class
from tutti.music.files import write_atomic
from tutti.music.jams_file import to_jams
from tutti.music.json_file import from_json, to_json
from tutti.music.notes import Note, Notes, PedalEvent

times = st.floats(0, 1e5, allow_nan=False)
notes = st.builds(
    lambda onset, length, pitch, velocity, program, drum: Note(onset, onset + length, pitch, velocity, program, drum),
    times, st.floats(0.001, 100), st.integers(0, 127), st.integers(1, 127), st.integers(0, 127), st.booleans(),
)  # fmt: skip
pedal = st.builds(lambda onset, length: PedalEvent(onset, onset + length), times, st.floats(0.001, 100))


@given(st.lists(notes, max_size=20), st.lists(pedal, max_size=5))
def test_json_reads_back_to_equality(some: list[Note], held: list[PedalEvent]) -> None:
    whole = Notes.of(some, held)
    assert from_json(to_json(whole)) == whole


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"notes": 3}', '{"notes": [{"pitch": 60}]}', "[" * 100_000])
def test_other_json_is_an_error_that_says_what_was_expected(text: str) -> None:
    with pytest.raises(MidiError, match="onset_s"):
        from_json(text)


@pytest.mark.filterwarnings("ignore:Passing a schema:DeprecationWarning")  # inside jams
def test_jams_is_valid_and_keeps_instruments_apart(tmp_path: Path) -> None:
    whole = Notes.of([Note(0, 1, 60, 127, 40), Note(1, 2, 62, 64, 40), Note(0.5, 0.6, 36, 90, 0, True)])
    path = tmp_path / "a.jams"
    path.write_text(json.dumps(to_jams(whole, 3.0)))
    document = jams.load(str(path), validate=True, strict=True)
    assert document.file_metadata.duration == 3.0
    assert [(a.sandbox.program, a.sandbox.is_drum, len(a.data)) for a in document.annotations] == [
        (40, False, 2),
        (0, True, 1),
    ]


@pytest.mark.parametrize("name", ["plain.bin", "with space", "ünïcode ♪", "new\nline"])
def test_a_file_lands_whole_and_alone(tmp_path: Path, name: str) -> None:
    write_atomic(tmp_path / name, b"first")
    write_atomic(tmp_path / name, b"second")
    assert (tmp_path / name).read_bytes() == b"second"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomic(tmp_path / "a", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="disk is full: free some space"):
        write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_real_limit_on_file_size_is_an_output_error(tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))\n"
        "from tutti.music.files import write_atomic\n"
        "from tutti.errors import OutputError\n"
        "try: write_atomic(sys.argv[1], bytes(5000))\n"
        "except OutputError as error: print(error)\n"
    )
    answer = subprocess.run([sys.executable, "-c", program, tmp_path / "a"], capture_output=True, text=True, check=True)
    assert "larger than this system allows" in answer.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_and_a_missing_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder of that name"):
        write_atomic(tmp_path, b"x")
    with pytest.raises(OutputError, match="create it first"):
        write_atomic(tmp_path / "no" / "a", b"x")


def test_every_drum_class_has_a_key_that_reads_back() -> None:
    assert [class_of_key(key_of_class(name)) for name in DRUM_CLASSES] == list(DRUM_CLASSES)
    assert (class_of_key(22), class_of_key(26), class_of_key(75)) == ("hihat_closed", "hihat_open", None)
