from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tutti.audio import features
from tutti.audio.features import MR_MT3, MR_MT3_CONTINUED, MT3, YMT3_PLUS, YPTF, ClipScaling, LogMel

HERE = Path(__file__).parent
EXCERPT = HERE.parent / "data" / "mt3_log_mel_excerpt.npz"
WHOLE = HERE.parents[2] / "shared" / "data" / "mt3" / "tf_logmel_golden.npz"
RNG = np.random.default_rng(0)
SEGMENT = (0.1 * RNG.standard_normal(32_767)).astype(np.float32)


def assert_close_to_tensorflow(levels: np.ndarray, golden: np.ndarray) -> None:
    assert levels.shape == golden.shape
    difference = np.abs(levels - golden)
    assert difference.max() <= 3e-4
    assert difference.mean() <= 1e-5


def test_mt3_equals_tensorflow() -> None:
    """The last 19 frames of a segment, of which 15 see the zeros behind its end."""
    golden = np.load(EXCERPT)
    assert_close_to_tensorflow(MT3(torch.from_numpy(golden["samples"])).numpy(), golden["log_mel"])


@pytest.mark.skipif(not WHOLE.exists(), reason="the whole segment is not in the repository; its excerpt was tested")
def test_mt3_equals_tensorflow_over_a_whole_segment() -> None:
    golden = np.load(WHOLE)
    assert_close_to_tensorflow(MT3(torch.from_numpy(golden["seg"])).numpy(), golden["S"])
    matrix = MT3.mel_matrix().numpy()
    assert np.abs(matrix - golden["W"]).max() <= 2e-4
    np.testing.assert_array_equal(matrix > 0, golden["W"] > 0)
    np.testing.assert_allclose(MT3.window().numpy(), golden["win"], atol=1e-6)


def test_mt3_has_two_bands_that_hear_nothing() -> None:
    matrix = MT3.mel_matrix().numpy()
    assert matrix.shape == (1025, 512)
    assert np.flatnonzero(matrix.sum(axis=0) == 0).tolist() == [1, 10]
    assert np.count_nonzero(matrix) == 1934
    assert matrix[0].max() == 0
    levels = MT3(torch.from_numpy(SEGMENT))
    np.testing.assert_array_equal(levels[:, [1, 10]].numpy(), np.float32(math.log(1e-5)))


@pytest.mark.parametrize(
    ("front_end", "samples", "frames", "bins"),
    [(MT3, 32_768, 256, 512), (MR_MT3, 32_768, 256, 512), (YMT3_PLUS, 32_767, 256, 512), (YPTF, 32_767, 110, 1024)],
)
def test_shapes(front_end: LogMel, samples: int, frames: int, bins: int) -> None:
    assert (front_end.frames(samples), front_end.bins) == (frames, bins)
    assert front_end(torch.zeros(samples)).shape == (frames, bins)
    assert front_end(torch.zeros(3, samples)).shape == (3, frames, bins)
    assert front_end(torch.zeros(2, 3, samples)).shape == (2, 3, frames, bins)


def test_frame_times() -> None:
    assert MT3.frame_s == 0.008
    assert YPTF.frame_s == 0.01875


@pytest.mark.parametrize("front_end", [MT3, MR_MT3, YMT3_PLUS, YPTF])
def test_every_item_is_computed_on_its_own(front_end: LogMel) -> None:
    batch = torch.from_numpy(np.stack([SEGMENT, 0.01 * SEGMENT[::-1], np.zeros_like(SEGMENT)]).copy())
    together = front_end(batch)
    for item, levels in zip(batch, together, strict=True):
        torch.testing.assert_close(front_end(item), levels, atol=2e-5, rtol=0)


def spectrum_by_definition(samples: np.ndarray, hop: int, *, centred: bool) -> np.ndarray:
    """(frames, 1025) magnitudes, in double precision and one frame at a time."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    if centred:
        padded = np.pad(samples.astype(np.float64), 1024, mode="reflect")
        frames = 1 + len(samples) // hop
    else:
        padded = np.pad(samples.astype(np.float64), (0, 2048))
        frames = -(-len(samples) // hop)
    return np.stack([np.abs(np.fft.rfft(padded[t * hop : t * hop + 2048] * window)) for t in range(frames)])


def triangles_by_definition(f_min_hz: float, f_max_hz: float) -> np.ndarray:
    """(1025, 512): HTK mel edges, flanks straight in Hz, one triangle at a time."""

    def to_mel(f_hz: float) -> float:
        return 2595 * math.log10(1 + f_hz / 700)

    low, high = to_mel(f_min_hz), to_mel(f_max_hz)
    edges = [700 * (10 ** ((low + (high - low) * edge / 513) / 2595) - 1) for edge in range(514)]
    matrix = np.zeros((1025, 512))
    for band in range(512):
        matrix[:, band] = np.interp(np.linspace(0, 8000, 1025), edges[band : band + 3], [0, 1, 0])
    return matrix


def assert_close_to_definition(levels: torch.Tensor, expected: np.ndarray) -> None:
    """Single precision matters where a band hears next to nothing."""
    difference = np.abs(levels.numpy() - expected)
    assert difference.max() <= 3e-3
    assert difference.mean() <= 1e-5


def test_mr_mt3_by_definition() -> None:
    mel = spectrum_by_definition(SEGMENT, 128, centred=False) @ triangles_by_definition(20, 7600)
    levels = np.log(np.where(mel > 0, mel, 1e-5))
    expected = (np.clip(levels, -12, 5) + 12) / 17
    assert_close_to_definition(MR_MT3(torch.from_numpy(SEGMENT)), expected)
    unscaled = dataclasses.replace(MR_MT3, scaling=None)
    assert np.abs(unscaled(torch.from_numpy(SEGMENT)).numpy() - levels).mean() < 1e-4


def test_triangles_straight_in_mel_and_in_hz_differ() -> None:
    difference = np.abs(MT3.mel_matrix().numpy() - MR_MT3.mel_matrix().numpy())
    assert 5e-4 < difference.max() < 5e-2


def test_the_continued_model_has_the_bank_of_one_and_the_scaling_of_the_other() -> None:
    segment = torch.from_numpy(SEGMENT)
    assert MR_MT3.scaling == ClipScaling(-12.0, 5.0)
    torch.testing.assert_close(MR_MT3_CONTINUED(segment), (MT3(segment).clamp(-12, 5) + 12) / 17)


def scaled_by_definition(levels: np.ndarray) -> np.ndarray:
    return (levels - levels.min()) / (levels.max() - levels.min() + 0.008)


def test_ymt3_plus_by_definition() -> None:
    power = spectrum_by_definition(SEGMENT, 128, centred=True) ** 2
    expected = scaled_by_definition(np.log(power @ triangles_by_definition(50, 8000) + 1e-5))
    assert_close_to_definition(YMT3_PLUS(torch.from_numpy(SEGMENT)), expected)


def test_yptf_by_definition() -> None:
    magnitudes = spectrum_by_definition(SEGMENT, 300, centred=True)[:, 1:]
    expected = scaled_by_definition(np.log(magnitudes + 1e-5))
    assert_close_to_definition(YPTF(torch.from_numpy(SEGMENT)), expected)


def test_yptf_equals_torchs_own_transform() -> None:
    segment = torch.from_numpy(SEGMENT)
    spectrum = torch.stft(segment, 2048, 300, window=torch.hann_window(2048), return_complex=True).abs()
    levels = torch.log(spectrum[1:].T + 1e-5)
    expected = (levels - levels.min()) / (levels.max() - levels.min() + 0.008)
    torch.testing.assert_close(YPTF(segment), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("front_end", [YMT3_PLUS, YPTF])
def test_silence_scaled_by_its_own_range_is_zero(front_end: LogMel) -> None:
    assert front_end(torch.zeros(2, 32_767)).abs().max() == 0


def test_broken_levels_scaled_by_their_own_range_are_zero() -> None:
    assert YPTF(torch.full((32_767,), float("nan"))).abs().max() == 0


def test_silence_is_the_floor() -> None:
    np.testing.assert_array_equal(MT3(torch.zeros(32_768)).numpy(), np.float32(math.log(1e-5)))


def test_a_segment_ends_in_zeros_not_in_the_next_segment() -> None:
    samples = torch.from_numpy(np.concatenate([SEGMENT, SEGMENT])[: 2 * 32_640])
    whole, alone = MT3(samples), MT3(samples[:32_640])
    torch.testing.assert_close(whole[:239], alone[:239])
    assert (whole[240:255] - alone[240:255]).abs().max() > 0.1


def test_too_few_samples() -> None:
    with pytest.raises(ValueError, match=r"^0 samples are too few for a frame; give 1 or more\.$"):
        MT3(torch.zeros(0))
    with pytest.raises(ValueError, match=r"^1024 samples are too few for a frame; give 1025 or more\.$"):
        YPTF(torch.zeros(2, 1024))
    assert MT3(torch.zeros(1)).shape == (1, 512)
    assert YPTF(torch.zeros(1025)).shape == (4, 1024)


def test_a_front_end_without_bands_has_no_matrix() -> None:
    with pytest.raises(ValueError, match=r"^this front end has no mel bands\.$"):
        YPTF.mel_matrix()


def test_what_inference_leaves_behind_serves_training() -> None:
    features._window.cache_clear()
    features._matrix.cache_clear()
    with torch.inference_mode():
        MT3(torch.zeros(4096))
    samples = torch.from_numpy(SEGMENT.copy()).requires_grad_()
    MT3(samples).sum().backward()
    assert samples.grad is not None
    assert samples.grad.isfinite().all()
