"""A small network inside a larger one: alike at first, and free to learn more."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import TINY_DRUMS
from tutti.capabilities.drums.models.tutti_drums import DrumsNet, DrumsNetConfig
from tutti.errors import TrainingError
from tutti.training.growth import grow_from

SMALL = DrumsNetConfig(**TINY_DRUMS)  # type: ignore[arg-type]
LARGE = DrumsNetConfig(
    stem=SMALL.stem + 3,
    column=SMALL.column + 1,
    width=SMALL.width + 5,
    dilations=(*SMALL.dilations, 1, 2),
    kernel=SMALL.kernel,
)


@pytest.fixture
def learnt(tmp_path: Path) -> tuple[DrumsNet, Path]:
    """A network with nothing at its initial value, and its file."""
    torch.manual_seed(2)
    network = DrumsNet(SMALL).eval()
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand_like(value) * 0.4 + 0.1)
    save_file(network.state_dict(), tmp_path / "small.safetensors")
    return network, tmp_path / "small.safetensors"


def test_a_grown_network_answers_as_the_small_one_did(learnt: tuple[DrumsNet, Path]) -> None:
    small, path = learnt
    large = DrumsNet(LARGE).eval()
    levels = torch.rand(1, 2, 60, 85)
    assert not torch.allclose(large(levels).onset, small(levels).onset, atol=1e-2)
    grow_from(large, path)
    for grown, known in zip(large(levels), small(levels), strict=True):
        assert torch.allclose(grown, known, atol=1e-4)


def test_what_is_new_in_a_grown_network_can_learn(learnt: tuple[DrumsNet, Path]) -> None:
    _, path = learnt
    large = DrumsNet(LARGE)
    grow_from(large, path)
    optimiser = torch.optim.Adam(large.parameters(), lr=1e-3)
    for _ in range(3):  # what listens to new channels moves first, then the new channels themselves
        optimiser.zero_grad()
        large(torch.rand(2, 2, 60, 85)).onset.pow(2).mean().backward()
        optimiser.step()
    for name in ("attack.0.weight", "join.0.weight", "context.0.body.2.weight"):
        gradient = large.get_parameter(name).grad
        assert gradient is not None
        assert gradient[-1].abs().max() > 0, name
    last = large.get_parameter(f"context.{len(LARGE.dilations) - 1}.body.4.weight")
    assert last.abs().max() > 0


def test_a_larger_or_another_network_is_no_start(tmp_path: Path) -> None:
    save_file(DrumsNet(LARGE).state_dict(), tmp_path / "large.safetensors")
    small = DrumsNet(SMALL)
    before = {name: value.clone() for name, value in small.state_dict().items()}
    save_file({}, tmp_path / "empty.safetensors")
    for name in ("large", "empty"):
        with pytest.raises(TrainingError, match="no smaller network of this kind"):
            grow_from(small, tmp_path / f"{name}.safetensors")
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())
