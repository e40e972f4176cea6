import numpy as np
import pytest
import torch

from tutti.capabilities.transcription.families import FAMILIES
from tutti.capabilities.transcription.models.tutti_notes import Predictions
from tutti.capabilities.transcription.targets import Targets, both, losses, targets_of
from tutti.music.drum_kit import DRUM_CLASSES
from tutti.music.notes import Note

FRAME_S = 0.016
NOTES = [Note(40.25 * FRAME_S, 60 * FRAME_S, 60, 127, 25), Note(30 * FRAME_S, 31 * FRAME_S, 38, 64, 0, True)]


def test_an_onset_is_a_triangle_around_its_exact_time() -> None:
    track = targets_of(NOTES, 0, 100, FRAME_S).onset[:, 60 - 21]
    assert np.flatnonzero(track).tolist() == [39, 40, 41, 42]
    before, here, after = track[39:42]
    assert 40 + (after - before) / (2 * (here - min(before, after))) == pytest.approx(40.25)


def test_frames_velocity_and_family_lie_where_the_note_sounds() -> None:
    targets = targets_of(NOTES, 0, 100, FRAME_S)
    assert np.flatnonzero(targets.frame[:, 39]).tolist() == list(range(40, 60))
    assert targets.velocity[20, 39] == 1.0
    assert targets.family[20, 39] == FAMILIES.index("guitar")
    assert targets.family[5, 39] == -1
    assert targets.offset[:, 39].argmax() == 60


def test_drums_have_their_class_and_are_not_transposed() -> None:
    targets = targets_of(NOTES, 0, 100, FRAME_S, transpose=3)
    row = DRUM_CLASSES.index("snare")
    assert targets.drum_onset[30, row] == 1.0
    assert targets.drum_velocity[30, row] == pytest.approx(64 / 127)
    assert targets.onset[40, 63 - 21] > 0
    assert not targets.onset[:, 60 - 21].any()


def test_a_crop_counts_from_its_first_frame_and_leaves_out_what_is_beyond() -> None:
    targets = targets_of([*NOTES, Note(50.0, 51.0, 70, 64), Note(0.1, 0.2, 10, 64)], 35, 40, FRAME_S)
    assert targets.onset[:, 60 - 21].argmax() == 5
    assert targets.onset.sum() == pytest.approx(targets.onset[:, 60 - 21].sum())


def test_two_stretches_at_once_have_the_notes_of_both() -> None:
    one, other = targets_of(NOTES[:1], 0, 100, FRAME_S), targets_of(NOTES[1:], 0, 100, FRAME_S)
    joined, whole = both(one, other), targets_of(NOTES, 0, 100, FRAME_S)
    for name in Targets.__dataclass_fields__:
        assert np.array_equal(getattr(joined, name), getattr(whole, name)), name
    piano = targets_of([Note(40 * FRAME_S, 60 * FRAME_S, 60, 90)], 0, 100, FRAME_S)
    assert both(one, piano).family[20, 39] == FAMILIES.index("guitar")
    assert both(piano, one).family[20, 39] == FAMILIES.index("piano")


def tensors(targets: Targets) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(getattr(targets, name))[None] for name in Targets.__dataclass_fields__}


def perfect(wanted: dict[str, torch.Tensor]) -> Predictions:
    def logits(target: torch.Tensor) -> torch.Tensor:
        return torch.logit(target.clamp(1e-6, 1 - 1e-6))

    known = wanted["family"].clamp_min(0)
    return Predictions(
        onset=logits(wanted["onset"]), frame=logits(wanted["frame"]), offset=logits(wanted["offset"]),
        velocity=wanted["velocity"],
        family=torch.nn.functional.one_hot(known, len(FAMILIES)).permute(0, 3, 1, 2).float() * 30,
        drum_onset=logits(wanted["drum_onset"]), drum_velocity=wanted["drum_velocity"],
    )  # fmt: skip


def test_the_right_answer_costs_least_and_a_wrong_one_more() -> None:
    wanted = tensors(targets_of(NOTES, 0, 100, FRAME_S))
    right = losses(perfect(wanted), wanted)
    assert float(right["velocity"]) == float(right["drum_velocity"]) == 0.0
    assert float(right["family"]) < 1e-6
    elsewhere = perfect(tensors(targets_of(NOTES, 4, 100, FRAME_S)))
    wrong = losses(elsewhere, wanted)
    for name in ("onset", "frame", "offset", "drum_onset", "velocity", "drum_velocity"):
        assert float(wrong[name]) > float(right[name])


def test_nothing_to_hear_is_a_finite_loss() -> None:
    wanted = tensors(targets_of([], 0, 100, FRAME_S))
    assert all(torch.isfinite(value) for value in losses(perfect(wanted), wanted).values())
