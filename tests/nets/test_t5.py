"""The stacks against formulas written out, and the stepper against the stack."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tutti.nets.t5 import Attention, GatedFeedForward, T5Decoder, T5Encoder
from tutti.nets.t5_config import MAX_POSITIONS, T5Config, position_table
from tutti.nets.t5_stepping import PackedDecoder, T5Stepper

CONFIG = T5Config(vocabulary=40, width=24, heads=3, head_width=8, feed_forward=32, encoder_layers=2, decoder_layers=2)


@pytest.fixture
def decoder() -> T5Decoder:
    torch.manual_seed(0)
    return T5Decoder(CONFIG).eval()


@pytest.fixture
def states() -> torch.Tensor:
    return torch.randn(4, 10, CONFIG.width, generator=torch.Generator().manual_seed(1))


def test_position_tables() -> None:
    for kind, divisor in (("magenta", 255), ("stored", 256)):
        table = position_table(kind, 512)  # type: ignore[arg-type]
        assert table.shape == (MAX_POSITIONS, 512)
        for position, column in ((0, 0), (1, 3), (700, 100), (2047, 255)):
            angle = position * math.exp(-math.log(10_000) * column / divisor)
            assert table[position, column] == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[position, 256 + column] == pytest.approx(math.cos(angle), abs=1e-6)


def test_the_tables_differ_as_published() -> None:
    """Reference: the relative gap grows from 2.4 % below 64 to 48 % from 512 on."""
    magenta, stored = position_table("magenta", 512), position_table("stored", 512)
    for first, last, gap in ((1, 64, 0.024), (64, 256, 0.109), (256, 512, 0.249), (512, 1024, 0.48)):
        apart = np.linalg.norm(magenta[first:last] - stored[first:last]) / np.linalg.norm(magenta[first:last])
        assert apart == pytest.approx(gap, rel=0.03)


def test_attention_is_not_divided_by_the_root_of_the_head_width() -> None:
    torch.manual_seed(0)
    attention, x, y = Attention(CONFIG), torch.randn(1, 3, CONFIG.width), torch.randn(1, 5, CONFIG.width)
    q, k, v = attention.q(x), attention.k(y), attention.v(y)
    heads = []
    for head in range(3):
        part = slice(8 * head, 8 * head + 8)
        heads.append((q[..., part] @ k[..., part].transpose(1, 2)).softmax(-1) @ v[..., part])
    torch.testing.assert_close(attention(x, y), attention.o(torch.cat(heads, -1)))


def test_feed_forward_is_gated_by_a_tanh_gelu() -> None:
    torch.manual_seed(0)
    feed, x = GatedFeedForward(CONFIG), torch.randn(2, CONFIG.width)
    gate = feed.gate(x)
    gelu = 0.5 * gate * (1 + torch.tanh(math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3)))
    torch.testing.assert_close(feed(x), feed.down(gelu * feed.up(x)))


def test_the_decoder_sees_no_later_token(decoder: T5Decoder, states: torch.Tensor) -> None:
    tokens = torch.randint(0, 40, (4, 9))
    changed = tokens.clone()
    changed[:, 5:] = 1
    torch.testing.assert_close(decoder(tokens, states)[:, :5], decoder(changed, states)[:, :5])


def test_the_encoder_knows_where_a_frame_is() -> None:
    torch.manual_seed(0)
    encoder = T5Encoder(CONFIG).eval()
    frames = torch.ones(1, 6, CONFIG.width)
    heard = encoder(frames)
    assert not torch.allclose(heard[0, 0], heard[0, 5])


def stepped(stepper: T5Stepper, tokens: torch.Tensor) -> torch.Tensor:
    count = len(tokens)
    at = range(tokens.shape[1])
    return torch.stack([stepper.logits(tokens[:, i], torch.full((count,), i)) for i in at], dim=1)


def test_steps_are_the_stack(decoder: T5Decoder, states: torch.Tensor) -> None:
    tokens = torch.randint(0, 40, (4, 150))  # beyond the room that is made first, twice
    stepper = T5Stepper(PackedDecoder(decoder), 4)
    stepper.place(0, list(states))
    with torch.inference_mode():
        torch.testing.assert_close(stepped(stepper, tokens), decoder(tokens, states), atol=2e-5, rtol=1e-4)


def test_rows_at_different_positions_do_not_mix(decoder: T5Decoder, states: torch.Tensor) -> None:
    """One row is at 7 when another begins in the place of a third, and one moves."""
    tokens = torch.randint(0, 40, (4, 12))
    stepper = T5Stepper(PackedDecoder(decoder), 3)
    stepper.place(0, [states[0], states[1]])
    with torch.inference_mode():
        expected = decoder(tokens, states)
        for i in range(7):
            stepper.logits(tokens[:2, i], torch.full((2,), i))
        stepper.move(1, 0)
        stepper.place(1, [states[2], states[3]])
        for i in range(5):
            given = torch.stack([tokens[1, 7 + i], tokens[2, i], tokens[3, i]])
            logits = stepper.logits(given, torch.tensor([7 + i, i, i]))
            wanted = torch.stack([expected[1, 7 + i], expected[2, i], expected[3, i]])
            torch.testing.assert_close(logits, wanted, atol=2e-5, rtol=1e-4)


def test_the_two_likeliest_and_what_is_banned(decoder: T5Decoder, states: torch.Tensor) -> None:
    with torch.inference_mode():
        answer = decoder(torch.zeros((4, 1), dtype=torch.int64), states)[:, 0]
    best = answer.argmax(1).tolist()
    free, bound = T5Stepper(PackedDecoder(decoder), 4), T5Stepper(PackedDecoder(decoder), 4, np.array([best[0]]))
    for stepper in (free, bound):
        stepper.place(0, list(states))
    zeros = np.zeros(4, np.int64)
    ids, log_probs = free.step(zeros, zeros)
    order = answer.argsort(dim=1, descending=True)[:, :2]
    np.testing.assert_array_equal(ids, order)
    np.testing.assert_allclose(log_probs, answer.log_softmax(1).gather(1, order), rtol=1e-4, atol=1e-5)
    assert best[0] not in bound.step(zeros, zeros)[0]


def test_equals_go_to_the_first(decoder: T5Decoder, states: torch.Tensor) -> None:
    with torch.no_grad():
        decoder.logits.weight[5:9] = decoder.logits.weight[5]
        decoder.logits.weight[9:] = 0
        decoder.logits.weight[:5] = 0
    stepper = T5Stepper(PackedDecoder(decoder), 4)
    stepper.place(0, list(states))
    ids, _ = stepper.step(np.zeros(4, np.int64), np.zeros(4, np.int64))
    assert {tuple(pair) for pair in ids.tolist()} <= {(5, 6), (0, 1)}


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_fewer_bits_are_near(decoder: T5Decoder, states: torch.Tensor, precision: str) -> None:
    tokens = torch.randint(0, 40, (4, 20))
    stepper = T5Stepper(PackedDecoder(decoder, precision), 4)  # type: ignore[arg-type]
    stepper.place(0, list(states))
    with torch.inference_mode():
        apart, exact = stepped(stepper, tokens), decoder(tokens, states)
    error = float((apart - exact).pow(2).mean().sqrt() / exact.std())
    assert 1e-4 < error < 0.05  # other numbers, the same answers
