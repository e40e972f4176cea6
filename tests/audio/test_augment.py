from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tutti.audio import augment

RATE_HZ = 24_000
Samples = NDArray[np.float32]
CHAIN: dict[str, Callable[[Samples, np.random.Generator], Samples]] = {
    "room": lambda samples, rng: augment.room(samples, RATE_HZ, rng),
    "colour": lambda samples, rng: augment.colour(samples, RATE_HZ, rng),
    "compress": augment.compress,
    "with_noise": lambda samples, rng: augment.with_noise(samples, RATE_HZ, rng),
    "lossy": lambda samples, rng: augment.lossy(samples, RATE_HZ, rng),
    "set_level": augment.set_level,
    "degrade": lambda samples, rng: augment.degrade(samples, RATE_HZ, rng),
}


@pytest.fixture(scope="module")
def strokes() -> Samples:
    """Noise bursts that die away, one every 400 ms."""
    rng = np.random.default_rng(0)
    samples = np.zeros(2 * RATE_HZ, np.float32)
    for begin in range(2400, len(samples) - 6000, 9600):
        samples[begin : begin + 6000] += 0.4 * rng.normal(0, 1, 6000) * np.exp(-np.arange(6000) / 900)
    return samples


@pytest.mark.parametrize("name", list(CHAIN))
@pytest.mark.parametrize("seed", range(4))
def test_length_kind_and_place_stay(strokes: Samples, name: str, seed: int) -> None:
    out = CHAIN[name](strokes, np.random.default_rng(seed))
    assert out.dtype == np.float32
    assert out.shape == strokes.shape
    assert np.isfinite(out).all()
    spectrum = np.fft.rfft(out, 2 * len(out)) * np.conj(np.fft.rfft(strokes, 2 * len(out)))
    lag = int(np.argmax(np.fft.irfft(spectrum)))
    lag = lag if lag < len(out) else lag - 2 * len(out)
    assert abs(lag) <= (0 if name not in ("colour", "degrade") else 4)  # filters turn phases, by samples at most


@pytest.mark.parametrize("name", list(CHAIN))
def test_a_seed_fixes_everything_and_the_input_is_left_alone(strokes: Samples, name: str) -> None:
    before = strokes.copy()
    first, second, third = (CHAIN[name](strokes, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.tobytes() == second.tobytes() != third.tobytes()
    assert np.array_equal(strokes, before)


@pytest.mark.parametrize("name", list(CHAIN))
def test_silence_is_survived(name: str) -> None:
    out = CHAIN[name](np.zeros(RATE_HZ, np.float32), np.random.default_rng(0))
    assert np.isfinite(out).all()
    assert np.abs(out).max() < 1.0


def test_levels_lie_between_minus_26_and_0_dbfs(strokes: Samples) -> None:
    peaks_db = [20 * np.log10(np.abs(augment.set_level(strokes, np.random.default_rng(s))).max()) for s in range(60)]
    assert -26.01 <= min(peaks_db) < -20
    assert -6 < max(peaks_db) <= 0.01
