"""Plucked strings from physical parameters: guitars for the note bank that no sampler has.

Each partial k of a stiff string of fundamental f sounds at k·f·sqrt(1 + B·k²) (Fletcher 1964), starts with the
amplitude that a pluck at fraction p of the string gives it, |sin(k·pi·p)| / k^tilt, and dies away at a rate growing
with k². Two polarisations, slightly apart, beat. A body of a few resonances and a short noise of finger or plectrum
complete it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from tutti.datasets.note_bank import SAMPLE_RATE_HZ, VoiceSheet, write_voice

__all__ = ["build_plucked", "pluck"]

_HELD_S = 3.5
_VELOCITIES = (40, 75, 110)
_PITCHES = tuple(range(36, 90))


def build_plucked(folder: Path, instruments: int, seed: int = 0) -> Iterator[str]:
    """Write `instruments` different guitars (programs 24–27) to the bank in `folder`; yields their names."""
    for number in range(instruments):
        name = f"plucked_{number:03d}"
        if (folder / f"{name}.json").exists():
            continue
        rng = np.random.default_rng((seed, number))
        make = _Instrument(rng)
        samples = np.stack([np.stack([make.note(pitch, velocity) for velocity in _VELOCITIES]) for pitch in _PITCHES])
        sheet = VoiceSheet(
            name, 24 + number % 4, False, _PITCHES, _VELOCITIES, _HELD_S, float(rng.uniform(0.05, 0.2)),
            "datasets.plucked", "Apache-2.0",
        )  # fmt: skip
        write_voice(folder, sheet, samples)
        yield name


class _Instrument:
    """One guitar: its body, strings and player's habits, drawn once."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.tilt = rng.uniform(0.6, 1.6)
        self.stiffness = 10 ** rng.uniform(-5.3, -3.9)
        self.decay_per_s = rng.uniform(0.4, 1.8)
        self.brightness_loss = 10 ** rng.uniform(-2.6, -1.2)
        self.position = rng.uniform(0.08, 0.35)
        self.noise_level = 10 ** rng.uniform(-2.5, -0.9)
        self.noise_s = rng.uniform(0.004, 0.025)
        self.beating_hz = rng.uniform(0.0, 0.8)
        self.body = [
            (rng.uniform(90, 130), rng.uniform(4, 12), rng.uniform(0.3, 1.5)),
            (rng.uniform(180, 260), rng.uniform(4, 12), rng.uniform(0.3, 1.5)),
            (rng.uniform(350, 600), rng.uniform(2, 8), rng.uniform(0.1, 1.0)),
            (rng.uniform(900, 3000), rng.uniform(1, 5), rng.uniform(0.0, 0.8)),
        ]

    def note(self, pitch: int, velocity: int) -> NDArray[np.float32]:
        """`(held samples,)`: one stroke."""
        rng = self.rng
        frequency_hz = 440.0 * 2 ** ((pitch - 69 + rng.normal(0, 0.06)) / 12)
        softness = (127 - velocity) / 127
        tone = pluck(
            frequency_hz,
            round(_HELD_S * SAMPLE_RATE_HZ),
            tilt=self.tilt + softness * 0.8 + rng.normal(0, 0.1),
            stiffness=self.stiffness,
            position=float(np.clip(self.position + rng.normal(0, 0.03), 0.05, 0.48)),
            decay_per_s=self.decay_per_s * 2 ** ((pitch - 55) / 18) * rng.lognormal(0, 0.25),
            brightness_loss=self.brightness_loss,
            beating_hz=self.beating_hz * rng.random(),
            sharp_cents=rng.exponential(4.0) * velocity / 127,
            rng=rng,
        )
        tone /= np.abs(tone).max()
        count = round(self.noise_s * 6 * SAMPLE_RATE_HZ)
        click = rng.normal(0, 1, count) * np.exp(-np.arange(count) / (self.noise_s * SAMPLE_RATE_HZ))
        tone[:count] += self.noise_level * rng.lognormal(0, 0.4) * click
        for frequency, quality, gain in self.body:
            tone = tone + gain * _resonance(tone, frequency, quality)
        stroke: NDArray[np.float32] = (tone / np.abs(tone).max() * (velocity / 127) ** 2).astype(np.float32)
        return stroke


def pluck(
    frequency_hz: float,
    count: int,
    *,
    tilt: float,
    stiffness: float,
    position: float,
    decay_per_s: float,
    brightness_loss: float,
    beating_hz: float,
    sharp_cents: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """`count` samples of a plucked string at SAMPLE_RATE_HZ; the attack is `sharp_cents` sharp and settles."""
    time_s = np.arange(count) / SAMPLE_RATE_HZ
    bend = 2 ** (sharp_cents / 1200 * np.exp(-time_s / 0.06))
    phase = 2 * np.pi * frequency_hz * np.cumsum(bend) / SAMPLE_RATE_HZ
    tone = np.zeros(count)
    for k in range(1, 60):
        ratio = k * np.sqrt(1 + stiffness * k * k)
        if ratio * frequency_hz > 0.47 * SAMPLE_RATE_HZ:
            break
        level = abs(np.sin(k * np.pi * position)) / k**tilt * rng.lognormal(0, 0.3)
        rate = decay_per_s * (1 + brightness_loss * k * k * frequency_hz / 100) * rng.lognormal(0, 0.2)
        alive = min(count, int(9.0 / rate * SAMPLE_RATE_HZ) + 1)
        beat = 1 + 0.3 * np.cos(2 * np.pi * beating_hz * k**0.5 * time_s[:alive] + rng.uniform(0, 2 * np.pi))
        tone[:alive] += (
            level * np.exp(-rate * time_s[:alive]) * beat * np.sin(ratio * phase[:alive] + rng.uniform(0, 6))
        )
    tone[:24] *= np.linspace(0, 1, 24)
    return tone


def _resonance(signal: NDArray[np.float64], frequency_hz: float, quality: float) -> NDArray[np.float64]:
    """A constant-peak-gain band-pass of second order (RBJ cookbook)."""
    omega = 2 * np.pi * frequency_hz / SAMPLE_RATE_HZ
    alpha = np.sin(omega) / (2 * quality)
    numerator = np.array([alpha, 0.0, -alpha]) / (1 + alpha)
    denominator = np.array([1.0, -2 * np.cos(omega) / (1 + alpha), (1 - alpha) / (1 + alpha)])
    return lfilter(numerator, denominator, signal)  # type: ignore[no-any-return]
