"""`tutti drums` with a stand-in for what hears."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
from typer.testing import CliRunner

from tests.conftest import CLICK_RATE_HZ, clicks
from tutti.capabilities.drums.run import run
from tutti.capabilities.drums.types import FORMATS, DrumChart, Options
from tutti.catalog import Capability
from tutti.cli.drums import app
from tutti.errors import OptionError


@pytest.fixture
def chart(tiny_models: Path) -> DrumChart:
    assert tiny_models.is_dir()
    return run((clicks([0.4, 0.9, 1.4, 1.9, 2.4], 3.0), CLICK_RATE_HZ), Options(stems="none", device="cpu"))


@pytest.fixture
def heard(chart: DrumChart, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Options]]:
    """What was listened to."""
    calls: list[tuple[Any, Options]] = []

    def stand_in(source: Any, options: Options, **_: Any) -> DrumChart:
        calls.append((source, options))
        return chart

    monkeypatch.setattr(Capability, "run", property(lambda _: stand_in))
    return calls


def test_help_names_every_option_and_format() -> None:
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    for name in Options.model_fields:
        assert "--" + name.replace("_", "-").removesuffix("-s") in result.stdout
    for name in (*FORMATS, "--edit", "--skip-existing", "--json", "links (https://"):
        assert name in result.stdout


def test_options_reach_the_capability_and_results_land(heard: list[Any], tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    song.touch()
    flags = ["--stems", "light", "--metre", "7/8", "--bpm", "140", "-f", "json,mid", "-q"]
    result = CliRunner().invoke(app, [str(song), *flags])
    assert result.exit_code == 0, result.output
    ((source, options),) = heard
    assert source == song
    assert (options.stems, options.metre, options.bpm) == ("light", "7/8", 140.0)
    assert {path.name for path in tmp_path.glob("song.*")} >= {"song.wav", "song.json", "song.mid"}
    assert json.loads((tmp_path / "song.json").read_text())["hit_summary"] == {"kick": 5, "hihat_closed": 5}


def test_a_link_is_passed_on_as_it_is(heard: list[Any], tmp_path: Path) -> None:
    link = "https://example.org/watch?v=abc"
    result = CliRunner().invoke(app, [link, "-f", "json", "-o", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    assert heard[0][0] == link
    assert (tmp_path / "out" / "abc.json").is_file()
    assert json.loads(result.stdout)["hits"] == 10


def test_a_chart_is_engraved_anew_without_listening(heard: list[Any], chart: DrumChart, tmp_path: Path) -> None:
    (tmp_path / "song.json").write_text(chart.to_json())
    (tmp_path / "edit.toml").write_text('title = "Better"\n')
    out = tmp_path / "out"
    flags = ["-f", "json", "-o", str(out), "--edit", str(tmp_path / "edit.toml"), "-q"]
    result = CliRunner().invoke(app, [str(tmp_path / "song.json"), *flags])
    assert result.exit_code == 0, result.output
    assert heard == []
    assert json.loads((out / "song.json").read_text())["title"] == "Better"


@pytest.mark.parametrize("flags", [["--metre", "4/3"], ["--bpm", "1000"], ["--stems", "some"], ["-f", "docx"]])
def test_what_cannot_be_asked_is_refused_before_listening(heard: list[Any], flags: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path / "song.wav"), *flags])
    assert result.exit_code != 0
    assert heard == []


def test_a_chart_is_printed_otherwise_without_listening(chart: DrumChart, heard: list[Any], tmp_path: Path) -> None:
    (tmp_path / "song.json").write_text(chart.to_json())
    flags = ["--title", "Other & more", "--repeats", "none", "-f", "json", "-o", str(tmp_path / "out")]
    assert CliRunner().invoke(app, [str(tmp_path / "song.json"), *flags]).exit_code == 0
    written = json.loads((tmp_path / "out" / "song.json").read_text())
    assert (written["title"], written["provenance"]["options"]["repeats"]) == ("Other & more", "none")
    assert written["provenance"]["options"]["paper"] == chart.provenance.options["paper"]
    assert heard == []


def test_a_chart_is_not_heard_anew_however_it_is_asked(chart: DrumChart, heard: list[Any], tmp_path: Path) -> None:
    (tmp_path / "song.json").write_text(chart.to_json())
    flags = ["--bpm", "200", "--onset-threshold", "0.9", "--paper", "letter", "--device", "cpu"]
    soundfile.write(tmp_path / "before.wav", clicks([0.5], 1.0), CLICK_RATE_HZ)
    inputs = [str(tmp_path / "before.wav"), str(tmp_path / "song.json")]
    result = CliRunner().invoke(app, [*inputs, *flags, "-f", "json", "-o", str(tmp_path / "out")])
    assert isinstance(result.exception, OptionError)
    assert "a chart, and nothing is heard anew in it: --bpm, --onset-threshold would" in str(result.exception)
    assert heard == []
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(("form", "unneeded"), [
    ("pdf", {"torch", "scipy", "librosa", "soundfile", "av", "symusic", "matplotlib"}),
    ("json", {"torch", "scipy", "librosa", "soundfile", "av", "symusic", "matplotlib", "verovio", "fontTools"}),
])  # fmt: skip
def test_a_correction_loads_nothing_that_listens(
    form: str, unneeded: set[str], chart: DrumChart, tmp_path: Path
) -> None:
    chart.save(tmp_path / "song.json")
    (tmp_path / "fix.json").write_text('{"drop": ["h1"]}')
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules))\n"
        "from tutti.cli.main import main\n"
        "main(['drums', 'song.json', '--edit', 'fix.json', '-o', 'out/', '-q', '-f', sys.argv[1]])"
    )
    command = [sys.executable, "-c", program, form]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert (tmp_path / "out" / f"song.{form}").is_file()
    assert not unneeded.intersection(answer.stdout.split())
