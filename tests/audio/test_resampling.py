from __future__ import annotations

import itertools

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from tutti.audio.resampling import Conditioner

RNG = np.random.default_rng(0)


def conditioned(
    samples: np.ndarray, native: int, rate: int | None, cuts: list[int], *, mono: bool = True
) -> np.ndarray:
    conditioner = Conditioner(native, samples.shape[1], rate, mono=mono)
    edges = [0, *sorted(cuts), len(samples)]
    parts = [conditioner.process(samples[a:b]) for a, b in itertools.pairwise(edges)]
    return np.concatenate([*parts, conditioner.finish()])


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 5000), max_size=12),
    rates=st.sampled_from([(44_100, 16_000), (16_000, 44_100), (8_000, 24_000), (48_000, 48_000)]),
)
def test_where_the_blocks_are_cut_does_not_matter(cuts: list[int], rates: tuple[int, int]) -> None:
    samples = RNG.standard_normal((5000, 2)).astype(np.float32)
    whole = conditioned(samples, *rates, [])
    np.testing.assert_array_equal(conditioned(samples, *rates, cuts), whole)
    assert abs(len(whole) - 5000 * rates[1] / rates[0]) <= 1


def test_the_resampler_is_soxr_high_quality() -> None:
    samples = RNG.standard_normal((44_100, 1)).astype(np.float32)
    expected = soxr.resample(samples[:, 0], 44_100, 16_000, quality="HQ")
    np.testing.assert_array_equal(conditioned(samples, 44_100, 16_000, [1000])[:, 0], expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 32])
def test_mono_is_the_mean_of_the_channels(channels: int) -> None:
    samples = RNG.standard_normal((100, channels)).astype(np.float32)
    mixed = conditioned(samples, 8000, None, [33])
    np.testing.assert_allclose(mixed[:, 0], samples.mean(axis=1, dtype=np.float64), atol=1e-6)


def test_channels_are_kept_when_asked() -> None:
    samples = RNG.standard_normal((4410, 3)).astype(np.float32)
    kept = conditioned(samples, 44_100, 22_050, [7], mono=False)
    assert kept.shape == (2205, 3)
    for channel in range(3):
        alone = conditioned(samples[:, channel : channel + 1], 44_100, 22_050, [])
        np.testing.assert_allclose(kept[:, channel], alone[:, 0], atol=1e-6)


def test_broken_samples_become_silence_and_are_counted() -> None:
    samples = np.array([[0.5, 0.5], [np.nan, 0.5], [np.inf, -np.inf], [1e30, -0.5], [-0.5, 2.0]], np.float32)
    conditioner = Conditioner(8000, 2, None, mono=True)
    np.testing.assert_allclose(conditioner.process(samples)[:, 0], [0.5, 0.25, 0.0, -0.25, 0.75])
    assert conditioner.replaced == 4
    assert conditioner.warnings == [
        "4 samples were not finite numbers or absurdly loud; they were replaced by silence."
    ]


def test_sound_samples_are_left_alone() -> None:
    conditioner = Conditioner(8000, 1, None, mono=True)
    samples = np.array([[0.5], [-3.0]], np.float32)
    np.testing.assert_array_equal(conditioner.process(samples), samples)
    assert conditioner.warnings == []
    assert len(conditioner.finish()) == 0
