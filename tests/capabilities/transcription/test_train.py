import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tutti.capabilities.transcription import train as recipe_module
from tutti.capabilities.transcription.models.tutti_notes import NotesNet, NotesNetConfig
from tutti.capabilities.transcription.train import Recipe, train
from tutti.errors import TrainingError
from tutti.training import material
from tutti.training.recipes import read_recipe
from tutti.weights.opening import open_strict

NETWORK = {"stem": 2, "column": 2, "width": 4, "blocks": 1, "spectrum_width": 4, "spectrum_blocks": 1}


@pytest.fixture
def recipe(
    tmp_path: Path, bank: Path, percepiano_root: Path, groove_root: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(
        f'seed = 3\n[material]\npercepiano = "{percepiano_root}"\ngroove_midi = "{groove_root}"\nbank = "{bank}"\n'
        'corpus = "corpus"\nshards = 1\npieces_per_shard = 2\npiece_s = 5.984\nprocesses = 1\nplucked_guitars = 0\n'
        "[network]\n" + "".join(f"{name} = {value}\n" for name, value in NETWORK.items()) + "[learning]\nsteps = 3\n"
        "batch = 2\ncrop_frames = 96\nlearning_rate = 1e-3\nvalidation_pieces = 1\n"
    )
    monkeypatch.setattr(material, "build_bank", lambda *_: iter(()))  # the bank of sines is already there
    return path


def test_a_recipe_makes_its_material_trains_and_validates(recipe: Path, tmp_path: Path) -> None:
    weights = train(recipe, tmp_path / "run", device="cpu")
    open_strict(NotesNet(NotesNetConfig(**NETWORK)), weights, "tiny")
    lines = [json.loads(line) for line in (tmp_path / "run" / "losses.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    report = json.loads((tmp_path / "run" / "validation.json").read_text())
    assert set(report["thresholds"]) == {"onset", "frame", "offset", "drum"}
    assert (tmp_path / "corpus" / "shard_00000.json").exists()


def test_time_runs_out_and_the_run_goes_on_from_there(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run", device="cpu", max_minutes=0)
    train(recipe, tmp_path / "run", device="cpu", resume=tmp_path / "run" / "checkpoint.ckpt")
    lines = [json.loads(line) for line in (tmp_path / "run" / "losses.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]


def test_a_finished_run_cannot_go_on_elsewhere(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run", device="cpu")
    with pytest.raises(TrainingError, match="done all its 3 steps"):
        train(recipe, tmp_path / "other", device="cpu", resume=tmp_path / "run" / "checkpoint.ckpt")


def test_a_run_without_a_checkpoint_or_with_an_odd_network_is_refused(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"No checkpoint at"):
        train(recipe, tmp_path / "run", device="cpu", resume=tmp_path / "run" / "checkpoint.ckpt")
    recipe.write_text(recipe.read_text().replace("stem = 2", "stems = 2"))
    with pytest.raises(TrainingError, match=r"not a recipe:(.|\n)*network\.stems"):
        train(recipe, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "corpus").exists()


def test_missing_scores_are_named_before_anything_is_learnt(recipe: Path, tmp_path: Path, groove_root: Path) -> None:
    train(recipe, tmp_path / "run", device="cpu", max_minutes=0)
    recipe.write_text(recipe.read_text().replace(str(groove_root), str(tmp_path / "gone")))
    with pytest.raises(TrainingError, match=r"info\.csv"):
        train(recipe, tmp_path / "other", device="cpu")
    assert not (tmp_path / "other").exists()


def test_two_pieces_at_once_add_their_powers() -> None:
    tone = np.full((2, 4, 6), 1.2, np.float32)
    assert recipe_module._sum(tone, tone, 0.0) == pytest.approx(np.full((2, 4, 6), 1.2 + 3.01 / 50), abs=1e-4)
    assert recipe_module._sum(tone, tone, -60.0) == pytest.approx(tone, abs=1e-4)
    assert recipe_module._sum(tone, tone, 60.0) == pytest.approx(tone + 60 / 50, abs=1e-4)


@pytest.mark.parametrize("level_db", [-8.0, 0.0, 8.0])
def test_silence_adds_nothing(level_db: float) -> None:
    tone, floor = np.full((2, 4, 6), 1.2, np.float32), np.zeros((2, 4, 6), np.float32)
    assert not recipe_module._sum(floor, floor, level_db).any()
    assert recipe_module._sum(tone, floor, level_db) == pytest.approx(tone, abs=1e-5)
    assert recipe_module._sum(floor, tone, level_db) == pytest.approx(tone, abs=1e-5)


def test_a_corpus_of_another_recipe_is_not_taken_for_ones_own(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run", device="cpu", max_minutes=0)
    recipe.write_text(recipe.read_text().replace("seed = 3", "seed = 4"))
    with pytest.raises(TrainingError, match=r"corpus was drawn with another seed\. Delete it"):
        train(recipe, tmp_path / "other", device="cpu")


def test_batches_follow_from_the_step_alone(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run", device="cpu", max_minutes=0)
    batches = recipe_module._Batches(read_recipe(recipe, Recipe), recipe_module.FeatureShards(tmp_path / "corpus", 1))
    first, again, other = batches(5), batches(5), batches(6)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["frames"], other["frames"])
    assert float(first["frames"].min()) >= 0.0
    assert float(first["frames"].max()) <= 2.0


def test_a_missing_or_malformed_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="No recipe"):
        read_recipe(tmp_path / "no.toml", Recipe)
    (tmp_path / "bad.toml").write_text("seed = 'x'")
    with pytest.raises(TrainingError, match="seed"):
        read_recipe(tmp_path / "bad.toml", Recipe)
    (tmp_path / "broken.toml").write_text("seed = ")
    with pytest.raises(TrainingError, match="not a recipe"):
        read_recipe(tmp_path / "broken.toml", Recipe)


def test_the_shipped_recipe_is_one_and_fits_the_shipped_network() -> None:
    recipe = read_recipe(Path(__file__).parents[3] / "recipes" / "tutti-notes.toml", Recipe)
    assert recipe.network == NotesNetConfig()
