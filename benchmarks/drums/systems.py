"""What is measured side by side. What is not on this machine is left out, and said to be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.transcription.folders import PEERS
from tutti.audio.bands import DRUMS_FRONT_END, stored_levels
from tutti.audio.reading import open_stream, read_audio
from tutti.capabilities.drums import clip_classifier
from tutti.capabilities.drums.hearing import hear_clips, hear_hits
from tutti.capabilities.drums.models import adtof
from tutti.listening.beats import hear_beats, librosa_beats, madmom_beats
from tutti.music.beats import Beats
from tutti.music.drum_hits import DrumHits
from tutti.weights.cards import load_cards

ADTOF_WEIGHTS = PEERS / "adtof" / "adtof.safetensors"
OURS, PEER = "tutti-drums", "ADTOF Frame-RNN"
OUR_BEATS, SOUND_ALONE = "tutti", "tutti-beats alone"
RATE_HZ = 44_100


@dataclass(frozen=True)
class HitSystem:
    """File to hits, on the CPU, nothing separated before."""

    name: str
    hear: Callable[[Path], DrumHits]
    instruments: int
    """How many pieces it tells apart."""

    def remembering(self) -> HitSystem:
        """The same, hearing each file once."""
        return HitSystem(self.name, cache(self.hear), self.instruments)


@dataclass(frozen=True)
class BeatSystem:
    """File to beats, on the CPU."""

    name: str
    hear: Callable[[Path], Beats]
    knows_bars: bool

    def remembering(self) -> BeatSystem:
        """The same, hearing each file once."""
        return BeatSystem(self.name, cache(self.hear), self.knows_bars)


def hit_systems() -> list[HitSystem]:
    """Ours first, then the peers."""
    return [found for found in (_tutti_drums(), *_annoteators(), _adtof()) if found is not None]


def beat_systems() -> list[BeatSystem]:
    """Ours first, as `tutti drums` hears beats and by their sound alone, then the peers."""
    systems = []
    ours = _tutti_drums()
    if ours is not None:
        systems.append(
            BeatSystem(OUR_BEATS, lambda path: hear_beats(levels(path), ours.hear(path), device="cpu")[0], True)
        )
    systems.append(BeatSystem(SOUND_ALONE, lambda path: hear_beats(levels(path), device="cpu")[0], True))
    if find_spec("madmom") is not None:
        systems.append(BeatSystem("madmom", lambda path: madmom_beats(samples(path)), True))
    else:
        _left_out("madmom", "the package is not installed")
    systems.append(BeatSystem("librosa", lambda path: librosa_beats(samples(path), RATE_HZ), False))
    return systems


def samples(path: Path) -> NDArray[np.float32]:
    """Mono at RATE_HZ."""
    return read_audio(path, sample_rate_hz=RATE_HZ, mono=True).samples


def levels(path: Path) -> NDArray[np.uint8]:
    """What our networks hear, (windows, frames, bands)."""
    with open_stream(path, sample_rate_hz=DRUMS_FRONT_END.sample_rate_hz) as stream:
        return np.concatenate(list(stored_levels(stream)), axis=1)


def _tutti_drums() -> HitSystem | None:
    card = load_cards().get(OURS)
    if card is None:
        return _left_out(OURS, "it has no model card")
    return HitSystem(OURS, lambda path: hear_hits(card, levels(path), device="cpu", on_window=_ignored).hits, 14)


def _annoteators() -> Iterator[HitSystem]:
    card = load_cards()["annoteator"]

    def system(clip: clip_classifier.Clip) -> HitSystem:
        return HitSystem(
            f"annoteator, {clip}", lambda path: hear_clips(card, samples(path), None, clip, _ignored).hits, 6
        )

    yield system("fixed")
    yield system("stretched")


def _adtof() -> HitSystem | None:
    if not ADTOF_WEIGHTS.is_file():
        return _left_out(PEER, f"there are no weights at {ADTOF_WEIGHTS}")
    network = adtof.open_adtof(ADTOF_WEIGHTS)
    return HitSystem(PEER, lambda path: adtof.hear(samples(path), network), 5)


def _left_out(name: str, reason: str) -> None:
    print(f"{name} is left out: {reason}.", file=sys.stderr)


def _ignored(_done: int, _total: int) -> None:
    """Progress that nobody watches."""
