"""How hard a stroke was played, from how loud the recording is where it lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tutti.audio.bands import DB_PER_UNIT, DRUMS_FRONT_END, STEPS_PER_UNIT
from tutti.capabilities.drums.decode import FAMILIES
from tutti.music.drum_hits import DrumHits

__all__ = ["velocities_at", "weighed"]

_ATTACK_S = 0.05
_EARLY_S = 0.02
"""Annotated and detected onsets lie up to this much behind the attack."""

_REGIONS_HZ = {
    "kick": (30, 180), "snare": (180, 5600), "hihat": (5600, 11_500), "tom": (60, 350), "cymbal": (2800, 11_500),
}  # fmt: skip
"""Where a stroke of the family is loudest beside the others."""
_HEARD_SHARE = 0.6
"""Of a velocity is what the network heard, the rest what the level says: by least squares on held-out kits, rounded."""
_FEWEST = 4
_LOUD = 0.9


def weighed(hits: DrumHits, levels: NDArray[np.uint8]) -> DrumHits:
    """`hits` with velocities that also count how loud each stroke is beside the loud ones of its family.

    The network hears two seconds at a time, the whole recording knows what is loud in it. `levels` are the stored
    levels (windows, frames, bands) that the hits were heard in. A family of fewer than four strokes stays as it was
    heard.
    """
    centres_hz = DRUMS_FRONT_END.centres_hz()
    result = list(hits)
    for family, (low_hz, high_hz) in _REGIONS_HZ.items():
        rows = [row for row, hit in enumerate(result) if hit.instrument in FAMILIES[family]]
        if len(rows) < _FEWEST:
            continue
        frames = np.rint(np.array([result[row].time_s for row in rows]) / DRUMS_FRONT_END.frame_s).astype(np.int64)
        attack = np.clip(frames[:, None] + np.arange(-1, 4), 0, levels.shape[1] - 1)
        bands = np.flatnonzero((low_hz <= centres_hz) & (centres_hz < high_hz))
        power = 10 ** (levels[-1][attack[:, :, None], bands] * (DB_PER_UNIT / STEPS_PER_UNIT / 10))
        level_db = 10 * np.log10(power.sum(axis=2).max(axis=1))
        struck = 127 * 10 ** (np.clip(level_db - np.quantile(level_db, _LOUD), -40, 6) / 40)
        for row, by_level in zip(rows, struck, strict=True):
            velocity = _HEARD_SHARE * result[row].velocity + (1 - _HEARD_SHARE) * float(by_level)
            result[row] = replace(result[row], velocity=int(np.clip(round(velocity), 1, 127)))
    return DrumHits.of(result)


def velocities_at(samples: NDArray[np.float32], times_s: NDArray[np.float64], sample_rate_hz: int) -> NDArray[np.int64]:
    """MIDI velocities (1-127) of strokes at `times_s` (seconds) in mono `samples`, relative to the loudest of them.

    The level of a stroke is the peak from 20 ms before it to 50 ms after it. Levels become velocities as synthesisers
    do it the other way (Downloadable Sounds): level in dB = 40 log10(velocity / 127), so the loudest stroke gets 127
    and one 12 dB softer gets 64. Strokes at one time get one velocity.
    """
    if not len(times_s):
        return np.zeros(0, dtype=np.int64)
    first = np.maximum(0, ((times_s - _EARLY_S) * sample_rate_hz).astype(np.int64))
    last = ((times_s + _ATTACK_S) * sample_rate_hz).astype(np.int64)
    peaks = np.array([np.abs(samples[start:stop]).max(initial=0.0) for start, stop in zip(first, last, strict=True)])
    loudest = peaks.max()
    if loudest == 0:
        return np.ones(len(peaks), dtype=np.int64)
    velocities: NDArray[np.int64] = np.clip(np.rint(127 * np.sqrt(peaks / loudest)), 1, 127).astype(np.int64)
    return velocities
