"""The blocks against attention written out, against themselves token by token, and against looking ahead."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tutti.nets.causal import CausalBlocks, DenseBlocks, DenseStepper, Stepper

WIDTH, HEADS = 16, 2


def blocks(*, rotary: bool, layers: int = 2, dropout: float = 0.0) -> CausalBlocks:
    torch.manual_seed(0)
    return CausalBlocks(layers, WIDTH, HEADS, 32, dropout=dropout, rotary=rotary).eval()


def states(rows: int = 3, tokens: int = 9) -> Tensor:
    return torch.randn(rows, tokens, WIDTH, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def written_out(network: CausalBlocks, told: Tensor) -> Tensor:
    """Each head of each token by itself."""
    size = WIDTH // HEADS
    for block in network.blocks:
        mixed = block.attention_in(block.attention_norm(told))  # type: ignore[operator]
        answers = torch.zeros_like(told)
        for row in range(told.shape[0]):
            for head in range(HEADS):
                own = slice(head * size, (head + 1) * size)
                query, key, value = (mixed[row, :, part * WIDTH :][:, own].clone() for part in range(3))
                if network.rotary:
                    for place in range(told.shape[1]):
                        for vector in (query[place], key[place]):
                            for pair in range(size // 2):
                                angle = place * 10_000 ** (-2 * pair / size)
                                x, y = vector[pair].item(), vector[pair + size // 2].item()
                                vector[pair] = x * math.cos(angle) - y * math.sin(angle)
                                vector[pair + size // 2] = y * math.cos(angle) + x * math.sin(angle)
                for place in range(told.shape[1]):
                    weights = F.softmax(key[: place + 1] @ query[place] / math.sqrt(size), dim=0)
                    answers[row, place, own] = weights @ value[: place + 1]
        told = told + block.attention_out(answers)  # type: ignore[operator]
        inner = F.gelu(block.dense_in(block.dense_norm(told)), approximate="tanh")  # type: ignore[operator]
        told = told + block.dense_out(inner)  # type: ignore[operator]
    return network.norm(told)  # type: ignore[no-any-return]


@pytest.mark.parametrize("rotary", [True, False])
@torch.no_grad()
def test_blocks_are_pre_norm_attention_and_dense_layers(rotary: bool) -> None:
    network = blocks(rotary=rotary)
    told = states(rows=2, tokens=4)
    torch.testing.assert_close(network(told), written_out(network, told), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rotary", [True, False])
@torch.no_grad()
def test_no_token_hears_a_later_one(rotary: bool) -> None:
    network, told = blocks(rotary=rotary), states()
    other = told.clone()
    other[:, 5:, 0] += 1
    before, after = network(told), network(other)
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert (before[:, 5:] - after[:, 5:]).abs().amax(-1).min() > 1e-3


@pytest.mark.parametrize("rotary", [True, False])
@pytest.mark.parametrize("given", [1, 4])
@torch.no_grad()
def test_token_by_token_is_the_same_as_all_at_once(rotary: bool, given: int) -> None:
    network, told = blocks(rotary=rotary), states()
    whole = network(told)
    cache, stepper = network.cache(3, 9), Stepper(network, 9)
    torch.testing.assert_close(network(told[:, :given], cache), whole[:, :given], atol=1e-5, rtol=1e-4)
    for place in range(given, 9):
        assert cache.used == place
        torch.testing.assert_close(stepper.step(told[:, place], cache), whole[:, place], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_rows_that_are_kept_go_on_as_before() -> None:
    network, told = blocks(rotary=True), states(rows=4)
    whole = network(told)
    cache, stepper = network.cache(4, 9), Stepper(network, 9)
    network(told[:, :6], cache)
    cache.drop(1)  # the last one takes its place: 0, 3, 2
    cache.drop(2)
    for place in range(6, 9):
        stepped = stepper.step(told[[0, 3], place], cache)
        torch.testing.assert_close(stepped, whole[[0, 3], place], atol=1e-5, rtol=1e-4)


def test_dropout_is_for_training_alone() -> None:
    network = blocks(rotary=False, dropout=0.5)
    assert torch.equal(network(states()), network(states()))
    network.train()
    assert not torch.equal(network(states()), network(states()))


@torch.no_grad()
def test_dense_blocks_are_the_dense_half_of_the_others() -> None:
    torch.manual_seed(3)
    network, told = DenseBlocks(2, WIDTH, 32, dropout=0.5).eval(), states()[0]
    expected = told
    for block in network.blocks:
        inner = F.gelu(block.dense_in(block.dense_norm(expected)), approximate="tanh")  # type: ignore[operator]
        expected = expected + block.dense_out(inner)  # type: ignore[operator]
    torch.testing.assert_close(network(told), network.norm(expected))
    torch.testing.assert_close(DenseStepper(network).step(told), network(told), atol=1e-5, rtol=1e-4)
