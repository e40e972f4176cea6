"""Struck kits: every stroke begins at once, sounds where its piece does, and answers to the velocity."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tutti.datasets import struck
from tutti.datasets.drum_voices import attack_sample, is_electronic
from tutti.datasets.note_bank import SAMPLE_RATE_HZ, open_bank
from tutti.datasets.struck import STRUCK_KEYS, StruckKit, build_struck

Strokes = dict[int, NDArray[np.float32]]


def play(seed: int, electronic: bool, velocity: int = 110) -> Strokes:
    kit = StruckKit(np.random.default_rng(seed), electronic)
    return {key: kit.stroke(key, velocity) for key in STRUCK_KEYS}


@pytest.fixture(scope="module", params=[(0, False), (1, False), (2, True)], ids=["acoustic", "another", "machine"])
def strokes(request: pytest.FixtureRequest) -> Strokes:
    seed, electronic = request.param
    return play(seed, electronic)


def middle_hz(sound: NDArray[np.float32]) -> float:
    """Half of the energy lies below."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    place = np.searchsorted(np.cumsum(power), power.sum() / 2)
    return float(np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE_HZ)[place])


def fall_s(sound: NDArray[np.float32]) -> float:
    """Until a hundredth of the energy is left."""
    left = np.cumsum(sound[::-1].astype(np.float64) ** 2)[::-1]
    return int(np.argmax(left < 0.01 * left[0])) / SAMPLE_RATE_HZ


def test_strokes_begin_within_a_millisecond_or_two(strokes: Strokes) -> None:
    for key, sound in strokes.items():
        assert 0.1 < np.abs(sound).max() <= 1.0  # and so finite
        assert attack_sample(sound) <= 0.0021 * SAMPLE_RATE_HZ, key  # the pedal's chick rises softly


def test_each_piece_sounds_in_its_place(strokes: Strokes) -> None:
    hz = {key: middle_hz(sound) for key, sound in strokes.items()}
    assert hz[36] < 110
    assert hz[38] > 120
    assert hz[43] < hz[47] < hz[50] < 600
    assert min(hz[42], hz[46], hz[49], hz[55]) > 1500


def test_cymbals_ring_as_long_as_theirs_do(strokes: Strokes) -> None:
    fall = {key: fall_s(sound) for key, sound in strokes.items()}
    assert fall[42] < 0.25
    assert max(fall[42], fall[44]) < fall[46]
    assert fall[37] < 0.3
    assert min(fall[49], fall[51]) > 0.3


def test_a_soft_stroke_is_quieter_and_darker() -> None:
    kit = StruckKit(np.random.default_rng(3), electronic=False)
    for key in (36, 49, 43):
        soft, hard = kit.stroke(key, 30), kit.stroke(key, 120)
        assert np.abs(soft).max() < 0.1 * np.abs(hard).max()
        assert middle_hz(soft) < 1.02 * middle_hz(hard)


def test_kits_differ_and_come_back_the_same() -> None:
    one, again, other = (StruckKit(np.random.default_rng(seed), False).stroke(38, 90) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, again)
    assert np.corrcoef(one, other)[0, 1] < 0.9


def test_the_bank_receives_whole_voices_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(struck, "STRUCK_KEYS", (36, 42))
    assert list(build_struck(tmp_path, acoustic=1, electronic=1)) == ["struck_000", "struck_e_000"]
    assert list(build_struck(tmp_path, acoustic=1, electronic=1)) == []
    voices = open_bank(tmp_path)
    assert voices["struck_000"].samples.shape == (2, 4, round(struck.HELD_S * SAMPLE_RATE_HZ))
    assert [is_electronic(name) for name in voices] == [False, True]
