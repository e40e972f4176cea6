"""The recipe of `tutti-mt3-tiny`: mixed pieces as sound, their notes as tokens, and an MT3 small enough to ship.

`tutti train mt3 --config FILE` builds whatever is missing, then trains. The encoder also learns to say where notes
begin and sound, frame by frame; what says so is thrown away, but a decoder that may look at such states learns in
hours what would else take days. Every draw follows from the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor, nn

from tutti.audio.segment_features import FRONT_ENDS
from tutti.capabilities.transcription.codec import CODECS, PAD
from tutti.capabilities.transcription.families import family_of_program, program_of_family
from tutti.capabilities.transcription.models.mt3_network import Mt3Network
from tutti.capabilities.transcription.mt3_head_start import LOWEST_PITCH, PITCHES, begin_well, read_templates
from tutti.capabilities.transcription.note_tokens import segment_tokens
from tutti.datasets.audio_shards import AudioShards, write_audio_shard
from tutti.music.drum_kit import DRUM_CLASSES, class_of_key, key_of_class
from tutti.music.notes import Note
from tutti.nets.t5_config import T5Config
from tutti.training.loop import Schedule, fit
from tutti.training.material import Material, build_material
from tutti.training.recipes import Table, follow, read_recipe
from tutti.weights.opening import read_safetensors

__all__ = ["Recipe", "train"]

CODEC = CODECS["mt3"]
FRONT_END = replace(FRONT_ENDS["mt3"], scaling="clip", stack=2)
_STEPS_PER_S = 100
_ROWS = PITCHES + len(DRUM_CLASSES)
_POOL = 8
"""Batches drawn at once and parted by length, so that little of a batch is padding."""
_IGNORED = -100
_NETWORK = "network."
_EXCERPTS = 8
_EXCERPT_SAMPLES = FRONT_END.segment_samples // _EXCERPTS


class Learning(Table):
    steps: int = Field(ge=1)
    batch: int = Field(16, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(500, ge=1)
    mixed: float = Field(0.3, ge=0, le=1)
    hearing: float = Field(0.5, ge=0)
    """Weight of the frame-wise loss."""
    hearing_steps: int = Field(0, ge=0)
    """Steps at the beginning in which the encoder learns alone, from medleys."""


class Recipe(Table):
    seed: int
    material: Material
    network: T5Config
    learning: Learning


class _Hearing(nn.Module):
    """The network and what reads onsets and sounding pitches off its states while it learns."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.network = Mt3Network(config, FRONT_END.features)
        self.reader = nn.Linear(config.width, 2 * _ROWS)
        begin_well(self.network, config, CODEC, FRONT_END)
        read_templates(self.reader, _ROWS)

    def forward(self, frames: Tensor, tokens: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """Logits (batch, n, vocabulary) of the tokens that follow, and (batch, frames, 2, rows) of what sounds."""
        states = self.network.encode(frames)[:, 0]
        logits = None if tokens is None else self.network.decoder(tokens, states)
        return logits, self.reader(states).unflatten(-1, (2, _ROWS))


def train(
    config_path: Path,
    run_dir: Path,
    *,
    device: str = "auto",
    precision: str = "fp32",
    max_minutes: float | None = None,
    resume: Path | None = None,
) -> Path:
    """Train by the recipe at `config_path`; returns the averaged weights, `run_dir/tutti-mt3-tiny.safetensors`.

    Stops after `max_minutes` if given; `resume` is the `run_dir/checkpoint.ckpt` of a run that stopped. Losses go to
    `run_dir/losses.jsonl`. Raises TrainingError when material is missing, before anything is learnt.
    """
    recipe = read_recipe(config_path, Recipe)
    base, material = config_path.parent, recipe.material
    write = partial(write_audio_shard, sample_rate_hz=FRONT_END.sample_rate_hz)
    build_material(material, base, recipe.seed, f"sound at {FRONT_END.sample_rate_hz} Hz", write)
    torch.manual_seed(recipe.seed)
    learning = recipe.learning
    network = _Hearing(recipe.network)
    batches = _Batches(recipe, AudioShards(base / material.corpus, material.shards))
    schedule = Schedule(learning.steps, learning.learning_rate, learning.warmup_steps, clip_norm=1.0)

    def losses(heard: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        logits, rolls = heard(batch["frames"], batch.get("tokens"))
        sounding = F.binary_cross_entropy_with_logits(rolls, batch["rolls"], reduction="none").sum(-1).mean()
        if logits is None:
            return {"hearing": learning.hearing * sounding}
        written = F.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten(), ignore_index=_IGNORED)
        return {"tokens": written, "hearing": learning.hearing * sounding}

    steps = fit(network, losses, batches, schedule, device=device, precision=precision, resume=resume)
    learnt = follow(steps, run_dir / "learnt.safetensors", recipe.network, learning.steps, max_minutes, resume)
    return _without_reader(learnt, run_dir / "tutti-mt3-tiny.safetensors")


def _without_reader(learnt: Path, path: Path) -> Path:
    """The network alone, in half precision, as it ships."""
    tensors, metadata = read_safetensors(learnt)
    own = {
        name.removeprefix(_NETWORK): tensor.half().contiguous()
        for name, tensor in tensors.items()
        if name.startswith(_NETWORK)
    }
    save_file(own, path.with_suffix(".part"), metadata)
    path.with_suffix(".part").replace(path)
    return path


@dataclass(frozen=True)
class _Item:
    samples: NDArray[np.float32]
    tokens: list[int]
    notes: list[Note]
    begin_s: float


class _Batches:
    """`batches(step)`: stretches of the corpus, some two at once, with their tokens."""

    def __init__(self, recipe: Recipe, shards: AudioShards) -> None:
        self.recipe, self.shards = recipe, shards
        self._pool: tuple[int, list[_Item]] = (-1, [])

    def __call__(self, step: int) -> dict[str, Tensor]:
        size = self.recipe.learning.batch
        if step < self.recipe.learning.hearing_steps:
            rng = np.random.default_rng((self.recipe.seed, 8, step))
            return _heard([self._medley(rng) for _ in range(size)])
        number, place = divmod(step, _POOL)
        if self._pool[0] != number:
            rng = np.random.default_rng((self.recipe.seed, 7, number))
            pool = sorted((self._item(rng) for _ in range(_POOL * size)), key=lambda item: len(item.tokens))
            order = rng.permutation(_POOL)
            self._pool = number, [item for part in order for item in pool[part * size : (part + 1) * size]]
        return _collated(self._pool[1][place * size : (place + 1) * size])

    def _medley(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A segment of short excerpts, and its rolls: as much sound as any, and many times the different notes."""
        parts = [self._excerpt(rng) for _ in range(_EXCERPTS)]
        sounds, rolls = zip(*parts, strict=True)
        return np.concatenate(sounds), np.concatenate(rolls)

    def _excerpt(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        sound, notes, begin = self.shards.crop(rng, _EXCERPT_SAMPLES)
        gain = np.float32(10 ** (rng.uniform(-18, 3) / 20))
        plain = [note for note in map(_simplified, notes) if note is not None]
        begin_s = begin / FRONT_END.sample_rate_hz
        return (sound * gain).clip(-1, 1), _rolls(plain, begin_s, FRONT_END.frames // _EXCERPTS)

    def _item(self, rng: np.random.Generator) -> _Item:
        samples, notes, begin_step = self._crop(rng)
        if rng.random() < self.recipe.learning.mixed:
            other, more, _ = self._crop(rng, begin_step)
            samples, notes = samples + other * np.float32(10 ** (rng.uniform(-8, 8) / 20)), notes + more
        samples = samples * np.float32(10 ** (rng.uniform(-18, 3) / 20))
        steps = round(FRONT_END.segment_s * _STEPS_PER_S)
        return _Item(
            samples.clip(-1, 1),
            segment_tokens(notes, begin_step, begin_step + steps, CODEC),
            notes,
            begin_step / _STEPS_PER_S,
        )

    def _crop(
        self, rng: np.random.Generator, at_step: int | None = None
    ) -> tuple[NDArray[np.float32], list[Note], int]:
        """A stretch that begins on a step of 10 ms, its piece's notes moved as if it began at `at_step`."""
        spare = _SAMPLES_PER_STEP
        sound, notes, begin = self.shards.crop(rng, FRONT_END.segment_samples + spare)
        begin_step = -(-begin // spare)
        first = begin_step * spare - begin
        notes = [note for note in map(_simplified, notes) if note is not None]
        if at_step is not None:
            shift_s = (at_step - begin_step) / _STEPS_PER_S
            notes = [
                Note(max(0.0, n.onset_s + shift_s), n.offset_s + shift_s, n.pitch, n.velocity, n.program, n.is_drum)
                for n in notes
                if n.offset_s + shift_s > 0
            ]
            begin_step = at_step
        return sound[first : first + FRONT_END.segment_samples], notes, begin_step


_SAMPLES_PER_STEP = FRONT_END.sample_rate_hz // _STEPS_PER_S


def _simplified(note: Note) -> Note | None:
    """One program per family, one key per kind of drum: the small network need not tell more apart."""
    if note.is_drum:
        name = class_of_key(note.pitch)
        if name is None:
            return None
        return Note(note.onset_s, note.offset_s, key_of_class(name), note.velocity, 0, True)
    family = family_of_program(note.program)
    program = note.program if family is None else program_of_family(family)
    return Note(note.onset_s, note.offset_s, note.pitch, note.velocity, program)


def _collated(items: Sequence[_Item]) -> dict[str, Tensor]:
    longest = max(len(item.tokens) for item in items)
    tokens = np.full((len(items), longest), PAD, np.int64)
    targets = np.full((len(items), longest), _IGNORED, np.int64)
    for row, item in enumerate(items):
        targets[row, : len(item.tokens)] = item.tokens
        tokens[row, 1 : len(item.tokens)] = item.tokens[:-1]
    return {
        "frames": torch.from_numpy(FRONT_END(np.stack([item.samples for item in items]))),
        "tokens": torch.from_numpy(tokens),
        "targets": torch.from_numpy(targets),
        "rolls": torch.from_numpy(np.stack([_rolls(item.notes, item.begin_s, FRONT_END.frames) for item in items])),
    }


def _heard(medleys: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> dict[str, Tensor]:
    sounds, rolls = zip(*medleys, strict=True)
    return {"frames": torch.from_numpy(FRONT_END(np.stack(sounds))), "rolls": torch.from_numpy(np.stack(rolls))}


def _rolls(notes: Sequence[Note], begin_s: float, frames: int) -> NDArray[np.float32]:
    """(frames, 2, rows): where notes begin, where they sound; the frame that begins with the onset is the first."""
    frame_s = FRONT_END.segment_s / FRONT_END.frames
    rolls = np.zeros((frames, 2, _ROWS), np.float32)
    for note in notes:
        if note.is_drum:
            row = PITCHES + DRUM_CLASSES.index(class_of_key(note.pitch) or "")
        else:
            row = note.pitch - LOWEST_PITCH
        first = round((note.onset_s - begin_s) / frame_s)
        last = round((note.offset_s - begin_s) / frame_s)
        if not 0 <= row < _ROWS or last <= 0 or first >= len(rolls):
            continue
        if first >= -1:
            rolls[max(0, first - 1) : first + 2, 0, row] = 1
        rolls[max(0, first) : last, 1, row] = 1
    return rolls
