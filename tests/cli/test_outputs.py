from pathlib import Path

import pytest

from tutti.cli.inputs import Input, collect
from tutti.cli.outputs import parse_formats, plan
from tutti.errors import InputNotFoundError, UnknownFormatError, UsageError

KNOWN = ("mid", "json", "png")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def targets(inputs: list[str], output: str | None = None, formats: str | None = None) -> list[list[str]]:
    return [[str(path) for path in job.outputs.values()] for job in plan(collect(inputs), output, formats, KNOWN)]


def test_formats_are_read_once_each_in_any_case_with_or_without_a_dot() -> None:
    assert parse_formats("PNG, .mid,png", KNOWN) == ("png", "mid")


@pytest.mark.parametrize("text", ["mid,pdf", "", ",", "midi"])
def test_an_unknown_or_empty_format_names_those_there_are(text: str) -> None:
    with pytest.raises(UnknownFormatError, match="Use one of: mid, json, png"):
        parse_formats(text, KNOWN)


def test_results_lie_beside_the_input_by_default() -> None:
    assert targets(["a/song.tar.wav", "plain"]) == [["a/song.tar.mid"], ["plain.mid"]]


def test_standard_input_goes_to_the_current_folder() -> None:
    assert targets(["-"], formats="json,png") == [["stdin.json", "stdin.png"]]


def test_a_folder_is_meant_unless_the_name_ends_in_a_known_format(folder: Path) -> None:
    assert targets(["song.wav"], "out") == [["out/song.mid"]]
    assert targets(["song.wav"], "out.v2/") == [["out.v2/song.mid"]]
    (folder / "old.mid").mkdir()
    assert targets(["song.wav"], "old.mid") == [["old.mid/song.mid"]]


def test_a_tree_is_kept_below_the_output_folder(folder: Path) -> None:
    (folder / "music/live").mkdir(parents=True)
    (folder / "music/live/c.flac").touch()
    assert targets(["music"], "out") == [["out/live/c.mid"]]


def test_a_file_takes_its_format_from_its_suffix() -> None:
    assert targets(["song.wav"], "x/take.JSON") == [["x/take.JSON"]]
    assert targets(["song.wav"], "take.png", "png") == [["take.png"]]


@pytest.mark.parametrize(
    ("inputs", "output", "formats", "message"),
    [
        (["a.wav", "b.wav"], "out.mid", None, "is one file, but there are 2 inputs"),
        (["a.wav"], "out.mid", "json", "disagree"),
        (["a.wav"], "out.mid", "mid,json", "disagree"),
        (["a.wav"], "out.midi", None, "end it with a slash: 'out.midi/'"),
        (["a.wav", "a.mp3"], None, None, r"'a.mp3' would be written to 'a.mid', which 'a.wav' already takes"),
        (["one/a.wav", "two/a.wav"], "out", None, "already takes"),
        (["one/a.wav", "two/a.wav"], "one/../out", None, "already takes"),
        (["a.mid"], None, None, r"'a.mid' would be written over itself. Name another folder with -o"),
        (["a.wav", "b.json"], None, "json", "'b.json' would be written over itself"),
        (["a.wav", "a.json"], None, "json", "already takes"),
    ],
)
def test_what_would_overwrite_or_contradict_is_wrong_usage_before_any_work(
    inputs: list[str], output: str | None, formats: str | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        targets(inputs, output, formats)


def test_inputs_with_a_fault_take_no_output() -> None:
    fault = InputNotFoundError("nothing there")
    jobs = plan([Input("x/*.wav", Path(), fault), Input("y/*.wav", Path(), fault)], "out", None, KNOWN)
    assert [job.input.fault for job in jobs] == [fault, fault]


def test_a_job_is_done_when_every_output_is_there(folder: Path) -> None:
    (job,) = plan(collect(["a.wav"]), None, "mid,json", KNOWN)
    (folder / "a.mid").touch()
    assert not job.is_done
    (folder / "a.json").touch()
    assert job.is_done


def test_standard_output_is_no_place_for_files() -> None:
    with pytest.raises(UsageError, match=r"-o - is no place for results"):
        targets(["a.wav"], output="-")
