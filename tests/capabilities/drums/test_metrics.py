"""Counts, and what is pooled of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.capabilities.drums.metrics import (
    Counts,
    correlation,
    count,
    evaluate,
    evaluate_together,
    family_of,
    matched_velocities,
    pooled,
    summed,
)
from tutti.music.drum_hits import DrumHit, DrumHits
from tutti.music.drum_kit import DRUM_CLASSES


def hits(*rows: tuple[float, str] | tuple[float, str, int]) -> DrumHits:
    return DrumHits.of(DrumHit(row[0], row[1], row[2] if len(row) > 2 else 90) for row in rows)


def test_every_piece_has_a_family() -> None:
    assert {family_of(piece) for piece in DRUM_CLASSES} == {"kick", "snare", "hihat", "tom", "cymbal"}
    assert family_of("side_stick") == "snare"
    assert family_of("ride_bell") == "cymbal"


def test_a_hit_is_right_within_the_window_and_once() -> None:
    truth = hits((1.0, "kick"), (2.0, "kick"), (3.0, "snare"))
    heard = hits((1.049, "kick"), (1.01, "kick"), (2.051, "kick"), (3.0, "side_stick"), (3.0, "tom_low"))
    counts = count(truth, heard, 0.05)
    assert counts["kick"] == Counts(1, 3, 2)
    assert counts["snare"] == Counts(1, 1, 1)
    assert counts["tom"] == Counts(0, 1, 0)
    assert counts["hihat"] == Counts()
    assert count(truth, heard, 0.02)["kick"] == Counts(1, 3, 2)
    by_piece = count(truth, heard, 0.05, pieces=True)
    assert (by_piece["snare"], by_piece["side_stick"]) == (Counts(0, 0, 1), Counts(0, 1, 0))


def test_the_numbers_of_counts() -> None:
    counts = Counts(3, 4, 6)
    assert (counts.precision, counts.recall, counts.f1) == (0.75, 0.5, 0.6)
    assert (Counts().precision, Counts().recall, Counts().f1) == (1.0, 1.0, 1.0)
    assert (Counts(0, 2, 0).precision, Counts(0, 0, 2).precision, Counts(0, 0, 2).f1) == (0.0, 0.0, 0.0)


def test_pooling_weighs_hits_not_recordings() -> None:
    short, long = {"kick": Counts(0, 1, 1)}, {"kick": Counts(9, 9, 9), "tom": Counts(0, 1, 0)}
    assert pooled([short, long]) == Counts(9, 11, 10)
    assert summed([short, long]) == {"kick": Counts(9, 10, 10), "tom": Counts(0, 1, 0)}


def test_evaluating_says_families_that_occur() -> None:
    truth = hits((1.0, "kick", 30), (2.0, "kick", 60), (3.0, "ride", 120))
    heard = hits((1.03, "kick", 40), (2.0, "kick", 60), (3.0, "crash", 100))
    scores = evaluate(truth, heard)
    assert scores["f1_50ms"] == 1.0
    assert scores["f1_20ms"] == pytest.approx(2 / 3)
    assert scores["f1_pieces_50ms"] == pytest.approx(2 / 3)
    assert scores["kick_f1_20ms"] == 0.5
    assert "tom_f1_50ms" not in scores
    assert scores["velocity_r"] == pytest.approx(np.corrcoef([30, 60, 120], [40, 60, 100])[0, 1])


def test_loudness_that_is_not_known_has_no_correlation() -> None:
    truth = hits((1.0, "kick"), (2.0, "kick"), (3.0, "kick"))
    assert "velocity_r" not in evaluate(truth, hits((1.0, "kick", 3), (2.0, "kick", 9), (3.0, "kick", 90)))
    assert matched_velocities(truth, hits()).shape == (0, 2)
    assert correlation(np.array([[1.0, 2.0], [2.0, 3.0]])) is None


def test_recordings_together_are_one() -> None:
    first = hits((1.0, "kick", 10), (2.0, "snare", 100)), hits((1.0, "kick", 20), (2.0, "snare", 90))
    second = hits((1.0, "tom_low", 50), (2.0, "snare", 40)), hits((1.0, "tom_low", 60))
    scores = evaluate_together([first, second])
    assert scores["f1_50ms"] == pytest.approx(6 / 7)
    assert scores["snare_f1_50ms"] == pytest.approx(2 / 3)
    assert scores["velocity_r"] == pytest.approx(np.corrcoef([10, 100, 50], [20, 90, 60])[0, 1])
    assert evaluate_together([]) == {"f1_50ms": 1.0, "f1_20ms": 1.0, "f1_pieces_50ms": 1.0}


some_hits = st.lists(
    st.builds(DrumHit, st.floats(0, 10), st.sampled_from(DRUM_CLASSES), st.integers(1, 127)), max_size=30
).map(DrumHits.of)


@given(some_hits, some_hits)
def test_scores_are_shares_and_truth_and_answer_trade_places(one: DrumHits, other: DrumHits) -> None:
    there, back = evaluate(one, other), evaluate(other, one)
    assert all(0 <= value <= 1 for name, value in there.items() if name != "velocity_r")
    assert there["f1_20ms"] <= there["f1_50ms"] + 1e-12
    assert there["f1_pieces_50ms"] <= there["f1_50ms"] + 1e-12
    assert there == pytest.approx(back)


@given(some_hits)
def test_the_truth_is_right(known: DrumHits) -> None:
    scores = evaluate(known, known)
    assert all(value == pytest.approx(1) for value in scores.values())
