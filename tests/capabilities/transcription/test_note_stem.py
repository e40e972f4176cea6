from dataclasses import replace

import numpy as np
import pytest
import torch

from tutti.audio.log_frequency import NOTES_FRONT_END
from tutti.audio.segment_features import FRONT_ENDS, mel_centres_hz, mel_matrix
from tutti.capabilities.transcription.families import FAMILIES
from tutti.capabilities.transcription.models.note_stem import (
    NOTE_FEATURES,
    STEM_FEATURES,
    NotesOfBands,
    NoteStem,
    bands_to_bins,
    decided,
    note_features,
)
from tutti.capabilities.transcription.models.tutti_mt3_tiny import ADAPTER
from tutti.capabilities.transcription.models.tutti_notes import PITCHES, Predictions
from tutti.music.drum_kit import DRUM_CLASSES
from tutti.weights.cards import find_card
from tutti.weights.opening import open_strict
from tutti.weights.store import locate

FRONT_END = ADAPTER.front_end
TIMES_S = np.arange(FRONT_END.segment_samples) / FRONT_END.sample_rate_hz


def tone(pitch: int, begin_s: float = 0.0) -> np.ndarray:
    base_hz = 440 * 2 ** ((pitch - 69) / 12)
    sound = sum(np.sin(2 * np.pi * h * base_hz * TIMES_S) / h for h in range(1, 7))
    decay = np.exp(-2 * (TIMES_S - begin_s)) * (begin_s <= TIMES_S)
    return (0.1 * sound * decay).astype(np.float32)


def test_centres_are_where_the_mel_triangles_are_highest() -> None:
    matrix = mel_matrix("linear_in_mel", 128, 20.0, 7600.0)  # wider than the transform's bins
    centres_hz = mel_centres_hz(128, 20.0, 7600.0)
    highest_hz = matrix.argmax(axis=0) * 16_000 / 2048
    assert np.abs(highest_hz - centres_hz).max() <= 16_000 / 2048


@pytest.mark.parametrize("pitch", [45, 57, 69, 81, 93])
def test_the_loudest_bin_of_a_sine_is_that_of_its_pitch(pitch: int) -> None:
    sine = 0.1 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * TIMES_S)
    frame = replace(FRONT_END, stack=1)(sine.astype(np.float32)[None])[0, 40]
    loudest = (frame @ bands_to_bins(FRONT_END)).argmax()
    assert NOTES_FRONT_END.pitches()[loudest] == pytest.approx(pitch, abs=0.34)


def test_bins_above_the_last_band_hear_nothing() -> None:
    above = 440 * 2 ** ((NOTES_FRONT_END.pitches() - 69) / 12) > FRONT_END.high_hz
    matrix = bands_to_bins(FRONT_END)
    assert above.any()
    assert not matrix[:, above].any()
    np.testing.assert_allclose(matrix[:, ~above].sum(axis=0), 1, rtol=1e-5)


@torch.inference_mode()
def test_with_the_weights_of_tutti_notes_it_hears_when_a_note_begins() -> None:
    """The spectrogram is another one, levels and times are the same: what was learnt there holds here."""
    network = NotesOfBands(FRONT_END).eval()
    card = find_card("tutti-notes")
    open_strict(network.notes, locate(card), card.name)
    for pitch, begin_s in ((52, 0.5), (64, 1.0), (76, 1.4)):
        onset = network(torch.from_numpy(FRONT_END(tone(pitch, begin_s)[None]))).onset[0]
        frame, heard = divmod(int(onset.argmax()), PITCHES)
        assert heard + 21 == pitch
        assert frame * 0.016 == pytest.approx(begin_s, abs=0.064)  # half a window: so early it can be heard


def test_features_lie_where_they_are_said_to() -> None:
    """Onsets of both frames, sounding pitches of both, families by pitch, drums of both."""
    steps, never = 3, -30.0
    classes = len(DRUM_CLASSES)
    onset, frame = (torch.full((1, 2 * steps, PITCHES), never) for _ in range(2))
    drums = torch.full((1, 2 * steps, classes), never)
    family = torch.zeros(1, len(FAMILIES), steps, PITCHES)
    onset[0, 3, 10], frame[0, 2, 20], drums[0, 5, 1], family[0, 4, 1, 20] = 30, 30, 30, 60
    other = torch.zeros(0)
    features = note_features(Predictions(onset, frame, other, other, family, drums, other))
    assert features.shape == (1, steps, NOTE_FEATURES)
    families = 4 * PITCHES
    expected = {
        (1, PITCHES + 10): 1.0,  # the second frame of step 1
        (1, 2 * PITCHES + 20): 1.0,
        (1, families + 4 * PITCHES + 20): 1.0,
        (2, families + len(FAMILIES) * PITCHES + classes + 1): 1.0,
    }
    expected |= {(1, families + n * PITCHES + 10): 1 / len(FAMILIES) for n in range(len(FAMILIES))}  # nobody knows
    found = {(int(s), int(f)): float(features[0, s, f]) for s, f in features[0].gt(1e-6).nonzero()}
    assert found == pytest.approx(expected)


def test_a_pitch_is_given_to_its_likeliest_family() -> None:
    steps, other = 2, torch.zeros(0)
    frame = torch.full((1, 2 * steps, PITCHES), 30.0)
    family = torch.zeros(1, len(FAMILIES), steps, PITCHES)
    family[0, 3], family[0, 5] = 3.0, 2.0
    soft = note_features(Predictions(frame, frame, other, other, family, frame[..., : len(DRUM_CLASSES)], other))
    sharp = decided(soft)
    first, last = 4 * PITCHES, (4 + len(FAMILIES)) * PITCHES
    wanted = (4 * family).softmax(1).permute(0, 2, 1, 3).flatten(2)
    torch.testing.assert_close(sharp[..., first:last], wanted)
    torch.testing.assert_close(sharp[..., :first], soft[..., :first])
    torch.testing.assert_close(sharp[..., last:], soft[..., last:])
    assert not decided(torch.zeros(1, 1, NOTE_FEATURES)).any()


@torch.inference_mode()
def test_half_as_many_steps_as_frames() -> None:
    frames = torch.rand(2, FRONT_END.frames, FRONT_END.features)
    features = NoteStem(FRONT_END).eval()(frames)
    assert features.shape == (2, FRONT_END.frames // 2, STEM_FEATURES)
    heard = features[..., :NOTE_FEATURES]
    assert heard.min() >= 0
    assert heard.max() <= 1


def test_the_large_models_spectrogram_is_the_same_but_for_its_scale() -> None:
    assert replace(FRONT_ENDS["mt3"], scaling="clip", stack=2) == FRONT_END
