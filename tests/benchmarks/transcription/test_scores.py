import numpy as np
import pytest

from benchmarks.transcription.references import DrumReference, PitchedReference, PlayedNote
from benchmarks.transcription.scores import (
    Counts,
    count_onsets,
    mean_interval,
    merge_strikes,
    pooled,
    score_drums,
    score_notes,
    score_piece,
)
from tutti.music.notes import Note, Notes

REFERENCE = PitchedReference("A1", (PlayedNote(0.0, 1.0, 60.0), PlayedNote(1.0, 2.0, 64.3), PlayedNote(2.0, 3.0, 67.0)))
DRUMS = DrumReference("X", ((0.0, "KD"), (0.0, "CY"), (0.5, "SD"), (1.0, "OT")))


def estimate(*rows: tuple[float, float, int], is_drum: bool = False) -> Notes:
    return Notes.of(Note(onset, offset, pitch, 80, is_drum=is_drum) for onset, offset, pitch in rows)


def test_counts_give_precision_recall_and_f1() -> None:
    counts = Counts(matched=2, reference=4, estimated=5)

    assert counts.precision == pytest.approx(0.4)
    assert counts.recall == pytest.approx(0.5)
    assert counts.f1 == pytest.approx(2 * 0.4 * 0.5 / 0.9)
    assert counts.ratio == pytest.approx(1.25)


def test_counts_of_nothing_are_zero() -> None:
    assert (Counts(0, 0, 0).f1, Counts(0, 3, 0).precision, Counts(0, 0, 3).recall) == (0.0, 0.0, 0.0)


def test_notes_match_within_50_ms_and_50_cents() -> None:
    found = score_notes(REFERENCE, estimate((0.049, 1.0, 60), (1.051, 2.0, 64), (2.0, 3.0, 68)))

    assert found.onset == Counts(1, 3, 3)
    assert found.sweep[0.1].matched == 2
    assert found.sweep[0.02].matched == 0
    assert found.lag_s == pytest.approx(0.049)


def test_offsets_may_be_a_fifth_of_the_duration_late() -> None:
    found = score_notes(REFERENCE, estimate((0.0, 1.19, 60), (1.0, 2.21, 64)))

    assert found.onset.matched == 2
    assert found.with_offset is not None
    assert found.with_offset.matched == 1


def test_drum_notes_do_not_count_as_pitched() -> None:
    heard = Notes.of([Note(0.0, 1.0, 60, 80), Note(1.0, 2.0, 64, 80, is_drum=True)])

    assert score_notes(REFERENCE, heard).onset == Counts(1, 3, 1)


def test_silence_scores_zero_without_lag() -> None:
    found = score_notes(REFERENCE, Notes())

    assert found.onset == Counts(0, 3, 0)
    assert found.lag_s is None


def test_strikes_closer_than_30_ms_are_one() -> None:
    assert merge_strikes([0.1, 0.0, 0.029, 0.031]).tolist() == [0.0, 0.031, 0.1]


def test_drum_onsets_count_any_class_and_every_class() -> None:
    found = score_drums(
        DRUMS, estimate((0.0, 0.1, 36), (0.51, 0.6, 42), (1.0, 1.1, 37), is_drum=True), knows_drums=True
    )

    assert found.onset == Counts(3, 3, 3)
    assert found.classes["KD"] == Counts(1, 1, 1)
    assert found.classes["SD"] == Counts(0, 1, 0)
    assert found.classes["HH"] == Counts(0, 0, 1)
    assert "OT" not in found.classes


def test_a_system_without_drums_is_scored_by_all_its_onsets() -> None:
    heard = estimate((0.0, 0.1, 36), (0.5, 0.6, 90))

    assert score_drums(DRUMS, heard, knows_drums=False).onset == Counts(2, 3, 2)
    assert score_drums(DRUMS, heard, knows_drums=False).classes == {}


def test_a_system_with_drums_gets_nothing_for_pitched_notes() -> None:
    assert score_drums(DRUMS, estimate((0.0, 0.1, 36)), knows_drums=True).onset == Counts(0, 3, 0)


def test_onsets_match_one_to_one() -> None:
    assert count_onsets(np.array([1.0]), np.array([0.96, 1.04])) == Counts(1, 1, 2)
    assert count_onsets(np.array([]), np.array([1.0])) == Counts(0, 0, 1)


def test_a_piece_is_the_mean_over_its_annotators() -> None:
    other = PitchedReference("A2", REFERENCE.notes[:1])

    piece = score_piece("voice", (REFERENCE, other), estimate((0.0, 1.0, 60)), knows_drums=False)

    assert [score.annotator for score in piece.scores] == ["A1", "A2"]
    assert piece.f1 == pytest.approx((0.5 + 1.0) / 2)
    assert piece.f1_with_offset == pytest.approx(0.75)
    assert piece.ratio == pytest.approx((1 / 3 + 1.0) / 2)


def test_the_interval_holds_the_mean_and_repeats() -> None:
    values = [0.2, 0.4, 0.9, 0.7, 0.6]

    interval = mean_interval(values)

    assert interval.low is not None
    assert interval.high is not None
    assert min(values) < interval.low < interval.mean < interval.high < max(values)
    assert interval == mean_interval(values)


def test_one_piece_has_no_interval() -> None:
    assert (mean_interval([0.5]).mean, mean_interval([0.5]).low) == (0.5, None)


def test_pooling_adds_the_counts() -> None:
    assert pooled([Counts(1, 2, 3), Counts(4, 5, 6)]) == Counts(5, 7, 9)
