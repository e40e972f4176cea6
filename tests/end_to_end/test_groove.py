"""`tutti groove` from the installed console script with the model that ships, and what can be wrong."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import mido
import pytest

import tutti
from tutti.capabilities.groove.features import features_of
from tutti.capabilities.groove.pattern import Pattern
from tutti.capabilities.groove.prompts import read_pattern
from tutti.capabilities.groove.styles import get_model_path, list_available_styles
from tutti.capabilities.groove.tokens import tokenizer
from tutti.capabilities.groove.validate import is_valid

Run = Callable[..., subprocess.CompletedProcess[str]]
TAKES = sorted((Path(__file__).resolve().parents[1] / "data" / "groove").glob("*.mid"))


def test_a_beat_lands_in_every_format_and_again_the_same(tutti: Run, tmp_path: Path) -> None:
    asked = ("groove", "--style", "J Dilla", "--tempo", "88", "--bars", "4", "--seed", "1")
    answer = tutti(*asked, "-o", "beat.mid")
    assert answer.returncode == 0, answer.stderr
    assert "4 bars, 88 bpm, seed 1" in answer.stdout
    assert tutti(*asked, "-o", "again.mid").returncode == 0
    assert (tmp_path / "beat.mid").read_bytes() == (tmp_path / "again.mid").read_bytes()
    file = mido.MidiFile(tmp_path / "beat.mid")
    assert file.type == 1
    assert file.length == pytest.approx(16 * 60 / 88, abs=0.01)
    answer = tutti(*asked, "-o", "all/", "-f", "mid,quantised.mid,template.mid,json,png,wav")
    assert answer.returncode == 0, answer.stderr
    written = [path for path in (tmp_path / "all").iterdir() if path.stat().st_size > 100]
    assert len(written) == 6


def test_a_pattern_goes_through_every_task(tutti: Run, tmp_path: Path) -> None:
    assert tutti("groove", "--style", "funk", "--bars", "2", "--seed", "5", "-o", "beat.mid").returncode == 0
    for task in ("continue", "vary", "humanise", "answer"):
        answer = tutti("groove", task, "beat.mid", "--bars", "2", "--seed", "6", "--json")
        assert answer.returncode == 0, answer.stderr
        line = json.loads(answer.stdout)
        assert line["task"] == task
        assert line["bars"] == 2
        assert (tmp_path / f"beat.{task}.mid").exists()


def test_every_style_plays_within_its_means() -> None:
    for name in list_available_styles():
        groove = tutti.groove(name, bars=4, seed=2)
        assert groove.pattern.bars == 4
        assert len(groove.pattern) >= 12, name
        assert get_model_path(name).is_file()


def test_what_the_network_plays_can_be_played_and_drifts_as_drummers_do() -> None:
    groove = tutti.groove("funk", bars=8, seed=11, count=8)
    assert sum(is_valid(found) for found in groove.findings) >= 6
    drift = [features_of(pattern)["kit_lag1"] for pattern in groove]
    assert sum(drift) / len(drift) > 0.15  # independent jitter has none
    assert len({pattern.hits for pattern in groove}) == 8


def test_humanise_keeps_the_strokes_of_a_real_take_and_moves_them() -> None:
    pattern, _ = read_pattern(next(path for path in TAKES if "funk" in path.name))
    pattern = pattern.cut(0, 4)
    groove = tutti.groove(prompt=pattern, task="humanise", seed=3)

    def struck(one: Pattern) -> list[tuple[int, int, int]]:
        return sorted((stroke.bar, stroke.step, stroke.voice) for stroke, _ in tokenizer().struck(one))

    assert struck(groove.pattern) == struck(pattern)
    assert groove.pattern.hits != pattern.hits


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--style", "J Dila"), 2, "Did you mean 'J Dilla'?"),
        (("--tempo", "0"), 2, "tempo_bpm"),
        (("--tempo", "nan"), 2, "tempo_bpm"),
        (("--tempo", "1000"), 2, "tempo_bpm"),
        (("--bars", "0"), 2, "bars"),
        (("--bars", "10000"), 2, "bars"),
        (("--temperature", "-1"), 2, "temperature"),
        (("--top-p", "0"), 2, "top_p"),
        (("--top-p", "1.5"), 2, "top_p"),
        (("--model", "missing.pt"), 1, "nothing stands in for it"),
        (("--model", "tutti-notes"), 2, "not for groove"),
        (("continue", "nowhere.mid"), 1, "nowhere.mid"),
        (("continue", "broken.mid"), 1, "broken.mid"),
        (("continue", "empty.mid"), 1, "empty.mid"),
        (("continue", "piano.mid"), 1, "channel 10"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    arguments: tuple[str, ...], code: int, said: str, tutti: Run, tmp_path: Path
) -> None:
    (tmp_path / "broken.mid").write_bytes(b"MThd nothing")
    (tmp_path / "empty.mid").write_bytes(b"")
    piano = mido.MidiFile()
    piano.tracks.append(mido.MidiTrack([mido.Message("note_on", note=60), mido.Message("note_off", note=60, time=480)]))
    piano.save(tmp_path / "piano.mid")
    before = sorted(tmp_path.iterdir())
    answer = tutti("groove", *arguments)
    assert answer.returncode == code, answer.stderr
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
    assert sorted(tmp_path.iterdir()) == before
