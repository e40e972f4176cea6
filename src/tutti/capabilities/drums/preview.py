"""A chart to listen to: the recording, softened, with the hits played by a plain drum machine and a click on the beats.

The hits are in the right ear and the click in the left, so that either can be taken away by the balance control.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np
import soundfile
from numpy.typing import NDArray

from tutti.audio.drum_machine import SAMPLE_RATE_HZ, Mono, drum_sound
from tutti.audio.reading import AudioLimits, Source, open_stream
from tutti.music.beats import Beats
from tutti.music.drum_hits import DrumHits

__all__ = ["preview_flac"]

_RECORDING_GAIN = 0.35
_HITS_GAIN = 0.5
_CLICK_GAIN = 0.25
_CLICK_HZ, _DOWNBEAT_HZ, _CLICK_S = 1000.0, 1600.0, 0.03

Stereo = NDArray[np.float32]


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
