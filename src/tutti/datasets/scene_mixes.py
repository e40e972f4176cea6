"""Crops of stored scenes, mixed anew each time: drums under a band, alone, or with what separation leaves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tutti.audio.bands import DB_PER_UNIT, DRUMS_FRONT_END, STEPS_PER_UNIT
from tutti.datasets.drum_scenes import REGIONS_HZ, Hit
from tutti.datasets.scene_shards import SceneShards, StoredScene

__all__ = ["RECORDS", "TRAINING", "Balance", "Mix", "draw_mix"]

Rng = np.random.Generator
Levels = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Mix:
    """What the network hears and what it should say. Times count from the crop's first frame."""

    levels: Levels
    """(windows, frames, bands) in front-end units."""
    hits: tuple[Hit, ...]
    beats: tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True)
class Balance:
    """How often a mix is what, as shares that sum to 1, and how loud the band is beside the drums (dB)."""

    drums: float
    """Drums alone."""
    song: float
    """Drums and their band."""
    stranger: float
    """Drums and another band, below them: beats of two pieces at once are no one's."""
    stem: float
    """A separated stem: something of the band is left, some of the drums is gone."""
    band: float
    """The band alone."""
    silence: float
    song_db: tuple[float, float]
    retuned_octaves: float
    """How far drums and band are each tuned up or down (standard deviation)."""
    echoed: float
    """How often the drums have an echo, whatever else the mix is."""
    stranger_db: tuple[float, float] = (-14.0, 0.0)
    stem_db: tuple[float, float] = (-32.0, -10.0)


TRAINING = Balance(
    drums=0.25,
    song=0.37,
    stranger=0.16,
    stem=0.16,
    band=0.05,
    silence=0.01,
    song_db=(-9.0, 12.0),
    retuned_octaves=0.12,
    echoed=0.15,
)
"""Harder than records are, so that there is something to learn."""
RECORDS = Balance(
    drums=0.3,
    song=0.5,
    stranger=0.0,
    stem=0.15,
    band=0.05,
    silence=0.0,
    song_db=(-8.0, 4.0),
    retuned_octaves=0.0,
    echoed=0.0,
)
"""As records are mixed: what thresholds are chosen on."""


def draw_mix(shards: SceneShards, rng: Rng, frames: int, frame_s: float, balance: Balance = TRAINING) -> Mix:
    """A stretch of a scene as some recording might hold it."""
    scene = shards.draw(rng)
    drums, band, begin = _crop(scene, rng, frames)
    if balance.retuned_octaves:
        drums, band = (_retuned(levels, rng.normal(0, balance.retuned_octaves)) for levels in (drums, band))
    if balance.echoed and rng.random() < balance.echoed:
        drums = _echoed(drums, rng)
    beats = scene.beats
    start_s = begin * frame_s
    inside = [
        replace(hit, time_s=hit.time_s - start_s)
        for hit in scene.hits
        if -0.05 <= hit.time_s - start_s < frames * frame_s + 0.05
    ]
    shares = (balance.drums, balance.song, balance.stranger, balance.stem, balance.band, balance.silence)
    match int(np.searchsorted(np.cumsum(shares), rng.random(), side="right")):
        case 0:
            levels = drums
        case 1:
            levels = _sum(drums, band, rng.uniform(*balance.song_db))
            inside = _beside(inside, drums, levels, frame_s)
        case 2:
            other, _ = _stranger(shards, rng, frames)
            levels = _sum(drums, other, rng.uniform(*balance.stranger_db))
            inside = _beside(inside, drums, levels, frame_s)
        case 3:
            levels = _sum(drums, band, rng.uniform(*balance.stem_db))
            inside = _beside(inside, drums, levels, frame_s)
            levels = _masked(levels, rng)
        case 4:
            levels, inside = band, []
        case _:
            levels, inside, beats = np.zeros_like(drums), [], ()
    levels = np.where(levels > 0, levels + _tone(rng, levels.shape[-1]), 0.0).clip(0.0, 2.0).astype(np.float32)
    end_s = start_s + frames * frame_s
    kept = tuple((time_s - start_s, place) for time_s, place in beats if start_s <= time_s < end_s)
    return Mix(levels, tuple(inside), kept)


def _crop(scene: StoredScene, rng: Rng, frames: int) -> tuple[Levels, Levels, int]:
    begin = int(rng.integers(scene.levels.shape[2] - frames + 1))
    crop = scene.levels[:, :, begin : begin + frames].astype(np.float32) / np.float32(STEPS_PER_UNIT)
    return crop[0], crop[1], begin


def _retuned(levels: Levels, octaves: float) -> Levels:
    """The same sounds higher: each band has what lay `octaves` below it, between two bands something of both."""
    centres_hz = DRUMS_FRONT_END.centres_hz()
    at = np.interp(centres_hz * 2**-octaves, centres_hz, np.arange(len(centres_hz)))
    below = at.astype(np.intp)
    above = np.minimum(below + 1, len(centres_hz) - 1)
    share = (at - below).astype(np.float32)
    return levels[..., below] * (1 - share) + levels[..., above] * share


def _echoed(levels: Levels, rng: Rng) -> Levels:
    """The same sounds once more, 60 to 400 ms later, much softer and duller: a wall's answer, or a rattling snare's."""
    power = _above_floor(levels)
    late = int(rng.integers(6, 41))
    dulled_db = np.linspace(0, rng.uniform(0, 15), levels.shape[-1], dtype=np.float32)
    power[:, late:] += power[:, :-late] * 10 ** ((np.float32(rng.uniform(-34, -18)) - dulled_db) / 10)
    both: Levels = np.log10(1 + power) * np.float32(10 / DB_PER_UNIT)
    return both


def _stranger(shards: SceneShards, rng: Rng, frames: int) -> tuple[Levels, int]:
    _, band, begin = _crop(shards.draw(rng), rng, frames)
    return band, begin


def _sum(first: Levels, second: Levels, level_db: float) -> Levels:
    """Two spectra sounding together, the second `level_db` above the first over the stretch (powers add)."""
    first_power, second_power = _above_floor(first), _above_floor(second)
    ratio = 1.0  # of silence to anything there is none
    if first_power.any() and second_power.any():
        ratio = float(first_power.mean() / second_power.mean()) * 10 ** (level_db / 10)
    mixed: Levels = np.log10(1 + first_power + second_power * np.float32(ratio)) * np.float32(10 / DB_PER_UNIT)
    return mixed


def _beside(hits: list[Hit], drums: Levels, mixed: Levels, frame_s: float) -> list[Hit]:
    """`hits` with their shares of the whole mix: what is left of their shares of the drums beside the band."""
    ours, all_of_it = _above_floor(drums[0]), _above_floor(mixed[0])
    centres_hz = DRUMS_FRONT_END.centres_hz()
    columns = [(low <= centres_hz) & (centres_hz < high) for low, high in REGIONS_HZ]
    regions = [(ours[:, inside].sum(axis=1), all_of_it[:, inside].sum(axis=1)) for inside in columns]
    left_db = np.array([10 * np.log10(np.clip(part / np.maximum(whole, 1e-9), 1e-6, 1.0)) for part, whole in regions])
    middles = [min(max(0, round(hit.time_s / frame_s) + 2), len(ours) - 1) for hit in hits]  # of the first 50 ms
    return [
        replace(hit, shares_db=tuple((left_db[:, middle] + hit.shares_db).tolist()))
        for hit, middle in zip(hits, middles, strict=True)
    ]


def _above_floor(levels: Levels) -> Levels:
    """Power in multiples of the floor's, less the floor itself, so that sums of silence are silence."""
    power: Levels = 10 ** (levels * np.float32(DB_PER_UNIT / 10)) - np.float32(1)
    return power


def _masked(levels: Levels, rng: Rng) -> Levels:
    """Holes as a separator leaves them: what is soft is pressed down, in patches of time and frequency."""
    _, frames, bands = levels.shape
    coarse = rng.uniform(0, 1, (frames // 12 + 2, bands // 6 + 2))
    rows = np.linspace(0, coarse.shape[0] - 1.001, frames)
    columns = np.linspace(0, coarse.shape[1] - 1.001, bands)
    patches = coarse[rows.astype(int)][:, columns.astype(int)]
    depth = rng.uniform(0, 0.35) * np.clip(patches - rng.uniform(0.3, 0.9), 0, 1) * 2
    ceiling = levels.max(axis=(1, 2), keepdims=True)
    softness = np.clip((ceiling - levels - 0.4) / 0.6, 0, 1)  # from 20 dB under the loudest on
    left: Levels = np.maximum(levels - (depth * softness).astype(np.float32), np.float32(0.0))
    return left


def _tone(rng: Rng, bands: int) -> NDArray[np.float64]:
    """A level and a smooth curve over frequency within about +-9 dB, in front-end units; sometimes no treble."""
    curve = np.interp(np.linspace(0, 5, bands), np.arange(6), rng.normal(0, 0.07, 6)) + rng.normal(0, 0.12)
    if rng.random() < 0.12:
        cut = int(rng.integers(int(0.78 * bands), bands))
        curve[cut:] -= np.linspace(0, rng.uniform(0.2, 1.2), bands - cut)
    return curve
