"""What may be imported by whom beyond the contracts in pyproject.toml: what is loaded, seen from outside."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tutti
from tutti.capabilities.drums.types import Provenance
from tutti.capabilities.drums.writing_down import Draft
from tutti.music.beats import Beats
from tutti.music.drum_hits import DrumHit, DrumHits
from tutti.music.sections import Sections
from tutti.music.timing import BeatGrid

PACKAGE = Path(tutti.__file__).parent
FRAMEWORKS = {"torch", "jax", "onnxruntime", "lightning", "matplotlib", "scipy", "soundfile", "av"}


def loaded_by(code: str) -> set[str]:
    """Top-level names of the modules a fresh interpreter holds after `code`."""
    script = (
        f"import sys\ntry:\n    {code}\nexcept SystemExit: pass\nprint(*{{n.partition('.')[0] for n in sys.modules}})"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(answer.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_nothing_but_itself() -> None:
    assert loaded_by("import tutti") & {*FRAMEWORKS, "numpy", "pydantic", "typer", "rich"} == set()


@pytest.mark.parametrize(
    "module", ["tutti.errors", "tutti.settings", "tutti.catalog", "tutti.music.notes", "tutti.music.midi"]
)
def test_the_ground_loads_no_framework(module: str) -> None:
    assert loaded_by(f"import {module}") & FRAMEWORKS == set()


def test_help_is_listed_without_what_the_commands_need() -> None:
    code = "from tutti.cli.main import main; main(['--help'])"
    assert loaded_by(code) & {*FRAMEWORKS, "numpy", "pydantic", "symusic", "rich"} == set()


def test_help_of_a_verb_loads_no_framework() -> None:
    assert loaded_by("from tutti.cli.main import main; main(['transcribe', '--help'])") & FRAMEWORKS == set()


def test_correcting_a_chart_loads_no_framework(tmp_path: Path) -> None:
    """It reads, writes down and engraves: a second's work, which frameworks would double."""
    beats = Beats(BeatGrid((0.0, 0.5, 1.0, 1.5, 2.0), (1, 2, 3, 4, 1)), 0.9, False, "tutti")
    provenance = Provenance("0.1.0", "m", "0" * 64, "cpu", "fp32", "song.wav", {}, "tutti", {})
    hits = DrumHits.of([DrumHit(0.0, "kick", 90, 0.9), DrumHit(0.5, "snare", 90, 0.9)])
    chart = Draft(hits, beats, "Song", "", Sections(), 3.0, provenance).written()
    (tmp_path / "chart.json").write_text(chart.to_json())
    (tmp_path / "fix.toml").write_text('drop = ["h1"]')
    arguments = ["drums", str(tmp_path / "chart.json"), "--edit", str(tmp_path / "fix.toml"), "-f", "pdf", "-q"]
    loaded = loaded_by(f"from tutti.cli.main import main; main({arguments})")
    assert (tmp_path / "chart.pdf").read_bytes().startswith(b"%PDF")
    assert loaded & {*FRAMEWORKS, "mir_eval", "symusic", "PIL"} == set()


def test_every_part_of_the_package_has_its_place_in_the_layers() -> None:
    contracts = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = " ".join(contracts[0]["layers"])
    parts = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} | {"catalog", "library", "settings", "errors"}
    assert {part for part in parts if f"tutti.{part}" not in layers} == set()
