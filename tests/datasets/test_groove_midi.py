from pathlib import Path

import numpy as np
import pytest

from tutti.datasets.groove_midi import read_take, takes
from tutti.errors import TrainingError
from tutti.music.midi import write_midi
from tutti.music.notes import Note, Notes


def written(path: Path, times_s: list[float], keys: list[int]) -> Path:
    notes = [Note(t, t + 0.05, key, 90, 0, True) for t, key in zip(times_s, keys, strict=True)]
    write_midi(Notes.of(notes), path)
    return path


def test_a_take_is_read_against_its_beats(tmp_path: Path) -> None:
    times_s = [0.25 * row for row in range(33)]  # eighths at 120, and the first of a bar that was not recorded
    take = read_take(written(tmp_path / "t.mid", times_s, [36, 42, 38, 42] * 8 + [36]))
    assert (take.bpm, take.beat_quarters, take.beats_per_bar, take.bars) == (pytest.approx(120), 1, 4, 4)
    assert [position for position, _, _ in take.strokes] == pytest.approx([0.5 * row for row in range(32)], abs=0.003)
    assert [key for _, key, _ in take.strokes[:4]] == [36, 42, 38, 42]


@pytest.mark.parametrize("lead_s", [-0.012, 0.009, 0.02])
def test_a_drummers_own_lead_is_taken_out(tmp_path: Path, lead_s: float) -> None:
    rng = np.random.default_rng(0)
    exact = 0.5 + 0.25 * np.arange(40)
    take = read_take(written(tmp_path / "t.mid", (exact + lead_s + rng.normal(0, 0.003, 40)).tolist(), [42] * 40))
    off = np.array([position for position, _, _ in take.strokes]) - 1
    assert abs(np.mean(off - np.round(off * 2) / 2)) < 0.004


def test_an_empty_take_is_one_empty_bar(tmp_path: Path) -> None:
    take = read_take(written(tmp_path / "t.mid", [], []))
    assert (take.strokes, take.bars) == ((), 1)


def test_splits_are_as_published(groove_root: Path) -> None:
    assert [path.name for path in takes(groove_root, "train")] == ["one.mid"]
    assert [path.name for path in takes(groove_root, "validation")] == ["two.mid"]
    with pytest.raises(TrainingError, match=r"info\.csv is missing"):
        takes(groove_root / "midi", "train")
