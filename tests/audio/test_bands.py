import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tutti.audio.bands import DB_PER_UNIT, DRUMS_FRONT_END, FLOOR_DB, STEPS_PER_UNIT, Bands, stored_levels

RATE_HZ = DRUMS_FRONT_END.sample_rate_hz
NOISE = np.random.default_rng(0).normal(0, 0.1, 12 * RATE_HZ).astype(np.float32)
SMALL = Bands(windows=(256, 128), hop=240, lowest_hz=200.0)


def whole(samples: NDArray[np.float32], front_end: Bands = DRUMS_FRONT_END) -> NDArray[np.uint8]:
    return np.concatenate(list(stored_levels([samples], front_end)), axis=1)


def level_db(stored: NDArray[np.uint8]) -> NDArray[np.float64]:
    return stored / STEPS_PER_UNIT * DB_PER_UNIT + FLOOR_DB


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 9000), max_size=12))
def test_how_the_audio_is_cut_makes_no_difference(sizes: list[int]) -> None:
    samples = NOISE[: sum(sizes)]
    blocks = np.split(samples, np.cumsum(sizes)[:-1]) if sizes else []
    cut = np.concatenate(list(stored_levels(blocks, SMALL)), axis=1)
    assert np.array_equal(cut, whole(samples, SMALL))


@pytest.mark.parametrize("size", [997, 24_000, 100_000])
def test_nor_does_it_across_blocks_of_the_front_end(size: int) -> None:
    blocks = [NOISE[begin : begin + size] for begin in range(0, len(NOISE), size)]
    parts = list(stored_levels(blocks))
    assert len(parts) > 1
    assert np.array_equal(np.concatenate(parts, axis=1), whole(NOISE))
    assert sum(part.shape[1] for part in parts) == len(NOISE) // DRUMS_FRONT_END.hop + 1


def test_stored_levels_are_those_of_the_whole_recording_at_once() -> None:
    padded = torch.from_numpy(np.pad(NOISE, DRUMS_FRONT_END.reach))[None]
    levels = DRUMS_FRONT_END(padded)[0].numpy()
    assert np.abs(whole(NOISE) / STEPS_PER_UNIT - levels).max() <= 0.5 / STEPS_PER_UNIT + 1e-5


@pytest.mark.parametrize("frequency_hz", [375.0, 1500.0, 6000.0])
def test_a_full_scale_sine_is_near_full_scale_in_its_band_and_far_below_elsewhere(frequency_hz: float) -> None:
    sine = np.sin(2 * np.pi * frequency_hz * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
    levels = level_db(whole(sine))[:, 40:60]
    centres_hz = DRUMS_FRONT_END.centres_hz()
    loudest = levels.max(axis=2)
    assert (loudest <= 0).all()
    # a band averages over its width: the wider it is in transform bins, the lower the sine lies in it
    for level, window in zip(loudest, DRUMS_FRONT_END.windows, strict=True):
        bins = max(1.0, frequency_hz * (2 ** (1 / 12) - 1) / (RATE_HZ / window))
        assert (level > -6 - 20 * np.log10(bins)).all()
    assert abs(centres_hz[levels[0].mean(axis=0).argmax()] / frequency_hz - 1) < 0.06
    assert (levels[0][:, np.abs(np.log2(centres_hz / frequency_hz)) > 1] < -60).all()


def test_ten_times_softer_is_twenty_decibels_lower() -> None:
    loud, soft = level_db(whole(NOISE[:RATE_HZ])), level_db(whole(NOISE[:RATE_HZ] / 10))
    assert np.abs(loud - soft - 20)[loud > -70].max() < 0.45


def test_beyond_full_scale_and_below_the_floor_is_clipped() -> None:
    assert whole(100 * NOISE[:RATE_HZ]).max() == 2 * STEPS_PER_UNIT
    assert not whole(1e-8 * NOISE[:RATE_HZ]).any()


@pytest.mark.parametrize(("samples", "frames"), [(0, 1), (1, 1), (239, 1), (240, 2), (2400, 11)])
def test_frames_go_on_to_the_last_centred_in_the_recording(samples: int, frames: int) -> None:
    levels = whole(NOISE[:samples])
    assert levels.shape == (2, frames, DRUMS_FRONT_END.bands)
    assert levels.any() == (samples > 0)


def test_nothing_at_all_is_one_silent_frame() -> None:
    (levels,) = stored_levels([])
    assert levels.shape[1] == 1
    assert not levels.any()


def test_a_click_is_in_the_frames_whose_windows_hold_it() -> None:
    samples = np.zeros(RATE_HZ, np.float32)
    samples[50 * 240] = 1.0
    long, short = whole(samples).any(axis=2)
    assert np.flatnonzero(short).tolist() == [49, 50, 51]
    assert np.flatnonzero(long).tolist() == list(range(46, 55))


def test_bands_are_a_semitone_or_a_bin_apart_and_none_is_empty() -> None:
    centres_hz = DRUMS_FRONT_END.centres_hz()
    step_hz = RATE_HZ / 2048
    expected = np.maximum(centres_hz[:-1] * (2 ** (1 / 12) - 1), step_hz)
    assert np.diff(centres_hz) == pytest.approx(expected)
    assert DRUMS_FRONT_END.bands == 85
    assert (whole(NOISE[:RATE_HZ])[:, 20:80] > 0).all()
