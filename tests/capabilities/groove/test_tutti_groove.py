"""The network over strokes: what is one event, that a row is the same in any batch, and that nothing hears ahead."""

import pytest
import torch

from tests.capabilities.groove.small_groove import small_network, take
from tutti.capabilities.groove.recall import contexts_of
from tutti.capabilities.groove.tokens import Conditions, tokenizer

T = tokenizer()


def given(*rows: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, rows))
    padded = [row + [T.pad_id] * (longest - len(row)) for row in rows]
    return torch.tensor(padded), torch.tensor([contexts_of(row) for row in padded])


def row_of(name: str, bars: int) -> list[int]:
    return T.encode(take(name).cut(0, bars), Conditions("funk", bpm=100))


def test_an_event_is_a_stroke_a_bar_line_or_all_conditions() -> None:
    ids, ends = row_of("funk", 2), small_network().ends
    strokes = sum(T.tokens[token].startswith("PitchDrum") for token in ids)
    assert ends[ids].sum() == 1 + 2 + strokes + 1  # conditions, bars, strokes, the end
    last = {T.tokens[token].partition("_")[0] for token in ids if ends[token]}
    assert last == {"Density", "Bar", "Velocity", "EOS"}


@torch.no_grad()
def test_a_row_is_the_same_in_any_batch() -> None:
    network, rows = small_network(layers=2), [row_of("funk", 1), row_of("jazz", 3)]
    together = network(*given(*rows))
    for row, whole in zip(rows, together, strict=True):
        torch.testing.assert_close(network(*given(row))[0], whole[: len(row)], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("at", [20, 21, 22, 23, 24])
@torch.no_grad()
def test_no_token_hears_a_later_one_and_all_hear_the_first(at: int) -> None:
    network, row = small_network(layers=2), row_of("funk", 2)
    ids, contexts = given(row)
    before = network(ids, contexts)[0]
    other = ids.clone()
    other[0, at] = T.vocab["PitchDrum_49"] if ids[0, at] != T.vocab["PitchDrum_49"] else T.vocab["PitchDrum_36"]
    if network.ends[int(other[0, at])] != network.ends[row[at]]:  # the same events, else all is moved
        other[0, at] = T.vocab["Velocity_3"]
    after = network(other, contexts)[0]
    torch.testing.assert_close(before[:at], after[:at])
    assert (before[at:] - after[at:]).abs().amax(-1).min() > 1e-5


def test_what_is_learnt_reaches_every_part() -> None:
    network = small_network().train()
    ids, contexts = given(row_of("funk", 3))
    network(ids, contexts).square().mean().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()] == []
