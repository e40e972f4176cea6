"""Small MT3 networks with random weights: what upstream's own code answered, and what we answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.parity.ours import load, native_tensors
from benchmarks.parity.small_mt3 import GOLDENS, NAMES, SEGMENTS, file_names, kept_answers, small_mt3

Answers = dict[str, NDArray[Any]]
CLOSE = {"features": 3e-4, "states": 1e-4, "logits": 1e-4}


@dataclass(frozen=True)
class Pair:
    upstream: Answers
    ours: Answers


@cache
def upstream_answers() -> Answers:
    with np.load(GOLDENS) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module", params=NAMES)
def pair(request: pytest.FixtureRequest) -> Pair:
    name = request.param
    small = small_mt3(name)
    ours = load(small.adapter, native_tensors(small.adapter, file_names(name, small.tensors)))
    answers = ours.answers(small.segments, small.teacher, small.adapter.max_tokens, 3, [SEGMENTS])
    golden = {key.partition("/")[2]: array for key, array in upstream_answers().items() if key.startswith(f"{name}/")}
    return Pair(golden, kept_answers(answers))


@pytest.mark.parametrize("part", CLOSE)
def test_numbers_are_close_to_upstreams(pair: Pair, part: str) -> None:
    np.testing.assert_allclose(pair.ours[part], pair.upstream[part], rtol=0, atol=CLOSE[part])


def test_tokens_are_upstreams(pair: Pair) -> None:
    assert np.count_nonzero(pair.upstream["tokens"]) > 300
    np.testing.assert_array_equal(pair.ours["tokens"], pair.upstream["tokens"])


def test_notes_are_upstreams(pair: Pair) -> None:
    assert len(pair.upstream["notes"]) > 10
    np.testing.assert_allclose(_ordered(pair.ours["notes"]), _ordered(pair.upstream["notes"]), rtol=0, atol=1e-9)


def _ordered(notes: NDArray[np.float64]) -> NDArray[np.float64]:
    return notes[np.lexsort(notes.round(6).T)]


def test_search_of_t5x_writes_something_else_than_greedy_would() -> None:
    small = small_mt3("mt3")
    ours = load(small.adapter, native_tensors(small.adapter, file_names("mt3", small.tensors)))
    states = ours.encode(small.adapter.front_end(small.segments))
    searched = upstream_answers()["mt3/tokens"][:, 0]
    greedy = ours.write(states, small.adapter.max_tokens, 4, [SEGMENTS], decoding="greedy")
    assert any(not np.array_equal(row[: len(other)], other) for row, other in zip(searched, greedy, strict=True))
