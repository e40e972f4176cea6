"""The recipe of `tutti-mt3-tiny`: mixed pieces as sound, their notes as tokens, and an MT3 small enough to ship.

`tutti train mt3 --config FILE` builds whatever is missing, then trains in two stages, each with one network. First the
stem, which begins as `tutti-notes` and learns to hear the same notes in MT3's spectrogram of a segment. Then T5, which
learns to write down what the stem hears: that is computed once and kept, so a step of this stage costs no hearing.
Every draw follows from the seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import TypeVar

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
from tutti.capabilities.transcription.models.note_stem import (
    NOTE_FEATURES,
    STEM_FEATURES,
    NotesOfBands,
    NoteStem,
    as_read,
    note_features,
)
from tutti.capabilities.transcription.models.tutti_notes import LOWEST_PITCH, PITCHES, STEP, NotesNetConfig
from tutti.capabilities.transcription.mt3_head_start import begin_well
from tutti.capabilities.transcription.note_tokens import segment_tokens
from tutti.capabilities.transcription.targets import losses, targets_of
from tutti.datasets.audio_shards import AudioShards, write_audio_shard
from tutti.errors import TrainingError
from tutti.music.drum_kit import DRUM_CLASSES, class_of_key, key_of_class
from tutti.music.files import write_atomic
from tutti.music.notes import Note
from tutti.nets.folding import fold_batch_norms
from tutti.nets.t5_config import T5Config
from tutti.training.loop import Schedule, fit
from tutti.training.material import Material, build_material
from tutti.training.recipes import Table, follow, read_recipe
from tutti.weights.cards import find_card
from tutti.weights.opening import open_strict, read_safetensors
from tutti.weights.store import locate

__all__ = ["Recipe", "train"]

Losses = Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]
Batches = Callable[[int], dict[str, Tensor]]
Made = TypeVar("Made")

CODEC = CODECS["mt3"]
FRONT_END = replace(FRONT_ENDS["mt3"], scaling="clip", stack=2)
_FRAME_S = FRONT_END.segment_s / FRONT_END.frames
_STEPS_PER_S = 100
_SAMPLES_PER_STEP = FRONT_END.sample_rate_hz // _STEPS_PER_S
_POOL = 8
"""Batches drawn at once and parted by length, so that little of a batch is padding."""
_IGNORED = -100
_EDGE_FRAMES = 2
"""At both ends of a segment, where an onset may be cut in two, nothing is asked of the stem."""
_FULL_SCALE = 255
_HEARD_AT_ONCE = 32
_SEGMENTS = "segments"
_LOWEST, _HIGHEST = CODEC.encode("pitch", LOWEST_PITCH), CODEC.encode("pitch", LOWEST_PITCH + PITCHES - 1)
_BY_PITCH = NOTE_FEATURES - STEP * len(DRUM_CLASSES)
"""Features before the drums'."""


class Hearing(Table):
    """How the stem learns."""

    steps: int = Field(ge=1)
    batch: int = Field(16, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(50, ge=1)


class Writing(Table):
    """How T5 learns."""

    steps: int = Field(ge=1)
    segments: int = Field(ge=1)
    """So many are drawn and heard, once."""
    shortest: int = Field(48, ge=1)
    """Tokens that a segment may have at the beginning: in few events it shows sooner which sound is which token."""
    longest: int = Field(320, ge=1)
    """And in the last quarter of the steps; longer ones are few and take long."""
    batch: int = Field(16, ge=1)
    transpose: int = Field(6, ge=0, le=12)
    """Semitones up or down, by which what was heard and what is written of it are moved."""
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(200, ge=1)

    def most_tokens(self, step: int) -> float:
        """That a segment may have at `step`: more and more, by equal ratios."""
        grown = min(1.0, step / (0.75 * self.steps))
        return float(self.shortest * (self.longest / self.shortest) ** grown)


class Recipe(Table):
    seed: int
    material: Material
    mixed: float = Field(0.3, ge=0, le=1)
    """Share of the segments that have two pieces at once."""
    hearing: Hearing
    network: T5Config
    writing: Writing


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

    Stops after `max_minutes` of a stage if given, and if that stage is not done, returns its weights. `resume` is the
    `run_dir/checkpoint.ckpt` of a run that stopped; stages that are done are not done again. Losses go to
    `run_dir/losses.jsonl`. Raises TrainingError when material is missing, before anything is learnt.
    """
    recipe = read_recipe(config_path, Recipe)
    base, material = config_path.parent, recipe.material
    write = partial(write_audio_shard, sample_rate_hz=FRONT_END.sample_rate_hz)
    build_material(material, base, recipe.seed, f"sound at {FRONT_END.sample_rate_hz} Hz", write)
    draw = _Draw(recipe, AudioShards(base / material.corpus, material.shards))
    if resume is None:
        rmtree(run_dir / _SEGMENTS, ignore_errors=True)
    run = _Run(run_dir, device, precision, max_minutes, resume)
    heard = _learn_to_hear(recipe, draw, run)
    if _steps_of(heard) < recipe.hearing.steps:
        return heard
    stem = NoteStem(FRONT_END)
    open_strict(stem.hearing, heard, "hearing")
    fold_batch_norms(stem)
    segments = _Segments.heard_by(stem, draw, recipe.writing.segments, run_dir / _SEGMENTS, precision)
    written = _learn_to_write(recipe, segments, run)
    return _ship(stem, written, run_dir / "tutti-mt3-tiny.safetensors")


@dataclass(frozen=True)
class _Run:
    folder: Path
    device: str
    precision: str
    max_minutes: float | None
    resume: Path | None

    def stage(
        self, name: str, network: nn.Module, losses_of: Losses, batches: Batches, schedule: Schedule, config: object
    ) -> Path:
        """Train `network`, unless that was done; the averaged weights. Both stages keep the same checkpoint."""
        weights = self.folder / f"{name}.safetensors"
        was_begun = self.resume is not None and weights.exists()
        if was_begun and _steps_of(weights) >= schedule.steps:
            return weights
        resume = self.resume if was_begun else None
        steps = fit(network, losses_of, batches, schedule, device=self.device, precision=self.precision, resume=resume)
        return follow(steps, weights, config, schedule.steps, self.max_minutes, resume)


def _steps_of(weights: Path) -> int:
    return int(read_safetensors(weights)[1]["steps"])


def _learn_to_hear(recipe: Recipe, draw: _Draw, run: _Run) -> Path:
    torch.manual_seed(recipe.seed)
    network = NotesOfBands(FRONT_END)
    beginning = find_card("tutti-notes")
    open_strict(network.notes, locate(beginning), beginning.name)
    hearing = recipe.hearing
    schedule = Schedule(hearing.steps, hearing.learning_rate, hearing.warmup_steps)

    def batches(step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((recipe.seed, 8, step))
        return _to_hear([draw(rng) for _ in range(hearing.batch)])

    def losses_of(network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return losses(network(batch["frames"]), batch, _EDGE_FRAMES)

    return run.stage("hearing", network, losses_of, batches, schedule, NotesNetConfig())


def _learn_to_write(recipe: Recipe, segments: _Segments, run: _Run) -> Path:
    torch.manual_seed(recipe.seed)
    network = Mt3Network(recipe.network, STEM_FEATURES)
    begin_well(network, recipe.network, CODEC, FRONT_END.frames / STEP / FRONT_END.segment_s)
    writing = recipe.writing
    schedule = Schedule(writing.steps, writing.learning_rate, writing.warmup_steps, clip_norm=1.0)

    batches = partial(segments.batch, recipe.seed, writing)

    def losses_of(network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        logits = network(batch["features"], batch["tokens"])
        written = F.cross_entropy(logits.flatten(0, 1).float(), batch["targets"].flatten(), ignore_index=_IGNORED)
        return {"tokens": written}

    return run.stage("writing", network, losses_of, batches, schedule, recipe.network)


def _ship(stem: NoteStem, written: Path, path: Path) -> Path:
    """Both stages' networks as one, in half precision."""
    tensors, metadata = read_safetensors(written)
    whole = {f"stem.{name}": tensor for name, tensor in stem.state_dict().items()} | tensors
    save_file({name: tensor.half().contiguous() for name, tensor in whole.items()}, path.with_suffix(".part"), metadata)
    path.with_suffix(".part").replace(path)
    return path


@dataclass(frozen=True)
class _Item:
    samples: NDArray[np.float32]
    tokens: list[int]
    notes: list[Note]
    begin_s: float


class _Draw:
    """Segments of the corpus, some of two pieces at once, with their tokens."""

    def __init__(self, recipe: Recipe, shards: AudioShards) -> None:
        self.recipe, self.shards = recipe, shards

    def __call__(self, rng: np.random.Generator) -> _Item:
        samples, notes, begin_step = self._crop(rng)
        if rng.random() < self.recipe.mixed:
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


def _frames(items: Sequence[_Item]) -> Tensor:
    return torch.from_numpy(FRONT_END(np.stack([item.samples for item in items])))


def _to_hear(items: Sequence[_Item]) -> dict[str, Tensor]:
    targets = [vars(targets_of(item.notes, item.begin_s / _FRAME_S, FRONT_END.frames, _FRAME_S)) for item in items]
    joined = {name: torch.from_numpy(np.stack([each[name] for each in targets])) for name in targets[0]}
    return {"frames": _frames(items), **joined}


@dataclass(frozen=True)
class _Segments:
    """What the stem heard of segments, (n, steps, NOTE_FEATURES) in 8 bits, and what is to be written of each."""

    heard: NDArray[np.uint8]
    tokens: list[list[int]]

    @classmethod
    def heard_by(cls, stem: NoteStem, draw: _Draw, count: int, folder: Path, precision: str) -> _Segments:
        """`count` segments, kept in `folder`; taken from there if they are there."""
        sound, words = folder / "heard.npy", folder / "tokens.json"
        if not words.exists():
            folder.mkdir(parents=True, exist_ok=True)
            shape = (count, FRONT_END.frames // STEP, NOTE_FEATURES)
            heard = np.lib.format.open_memmap(sound, "w+", np.uint8, shape)
            tokens: list[list[int]] = []
            for frames, items in _ahead(partial(_few, draw, count), -(-count // _HEARD_AT_ONCE)):
                heard[len(tokens) : len(tokens) + len(items)] = _listen(stem, frames, precision)
                tokens += [item.tokens for item in items]
            heard.flush()
            write_atomic(words, json.dumps(tokens).encode())
        kept = cls(np.load(sound, mmap_mode="r"), json.loads(words.read_text()))
        if len(kept.tokens) != count:
            raise TrainingError(f"{folder} has {len(kept.tokens)} segments, the recipe wants {count}. Delete it.")
        return kept

    def batch(self, seed: int, writing: Writing, step: int) -> dict[str, Tensor]:
        """Batches of one pool share out its segments, sorted by length; each segment is moved in pitch."""
        size = writing.batch
        pool, place = divmod(step, _POOL)
        rng = np.random.default_rng((seed, 7, pool))
        lengths = np.array([len(ids) for ids in self.tokens])
        drawn = rng.choice(np.flatnonzero(lengths <= writing.most_tokens(step - place)), _POOL * size)
        drawn = drawn[np.argsort(lengths[drawn], kind="stable")]
        first = int(rng.permutation(_POOL)[place]) * size
        numbers = drawn[first : first + size]
        semitones = np.random.default_rng((seed, 10, step)).integers(-writing.transpose, writing.transpose + 1, size)
        moved = [_transposed(self.heard[n], self.tokens[n], int(by)) for n, by in zip(numbers, semitones, strict=True)]
        return _collated(moved)


def _transposed(heard: NDArray[np.uint8], tokens: list[int], semitones: int) -> tuple[NDArray[np.uint8], list[int]]:
    """What would have been heard and written `semitones` higher; as it is where a pitch would leave the keyboard."""
    pitches = [token for token in tokens if _LOWEST <= token <= _HIGHEST]
    if not pitches or min(pitches) + semitones < _LOWEST or max(pitches) + semitones > _HIGHEST:
        return heard, tokens
    by_pitch = heard[:, :_BY_PITCH].reshape(len(heard), -1, PITCHES)
    moved = np.zeros_like(by_pitch)
    kept = slice(max(0, semitones), PITCHES + min(0, semitones))
    moved[..., kept] = by_pitch[..., max(0, -semitones) : PITCHES - max(0, semitones)]
    written = [token + semitones if _LOWEST <= token <= _HIGHEST else token for token in tokens]
    return np.concatenate([moved.reshape(len(heard), -1), heard[:, _BY_PITCH:]], axis=1), written


def _collated(segments: Sequence[tuple[NDArray[np.uint8], list[int]]]) -> dict[str, Tensor]:
    longest = max(len(ids) for _, ids in segments)
    tokens = np.full((len(segments), longest), PAD, np.int64)
    targets = np.full((len(segments), longest), _IGNORED, np.int64)
    for row, (_, ids) in enumerate(segments):
        targets[row, : len(ids)] = ids
        tokens[row, 1 : len(ids)] = ids[:-1]
    return {
        "features": as_read(torch.from_numpy(np.stack([heard for heard, _ in segments])).float() / _FULL_SCALE),
        "tokens": torch.from_numpy(tokens),
        "targets": torch.from_numpy(targets),
    }


def _few(draw: _Draw, count: int, number: int) -> tuple[Tensor, list[_Item]]:
    """The next of `count` segments, and what they sound like."""
    numbers = range(number * _HEARD_AT_ONCE, min((number + 1) * _HEARD_AT_ONCE, count))
    items = [draw(np.random.default_rng((draw.recipe.seed, 9, each))) for each in numbers]
    return _frames(items), items


def _ahead(make: Callable[[int], Made], count: int) -> Iterator[Made]:
    """What `make` makes of 0 to `count` - 1, each while the one before is in use: numpy's work on one processor."""
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(make, 0)
        for number in range(1, count + 1):
            made = coming.result()
            if number < count:
                coming = worker.submit(make, number)
            yield made


@torch.inference_mode()
def _listen(stem: NoteStem, frames: Tensor, precision: str) -> NDArray[np.uint8]:
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        features = note_features(stem.hearing(frames))
    return (features * _FULL_SCALE).round().to(torch.uint8).numpy()
