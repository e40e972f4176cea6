"""YourMT3's networks against what upstream's classes answered, and the parts that only they have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.parity.small_yourmt3 import GOLDEN, KEY_LISTS, kept_answers, small_model
from tutti.capabilities.transcription.models import perceiver_tf
from tutti.capabilities.transcription.models.mt3_network import Mt3Network, build_network
from tutti.capabilities.transcription.models.perceiver_config import (
    CHANNEL_NAMES,
    PerceiverConfig,
    RotaryKind,
    rotary_frequencies,
)
from tutti.capabilities.transcription.models.perceiver_tf import (
    Attention,
    Mixture,
    PerceiverNetwork,
    Stem,
    rotary_turns,
    rotate,
)
from tutti.capabilities.transcription.models.renaming import rename
from tutti.nets.folding import fold_batch_norms
from tutti.nets.t5_config import T5Config
from tutti.weights.opening import load_strict

TINY = PerceiverConfig(latents=6, width=32, heads=8, bands=4, stem_channels=8, blocks=1, layers=1, max_frames=20)
TINY_MIXTURE = PerceiverConfig(
    latents=6, width=32, heads=8, bands=4, stem_channels=8, blocks=1, layers=1, experts=4, widening=2
)
TINY_T5 = T5Config(vocabulary=20, width=8, heads=2, head_width=4, feed_forward=8, encoder_layers=0, decoder_layers=1)


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[np.generic]]:
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", KEY_LISTS)
@torch.inference_mode()
def test_states_logits_and_tokens_are_upstream_s(name: str, golden: dict[str, NDArray[np.generic]]) -> None:
    model = small_model(name)
    renamed = rename(model.tensors, model.adapter.names)
    network = build_network(model.adapter).eval()
    load_strict(network, {ours: torch.tensor(model.tensors[theirs]) for ours, theirs in renamed.weights.items()}, name)
    states = network.encode(torch.from_numpy(model.frames))
    rows = states.flatten(0, 1)
    logits = network.decoder(torch.from_numpy(model.teacher).flatten(0, 1), rows)
    expected = {part: golden[f"{name}/{part}"] for part in ("states", "logits", "tokens")}
    tokens = greedy(network, rows, expected["tokens"].shape[-1])
    found = kept_answers({"states": states.numpy(), "logits": logits[None].numpy(), "tokens": tokens[None].numpy()})
    np.testing.assert_allclose(found["states"], expected["states"], atol=1e-4)
    np.testing.assert_allclose(found["logits"], expected["logits"], atol=1e-4)
    np.testing.assert_array_equal(found["tokens"], expected["tokens"])
    assert len(np.unique(found["tokens"], axis=0)) == model.adapter.channels


def greedy(network: Mt3Network | PerceiverNetwork, states: Tensor, length: int) -> Tensor:
    """(rows, length) likeliest tokens, PAD behind EOS; EOS as the first token ends nothing."""
    read = torch.zeros(len(states), 1, dtype=torch.long)
    for _ in range(length):
        read = torch.cat([read, network.decoder(read, states)[:, -1:].argmax(-1)], dim=1)
    written = read[:, 1:]
    ends = (written == 1) & (torch.arange(length) > 0)
    return written.masked_fill((ends.cumsum(1) - ends.long()) > 0, 0)


def tiny(config: PerceiverConfig, channels: int = 3) -> PerceiverNetwork:
    torch.manual_seed(0)
    network = PerceiverNetwork(config, TINY_T5, channels)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2.0)
    return network.eval()


@pytest.mark.parametrize("config", [TINY, TINY_MIXTURE])
@torch.inference_mode()
def test_segments_do_not_hear_each_other(config: PerceiverConfig) -> None:
    network, frames = tiny(config), torch.rand(5, 9, 32)
    states = network.encode(frames)
    assert states.shape == (5, 3, 9, 8)
    alone = torch.cat([network.encode(segment[None]) for segment in frames])
    torch.testing.assert_close(states, alone, atol=1e-5, rtol=0)
    assert (states[0] - states[1]).abs().max() > 1e-2


@torch.inference_mode()
def test_the_convolutions_take_few_segments_at_a_time() -> None:
    network, taken = tiny(TINY), []
    network.stem.register_forward_pre_hook(lambda _, inputs: taken.append(len(inputs[0])))
    network.encode(torch.rand(2 * perceiver_tf.SEGMENTS_AT_ONCE + 1, 9, 32))
    assert taken == [perceiver_tf.SEGMENTS_AT_ONCE] * 2 + [1]


@torch.inference_mode()
def test_nothing_changes_without_batch_norms() -> None:
    network, frames = tiny(TINY), torch.rand(2, 9, 32)
    before = network.encode(frames)
    after = fold_batch_norms(network).encode(frames)  # type: ignore[operator]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_a_channel_reads_its_own_latents() -> None:
    network = tiny(TINY)
    latents = torch.randn(1, 9, TINY.latents, TINY.width)
    network.stem.forward = lambda frames: frames  # type: ignore[method-assign]
    network.encoder.forward = lambda _: latents  # type: ignore[method-assign]
    states = network.encode(torch.zeros(1, 9, 32))
    for channel in range(3):
        own = torch.cat([latents[0, :, 2 * channel], latents[0, :, 2 * channel + 1]], dim=-1)
        torch.testing.assert_close(states[0, channel], network.projection(own))


@torch.inference_mode()
def test_the_stem_halves_the_spectrum_thrice_and_keeps_the_frames() -> None:
    assert Stem(8).eval()(torch.rand(2, 9, 32)).shape == (2, 9, 8, 4)


def test_gradients_flow_though_convolutions_work_in_place() -> None:
    network = tiny(TINY_MIXTURE).train()
    network.decoder(torch.zeros(3, 2, dtype=torch.long), network.encode(torch.rand(1, 9, 32))[0]).sum().backward()
    assert all(parameter.grad is not None for name, parameter in network.named_parameters() if ".experts." not in name)


def mixture() -> tuple[Mixture, Tensor]:
    torch.manual_seed(0)
    return Mixture(TINY_MIXTURE).eval(), torch.randn(3, 7, TINY_MIXTURE.width)


@torch.inference_mode()
def test_a_mixture_is_the_two_likeliest_experts_of_every_place() -> None:
    experts, x = mixture()
    expected = torch.zeros_like(x)
    for place in np.ndindex(3, 7):
        shares = experts.router(x[place]).softmax(-1)
        first, second = shares.argsort(descending=True)[:2].tolist()
        total = shares[first] + shares[second]
        for number in (first, second):
            expected[place] += shares[number] / total * experts.experts[number](x[place])
    torch.testing.assert_close(experts(x), expected, atol=1e-6, rtol=1e-5)


@torch.inference_mode()
def test_an_expert_is_asked_for_its_own_places_alone() -> None:
    experts, x = mixture()
    asked = {}
    for number, expert in enumerate(experts.experts):
        expert.register_forward_hook(lambda _, inputs, __, number=number: asked.update({number: len(inputs[0])}))
    experts(x)
    chosen = experts.router(x.flatten(0, 1)).topk(2).indices.flatten().tolist()
    assert asked == {number: chosen.count(number) for number in range(4)}


@torch.inference_mode()
def test_an_expert_that_nobody_chooses_changes_nothing() -> None:
    experts, x = mixture()
    experts.router.weight[2] = 0
    experts.router.weight[[0, 1, 3]] = torch.randn(3, TINY_MIXTURE.width)
    x = x.abs()
    experts.router.weight[2] = -10  # never among the best two of four where all of x is positive
    before = experts(x)
    for parameter in experts.experts[2].parameters():
        parameter.fill_(torch.nan)
    torch.testing.assert_close(experts(x), before)


@torch.inference_mode()
def test_a_mixture_answers_places_in_any_order_alike() -> None:
    experts, x = mixture()
    shuffled = torch.randperm(7)
    torch.testing.assert_close(experts(x[:, shuffled]), experts(x)[:, shuffled], atol=1e-6, rtol=1e-5)


def test_rotary_tables_are_those_in_the_published_files_to_the_last_digit() -> None:
    """Which of two experts is chosen can hang on it: float32 all the way, as upstream has it."""
    pixel, lang = torch.linspace(1, 5, 2) * torch.pi, 1 / (10_000 ** (torch.arange(0, 4, 2).float() / 4))
    np.testing.assert_array_equal(rotary_frequencies("pixel", 8), pixel.numpy())
    np.testing.assert_array_equal(rotary_frequencies("lang", 8), lang.numpy())
    for kind, places, frequencies in (("pixel", torch.linspace(-1, 1, 26), pixel), ("lang", torch.arange(110), lang)):
        cosines, sines = rotary_turns(kind, 8, len(places))  # type: ignore[arg-type]
        angles = places[:, None] * frequencies
        np.testing.assert_array_equal(cosines, angles.cos().numpy())
        np.testing.assert_array_equal(sines, angles.sin().numpy())


@pytest.mark.parametrize("kind", ["pixel", "lang"])
def test_neighbouring_features_turn_like_complex_numbers(kind: RotaryKind) -> None:
    torch.manual_seed(0)
    queries = torch.randn(2, 8, 11, 16, dtype=torch.float64)
    turned = rotate(queries, kind).numpy()
    frequencies = [np.pi, 5 * np.pi] if kind == "pixel" else [1, 0.01]
    places = np.linspace(-1, 1, 11) if kind == "pixel" else np.arange(11)
    for pair, frequency in enumerate(frequencies):
        x, y = 2 * pair, 2 * pair + 1
        before = queries[..., x].numpy() + 1j * queries[..., y].numpy()
        after = before * np.exp(1j * places * frequency)
        np.testing.assert_allclose(turned[..., x] + 1j * turned[..., y], after, atol=1e-5)
    np.testing.assert_array_equal(turned[..., 4:], queries[..., 4:].numpy())


@torch.inference_mode()
def test_queries_alone_are_turned() -> None:
    """The answer of rotary attention by hand: keys stay, scores are divided by the root of the head's width."""
    torch.manual_seed(0)
    attention = Attention(TINY_MIXTURE, "lang", 32).eval()
    x = torch.randn(1, 5, 32)
    q, k, v = (part(x).view(1, 5, 8, 4).transpose(1, 2) for part in (attention.q, attention.k, attention.v))
    shares = (rotate(q, "lang") @ k.transpose(-1, -2) / 2).softmax(-1)
    torch.testing.assert_close(attention(x, x), attention.o((shares @ v).transpose(1, 2).flatten(2)))


def test_thirteen_channels_and_the_last_is_drums() -> None:
    assert (len(CHANNEL_NAMES), CHANNEL_NAMES[0], CHANNEL_NAMES[-1]) == (13, "Piano", "Drums")
