"""`tutti groove` with a network of random weights."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tests.capabilities.groove.small_groove import TAKES, small_weights
from tutti.capabilities.groove.prompts import read_pattern
from tutti.capabilities.groove.styles import find_style, list_available_styles
from tutti.capabilities.groove.types import FORMATS, Options
from tutti.cli.groove import app
from tutti.cli.main import main
from tutti.errors import OptionError, TuttiError, UnknownFormatError, UnknownStyleError, UsageError

WIDE = {"COLUMNS": "200", "TERM": "dumb"}
FUNK = next(path for path in TAKES if "funk" in path.name)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_weights(tmp_path_factory.mktemp("groove") / "small.safetensors")


@pytest.fixture
def run(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command in a folder of its own: one bar with seed 1."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        plain = ["--model", str(weights), "--device", "cpu", "--seed", "1", "--bars", "1"]
        return CliRunner().invoke(app, [*arguments, *plain])

    return run


def fails(result: Result, kind: type[TuttiError], says: str) -> None:
    assert isinstance(result.exception, kind), result.output
    assert says in str(result.exception)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_help_names_every_option_format_and_subcommand() -> None:
    result = CliRunner().invoke(app, ["--help"], env=WIDE)
    assert result.exit_code == 0
    for name in Options.model_fields:
        assert "--" + name.replace("_", "-") in result.stdout
    commands = ("styles", "continue", "humanise", "vary", "fill-in", "answer")
    for name in (*FORMATS, "--tempo", "--json", "--output", *commands):
        assert name in result.stdout
    for name in commands[1:]:
        result = CliRunner().invoke(app, [name, "--help"], env=WIDE)
        assert result.exit_code == 0
        assert "IN.mid" in result.stdout


def test_styles_are_listed() -> None:
    result = CliRunner().invoke(app, ["styles"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == len(list_available_styles())
    (dilla,) = (line for line in lines if line.startswith("J Dilla "))
    assert "85-95 bpm" in dilla
    assert "swing 62 % of 16ths" in dilla
    assert "signature swing, soulful" in dilla
    listed = json.loads(CliRunner().invoke(app, ["styles", "--json"]).stdout)
    assert list(listed) == list_available_styles()
    assert listed["Questlove"]["swing_percent"] == 58.0


def test_a_pattern_is_named_after_style_tempo_and_seed(run: Any, tmp_path: Path) -> None:
    result = run("--style", "J Dilla", "--tempo", "92.5")
    assert result.exit_code == 0, result.output
    assert names(tmp_path) == {"j-dilla-92-5bpm-1.mid"}
    assert result.stdout.startswith("j-dilla-92-5bpm-1.mid (")
    assert "1 bars, 92.5 bpm, seed 1" in result.stdout
    assert read_pattern(tmp_path / "j-dilla-92-5bpm-1.mid")[0].bpm == 92.5


def test_files_folders_and_formats(run: Any, tmp_path: Path) -> None:
    assert run("-o", "a.wav", "-q").exit_code == 0
    assert run("-o", "b.template.mid", "-q").exit_code == 0
    assert run("-o", "C.MID", "-q").exit_code == 0
    assert run("-o", "new folder/", "-f", "json,quantised.mid,mid", "-q").exit_code == 0
    assert run("-o", "v1.2/", "-q").exit_code == 0
    assert run("-o", "bare", "-q").exit_code == 0
    stem = f"rock-{find_style('Rock').usual_bpm:g}bpm-1"
    assert names(tmp_path) == {
        "a.wav", "b.template.mid", "C.MID", f"new folder/{stem}.json", f"new folder/{stem}.quantised.mid",
        f"new folder/{stem}.mid", f"v1.2/{stem}.mid", f"bare/{stem}.mid",
    }  # fmt: skip
    assert (tmp_path / "a.wav").read_bytes()[:4] == b"RIFF"


def test_several_are_numbered(run: Any, tmp_path: Path) -> None:
    assert run("--count", "3", "-o", "beat.mid", "-q").exit_code == 0
    assert names(tmp_path) == {"beat-1.mid", "beat-2.mid", "beat-3.mid"}
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 3
    assert run("--count", "2", "-o", "LOUD.MID", "-q").exit_code == 0
    assert {"LOUD-1.mid", "LOUD-2.mid"} <= names(tmp_path)


def test_json_is_one_line_of_facts(run: Any, tmp_path: Path) -> None:
    result = run("--style", "Rock", "--count", "2", "--json", "-o", "x.mid")
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    facts = json.loads(line)
    assert facts["outputs"] == ["x-1.mid", "x-2.mid"]
    assert (facts["style"], facts["task"], facts["seed"], facts["bars"]) == ("Rock", "new", 1, 1)
    assert len(facts["strokes"]) == 2
    assert facts["strokes"][0] == len(read_pattern(tmp_path / "x-1.mid")[0])
    assert "swing_16th" in facts["feel"]
    assert facts["seconds"] > 0


def test_quiet_is_quiet_and_warnings_go_to_the_error_stream(run: Any) -> None:
    result = run("--metre", "7/8", "-q")
    assert result.stdout == ""
    assert "warning: The network heard next to no music in 7/8" in result.stderr


@pytest.mark.parametrize("command", ["continue", "humanise", "vary", "answer"])
def test_prompts_are_answered_beside_them(command: str, run: Any, tmp_path: Path) -> None:
    shutil.copy(FUNK, tmp_path / "in.mid")
    prompt = tmp_path / "in.mid" if command == "continue" else _cut(tmp_path / "in.mid")
    before = prompt.read_bytes()
    result = run(command, str(prompt), "-q")
    assert result.exit_code == 0, result.output
    assert prompt.with_name(f"{prompt.stem}.{command}.mid").is_file()
    assert prompt.read_bytes() == before


def _cut(path: Path) -> Path:
    """Its first two bars, as tutti's JSON."""
    pattern = read_pattern(path)[0].cut(0, 2)
    rows = [{"beat": hit.beat, "key": hit.key, "velocity": hit.velocity} for hit in pattern]
    document = {"format": "tutti-groove", "version": 1, "bpm": pattern.bpm, "metre": "4/4", "bars": 2, "hits": rows}
    made = path.with_name("cut.json")
    made.write_text(json.dumps(document))
    return made


def test_empty_bars_are_filled_in(run: Any, tmp_path: Path) -> None:
    made = _cut(Path(shutil.copy(FUNK, tmp_path / "in.mid")))
    document = json.loads(made.read_text()) | {"bars": 3}
    made.write_text(json.dumps(document))
    result = run("fill-in", str(made), "-o", "whole.json", "-q")
    assert result.exit_code == 0, result.output
    pattern = read_pattern(tmp_path / "whole.json")[0]
    assert pattern.bars == 3


@pytest.mark.parametrize(
    ("prompt", "flags"),
    [
        ("in.mid", ["-o", "in.mid"]),
        ("in.mid", ["-o", "./in.mid"]),
        ("link.mid", ["-o", "in.mid"]),
        ("beat-2.mid", ["-o", "beat.mid", "--count", "2"]),
    ],
)
def test_a_prompt_is_never_written_over(prompt: str, flags: list[str], run: Any, tmp_path: Path) -> None:
    target = tmp_path / ("in.mid" if prompt == "link.mid" else prompt)
    shutil.copy(FUNK, target)
    if prompt == "link.mid":
        (tmp_path / "link.mid").symlink_to(target)
    before = names(tmp_path)
    fails(run("continue", prompt, *flags), UsageError, "would be written over itself")
    assert target.read_bytes() == FUNK.read_bytes()
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    "flags", [["--bars", "2"], ["--tempo", "90"], ["-o", "x.mid"], ["--json"], ["-q"], ["-f", "mid"], ["--seed", "3"]]
)
def test_options_before_a_subcommand_are_refused(flags: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*flags, "continue", str(tmp_path / "in.mid")])
    long = {"-o": "--output", "-q": "--quiet", "-f": "--format"}.get(flags[0], flags[0])
    fails(result, UsageError, f"Give {long} after `continue`, not before: tutti groove continue")


@pytest.mark.parametrize(
    ("flags", "kind", "says"),
    [
        (["--tempo", "0"], OptionError, "tempo_bpm"),
        (["--tempo", "nan"], OptionError, "tempo_bpm"),
        (["--temperature", "-1"], OptionError, "temperature"),
        (["--top-p", "0"], OptionError, "top_p"),
        (["--style", "polca"], UnknownStyleError, "no style 'polca'"),
        (["-f", "docx"], UnknownFormatError, "docx"),
        (["-o", "beat.docx"], UnknownFormatError, "ends in no known format"),
        (["-o", "beat.mid", "-f", "wav"], OptionError, "disagree"),
    ],
)
def test_what_cannot_be_asked_writes_nothing(
    flags: list[str], kind: type[TuttiError], says: str, run: Any, tmp_path: Path
) -> None:
    fails(run(*flags), kind, says)
    assert names(tmp_path) == set()


def test_a_subcommand_does_its_own_task(run: Any) -> None:
    fails(
        run("vary", str(FUNK), "--task", "answer"), UsageError, "`tutti groove vary` does not answer. Leave --task out"
    )


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["styles"], 0, ""),
        (["--tempo", "1000"], 2, "tutti: tempo_bpm"),
        (["--style", "polca"], 2, "tutti: There is no style 'polca'"),
        (["--no-such-flag"], 2, "No such option"),
        (["--model", "none.safetensors"], 1, "tutti: There is no checkpoint at none.safetensors"),
        (["continue", "none.mid"], 1, "tutti: There is no file 'none.mid'"),
        (["vary"], 2, "Missing argument"),
    ],
)
def test_exit_statuses_and_messages(
    arguments: list[str], status: int, says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["groove", *arguments])
    assert left.value.code == status
    assert says in capsys.readouterr().err
    assert names(tmp_path) == set()


def test_listing_styles_loads_no_framework() -> None:
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules))\n"
        "from tutti.cli.groove import app\n"
        "app(['styles'])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "J Dilla" in answer.stdout
    assert not {"torch", "symusic", "matplotlib"}.intersection(answer.stdout.split())
