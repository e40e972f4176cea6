import json
import os

import pytest

from tutti.cli.report import JsonReport, Outcome, TextReport

DONE = Outcome("song.wav", "done", ("song.mid", "song.json"), seconds=1.26, facts={"notes": 7, "duration_s": 3.5})
SKIPPED = Outcome("song.wav", "skipped", ("song.mid",))
FAILED = Outcome("two\nlines.wav", "failed", (), "not_audio", "It holds no audio.", 0.5, ("odd",))


def test_text_says_where_the_outputs_are(capsys: pytest.CaptureFixture[str]) -> None:
    TextReport(quiet=False).tell(DONE)
    TextReport(quiet=False).tell(SKIPPED)
    out, err = capsys.readouterr()
    assert out == "song.wav → song.mid, song.json (7 notes, 1.3 s)\nsong.wav → song.mid (already there)\n"
    assert err == ""


def test_quiet_text_says_nothing_of_successes_and_all_of_failures(capsys: pytest.CaptureFixture[str]) -> None:
    TextReport(quiet=True).tell(DONE)
    TextReport(quiet=True).tell(FAILED)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "two\\nlines.wav: warning: odd\ntwo\\nlines.wav: It holds no audio.\n"


def test_json_is_one_line_per_input_with_everything_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    JsonReport().tell(DONE)
    JsonReport().tell(FAILED)
    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == [
        {
            "input": "song.wav",
            "status": "done",
            "outputs": ["song.mid", "song.json"],
            "error": None,
            "seconds": 1.26,
            "notes": 7,
            "duration_s": 3.5,
            "warnings": [],
        },
        {
            "input": "two\nlines.wav",
            "status": "failed",
            "outputs": [],
            "error": {"code": "not_audio", "message": "It holds no audio."},
            "seconds": 0.5,
            "warnings": ["odd"],
        },
    ]
    assert err == "two\\nlines.wav: It holds no audio.\n"


def test_a_name_that_the_message_begins_with_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    TextReport(quiet=True).tell(Outcome("deep/a.wav", "failed", (), "not_audio", "a.wav: holds no sound."))
    assert capsys.readouterr().err == "deep/a.wav: holds no sound.\n"


def test_json_brings_back_a_name_that_is_not_utf8(capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"\xe9.wav")
    JsonReport().tell(Outcome(name, "skipped"))
    assert json.loads(capsys.readouterr().out)["input"] == name


def test_failures_among_many_are_told_again_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    report = TextReport(quiet=True)
    for number in range(8):
        failed = number in (2, 5)
        message = "It holds no audio." if failed else None
        report.tell(Outcome(f"{number}.wav", "failed" if failed else "done", error_message=message))
    assert report.finish() == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-3:] == ["2 of 8 inputs failed:", "  2.wav: It holds no audio.", "  5.wav: It holds no audio."]


def test_failures_among_few_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    for report in (TextReport(quiet=True), JsonReport()):
        report.tell(Outcome("a.wav", "failed", error_message="It holds no audio."))
        report.tell(Outcome("b.wav", "done"))
        assert report.finish() == 1
        assert capsys.readouterr().err.splitlines() == ["a.wav: It holds no audio."]
