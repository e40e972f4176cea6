"""The front ends against TensorFlow's output (a golden segment) and against formulas written out."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tutti.audio.segment_features import FRONT_ENDS, FrontEndName, mel_matrix

GOLDEN = Path(__file__).parents[1] / "data" / "mt3" / "tf_logmel_golden.npz"


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[np.float32]]:
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def noise(front_end: FrontEndName, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.1, FRONT_ENDS[front_end].segment_samples).astype(np.float32)


def test_magenta_s_front_end_is_tensorflow_s(golden: dict[str, NDArray[np.float32]]) -> None:
    heard = FRONT_ENDS["mt3"](golden["samples"][None])[0]
    difference = np.abs(heard[::8] - golden["log_mel"])
    assert difference.max() < 3e-4
    assert difference.mean() < 1e-5


def test_the_mel_matrix_is_tensorflow_s(golden: dict[str, NDArray[np.float32]]) -> None:
    matrix = mel_matrix("linear_in_mel", 512, 20.0, 7600.0)
    np.testing.assert_allclose(matrix.sum(axis=0), golden["mel_sums"], atol=2e-4)
    assert np.count_nonzero(matrix) == 1934
    assert np.flatnonzero(matrix.sum(axis=0) == 0).tolist() == [1, 10]
    assert not matrix[0].any()


@pytest.mark.parametrize(
    ("name", "frames", "features"),
    [("mt3", 256, 512), ("mr_mt3", 256, 512), ("ymt3_plus", 256, 512), ("yptf", 110, 1024)],
)
def test_shapes_and_a_segment_of_its_own(name: FrontEndName, frames: int, features: int) -> None:
    front_end = FRONT_ENDS[name]
    segments = np.stack([noise(name, seed) for seed in range(9)])
    heard = front_end(segments)
    assert heard.shape == (9, frames, features) == (9, front_end.frames, front_end.features)
    assert heard.dtype == np.float32
    np.testing.assert_allclose(front_end(segments[8:])[0], heard[8], atol=1e-6)
    assert front_end(segments[:0]).shape == (0, frames, features)


def test_the_end_of_a_segment_sees_zeros_not_its_successor() -> None:
    """Twelve frames before the end reach beyond it."""
    front_end = FRONT_ENDS["mt3"]
    audio = np.concatenate([noise("mt3"), noise("mt3", 1)])
    whole = replace(front_end, segment_samples=2 * front_end.segment_samples)(audio[None])[0]
    alone = front_end(audio[None, : front_end.segment_samples])[0]
    np.testing.assert_allclose(alone[:241], whole[:241], atol=1e-5)
    assert np.abs(alone[241:] - whole[241:256]).max() > 0.5


def test_silence_and_scaling() -> None:
    silence = {name: np.zeros((1, FRONT_ENDS[name].segment_samples), np.float32) for name in FRONT_ENDS}
    assert (FRONT_ENDS["mt3"](silence["mt3"]) == np.log(np.float32(1e-5))).all()
    floor = (np.log(np.float32(1e-5)) + 12) / 17
    np.testing.assert_allclose(FRONT_ENDS["mr_mt3"](silence["mr_mt3"]), floor, rtol=1e-5)
    for name in ("ymt3_plus", "yptf"):
        assert not FRONT_ENDS[name](silence[name]).any()  # type: ignore[index]


def test_min_max_scaling_is_per_segment() -> None:
    front_end = FRONT_ENDS["yptf"]
    heard = front_end(np.stack([noise("yptf"), 0.01 * noise("yptf", 1)]))
    assert heard.min(axis=(1, 2)).tolist() == [0, 0]
    assert (heard.max(axis=(1, 2)) > 0.99).all()


def test_centred_frames_mirror_the_ends() -> None:
    """Frame 0 of YPTF's is the spectrum of the first half window and its mirror image."""
    audio = noise("yptf")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    first = np.concatenate([audio[1024:0:-1], audio[:1024]]) * window
    unscaled = replace(FRONT_ENDS["yptf"], scaling="none")(audio[None])[0, 0]
    np.testing.assert_allclose(unscaled, np.log(np.abs(np.fft.rfft(first))[1:] + 1e-5), atol=2e-4)


def test_ymt3_plus_hears_power_through_a_bank_linear_in_hz() -> None:
    audio = noise("ymt3_plus")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    frame = audio[128 * 40 - 1024 : 128 * 40 + 1024] * window
    power = np.abs(np.fft.rfft(frame)) ** 2
    edges = 700 * (10 ** (np.linspace(*(2595 * np.log10(1 + np.array([50, 8000]) / 700)), 514) / 2595) - 1)
    bins = np.linspace(0, 8000, 1025)
    band = 300
    rise = (bins - edges[band]) / (edges[band + 1] - edges[band])
    fall = (edges[band + 2] - bins) / (edges[band + 2] - edges[band + 1])
    expected = np.log((power * np.maximum(0, np.minimum(rise, fall))).sum() + 1e-5)
    unscaled = replace(FRONT_ENDS["ymt3_plus"], scaling="none")(audio[None])[0]
    assert unscaled[40, band] == pytest.approx(expected, abs=1e-4)


def test_ymt3_plus_s_bank_is_rounded_as_torch_rounds_it() -> None:
    """In narrow bands one small weight decides: exact triangles differ from torchaudio's by 0.02 in the logarithm."""
    audio = torch.from_numpy(noise("ymt3_plus"))
    spectra = torch.stft(audio, 2048, 128, window=torch.hann_window(2048), return_complex=True).abs() ** 2
    low, high = (2595 * math.log10(1 + hz / 700) for hz in (50, 8000))
    edges = 700 * (10 ** (torch.linspace(low, high, 514) / 2595) - 1)
    slopes = edges - torch.linspace(0, 8000, 1025)[:, None]  # to every edge from every bin
    widths = edges[1:] - edges[:-1]
    falling, rising = -slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]
    expected = torch.log(spectra.T @ torch.minimum(falling, rising).clamp(min=0) + 1e-5)
    unscaled = replace(FRONT_ENDS["ymt3_plus"], scaling="none")(audio.numpy()[None])[0]
    np.testing.assert_allclose(unscaled, expected.numpy(), atol=5e-4)


def test_stacked_frames_are_neighbours_side_by_side() -> None:
    plain = FRONT_ENDS["mt3"](noise("mt3")[None])
    stacked = replace(FRONT_ENDS["mt3"], stack=2)
    heard = stacked(noise("mt3")[None])
    assert heard.shape == (1, stacked.frames, stacked.features) == (1, 128, 1024)
    np.testing.assert_array_equal(heard[0, 5], np.concatenate([plain[0, 10], plain[0, 11]]))
