"""How tokens are drawn, and that a cache, a batch and a window change nothing but the time it takes."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from tests.capabilities.groove.small_groove import small_network, take
from tutti.capabilities.groove import sampling as sampling_module
from tutti.capabilities.groove.models import drum_pattern_transformer, tutti_groove
from tutti.capabilities.groove.models.drum_pattern_transformer import (
    DrumPatternTransformer,
    DrumPatternTransformerConfig,
)
from tutti.capabilities.groove.models.tutti_groove import GrooveNet
from tutti.capabilities.groove.recall import contexts_of
from tutti.capabilities.groove.sampling import Sampled, Sampling, sample
from tutti.capabilities.groove.tokens import Conditions, Grammar, tokenizer
from tutti.errors import Cancelled, OptionError

T = tokenizer()


def shares(logits: Sequence[float], sampling: Sampling, barred: Sequence[int] = ()) -> list[float]:
    allowed = np.ones((1, len(logits)), bool)
    allowed[0, list(barred)] = False
    return sampling.shares(np.array([logits], np.float32), allowed)[0].tolist()


def softmax(logits: Sequence[float]) -> NDArray[np.float64]:
    return np.exp(logits) / np.exp(logits).sum()  # type: ignore[no-any-return]


def test_plain_shares_are_the_softmax_of_what_is_allowed() -> None:
    assert shares([1.0, 2.0, 0.5], Sampling()) == pytest.approx(softmax([1.0, 2.0, 0.5]))
    assert shares([1.0, 9.0, 0.5], Sampling(), barred=[1]) == pytest.approx(
        [softmax([1, 0.5])[0], 0, softmax([1, 0.5])[1]]
    )


def test_temperature_zero_takes_the_most_probable_that_is_allowed() -> None:
    assert shares([1.0, 9.0, 3.0], Sampling(temperature=0)) == [0, 1, 0]
    assert shares([1.0, 9.0, 3.0], Sampling(temperature=0), barred=[1]) == [0, 0, 1]
    assert shares([3.0, 3.0, 3.0], Sampling(temperature=0)) == [1, 0, 0]


@pytest.mark.parametrize("temperature", [1e-3, 1e-300, 5e-324])
def test_a_tiny_temperature_is_as_good_as_none(temperature: float) -> None:
    assert shares([-1.0, 9.0, 3.0], Sampling(temperature), barred=[0]) == [0, 1, 0]
    assert shares([-9.0, -1.0, -3.0], Sampling(temperature)) == [0, 1, 0]


def test_temperature_divides_logits() -> None:
    assert shares([1.0, 2.0, 0.5], Sampling(2.0)) == pytest.approx(softmax([0.5, 1.0, 0.25]))
    cool, warm = (-sum(p * math.log(p) for p in shares([1.0, 2.0, 0.5], Sampling(t))) for t in (0.5, 1.5))
    assert cool < warm


def test_the_top_k_stay_and_equals_at_the_edge_with_them() -> None:
    assert shares([4.0, 3.0, 2.0, 1.0], Sampling(top_k=2)) == pytest.approx([*softmax([4, 3]), 0, 0])
    assert shares([4.0, 2.0, 2.0, 1.0], Sampling(top_k=2)) == pytest.approx([*softmax([4, 2, 2]), 0])
    assert shares([4.0, 3.0], Sampling(top_k=50)) == pytest.approx(softmax([4, 3]))
    assert shares([9.0, 4.0, 3.0, 1.0], Sampling(top_k=2), barred=[0]) == pytest.approx([0, *softmax([4, 3]), 0])
    # fewer allowed than k: what is barred stays out
    assert shares([9.0, 4.0, 3.0, 1.0], Sampling(top_k=3), barred=[0, 1, 2]) == [0, 0, 0, 1]


@given(
    st.lists(st.floats(-8, 8), min_size=1, max_size=30),
    st.floats(1e-6, 1, exclude_max=True),
    st.integers(0, 12),
    st.floats(0.1, 2),
)
@settings(max_examples=200, deadline=None)
def test_top_p_keeps_the_smallest_set_that_reaches_it(
    logits: list[float], top_p: float, top_k: int, temperature: float
) -> None:
    before = np.array(shares(logits, Sampling(temperature, top_k)))
    after = np.array(shares(logits, Sampling(temperature, top_k, top_p)))
    kept = after > 0
    assert kept.any()
    assert after.sum() == pytest.approx(1)
    assert before[kept].sum() >= top_p - 1e-9
    least = before[kept].min()
    assert before[before > least].sum() < top_p + 1e-9  # without its least it would not
    assert least > before[~kept].max(initial=0)  # of equals all stay
    assert after[kept] == pytest.approx(before[kept] / before[kept].sum())


def test_of_equals_at_the_edge_of_top_p_all_stay() -> None:
    logits = np.log([0.4, 0.2, 0.2, 0.2]).tolist()
    assert shares(logits, Sampling(top_p=0.3)) == [1, 0, 0, 0]
    assert shares(logits, Sampling(top_p=0.5)) == pytest.approx([0.4, 0.2, 0.2, 0.2])


def test_the_order_is_temperature_then_top_k_then_top_p() -> None:
    logits = np.log([0.5, 0.21, 0.19, 0.05, 0.05]).tolist()
    # after temperature 2 the first has a third: with p = 0.5 it is no longer enough
    assert np.count_nonzero(shares(logits, Sampling(1.0, top_p=0.45))) == 1
    assert np.count_nonzero(shares(logits, Sampling(2.0, top_p=0.45))) == 2
    # among the top 1 it is all there is; by itself it would not reach p
    assert shares(logits, Sampling(1.0, top_k=1, top_p=0.9)) == [1, 0, 0, 0, 0]
    # of the top 3 (0.5, 0.21, 0.19 of 0.9) two reach 0.75; of all, three would be needed
    assert np.count_nonzero(shares(logits, Sampling(1.0, top_k=3, top_p=0.75))) == 2
    assert np.count_nonzero(shares(logits, Sampling(1.0, top_p=0.75))) == 3


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"temperature": -0.1}, "temperature is 0-10"),
        ({"temperature": math.nan}, "temperature is 0-10"),
        ({"temperature": math.inf}, "temperature is 0-10"),
        ({"top_k": -1}, "top_k is at least 0"),
        ({"top_p": 0.0}, "top_p is above 0"),
        ({"top_p": 1.5}, "top_p is above 0"),
        ({"top_p": math.nan}, "top_p is above 0"),
        ({"repetition_penalty": 0.9}, "repetition_penalty is 1-10"),
        ({"repetition_penalty": math.nan}, "repetition_penalty is 1-10"),
        ({"guidance": 0.5}, "guidance is 1-10"),
        ({"guidance": math.nan}, "guidance is 1-10"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        Sampling(**values)


# the loop


def played(
    network: Any,
    seeds: Sequence[int],
    *,
    bars: int = 2,
    sampling: Sampling | None = None,
    prompt: list[int] | None = None,
    **more: Any,
) -> list[Sampled]:
    prompt = prompt or T.header(Conditions(bars=bars))
    guides = [Grammar(T, "4/4", bars) for _ in seeds]
    limit = {"max_length": 2000, **more}
    return sample(network, [prompt] * len(seeds), guides, [(seed,) for seed in seeds], sampling or Sampling(), **limit)


def well_formed(ids: Sequence[int], given: int, bars: int) -> bool:
    pattern = T.decode(ids[given:], 100)
    again = [*(token for bar in T.bar_tokens(pattern) for token in bar), T.eos_id]
    return pattern.bars == bars and again == list(ids[given:])


@dataclass
class Spy:
    """A network that keeps what it was asked and answered: (what, rows, tokens, answer)."""

    network: Any

    def __post_init__(self) -> None:
        self.calls: list[tuple[str, int, int, NDArray[np.float32]]] = []
        self.config, self.layers, self.ends = self.network.config, self.network.layers, self.network.ends
        self.recall, self.parameters = self.network.recall, self.network.parameters

    def __call__(self, ids: Tensor, contexts: Tensor, cache: Any) -> None:
        self.network(ids, contexts, cache)
        self.calls.append(("read", *ids.shape, np.empty(0, np.float32)))

    def step(self, events: Tensor, contexts: Tensor, cache: Any) -> tuple[Tensor, Tensor]:
        answer, heard = self.network.step(events, contexts, cache)
        self.calls.append(("step", *events.shape, answer.numpy()))
        return answer, heard

    def step_within(self, events: Tensor, contexts: Tensor, heard: Tensor) -> Tensor:
        answer: Tensor = self.network.step_within(events, contexts, heard)
        self.calls.append(("within", *events.shape, answer.numpy()))
        return answer

    def answers(self) -> NDArray[np.float32]:
        """(tokens, vocabulary) of a row alone."""
        return np.concatenate([answer for what, *_, answer in self.calls if what != "read"])


def gpt2(max_length: int = 512) -> DrumPatternTransformer:
    torch.manual_seed(2)
    network = DrumPatternTransformer(DrumPatternTransformerConfig(len(T), 2, max_length, 32, 1, 2)).eval()
    torch.nn.init.normal_(network.embedding.weight, std=0.2)  # else the head would only repeat
    return network


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 2e-5), (torch.bfloat16, 0.05)], ids=["fp32", "bf16"])
@pytest.mark.parametrize("made", [small_network, lambda: small_network(layers=2), gpt2], ids=["own", "deeper", "gpt2"])
def test_the_cache_answers_as_a_whole_pass_does(
    made: Any, dtype: torch.dtype, near: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sampling_module, tutti_groove, drum_pattern_transformer):
        monkeypatch.setattr(module, "stepping_dtype", lambda _device: dtype)
    network = made()
    spy = Spy(network)
    prompt = [*T.header(Conditions("funk", bpm=100)), *T.bar_tokens(take("funk"))[0]]
    (row,) = played(spy, [5], prompt=prompt)
    drawn = row.ids[len(prompt) :]
    kinds = Counter(what for what, *_ in spy.calls)
    ends = int(network.ends[drawn].sum())
    assert kinds == {"read": 1, "step": ends, **({"within": len(drawn) - ends} if ends < len(drawn) else {})}
    told = contexts_of(row.ids) if isinstance(network, GrooveNet) else [(0,)] * len(row.ids)
    with torch.no_grad():
        whole = network(torch.tensor([row.ids]), torch.tensor([told]))[0, len(prompt) - 1 : -1]
    np.testing.assert_allclose(spy.answers(), whole, atol=near, rtol=0)


def test_a_step_a_stroke() -> None:
    spy = Spy(small_network())
    (row,) = played(spy, [5])
    strokes = sum(T.tokens[token].startswith("PitchDrum") for token in row.ids)
    assert sum(what == "step" for what, *_ in spy.calls) == strokes + 3  # and conditions and two bar lines


def test_rows_are_what_they_would_be_alone_and_go_when_they_are_done() -> None:
    network = small_network()
    spy = Spy(network)
    rows = played(spy, [1, 2, 3, 4])
    alone = [played(small_network(), [seed])[0] for seed in (1, 2, 3, 4)]
    assert [row.ids for row in rows] == [row.ids for row in alone]
    events = sorted(int(network.ends[row.ids].sum()) for row in rows)
    assert events[0] < events[-1]
    steps = [size for what, size, *_ in spy.calls if what == "step"]
    assert steps == [sum(each > step + 1 for each in events) for step in range(len(steps))]
    assert steps[-1] < 4


def test_guidance_goes_on_from_the_untold_past_the_told() -> None:
    told, untold = T.header(Conditions("funk", bars=2)), T.header(Conditions(bars=2))
    plain = [Spy(small_network()), Spy(small_network())]
    for spy, prompt in zip(plain, (told, untold), strict=True):
        played(spy, [5], prompt=prompt, sampling=Sampling(temperature=0))
    guided = Spy(small_network())
    rows = played(
        guided, [5, 6], prompt=told, untold=[untold] * 2, sampling=Sampling(temperature=0, guidance=3.0), bars=2
    )
    first = guided.calls[0][3]  # before anything is drawn both are as they are alone
    np.testing.assert_allclose(first[:2], [spy.calls[0][3][0] for spy in plain], atol=2e-5)
    np.testing.assert_allclose(first[2:], first[:2], atol=2e-5)
    grammar = Grammar(T, "4/4", 2)
    for token, (_, _, _, answer) in zip(rows[0].ids[7:], guided.calls, strict=False):
        scores = answer[1] + 3 * (answer[0] - answer[1])
        assert token == np.where(grammar.allowed(), scores, -np.inf).argmax()
        grammar.advance(token)
    assert rows[0].ids == rows[1].ids  # nothing is left to chance


def test_guided_rows_are_what_they_would_be_alone() -> None:
    told, untold = T.header(Conditions("funk", bars=2)), T.header(Conditions(bars=2))
    guide: dict[str, Any] = {"prompt": told, "sampling": Sampling(guidance=2.0)}
    rows = played(small_network(), [1, 2, 3, 4], untold=[untold] * 4, **guide)
    alone = [played(small_network(), [seed], untold=[untold], **guide)[0] for seed in (1, 2, 3, 4)]
    assert [row.ids for row in rows] == [row.ids for row in alone]
    assert len({len(row.ids) for row in rows}) > 1
    assert [row.ids for row in rows] != [row.ids for row in played(small_network(), [1, 2, 3, 4], prompt=told)]


@pytest.mark.parametrize("network", [small_network(max_length=48), gpt2(48)], ids=["own", "gpt2"])
@pytest.mark.parametrize("head", [7, 40])
def test_what_outgrows_the_network_goes_on_well_formed(network: Any, head: int) -> None:
    spy = Spy(network)
    rows = played(spy, [1, 2], bars=100, head=head, max_length=20_000)
    for row in rows:
        assert row.stopped == "end"
        assert well_formed(row.ids, 7, 100)
    ends = network.ends.tolist()
    passes = [what for what, *_ in spy.calls]
    assert passes.count("read") > 3
    assert passes.count("read") < len(passes) / 4  # most tokens are a step
    assert sum(ends[token] for token in rows[0].ids) > 3 * 48


def test_what_is_never_forgotten_is_its_head() -> None:
    network = small_network(max_length=48)
    seen: list[list[int]] = []
    network.register_forward_hook(lambda _module, given, _answer: seen.append(given[0][0].tolist()))
    (row,) = played(network, [3], bars=100, head=7, max_length=20_000)
    assert len(seen) > 3
    ends = network.ends
    for ids in seen:
        assert ids[:7] == row.ids[:7]
        tail = ids[7:]
        assert ends[tail].sum() == 48 // 2 - 1  # and the last event, which is a step of its own
        assert ends[tail[-1]]
        begins = [at for at in range(len(row.ids)) if row.ids[at : at + len(tail)] == tail]
        assert any(ends[row.ids[at - 1]] for at in begins)


def test_a_prompt_longer_than_the_network_is_read_from_its_end() -> None:
    bars = [token for bar in T.bar_tokens(take("funk").cut(0, 4)) for token in bar]
    prompt = [*T.header(Conditions()), *bars]
    assert len(prompt) > 200
    (row,) = played(small_network(max_length=64), [1], prompt=prompt)
    assert row.ids[: len(prompt)] == prompt
    assert well_formed(row.ids, len(prompt), 2)


def test_a_seed_decides_and_nothing_else_does() -> None:
    network = small_network()
    first = played(network, [11])[0].ids
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    assert played(network, [11])[0].ids == first
    assert played(network, [12])[0].ids != first
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]
    assert random.getstate() == states[2]


def test_without_temperature_the_seed_says_nothing() -> None:
    cold = Sampling(temperature=0)
    spy = Spy(small_network())
    one, other = (played(spy, [seed], sampling=cold)[0].ids for seed in (1, 2))
    assert one == other
    grammar = Grammar(T, "4/4", 2)
    for token, answer in zip(one[7:], spy.answers()[: len(one) - 7], strict=True):
        assert token == np.where(grammar.allowed(), answer, -np.inf).argmax()
        grammar.advance(token)


def test_max_length_ends_it() -> None:
    (row,) = played(small_network(), [1], bars=8, max_length=40)
    assert (len(row.ids), row.stopped) == (40, "length")
    with pytest.raises(OptionError, match="The prompt has 7 tokens; max_length=7 leaves no room"):
        played(small_network(), [1], max_length=7)


def test_the_check_is_asked_before_each_token_and_may_stop() -> None:
    asked: list[int] = []
    (row,) = played(small_network(), [1], bars=1, check=asked.append)
    assert asked == list(range(len(row.ids) - 7))

    def stop(drawn: int) -> None:
        if drawn == 5:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        played(small_network(), [1], check=stop)


class Free:
    """A guide that allows everything, for ever."""

    is_done = False

    def allowed(self) -> NDArray[np.bool_]:
        return np.ones(len(T), bool)

    def advance(self, token: int) -> None:
        """Nothing to follow."""


class Fast(Free):
    """Plays nothing but velocities, events of one token: its rows are sooner through than others."""

    def allowed(self) -> NDArray[np.bool_]:
        may = np.zeros(len(T), bool)
        may[slice(*T.span("Velocity"))] = True
        return may


def test_rows_of_unlike_density_outgrow_the_network_together() -> None:
    network, prompt = small_network(max_length=16), T.header(Conditions(bars=40))
    guides = [Grammar(T, "4/4", 40), Fast()]
    rows = sample(network, [prompt] * 2, guides, [(1,), (2,)], Sampling(), max_length=200, head=7)
    assert [len(row.ids) for row in rows] == [200, 200]


def test_a_penalty_makes_what_was_just_played_rarer() -> None:
    def repeats(penalty: float) -> int:
        sampling = Sampling(temperature=0.3, repetition_penalty=penalty)
        (row,) = sample(small_network(), [[1]], [Free()], [(0,)], sampling, max_length=80)
        return 80 - len(set(row.ids))

    assert repeats(3.0) < repeats(1.0)
