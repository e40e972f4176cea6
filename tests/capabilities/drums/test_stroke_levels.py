"""Velocities from levels."""

import numpy as np
import pytest

from tutti.audio.bands import DRUMS_FRONT_END, stored_levels
from tutti.capabilities.drums.stroke_levels import weighed
from tutti.music.drum_hits import DrumHit, DrumHits

RATE_HZ = DRUMS_FRONT_END.sample_rate_hz


def snares(peaks: list[float], velocity: int = 64) -> tuple[DrumHits, np.ndarray]:
    """Bursts of noise half a second apart, all heard at one velocity, and the levels of their sound."""
    rng = np.random.default_rng(0)
    samples = np.zeros(RATE_HZ * (len(peaks) + 1) // 2, np.float32)
    burst = rng.normal(0, 0.2, RATE_HZ // 8) * np.exp(-np.arange(RATE_HZ // 8) / (0.03 * RATE_HZ))
    for row, peak in enumerate(peaks):
        begin = RATE_HZ * (row + 1) // 2 - RATE_HZ // 4
        samples[begin : begin + len(burst)] += peak * burst.astype(np.float32)
    hits = DrumHits.of(DrumHit(0.5 * row + 0.25, "snare", velocity, 0.9) for row in range(len(peaks)))
    return hits, np.concatenate(list(stored_levels([samples])), axis=1)


def test_what_is_louder_than_its_like_was_struck_harder() -> None:
    hits, levels = snares([1.0, 0.25, 1.0, 0.06, 1.0, 0.25])
    velocities = [hit.velocity for hit in weighed(hits, levels)]
    assert velocities[0] == velocities[2] == velocities[4] > velocities[1] == velocities[5] > velocities[3]
    # a quarter of the amplitude is half the velocity
    assert velocities[0] - velocities[1] == pytest.approx(0.4 * 127 / 2, abs=2)


def test_only_the_velocity_changes_and_the_level_of_the_recording_does_not_matter() -> None:
    hits, levels = snares([1.0, 0.3, 0.6, 0.9, 0.2])
    _, softer = snares([0.1, 0.03, 0.06, 0.09, 0.02])
    given = list(weighed(hits, levels))
    assert [(hit.time_s, hit.instrument, hit.confidence) for hit in given] == [
        (hit.time_s, hit.instrument, hit.confidence) for hit in hits
    ]
    assert [hit.velocity for hit in weighed(hits, softer)] == pytest.approx([hit.velocity for hit in given], abs=2)


@pytest.mark.parametrize("peaks", [[], [1.0], [1.0, 0.1, 0.5]])
def test_few_strokes_stay_as_they_were_heard(peaks: list[float]) -> None:
    hits, levels = snares(peaks)
    assert weighed(hits, levels) == hits


def test_silence_is_no_reason_to_fail() -> None:
    hits, levels = snares([0.0] * 6)
    assert all(1 <= hit.velocity <= 127 for hit in weighed(hits, levels))
