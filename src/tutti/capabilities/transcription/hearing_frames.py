"""A recording to notes with `tutti-notes`: read → log-frequency frames → network → decode, window by window.

Windows lie on a fixed grid from the first sample on and carry as much of their neighbours as the network can reach, so
what a window answers depends neither on how the audio arrived nor on how much of it there is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutti import __version__
from tutti.audio.log_frequency import NOTES_FRONT_END
from tutti.audio.reading import Source, open_stream
from tutti.capabilities.transcription.decode import Block, Decoder, Thresholds, settle_families
from tutti.capabilities.transcription.models.tutti_notes import (
    LOWEST_PITCH,
    STEP,
    NotesNet,
    NotesNetConfig,
)
from tutti.capabilities.transcription.types import Options, Provenance, Transcription
from tutti.errors import Cancelled, OptionError
from tutti.music.notes import Notes
from tutti.nets.folding import fold_batch_norms
from tutti.weights.cards import Card, find_card
from tutti.weights.devices import choose_device, choose_precision
from tutti.weights.loaded import LOADED, with_cpu_fallback
from tutti.weights.opening import open_strict
from tutti.weights.store import locate

__all__ = [
    "MIN_NOTE_S",
    "WINDOW_FRAMES",
    "Listener",
    "Model",
    "build",
    "hear",
    "load",
    "predict_blocks",
    "prepare",
]

WINDOW_FRAMES = 1024
"""Frames a window answers for: 16.4 s. Larger ones save little, smaller ones repeat more at their edges."""

MIN_NOTE_S = 0.03
"""What is shorter is no note, unless the options say otherwise."""

_LAST_WINDOW_STEP = 64

OnProgress = Callable[[str, float, float], None]


class Listener(Protocol):
    """What hears windows."""

    @property
    def reach_frames(self) -> int: ...

    def __call__(self, samples: NDArray[np.float32]) -> Block: ...


@dataclass(frozen=True)
class Model:
    """A network ready to run and where it runs."""

    network: NotesNet
    device: torch.device
    precision: str

    @property
    def reach_frames(self) -> int:
        return self.network.config.reach_frames

    @torch.inference_mode()
    def __call__(self, samples: NDArray[np.float32]) -> Block:
        """Answers for the frames in the middle of one window's `samples`, WINDOW_FRAMES of them or fewer at the end."""
        frames = NOTES_FRONT_END(torch.from_numpy(samples)[None].to(self.device))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            predicted = self.network(frames.contiguous(memory_format=torch.channels_last))
        middle = slice(self.reach_frames, frames.shape[2] - self.reach_frames)
        steps = slice(middle.start // STEP, middle.stop // STEP)
        return Block(
            onset=_array(predicted.onset[0, middle].sigmoid()),
            frame=_array(predicted.frame[0, middle].sigmoid()),
            offset=_array(predicted.offset[0, middle].sigmoid()),
            velocity=_array(predicted.velocity[0, steps].repeat_interleave(STEP, dim=0)),
            family=_array(
                predicted.family[0, :, steps].log_softmax(dim=0).permute(1, 2, 0).repeat_interleave(STEP, dim=0)
            ),
            drum_onset=_array(predicted.drum_onset[0, middle].sigmoid()),
            drum_velocity=_array(predicted.drum_velocity[0, middle]),
        )


def _array(values: Tensor) -> NDArray[np.float32]:
    return values.float().cpu().numpy()


def hear(
    source: Source, options: Options, on_progress: OnProgress | None, cancelled: Callable[[], bool] | None
) -> Transcription:
    """Every note that the model of `options` finds, as yet unfinished.

    `on_progress("transcribe", done_s, total_s)` follows along. Raises InputError, WeightsError, DeviceError, Cancelled.
    """
    model = _Resilient(options)
    thresholds = _thresholds(model.card, options)
    decoder = Decoder(thresholds, NOTES_FRONT_END.frame_s, LOWEST_PITCH)
    frames = 0
    with open_stream(source, sample_rate_hz=NOTES_FRONT_END.sample_rate_hz) as stream:
        heard = _Counted(stream)
        for block in predict_blocks(model, heard):
            if cancelled is not None and cancelled():
                raise Cancelled("Stopped on request; nothing was written.")
            decoder.push(block)
            frames += len(block)
            if on_progress is not None:
                on_progress("transcribe", min(frames * NOTES_FRONT_END.frame_s, heard.seconds), stream.duration_s or 0)
        warnings, name = (*stream.warnings, *model.warnings), stream.name
    decoder.finish()
    return Transcription(
        notes=Notes.of([*settle_families(decoder.pitched, options.min_note_s or 0.0), *decoder.drums]),
        duration_s=heard.seconds,
        provenance=_provenance(model.card, model.model, name, options, thresholds),
        warnings=warnings,
    )


class _Resilient:
    """A model that goes on on the CPU from where its GPU has too little memory, be it for the weights or a window."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.card, self.model, warning = prepare(options)
        self.warnings = [] if warning is None else [warning]

    @property
    def reach_frames(self) -> int:
        return self.model.reach_frames

    def __call__(self, samples: NDArray[np.float32]) -> Block:
        block, warning = with_cpu_fallback(lambda device: self._on(device)(samples), str(self.model.device))
        if warning is not None:
            self.warnings.append(warning)
        return block

    def _on(self, device: str) -> Model:
        if device != str(self.model.device):
            _, self.model = load(self.options.model_copy(update={"device": device}))
        return self.model


def load(options: Options) -> tuple[Card, Model]:
    """The model of `options`, from memory when it was used before. Raises WeightsError, DeviceError."""
    card = find_card(options.model)
    config = card.settings("network", NotesNetConfig)
    device = choose_device(options.device)
    if options.precision == "int8":
        raise OptionError(f"{card.name} does not compute in int8. Use fp32 or bf16.")
    precision = choose_precision(options.precision, device)
    return card, LOADED.get(card, device, precision, lambda: build(locate(card), config, device, precision))


def prepare(options: Options) -> tuple[Card, Model, str | None]:
    """As `load`, on the CPU if the GPU has no room for the model; the warning says so, else it is None."""
    (card, model), warning = with_cpu_fallback(
        lambda device: load(options.model_copy(update={"device": device})), options.device
    )
    return card, model, warning


def build(path: Path, config: NotesNetConfig, device: torch.device, precision: str) -> Model:
    """A network of the sizes in `config` with the weights at `path`, batch norms folded. Raises StrictLoadingError."""
    network = NotesNet(config)
    open_strict(network, path, path.stem)
    fold_batch_norms(network)
    return Model(network.to(device, memory_format=torch.channels_last), device, precision)  # type: ignore[call-overload]


def predict_blocks(model: Listener, audio: Iterable[NDArray[np.float32]]) -> Iterator[Block]:
    """Answers for consecutive frames of `audio`, mono blocks of any size at the front end's rate."""
    for samples, frames in _windows(audio, model.reach_frames):
        block = model(samples)
        yield block if frames == len(block) else Block(*(getattr(block, name)[:frames] for name in _BLOCK_FIELDS))


_BLOCK_FIELDS = tuple(Block.__dataclass_fields__)


def _windows(audio: Iterable[NDArray[np.float32]], reach_frames: int) -> Iterator[tuple[NDArray[np.float32], int]]:
    """(one window's samples with their surroundings, how many of its frames lie in the recording).

    The last window is as short as the recording allows, in steps of _LAST_WINDOW_STEP frames.
    """
    hop = NOTES_FRONT_END.hop
    before = reach_frames * hop + NOTES_FRONT_END.reach
    # the last frame of the surroundings is centred one hop before their end
    around = 2 * before - hop
    needed = around + WINDOW_FRAMES * hop
    pending = np.zeros(before, np.float32)
    heard = given = 0
    for block in audio:
        pending = np.concatenate([pending, block])
        heard += len(block)
        while len(pending) >= needed:
            yield pending[:needed], WINDOW_FRAMES
            pending = pending[WINDOW_FRAMES * hop :]
            given += WINDOW_FRAMES
    frames = heard // hop + 1
    while given < frames:
        left = min(WINDOW_FRAMES, frames - given)
        needed = around + math.ceil(left / _LAST_WINDOW_STEP) * _LAST_WINDOW_STEP * hop
        yield np.pad(pending[:needed], (0, max(0, needed - len(pending)))), left
        pending = pending[WINDOW_FRAMES * hop :]
        given += WINDOW_FRAMES


class _Counted:
    """Passes blocks through and knows how much audio went by."""

    def __init__(self, blocks: Iterable[NDArray[np.float32]]) -> None:
        self.blocks, self.samples = blocks, 0

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for block in self.blocks:
            self.samples += len(block)
            yield block

    @property
    def seconds(self) -> float:
        return self.samples / NOTES_FRONT_END.sample_rate_hz


def _thresholds(card: Card, options: Options) -> Thresholds:
    thresholds = card.settings("thresholds", Thresholds)
    if options.onset_threshold is not None:
        thresholds = replace(thresholds, onset=options.onset_threshold, drum=options.onset_threshold)
    return thresholds


def _provenance(card: Card, model: Model, source: str, options: Options, thresholds: Thresholds) -> Provenance:
    return Provenance(
        tutti_version=__version__,
        model=card.name,
        weights_sha256=card.sha256,
        device=str(model.device),
        precision=model.precision,
        source=source,
        options={**options.model_dump(mode="json"), "thresholds": asdict(thresholds)},
    )
