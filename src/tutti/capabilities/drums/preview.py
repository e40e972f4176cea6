"""A chart to listen to: the recording, softened, with the hits played by a plain drum machine and a click on the beats.

The hits are in the right ear and the click in the left, so that either can be taken away by the balance control.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from tutti.audio.reading import AudioLimits, Source, open_stream
from tutti.music.beats import Beats
from tutti.music.drum_hits import DrumHits
from tutti.music.drum_kit import DRUM_CLASSES

__all__ = ["SAMPLE_RATE_HZ", "drum_sound", "preview_flac"]

SAMPLE_RATE_HZ: Final = 44_100

_RECORDING_GAIN = 0.35
_HITS_GAIN = 0.5
_CLICK_GAIN = 0.25
_CLICK_HZ, _DOWNBEAT_HZ, _CLICK_S = 1000.0, 1600.0, 0.03
_FADED = 7.0
"""A sound ends after so many times the time in which it falls to 1/e: at -61 dB."""

Mono = NDArray[np.float32]
Stereo = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Voice:
    """How a piece is made of a falling tone and noise."""

    decay_s: float
    """In which the sound falls to 1/e."""
    tone_hz: float = 0.0
    """0 for none."""
    drop: float = 0.0
    """How much higher the tone starts, as a share of it."""
    tone: float = 0.0
    """Share of the tone; the rest is noise."""
    brightness: int = 0
    """How often the noise is differentiated: 6 dB an octave each."""
    overtones: tuple[float, ...] = ()
    """Further tones, as multiples of the first: metal."""


_METAL = (1.34, 1.79, 2.41, 3.17)
_VOICES: dict[str, _Voice] = {
    "kick": _Voice(0.08, 52, 2.0, 1.0),
    "snare": _Voice(0.05, 190, 0.2, 0.35),
    "side_stick": _Voice(0.012, 1700, 0.0, 0.8, 1),
    "hihat_closed": _Voice(0.016, brightness=3),
    "hihat_open": _Voice(0.11, brightness=3),
    "hihat_pedal": _Voice(0.024, brightness=2),
    "tom_high": _Voice(0.09, 210, 0.4, 0.9),
    "tom_mid": _Voice(0.11, 150, 0.4, 0.9),
    "tom_low": _Voice(0.13, 95, 0.4, 0.9),
    "ride": _Voice(0.16, 2900, 0.0, 0.6, 2, _METAL),
    "ride_bell": _Voice(0.2, 2100, 0.0, 0.95, 2, _METAL[:2]),
    "crash": _Voice(0.4, brightness=1),
    "splash": _Voice(0.12, brightness=2),
    "china": _Voice(0.3, 640, 0.0, 0.3, 1, _METAL),
}


@cache
def drum_sound(name: str) -> Mono:
    """One stroke on a piece of DRUM_CLASSES, (n,) at SAMPLE_RATE_HZ, its peak at 1. The same each time."""
    voice = _VOICES[name]
    at_s = np.arange(round(_FADED * voice.decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    noise = np.random.default_rng(DRUM_CLASSES.index(name)).standard_normal(len(at_s) + voice.brightness)
    sound = (1 - voice.tone) * _normal(np.diff(noise, voice.brightness))
    if voice.tone_hz:
        turns = voice.tone_hz * (at_s + voice.drop * 0.02 * (1 - np.exp(-at_s / 0.02)))
        partials = [np.sin(2 * np.pi * turns * multiple) for multiple in (1.0, *voice.overtones)]
        sound += voice.tone * _normal(np.sum(partials, axis=0))
    return _normal(sound * np.exp(-at_s / voice.decay_s)).astype(np.float32)


def _normal(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = sound / max(1e-9, float(np.abs(sound).max()))
    return result


@cache
def _click(is_downbeat: bool) -> Mono:
    at_s = np.arange(round(_CLICK_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tone = np.sin(2 * np.pi * (_DOWNBEAT_HZ if is_downbeat else _CLICK_HZ) * at_s)
    return (tone * np.hanning(2 * len(at_s))[len(at_s) :]).astype(np.float32)


def preview_flac(recording: Source, hits: DrumHits, beats: Beats, limits: AudioLimits | None = None) -> bytes:
    """A stereo FLAC file as long as `recording`. Memory holds that file and one block of sound. Raises InputError."""
    left = [(time_s, _CLICK_GAIN, _click(position == 1)) for time_s, position in beats.grid]
    right = [(hit.time_s, _HITS_GAIN * (hit.velocity / 127) ** 1.5, drum_sound(hit.instrument)) for hit in hits]
    made = io.BytesIO()
    with (
        open_stream(recording, sample_rate_hz=SAMPLE_RATE_HZ, mono=False, limits=limits) as stream,
        soundfile.SoundFile(made, "w", SAMPLE_RATE_HZ, 2, format="FLAC", subtype="PCM_16") as file,
    ):
        for block in _played(_Sounds(left), _Sounds(right), stream):
            file.write(np.clip(block, -1, 1))
    return made.getvalue()


class _Sounds:
    """Sounds one after the other, block by block. Each is (time in seconds, gain, samples), in order of time."""

    def __init__(self, sounds: Sequence[tuple[float, float, Mono]]) -> None:
        self._sounds, self._next = sounds, 0
        self._ringing = np.zeros(0, np.float32)
        self._begin = 0

    def take(self, length: int) -> Mono:
        """The next `length` samples."""
        end = self._begin + length
        starting = []
        while self._next < len(self._sounds):
            time_s, gain, samples = self._sounds[self._next]
            at = round(time_s * SAMPLE_RATE_HZ)
            if at >= end:
                break
            starting.append((at - self._begin, gain, samples))
            self._next += 1
        longest = max([length, len(self._ringing), *(at + len(samples) for at, _, samples in starting)])
        block = np.zeros(longest, np.float32)
        block[: len(self._ringing)] = self._ringing
        for at, gain, samples in starting:
            block[at : at + len(samples)] += np.float32(gain) * samples
        self._begin, self._ringing = end, block[length:].copy()
        return block[:length]


def _played(left: _Sounds, right: _Sounds, blocks: Iterable[NDArray[np.float32]]) -> Iterator[Stereo]:
    for block in blocks:
        ears = block[:, [0, min(1, block.shape[1] - 1)]] * np.float32(_RECORDING_GAIN)
        ears[:, 0] += left.take(len(ears))
        ears[:, 1] += right.take(len(ears))
        yield ears
