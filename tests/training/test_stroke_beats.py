"""The recipe of `tutti-stroke-beats`, on the takes of the tests."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import TINY_STROKE_BEATS
from tutti.datasets.drum_performances import Drummer, Performance
from tutti.datasets.groove_midi import DrumTake
from tutti.errors import TrainingError
from tutti.listening.beat_net import StrokeBeatNet, StrokeBeatNetConfig
from tutti.listening.beats import stroke_roll
from tutti.music.drum_hits import DrumHit, DrumHits
from tutti.music.drum_kit import DRUM_CLASSES
from tutti.training import stroke_beats
from tutti.training.recipes import read_recipe
from tutti.training.stroke_beats import StrokeBeatsRecipe, misheard
from tutti.weights.opening import open_strict

ROOT = Path(__file__).parents[2]


@pytest.fixture
def recipe(groove_root: Path, tmp_path: Path) -> Path:
    network = "\n".join(
        f"{key} = {list(value) if isinstance(value, tuple) else value}" for key, value in TINY_STROKE_BEATS.items()
    )
    path = tmp_path / "recipe.toml"
    path.write_text(
        f'seed = 3\n[material]\ngroove_midi = "{groove_root}"\n[network]\n{network}\n[learning]\nsteps = 3\nbatch = 2\n'
        "crop_s = 6\nwarmup_steps = 2\nvalidation_pieces = 3\n"
    )
    return path


def test_a_run_ends_in_weights_and_scores_and_repeats_itself(recipe: Path, tmp_path: Path) -> None:
    made = [stroke_beats.train(recipe, tmp_path / name, device="cpu") for name in ("first", "second")]
    first, second = map(load_file, made)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    open_strict(StrokeBeatNet(StrokeBeatNetConfig(**TINY_STROKE_BEATS)), made[0], "made")  # type: ignore[arg-type]
    report = json.loads((tmp_path / "first" / "validation.json").read_text())
    assert set(report) == {"beat_f1", "downbeat_f1"}
    assert all(0 <= value <= 1 for value in report.values())


def test_a_batch_has_strokes_where_its_beats_are(recipe: Path, groove_root: Path) -> None:
    batch = stroke_beats.batch_of(read_recipe(recipe, StrokeBeatsRecipe), Drummer(groove_root, 6.0, "train"), 0)
    assert batch["strokes"].shape == (2, len(DRUM_CLASSES), 300)
    assert batch["beat"].shape == batch["downbeat"].shape == (2, 300)
    assert (batch["downbeat"] <= batch["beat"]).all()
    assert batch["strokes"].max() > 0.1


def test_a_recording_may_be_heard_from_its_first_bar_on(groove_root: Path) -> None:
    whole, anywhere = Drummer(groove_root, 6.0, "train", 1.0), Drummer(groove_root, 6.0, "train")
    first_places = set()
    for seed in range(20):
        begun = whole.play(np.random.default_rng(seed))
        downbeats_s = [time_s for time_s, place in begun.beats if place == 1]
        first_s = begun.to_seconds(0.0)
        assert first_s == pytest.approx(min(downbeats_s, key=lambda time_s: abs(time_s - first_s)))
        assert -0.1 < first_s < 2.3
        assert min(time_s for time_s, *_ in begun.strokes) > first_s - 0.15
        first_places.add(anywhere.play(np.random.default_rng(seed)).beats[0][1])
    assert len(first_places) > 1


def test_takes_must_be_there(recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(recipe.read_text().replace('groove_midi = "', 'groove_midi = "/nowhere'))
    with pytest.raises(TrainingError, match=r"info\.csv is missing"):
        stroke_beats.train(recipe, tmp_path / "run")


def test_a_listener_loses_soft_strokes_and_keeps_most_loud_ones() -> None:
    take = DrumTake((), 120.0, 1.0, 4, 4)
    strokes = tuple((0.1 * row, 36, 120 if row % 2 else 5) for row in range(200))
    played = Performance(strokes, (), take, float, 0.0)
    kept = [0, 0]
    for seed in range(30):
        heard = misheard(played, np.random.default_rng(seed))
        near = np.array([hit.time_s for hit in heard])
        for row, (time_s, _, _) in enumerate(strokes):
            kept[row % 2] += np.abs(near - time_s).min() < 0.03
    assert kept[1] > 0.85 * 3000
    assert kept[0] < 0.75 * 3000


def test_a_roll_shares_a_stroke_between_two_frames() -> None:
    roll = stroke_roll(
        DrumHits.of([DrumHit(0.205, "snare", 127), DrumHit(0.215, "kick", 64), DrumHit(9.0, "kick", 1)]), 20
    )
    assert roll.shape == (14, 20)
    snare, kick = roll[DRUM_CLASSES.index("snare")], roll[DRUM_CLASSES.index("kick")]
    assert snare[10] == pytest.approx(1.0, abs=1e-3)
    assert kick[10:12].tolist() == pytest.approx([32 / 127, 32 / 127], abs=1e-3)
    assert roll.sum() == pytest.approx(1 + 64 / 127, abs=1e-3)


def test_the_shipped_recipe_fits_the_shipped_network() -> None:
    assert read_recipe(ROOT / "recipes/tutti-stroke-beats.toml", StrokeBeatsRecipe).network == StrokeBeatNetConfig()
