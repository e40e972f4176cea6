"""A singing voice by source and filter, for training: notes in, sound out, with the habits that make voices hard.

A band-limited pulse train follows a fundamental that scoops into notes, glides between them, wavers and drifts;
vowels are five moving formants (Peterson and Barney 1952 averages, scaled per singer); consonants are noise before
the vowel or a dip in level. Labels stay what was composed: a note begins where its vowel or its new pitch does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, istft, lfilter, sosfilt, stft

from tutti.datasets.note_bank import SAMPLE_RATE_HZ
from tutti.music.notes import Note

__all__ = ["articulate", "sing"]

_CONTROL_HZ = 500
_FORMANTS_HZ = {
    "a": (730, 1090, 2440, 3400, 4500),
    "e": (530, 1840, 2480, 3500, 4500),
    "i": (280, 2250, 2900, 3600, 4600),
    "o": (500, 900, 2410, 3300, 4400),
    "u": (310, 870, 2240, 3200, 4300),
    "@": (500, 1450, 2450, 3400, 4500),
}


@dataclass(frozen=True, slots=True)
class _Singer:
    tract: float
    """Formants of this singer over the table's."""
    vibrato_hz: float
    vibrato_cents: float
    glide_s: float
    drift_cents: float
    scoop_chance: float
    legato_chance: float
    breath: float
    tilt: float
    """Pole of the glottal low-pass: nearer 1 is darker."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Singer:
        return cls(
            tract=rng.uniform(0.85, 1.3),
            vibrato_hz=rng.uniform(4.5, 7.0),
            vibrato_cents=rng.choice([0.0, 15.0, 35.0, 60.0]) * rng.uniform(0.6, 1.4),
            glide_s=rng.uniform(0.012, 0.05),
            drift_cents=rng.uniform(4, 18),
            scoop_chance=rng.uniform(0, 0.7),
            legato_chance=rng.uniform(0.1, 0.8),
            breath=10 ** rng.uniform(-3.0, -1.2),
            tilt=rng.uniform(0.75, 0.97),
        )


def sing(notes: Sequence[Note], duration_s: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """One voice singing monophonic `notes`: float32 `(duration_s · SAMPLE_RATE_HZ,)`, peak near 0.5."""
    count = round(duration_s * SAMPLE_RATE_HZ)
    if not notes:
        return np.zeros(count, np.float32)
    singer = _Singer.draw(rng)
    controls = round(duration_s * _CONTROL_HZ) + 1
    pitch = _pitch_curve(notes, controls, singer, rng)
    level = _level_curve(notes, controls, singer, rng)
    time = np.arange(count) * (_CONTROL_HZ / SAMPLE_RATE_HZ)
    frequency_hz = 440.0 * 2 ** ((np.interp(time, np.arange(controls), pitch) - 69) / 12)
    source = _pulses(frequency_hz)
    source = lfilter([1 - singer.tilt], [1, -singer.tilt], source) * 8
    source += singer.breath * rng.normal(0, 1, count)
    voiced = _formant_filter(source * np.interp(time, np.arange(controls), level), notes, singer, rng)
    voice = voiced / max(float(np.abs(voiced).max()), 1e-6)
    _add_consonants(voice, notes, rng)
    return (0.5 * voice).astype(np.float32)


def articulate(notes: Sequence[Note], duration_s: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """The noises of words for the voice that `sing` gives for `notes`: hisses and stops, as close as in clear speech.

    They are what listeners to drums take for cymbals and snares. Same shape; peaks between 0.02 and 0.5.
    """
    noises = np.zeros(round(duration_s * SAMPLE_RATE_HZ), np.float32)
    share = rng.uniform(0.3, 0.95)
    level = 10 ** rng.uniform(-1.2, -0.3)
    for note in notes:
        for anchor_s in (note.onset_s, note.offset_s):
            if rng.random() > share:
                continue
            noise = _hiss(rng) if rng.random() < 0.5 else _stop(rng)
            begin = max(0, round((anchor_s + rng.uniform(-0.01, 0.02)) * SAMPLE_RATE_HZ) - len(noise))
            noise = noise[: len(noises) - begin]
            noises[begin : begin + len(noise)] += (level * 10 ** rng.uniform(-0.5, 0)) * noise
    return noises


def _hiss(rng: np.random.Generator) -> NDArray[np.float32]:
    """s, sh, f, h: 50 to 200 ms of noise that swells and goes."""
    count = round(rng.uniform(0.05, 0.2) * SAMPLE_RATE_HZ)
    swell = np.interp(np.linspace(0, 1, count), [0, rng.uniform(0.1, 0.6), rng.uniform(0.65, 0.9), 1], [0, 1, 0.9, 0])
    low_hz = np.exp(rng.uniform(np.log(800), np.log(6000)))
    return _noise_between(low_hz, min(low_hz * rng.uniform(1.5, 4), 11_500), count, rng) * swell.astype(np.float32)


def _stop(rng: np.random.Generator) -> NDArray[np.float32]:
    """p, t, k, ch: a burst that dies away in 3 to 25 ms, and some breath after it."""
    count = round(rng.uniform(0.02, 0.09) * SAMPLE_RATE_HZ)
    since_s = np.arange(count) / SAMPLE_RATE_HZ
    fading = np.exp(-since_s / rng.uniform(0.003, 0.025)) + rng.uniform(0, 0.25) * np.linspace(1, 0, count)
    low_hz = np.exp(rng.uniform(np.log(300), np.log(4000)))
    return _noise_between(low_hz, min(low_hz * rng.uniform(2, 6), 11_500), count, rng) * fading.astype(np.float32)


def _noise_between(low_hz: float, high_hz: float, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise (count,) of one band, peak 1."""
    sections = butter(2, (low_hz, high_hz), "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    noise = sosfilt(sections, rng.normal(0, 1, count + 200))[200:]
    loudest_one: NDArray[np.float32] = (noise / np.abs(noise).max()).astype(np.float32)
    return loudest_one


def _pitch_curve(
    notes: Sequence[Note], controls: int, singer: _Singer, rng: np.random.Generator
) -> NDArray[np.float64]:
    curve = np.empty(controls)
    time_s = np.arange(controls) / _CONTROL_HZ
    begin = 0
    for index, note in enumerate(notes):
        end = controls if index + 1 == len(notes) else round(notes[index + 1].onset_s * _CONTROL_HZ)
        curve[begin:end] = note.pitch + rng.normal(0, 0.12)
        begin = max(begin, end)
    curve = gaussian_filter1d(curve, singer.glide_s * _CONTROL_HZ, mode="nearest")
    for note in notes:
        since = time_s - note.onset_s
        inside = (since >= 0) & (time_s < note.offset_s)
        if rng.random() < singer.scoop_chance:
            curve -= np.where(
                inside, rng.uniform(0.3, 2.0) * np.exp(-np.maximum(since, 0) / rng.uniform(0.02, 0.06)), 0.0
            )
        if note.duration_s > 0.3 and singer.vibrato_cents:
            fade = np.clip((since - 0.15) / 0.25, 0, 1)
            wave = np.sin(2 * np.pi * singer.vibrato_hz * since + rng.uniform(0, 6))
            curve += np.where(inside, singer.vibrato_cents / 100 * fade * wave, 0.0)
    drift = gaussian_filter1d(rng.normal(0, 1, controls), 0.08 * _CONTROL_HZ)
    drifting: NDArray[np.float64] = curve + singer.drift_cents / 100 * drift / max(float(drift.std()), 1e-9)
    return drifting


def _level_curve(
    notes: Sequence[Note], controls: int, singer: _Singer, rng: np.random.Generator
) -> NDArray[np.float64]:
    level = np.full(controls, 1e-4)
    for index, note in enumerate(notes):
        begin, end = round(note.onset_s * _CONTROL_HZ), round(note.offset_s * _CONTROL_HZ)
        shape = np.full(max(end - begin, 1), (note.velocity / 127) ** 1.5)
        swell = np.linspace(0, np.pi, len(shape))
        level[begin : begin + len(shape)] = shape * (1 - rng.uniform(0, 0.3) * np.cos(swell))
        gap_s = note.onset_s - notes[index - 1].offset_s if index else 1.0
        if gap_s < 0.06 and rng.random() > singer.legato_chance:  # a voiced consonant: a short dip
            width = round(rng.uniform(0.02, 0.07) * _CONTROL_HZ)
            level[max(0, begin - width) : begin] *= rng.uniform(0.02, 0.4)
    smooth: NDArray[np.float64] = gaussian_filter1d(level, rng.uniform(0.006, 0.02) * _CONTROL_HZ)
    return smooth


def _pulses(frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """A pulse train of equal harmonics below 11 kHz in closed form (Stilson and Smith 1996)."""
    half_phase = np.pi * np.cumsum(frequency_hz) / SAMPLE_RATE_HZ
    harmonics = 2 * int(min(60, 11_000 / frequency_hz.max())) + 1
    divisor = np.sin(half_phase)
    near = np.abs(divisor) < 1e-6
    pulses = np.sin(harmonics * half_phase) / np.where(near, 1.0, divisor)
    return (np.where(near, harmonics, pulses) - 1.0) / harmonics


def _formant_filter(
    source: NDArray[np.float64], notes: Sequence[Note], singer: _Singer, rng: np.random.Generator
) -> NDArray[np.float64]:
    frames_hz, frames_s, spectrum = stft(source, SAMPLE_RATE_HZ, nperseg=512, noverlap=384)
    vowels = list(_FORMANTS_HZ.values())
    targets = np.array([vowels[rng.integers(len(vowels))] for _ in notes]) * singer.tract
    current = np.clip(np.searchsorted([note.onset_s for note in notes], frames_s, side="right") - 1, 0, None)
    formants = gaussian_filter1d(targets[current].astype(np.float64), 4, axis=0)  # (frames, 5)
    gain = np.full((len(frames_hz), len(frames_s)), 0.01)
    for index, strength in enumerate((1.0, 0.6, 0.3, 0.2, 0.1)):
        width = 60 + 40 * index
        gain += strength / (1 + ((frames_hz[:, None] - formants[:, index]) / width) ** 2)
    _, filtered = istft(spectrum * gain, SAMPLE_RATE_HZ, nperseg=512, noverlap=384)
    return np.pad(filtered, (0, max(0, len(source) - len(filtered))))[: len(source)]


def _add_consonants(voice: NDArray[np.float64], notes: Sequence[Note], rng: np.random.Generator) -> None:
    for note in notes:
        if rng.random() > 0.35:
            continue
        length = round(rng.uniform(0.02, 0.12) * SAMPLE_RATE_HZ)
        end = round((note.onset_s + rng.uniform(0, 0.01)) * SAMPLE_RATE_HZ)
        begin = max(0, end - length)
        noise = rng.normal(0, 1, end - begin)
        pole = rng.uniform(-0.9, 0.5)  # negative poles hiss, positive ones blow
        noise = lfilter([1 - abs(pole)], [1, -pole], noise) * np.hanning(max(end - begin, 1))
        voice[begin:end] += 10 ** rng.uniform(-2.2, -0.7) * noise
