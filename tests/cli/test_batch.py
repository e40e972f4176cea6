import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tutti.cli.batch import Batch
from tutti.cli.inputs import Input, collect
from tutti.cli.outputs import plan
from tutti.cli.progress import OnProgress, silence
from tutti.cli.report import Outcome
from tutti.errors import AudioFormatError, DeviceError, InputError, InputNotFoundError, OutputError, UsageError

KNOWN = ("mid", "json")


@dataclass
class Result:
    warnings: tuple[str, ...] = ()

    def save_as(self, format_name: str, path: Path) -> Path:
        path.write_text(format_name)
        return path


@dataclass
class Recorder:
    told: list[Outcome] = field(default_factory=list)

    def tell(self, outcome: Outcome) -> None:
        self.told.append(outcome)

    def finish(self) -> int:
        return sum(outcome.status == "failed" for outcome in self.told)


Work = Callable[[Path | BinaryIO, OnProgress], Result]


def attend(names: list[str], work: Work, formats: str = "mid", **how: Any) -> tuple[int, list[Outcome]]:
    recorder = Recorder()
    batch = Batch(work=work, facts=lambda _: {"notes": 3}, report=recorder, display=silence, **how)
    failures = batch.run(plan(collect(names), None, formats, KNOWN))
    return failures, recorder.told


def succeed(_source: Path | BinaryIO, on_progress: OnProgress) -> Result:
    on_progress("listening", 1, 2)
    return Result(("clipped",))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_input_is_worked_on_saved_and_told(folder: Path) -> None:
    failures, (one, two) = attend(["deep/a.wav", "b.wav"], succeed, "mid,json")
    assert failures == 0
    assert (one.input, one.status, one.outputs) == ("deep/a.wav", "done", ("deep/a.mid", "deep/a.json"))
    assert (one.warnings, one.facts) == (("clipped",), {"notes": 3})
    assert two.seconds > 0
    assert (folder / "deep/a.json").read_text() == "json"


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        (AudioFormatError("no sound in it"), "not_audio", "no sound in it"),
        (OutputError("disk full"), "output", "disk full"),
        (RuntimeError("bug"), "internal", r"tutti broke on it (RuntimeError: bug). Please report"),
    ],
)
def test_one_that_fails_is_told_and_the_others_are_finished(fault: Exception, code: str, message: str) -> None:
    def work(source: Path | BinaryIO, on_progress: OnProgress) -> Result:
        if source == Path("bad.wav"):
            raise fault
        return succeed(source, on_progress)

    failures, (bad, good) = attend(["bad.wav", "good.wav"], work)
    assert failures == 1
    assert (bad.status, bad.error_code, bad.outputs) == ("failed", code, ())
    assert message in str(bad.error_message)
    assert good.status == "done"


def test_what_every_input_would_meet_ends_the_batch() -> None:
    def work(_source: Path | BinaryIO, _on_progress: OnProgress) -> Result:
        raise DeviceError("no such device")

    with pytest.raises(DeviceError):
        attend(["a.wav", "b.wav"], work)


def test_a_failed_second_output_is_a_failure_that_names_the_first() -> None:
    class HalfResult(Result):
        def save_as(self, format_name: str, path: Path) -> Path:
            if format_name == "json":
                raise OutputError("disk full")
            return super().save_as(format_name, path)

    failures, (outcome,) = attend(["a.wav"], lambda *_: HalfResult(), "mid,json")
    assert failures == 1
    assert outcome.outputs == ("a.mid",)


def test_an_input_with_a_fault_fails_without_work() -> None:
    recorder = Recorder()
    batch = Batch(work=succeed, facts=lambda _: {}, report=recorder, display=silence)
    item = Input("x/*.wav", Path(), InputNotFoundError("nothing matches"))
    assert batch.run(plan([item], None, None, KNOWN)) == 1
    assert recorder.told[0].error_code == "input_not_found"


def test_skip_existing_leaves_alone_only_what_is_complete(folder: Path) -> None:
    for name in ("a.mid", "a.json", "b.mid"):
        (folder / name).write_text("old")
    failures, told = attend(["a.wav", "b.wav"], succeed, "mid,json", skip_existing=True)
    assert failures == 0
    assert [outcome.status for outcome in told] == ["skipped", "done"]
    assert (folder / "a.mid").read_text() == "old"
    assert (folder / "b.mid").read_text() == "mid"


def test_an_output_folder_that_cannot_be_made_is_an_output_error(folder: Path) -> None:
    (folder / "deep").write_text("a file")
    failures, (outcome,) = attend(["deep/a.wav"], succeed)
    assert failures == 1
    assert outcome.error_code == "output"
    assert "The folder 'deep' cannot be made" in str(outcome.error_message)


def test_standard_input_is_handed_over_open(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def work(source: Path | BinaryIO, _on_progress: OnProgress) -> Result:
        assert not isinstance(source, Path)
        seen.append(source.read())
        return Result()

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"sound")))
    failures, (outcome,) = attend(["-"], work)
    assert failures == 0
    assert outcome.outputs == ("stdin.mid",)
    assert seen == [b"sound"]


def test_a_terminal_is_no_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    with pytest.raises(UsageError, match="Pipe a recording in"):
        attend(["-"], succeed)


Together = Callable[[Sequence[Any], OnProgress], Iterator[tuple[int, Result | InputError]]]


def backwards(sources: Sequence[Any], on_progress: OnProgress) -> Iterator[tuple[int, Result | InputError]]:
    """The last first, the second cannot be read, the third breaks off what there is of work at once."""
    for number in reversed(range(len(sources))):
        on_progress("listening", 1, 0)
        if "noise" in str(sources[number]):
            yield number, AudioFormatError("no sound in it")
        elif "bug" in str(sources[number]):
            raise RuntimeError("bug")
        else:
            yield number, Result()


def never(_source: Path | BinaryIO, _on_progress: OnProgress) -> Result:
    raise AssertionError("worked on alone")


def test_inputs_are_worked_on_together_where_that_is_possible(folder: Path) -> None:
    failures, told = attend(["a.wav", "noise.wav", "c.wav"], never, together=backwards)
    assert [(each.input, each.status) for each in told] == [
        ("c.wav", "done"),
        ("noise.wav", "failed"),
        ("a.wav", "done"),
    ]
    assert failures == 1
    assert (folder / "a.mid").read_text() == "mid"


def test_what_is_there_and_what_is_faulty_stays_out_of_work_at_once(folder: Path) -> None:
    (folder / "a.wav").touch()
    (folder / "b.wav").touch()
    (folder / "b.mid").touch()
    failures, told = attend(["a.wav", "b.wav", "gone*.wav"], never, together=backwards, skip_existing=True)
    assert {each.input: each.status for each in told} == {"a.wav": "done", "b.wav": "skipped", "gone*.wav": "failed"}
    assert failures == 1


def test_something_unforeseen_costs_nothing_that_was_finished() -> None:
    """Whose fault it was shows when what is left is worked on one by one."""
    alone: list[str] = []

    def work(source: Path | BinaryIO, _on_progress: OnProgress) -> Result:
        alone.append(str(source))
        if "bug" in str(source):
            raise RuntimeError("bug")
        return Result()

    failures, told = attend(["a.wav", "bug.wav", "c.wav"], work, together=backwards)
    assert alone == ["a.wav", "bug.wav"]
    assert {each.input: each.status for each in told} == {"a.wav": "done", "bug.wav": "failed", "c.wav": "done"}
    assert failures == 1


def test_a_disk_that_is_full_fails_one_of_those_at_once() -> None:
    class Full(Result):
        def save_as(self, format_name: str, path: Path) -> Path:  # noqa: ARG002
            raise OutputError("disk full")

    def together(sources: Sequence[Any], _on_progress: OnProgress) -> Iterator[tuple[int, Result | InputError]]:
        yield from enumerate([Full(), *[Result()] * (len(sources) - 1)])

    failures, told = attend(["a.wav", "b.wav"], never, together=together)
    assert [(each.status, each.error_code) for each in told] == [("failed", "output"), ("done", None)]
    assert failures == 1


def test_faults_that_all_would_meet_end_the_work_at_once() -> None:
    def together(_sources: Sequence[Any], _on_progress: OnProgress) -> Iterator[tuple[int, Result | InputError]]:
        raise DeviceError("No such device.")
        yield

    with pytest.raises(DeviceError):
        attend(["a.wav", "b.wav"], never, together=together)
