"""Beat and downbeat probabilities to beats: the best path through bars whose tempo changes little from beat to beat.

The bar-pointer model of Krebs, Böck and Widmer ("An efficient state-space model for joint tempo and meter tracking",
ISMIR 2015), computed beat by beat instead of frame by frame: between two beats nothing is decided, so a beat need only
know at which frames the one before can have been. Every metre is followed at once. numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BarPath", "track_bars"]

Array = NDArray[np.float64]

_USUAL_WEIGHT = 0.5
"""What a beat costs (nats) whose tempo is an octave away from the usual one."""
_STEADINESS = 90.0
"""How unlikely a change of tempo is: e to the minus this times the relative change of a beat's length."""
_SHARPNESS = 12.0
"""One frame in so many has a beat, as the model sees it."""
_POSSIBLE = 0.02
"""Below this probability a frame has no beat, unless its neighbours are no likelier."""
_FEW = 12
_SURE = 1e-3


@dataclass(frozen=True, slots=True)
class BarPath:
    """The best path of one metre."""

    frames: NDArray[np.intp]
    """Frame of each beat."""
    places: NDArray[np.intp]
    """Each beat's place in its bar, from 1."""
    beats_per_bar: int
    log_likelihood: float


def track_bars(
    beat: Array,
    downbeat: Array,
    frames_per_s: float,
    metres: Sequence[int],
    bpm_range: tuple[float, float],
    usual_bpm: float = 115.0,
) -> tuple[BarPath, ...]:
    """The likeliest beats for each of `metres` (beats in a bar).

    `beat` and `downbeat` are probabilities (frames,), a downbeat counting as a beat. `bpm_range` bounds the beats a
    minute, and those near `usual_bpm` are likelier. In fewer frames than the slowest beat has there are no beats.
    """
    shortest = max(2, int(np.floor(60 * frames_per_s / bpm_range[1])))
    longest = max(shortest + 1, int(np.ceil(60 * frames_per_s / bpm_range[0])))
    if len(beat) <= longest:
        nothing = np.zeros(0, np.intp)
        return tuple(BarPath(nothing, nothing, metre, -np.inf) for metre in metres)
    return _Tracker(beat, downbeat, np.arange(shortest, longest + 1), metres, 60 * frames_per_s / usual_bpm).paths()


class _Tracker:
    """One row for each place in each metre; one column for each length (frames) of the beat that follows."""

    def __init__(
        self, beat: Array, downbeat: Array, lengths: NDArray[np.intp], metres: Sequence[int], usual: float
    ) -> None:
        self.lengths, self.metres = lengths, metres
        self.frames, self.kept = len(beat), int(lengths[-1]) + 1
        self.first_rows = np.concatenate([[0], np.cumsum(metres)[:-1]])
        self.row_before = np.arange(sum(metres)) - 1
        self.row_before[self.first_rows] = self.first_rows + np.array(metres) - 1
        beat = np.clip(beat, _SURE, 1 - _SURE)
        downbeat = np.clip(downbeat, _SURE * _SURE, beat * (1 - _SURE))
        self.arrival = np.repeat(np.log(beat - downbeat)[:, None], sum(metres), axis=1)
        self.arrival[:, self.first_rows] = np.log(downbeat)[:, None]
        self.quiet = np.concatenate([[0.0], np.cumsum(np.log((1 - beat) / (_SHARPNESS - 1)))])
        # from length i (column) to length j (row)
        self.change = -_STEADINESS * np.abs(lengths[:, None] / lengths[None, :] - 1)
        self.change -= _USUAL_WEIGHT * np.log2(lengths / usual)[:, None] ** 2
        around = np.lib.stride_tricks.sliding_window_view(np.pad(beat, 3), 7)
        # few lengths to choose from must find beats at their own frames, however improbable
        self.possible = (beat >= _POSSIBLE) | (beat >= around.max(axis=1)) | (len(lengths) <= _FEW)

    def paths(self) -> tuple[BarPath, ...]:
        rows, columns = len(self.row_before), len(self.lengths)
        best = np.full((self.kept, rows, columns), -np.inf)
        source = np.full((self.frames, rows, columns), -1, np.int8 if columns <= 128 else np.int16)
        every = np.arange(columns)
        through = np.empty((rows, columns, columns))
        flat, row_starts = through.reshape(-1), np.arange(rows * columns).reshape(rows, columns) * columns
        for frame in range(self.frames):
            slot = best[frame % self.kept]
            if not self.possible[frame]:
                slot.fill(-np.inf)
                continue
            # the first beat may be anywhere within a beat's length of the start
            slot[:] = (self.arrival[frame] + self.quiet[frame])[:, None] if frame < self.lengths[-1] else -np.inf
            since = frame - self.lengths
            before = (
                best[since % self.kept, :, every] + (self.quiet[frame] - self.quiet[np.maximum(since, -1) + 1])[:, None]
            )
            before[since < 0] = -np.inf
            before = before.T[self.row_before] + self.arrival[frame][:, None]
            np.add(before[:, None, :], self.change, out=through)
            found = through.argmax(axis=2)
            score = flat[row_starts + found]
            better = score > slot
            slot[better] = score[better]
            source[frame][better] = found[better]
        return tuple(
            self._followed(best, source, int(first), metre)
            for first, metre in zip(self.first_rows, self.metres, strict=True)
        )

    def _followed(self, best: Array, source: NDArray[np.signedinteger], first: int, metre: int) -> BarPath:
        """Back from the best end, which is less than a beat before the last frame."""
        tail = np.arange(self.frames - self.lengths[-1], self.frames)
        ends = (
            best[tail % self.kept, first : first + metre]
            + (self.quiet[self.frames] - self.quiet[tail + 1])[:, None, None]
        )
        ends[(tail[:, None] + self.lengths < self.frames)[:, None, :].repeat(metre, axis=1)] = -np.inf
        at, place, length = (int(i) for i in np.unravel_index(int(ends.argmax()), ends.shape))
        likelihood, frame = float(ends.max()), int(tail[at])
        beats = [(frame, place + 1)]
        while (length := int(source[frame, first + place, length])) >= 0:
            frame, place = frame - int(self.lengths[length]), (place - 1) % metre
            beats.append((frame, place + 1))
        frames, places = np.array(beats[::-1], np.intp).T
        return BarPath(frames, places, metre, likelihood)
