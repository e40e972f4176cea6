"""What a network is given to learn from, what it is asked for, and that a recipe trains one."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.capabilities.groove.small_groove import TAKES
from tutti.capabilities.groove.generation import load_model
from tutti.capabilities.groove.models.tutti_groove import GrooveNet, GrooveNetConfig
from tutti.capabilities.groove.recall import contexts_of
from tutti.capabilities.groove.tokens import tokenizer
from tutti.capabilities.groove.train import Crops, GrooveLearning, Take, _losses, takes_of, train
from tutti.errors import TrainingError

T = tokenizer()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The takes of tests/data as the dataset lies: every second to learn from, one of them called a fill of rock."""
    root: Path = tmp_path_factory.mktemp("gmd")
    (root / "midi").mkdir()
    rows = ["style,bpm,beat_type,time_signature,midi_filename,split"]
    for number, path in enumerate(TAKES):
        shutil.copy(path, root / "midi" / path.name)
        _, style, bpm, _, metre = path.stem.split("_")
        style, kind = ("rock", "fill") if style == "pop" else (style, "beat")
        rows.append(
            f"{style.replace('-', '/', 1)},{bpm},{kind},{metre},{path.name},{('train', 'validation')[number % 2]}"
        )
    (root / "info.csv").write_text("\n".join(rows))
    return root


@pytest.fixture(scope="module")
def takes(folder: Path) -> list[Take]:
    return takes_of(folder, "train") + takes_of(folder, "validation")


def crops(takes: list[Take], seed: int = 1, **learning: Any) -> Crops:
    return Crops(takes, GrooveLearning(steps=1, **{"batch": 4, **learning}), seed)


def test_takes_say_what_their_drummers_were_asked_for(takes: list[Take]) -> None:
    assert len(takes) == len(TAKES)
    asked = {(take.style, take.substyle) for take in takes}
    assert {("jazz", "swing"), ("soul", "motown"), ("latin", "merengue"), ("rock", None)} <= asked
    assert sum(take.is_fill for take in takes) == 1


def test_a_batch_follows_from_its_number_and_the_seed(takes: list[Take]) -> None:
    one, same, later = (crops(takes).batch(step) for step in (3, 3, 4))
    other = crops(takes, seed=2).batch(3)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["ids"], later["ids"])
    assert not torch.equal(one["ids"], other["ids"])
    assert torch.equal(one["contexts"], torch.tensor([contexts_of(row) for row in one["ids"].tolist()]))


def test_what_is_learnt_from_is_well_formed_and_fits_the_network(takes: list[Take]) -> None:
    drawn, network = crops(takes), GrooveNet(GrooveNetConfig(layers=1, width=16, heads=2))
    rng = np.random.default_rng(0)
    ahead = fills = forgotten = 0
    for bars in (1, 2, 4, 8, 16) * 24:
        ids, head = drawn.sequence(rng, bars)
        assert len(ids) <= 1024 + 12
        assert network.ends[ids].sum() <= network.config.max_length
        assert ids[-1] == T.eos_id
        pattern = T.decode(ids, 100)
        begun = [T.tokens[token] for token in ids[:head]]
        assert ids[head] == T.bar_id
        assert pattern.bars == ids[head:].count(T.bar_id)
        fills += ids.count(T.fill_id) > 0
        forgotten += "Style_None" in begun
        if T.future_id in ids:
            ahead += 1
            assert begun[-1] == "Present_None"
            later = ids[ids.index(T.future_id) : head].count(T.bar_id)
            assert begun[5] in ("Bars_None", f"Bars_{pattern.bars + later}")
    assert ahead > 10
    assert fills > 0
    assert 5 < forgotten < 40


class Knowing(nn.Module):
    """Sure of every next token but for those it is told not to know."""

    def __init__(self, unknown: Tensor) -> None:
        super().__init__()
        self.unknown = unknown

    def forward(self, ids: Tensor, contexts: Tensor) -> Tensor:  # noqa: ARG002
        following = torch.nn.functional.one_hot(self.truth[:, 1:], len(T)).float()
        return (
            100 * following * ~self.unknown[:, 1:, None]
            + 100.0 * (torch.arange(len(T)) == 7) * self.unknown[:, 1:, None]
        )


def test_conditions_fills_and_padding_are_not_asked_for(takes: list[Take]) -> None:
    batch = next(one for step in range(99) if (one := crops(takes).batch(step))["ids"].eq(T.fill_id).any())
    ids, order = batch["ids"], torch.arange(batch["ids"].shape[1])
    given = (order[None] < batch["heads"][:, None]) | (ids == T.pad_id) | (ids == T.fill_id)
    network = Knowing(given)
    network.truth = ids
    assert sum(_losses(network, batch).values()).item() == pytest.approx(0, abs=1e-6)  # type: ignore[union-attr]
    places = (~given).nonzero()
    for row, place in places[:: max(1, len(places) // 12)].tolist():
        network.unknown = given.clone()
        network.unknown[row, place] = True
        if int(ids[row, place]) != 7:
            loss = sum(_losses(network, batch).values())
            assert loss.item() == pytest.approx(100 / len(places), rel=1e-3)  # type: ignore[union-attr]


def test_a_recipe_trains_a_network_that_plays(folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'seed = 1\ngroove_midi = "{folder}"\n[network]\nlayers = 1\nwidth = 32\nheads = 2\ninner_layers = 1\n'
        "[learning]\nsteps = 30\nbatch = 2\ntokens = 128\nwarmup_steps = 2\nlearning_rate = 3e-3\n"
    )
    weights = train(recipe, tmp_path / "run", device="cpu")
    network, metadata = load_model(weights)
    assert isinstance(network, GrooveNet)
    assert metadata["config"]["width"] == 32
    lines = [json.loads(line) for line in (tmp_path / "run" / "losses.jsonl").read_text().splitlines()]
    totals = [sum(value for name, value in line.items() if name != "step") for line in lines]
    assert np.mean(totals[-5:]) < np.mean(totals[:5]) - 0.3
    report = json.loads((tmp_path / "run" / "validation.json").read_text())
    assert report["windows"] > 0
    assert 0 < report["token"] < np.log(len(T))


def test_without_takes_nothing_is_begun(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('seed = 1\ngroove_midi = "nowhere"\n[learning]\nsteps = 1\n')
    with pytest.raises(TrainingError, match="No Groove MIDI Dataset"):
        train(recipe, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
