"""Random weights that are the same everywhere, and write music."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

import numpy as np
import pytest

from benchmarks.parity.ours import load, native_tensors
from benchmarks.parity.random_weights import RandomModel, random_numbers, random_tensors
from benchmarks.parity.signals import synthetic_recording
from benchmarks.parity.small_mt3 import DATA, SEGMENTS, file_names, small_mt3
from benchmarks.parity.upstream_files import read_shapes, repeats_of, small_shapes
from tutti.capabilities.transcription.codec import CODECS


def test_numbers_are_the_same_everywhere() -> None:
    numbers = random_numbers(3, "encoder.block.0.layer.0.SelfAttention.q.weight", (4, 5))
    assert sha256(numbers.tobytes()).hexdigest().startswith("b3520d98b787e5c1")


def test_recording_is_the_same_everywhere() -> None:
    assert sha256(synthetic_recording(3, 40_000).tobytes()).hexdigest().startswith("c2224ca3fd2c6657")


def test_numbers_spread_around_zero() -> None:
    numbers = random_numbers(0, "x", (100, 100))
    assert abs(float(numbers.mean())) < 0.03
    assert float(numbers.std()) == pytest.approx(1, abs=0.02)


def test_other_seed_or_name_gives_other_numbers() -> None:
    drawn = [random_numbers(0, "x", (50,)), random_numbers(1, "x", (50,)), random_numbers(0, "y", (50,))]
    assert len({numbers.tobytes() for numbers in drawn}) == 3


def test_a_tensor_does_not_depend_on_the_others() -> None:
    model, name = RandomModel(CODECS["mt3"], 0, 64, 1), "decoder.block.0.layer.2.DenseReluDense.wo.weight"
    alone = random_tensors(model, {name: (64, 128)}, {})[name]
    among = random_tensors(model, {"proj.weight": (64, 64), name: (64, 128)}, {})[name]
    np.testing.assert_array_equal(alone, among)


def test_what_a_file_holds_twice_is_the_same_array() -> None:
    shapes = small_shapes(read_shapes(DATA / "keys_mr_mt3.txt"), {512: 64, 384: 64, 1024: 128, 256: 32}, 1)
    tensors = random_tensors(RandomModel(CODECS["mt3"], 0, 64, 1), shapes, repeats_of(shapes))
    assert tensors["segmem_encoder.embed_tokens.weight"] is tensors["segmem_proj.weight"]


def test_rows_end_and_hold_every_kind_of_event() -> None:
    small = small_mt3("mt3_pytorch")
    ours = load(small.adapter, native_tensors(small.adapter, file_names("mt3_pytorch", small.tensors)))
    rows = ours.write(ours.encode(small.adapter.front_end(small.segments)), 1023, SEGMENTS, [SEGMENTS])
    events = [small.adapter.codec.decode(token) for row in rows for token in row.tolist()]
    kinds = Counter(event.kind for event in events if event)
    assert all(30 < len(row) < 400 for row in rows)
    assert {"shift", "pitch", "velocity", "program", "drum"} <= kinds.keys()
