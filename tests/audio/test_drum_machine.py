import numpy as np
import pytest

from tutti.audio.drum_machine import PIECES, SAMPLE_RATE_HZ, drum_sound, piece_of_key, play
from tutti.music.drum_kit import DRUM_CLASSES, key_of_class


def energy(sound: np.ndarray, begin_s: float, end_s: float) -> float:
    part = sound[round(begin_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)]
    return float((part.astype(np.float64) ** 2).sum())


def test_every_piece_has_a_sound_of_its_own() -> None:
    assert PIECES[: len(DRUM_CLASSES)] == DRUM_CLASSES
    sounds = [drum_sound(name) for name in PIECES]
    assert all(np.abs(sound).max() == pytest.approx(1) for sound in sounds)
    assert all(np.abs(sound[-50:]).max() < 0.01 for sound in sounds)
    assert len({sound.tobytes() for sound in sounds}) == len(PIECES)


def test_every_key_sounds() -> None:
    assert {piece_of_key(key) for key in range(128)} == set(PIECES)
    assert all(piece_of_key(key_of_class(name)) == name for name in DRUM_CLASSES)
    assert [piece_of_key(key) for key in (39, 54, 56, 70, 63, 76)] == [
        "clap", "tambourine", "cowbell", "shaker", "tom_mid", "side_stick",
    ]  # fmt: skip


def test_a_stroke_sounds_when_it_is_struck_and_louder_strokes_are_louder_and_brighter() -> None:
    soft, loud = (play([(0.25, 38, velocity)], 1.0, loops=False) for velocity in (40, 120))
    assert soft.shape == (SAMPLE_RATE_HZ, 2)
    assert not soft[: SAMPLE_RATE_HZ // 4].any()
    assert np.abs(loud[SAMPLE_RATE_HZ // 4 :][:200]).max() > 0.1
    assert np.abs(loud).max() > 3 * np.abs(soft).max()

    def brightness(sound: np.ndarray) -> float:
        return float(np.abs(np.diff(sound[:, 0])).sum() / np.abs(sound[:, 0]).sum())

    assert brightness(loud) > 1.2 * brightness(soft)


@pytest.mark.parametrize("closing", [42, 44])
def test_closing_the_hat_cuts_the_open_one(closing: int) -> None:
    free = play([(0.0, 46, 127)], 1.0, loops=False)
    cut = play([(0.0, 46, 127), (0.05, closing, 1)], 1.0, loops=False)
    assert np.array_equal(cut[:2000], free[:2000])
    assert energy(cut, 0.1, 0.5) < 1e-3 * energy(free, 0.1, 0.5)


def test_a_loop_is_the_same_as_the_pattern_played_on_and_on() -> None:
    strokes = [(0.0, 36, 100), (0.1, 42, 90), (0.3, 49, 90), (0.4, 46, 80)]
    loop = play(strokes, 0.5, loops=True)
    rounds = [(time_s + 0.5 * n, key, velocity) for n in range(10) for time_s, key, velocity in strokes]
    long = play(rounds, 5.0, loops=False)
    eighth_round = long[round(4.0 * SAMPLE_RATE_HZ) : round(4.5 * SAMPLE_RATE_HZ)]
    # the long one may have been made softer as a whole, and tails end at -61 dB
    scale = float((loop * eighth_round).sum() / (loop**2).sum())
    assert np.abs(loop * scale - eighth_round).max() < 1e-3


def test_too_much_at_once_is_made_softer_and_little_stays_as_it_is() -> None:
    crowd = [(0.1, key, 127) for key in range(35, 82)]
    assert np.abs(play(crowd, 1.0, loops=True)).max() == pytest.approx(10 ** (-1 / 20), abs=1e-4)
    assert np.abs(play([(0.1, 42, 30)], 1.0, loops=True)).max() < 0.1


def test_nothing_and_what_comes_after_the_end_is_silence() -> None:
    assert not play([], 0.5, loops=True).any()
    assert not play([(0.5, 36, 100)], 0.5, loops=True).any()
    assert play([], 0.0, loops=False).shape == (0, 2)
