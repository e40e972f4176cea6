import pytest

from tutti.capabilities.transcription.metrics import evaluate
from tutti.music.notes import Note, Notes

REFERENCE = Notes.of([Note(0.0, 1.0, 60, 80), Note(1.0, 2.0, 64, 80), Note(2.0, 3.0, 67, 80)])


def test_a_recording_scores_one_against_itself() -> None:
    drums = Notes.of([*REFERENCE, Note(0.5, 0.6, 36, 90, 0, True)])
    assert set(evaluate(drums, drums).values()) == {1.0}


def test_onsets_count_within_50_ms_and_offsets_within_a_fifth_of_the_note() -> None:
    late = Notes.of([Note(0.04, 1.19, 60, 80), Note(1.06, 2.0, 64, 80), Note(2.0, 2.7, 67, 80)])
    scores = evaluate(REFERENCE, late)
    assert scores["onset_f1"] == pytest.approx(2 / 3)  # the second is 60 ms late
    assert scores["onset_offset_f1"] == pytest.approx(1 / 3)  # the third also ends too early


def test_precision_and_recall_are_not_mixed_up() -> None:
    scores = evaluate(REFERENCE, Notes.of(REFERENCE.notes[:1]))
    assert scores["onset_precision"] == 1.0
    assert scores["onset_recall"] == pytest.approx(1 / 3)


def test_drums_are_scored_apart_from_pitches_and_by_class() -> None:
    reference = Notes.of([Note(0.5, 0.6, 36, 90, 0, True), Note(1.0, 1.1, 38, 90, 0, True)])
    estimate = Notes.of([Note(0.5, 0.6, 35, 90, 0, True), Note(1.0, 1.1, 42, 90, 0, True)])
    scores = evaluate(reference, estimate)
    assert scores["drum_onset_f1"] == 1.0
    assert scores["drum_kick_f1"] == 1.0
    assert scores["drum_snare_f1"] == scores["drum_hihat_closed_f1"] == 0.0
    assert scores["onset_f1"] == 1.0  # neither side has pitched notes


def test_nothing_found_scores_zero() -> None:
    assert evaluate(REFERENCE, Notes())["onset_f1"] == 0.0
    assert evaluate(Notes(), REFERENCE)["onset_f1"] == 0.0
