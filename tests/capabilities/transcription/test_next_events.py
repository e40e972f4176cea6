import numpy as np
import pytest
import torch

from tutti.capabilities.transcription.models.next_events import NEXT_FEATURES, next_events, time_codes
from tutti.capabilities.transcription.models.note_stem import NOTE_FEATURES
from tutti.capabilities.transcription.models.tutti_notes import PITCHES

STEPS = 12
HALF = NEXT_FEATURES // 2


def silence() -> torch.Tensor:
    return torch.zeros(1, STEPS, NOTE_FEATURES)


def strike(features: torch.Tensor, frame: int, pitch: int, probability: float) -> None:
    step, place = divmod(frame, 2)
    features[0, step, place * PITCHES + pitch] = probability


def hold(features: torch.Tensor, first: int, last: int, pitch: int, probability: float = 1.0) -> None:
    for frame in range(first, last):
        step, place = divmod(frame, 2)
        features[0, step, (2 + place) * PITCHES + pitch] = probability


def frames_told(codes: torch.Tensor) -> list[float | None]:
    """The frame that each step's code means, None where there is nothing."""
    known = torch.from_numpy(time_codes(np.arange(2 * STEPS) / 2))
    return [None if not code.any() else float((known - code).abs().sum(-1).argmin()) for code in codes]


def test_each_step_is_told_the_next_begin_and_the_next_end() -> None:
    features = silence()
    strike(features, 5, 30, 0.9)
    strike(features, 14, 60, 0.4)
    hold(features, 5, 11, 30)
    told = next_events(features)
    assert told.shape == (1, STEPS, NEXT_FEATURES)
    assert frames_told(told[0, :, :HALF]) == [5] * 3 + [14] * 5 + [None] * 4
    assert frames_told(told[0, :, HALF:]) == [11] * 6 + [None] * 6


def test_only_the_likeliest_of_neighbours_is_a_begin() -> None:
    features = silence()
    for frame, probability in ((7, 0.35), (8, 0.8), (9, 0.6), (10, 0.35)):
        strike(features, frame, 50, probability)
    assert frames_told(next_events(features)[0, :, :HALF]) == [8] * 5 + [None] * 7


def test_of_several_alike_the_first_is_the_begin() -> None:
    features = silence()
    for frame in (8, 9, 10):
        strike(features, frame, 50, 1.0)
    assert frames_told(next_events(features)[0, :, :HALF]) == [8] * 5 + [None] * 7


def test_a_drum_begins_too() -> None:
    features = silence()
    features[0, 4, -1] = 0.7  # the second frame of its step
    assert frames_told(next_events(features)[0, :, :HALF]) == [9] * 5 + [None] * 7


@pytest.mark.parametrize("probability", [0.0, 0.29])
def test_what_is_unlikely_does_not_begin(probability: float) -> None:
    features = silence()
    strike(features, 5, 30, probability)
    assert not next_events(features)[..., :HALF].any()


def test_what_sounds_on_does_not_end() -> None:
    features = silence()
    hold(features, 5, 2 * STEPS, 30)
    hold(features, 0, 9, 40, 0.4)  # never sounded
    assert not next_events(features)[..., HALF:].any()
