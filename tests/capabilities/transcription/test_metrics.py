from collections.abc import Sequence
from dataclasses import replace

import mir_eval
import numpy as np
import pytest
from numpy.typing import NDArray

from tutti.capabilities.transcription.metrics import (
    GRANULARITIES,
    SWEEP_MS,
    bootstrap_interval,
    evaluate,
    evaluate_fully,
    mean_scores,
)
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


def played(seed: int, count: int, *, near: Notes | None = None) -> Notes:
    """Many notes of a few instruments, crowded enough that which note is whose matters; or such notes, played again."""
    rng = np.random.default_rng(seed)
    notes = []
    for row in range(count):
        onset_s, length_s = rng.uniform(0, count / 8), rng.uniform(0.02, 0.6)
        pitch, program, is_drum = int(rng.integers(50, 58)), int(rng.choice([0, 1, 33, 40])), bool(rng.random() < 0.2)
        if near is not None and rng.random() < 0.9:
            onset_s = max(0.0, near[row].onset_s + rng.normal(0, 0.03))
            length_s = near[row].duration_s * rng.uniform(0.7, 1.3)
            pitch, program, is_drum = near[row].pitch, near[row].program, near[row].is_drum
        notes.append(Note(onset_s, onset_s + length_s, pitch, int(rng.integers(1, 128)), program, is_drum))
    return Notes.of(notes)


TRUTH = played(1, 400)
HEARD = played(2, 400, near=TRUTH)


@pytest.fixture(scope="module")
def scores() -> dict[str, float]:
    return evaluate_fully(TRUTH, HEARD)


def arrays(notes: Sequence[Note]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return (
        np.array([(note.onset_s, note.offset_s) for note in notes]),
        mir_eval.util.midi_to_hz(np.array([note.pitch for note in notes])),
    )


@pytest.mark.parametrize("tolerance_ms", SWEEP_MS)
@pytest.mark.parametrize("with_offset", [False, True])
def test_pitched_scores_are_those_mir_eval_gives_the_whole_piece(
    tolerance_ms: int, with_offset: bool, scores: dict[str, float]
) -> None:
    precision, recall, f1, _ = mir_eval.transcription.precision_recall_f1_overlap(
        *arrays(TRUTH.pitched),
        *arrays(HEARD.pitched),
        onset_tolerance=tolerance_ms / 1000,
        offset_ratio=0.2 if with_offset else None,
        offset_min_tolerance=tolerance_ms / 1000,
    )
    name = "onset_offset" if with_offset else "onset"
    assert scores[f"{name}_f1_{tolerance_ms}ms"] == pytest.approx(f1, abs=1e-12)
    if tolerance_ms == 50:
        assert [scores[f"{name}_{part}"] for part in ("precision", "recall", "f1")] == pytest.approx(
            [precision, recall, f1], abs=1e-12
        )


@pytest.mark.parametrize(("name", "ratio"), [("onset_velocity", None), ("onset_offset_velocity", 0.2)])
def test_velocity_scores_are_mir_evals(name: str, ratio: float | None) -> None:
    # apart in time, so that only one matching is possible: among several, the fit depends on which is taken
    truth = Notes.of(Note(i, i + 0.5, 60 + i % 7, 20 + (i * 37) % 90) for i in range(60))
    heard = Notes.of(Note(n.onset_s + 0.01, n.offset_s, n.pitch, 30 + (n.velocity * 13) % 70) for n in truth.notes[:50])
    louder = Notes.of([*heard, *(Note(n.onset_s, n.offset_s, n.pitch, n.velocity // 2) for n in truth.notes[50:])])
    expected = mir_eval.transcription_velocity.precision_recall_f1_overlap(
        *arrays(truth.notes),
        np.array([n.velocity for n in truth]),
        *arrays(louder.notes),
        np.array([n.velocity for n in louder]),
        offset_ratio=ratio,
    )
    scores = evaluate_fully(truth, louder)
    assert 0.05 < expected[2] < 0.95
    assert [scores[f"{name}_{part}"] for part in ("precision", "recall", "f1")] == pytest.approx(expected[:3])


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("kind", ["multi", "multi_pitched", "multi_onset"])
def test_instruments_count_as_the_mt3_paper_counts_them(granularity: str, kind: str, scores: dict[str, float]) -> None:
    """Instrument by instrument, precision weighted by estimated and recall by reference notes."""
    tracks = [
        {
            key: [n for n in side if (GRANULARITIES[granularity](n.program), n.is_drum) == key]
            for key in {(GRANULARITIES[granularity](n.program), n.is_drum) for n in (*TRUTH, *HEARD)}
        }
        for side in (TRUTH, HEARD)
    ]
    precisions, recalls, given, known = 0.0, 0.0, 0, 0
    for key in tracks[0]:
        if kind == "multi_pitched" and key[1]:
            continue
        reference, estimate = tracks[0][key], tracks[1][key]
        ratio = None if key[1] or kind == "multi_onset" else 0.2
        precision, recall, _, _ = mir_eval.transcription.precision_recall_f1_overlap(
            *arrays(reference), *arrays(estimate), offset_ratio=ratio
        )
        precisions, recalls = precisions + precision * len(estimate), recalls + recall * len(reference)
        given, known = given + len(estimate), known + len(reference)
    assert scores[f"{kind}_{granularity}_precision"] == pytest.approx(precisions / given)
    assert scores[f"{kind}_{granularity}_recall"] == pytest.approx(recalls / known)
    assert scores[f"{kind}_{granularity}_f1"] == pytest.approx(
        mir_eval.util.f_measure(precisions / given, recalls / known)
    )


def test_a_wrong_program_is_forgiven_as_far_as_the_granularity_goes() -> None:
    for program, right in ((1, ("flat", "class")), (40, ("flat",))):
        scores = evaluate_fully(REFERENCE, Notes.of(replace(note, program=program) for note in REFERENCE))
        assert {name for name in GRANULARITIES if scores[f"multi_{name}_f1"] == 1.0} == set(right)
        assert scores["onset_offset_f1"] == 1.0


def test_drums_count_by_key_and_whatever_their_length() -> None:
    reference = Notes.of([Note(0.5, 0.6, 36, 90, 0, True), Note(1.0, 1.1, 38, 90, 0, True)])
    estimate = Notes.of([Note(0.5, 3.0, 36, 90, 0, True), Note(1.0, 1.1, 40, 90, 0, True)])
    scores = evaluate_fully(reference, estimate)
    assert scores["drum_onset_f1"] == 1.0
    assert scores["drum_key_onset_f1"] == scores["multi_full_f1"] == scores["multi_onset_full_f1"] == 0.5
    assert scores["multi_pitched_full_f1"] == 1.0  # neither side has pitched notes
    assert "drum_key_onset_f1" not in evaluate_fully(REFERENCE, REFERENCE)


CELL_S = 0.064  # four frames of the roll


def cells(first: int, after: int, velocity: int = 127) -> Notes:
    return Notes.of([Note(first * CELL_S, after * CELL_S, 10, velocity)])


def test_frames_count_as_in_the_papers_own_test() -> None:
    scores = evaluate_fully(cells(0, 3), cells(2, 5))
    assert scores["frame_precision"] == pytest.approx(1 / 3)
    assert scores["frame_recall"] == pytest.approx(1 / 3)


def test_frames_leave_out_what_the_reference_plays_softly_and_drums() -> None:
    assert evaluate_fully(cells(0, 3, velocity=30), cells(0, 3))["frame_f1"] == 0.0
    assert evaluate_fully(cells(0, 3, velocity=31), cells(0, 3, velocity=1))["frame_f1"] == 1.0
    with_drums = Notes.of([*cells(0, 3), Note(5.0, 9.0, 40, 100, 0, True)])
    assert evaluate_fully(with_drums, cells(0, 3))["frame_f1"] == 1.0


def test_a_note_lasts_at_least_50_ms_in_the_roll() -> None:
    short, long = (Notes.of([Note(1.0, end, 60, 100)]) for end in (1.001, 1.05))
    assert evaluate_fully(long, short)["frame_f1"] == 1.0


def test_velocity_is_scored_only_where_both_sides_know_it(scores: dict[str, float]) -> None:
    assert "onset_velocity_f1" not in evaluate_fully(TRUTH, Notes.of(replace(note, velocity=100) for note in HEARD))
    assert "onset_velocity_f1" in scores


def test_how_many_notes_were_given_is_told() -> None:
    assert evaluate_fully(REFERENCE, Notes.of(REFERENCE.notes[:2]))["note_ratio"] == pytest.approx(2 / 3)
    assert "note_ratio" not in evaluate_fully(Notes(), REFERENCE)


def test_everything_is_one_against_itself_and_nothing_against_nothing() -> None:
    loud = Notes.of(replace(note, velocity=max(31, note.velocity)) for note in TRUTH)
    assert set(evaluate_fully(loud, loud).values()) == {1.0}
    assert set(evaluate_fully(Notes(), Notes()).values()) == {1.0}
    assert set(evaluate_fully(REFERENCE, Notes()).values()) == {0.0}


def test_a_mean_is_over_the_files_that_have_the_score() -> None:
    assert mean_scores([{"a": 1.0, "b": 0.5}, {"a": 0.0}]) == {"a": 0.5, "b": 0.5}


def test_the_interval_holds_the_mean_narrows_with_more_files_and_repeats() -> None:
    few, many = [0.2, 0.4, 0.5, 0.6, 0.9], [0.2, 0.4, 0.5, 0.6, 0.9] * 20
    (low, high), (lower, higher) = bootstrap_interval(few), bootstrap_interval(many)
    assert 0.2 < low < 0.52 < high < 0.9
    assert higher - lower < (high - low) / 3
    assert bootstrap_interval(few) == (low, high)
    assert bootstrap_interval([0.5] * 5) == (0.5, 0.5)
