"""Drum kits from physical parameters, drawn at random: strokes for the note bank that no sampler has.

Heads and sticks are a few damped modes (a circular membrane's lie at 1, 1.59, 2.14, 2.30, 2.65 … times the lowest,
Rossing 1992) whose pitch falls as the stroke's tension lets go. Cymbals are some thousand lines of a spectrum, in bands
that each rise and die away at a speed of their own: a crash blooms as energy climbs to its high modes, a ride's ping
stands before its wash, a closed hi-hat is choked. Noise stands for snare wires, beaters and sticks. Machines are plain
sines, clocked noise and six square oscillators, as the analogue ones were built.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

from tutti.datasets.note_bank import SAMPLE_RATE_HZ, VoiceSheet, write_voice

__all__ = ["STRUCK_KEYS", "StruckKit", "build_struck"]

Rng = np.random.Generator
Samples = NDArray[np.float64]

HELD_S = 2.5
STRUCK_KEYS = (36, 37, 38, 40, 39, 42, 44, 46, 50, 48, 47, 45, 43, 41, 49, 57, 51, 59, 53, 55, 52)
"""Every stroke of a kit, as General MIDI keys."""

_VELOCITIES = (30, 60, 90, 120)
_COUNT = round(HELD_S * SAMPLE_RATE_HZ)
_TIME_S = np.arange(_COUNT) / SAMPLE_RATE_HZ
_FREQUENCY_HZ = np.fft.rfftfreq(_COUNT, 1 / SAMPLE_RATE_HZ)
_MEMBRANE = np.array([1.0, 1.594, 2.136, 2.296, 2.653, 2.918, 3.156, 3.501])
_BANDS_HZ = (0, 350, 700, 1400, 2500, 4000, 6000, 8500, 12_001)
_TOM_RATIO = {50: 1.9, 48: 1.75, 47: 1.42, 45: 1.3, 43: 1.0, 41: 0.86}
_PEAKS = {36: 1.0, 37: 0.7, 38: 0.95, 40: 1.0, 39: 0.8, 42: 0.33, 44: 0.25, 46: 0.42, 49: 0.75, 57: 0.75, 51: 0.45,
          59: 0.45, 53: 0.6, 55: 0.6, 52: 0.75}  # fmt: skip


def build_struck(folder: Path, acoustic: int = 18, electronic: int = 6, seed: int = 0) -> Iterator[str]:
    """Write kits struck_NNN and, from machines, struck_e_NNN to the bank in `folder`; yields names as they land."""
    names = [f"struck_{number:03d}" for number in range(acoustic)]
    names += [f"struck_e_{number:03d}" for number in range(electronic)]
    for number, name in enumerate(names):
        if (folder / f"{name}.json").exists():
            continue
        kit = StruckKit(np.random.default_rng((seed, number)), electronic=number >= acoustic)
        samples = np.stack([np.stack([kit.stroke(key, velocity) for velocity in _VELOCITIES]) for key in STRUCK_KEYS])
        write_voice(
            folder,
            VoiceSheet(name, 0, True, STRUCK_KEYS, _VELOCITIES, HELD_S, 0.3, "datasets.struck", "Apache-2.0"),
            samples,
        )
        yield name


class StruckKit:
    """One kit: its heads, cymbals, sticks and the room it stands in, drawn once."""

    def __init__(self, rng: Rng, electronic: bool) -> None:
        self.rng = rng
        self.electronic = electronic
        self.strike = self._machine if electronic else self._acoustic
        self.kick_hz = rng.uniform(42, 72)
        self.kick_decay_s = rng.uniform(0.2, 1.2) if electronic else rng.uniform(0.06, 0.25)
        self.kick_sweep = rng.uniform(0.5, 4.0) if electronic else rng.uniform(0.2, 1.2)
        self.kick_sweep_s = rng.uniform(0.006, 0.04)
        self.beater = 10 ** rng.uniform(-1.5, -0.3)
        self.beater_hz = rng.uniform(1500, 5500)
        self.shell = rng.uniform(0.06, 0.3)
        self.snare_hz = rng.uniform(150, 280)
        self.snare_decay_s = rng.uniform(0.02, 0.07)
        self.wires = rng.uniform(0.7, 1.9)
        self.wires_s = rng.uniform(0.04, 0.16)
        self.wires_hz = rng.uniform(1200, 3500)
        self.wires_density = rng.uniform(0.15, 1.0)
        self.rim_hz = rng.uniform(380, 900)
        self.stick_hz = rng.uniform(900, 2000)
        self.tom_hz = rng.uniform(62, 105)
        self.tom_decay_s = rng.uniform(0.09, 0.4)
        self.tom_glide = rng.uniform(0.02, 0.5 if electronic else 0.18)
        self.hat_low_hz = rng.uniform(250, 700)
        self.hat_centre_hz = rng.uniform(5000, 10_000)
        self.closed_s = rng.uniform(0.02, 0.07)
        self.open_s = rng.uniform(0.12, 0.45)
        self.pedal_s = rng.uniform(0.02, 0.05)
        self.ride_hz = rng.uniform(2300, 5000)
        self.bell_hz = rng.uniform(500, 1000)
        self.wash = 10 ** rng.uniform(-1.1, -0.3)
        self.bell = np.cumprod([1.0, *rng.uniform(1.12, 1.5, 9)])
        self.bell = self.bell[self.bell_hz * self.bell < 11_000]
        self.ping = [
            (hz, rng.uniform(0.02, 0.35) * np.sqrt(self.ride_hz / hz))
            for hz in self.ride_hz * np.exp(rng.normal(0, 0.55, 60))
            if hz < 11_000
        ]
        # each cymbal's lines stay the same from stroke to stroke
        self.lines = {key: _lines(rng, lines) for key, lines in
                      {42: 900, 49: 2500, 57: 2500, 51: 1800, 55: 1200, 52: 2200}.items()}  # fmt: skip
        self.cymbal_hz = {key: rng.uniform(*hz) for key, hz in
                          {49: (2000, 5000), 57: (2500, 6000), 55: (4500, 8000), 52: (2000, 4500)}.items()}  # fmt: skip
        self.cymbal_s = {key: rng.uniform(*seconds) for key, seconds in
                         {49: (0.5, 1.4), 57: (0.4, 1.2), 55: (0.2, 0.6), 52: (0.15, 0.5)}.items()}  # fmt: skip
        self.metal_hz = np.sort(rng.uniform(200, 900, 6))
        self.tilt = rng.uniform(-0.25, 0.25)
        room_s, level = rng.uniform(0.05, 0.35), 0.0 if electronic else 10 ** rng.uniform(-1.6, -0.7)
        room = rng.normal(size=_COUNT // 2) * np.exp(-_TIME_S[: _COUNT // 2] / room_s)
        room[: rng.integers(120, 500)] = 0.0  # the nearest wall is some metres away
        self.room = _low_passed(room, rng.uniform(3000, 8000)) * level / np.sqrt(np.sum(room**2))

    def stroke(self, key: int, velocity: int) -> NDArray[np.float32]:
        """`(samples,)`: one stroke, its peak following the square of the velocity."""
        hard = velocity / 127
        dry = self.strike(key, hard)
        wet = dry + fftconvolve(dry, self.room)[:_COUNT]
        coloured = np.fft.irfft(np.fft.rfft(wet) * np.maximum(_FREQUENCY_HZ / 1000, 0.02) ** self.tilt, _COUNT)
        coloured[-2400:] *= np.linspace(1, 0, 2400)
        loud = _PEAKS.get(key, 0.9) * hard * hard
        return (_to_peak(coloured) * loud).astype(np.float32)

    def _acoustic(self, key: int, hard: float) -> Samples:
        match key:
            case 36:
                return self._kick(hard)
            case 38 | 40 | 39:
                return self._snare(hard, rim={38: 0.08, 40: 0.7, 39: 0.3}[key])
            case 37:
                return self._side_stick(hard)
            case 42 | 44 | 46:
                return self._hat(key, hard)
            case 51 | 59 | 53:
                return self._ride(key, hard)
            case 49 | 57 | 55 | 52:
                return self._crash(key, hard)
            case _:
                return self._tom(_TOM_RATIO[key], hard)

    def _kick(self, hard: float) -> Samples:
        rng = self.rng
        glide = 1 + self.kick_sweep * (0.4 + 0.6 * hard) * np.exp(-_TIME_S / self.kick_sweep_s)
        head = _mode(self.kick_hz, self.kick_decay_s, glide) + 0.4 * _mode(
            self.kick_hz * 1.59, self.kick_decay_s * 0.5, glide, rng.uniform(0, 0.6)
        )
        click = _band_passed(_burst(rng, rng.uniform(0.002, 0.006)), self.beater_hz * 0.4, self.beater_hz * 2)
        return head + self._shell(self.kick_hz, hard) + self.beater * hard * _to_peak(click)

    def _shell(self, hz: float, hard: float) -> Samples:
        """The drum's wood and the many high modes of its heads: noise that sinks while it dies away."""
        noise = _burst(self.rng, 0.03)
        low = _band_passed(noise, 2 * hz, 12 * hz)
        high = _band_passed(noise, 12 * hz, 40 * hz) * np.exp(-_TIME_S / 0.02)
        return self.shell * (_to_peak(low) + hard * _to_peak(high))

    def _snare(self, hard: float, rim: float) -> Samples:
        rng = self.rng
        glide = 1 + 0.06 * hard * np.exp(-_TIME_S / 0.02)
        decay = self.snare_decay_s * (0.8 + 0.4 * hard)
        head = np.zeros(_COUNT)
        for number, ratio in enumerate(_MEMBRANE[:6]):
            head += _mode(
                self.snare_hz * ratio * rng.normal(1, 0.004), decay / (1 + 0.35 * number), glide,
                rng.uniform(0, 0.5), rng.uniform(0.3, 1) / (1 + number),
            )  # fmt: skip
        rattle = rng.normal(size=_COUNT) * (rng.random(_COUNT) < self.wires_density)
        rise = 1 - np.exp(-_TIME_S / 0.0012)  # the lower head answers a little later
        rattle = _band_passed(rattle, self.wires_hz, 11_000) + 0.3 * _band_passed(rattle, 400, self.wires_hz)
        rattle *= rise * np.exp(-_TIME_S / (self.wires_s * (0.6 + 0.4 * hard)))
        stick = _band_passed(_burst(rng, 0.0012), 1500, 9000)
        ring = _mode(self.rim_hz, 0.035, 1.0) + 0.6 * _mode(self.rim_hz * 2.3, 0.02, 1.0)
        wires = self.wires * (1.25 - 0.4 * hard)  # soft strokes are mostly wires
        return (
            _to_peak(head) + 0.9 * wires * _to_peak(rattle)
            + 0.5 * hard * _to_peak(stick) + rim * ring
        )  # fmt: skip

    def _side_stick(self, hard: float) -> Samples:
        rng = self.rng
        wood = _band_passed(_burst(rng, 0.0012), 1200, 8000)
        wood = 0.5 * _to_peak(wood)
        for ratio, decay, level in ((0.42, 0.012, 0.5), (1.0, 0.014, 1.0), (1.62, 0.009, 0.8), (2.35, 0.006, 0.6)):
            wood += level * hard ** (0.3 * ratio) * _mode(
                self.stick_hz * ratio * rng.normal(1, 0.01), decay * rng.uniform(0.8, 1.3), 1.0, rng.uniform(0, 1)
            )  # fmt: skip
        return wood + 0.12 * _mode(self.snare_hz, 0.04, 1.0)

    def _tom(self, ratio: float, hard: float) -> Samples:
        rng = self.rng
        hz = self.tom_hz * ratio
        glide = 1 + self.tom_glide * hard * np.exp(-_TIME_S / 0.06)
        head = np.zeros(_COUNT)
        for number, mode in enumerate(_MEMBRANE[:7]):
            decay = self.tom_decay_s / np.sqrt(ratio) / (1 + 0.9 * number)
            level = (0.55 * hard**0.5) ** number * rng.uniform(0.5, 1.2)
            head += _mode(hz * mode * rng.normal(1, 0.004), decay, glide, rng.uniform(0, 0.4), level)
        stick = _band_passed(_burst(rng, 0.002), 800, 6000)
        head += self._shell(hz, hard) + 0.4 * hard * np.sqrt(self.beater) * _to_peak(stick)
        return head

    def _hat(self, key: int, hard: float) -> Samples:
        rng = self.rng
        decay_s = {42: self.closed_s, 46: self.open_s, 44: self.pedal_s}[key] * (0.75 + 0.35 * hard)
        # the pedal's chick is softer, lower, and rises while the cymbals meet
        rise_s = {42: 0.0002, 46: 0.0006, 44: 0.006}[key]
        bright = self.hat_centre_hz * (0.7 + 0.3 * hard) * (0.75 if key == 44 else 1.0)
        metal = _metal(self.lines[42], self.hat_low_hz, bright, 1.1, decay_s, 0.4, rise_s, 0.0)
        if key == 46:
            metal += 0.5 * _metal(self.lines[42], self.hat_low_hz, bright, 1.1, decay_s * 0.12, 0.3, rise_s, 0.0)
        noise = _band_passed(rng.normal(size=_COUNT), 0.5 * bright, 11_500) * np.exp(-_TIME_S / (0.7 * decay_s))
        noise *= 1 - np.exp(-_TIME_S / max(rise_s, 1e-4))
        stick = _band_passed(_burst(rng, 0.0012), 3000, 11_000)
        body = _band_passed(_burst(rng, decay_s), 0.5 * self.hat_low_hz, 1.5 * self.hat_low_hz)
        body_level, stick_level = (0.3, 0.0) if key == 44 else (0.08, 0.3 * hard)
        return (
            _to_peak(metal) + 0.35 * _to_peak(noise) + body_level * _to_peak(body)
            + stick_level * _to_peak(stick)
        )  # fmt: skip

    def _ride(self, key: int, hard: float) -> Samples:
        rng = self.rng
        wash = _metal(self.lines[51], 250, 3500 + 2500 * hard, 1.5, 1.4, 1.0, 0.004, 0.02)
        wash *= self.wash * (0.6 + 0.8 * hard) * {51: 1.0, 59: 1.8, 53: 0.6}[key] / np.abs(wash).max()
        ping = np.zeros(_COUNT)
        if key == 53:
            for ratio in self.bell:  # the third octave is the strongest
                level = rng.uniform(0.5, 1.0) * np.exp(-0.5 * ((np.log2(ratio) - 1.6) / 0.8) ** 2)
                ping += _mode(self.bell_hz * ratio, 0.8 / (1 + 0.15 * ratio), 1.0, rng.random(), level)
        else:
            for hz, decay_s in self.ping:
                shifted = hz * (0.85 if key == 59 else 1.0)
                ping += _mode(shifted, decay_s, 1.0, rng.random(), rng.lognormal(-0.3, 0.6))
        stick = _band_passed(_burst(rng, 0.0015), 2500, 11_000)
        return _to_peak(ping) + wash + 0.6 * hard * _to_peak(stick)

    def _crash(self, key: int, hard: float) -> Samples:
        rng = self.rng
        decay_s = self.cymbal_s[key] * (0.6 + 0.5 * hard)
        bloom_s = {49: 0.02, 57: 0.016, 55: 0.004, 52: 0.005}[key] * (1.3 - 0.5 * hard)
        low_hz = {49: 220, 57: 280, 55: 600, 52: 300}[key]
        centre = self.cymbal_hz[key] * (0.55 + 0.5 * hard)
        cymbal = _metal(self.lines[key], low_hz, centre, 1.5, decay_s, 1.0, 0.0008, bloom_s)
        cymbal /= np.abs(cymbal).max()
        if key == 52:  # its bent edge buzzes
            cymbal = np.tanh(3.0 * cymbal) * (1 + 2.4 * _low_passed(rng.normal(size=_COUNT), 60))
            cymbal = _band_passed(cymbal, 250, 11_500)
        stick = _band_passed(_burst(rng, 0.002), 1500, 9000)
        return _to_peak(cymbal) + 0.35 * hard * _to_peak(stick)

    def _machine(self, key: int, hard: float) -> Samples:
        rng = self.rng
        match key:
            case 36:
                glide = 1 + self.kick_sweep * (0.5 + 0.5 * hard) * np.exp(-_TIME_S / self.kick_sweep_s)
                return _mode(self.kick_hz, self.kick_decay_s, glide) + self.beater * 0.4 * _burst(rng, 0.001)
            case 38 | 40:
                tones = _mode(self.snare_hz, self.snare_decay_s, 1.0) + 0.7 * _mode(
                    self.snare_hz * 1.85, self.snare_decay_s * 0.6, 1.0
                )
                noise = _band_passed(_burst(rng, self.wires_s * 0.7), self.wires_hz * (0.6 if key == 38 else 1.0), 9000)
                return tones + self.wires * _to_peak(noise)
            case 39:
                clap = _band_passed(rng.normal(size=_COUNT), 700, 2500)
                starts = np.cumsum([0.0, *rng.uniform(0.008, 0.013, 3)])
                shape = np.zeros(_COUNT)
                for start, fade_s in zip(starts, (0.004, 0.004, 0.004, 0.05), strict=True):
                    shape += np.where(start <= _TIME_S, np.exp(-np.maximum(_TIME_S - start, 0) / fade_s), 0.0)
                return clap * shape
            case 37:
                return _mode(self.stick_hz, 0.008, 1.0) + 0.8 * _mode(self.stick_hz * 0.28, 0.008, 1.0)
            case 42 | 44 | 46:
                decay_s = {42: self.closed_s, 44: self.closed_s * 1.4, 46: self.open_s}[key]
                return self._squares(6000) * np.exp(-_TIME_S / decay_s)
            case 49 | 57 | 55 | 52:
                return self._squares(3500) * np.exp(-_TIME_S / self.cymbal_s[key])
            case 51 | 59 | 53:
                ring = self._squares(2500 if key == 53 else 4500) * np.exp(-_TIME_S / 0.3)
                return ring + _mode(self.bell_hz * 2.7, 0.25, 1.0, 0.0, 1.2 if key == 53 else 0.15)
            case _:
                glide = 1 + self.tom_glide * np.exp(-_TIME_S / 0.05)
                return _mode(self.tom_hz * _TOM_RATIO[key], self.tom_decay_s, glide) + 0.03 * _burst(rng, 0.02)

    def _squares(self, above_hz: float) -> Samples:
        """Six square oscillators, high-passed, with noise from the same machine."""
        phases = np.outer(self.metal_hz, _TIME_S) + self.rng.random((6, 1))
        mix = np.sign(np.sin(2 * np.pi * phases)).sum(axis=0) + self.rng.normal(0, 1.5, _COUNT)
        filtered: Samples = sosfilt(butter(3, above_hz, "high", fs=SAMPLE_RATE_HZ, output="sos"), mix)
        return _to_peak(filtered)


def _mode(hz: float, decay_s: float, glide: Samples | float, phase: float = 0.0, level: float = 1.0) -> Samples:
    """A sine that dies away to 1/e in `decay_s`, its frequency `hz` times `glide`."""
    heard = min(_COUNT, round(14 * decay_s * SAMPLE_RATE_HZ))  # then it is 120 dB down
    if isinstance(glide, float):
        cycles = hz * glide * _TIME_S[:heard]
    else:
        cycles = np.cumsum(glide[:heard] * (hz / SAMPLE_RATE_HZ))
    ringing = np.zeros(_COUNT)
    ringing[:heard] = level * np.sin(2 * np.pi * (cycles + phase)) * np.exp(-_TIME_S[:heard] / decay_s)
    return ringing


def _to_peak(sound: Samples) -> Samples:
    peaked: Samples = sound / np.abs(sound).max()
    return peaked


def _burst(rng: Rng, decay_s: float) -> Samples:
    noise: Samples = rng.normal(size=_COUNT) * np.exp(-_TIME_S / decay_s)
    return noise


def _lines(rng: Rng, count: int) -> NDArray[np.complex128]:
    """A spectrum of `count` lines of random strength and phase."""
    spectrum = np.zeros(len(_FREQUENCY_HZ), np.complex128)
    places = rng.choice(np.arange(round(200 * HELD_S), len(spectrum) - 1), count, replace=False)
    spectrum[places] = rng.lognormal(0, 0.7, count) * np.exp(2j * np.pi * rng.random(count))
    return spectrum


def _metal(
    lines: NDArray[np.complex128], low_hz: float, centre_hz: float, octaves: float, decay_s: float, damping: float,
    rise_s: float, bloom_s: float,
) -> Samples:  # fmt: skip
    """Lines above `low_hz`, a hump `octaves` wide about `centre_hz`; the higher a band, the sooner it dies away (by
    `damping`) and the later it blooms."""
    frequency_hz = np.maximum(_FREQUENCY_HZ, 1.0)
    shape = np.exp(-0.5 * (np.log2(frequency_hz / centre_hz) / octaves) ** 2) / (1 + (low_hz / frequency_hz) ** 6)
    sound = np.zeros(_COUNT)
    for low, high in pairwise(_BANDS_HZ):
        inside = (low <= _FREQUENCY_HZ) & (high > _FREQUENCY_HZ)
        band = np.fft.irfft(np.where(inside, lines * shape, 0), _COUNT)
        height = (low + high) / 12_000
        fade = np.exp(-_TIME_S / (decay_s / (1 + damping * height)))
        delay_s = rise_s + bloom_s * height
        sound += band * fade * (1 - 0.85 * np.exp(-_TIME_S / max(delay_s, 1e-5)))
    return sound


def _low_passed(sound: Samples, hz: float) -> Samples:
    filtered: Samples = sosfilt(butter(2, hz, fs=SAMPLE_RATE_HZ, output="sos"), sound)
    return filtered


def _band_passed(sound: Samples, low_hz: float, high_hz: float) -> Samples:
    band = (low_hz, min(high_hz, 0.49 * SAMPLE_RATE_HZ))
    filtered: Samples = sosfilt(butter(2, band, "bandpass", fs=SAMPLE_RATE_HZ, output="sos"), sound)
    return filtered
