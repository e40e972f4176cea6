"""tutti on the same weights and segments: the answers that upstream's workers give, of the same shapes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from tutti.capabilities.transcription.codec import EOS, PAD
from tutti.capabilities.transcription.generation import GenerationRules, Row, RowKey, Stepper, Written, generate
from tutti.capabilities.transcription.models.adapter import Adapter, DecodingRule
from tutti.capabilities.transcription.models.mt3_network import build_network
from tutti.capabilities.transcription.models.renaming import rename
from tutti.capabilities.transcription.onnx_backend import OnnxBackend
from tutti.capabilities.transcription.onnx_export import export_network
from tutti.capabilities.transcription.token_notes import note_builder
from tutti.capabilities.transcription.token_rows import TokenRow
from tutti.capabilities.transcription.torch_backend import TorchBackend
from tutti.nets.t5 import T5Decoder
from tutti.nets.t5_stepping import StepPrecision
from tutti.weights.cards import Card

__all__ = ["Ours", "export", "load", "native_tensors", "timed"]

Answers = dict[str, NDArray[Any]]
Result = TypeVar("Result")

_REMEMBERED = 1024
_ENCODED_AT_ONCE = 8


def native_tensors(adapter: Adapter, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Upstream's tensors, named as in the file, under our names. Raises ValueError for names of no known part."""
    renamed = rename(tensors, adapter.names)
    if renamed.strangers:
        raise ValueError(f"nothing is known of {', '.join(renamed.strangers)}")
    native = {}
    for ours, theirs in renamed.weights.items():
        is_transposed = adapter.names.transposed and theirs.endswith("kernel")
        native[ours] = tensors[theirs].T if is_transposed else tensors[theirs]
    return native


def load(adapter: Adapter, native: Mapping[str, NDArray[Any]], precision: StepPrecision = "fp32") -> Ours:
    """The network of `adapter` with tensors by our names; all of them, and no others."""
    network = build_network(adapter)
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in native.items()})
    return Ours(adapter, TorchBackend(network.eval(), torch.device("cpu"), precision))


def export(ours: Ours, card: Card, settings: dict[str, str], folder: Path) -> Ours:
    """The same model in onnxruntime, by way of `folder`."""
    export_network(ours.backend.network, ours.adapter, folder, "fp32", card, settings)  # type: ignore[union-attr]
    return Ours(ours.adapter, OnnxBackend(folder, ours.adapter, "fp32"))


@dataclass(frozen=True)
class Ours:
    """One model, loaded. Segments are (n, samples), `songs` how many of them each recording has."""

    adapter: Adapter
    backend: TorchBackend | OnnxBackend
    margins: list[float] = field(default_factory=list)
    """Of each call of `write`, by how much log-probability the likeliest token led where it led least."""

    def answers(
        self,
        segments: NDArray[np.float32],
        teacher: NDArray[np.int64],
        most: int,
        rows: int,
        songs: Sequence[int],
        features: NDArray[np.float32] | None = None,
    ) -> Answers:
        """What a worker answers, with `rows` rows written at a time.

        The network hears `features` where they are given, else what our front end gives.
        """
        own = self.adapter.front_end(segments)
        features = own if features is None else features
        channels = self.adapter.channels
        answers, states, tokens = self.written(features, most, rows, songs)
        forced = self._forced(states, teacher)
        return {
            **answers,
            "features": own,
            "states": np.stack([row.numpy() for row in forced]).reshape(len(segments), channels, *forced[0].shape),
            "logits": self.read(forced, teacher),
            "notes": self.notes(tokens, songs),
        }

    def written(
        self, features: NDArray[np.float32], most: int, rows: int, songs: Sequence[int]
    ) -> tuple[Answers, list[Any], list[NDArray[np.int64]]]:
        """What is written and how long that took, the states and the rows. What is made ready once is not counted."""
        self.write(self.encode(features[:1]), 2, rows, [1])
        encoding, states = timed(lambda: self.encode(features))
        decoding, tokens = timed(lambda: self.write(states, most, rows, songs))
        answers = {
            "tokens": _padded(tokens).reshape(len(features), self.adapter.channels, -1),
            "seconds_encode": encoding,
            "seconds_decode": decoding,
            "margin": np.array(self.margins[-1]),
            "tokens_decoded": np.array(sum(map(len, tokens))),
        }
        return answers, states, tokens

    def encode(self, features: NDArray[np.float32]) -> list[Any]:
        """States (frames, width) of every row: segment by segment, channel by channel."""
        parts = range(0, len(features), _ENCODED_AT_ONCE)
        return [row for at in parts for row in self.backend.encode(features[at : at + _ENCODED_AT_ONCE])]

    @torch.inference_mode()
    def read(self, states: Sequence[torch.Tensor], teacher: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, channels, length, ids) of whole rows at once, the decoder without cache."""
        flat = torch.from_numpy(teacher.reshape(-1, teacher.shape[-1]))
        decoder: T5Decoder = self.backend.network.decoder  # type: ignore[assignment]
        logits = [decoder(row[None], seen[None])[0] for row, seen in zip(flat, states, strict=True)]
        read: NDArray[np.float32] = torch.stack(logits).numpy()
        return read.reshape(*teacher.shape, -1)

    def _forced(self, states: Sequence[torch.Tensor], teacher: NDArray[np.int64]) -> list[torch.Tensor]:
        """The states, behind them what the memory makes of the teacher's row before."""
        if not self.adapter.memory_rows:
            return list(states)
        before = [self._nothing, *map(_remembered, teacher[:-1, 0])]
        return [self.backend.remember(row, previous) for row, previous in zip(states, before, strict=True)]

    @property
    def _nothing(self) -> NDArray[np.int64]:
        return _remembered(np.array([self.adapter.codec.encode("tie"), EOS]))

    def write(
        self,
        states: Sequence[Any],
        most: int,
        rows: int,
        songs: Sequence[int],
        decoding: DecodingRule | None = None,
    ) -> list[NDArray[np.int64]]:
        """The tokens of every row, by the model's own rule or by another."""
        stepper = _Watched(self.backend.stepper(rows, np.zeros(0, np.int64)))
        rules = GenerationRules(
            decoding or self.adapter.decoding, most, is_first_eos_ignored="first_eos_ignored" in self.adapter.quirks
        )
        desk = _Remembering(self, states, songs) if self.adapter.memory_rows else _Independent(states)
        for written in generate(stepper, desk.take, rules):
            desk.give(written)
        self.margins.append(stepper.margin)
        return [desk.tokens[index] for index in range(len(states))]

    def notes(self, tokens: Sequence[NDArray[np.int64]], songs: Sequence[int]) -> NDArray[np.float64]:
        """(notes, 6) as the workers' rows, song by song."""
        channels, rows, begin = self.adapter.channels, [], 0
        for count in songs:
            builder = note_builder(self.adapter.notes, self.adapter.quirks, channels)
            built = []
            for segment in range(begin, begin + count):
                built += builder.push([TokenRow(row) for row in tokens[segment * channels : (segment + 1) * channels]])
            built += builder.finish(count * self.adapter.front_end.segment_s)
            rows += [(n.onset_s, n.offset_s, n.pitch, n.program, n.is_drum, n.velocity) for n in built]
            begin += count
        return np.array(rows, np.float64).reshape(-1, 6)


def _key(row: int) -> RowKey:
    return RowKey(recording=0, segment=row, channel=0)


class _Watched:
    """A stepper, and the narrowest choice it had to make."""

    def __init__(self, stepper: Stepper) -> None:
        self.rows, self.place, self.move = stepper.rows, stepper.place, stepper.move
        self._stepper, self.margin = stepper, np.inf

    def step(
        self, tokens: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        ids, log_probs = self._stepper.step(tokens, positions)
        self.margin = min(self.margin, float((log_probs[:, 0] - log_probs[:, 1]).min()))
        return ids, log_probs


class _Independent:
    """Rows that can all begin at once."""

    def __init__(self, states: Sequence[torch.Tensor]) -> None:
        self._waiting = [Row(_key(index), row) for index, row in enumerate(states)]
        self.tokens: dict[int, NDArray[np.int64]] = {}

    def take(self, count: int) -> list[Row]:
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def give(self, written: Written) -> None:
        self.tokens[written.key.segment] = written.tokens


class _Remembering:
    """Rows of songs, one after the other in each."""

    def __init__(self, ours: Ours, states: Sequence[torch.Tensor], songs: Sequence[int]) -> None:
        self._ours, self._states = ours, states
        self._ends = set(np.cumsum(songs).tolist())
        self._ready = [(begin, ours._nothing) for begin in np.cumsum([0, *songs[:-1]]).tolist()]
        self.tokens: dict[int, NDArray[np.int64]] = {}

    def take(self, count: int) -> list[Row]:
        taken, self._ready = self._ready[:count], self._ready[count:]
        return [
            Row(_key(index), self._ours.backend.remember(self._states[index], previous)) for index, previous in taken
        ]

    def give(self, written: Written) -> None:
        index = written.key.segment
        self.tokens[index] = written.tokens
        if index + 1 not in self._ends:
            self._ready.append((index + 1, _remembered(np.array([PAD, *written.tokens]))))


def timed(work: Callable[[], Result]) -> tuple[NDArray[np.float64], Result]:
    """Seconds by the wall clock and of processor time, and what came out."""
    began = time.perf_counter(), time.process_time()
    result = work()
    return np.array([time.perf_counter() - began[0], time.process_time() - began[1]]), result


def _remembered(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    previous = np.full(_REMEMBERED, PAD, np.int64)
    previous[: len(tokens)] = tokens[:_REMEMBERED]
    return previous


def _padded(rows: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    padded = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for row, tokens in zip(padded, rows, strict=True):
        row[: len(tokens)] = tokens
    return padded
