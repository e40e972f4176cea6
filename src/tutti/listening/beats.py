"""Beats, downbeats and tempo of a recording.

    tutti      our own networks and bar tracker; ship with tutti
    madmom     madmom's networks, where that package is installed (its models are for non-commercial use)
    librosa    librosa's beat tracker, where installed: no downbeats, and always flagged

None of them is asked for a tempo that the user gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tutti.audio.bands import DRUMS_FRONT_END, STEPS_PER_UNIT
from tutti.errors import CardError, MissingExtraError
from tutti.listening.bar_tracking import BarPath, track_bars
from tutti.listening.beat_net import BeatNet, BeatNetConfig, StrokeBeatNet, StrokeBeatNetConfig
from tutti.music.beats import Beats, beats_of_metre
from tutti.music.drum_hits import DrumHits
from tutti.music.drum_kit import DRUM_CLASSES
from tutti.music.timing import BeatGrid
from tutti.nets.folding import fold_batch_norms
from tutti.weights.cards import Card, find_card
from tutti.weights.devices import choose_device, choose_precision
from tutti.weights.loaded import LOADED, with_cpu_fallback
from tutti.weights.opening import open_strict
from tutti.weights.store import locate

__all__ = [
    "FRAMES_PER_S",
    "BeatModel",
    "StrokeBeatModel",
    "Tracking",
    "grid_of",
    "hear_beats",
    "last_resort",
    "librosa_beats",
    "load_beat_model",
    "load_stroke_beat_model",
    "madmom_beats",
    "no_beats",
    "stroke_roll",
]

FRAMES_PER_S = 1 / (2 * DRUMS_FRONT_END.frame_s)
_WINDOW_FRAMES = 6000
"""Front-end frames answered at once: a minute."""
_NO_BEAT = 0.05
"""Nobody taps to a beat less probable than this."""
_DRIFT = 0.03
"""How far a band may stray from the tempo that its user names."""


@dataclass(frozen=True, slots=True)
class Tracking:
    """Settings of the path through the bars, on the model's card."""

    metres: tuple[int, ...] = (3, 4)
    four_bonus: float = 0.2
    """How much likelier four beats in a bar are than another number, per beat (nats)."""
    opening_bonus: float = 0.1
    """How much likelier a bar begins where the drums do than at another beat, per beat (nats): where all else says
    little about it, drummers come in on one."""
    slowest_bpm: float = 55.0
    fastest_bpm: float = 215.0
    usual_bpm: float = 115.0
    confidence_slope: float = 8.0
    """The confidence is the logistic function of slope · (mean probability at the beats - middle)."""
    confidence_middle: float = 0.4
    reliable_from: float = 0.5
    """Below this confidence the tempo is flagged."""
    strokes_share: float = 0.3
    """What a reading of the strokes counts, where there is one, beside what is heard (share of the log odds)."""


@dataclass(frozen=True)
class BeatModel:
    """The network, ready to run, with how its answers are read."""

    network: BeatNet
    tracking: Tracking
    device: torch.device
    precision: str

    @torch.inference_mode()
    def probabilities(self, levels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of a beat and of a downbeat, (frames / 2,) each, for stored levels (windows, frames, bands)."""
        reach = self.network.config.reach_frames
        reach += reach % 2
        frames = levels.shape[1]
        found = []
        for begin in range(0, frames, _WINDOW_FRAMES):
            inside = min(_WINDOW_FRAMES, frames - begin)
            inside += inside % 2
            window = _padded(levels, begin - reach, begin + inside + reach)
            units = torch.from_numpy(window).to(self.device).float() / STEPS_PER_UNIT
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                predicted = self.network(units[None].contiguous(memory_format=torch.channels_last))
            both = torch.stack(predicted)[:, 0, reach // 2 : (reach + inside) // 2]
            found.append(both.float().sigmoid().cpu().numpy())
        beat, downbeat = np.concatenate(found, axis=1).astype(np.float64)
        return beat, downbeat


@dataclass(frozen=True)
class StrokeBeatModel:
    """The network that reads strokes, ready to run."""

    network: StrokeBeatNet
    device: torch.device
    precision: str

    @torch.inference_mode()
    def probabilities(self, hits: DrumHits, frames: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of a beat and of a downbeat, (frames,) each, FRAMES_PER_S of them a second."""
        reach, roll = self.network.config.reach_frames, stroke_roll(hits, frames)
        found = []
        for begin in range(0, frames, _WINDOW_FRAMES // 2):
            end = min(frames, begin + _WINDOW_FRAMES // 2)
            window = roll[:, max(0, begin - reach) : end + reach]
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                predicted = self.network(torch.from_numpy(window).to(self.device)[None])
            skipped = begin - max(0, begin - reach)
            both = torch.stack(predicted)[:, 0, skipped : skipped + end - begin]
            found.append(both.float().sigmoid().cpu().numpy())
        beat, downbeat = np.concatenate(found, axis=1).astype(np.float64)
        return beat, downbeat


def stroke_roll(hits: DrumHits, frames: int) -> NDArray[np.float32]:
    """How hard each piece is struck, 0-1, (DRUM_CLASSES, frames); a stroke between two frames is shared by both."""
    roll = np.zeros((len(DRUM_CLASSES), frames + 1), np.float32)
    for hit in hits:
        at = max(0.0, hit.time_s * FRAMES_PER_S - 0.25)  # frame t is two of the front end's, as in BeatNet
        frame = int(at)
        if frame < frames:
            row = DRUM_CLASSES.index(hit.instrument)
            roll[row, frame] += hit.velocity / 127 * (1 - (at - frame))
            roll[row, frame + 1] += hit.velocity / 127 * (at - frame)
    return roll[:, :frames]


def _padded(levels: NDArray[np.uint8], begin: int, end: int) -> NDArray[np.uint8]:
    """Frames `begin` to `end`, silent where there are none."""
    inside = levels[:, max(0, begin) : end]
    missing = (max(0, -begin), max(0, end - levels.shape[1]))
    return np.pad(inside, ((0, 0), missing, (0, 0)))


def load_beat_model(name: str = "tutti-beats", device: str = "auto", precision: str = "auto") -> tuple[Card, BeatModel]:
    """The model called `name`, from memory when it was used before. Raises WeightsError, DeviceError."""
    card = _beat_card(name, "levels")
    config, tracking = card.settings("network", BeatNetConfig), card.settings("tracking", Tracking)
    where = choose_device(device)
    bits = choose_precision(precision, where)

    def build() -> BeatModel:
        network = BeatNet(config)
        open_strict(network, locate(card), card.name)
        placed = fold_batch_norms(network).to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return BeatModel(placed, tracking, where, bits)

    return card, LOADED.get(card, where, bits, build)


def load_stroke_beat_model(
    name: str = "tutti-stroke-beats", device: str = "auto", precision: str = "auto"
) -> tuple[Card, StrokeBeatModel]:
    """The same for a model that reads strokes."""
    card = _beat_card(name, "strokes")
    config = card.settings("network", StrokeBeatNetConfig)
    where = choose_device(device)
    bits = choose_precision(precision, where)

    def build() -> StrokeBeatModel:
        network = StrokeBeatNet(config)
        open_strict(network, locate(card), card.name)
        return StrokeBeatModel(network.eval().to(where), where, bits)

    return card, LOADED.get(card, where, bits, build)


def _beat_card(name: str, hears: str) -> Card:
    card = find_card(name)
    if (card.capability, card.framework) != ("beats", "torch"):
        raise CardError(f"{card.name} is a model for {card.capability} in {card.framework}, not one that finds beats.")
    if card.config.get("hears", "levels") != hears:
        raise CardError(f"{card.name} finds beats from something else than {hears}.")
    return card


def hear_beats(
    levels: NDArray[np.uint8],
    hits: DrumHits | None = None,
    *,
    bpm: float | None = None,
    metre: tuple[int, int] | None = None,
    model: str = "tutti-beats",
    device: str = "auto",
    precision: str = "auto",
) -> tuple[Beats, tuple[str, ...]]:
    """Beats in stored levels of the drum front end, (windows, frames, bands), and warnings of how they were found.

    `hits`, where they are known, are read as well: kick and snare tell where a bar begins, and a tempo from its half
    and double, where the sound alone leaves that open. A `bpm` that is given (beats of the metre a minute) is obeyed,
    within what a band drifts, and a `metre` throughout; then neither is doubted. Raises OptionError for a metre no
    chart is written in, WeightsError, DeviceError.
    """
    per_bar, worth = beats_of_metre(*metre) if metre else (0, Fraction(1))

    def attempt(where: str) -> tuple[BeatModel, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        _, ready = load_beat_model(model, where, precision)
        heard = ready.probabilities(levels)
        if not hits:
            return ready, heard
        _, reader = load_stroke_beat_model(device=where, precision=precision)
        read = reader.probabilities(hits, len(heard[0]))
        share = ready.tracking.strokes_share
        return ready, (_blended(heard[0], read[0], share), _blended(heard[1], read[1], share))

    (ready, (beat, downbeat)), warning = with_cpu_fallback(attempt, device)
    tracking = ready.tracking
    if metre is not None:
        tracking = replace(tracking, metres=(per_bar,))
        if worth < 1:  # eighths, which the network does not answer for, beside the beats it does
            tracking = replace(
                tracking,
                slowest_bpm=2 * tracking.slowest_bpm,
                fastest_bpm=2 * tracking.fastest_bpm,
                usual_bpm=2 * tracking.usual_bpm,
            )
    if bpm is not None:
        tracking = replace(tracking, slowest_bpm=bpm * (1 - _DRIFT), fastest_bpm=bpm * (1 + _DRIFT))
    opening_s = hits[0].time_s if hits else None
    found = replace(grid_of(beat, downbeat, tracking, model, opening_s), beat_quarters=worth)
    warnings = [] if warning is None else [warning]
    if bpm is not None:
        found = replace(found, method="user", confidence=1.0, bpm_unreliable=False)
        if len(found.grid) > 1 and abs(found.bpm / bpm - 1) > _DRIFT:
            warnings.append(f"the beats found are at {found.bpm:.0f} bpm: nothing beats at the {bpm:g} bpm given.")
    return found, tuple(warnings)


def _blended(heard: NDArray[np.float64], read: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Probabilities whose log odds are the mean of both, `share` of it of the second."""
    odds = [np.log(p) - np.log1p(-p) for p in (np.clip(each, 1e-4, 1 - 1e-4) for each in (heard, read))]
    blended: NDArray[np.float64] = 1 / (1 + np.exp(-((1 - share) * odds[0] + share * odds[1])))
    return blended


def grid_of(
    beat: NDArray[np.float64],
    downbeat: NDArray[np.float64],
    tracking: Tracking,
    method: str,
    opening_s: float | None = None,
) -> Beats:
    """The beats that probabilities at FRAMES_PER_S speak for. `opening_s` is when the drums come in, where known."""
    if beat.max(initial=0.0) < _NO_BEAT:  # nothing that anyone would tap to
        return no_beats(method)
    bpm_range = (tracking.slowest_bpm, tracking.fastest_bpm)
    paths = track_bars(beat, downbeat, FRAMES_PER_S, tracking.metres, bpm_range, tracking.usual_bpm)
    best = max(paths, key=lambda path: path.log_likelihood + tracking.four_bonus * len(path.frames) * _is_four(path))
    if len(best.frames) < 2:
        return no_beats(method)
    times_s = _refined(beat, best.frames)
    strength = float(np.mean(beat[best.frames]))
    confidence = 1 / (1 + np.exp(-tracking.confidence_slope * (strength - tracking.confidence_middle)))
    places = best.places
    if opening_s is not None:
        opening = int(np.abs(np.array(times_s) - opening_s).argmin())
        places = _opened(best, beat, downbeat, opening, tracking.opening_bonus)
    grid = BeatGrid(tuple(times_s), tuple(int(place) for place in places))
    return Beats(grid, round(float(confidence), 4), bool(confidence < tracking.reliable_from), method)


def _opened(
    path: BarPath, beat: NDArray[np.float64], downbeat: NDArray[np.float64], opening: int, bonus: float
) -> NDArray[np.intp]:
    """The path's places, moved so that its beat number `opening` begins a bar unless the probabilities speak against
    it by more than `bonus` a beat."""
    heard = beat[path.frames] > _NO_BEAT  # others only bridge a silence
    share = np.clip(downbeat[path.frames] / np.maximum(beat[path.frames], _NO_BEAT), 0.01, 0.99)
    gain = heard * np.log(share / (1 - share))  # of beginning a bar rather than not
    moved = (path.places - path.places[opening]) % path.beats_per_bar + 1
    lost = (gain[path.places == 1].sum() - gain[moved == 1].sum()) / len(gain)
    return moved if lost < bonus else path.places


def _is_four(path: BarPath) -> bool:
    return path.beats_per_bar == 4


def _refined(beat: NDArray[np.float64], frames: NDArray[np.intp]) -> list[float]:
    """Seconds of beats at `frames`: the middle of what is probable within a frame on either side."""
    padded = np.pad(beat, 1, mode="edge")
    around = np.stack([padded[frames], padded[frames + 1], padded[frames + 2]])
    centre = frames + (around[2] - around[0]) / np.maximum(around.sum(axis=0), 1e-9)
    times_s = np.maximum(0.0, centre + 0.25) / FRAMES_PER_S  # each answer is for two front-end frames
    return [float(time_s) for time_s in times_s]


def no_beats(method: str) -> Beats:
    """What is answered where nothing beats."""
    return Beats(BeatGrid(), 0.0, True, method)


def madmom_beats(samples: NDArray[np.float32], beats_per_bar: Sequence[int] = (3, 4)) -> Beats:
    """madmom's downbeats of mono samples at 44,100 Hz, with the comb filter's tempo strength beside them.

    The literal rule (strength below 0.5 is unreliable) flags nearly every song, as strengths are shares of all tempi
    considered; `bpm_unreliable` says instead whether comb and beats disagree by more than 4 %. Raises
    MissingExtraError.
    """
    downbeats = _madmom("madmom.features.downbeats")
    tempo = _madmom("madmom.features.tempo")
    features = _madmom("madmom.features.beats")
    signal = _madmom("madmom.audio.signal").Signal(samples, sample_rate=44_100, num_channels=1)
    found = downbeats.DBNDownBeatTrackingProcessor(beats_per_bar=list(beats_per_bar), fps=100)(
        downbeats.RNNDownBeatProcessor()(signal)
    )
    tempi = tempo.TempoEstimationProcessor(fps=100)(features.RNNBeatProcessor()(signal))
    if len(found) < 2 or not len(tempi):
        return no_beats("madmom")
    grid = BeatGrid(tuple(float(t) for t, _ in found), tuple(int(place) for _, place in found))
    comb_bpm, strength = float(tempi[0][0]), float(tempi[0][1])
    agree = abs(comb_bpm / grid.bpm - 1) <= 0.04
    return Beats(grid, 0.95 if agree else 0.3, not agree, "madmom", literal_strength=strength)


def _madmom(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as missing:
        raise MissingExtraError(
            "Beats by madmom need that package, which PyPI's release does not offer for current Pythons. Build it from "
            "github.com/CPJKU/madmom, or leave out --beats madmom."
        ) from missing


def librosa_beats(samples: NDArray[np.float32], sample_rate_hz: int) -> Beats:
    """librosa's beats of mono samples, every fourth called a downbeat; always flagged. Raises MissingExtraError.

    Where librosa finds none, 120 beats a minute are laid over the recording, flagged as well.
    """
    try:
        import librosa
    except ImportError as missing:
        raise MissingExtraError("Beats by librosa need it installed. Run: pip install 'tutti[librosa]'") from missing
    envelope = librosa.onset.onset_strength(y=samples, sr=sample_rate_hz)
    if not envelope.any():  # librosa gives silence a tempo
        return no_beats("librosa")
    _, times_s = librosa.beat.beat_track(onset_envelope=envelope, sr=sample_rate_hz, units="time")
    if len(times_s) < 2:
        return last_resort(len(samples) / sample_rate_hz)
    grid = BeatGrid(tuple(float(t) for t in times_s), tuple(row % 4 + 1 for row in range(len(times_s))))
    return Beats(grid, 0.3, True, "librosa")


def last_resort(duration_s: float, bpm: float | None = None, metre: tuple[int, int] | None = None) -> Beats:
    """Steady beats from the start, something to write on where none were heard: as the user says, else 120 a minute
    in 4/4. A tempo that nobody gave is flagged."""
    steady = Beats.at_bpm(bpm or 120.0, 0.0, duration_s, *beats_of_metre(*(metre or (4, 4))))
    return steady if bpm else replace(steady, confidence=0.0, bpm_unreliable=True, method="none")
