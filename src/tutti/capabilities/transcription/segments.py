"""A recording, block by block, to the segments that models of the MT3 family hear one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutti.audio.segment_features import SegmentFrontEnd

__all__ = ["Segment", "features_of", "segments_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    samples: NDArray[np.float32]
    """(front end's segment_samples,), zeros behind the recording's end."""
    heard: int
    """Samples that are of the recording."""


def segments_of(
    blocks: Iterable[NDArray[np.float32]], segment_samples: int, extra_frame_hop: int | None = None
) -> Iterator[Segment]:
    """Cut mono `blocks` of any size.

    `extra_frame_hop` is the hop of a front end that gives a length of whole frames another, empty one: such a length
    that also fills its last segment gets another segment.
    """
    pending: list[NDArray[np.float32]] = []
    held = total = 0
    for block in blocks:
        pending.append(block)
        held += len(block)
        total += len(block)
        if held < segment_samples:
            continue
        joined = np.concatenate(pending)
        whole = held // segment_samples * segment_samples
        for begin in range(0, whole, segment_samples):
            yield Segment(joined[begin : begin + segment_samples], segment_samples)
        pending, held = [joined[whole:]], held - whole
    if held or (extra_frame_hop is not None and total):
        last = np.concatenate([*pending, np.zeros(segment_samples - held, np.float32)])
        yield Segment(last, held)


def features_of(
    segments: list[Segment], front_end: SegmentFrontEnd, *, zeroes_missing: bool, has_extra_frame: bool
) -> NDArray[np.float32]:
    """(segments, frames, features). With `zeroes_missing`, frames that begin behind the recording's end are 0 whatever
    silence would be, as the MT3 family pads them; `has_extra_frame` leaves one more as it is."""
    frames = front_end(np.stack([segment.samples for segment in segments]))
    if zeroes_missing:
        per_frame = front_end.hop * front_end.stack
        for row, segment in zip(frames, segments, strict=True):
            if segment.heard < len(segment.samples):
                row[segment.heard // per_frame + 1 if has_extra_frame else -(-segment.heard // per_frame) :] = 0
    return frames
