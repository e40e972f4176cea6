import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tutti.cli.evaluate import app
from tutti.errors import InputNotFoundError, UsageError
from tutti.music.json_file import to_json
from tutti.music.midi import write_midi
from tutti.music.notes import Note, Notes, PedalEvent

TRUTH = Notes.of(
    [*(Note(row, row + 0.5, 60 + row, 80 + row, 0) for row in range(8)), Note(0.5, 0.6, 36, 90, 0, True)],
)
HALF = Notes.of(TRUTH.pitched[::2])


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("truth/deep", "heard/deep"):
        Path(name).mkdir(parents=True)


def evaluate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["transcription", *arguments])


def fill(count: int) -> None:
    for row in range(count):
        write_midi(TRUTH, f"truth/song{row}.mid")
        Path(f"heard/song{row}.json").write_text(to_json(TRUTH if row % 2 else HALF))


def test_two_files_are_held_against_each_other() -> None:
    write_midi(TRUTH, "a.mid")
    Path("b.json").write_text(to_json(HALF))
    result = evaluate("a.mid", "b.json")
    assert result.exit_code == 0
    header, line, *rest = result.stdout.splitlines()
    assert header.split()[:3] == ["F1", "onset", "on+off"]
    name, onset, *_, ratio = line.split()
    assert (name, onset, ratio) == ("b.json", "0.667", f"{len(HALF) / len(TRUTH):.3f}")
    assert any(row.split() == ["onset", "1.000", "0.500", "0.667", "1"] for row in rest)
    assert "onset F1 by tolerance: 0.667 at 10 ms, 0.667 at 20 ms, 0.667 at 50 ms, 0.667 at 100 ms" in rest
    assert any(row.startswith("drums: left out of onset") for row in rest)
    assert "pedal: held." in rest
    assert "interval" not in header + "".join(rest).split("mean:")[0]


def test_folders_are_matched_by_name_whatever_the_format() -> None:
    fill(2)
    write_midi(TRUTH, "truth/deep/song0.midi")
    write_midi(TRUTH, "heard/deep/song0.mid")
    Path("heard/song0.mid").write_bytes(b"not looked at: the JSON is more exact")
    result = evaluate("truth", "heard", "--json")
    assert result.exit_code == 0
    *files, together = map(json.loads, result.stdout.splitlines())
    assert [(file["input"], file["onset_f1"]) for file in files] == [
        ("deep/song0", 1.0), ("song0", pytest.approx(2 / 3)), ("song1", 1.0),
    ]  # fmt: skip
    assert (files[1]["true_notes"], files[1]["given_notes"]) == (9, 4)
    assert (together["files"], together["input"]) == (3, None)
    assert together["onset_f1"] == pytest.approx((2 + 2 / 3) / 3)
    assert together["intervals_95"] == {}
    assert together["conventions"]["pedal"] == "held"


def test_five_files_give_an_interval() -> None:
    fill(5)
    result = evaluate("truth", "heard")
    lines = result.stdout.splitlines()
    assert "95 % interval" in result.stdout
    assert next(line for line in lines if line.startswith("mean of 5")).split()[3] == "0.800"  # two of five are whole
    (row,) = (line.split() for line in lines if line.startswith("onset  "))
    low, high = map(float, row[4].split("-"))
    assert 0.66 < low < 0.8 < high <= 1.0
    assert row[5] == "5"


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("heard/song1.json", "song1: There is no estimate of that name for it. Transcribe it"),
        ("truth/song1.mid", "song1: There is no reference of that name for it. Add one"),
    ],
)
def test_one_without_a_partner_is_told_and_the_rest_is_finished(missing: str, message: str) -> None:
    fill(3)
    Path(missing).unlink()
    result = evaluate("truth", "heard", "--json")
    assert result.exit_code == 1
    assert message in result.stderr
    *files, together = map(json.loads, result.stdout.splitlines())
    assert [file["status"] for file in files] == ["done", "failed", "done"]
    assert files[1]["error"]["code"] == "input_not_found"
    assert together["files"] == 2


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not a JSON file of notes"), ('{"notes": []}', "holds no notes, and nothing can be")]
)
def test_a_reference_that_is_none_is_told(text: str, message: str) -> None:
    write_midi(TRUTH, "b.mid")
    Path("a.json").write_text(text)
    result = evaluate("a.json", "b.mid")
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr


def test_an_empty_estimate_is_an_answer_and_scores_nothing() -> None:
    write_midi(TRUTH, "a.mid")
    Path("b.json").write_text(to_json(Notes()))
    assert evaluate("a.mid", "b.json").stdout.splitlines()[1].split()[1] == "0.000"


def test_notes_ring_while_the_pedal_is_down_unless_told_otherwise() -> None:
    held = Notes.of([Note(0.0, 0.2, 60, 80)], [PedalEvent(0.1, 2.0)])
    Path("a.json").write_text(to_json(held))
    Path("b.json").write_text(to_json(Notes.of([replace(held[0], offset_s=2.0)])))
    for flag, score in (("--pedal", 1.0), ("--no-pedal", 0.0)):
        first, _ = map(json.loads, evaluate("a.json", "b.json", "--json", flag).stdout.splitlines())
        assert first["onset_offset_f1"] == score


def test_what_is_named_must_be_two_of_a_kind_and_hold_notes() -> None:
    fill(1)
    assert isinstance(evaluate("truth", "heard/song0.json").exception, UsageError)
    assert isinstance(evaluate("truth/song0.mid", "heard").exception, UsageError)
    assert isinstance(evaluate("truth", "gone").exception, InputNotFoundError)
    assert isinstance(evaluate("truth", "heard/deep").exception, InputNotFoundError)
    assert evaluate("truth/song0.mid", "gone.mid").exit_code == 1
    assert evaluate("truth").exit_code == 2
