"""The recipes of `drums` and `beats` from their material to validated weights, on a bank of sines and clicks."""

import json
import multiprocessing.dummy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import TINY_BEATS, TINY_DRUMS
from tutti.capabilities.drums import train as drums_recipe
from tutti.capabilities.drums.decode import FAMILIES, Calibration, Thresholds
from tutti.capabilities.drums.models.tutti_drums import DrumsNet, DrumsNetConfig
from tutti.datasets.scene_shards import SceneShards
from tutti.errors import TrainingError
from tutti.listening.beat_net import BeatNet, BeatNetConfig
from tutti.listening.beats import Tracking
from tutti.training import beats as beats_recipe
from tutti.training import scenes
from tutti.training.recipes import read_recipe
from tutti.weights.opening import open_strict

ROOT = Path(__file__).parents[2]
RECIPES = {"drums": drums_recipe, "beats": beats_recipe}
NETWORKS = {
    "drums": lambda: DrumsNet(DrumsNetConfig(**TINY_DRUMS)),  # type: ignore[arg-type]
    "beats": lambda: BeatNet(BeatNetConfig(**TINY_BEATS)),  # type: ignore[arg-type]
}
LEARNING = {
    "drums": "crop_frames = 128\nvalidation_pieces = 2\nvalidation_frames = 300\n",
    "beats": "crop_frames = 256\nvalidation_pieces = 3\n",
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("material") / "corpus"


@pytest.fixture
def recipe(
    drum_bank: Path, groove_root: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Path]]:
    """Recipes of three steps; all share one corpus, made by whoever comes first."""
    for name in ("build_bank", "build_drum_voices", "build_struck"):
        monkeypatch.setattr(scenes, name, lambda *_: iter(()))  # the bank is already there
    in_threads = SimpleNamespace(get_context=lambda _: multiprocessing.dummy)
    monkeypatch.setattr(scenes, "multiprocessing", in_threads)
    threads = torch.get_num_threads()

    def write(name: str, corpus: Path = corpus, steps: int = 3, **changes: str) -> Path:
        network = {**(TINY_DRUMS if name == "drums" else TINY_BEATS)}
        lines = [f"{key} = {list(value) if isinstance(value, tuple) else value}" for key, value in network.items()]
        text = (
            f'seed = 3\n[material]\ngroove_midi = "{groove_root}"\nbank = "{drum_bank}"\nheld_out_kits = ["held_"]\n'
            f'corpus = "{corpus}"\nshards = 1\nvalidation_shards = 1\nscenes_per_shard = 2\n'
            "scene_s = 5.5\nprocesses = 1\n"
            "[network]\n" + "\n".join(lines) + f"\n[learning]\nsteps = {steps}\nbatch = 2\nlearning_rate = 1e-3\n"
            "warmup_steps = 2\n" + LEARNING[name]
        )
        for old, new in changes.items():
            assert f"\n{old} = " in f"\n{text}"
            text = "\n".join(f"{old} = {new}" if line.startswith(f"{old} = ") else line for line in text.split("\n"))
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        return path

    yield write
    torch.set_num_threads(threads)


def losses_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["drums", "beats"])
def test_a_recipe_makes_its_material_trains_and_validates(
    name: str, recipe: Callable[..., Path], tmp_path: Path
) -> None:
    weights = RECIPES[name].train(recipe(name), tmp_path / "run", device="cpu")
    assert weights == tmp_path / "run" / f"tutti-{name}.safetensors"
    open_strict(NETWORKS[name](), weights, "tiny")
    assert [line["step"] for line in losses_of(tmp_path / "run")] == [1, 2, 3]
    assert all(np.isfinite(list(line.values())).all() for line in losses_of(tmp_path / "run"))
    report = json.loads((tmp_path / "run" / "validation.json").read_text())
    if name == "drums":
        assert set(report["thresholds"]) == set(report["onset_f1"]) == set(FAMILIES)
        Thresholds(**report["thresholds"])
        assert len(Calibration(**report["calibration"]).slope) == len(FAMILIES)
        assert all(0 <= score <= 1 for score in report["onset_f1"].values())
    else:
        Tracking(**report["tracking"])
        assert 0 <= report["downbeat_f1"] <= 1
        assert 0 <= report["beat_f1"] <= 1


@pytest.mark.parametrize("name", ["drums", "beats"])
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    name: str, recipe: Callable[..., Path], tmp_path: Path
) -> None:
    module = RECIPES[name]
    path = recipe(name)
    whole = module.train(path, tmp_path / "whole", device="cpu")
    module.train(path, tmp_path / "cut", device="cpu", max_minutes=0)
    assert [line["step"] for line in losses_of(tmp_path / "cut")] == [1]
    checkpoint = tmp_path / "cut" / "checkpoint.ckpt"
    resumed = module.train(path, tmp_path / "cut", device="cpu", resume=checkpoint)
    assert losses_of(tmp_path / "cut") == losses_of(tmp_path / "whole")
    one, other = load_file(whole), load_file(resumed)
    assert all(torch.equal(one[key], other[key]) for key in one)
    with pytest.raises(TrainingError, match="done all its 3 steps"):
        module.train(path, tmp_path / "elsewhere", device="cpu", resume=checkpoint)


def test_a_recipe_may_begin_with_weights_that_are_there(recipe: Callable[..., Path], tmp_path: Path) -> None:
    first = drums_recipe.train(recipe("drums"), tmp_path / "first", device="cpu")
    path = recipe("drums", learning_rate="1e-9")
    path.write_text(path.read_text().replace("[learning]", f'[learning]\nstart = "{first}"'))
    second = drums_recipe.train(path, tmp_path / "second", device="cpu")
    began, ended = load_file(first), load_file(second)
    parameters = [name for name, _ in NETWORKS["drums"]().named_parameters()]
    assert all(torch.allclose(began[name], ended[name], atol=1e-6) for name in parameters)


@pytest.mark.parametrize(("key", "value"), [("seed", "4"), ("scene_s", "5.6"), ("held_out_kits", '["kit"]')])
def test_a_corpus_of_another_recipe_is_not_taken_for_ones_own(
    key: str, value: str, recipe: Callable[..., Path], tmp_path: Path
) -> None:
    drums_recipe.train(recipe("drums"), tmp_path / "run", device="cpu", max_minutes=0)
    with pytest.raises(TrainingError, match=rf"was drawn with another {key}\. Delete it or name a new folder"):
        drums_recipe.train(recipe("drums", **{key: value}), tmp_path / "other", device="cpu")
    assert not (tmp_path / "other").exists()


def test_a_corpus_whose_strokes_say_less_is_refused(recipe: Callable[..., Path], corpus: Path, tmp_path: Path) -> None:
    drums_recipe.train(recipe("drums"), tmp_path / "run", device="cpu", max_minutes=0)
    old = tmp_path / "old"
    shutil.copytree(corpus, old)
    claim = json.loads((old / "corpus.json").read_text())
    del claim["strokes"]
    (old / "corpus.json").write_text(json.dumps(claim))
    with pytest.raises(TrainingError, match="was drawn with another strokes"):
        drums_recipe.train(recipe("drums", corpus=old), tmp_path / "other", device="cpu")


def test_only_shards_that_are_missing_are_made(recipe: Callable[..., Path], corpus: Path, tmp_path: Path) -> None:
    drums_recipe.train(recipe("drums"), tmp_path / "run", device="cpu", max_minutes=0)
    path = corpus / "validation" / "shard_00000.npy"
    kept, levels = (corpus / "train" / "shard_00000.npy").stat().st_mtime_ns, np.load(path)
    path.with_suffix(".json").unlink()
    beats_recipe.train(recipe("beats"), tmp_path / "beats", device="cpu", max_minutes=0)
    assert (corpus / "train" / "shard_00000.npy").stat().st_mtime_ns == kept
    assert np.array_equal(np.load(path), levels)


@pytest.mark.parametrize("name", ["drums", "beats"])
def test_missing_takes_and_held_out_kits_are_named_before_anything_is_learnt(
    name: str, recipe: Callable[..., Path], tmp_path: Path
) -> None:
    missing = recipe(name, corpus=tmp_path / "one", groove_midi=f'"{tmp_path / "gone"}"')
    with pytest.raises(TrainingError, match=r"info\.csv"):
        RECIPES[name].train(missing, tmp_path / "run", device="cpu")
    nobody = recipe(name, corpus=tmp_path / "two", held_out_kits='["nobody"]')
    with pytest.raises(TrainingError, match="nobody"):
        RECIPES[name].train(nobody, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_an_odd_recipe_is_refused(recipe: Callable[..., Path], tmp_path: Path) -> None:
    path = recipe("drums")
    path.write_text(path.read_text().replace("stem = 2", "stems = 2"))
    with pytest.raises(TrainingError, match=r"not a recipe:(.|\n)*network\.stems"):
        drums_recipe.train(path, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_batches_follow_from_the_step_alone(recipe: Callable[..., Path], corpus: Path, tmp_path: Path) -> None:
    drums_recipe.train(recipe("drums"), tmp_path / "run", device="cpu", max_minutes=0)
    shards = SceneShards(corpus / "train", 1)
    drums = read_recipe(recipe("drums"), drums_recipe.DrumsRecipe)
    beats = read_recipe(recipe("beats"), beats_recipe.BeatsRecipe)
    for make, of in ((drums_recipe.batch_of, drums), (beats_recipe.batch_of, beats)):
        first, again, other = (make(of, shards, step) for step in (5, 5, 6))  # type: ignore[operator]
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert not torch.equal(first["levels"], other["levels"])
        assert 0 <= float(first["levels"].min()) <= float(first["levels"].max()) <= 2
    ahead = scenes.Ahead(lambda step: drums_recipe.batch_of(drums, shards, step))
    for step in (5, 6, 9, 9):
        made, expected = ahead(step), drums_recipe.batch_of(drums, shards, step)
        assert all(torch.equal(made[name], expected[name]) for name in made)


def test_beat_targets_lie_where_the_network_answers() -> None:
    beat, downbeat = beats_recipe.beat_targets([(0.205, 1), (0.8, 2), (5.0, 1)], 50)
    assert np.flatnonzero(beat == 1).tolist() == [10, 40]  # frame t answers for t/50 s and 10 ms after it
    assert np.flatnonzero(downbeat == 1).tolist() == [10]
    assert (downbeat <= beat).all()
    assert beats_recipe.beat_targets([], 50)[0].sum() == 0


def test_what_is_stretched_keeps_beats_and_sound_in_step(recipe: Callable[..., Path]) -> None:
    learning = read_recipe(recipe("beats"), beats_recipe.BeatsRecipe).learning
    levels = np.zeros((2, 320, 85), np.float32)
    levels[:, [100, 200]] = 1.0
    mix = beats_recipe.Mix(levels, (), ((1.0, 1), (2.0, 2)))
    for seed in range(5):
        found = beats_recipe._stretched(mix, learning, np.random.default_rng(seed))
        assert found.levels.shape == (2, 256, 85)
        loud = np.flatnonzero(found.levels[0, :, 0] > 0.3)
        for time_s, _ in found.beats:
            if time_s < 2.5:
                assert np.abs(loud * 0.01 - time_s).min() < 0.011


@pytest.mark.parametrize(
    ("path", "kind", "config"),
    [
        ("recipes/tutti-drums.toml", drums_recipe.DrumsRecipe, DrumsNetConfig()),
        ("recipes/tutti-beats.toml", beats_recipe.BeatsRecipe, BeatNetConfig()),
    ],
)
def test_the_shipped_recipes_fit_the_shipped_networks(path: str, kind: Any, config: Any) -> None:
    assert read_recipe(ROOT / path, kind).network == config
