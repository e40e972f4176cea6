"""What rooms, microphones, desks and codecs do to a recording, drawn at random. None of it moves an attack.

Every function takes float32 samples `(n,)` and their rate, and gives float32 samples `(n,)`.
"""

from __future__ import annotations

import io

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, oaconvolve, sosfilt

__all__ = ["colour", "compress", "degrade", "lossy", "room", "set_level", "with_noise"]

Samples = NDArray[np.float32]
Rng = np.random.Generator


def room(samples: Samples, rate_hz: int, rng: Rng) -> Samples:
    """A room of random size and distance: early reflections and an exponentially decaying, darkening tail."""
    decay_s = float(10 ** rng.uniform(-0.9, 0.3))
    count = int(min(decay_s * 1.2, 2.0) * rate_hz)
    time_s = np.arange(count) / rate_hz
    tail = rng.normal(0, 1, count) * np.exp(-6.9 * time_s / decay_s)
    tail = lfilter([1 - 0.5], [1, -rng.uniform(0.0, 0.7)], tail)
    tail *= np.clip(time_s / 0.02, 0, 1) / max(float(np.sqrt((tail**2).sum())), 1e-9)
    for _ in range(int(rng.integers(0, 8))):
        tail[int(rng.uniform(0.002, 0.03) * rate_hz)] += rng.uniform(-0.4, 0.4)
    response = tail * 10 ** (rng.uniform(-24, 0) / 20)
    response[0] = 1.0
    wet: Samples = oaconvolve(samples, response.astype(np.float32))[: len(samples)].astype(np.float32)
    return wet


def colour(samples: Samples, rate_hz: int, rng: Rng, bands: int = 4, depth_db: float = 9.0) -> Samples:
    """Random shelves and bells, as microphones, bodies and equalisers have them (RBJ cookbook bells)."""
    sections = []
    for frequency_hz in np.exp(rng.uniform(np.log(60), np.log(0.42 * rate_hz), bands)):
        amplitude = 10 ** (rng.uniform(-depth_db, depth_db) / 40)
        omega = 2 * np.pi * frequency_hz / rate_hz
        alpha = np.sin(omega) / (2 * rng.uniform(0.3, 2.0))
        section = [1 + alpha * amplitude, -2 * np.cos(omega), 1 - alpha * amplitude]
        section += [1 + alpha / amplitude, -2 * np.cos(omega), 1 - alpha / amplitude]
        sections.append(np.array(section) / section[3])
    coloured: Samples = sosfilt(np.array(sections), samples).astype(np.float32)
    return coloured


def compress(samples: Samples, rng: Rng) -> Samples:
    """Soft saturation, from none to heavy."""
    peak = max(float(np.abs(samples).max()), 1e-6)
    drive = rng.uniform(0.5, 6.0)
    pressed: Samples = (np.tanh(samples / peak * drive) / np.tanh(drive) * peak).astype(np.float32)
    return pressed


def with_noise(samples: Samples, rate_hz: int, rng: Rng) -> Samples:
    """Hiss of a random tilt 25 to 75 dB below the programme, at times with mains hum or clicks."""
    rms = max(float(np.sqrt(np.mean(samples**2))), 1e-5)
    noise = lfilter([1.0], [1, -rng.uniform(0.0, 0.98)], rng.normal(0, 1, len(samples)))
    noise *= rms * 10 ** (rng.uniform(-75, -25) / 20) / max(float(noise.std()), 1e-9)
    if rng.random() < 0.15:
        hum_hz = rng.choice([50, 60]) * np.arange(1, 6)
        phases = np.outer(hum_hz, np.arange(len(samples)) * (2 * np.pi / rate_hz))
        noise += rms * 10 ** (rng.uniform(-60, -30) / 20) * (np.sin(phases) / np.arange(1, 6)[:, None]).sum(axis=0)
    if rng.random() < 0.1:
        where = rng.integers(0, len(samples), int(rng.integers(1, 30)))
        noise[where] += rng.uniform(-1, 1, len(where)) * rms * 2
    noisy: Samples = (samples + noise).astype(np.float32)
    return noisy


def lossy(samples: Samples, rate_hz: int, rng: Rng) -> Samples:
    """Through Ogg Vorbis at a random low quality; Vorbis as libsndfile writes it keeps its place to the sample."""
    peak = max(float(np.abs(samples).max()), 1e-6)
    with io.BytesIO() as encoded:
        level = float(rng.uniform(0.6, 1.0))
        with soundfile.SoundFile(
            encoded, "w", rate_hz, 1, format="OGG", subtype="VORBIS", compression_level=level
        ) as file:
            for block in np.array_split(samples / peak * 0.9, max(1, len(samples) // 65536)):
                file.write(block)
        encoded.seek(0)
        decoded, _ = soundfile.read(encoded, dtype="float32")
    decoded = np.pad(decoded, (0, max(0, len(samples) - len(decoded))))[: len(samples)]
    return (decoded * (peak / 0.9)).astype(np.float32)


def set_level(samples: Samples, rng: Rng) -> Samples:
    """Peak anywhere from -26 to 0 dBFS."""
    peak = max(float(np.abs(samples).max()), 1e-6)
    return (samples * (10 ** (rng.uniform(-26, 0) / 20) / peak)).astype(np.float32)


def degrade(samples: Samples, rate_hz: int, rng: Rng) -> Samples:
    """A random chain of all of the above, from studio-clean to a telephone in a hall."""
    if rng.random() < 0.6:
        samples = room(samples, rate_hz, rng)
    if rng.random() < 0.5:
        samples = colour(samples, rate_hz, rng)
    if rng.random() < 0.25:
        samples = compress(samples, rng)
    if rng.random() < 0.7:
        samples = with_noise(samples, rate_hz, rng)
    if rng.random() < 0.15:
        cut_hz = rng.uniform(3000, 9000)
        low_pass = butter(4, cut_hz, fs=rate_hz, output="sos")
        samples = sosfilt(low_pass, samples).astype(np.float32)
    if rng.random() < 0.08:
        samples = lossy(samples, rate_hz, rng)
    return set_level(samples, rng)
