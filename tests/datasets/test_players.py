from pathlib import Path

import numpy as np
import pytest

from tutti.datasets.composer import SINGER, Part
from tutti.datasets.note_bank import SAMPLE_RATE_HZ, open_bank
from tutti.datasets.players import SINGER_PROGRAM, Players, add_at, released
from tutti.errors import TrainingError
from tutti.music.notes import Note


@pytest.fixture(scope="module")
def players(bank: Path) -> Players:
    return Players(open_bank(bank).values(), 3.0)


def test_a_part_sounds_from_its_notes_on_and_says_what_sounds(players: Players) -> None:
    notes = [Note(0.5, 0.8, 60, 90), Note(2.0, 9.0, 64, 90), Note(2.5, 2.6, 127, 90)]
    sound, played = players.perform(Part(3, notes), np.random.default_rng(0))
    assert len(sound) == 3 * SAMPLE_RATE_HZ
    assert not sound[: round(0.5 * SAMPLE_RATE_HZ)].any()
    assert np.abs(sound[round(0.5 * SAMPLE_RATE_HZ) :][:1200]).max() > 0.05
    # held as long as the sample lasts; a pitch that the voice lacks is not played
    assert [(note.pitch, note.onset_s, note.offset_s) for note in played] == [
        (60, 0.5, 0.8),
        (64, 2.0, pytest.approx(2.6)),
    ]
    assert {note.program for note in played} == {3}


def test_a_singer_is_labelled_as_voice(players: Players) -> None:
    sound, played = players.perform(Part(SINGER, [Note(0.5, 1.5, 60, 90)]), np.random.default_rng(0))
    assert sound.any()
    assert [note.program for note in played] == [SINGER_PROGRAM]


def test_a_program_without_a_voice_is_named(players: Players) -> None:
    with pytest.raises(TrainingError, match="no voice of program 120"):
        players.perform(Part(120, []), np.random.default_rng(0))


def test_a_release_dies_away_and_the_end_is_soft() -> None:
    ring = np.ones(SAMPLE_RATE_HZ, np.float32)
    sound = released(ring.copy(), 0.2, 0.05)
    assert len(sound) == round(0.45 * SAMPLE_RATE_HZ)
    assert (sound[: round(0.2 * SAMPLE_RATE_HZ)] == 1).all()
    assert sound[round(0.25 * SAMPLE_RATE_HZ)] == pytest.approx(np.exp(-1), rel=0.01)
    assert sound[-1] == 0
    assert released(ring.copy(), 5.0, 0.05)[-1] == 0


def test_sound_past_the_end_is_left_out() -> None:
    samples = np.zeros(2400, np.float32)
    add_at(samples, np.ones(2400, np.float32), 0.09)
    assert samples.sum() == 240
    assert samples[2160] == 1
