"""What a drummer played alike before and after speaks for a stroke, or against it.

A network hears a few seconds at a time, drummers repeat themselves for minutes. So every moment at which something may
be struck is compared with all others by what is struck around it, and its answer moves towards those of the moments
most like it. Buades, Coll and Morel (A non-local algorithm for image denoising, CVPR 2005) clean pictures this way.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from tutti.capabilities.drums.decode import FAMILIES, Answers
from tutti.music.drum_kit import DRUM_CLASSES

__all__ = ["recalled"]

Floats = NDArray[np.float32]

_AROUND_FRAMES = 80
"""So far to either side moments are compared; what is `_FADE_FRAMES` away counts a third of what is near."""
_FADE_FRAMES = 60
_LOOSE_FRAMES = 1.5
"""Strokes so far apart are still much alike in time."""
_POSSIBLE = 0.02
"""A moment is where some family is struck with this probability or more."""
_SAME_MOMENT_FRAMES = 30
_ALIKE = 8
"""So many moments are asked."""
_LEAST_COSINE = 0.5
_COSINE_SCALE = 0.15
_SHARE = 0.7
"""How far an answer's log odds move when the moments asked are very much like it."""
_SURE = 2.0
"""Log odds count no further: a crash that is heard well is there although no other bar has it."""
_SONG = 4096
"""Moments compared with each other: those of about five minutes. What is longer holds more than one song."""
_ROWS = 512
"""Moments compared at once, which bounds the memory."""


def recalled(answers: Answers) -> Answers:
    """`answers` with each moment's onset probabilities drawn towards those of the moments most like it."""
    onset = np.clip(answers.onset, np.float32(1e-4), np.float32(1 - 1e-4))
    columns = [[DRUM_CLASSES.index(piece) for piece in pieces] for pieces in FAMILIES.values()]
    struck = np.stack([1 - np.prod(1 - onset[:, inside], axis=1) for inside in columns], axis=1)
    is_peak = (struck == maximum_filter1d(struck, 5, axis=0)) & (struck > _POSSIBLE)
    moments = np.flatnonzero(is_peak.any(axis=1))
    if not len(moments):
        return answers
    log_odds = np.log(onset / (1 - onset))
    said = np.clip(maximum_filter1d(log_odds, 5, axis=0)[moments], -_SURE, _SURE)  # pieces answer a frame or two apart
    songs = np.array_split(np.arange(len(moments)), ceil(len(moments) / _SONG))
    loose = gaussian_filter1d(struck, _LOOSE_FRAMES, axis=0)
    loose -= loose.mean(axis=0)
    moved = np.concatenate([_moved(moments[song], said[song], _surroundings(moments[song], loose)) for song in songs])
    change = np.zeros_like(log_odds)
    for offset in (-2, 2, -1, 1, 0):  # nearer moments have the last word
        change[np.clip(moments + offset, 0, len(onset) - 1)] = moved
    return Answers(1 / (1 + np.exp(-log_odds - change)), answers.velocity)


def _moved(moments: NDArray[np.intp], said: Floats, surroundings: Floats) -> Floats:
    """How the log odds `said` at the moments of a song, (moments, classes), change."""
    count = min(_ALIKE, len(moments))
    changes = []
    for begin in range(0, len(moments), _ROWS):
        rows = slice(begin, begin + _ROWS)
        cosine = surroundings[rows] @ surroundings.T
        cosine[np.abs(moments[rows, None] - moments) < _SAME_MOMENT_FRAMES] = -1
        alike = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
        nearness = np.take_along_axis(cosine, alike, axis=1)
        weights = np.exp((nearness - 1) / _COSINE_SCALE) * (nearness > _LEAST_COSINE)
        total = weights.sum(axis=1)[:, None]
        mean = (weights[..., None] * said[alike]).sum(axis=1) / np.maximum(total, 1e-9)
        changes.append(_SHARE * np.minimum(1.0, total / (0.3 * _ALIKE)) * (mean - said[rows]))
    return np.concatenate(changes)


def _surroundings(moments: NDArray[np.intp], loose: Floats) -> Floats:
    """What is struck around each of `moments`, as vectors of length 1, (moments, families · frames)."""
    padded = np.pad(loose, ((_AROUND_FRAMES, _AROUND_FRAMES), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND_FRAMES + 1, axis=0)
    away = np.abs(np.arange(-_AROUND_FRAMES, _AROUND_FRAMES + 1, dtype=np.float32))[::2]  # every other says as much
    rows = (windows[moments, :, ::2] * np.exp(-away / _FADE_FRAMES)).reshape(len(moments), -1)
    unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-6))
    return unit
