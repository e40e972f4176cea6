"""Hits by the clip classifier of AnNOTEator: find onsets, cut a clip at each, ask the network what sounds in it.

`clip="stretched"` does what upstream does under librosa 0.11, quirks included: a clip is as long as a sixteenth note,
stretched to 0.2 s in time and pitch; the bpm given is a prior for an estimate; a hit in the first 46 ms is late or
lost, others come up to 23 ms late. Only what upstream fails at differs: an onset nearer to the beginning than its clip
reaches back gets silence before it, where upstream divides by zero.

`clip="fixed"` cuts the 0.2 s that the network was trained on, from 20 ms before the onset to 180 ms after it, obeys the
bpm given, hears the beginning, and puts each onset at its attack (on synthetic strokes within 1 ms).

The network was trained with `mel_edges="reflect"`, the edges of clips mirrored as librosa did it then; with "constant",
librosa's later default, it measures better (pooled F .480 against .455 on six real tracks, clips stretched).

librosa finds the onsets and does the arithmetic of mel bands; it comes with the extra `librosa`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import soxr
import torch
from numpy.typing import NDArray

from tutti.capabilities.drums.excerpts import excerpt
from tutti.capabilities.drums.models.annoteator import BANDS, INSTRUMENTS, AnnoteatorNet
from tutti.capabilities.drums.stroke_levels import velocities_at
from tutti.errors import MissingExtraError, OptionError
from tutti.music.drum_hits import DrumHit, DrumHits

__all__ = ["CLIP", "SAMPLE_RATE_HZ", "Clip", "ClipAnswers", "MelEdges", "compress", "decide", "hear", "mel_power"]

SAMPLE_RATE_HZ = 44_100
CLIP = 8_820
"""Samples of a clip: 0.2 s."""

Clip = Literal["stretched", "fixed"]
MelEdges = Literal["constant", "reflect"]

_FFT = 2048
_COARSE_HOP, _FINE_HOP = 1024, 512
_FINE_ABOVE_BPM = 110.0
_BEFORE, _AFTER = 882, 7_938
"""Samples of a fixed clip before and after the onset."""
_LEAD = 2 * _COARSE_HOP
"""Silence put before the recording in "fixed", without which the detector cannot place an onset at its beginning."""
_RISE = 128
"""Samples on either side of an attack that are compared."""
_FRAMES_AT_ONCE = 4_096
_CLIPS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class ClipAnswers:
    """What the clip classifier heard."""

    hits: DrumHits
    """Confidence is the network's probability; velocity is taken from the level of the recording."""
    mean_confidence: float | None
    """Mean over onsets of the highest probability, 0-1; None without an onset."""
    bpm: float | None
    """The tempo that the clips were cut by; None without an onset unless it was given."""


def hear(
    samples: NDArray[np.float32],
    network: AnnoteatorNet,
    *,
    bpm: float | None = None,
    clip: Clip = "fixed",
    mel_edges: MelEdges = "constant",
    on_step: Callable[[int, int], None] | None = None,
) -> ClipAnswers:
    """The hits in mono `samples` at 44.1 kHz, a drum track; several at one onset share its time.

    `on_step(done, total)` is called with counts of clips and may raise to stop. Raises OptionError for an impossible
    bpm, MissingExtraError without librosa.
    """
    if bpm is not None and not 0 < bpm < float("inf"):
        raise OptionError(f"A tempo is more than 0 bpm; got {bpm}. Give the beats in a minute.")
    lead = _LEAD if clip == "fixed" else 0
    onsets, bpm = _onsets(samples, lead, bpm, obey=clip == "fixed")
    if not len(onsets) or bpm is None:
        return ClipAnswers(DrumHits(), None, bpm)
    if clip == "fixed":
        onsets = _attacks(samples, onsets, _hop(bpm))
    probabilities = np.empty((len(onsets), len(INSTRUMENTS)), dtype=np.float32)
    for start in range(0, len(onsets), _CLIPS_AT_ONCE):
        some = slice(start, start + _CLIPS_AT_ONCE)
        clips, rates_hz = _fixed(samples, onsets[some]) if clip == "fixed" else _stretched(samples, onsets[some], bpm)
        mel = mel_power(compress(clips, rates_hz), mel_edges)
        with torch.inference_mode():
            probabilities[some] = network(torch.from_numpy(mel)).numpy()
        if on_step is not None:
            on_step(min(start + _CLIPS_AT_ONCE, len(onsets)), len(onsets))
    times_s = onsets / SAMPLE_RATE_HZ
    velocities = velocities_at(samples, times_s, SAMPLE_RATE_HZ)
    hits = DrumHits.of(
        DrumHit(float(times_s[onset]), INSTRUMENTS[name], int(velocities[onset]), float(probabilities[onset, name]))
        for onset, name in np.argwhere(decide(probabilities))
    )
    return ClipAnswers(hits, float(probabilities.max(axis=1).mean()), bpm)


def decide(probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which classes sound, `(clips, 6)`: those that round to 1 (0.5 does not), else the most probable one alone."""
    sounds: NDArray[np.bool_] = np.rint(probabilities) == 1
    silent = np.flatnonzero(~sounds.any(axis=1))
    sounds[silent, probabilities[silent].argmax(axis=1)] = True
    return sounds


# onsets and tempo


def _onsets(
    samples: NDArray[np.float32], lead: int, bpm: float | None, *, obey: bool
) -> tuple[NDArray[np.int64], float | None]:
    """Sample positions of the onsets, and the tempo. A bpm that is not to be obeyed is where an estimate begins."""
    coarse = _peaks(_onset_strength(samples, _COARSE_HOP, lead)) * _COARSE_HOP
    if not len(coarse):
        return coarse, bpm
    fine_strength: NDArray[np.float32] | None = None
    if bpm is None or not obey:
        fine_strength = _onset_strength(samples, _FINE_HOP, lead)
        bpm = _tempo(fine_strength, bpm or _guess(coarse))
    if _hop(bpm) == _COARSE_HOP:
        return np.maximum(0, coarse - lead), bpm
    if fine_strength is None:
        fine_strength = _onset_strength(samples, _FINE_HOP, lead)
    return np.maximum(0, _peaks(fine_strength) * _FINE_HOP - lead), bpm


def _hop(bpm: float) -> int:
    """Samples between the frames that onsets are taken from."""
    return _FINE_HOP if bpm > _FINE_ABOVE_BPM else _COARSE_HOP


def _attacks(samples: NDArray[np.float32], onsets: NDArray[np.int64], hop: int) -> NDArray[np.int64]:
    """Each onset moved to where the level rises most from 3 ms to the next; the detector is up to a frame late.

    Onsets that come to lie at one attack become one.
    """
    moved = []
    for onset in onsets:
        first = onset - hop - _RISE
        piece = excerpt(samples, first - _RISE, onset + hop // 2 + _RISE).astype(np.float64)
        energy = np.concatenate([[0.0], np.cumsum(piece**2)])
        steps = np.arange(_RISE, len(piece) - _RISE, _RISE // 4)
        levels = np.sqrt(energy[_RISE:] - energy[:-_RISE])
        moved.append(first + steps[np.argmax(levels[steps] - levels[steps - _RISE])] - _RISE)
    return np.unique(np.maximum(0, moved))


def _onset_strength(samples: NDArray[np.float32], hop: int, lead: int) -> NDArray[np.float32]:
    """`librosa.onset.onset_strength` of `lead` zeros and then `samples`, `(frames,)`, taken block by block."""
    librosa = _librosa()
    frames = 1 + (lead + len(samples)) // hop
    levels_db = []
    for first in range(0, frames, _FRAMES_AT_ONCE):
        last = min(frames, first + _FRAMES_AT_ONCE)
        piece = excerpt(samples, first * hop - lead - _FFT // 2, (last - 1) * hop - lead + _FFT // 2)
        power = librosa.feature.melspectrogram(
            y=piece, sr=SAMPLE_RATE_HZ, n_fft=_FFT, hop_length=hop, center=False, fmax=SAMPLE_RATE_HZ / 2
        )
        levels_db.append(librosa.power_to_db(power, top_db=None))
    floor_db = max(block.max() for block in levels_db) - 80.0
    strength = np.zeros(frames, dtype=np.float32)
    late = _FFT // (2 * hop)
    at, before = 0, levels_db[0][:, :1]
    for block in levels_db:
        rises = np.diff(np.maximum(np.concatenate([before, block], axis=1), floor_db), axis=1)
        mean = np.maximum(0.0, rises).mean(axis=0)
        strength[at + late : at + late + len(mean)] = mean[: max(0, frames - at - late)]
        at, before = at + len(mean), block[:, -1:]
    return strength


def _peaks(strength: NDArray[np.float32]) -> NDArray[np.int64]:
    """Frames of the onsets. The picker's windows are those of hop 512 whatever the hop was, as upstream calls it."""
    frames: NDArray[np.int64] = _librosa().onset.onset_detect(onset_envelope=strength, sr=SAMPLE_RATE_HZ)
    return frames


def _guess(onsets: NDArray[np.int64]) -> float:
    """bpm by which the distance between onsets that is the most frequent, and of these the smallest, is an eighth."""
    if len(onsets) < 2:
        return 120.0  # librosa's own
    distances, counts = np.unique(np.diff(onsets), return_counts=True)
    return float(60.0 * SAMPLE_RATE_HZ / (2 * distances[counts.argmax()]))


def _tempo(strength: NDArray[np.float32], start_bpm: float) -> float:
    """`librosa.feature.tempo` of an envelope of hop 512, taken block by block."""
    librosa = _librosa()
    window = int(librosa.time_to_frames(8.0, sr=SAMPLE_RATE_HZ, hop_length=_FINE_HOP))
    padded = np.pad(strength, window // 2, mode="linear_ramp", end_values=0)
    mean = np.zeros(window)
    for first in range(0, len(strength), _FRAMES_AT_ONCE):
        last = min(len(strength), first + _FRAMES_AT_ONCE)
        piece = padded[first : last + window - 1]
        mean += librosa.feature.tempogram(onset_envelope=piece, win_length=window, center=False).sum(axis=1)
    mean /= len(strength)
    (bpm,) = librosa.feature.tempo(tg=mean[:, None], sr=SAMPLE_RATE_HZ, hop_length=_FINE_HOP, start_bpm=start_bpm)
    return float(bpm)


# clips and features


def _fixed(samples: NDArray[np.float32], onsets: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    clips = np.stack([excerpt(samples, onset - _BEFORE, onset + _AFTER) for onset in onsets])
    return clips, np.full(len(onsets), SAMPLE_RATE_HZ)


def _stretched(
    samples: NDArray[np.float32], onsets: NDArray[np.int64], bpm: float
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Clips `(clips, 8820)` and the rates, in Hz, that each was resampled to; the last few are cut short by the end."""
    before, after = stretched_reach(bpm)
    clips = np.zeros((len(onsets), CLIP), dtype=np.float32)
    rates_hz = np.empty(len(onsets), dtype=np.int64)
    for row, onset in enumerate(onsets):
        piece = excerpt(samples, onset - before, min(onset + after, len(samples)))
        rates_hz[row] = int(SAMPLE_RATE_HZ * CLIP / len(piece))
        resampled = soxr.resample(piece, SAMPLE_RATE_HZ, rates_hz[row], quality="HQ")
        clips[row, : len(resampled)] = resampled[:CLIP]
    return clips, rates_hz


def stretched_reach(bpm: float) -> tuple[int, int]:
    """Samples before and after an onset in a stretched clip: a quarter of a thirty-second note, and a sixteenth."""
    return int(60 / (32 * bpm) * SAMPLE_RATE_HZ), int(60 / (4 * bpm) * SAMPLE_RATE_HZ)


def compress(clips: NDArray[np.float32], rates_hz: NDArray[np.int64]) -> NDArray[np.float32]:
    """Each of `(clips, samples)` after a compressor of -27 dB, 4 : 1, attack 1 ms and release 200 ms, starting at rest.

    The same as the Compressor of spotify/pedalboard 0.9.26, to 1.5e-8.
    """
    attack, release = (np.exp(-2000 * np.pi / (rates_hz * ms)).astype(np.float32) for ms in (1.0, 200.0))
    levels = np.abs(clips.T, order="C")  # (samples, clips): one step of all clips lies together
    envelope = np.zeros(len(clips), dtype=np.float32)
    fall, slow = np.empty_like(envelope), np.empty_like(envelope)
    for level in levels:
        # attack < release: of both ways to follow the level, the right one is always the upper
        np.subtract(envelope, level, out=fall)
        np.multiply(fall, release, out=slow)
        np.multiply(fall, attack, out=fall)
        np.maximum(fall, slow, out=fall)
        np.add(level, fall, out=envelope)
        level[:] = envelope
    threshold = np.float32(10 ** (-27 / 20))
    gains = (np.maximum(levels, threshold) / threshold) ** np.float32(1 / 4 - 1)
    return np.multiply(gains.T, clips, order="C")


def mel_power(clips: NDArray[np.float32], edges: MelEdges) -> NDArray[np.float32]:
    """`(clips, 8820)` to the network's input `(clips, 128, 18)`: mel power up to 8 kHz, as if all were at 44.1 kHz."""
    mel: NDArray[np.float32] = _librosa().feature.melspectrogram(
        y=clips, sr=SAMPLE_RATE_HZ, n_fft=_FFT, hop_length=_FINE_HOP, n_mels=BANDS, fmax=8_000, pad_mode=edges
    )
    return mel


def _librosa() -> Any:
    try:
        import librosa  # slow to import, and an extra
    except ImportError as error:
        raise MissingExtraError(
            "The clip classifier needs librosa. Run: pip install 'tutti[librosa]', or take another model."
        ) from error
    return librosa
