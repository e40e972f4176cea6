from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutti.capabilities.drums.decode import FAMILIES, Answers, Calibration, Thresholds, decode_hits
from tutti.music.drum_hits import DrumHits
from tutti.music.drum_kit import DRUM_CLASSES

HALF = Thresholds(0.5, 0.5, 0.5, 0.5, 0.5)
FRAME_S = 0.01


def answers(*strokes: tuple[int, str, float], frames: int = 60, velocity: float = 0.5) -> Answers:
    onset = np.zeros((frames, len(DRUM_CLASSES)), np.float32)
    for frame, name, value in strokes:
        onset[frame, DRUM_CLASSES.index(name)] = value
    return Answers(onset, np.full_like(onset, velocity))


def named(hits: DrumHits) -> list[tuple[int, str]]:
    return [(round(hit.time_s / FRAME_S), hit.instrument) for hit in hits]


def test_every_class_is_in_one_family() -> None:
    assert sorted(name for pieces in FAMILIES.values() for name in pieces) == sorted(DRUM_CLASSES)


@pytest.mark.parametrize("name", DRUM_CLASSES)
def test_one_peak_is_one_stroke_of_its_piece(name: str) -> None:
    (hit,) = decode_hits(answers((20, name, 0.8)), HALF, FRAME_S)
    assert (hit.time_s, hit.instrument, hit.velocity) == (pytest.approx(0.2), name, 64)
    assert hit.confidence == pytest.approx(0.8, abs=1e-6)


def test_families_are_struck_at_once_and_apart() -> None:
    hits = decode_hits(
        answers((20, "kick", 0.9), (20, "ride", 0.9), (21, "snare", 0.9), (20, "tom_low", 0.9)), HALF, FRAME_S
    )
    assert sorted(named(hits)) == [(20, "kick"), (20, "ride"), (20, "tom_low"), (21, "snare")]


def test_an_unsure_pair_is_one_stroke_of_the_likelier() -> None:
    (hit,) = decode_hits(answers((20, "ride", 0.45), (20, "crash", 0.4)), HALF, FRAME_S)
    assert hit.instrument == "ride"
    assert hit.confidence == pytest.approx(1 - 0.55 * 0.6, abs=1e-6)
    (hit,) = decode_hits(answers((20, "hihat_open", 0.9), (20, "hihat_closed", 0.8)), HALF, FRAME_S)
    assert hit.instrument == "hihat_open"


def test_pieces_that_answer_a_frame_apart_are_weighed_together() -> None:
    onset = answers((19, "crash", 0.5), (20, "crash", 0.5), (20, "ride", 0.6), (21, "crash", 0.3))
    assert named(decode_hits(onset, HALF, FRAME_S)) == [(20, "crash")]


def test_below_its_familys_threshold_nothing_is_struck() -> None:
    quiet = answers((20, "kick", 0.6), (20, "crash", 0.6), (30, "snare", 0.3))
    assert named(decode_hits(quiet, Thresholds(0.7, 0.2, 0.5, 0.5, 0.59), FRAME_S)) == [(20, "crash"), (30, "snare")]
    assert len(decode_hits(answers(), HALF, FRAME_S)) == 0
    assert len(decode_hits(answers(frames=0), HALF, FRAME_S)) == 0


def test_a_long_answer_is_one_stroke_and_strokes_three_frames_apart_are_two() -> None:
    plateau = answers(*[(frame, "snare", 0.8) for frame in (20, 21, 22)])
    assert len(decode_hits(plateau, HALF, FRAME_S)) == 1
    flam = answers((20, "snare", 0.7), (23, "snare", 0.9))
    assert named(decode_hits(flam, HALF, FRAME_S)) == [(20, "snare"), (23, "snare")]
    assert named(decode_hits(answers((20, "snare", 0.7), (22, "snare", 0.9)), HALF, FRAME_S)) == [(22, "snare")]


@pytest.mark.parametrize(("before", "after", "shift"), [(0.5, 0.5, 0.0), (0.4, 0.6, 0.125), (0.2, 0.8, 0.5)])
def test_times_lie_between_frames(before: float, after: float, shift: float) -> None:
    (hit,) = decode_hits(answers((19, "kick", before), (20, "kick", 0.8), (21, "kick", after)), HALF, FRAME_S)
    assert hit.time_s == pytest.approx((20 + shift) * FRAME_S, abs=0.0021)


@pytest.mark.parametrize(("velocity", "written"), [(0.0, 1), (0.5, 64), (1.0, 127)])
def test_velocities_are_midi(velocity: float, written: int) -> None:
    (hit,) = decode_hits(answers((0, "kick", 0.9), velocity=velocity), HALF, FRAME_S)
    assert (hit.time_s, hit.velocity) == (0.0, written)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 80), st.floats(0.05, 0.95), st.integers(0, 2**32 - 1))
def test_whatever_is_answered_strokes_of_a_family_are_apart_in_time_and_within_the_recording(
    frames: int, threshold: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    onset = rng.random((frames, 14)).astype(np.float32) ** 8
    hits = decode_hits(
        Answers(onset, rng.random((frames, 14)).astype(np.float32)), Thresholds(*[threshold] * 5), FRAME_S
    )
    for pieces in FAMILIES.values():
        times_s = [hit.time_s for hit in hits if hit.instrument in pieces]
        assert all(later - earlier > 1.9 * FRAME_S for earlier, later in pairwise(times_s))
    assert all(0 <= hit.time_s <= frames * FRAME_S and hit.confidence >= threshold - 1e-6 for hit in hits)


def test_confidence_is_calibrated_family_by_family() -> None:
    calibration = Calibration((10.0, 10.0, 10.0, 10.0, 2.0), (0.8, 0.5, 0.5, 0.5, 0.8))
    hits = decode_hits(answers((20, "kick", 0.8), (30, "crash", 0.6)), HALF, FRAME_S, calibration)
    assert [hit.confidence for hit in hits] == pytest.approx([0.5, 1 / (1 + np.exp(0.4))], abs=1e-6)


def test_answers_of_windows_join_to_those_of_the_whole() -> None:
    whole = answers((20, "kick", 0.8), (40, "snare", 0.7))
    parts = [Answers(whole.onset[begin : begin + 25], whole.velocity[begin : begin + 25]) for begin in range(0, 60, 25)]
    joined = Answers.joined(iter(parts))
    assert np.array_equal(joined.onset, whole.onset)
    assert np.array_equal(joined.velocity, whole.velocity)
    assert len(Answers.joined([])) == 0
