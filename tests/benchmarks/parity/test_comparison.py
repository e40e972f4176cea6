"""What counts as equal, and the table that says it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.parity.report import render_report
from benchmarks.parity.systems import SYSTEMS, Answers, Comparison, Gaps, Speed, compared, teacher_tokens


def answers(tokens: list[list[list[int]]], **other: object) -> Answers:
    given = {
        "features": np.zeros((2, 3)),
        "states": np.zeros((2, 3)),
        "logits": np.zeros((2, 3)),
        "tokens": np.array(tokens),
        "notes": np.array([[0.0, 1, 60, 0, 0, 100], [0.5, 2, 62, 0, 0, 100]]),
        "seconds_decode": np.array([2.0, 1.0]),
        "seconds_encode": np.array([2.0, 1.0]),
        "margin": np.array(0.004),
        "tokens_decoded": np.array(8),
    }
    return {**given, **{name: np.asarray(value) for name, value in other.items()}}


def outcome(theirs: Answers, own: Answers, title: str = "MT3-PyTorch", onnx: Answers | None = None) -> Comparison:
    system = next(system for system in SYSTEMS if system.title == title)
    return compared(system, theirs, own, Speed(1, 1), own if onnx is None else onnx)


def test_padding_behind_the_end_is_no_difference() -> None:
    result = outcome(answers([[[5, 6, 1, 0]], [[7, 1, 0, 0]]]), answers([[[5, 6, 1]], [[7, 1, 0]]]))
    assert (result.equal_segments, result.segments) == (2, 2)


def test_one_channel_makes_a_segment_unequal() -> None:
    result = outcome(answers([[[5, 1], [6, 1]], [[7, 1], [8, 1]]]), answers([[[5, 1], [9, 1]], [[7, 1], [8, 1]]]))
    assert (result.equal_segments, result.segments, result.rows) == (1, 2, 4)


def test_a_row_that_goes_on_is_another() -> None:
    assert outcome(answers([[[5, 6, 6]], [[7, 1, 0]]]), answers([[[5, 6, 1]], [[7, 1, 0]]])).equal_segments == 1


def test_gaps_are_the_largest() -> None:
    own = answers([[[5, 1]], [[7, 1]]], logits=[[0, 0.5, 0], [0, 0, -2]])
    assert outcome(answers([[[5, 1]], [[7, 1]]]), own).gaps == Gaps(0, 0, 2)


def test_other_shapes_are_an_error() -> None:
    with pytest.raises(ValueError, match="upstream gave"):
        outcome(answers([[[5, 1]]]), answers([[[5, 1]]], states=np.zeros((2, 4))))


def test_notes_count_in_any_order() -> None:
    theirs = answers([[[5, 1]]])
    assert outcome(theirs, {**theirs, "notes": theirs["notes"][::-1]}).are_notes_equal is True
    assert outcome(theirs, {**theirs, "notes": theirs["notes"][:1]}).are_notes_equal is False
    assert outcome({name: theirs[name] for name in theirs if name != "notes"}, theirs).are_notes_equal is None


def test_encoder_counts_where_upstreams_loop_contains_it() -> None:
    both = answers([[[5, 6, 7, 1]], [[5, 6, 7, 1]]])
    assert outcome(both, both).ours == Speed(2, 4)
    assert outcome(both, both, "YMT3+").ours == Speed(4, 8)
    assert outcome(both, both).upstream == Speed(4, 8)


def test_onnxruntime_is_held_against_torch() -> None:
    both = answers([[[5, 6, 1]], [[7, 1, 0]]])
    other = answers([[[5, 7, 1, 0]], [[7, 1, 0, 0]]], seconds_decode=[1.0, 1.0], seconds_encode=[0.0, 1.0])
    assert outcome(both, both).onnx_equal_rows == 2
    result = outcome(both, both, onnx=other)
    assert result.onnx_equal_rows == 1
    assert (result.ours, result.onnx) == (Speed(2, 4), Speed(8, 4))


def test_teacher_begins_every_row_with_the_start() -> None:
    tokens = teacher_tokens(100, (2, 3, 4))
    assert tokens.shape == (2, 3, 4)
    assert not tokens[:, :, 0].any()
    assert tokens.max() < 100


def test_report_says_what_was_found() -> None:
    both = answers([[[5, 6, 7, 1]], [[5, 6, 7, 1]]])
    result = replace(outcome(both, both), gaps=Gaps(1e-4, 2e-5, 3e-6), alone=Speed(1, 2))
    text = render_report([result], "Measured.\n")
    assert "| MT3-PyTorch | 1.0e-04 | 2.0e-05 | 3.0e-06 | 2 of 2 | 4 | 4.0e-03 | 2 | all |" in text
    assert "| MT3-PyTorch | 4 | 2 | 0.5 | 0.5 | 2 | 0.5 | 0.5 | 2 of 2 | 1 | 0.2 | 0.2 |" in text
