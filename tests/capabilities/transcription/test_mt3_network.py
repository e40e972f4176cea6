import pytest
import torch

from tests.capabilities.transcription.upstream import SMALL
from tutti.capabilities.transcription.models.mt3_network import MemoryNetwork, Mt3Network
from tutti.nets.t5_config import T5Config, position_table

CONFIG = T5Config(**{**SMALL, "positions": "stored"})  # type: ignore[arg-type]


def memory_network(rows: int) -> MemoryNetwork:
    torch.manual_seed(1)
    return MemoryNetwork(CONFIG, 12, rows).eval()


@torch.inference_mode()
def test_frames_become_states_of_one_channel() -> None:
    torch.manual_seed(1)
    frames = torch.randn(2, 9, 12)
    network = Mt3Network(CONFIG, 12).eval()
    assert network.projection is not None
    states = network.encode(frames)
    assert states.shape == (2, 1, 9, 32)
    assert torch.equal(states[:, 0], network.encoder(network.projection(frames)))


@torch.inference_mode()
def test_frames_that_are_wide_already_go_straight_in() -> None:
    torch.manual_seed(1)
    frames = torch.randn(2, 9, 32)
    network = Mt3Network(CONFIG, None).eval()
    assert not any("projection" in name for name in network.state_dict())
    assert torch.equal(network.encode(frames)[:, 0], network.encoder(frames))


@torch.inference_mode()
@pytest.mark.parametrize("rows", [0, 1, 64])
def test_the_memory_stands_behind_the_states(rows: int) -> None:
    network = memory_network(rows)
    states, previous = torch.randn(3, 1, 9, 32), torch.randint(0, 48, (3, 1024))
    remembered = network.remember(states, previous)
    assert remembered.shape == (3, 1, 9 + rows, 32)
    assert torch.equal(remembered[:, :, :9], states)


@torch.inference_mode()
def test_the_memory_is_one_block_over_all_that_was_written() -> None:
    """Step by step as MR-MT3's authors describe it: embed, project, add positions, one block, norm, cut."""
    network = memory_network(5)
    previous = torch.randint(0, 48, (2, 1024))
    x = network.decoder.embedding(previous) @ network.memory_projection.weight.T
    x = x + torch.from_numpy(position_table("stored", 32)[:1024])
    (block,) = network.memory.blocks
    expected = network.memory.norm(block(x))[:, :5]
    found = network.remember(torch.zeros(2, 1, 0, 32), previous)[:, 0]
    torch.testing.assert_close(found, expected)


@torch.inference_mode()
def test_padding_and_what_is_cut_off_shape_the_memory() -> None:
    network, states = memory_network(2), torch.zeros(1, 1, 3, 32)
    previous = torch.randint(3, 48, (1, 1024))
    changed = previous.clone()
    changed[0, 1000] = 0
    first, second = (network.remember(states, tokens)[0, 0, 3:] for tokens in (previous, changed))
    assert (first - second).abs().max() > 1e-5
