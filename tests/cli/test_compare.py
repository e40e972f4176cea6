import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tutti.cli.compare import app
from tutti.cli.main import COMMANDS
from tutti.errors import InputNotFoundError, OutputError, UnknownFormatError
from tutti.music.json_file import to_json
from tutti.music.midi import write_midi
from tutti.music.notes import Note, Notes

NOTES = Notes.of([Note(0.0, 0.5, 60, 80), Note(1.0, 1.5, 45, 80, 33), Note(1.0, 1.1, 36, 90, 0, True)])
OTHER = Notes.of([Note(0.02, 0.5, 60, 81), Note(1.0, 1.5, 45, 80, 40), Note(3.0, 3.1, 36, 90, 0, True)])


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_midi(NOTES, "a.mid")
    Path("b.json").write_text(to_json(OTHER))


def compare(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_a_table_says_where_two_files_differ() -> None:
    result = compare("a.mid", "b.json")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:2] == ["A: a.mid (3 notes)", "B: b.json (3 notes)"]
    assert lines[3].split("  ")[-1] == "  only B".strip()
    rows = {" ".join(line.split()[:-5]): line.split()[-5:] for line in lines[4:8]}
    assert rows == {
        "Drums": ["0", "0", "0", "1", "1"],
        "Acoustic Grand Piano": ["1", "0", "0", "0", "0"],
        "Electric Bass (finger)": ["0", "0", "1", "0", "0"],
        "all": ["1", "0", "1", "1", "1"],
    }
    assert lines[-2] == "Of the matched, 0 have another length and 1 another velocity."
    assert lines[-1] == "The notes differ."


def test_json_tells_the_same_and_the_tolerance_counts() -> None:
    found = json.loads(compare("a.mid", "b.json", "--json", "--tolerance-ms", "10").stdout)
    assert (found["matched"], found["moved"], found["other_instrument"]) == (0, 1, 1)
    assert (found["only_a"], found["only_b"], found["tolerance_s"]) == (1, 1, 0.01)
    assert found["instruments"]["Acoustic Grand Piano"]["moved"] == 1
    assert found["is_identical"] is found["is_same_within_tolerance"] is False


def test_equal_files_are_called_identical_and_close_ones_the_same() -> None:
    Path("c.json").write_text(to_json(NOTES))
    assert compare("a.mid", "c.json", "--exact").stdout.splitlines()[-1] == "The notes are identical."
    Path("c.json").write_text(to_json(Notes.of(replace(note, velocity=1) for note in NOTES)))
    result = compare("a.mid", "c.json")
    assert result.stdout.splitlines()[-1] == "The notes are the same within 50 ms, but not identical."


def test_exact_fails_where_files_differ() -> None:
    assert compare("a.mid", "a.mid", "--exact").exit_code == 0
    assert compare("a.mid", "b.json", "--exact").exit_code == 1


def test_a_picture_is_drawn() -> None:
    assert compare("a.mid", "b.json", "-o", "c.PNG").exit_code == 0
    assert Path("c.PNG").read_bytes().startswith(b"\x89PNG")


def test_wrong_usage_is_told() -> None:
    assert isinstance(compare("a.mid", "gone.mid").exception, InputNotFoundError)
    assert isinstance(compare("a.mid", "b.json", "-o", "b.json").exception, UnknownFormatError)
    assert isinstance(compare("a.mid", "b.json", "-o", "nowhere/c.png").exception, OutputError)
    assert compare("a.mid", "b.json", "--tolerance-ms", "501").exit_code == 2
    assert compare("a.mid").exit_code == 2


def test_it_is_a_command() -> None:
    assert COMMANDS["compare"].load().name == "compare"
