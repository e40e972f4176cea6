"""The loop over a stepper whose logits are a fixed function of a row's own tokens, against plain one-row loops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tutti.capabilities.transcription.codec import EOS, PAD
from tutti.capabilities.transcription.generation import GenerationRules, Row, RowKey, Written, generate

VOCABULARY = 12
MAX_TOKENS = 20


def logits_of(seed: int, tokens: Sequence[int]) -> NDArray[np.float64]:
    """What a row with these tokens is answered; EOS is likely enough to come early, late, second or never."""
    logits = np.random.default_rng([seed, *tokens]).normal(size=VOCABULARY)
    logits[EOS] += 1.0 if seed % 3 else -1.0
    return logits


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return logits - np.log(np.exp(logits).sum())


class RecordedStepper:
    """Keeps what every row has heard, as a cache would, and fails when the loop mixes rows or positions up."""

    def __init__(self, rows: int) -> None:
        self.rows, self.steps, self.row_steps = rows, 0, 0
        self._states: list[tuple[int, list[int]]] = [(-1, [])] * rows

    def place(self, first: int, states: Sequence[int]) -> None:
        for row, state in enumerate(states, start=first):
            self._states[row] = (state, [])

    def move(self, source: int, target: int) -> None:
        seed, tokens = self._states[source]
        self._states[target] = (seed, list(tokens))

    def step(
        self, tokens: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        self.steps, self.row_steps = self.steps + 1, self.row_steps + len(tokens)
        answers = []
        for (seed, heard), token, position in zip(self._states, tokens.tolist(), positions.tolist(), strict=False):
            assert position == len(heard)
            heard.append(token)
            answers.append(log_softmax(logits_of(seed, heard)))
        ids = np.argsort(-np.array(answers), axis=1)[:, :2]
        return ids, np.take_along_axis(np.array(answers, np.float32), ids, axis=1)


class Queue:
    """Rows in order; the key is the seed."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.left = list(seeds)

    def __call__(self, count: int) -> list[Row]:
        taken, self.left = self.left[:count], self.left[count:]
        return [Row(RowKey(seed, 0, 0), seed) for seed in taken]


def greedy(seed: int, *, is_first_eos_ignored: bool = False) -> list[int]:
    tokens = [PAD]
    while len(tokens) <= MAX_TOKENS:
        tokens.append(int(logits_of(seed, tokens).argmax()))
        if tokens[-1] == EOS and not (is_first_eos_ignored and len(tokens) == 2):
            break
    return tokens[1:]


def t5x_beam1(seed: int) -> tuple[list[int], bool]:
    """T5X's search with one beam, as its text says it; and whether EOS ever counted though it was second."""

    def score(total: float, length: int) -> float:
        return total / ((5 + length) / 6) ** 0.6

    live, total, best, best_score, was_second = [PAD], 0.0, None, -np.inf, False
    while len(live) <= MAX_TOKENS:
        answer = log_softmax(logits_of(seed, live))
        two = np.argsort(-answer)[:2].tolist()
        if EOS in two:
            ending = score(total + answer[EOS], len(live))
            if ending > best_score:
                best, best_score, was_second = [*live[1:], EOS], ending, two[1] == EOS
        chosen = next(token for token in two if token != EOS)
        live, total = [*live, chosen], total + answer[chosen]
        if best_score > score(total, MAX_TOKENS + 1):
            break
    return (best, was_second) if best is not None else (live[1:], False)


def written_by(rows: int, seeds: Sequence[int], rules: GenerationRules) -> dict[int, Written]:
    stepper = RecordedStepper(rows)
    written = {each.key.recording: each for each in generate(stepper, Queue(seeds), rules)}
    assert sorted(written) == sorted(seeds)
    return written


@pytest.mark.parametrize("rows", [1, 3, 16])
@pytest.mark.parametrize("is_first_eos_ignored", [False, True])
def test_every_row_is_written_as_if_it_were_alone(rows: int, is_first_eos_ignored: bool) -> None:
    rules = GenerationRules("greedy", MAX_TOKENS, is_first_eos_ignored)
    written = written_by(rows, range(40), rules)
    for seed in range(40):
        assert written[seed].tokens.tolist() == greedy(seed, is_first_eos_ignored=is_first_eos_ignored)


@pytest.mark.parametrize("rows", [1, 5])
def test_the_search_with_one_beam_is_that_of_t5x(rows: int) -> None:
    written = written_by(rows, range(60), GenerationRules("t5x_beam1", MAX_TOKENS))
    expected = {seed: t5x_beam1(seed) for seed in range(60)}
    assert {seed: written[seed].tokens.tolist() for seed in range(60)} == {s: t for s, (t, _) in expected.items()}
    assert any(was_second for _, was_second in expected.values())
    assert any(tokens != greedy(seed) for seed, (tokens, _) in expected.items())
    assert any(EOS not in tokens for tokens, _ in expected.values())


def test_log_probabilities_belong_to_the_tokens() -> None:
    for decoding in ("greedy", "t5x_beam1"):
        for seed, row in written_by(4, range(12), GenerationRules(decoding, MAX_TOKENS)).items():  # type: ignore[arg-type]
            tokens = [PAD, *row.tokens.tolist()]
            expected = [log_softmax(logits_of(seed, tokens[:at]))[tokens[at]] for at in range(1, len(tokens))]
            np.testing.assert_allclose(row.log_probs, expected, rtol=1e-5)


def test_rows_that_finish_cost_nothing_and_make_room() -> None:
    stepper = RecordedStepper(4)
    lengths = [len(written.tokens) for written in generate(stepper, Queue(range(30)), GenerationRules("greedy", 20))]
    assert stepper.row_steps == sum(lengths)
    assert stepper.steps < sum(lengths) / 3  # of four at a time


def test_work_may_depend_on_rows_that_were_given() -> None:
    """As with MR-MT3: a song's next row begins when the one before is known."""
    given: list[int] = []

    def take(count: int) -> list[Row]:
        assert count >= 1
        ready = [seed for seed in (0, 1, 2) if seed == len(given) and seed not in begun]
        begun.extend(ready)
        return [Row(RowKey(seed, 0, 0), seed) for seed in ready]

    begun: list[int] = []
    for written in generate(RecordedStepper(8), take, GenerationRules("greedy", MAX_TOKENS)):
        given.append(written.key.recording)
    assert given == [0, 1, 2]


def test_no_work_is_no_step() -> None:
    stepper = RecordedStepper(2)
    assert list(generate(stepper, Queue([]), GenerationRules("greedy", MAX_TOKENS))) == []
    assert stepper.steps == 0


def test_it_can_be_stopped_between_steps() -> None:
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    stepper = RecordedStepper(2)
    with pytest.raises(KeyboardInterrupt):
        list(generate(stepper, Queue(range(9)), GenerationRules("greedy", MAX_TOKENS), check))
    assert stepper.steps == 2


class Rising:
    """Ids rise, and EOS ends them."""

    def __init__(self) -> None:
        self.last = -1

    def allows(self, token: int) -> bool:
        return token != PAD and (token > self.last or (token == EOS and self.last >= 0))

    def push(self, token: int) -> None:
        self.last = token


def rising_row(seed: int) -> list[int]:
    """One row by itself: the likelier of two that may follow, EOS where neither may."""
    order, tokens = Rising(), [PAD]
    while tokens[-1] != EOS and len(tokens) <= MAX_TOKENS:
        best = np.argsort(-logits_of(seed, tokens))[:2].tolist()
        tokens.append(next((token for token in best if order.allows(token)), EOS))
        order.push(tokens[-1])
    return tokens[1:]


@pytest.mark.parametrize("rows", [1, 4])
def test_what_may_not_follow_is_passed_over(rows: int) -> None:
    rules = GenerationRules("ordered", MAX_TOKENS, new_order=Rising)  # type: ignore[arg-type]
    found = written_by(rows, range(40), rules)
    assert {seed: written.tokens.tolist() for seed, written in found.items()} == {n: rising_row(n) for n in range(40)}
    passed_over = [seed for seed in range(40) if rising_row(seed)[0] != int(np.argmax(logits_of(seed, [PAD])))]
    assert passed_over
    assert max(map(len, map(rising_row, range(40)))) > 2
