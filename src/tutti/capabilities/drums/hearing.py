"""What hears hits: `tutti-drums` from the drum front end's levels, and the foreign models from samples of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tutti.audio.bands import DRUMS_FRONT_END, STEPS_PER_UNIT
from tutti.capabilities.drums import clip_classifier
from tutti.capabilities.drums.decode import Answers, Calibration, Thresholds, decode_hits
from tutti.capabilities.drums.models import adtof
from tutti.capabilities.drums.models.annoteator_weights import open_annoteator
from tutti.capabilities.drums.models.tutti_drums import DrumsNet, DrumsNetConfig
from tutti.capabilities.drums.recurrence import recalled
from tutti.capabilities.drums.stroke_levels import weighed
from tutti.music.drum_hits import DrumHits
from tutti.nets.folding import fold_batch_norms
from tutti.weights.cards import Card
from tutti.weights.devices import choose_device, choose_precision
from tutti.weights.loaded import LOADED, with_cpu_fallback
from tutti.weights.opening import open_strict
from tutti.weights.store import locate

__all__ = [
    "FrameModel",
    "Heard",
    "build_frame_model",
    "hear_clips",
    "hear_hits",
    "hear_user_weights",
    "load_frame_model",
]

_WINDOW_FRAMES = 6144
"""Frames answered at once: a minute."""

_CUT_OFF_S = 0.03
"""So shortly before the end no stroke can be heard; where a recording is cut off, something clicks."""


@dataclass(frozen=True)
class FrameModel:
    """`tutti-drums`, ready to run."""

    network: DrumsNet
    device: torch.device
    precision: str

    @torch.inference_mode()
    def answers(self, levels: NDArray[np.uint8]) -> Answers:
        """For the frames in the middle of `levels` (windows, reach + frames + reach, bands)."""
        units = torch.from_numpy(levels).to(self.device).float() / STEPS_PER_UNIT
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            predicted = self.network(units[None].contiguous(memory_format=torch.channels_last))
        reach = self.network.config.reach_frames
        inner = slice(reach, levels.shape[1] - reach)
        return Answers(
            predicted.onset[0, inner].float().sigmoid().cpu().numpy(),
            predicted.velocity[0, inner].float().cpu().numpy(),
        )


def load_frame_model(card: Card, device: str, precision: str) -> FrameModel:
    """The network of `card`, from memory when it was used before. Raises WeightsError, DeviceError."""
    config = card.settings("network", DrumsNetConfig)
    where = choose_device(device)
    bits = choose_precision(precision, where)

    return LOADED.get(card, where, bits, lambda: build_frame_model(locate(card), config, where, bits))


def build_frame_model(path: Path, config: DrumsNetConfig, device: torch.device, precision: str) -> FrameModel:
    """A network of the sizes in `config` with the weights at `path`, batch norms folded. Raises StrictLoadingError."""
    network = DrumsNet(config)
    open_strict(network, path, path.stem)
    fold_batch_norms(network)
    return FrameModel(network.to(device, memory_format=torch.channels_last), device, precision)  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True)
class Heard:
    """Hits, and what the provenance says of the model."""

    hits: DrumHits
    device: str
    precision: str
    warnings: tuple[str, ...] = ()
    weights_sha256: str = ""
    """Of the file that was used, where it is not the card's."""


def hear_hits(
    card: Card,
    levels: NDArray[np.uint8],
    *,
    onset_threshold: float | None = None,
    device: str = "auto",
    precision: str = "auto",
    on_window: Callable[[int, int], None],
) -> Heard:
    """The hits in stored levels (windows, frames, bands) of the drum front end.

    `on_window(done, total)` is called with frames before each window and may raise. Raises WeightsError, DeviceError.
    """
    thresholds = card.settings("thresholds", Thresholds)
    if onset_threshold is not None:
        thresholds = Thresholds(*[onset_threshold] * len(astuple(thresholds)))
    model, warning = with_cpu_fallback(lambda where: load_frame_model(card, where, precision), device)
    warnings = [] if warning is None else [warning]
    frames, reach = levels.shape[1], model.network.config.reach_frames
    padded = np.pad(levels, ((0, 0), (reach, reach), (0, 0)))
    parts = []
    for begin in range(0, frames, _WINDOW_FRAMES):
        on_window(begin, frames)
        window = padded[:, begin : min(begin + _WINDOW_FRAMES, frames) + 2 * reach]

        def attempt(where: str, window: NDArray[np.uint8] = window) -> Answers:
            return load_frame_model(card, where, precision).answers(window)

        part, warning = with_cpu_fallback(attempt, str(model.device))
        if warning is not None:
            warnings.append(warning)
            model = load_frame_model(card, "cpu", precision)
        parts.append(part)
    on_window(frames, frames)
    calibration = card.settings("calibration", Calibration)
    answers = recalled(Answers.joined(parts))
    hits = weighed(decode_hits(answers, thresholds, DRUMS_FRONT_END.frame_s, calibration), levels)
    end_s = frames * DRUMS_FRONT_END.frame_s - _CUT_OFF_S
    hits = DrumHits.of(
        replace(hit, time_s=round(hit.time_s, 6), confidence=round(hit.confidence, 4))
        for hit in hits
        if hit.time_s < end_s
    )
    return Heard(hits, str(model.device), model.precision, tuple(warnings))


def hear_clips(
    card: Card,
    samples: NDArray[np.float32],
    bpm: float | None,
    clip: clip_classifier.Clip,
    on_step: Callable[[int, int], None],
) -> Heard:
    """The hits that the clip classifier of `card` finds in mono samples at 44.1 kHz, a drum track."""
    network, weights_sha256 = open_annoteator(card)
    answers = clip_classifier.hear(samples, network, bpm=bpm, clip=clip, on_step=on_step)
    return Heard(answers.hits, "cpu", "fp32", weights_sha256=weights_sha256)


def hear_user_weights(card: Card, samples: NDArray[np.float32], on_step: Callable[[int, int], None]) -> Heard:
    """The hits that an ADTOF network with the weights of `card` finds in mono samples at 44.1 kHz."""
    return Heard(adtof.hear(samples, adtof.open_adtof(locate(card)), on_step=on_step), "cpu", "fp32")
