"""A drum machine made of falling tones and noise: no recording, no download, the same sound each time.

Pieces are the classes of `music.drum_kit` and a few of hand percussion. Keys of General MIDI that have no sound of
their own are played by the nearest: bongos, congas, timbales and cuicas by toms, agogos by the cowbell, triangles by
the ride's bell, maracas, whistles and guiros by the shaker, wood and all else by the side stick.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from tutti.music.drum_kit import class_of_key

__all__ = ["PIECES", "SAMPLE_RATE_HZ", "Mono", "Stereo", "drum_sound", "piece_of_key", "play"]

SAMPLE_RATE_HZ: Final = 44_100

Mono = NDArray[np.float32]
"""(n,)."""
Stereo = NDArray[np.float32]
"""(n, 2)."""

_FADED = 7.0
"""A sound ends after so many times the time in which it falls to 1/e: at -61 dB."""
_CHOKE_S = 0.008
"""In which an open hat falls silent when it is closed."""
_SHADES = 8
"""How many brightnesses a piece has, from the softest stroke to the loudest."""
_CLAP_GAP_S = 0.011


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
    bursts: int = 1
    """How many hands clap, one after the other."""


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
    "clap": _Voice(0.045, brightness=1, bursts=4),
    "cowbell": _Voice(0.06, 560, 0.0, 0.95, 1, (1.5,)),
    "tambourine": _Voice(0.045, 5200, 0.0, 0.25, 3, _METAL),
    "shaker": _Voice(0.022, brightness=2),
}

PIECES: tuple[str, ...] = tuple(_VOICES)

_PIECE_OF_KEY: dict[int, str] = {
    39: "clap",  # which `class_of_key` reads as a snare: charts have no sign for it
    54: "tambourine",
    **dict.fromkeys((56, 67, 68), "cowbell"),
    **dict.fromkeys((69, 70, 71, 72, 73, 74, 82), "shaker"),
    **dict.fromkeys((80, 81), "ride_bell"),
    **dict.fromkeys((60, 62, 65), "tom_high"),
    **dict.fromkeys((61, 63, 66, 78), "tom_mid"),
    **dict.fromkeys((64, 79), "tom_low"),
}

# Level against the kick's, and where in the room: -1 is left, 1 right, as the drummer hears it.
_MIX: dict[str, tuple[float, float]] = {
    "kick": (1.0, 0.0),
    "snare": (0.75, 0.05),
    "side_stick": (0.5, -0.1),
    "hihat_closed": (0.32, -0.35),
    "hihat_open": (0.32, -0.35),
    "hihat_pedal": (0.3, -0.35),
    "tom_high": (0.7, -0.25),
    "tom_mid": (0.7, 0.1),
    "tom_low": (0.75, 0.4),
    "ride": (0.3, 0.4),
    "ride_bell": (0.3, 0.4),
    "crash": (0.45, -0.45),
    "splash": (0.4, -0.2),
    "china": (0.4, 0.5),
    "clap": (0.6, 0.1),
    "cowbell": (0.35, 0.2),
    "tambourine": (0.3, 0.3),
    "shaker": (0.25, 0.3),
}


def piece_of_key(key: int) -> str:
    """What sounds for a General MIDI percussion key: its own piece, the nearest, or a side stick."""
    return _PIECE_OF_KEY.get(key) or class_of_key(key) or "side_stick"


@cache
def drum_sound(name: str) -> Mono:
    """One stroke on a piece of PIECES, (n,) at SAMPLE_RATE_HZ, its peak at 1. The same each time."""
    voice = _VOICES[name]
    at_s = np.arange(round(_FADED * voice.decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    noise = np.random.default_rng(PIECES.index(name)).standard_normal(len(at_s) + voice.brightness)
    sound = (1 - voice.tone) * _normal(np.diff(noise, voice.brightness))
    if voice.tone_hz:
        turns = voice.tone_hz * (at_s + voice.drop * 0.02 * (1 - np.exp(-at_s / 0.02)))
        partials = [np.sin(2 * np.pi * turns * multiple) for multiple in (1.0, *voice.overtones)]
        sound += voice.tone * _normal(np.sum(partials, axis=0))
    return _normal(sound * _envelope(voice, at_s)).astype(np.float32)


def _envelope(voice: _Voice, at_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """All hands but the last fall off within the gap to the next."""
    last_s = (voice.bursts - 1) * _CLAP_GAP_S
    falling: NDArray[np.float64] = np.where(
        at_s < last_s, np.exp(-np.mod(at_s, _CLAP_GAP_S) / (_CLAP_GAP_S / 3)), np.exp(-(at_s - last_s) / voice.decay_s)
    )
    return falling


def _normal(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = sound / max(1e-9, float(np.abs(sound).max()))
    return result


@lru_cache(maxsize=256)
def _shaded(name: str, shade: int) -> Mono:
    """`drum_sound`, the duller the softer: low-passed by one pole, from 0 (softest) to _SHADES - 1 (as it is)."""
    pole = 0.7 * (1 - shade / (_SHADES - 1))
    return _normal(lfilter([1 - pole], [1, -pole], drum_sound(name).astype(np.float64))).astype(np.float32)


def play(strokes: Iterable[tuple[float, int, int]], duration_s: float, *, loops: bool) -> Stereo:
    """Strokes (seconds, General MIDI percussion key, velocity 1-127) as sound, (n, 2) of `duration_s`.

    A closed or pedal hat cuts an open one. What rings on at the end goes on at the start where it `loops`, and else is
    faded out. Strokes from `duration_s` on are left out. Nothing is made louder; what would pass -1 dBFS makes all of
    it softer.
    """
    length = round(duration_s * SAMPLE_RATE_HZ)
    hits = sorted((round(time_s * SAMPLE_RATE_HZ), piece_of_key(key), velocity) for time_s, key, velocity in strokes)
    hits = [hit for hit in hits if 0 <= hit[0] < length]
    hats = [at for at, name, _ in hits if name.startswith("hihat")]
    if loops:
        hats += [at + length for at in hats]
    room = np.zeros((length + max((len(drum_sound(name)) for _, name, _ in hits), default=0), 2), np.float32)
    for at, name, velocity in hits:
        sound = _shaded(name, (velocity - 1) * _SHADES // 127)
        if name == "hihat_open":
            sound = _choked(sound, min((after - at for after in hats if after > at), default=len(sound)))
        level, pan = _MIX[name]
        angle = (pan + 1) * np.pi / 4  # equal power: as loud in the middle as at the sides
        gain = level * (velocity / 127) ** 1.5 * np.sqrt(2) * np.array([np.cos(angle), np.sin(angle)])
        room[at : at + len(sound)] += sound[:, None] * gain.astype(np.float32)
    played = room[:length]
    if loops:
        for begin in range(length, len(room), max(1, length)):
            tail = room[begin : begin + length]
            played[: len(tail)] += tail
    else:
        fade = min(length, round(_CHOKE_S * SAMPLE_RATE_HZ))
        played[length - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)[:, None]
    ceiling = 10 ** (-1 / 20)
    return played * np.float32(min(1.0, ceiling / max(1e-9, float(np.abs(played).max(initial=0.0)))))


def _choked(sound: Mono, after: int) -> Mono:
    """`sound` until `after` samples, and a short fade."""
    fade = round(_CHOKE_S * SAMPLE_RATE_HZ)
    cut = sound[: after + fade].copy()
    fading = cut[after:]
    fading *= np.linspace(1, 0, fade, dtype=np.float32)[: len(fading)]
    return cut
