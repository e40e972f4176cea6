import numpy as np
import pytest

from tutti.capabilities.transcription.decode import Thresholds
from tutti.capabilities.transcription.hearing_frames import load, predict_blocks
from tutti.capabilities.transcription.metrics import evaluate
from tutti.capabilities.transcription.thresholds import choose_thresholds, hear
from tutti.capabilities.transcription.types import Options
from tutti.datasets.plucked import pluck
from tutti.music.notes import Note, Notes

RATE_HZ = 24_000


@pytest.fixture(scope="module")
def piece() -> tuple[np.ndarray, Notes]:
    """A scale on a synthetic string."""
    rng = np.random.default_rng(0)
    samples = np.zeros(6 * RATE_HZ, np.float32)
    notes = []
    for index, pitch in enumerate((48, 50, 52, 53, 55, 57, 59, 60)):
        onset_s = 0.5 + 0.6 * index
        tone = pluck(
            440 * 2 ** ((pitch - 69) / 12), RATE_HZ // 2, tilt=1.0, stiffness=1e-5, position=0.2, decay_per_s=2.0,
            brightness_loss=0.01, beating_hz=0.0, sharp_cents=0.0, rng=rng,
        )  # fmt: skip
        begin = round(onset_s * RATE_HZ)
        samples[begin : begin + len(tone)] += (0.3 * tone / np.abs(tone).max()).astype(np.float32)
        notes.append(Note(onset_s, onset_s + 0.5, pitch, 90))
    return samples, Notes.of(notes)


def test_chosen_thresholds_score_no_worse_than_any_tried_alone(piece: tuple[np.ndarray, Notes]) -> None:
    _, model = load(Options(device="cpu", precision="fp32"))
    chosen, scores = choose_thresholds(model, [piece])
    blocks = list(predict_blocks(model, [piece[0]]))
    for onset in (0.1, 0.5):
        rival = evaluate(piece[1], hear(blocks, Thresholds(onset, 0.4, 0.6, 0.4)))
        assert scores["onset_f1"] >= rival["onset_f1"]
    assert scores["onset_f1"] > 0.5
    assert scores.get("drum_onset_f1", 0.0) == 0.0  # drums heard where there are none are worth nothing
    assert all(0 < getattr(chosen, name) < 1 for name in Thresholds.__dataclass_fields__)
