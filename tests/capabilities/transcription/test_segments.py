from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tutti.audio.segment_features import FRONT_ENDS
from tutti.capabilities.transcription.segments import Segment, features_of, segments_of

SIZE = 1024


def cut(samples: int, block: int, extra_frame_hop: int | None = None) -> list[Segment]:
    audio = np.arange(1, samples + 1, dtype=np.float32)
    return list(segments_of((audio[at : at + block] for at in range(0, samples, block)), SIZE, extra_frame_hop))


@pytest.mark.parametrize("block", [1, 100, SIZE, 5000])
@pytest.mark.parametrize("samples", [1, SIZE - 1, SIZE, SIZE + 1, 5 * SIZE, 5 * SIZE + 77])
def test_segments_are_the_recording_whatever_its_blocks(samples: int, block: int) -> None:
    if block == 1 and samples > 2 * SIZE:
        block = 3
    segments = cut(samples, block)
    assert len(segments) == -(-samples // SIZE)
    assert sum(segment.heard for segment in segments) == samples
    joined = np.concatenate([segment.samples for segment in segments])
    np.testing.assert_array_equal(joined[:samples], np.arange(1, samples + 1))
    assert not joined[samples:].any()


def test_the_extra_frame_makes_another_segment_of_whole_ones_only() -> None:
    assert [segment.heard for segment in cut(2 * SIZE, 300, 128)] == [SIZE, SIZE, 0]
    assert [segment.heard for segment in cut(2 * SIZE, 300)] == [SIZE, SIZE]
    assert [segment.heard for segment in cut(2 * SIZE - 128, 300, 128)] == [SIZE, SIZE - 128]
    assert cut(0, 300, 128) == []


def frames_that_are_zero(heard: int, *, has_extra_frame: bool, zeroes_missing: bool = True) -> int:
    front_end = replace(FRONT_ENDS["mt3"], segment_samples=SIZE)
    samples: NDArray[np.float32] = np.zeros(SIZE, np.float32)
    samples[:heard] = np.random.default_rng(0).normal(size=heard)
    segment = Segment(samples, heard)
    frames = features_of([segment], front_end, zeroes_missing=zeroes_missing, has_extra_frame=has_extra_frame)
    assert frames.shape == (1, 8, 512)
    return int((frames[0] == 0).all(axis=1).sum())


def test_missing_frames_are_zero_as_the_family_pads_them() -> None:
    """128 - n mod 128 zeros are appended first, so a frame that was begun is heard, and one more of whole ones."""
    assert frames_that_are_zero(300, has_extra_frame=True) == 5
    assert frames_that_are_zero(300, has_extra_frame=False) == 5
    assert frames_that_are_zero(256, has_extra_frame=True) == 5
    assert frames_that_are_zero(256, has_extra_frame=False) == 6
    assert frames_that_are_zero(SIZE, has_extra_frame=True) == 0
    assert frames_that_are_zero(0, has_extra_frame=True) == 7
    assert frames_that_are_zero(300, has_extra_frame=True, zeroes_missing=False) == 0
