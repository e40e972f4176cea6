"""Models of the MT3 family in onnxruntime, from what `onnx_export` wrote. torch is not imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutti.capabilities.transcription.hearing_tokens import Opened
from tutti.capabilities.transcription.models.adapter import Adapter, adapter_of, configured
from tutti.capabilities.transcription.onnx_folder import (
    CROSS,
    ENCODER,
    MANIFEST,
    MEMORY,
    PRECISIONS,
    STEP,
    Manifest,
    OnnxPrecision,
    check_current,
    folder_of,
    read_manifest,
)
from tutti.errors import DeviceError, MissingExtraError, OptionError, WeightsError, WeightsMissingError
from tutti.nets.t5_config import T5Config, position_table
from tutti.settings import settings
from tutti.weights.cards import Card

try:
    import onnxruntime  # type: ignore[import-untyped]  # it ships no types
except ModuleNotFoundError as error:
    raise MissingExtraError("The backend onnx needs one more package. Run: pip install 'tutti[onnx]'") from error

__all__ = ["OnnxBackend", "OnnxStepper", "open_backend", "open_folder"]

_FIRST_ROOM = 64
_SEGMENTS_AT_ONCE = 2
"""The convolutions of a Perceiver take up to 58 MB per activation and segment."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class OnnxBackend:
    """A network of the family; `hearing_tokens.Backend`. States are arrays (frames, width)."""

    folder: Path
    adapter: Adapter
    precision: OnnxPrecision

    device = "cpu"

    @cached_property
    def _encoder(self) -> Any:
        return _session(self.folder / ENCODER)

    @cached_property
    def _cross(self) -> Any:
        return _session(self.folder / CROSS)

    @cached_property
    def _step(self) -> Any:
        return _session(self.folder / STEP, is_spinning=True)

    @cached_property
    def _memory(self) -> Any:
        return _session(self.folder / MEMORY)

    def encode(self, frames: Array) -> Sequence[Array]:
        few = np.split(frames, range(_SEGMENTS_AT_ONCE, len(frames), _SEGMENTS_AT_ONCE))
        given = {} if self.adapter.perceiver is not None else self._positions(self._states_of(frames))
        parts = [self._encoder.run(["states"], {"frames": each, **given})[0] for each in few]
        return list(np.concatenate(parts))

    def _states_of(self, frames: Array) -> int:
        count: int = frames.shape[1]
        return count // 2 if self.adapter.has_note_stem else count

    def remember(self, states: Array, previous: NDArray[np.int64]) -> Array:
        if not self.adapter.memory_rows:
            return states
        (heard,) = self._memory.run(["states"], {"tokens": previous[None], **self._positions(len(previous))})
        return np.concatenate([states, heard[0, : self.adapter.memory_rows]])

    def _positions(self, length: int) -> dict[str, Array]:
        network = self.adapter.network
        return {"positions": position_table(network.positions, network.width)[:length]}

    def stepper(self, rows: int, banned: NDArray[np.int64]) -> OnnxStepper:
        return OnnxStepper(self._cross, self._step, self.adapter.network, rows, banned)


class OnnxStepper:
    """Steps a decoder for up to `rows` rows, the active ones first; `generation.Stepper`.

    Every layer's keys and values lie in one buffer each, whose first rows onnxruntime reads and writes in place.
    """

    def __init__(self, cross: Any, step: Any, config: T5Config, rows: int, banned: NDArray[np.int64]) -> None:
        """`banned` are ids that may not come."""
        self.config, self.rows = config, rows
        self._cross_session, self._session, self._binding = cross, step, step.io_binding()
        self._table = position_table(config.positions, config.width)
        self._bias = np.zeros(config.vocabulary, np.float32)
        self._bias[banned] = -np.inf
        self._tokens, self._places = np.zeros((rows, 1), np.int64), np.zeros(rows, np.int32)
        self._offsets, self._length = np.zeros((rows, 1, config.width), np.float32), np.zeros((), np.int32)
        likeliest = (rows, config.choices)
        self._ids, self._log_probs = np.zeros(likeliest, np.int64), np.zeros(likeliest, np.float32)
        self._kept: dict[str, Array] = {}
        self._heard: dict[str, Array] = {}
        self._bound = 0
        """Rows that are bound; 0 when buffers are new."""

    @property
    def _room(self) -> int:
        return len(self._kept["keys.0"][0, 0]) if self._kept else 0

    def _empty(self, *names: str, length: int) -> dict[str, Array]:
        config = self.config
        shape = (self.rows, config.heads, length, config.head_width)
        layers = range(config.decoder_layers)
        return {f"{name}.{index}": np.zeros(shape, np.float32) for index in layers for name in names}

    def place(self, first: int, states: Sequence[Array]) -> None:
        """Rows `first`, `first` + 1 ... begin anew with `states`, each (frames, width)."""
        joined = np.stack(states)
        if not self._heard or len(self._heard["cross_keys.0"][0, 0]) != joined.shape[1]:
            self._heard = self._empty("cross_keys", "cross_values", length=joined.shape[1])
            self._bound = 0
        binding = self._cross_session.io_binding()
        _bind(binding.bind_input, "states", joined)
        for name, buffer in self._heard.items():
            _bind(binding.bind_output, name, buffer[first : first + len(joined)])
        self._cross_session.run_with_iobinding(binding)

    def move(self, source: int, target: int) -> None:
        """Row `target` becomes what row `source` is."""
        for buffer in (*self._kept.values(), *self._heard.values()):
            buffer[target] = buffer[source]

    def step(
        self, tokens: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """See `generation.Stepper`."""
        count, length = len(tokens), int(positions.max()) + 1
        if length > self._room:
            self._make_room()
        if count != self._bound:
            self._bind(count)
        self._tokens[:count, 0], self._places[:count], self._length[()] = tokens, positions, length
        self._offsets[:count, 0] = self._table[positions]
        self._session.run_with_iobinding(self._binding)
        return self._ids[:count].copy(), self._log_probs[:count].copy()

    def _make_room(self) -> None:
        """Double what rows may hold: short segments, which are most, then keep little."""
        grown = self._empty("keys", "values", length=max(_FIRST_ROOM, 2 * self._room))
        for name, buffer in self._kept.items():
            grown[name][:, :, : buffer.shape[2]] = buffer
        self._kept, self._bound = grown, 0

    def _bind(self, count: int) -> None:
        """Let onnxruntime read and write the first `count` rows of the buffers."""
        give, take = self._binding.bind_input, self._binding.bind_output
        given: dict[str, NDArray[Any]] = {
            "tokens": self._tokens,
            "offsets": self._offsets,
            "places": self._places,
            **self._kept,
            **self._heard,
        }
        taken: dict[str, NDArray[Any]] = {"ids": self._ids, "log_probs": self._log_probs}
        taken |= {f"new_{name}": buffer for name, buffer in self._kept.items()}
        for name, buffer in given.items():
            _bind(give, name, buffer[:count])
        for name, buffer in taken.items():
            _bind(take, name, buffer[:count])
        _bind(give, "length", self._length)
        _bind(give, "bias", self._bias)
        self._bound = count


def _bind(bind: Callable[..., None], name: str, array: NDArray[Any]) -> None:
    """Without a copy: `array` must live as long as the binding, and lie in one piece."""
    bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)


def _session(path: Path, *, is_spinning: bool = False) -> Any:
    """`is_spinning` lets its threads wait busily for the next call, for what is called all the time."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings().threads or 0
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors only, which are raised as well
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if is_spinning else "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of classes that onnxruntime does not export
        raise WeightsError(
            f"onnxruntime {onnxruntime.__version__} cannot run {path}: {_first_line(error)} Export the model again, or "
            "install another version: pip install -U onnxruntime"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def open_backend(card: Card, device: str, precision: str, as_variant: Callable[[Adapter], Adapter]) -> Opened:
    """The exported model of `card`, from memory when it was used before.

    `as_variant` changes what a quirk changes in the network. Raises WeightsMissingError when it was not exported,
    WeightsError, DeviceError, OptionError.
    """
    if device not in ("auto", "cpu"):
        raise DeviceError(f"The backend onnx computes on the CPU, not on {device}. Use --device cpu, or torch.")
    wanted = "fp32" if precision == "auto" else precision
    for known in PRECISIONS:
        if known == wanted:
            return open_folder(_existing(card, known), card, as_variant)
    raise OptionError(f"The backend onnx has no precision {precision}. Use {' or '.join(PRECISIONS)}.")


def _existing(card: Card, precision: OnnxPrecision) -> Path:
    folder = folder_of(card, precision)
    if not (folder / MANIFEST).is_file():
        command = f"tutti export onnx --model {card.name} --precision {precision}"
        raise WeightsMissingError(f"{card.name} was not exported to {folder}. Write it: {command}")
    return folder


def open_folder(folder: Path, card: Card, as_variant: Callable[[Adapter], Adapter]) -> Opened:
    """The model that was exported to `folder`; it must be that of `card`. Raises WeightsError."""
    manifest = _manifest(folder, (folder / MANIFEST).read_bytes())
    adapter = configured(adapter_of(card), manifest.settings)
    check_current(manifest, card, adapter)
    backend = _backend(folder, as_variant(adapter), manifest.model_dump_json())
    return Opened(backend, backend.adapter, card.model_copy(update={"sha256": manifest.weights_sha256}))


@lru_cache(maxsize=8)
def _manifest(folder: Path, _content: bytes) -> Manifest:
    """Files are checked once for each content of `model.json`, which names their checksums."""
    return read_manifest(folder)


@lru_cache(maxsize=2)
def _backend(folder: Path, adapter: Adapter, _manifest: str) -> OnnxBackend:
    return OnnxBackend(folder, adapter, Manifest.model_validate_json(_manifest).precision)
