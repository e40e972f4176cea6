"""Published checkpoints of the MT3 family to tutti's own weights: convert(file, card) -> tensors and metadata.

The file must be one that the card knows; it is read without running any of its code; its names become ours; every
name, shape and number is checked; what repeats or can be computed is checked and left out. What comes out says where it
came from, and what no tensor tells: how many states MR-MT3's memory has, which mel bank a file was trained with.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import tutti
from tutti.audio.segment_features import mel_matrix, window
from tutti.capabilities.transcription.models.adapter import (
    ADAPTERS,
    Adapter,
    TableName,
    adapter_of,
    configured,
    find_adapter,
)
from tutti.capabilities.transcription.models.mt3_network import build_network
from tutti.capabilities.transcription.models.perceiver_config import RotaryKind, rotary_frequencies
from tutti.capabilities.transcription.models.renaming import Renamed, rename
from tutti.errors import CardError, HashMismatchError, OptionError, StrictLoadingError, WeightsError
from tutti.nets.t5_config import position_table
from tutti.weights.cards import Card, UpstreamFile, load_cards
from tutti.weights.foreign import Array, ForeignTensor, open_torch
from tutti.weights.opening import Form, compare
from tutti.weights.saving import write_safetensors
from tutti.weights.store import hash_of
from tutti.weights.t5x import CHECKPOINT, open_t5x

__all__ = ["Converted", "convert"]

Found = Mapping[str, ForeignTensor]


@dataclass(frozen=True)
class Converted:
    """Weights under our names, and where they came from."""

    tensors: dict[str, Array]
    """float32, counters int64."""
    metadata: dict[str, str]

    def write(self, path: Path) -> None:
        """As safetensors, whole or not at all. Raises OutputError."""
        write_safetensors(path, self.tensors, self.metadata)


def convert(
    path: Path, card: Card, *, settings: Mapping[str, str] | None = None, is_any_file: bool = False
) -> Converted:
    """The weights in a published checkpoint, as the network of `card` takes them.

    `path` is a file of PyTorch or a T5X directory. `settings` are for what the card does not know of the file.
    `is_any_file` takes files that are none of those the card knows: own fine-tunings, for example.

    Raises HashMismatchError for a file the card does not know, StrictLoadingError when names or shapes are not those of
    the network, WeightsError for what cannot be read or is no number, OptionError for settings that are missing or
    wrong, CardError for a card without an adapter.
    """
    if not card.is_converted:
        raise CardError(
            f"The weights of {card.name} are not made by conversion. Fetch them: tutti models pull {card.name}"
        )
    adapter = adapter_of(card)
    checksum = _checksum(path)
    known = _known_file(path, checksum, card, is_any_file=is_any_file)
    said = {**(known.settings if known else {}), **(settings or {})}
    _refuse_unknown(said, adapter, card)
    adapter = configured(adapter, said)
    with _opened(path) as found:
        tensors = _converted(found, adapter, card)
    metadata = {
        "card": card.name,
        "tutti": tutti.__version__,
        "upstream_file": path.name,
        "upstream_sha256": checksum,
        **said,
    }
    return Converted(tensors, metadata)


def _refuse_unknown(settings: Mapping[str, str], adapter: Adapter, card: Card) -> None:
    if extra := settings.keys() - set(adapter.file_settings):
        raise OptionError(f"{card.name} has no setting {' and '.join(sorted(extra))}. Leave it out.")


def _opened(path: Path) -> AbstractContextManager[dict[str, ForeignTensor]]:
    return open_t5x(path) if path.is_dir() else open_torch(path)


def _checksum(path: Path) -> str:
    """The sha256 of a file; of a T5X directory, that of the list of its files' sha256."""
    try:
        if not path.is_dir():
            return hash_of(path)
        files = (*path.glob(CHECKPOINT), *path.glob("target.*/*"))
        lines = sorted(f"{file.relative_to(path).as_posix()} {hash_of(file)}\n" for file in files if file.is_file())
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}. Check its name and rights.") from error
    return sha256("".join(lines).encode()).hexdigest()


def _known_file(path: Path, checksum: str, card: Card, *, is_any_file: bool) -> UpstreamFile | None:
    """What the card knows of the file at `path`: it has the sha256, or the name where nobody has stated a sha256."""
    if not card.upstream:
        return None
    for file in card.upstream:
        if file.sha256 == checksum or (not file.sha256 and file.name == path.name):
            return file
    if is_any_file:
        return None
    for other in load_cards().values():
        if any(file.sha256 == checksum for file in other.upstream):
            raise HashMismatchError(f"{path} is a file of {other.name}, not of {card.name}: say --card {other.name}.")
    known = ", ".join(f"{file.name} ({file.sha256[:12] or 'sha256 not stated'})" for file in card.upstream)
    raise HashMismatchError(
        f"{path} (sha256 {checksum}) is none of the files that the card of {card.name} knows: {known}. "
        "Fetch it again; or, if it is meant to be another one, say --any-file."
    )


def _converted(found: Found, adapter: Adapter, card: Card) -> dict[str, Array]:
    renamed = rename(found, adapter.names)
    try:
        _compare(found, renamed, adapter, card.name)
    except StrictLoadingError as error:
        raise StrictLoadingError(f"{error}{_hint(found, adapter)}") from error
    for name, other in renamed.repeats.items():
        _check_repeat(found, name, other)
    for name, table in renamed.tables.items():
        _check_table(found[name], table, adapter)
    return {
        ours: _numbers(found[theirs], is_transposed=_is_transposed(theirs, adapter))
        for ours, theirs in renamed.weights.items()
    }


def _compare(found: Found, renamed: Renamed, adapter: Adapter, name: str) -> None:
    """Names and shapes against the network, before a number is read. Raises StrictLoadingError."""
    forms = {stranger: Form(found[stranger].shape, found[stranger].kind) for stranger in renamed.strangers}
    for ours, theirs in renamed.weights.items():
        shape = found[theirs].shape
        forms[ours] = Form(shape[::-1] if _is_transposed(theirs, adapter) else shape, found[theirs].kind)
    with torch.device("meta"):
        compare(build_network(adapter), forms, name)


def _is_transposed(theirs: str, adapter: Adapter) -> bool:
    return re.fullmatch(adapter.names.transposed, theirs) is not None


def _hint(found: Found, adapter: Adapter) -> str:
    """What a file may be that does not fit `adapter`."""
    for name in ADAPTERS:
        other = find_adapter(name)
        renamed = rename(found, other.names)
        if renamed.strangers or not renamed.weights:
            continue
        with contextlib.suppress(StrictLoadingError):
            _compare(found, renamed, other, name)
            return f" They are those of {name}: say --card {name}."
    prefix = adapter.names.prefix
    if not any(name.startswith(prefix) for name in found):
        return f" No name in the file begins with {prefix!r}, as those of the published files do."
    return ""


def _check_repeat(found: Found, name: str, other: str) -> None:
    same = other in found and found[name].shape == found[other].shape
    if not (same and np.array_equal(found[name].read(), found[other].read())):
        raise WeightsError(f"{name} should repeat {other} and does not: the file was changed. Fetch it again.")


def _check_table(tensor: ForeignTensor, table: TableName, adapter: Adapter) -> None:
    ours = _TABLES[table](adapter)
    if table == "positions":  # files differ in how many they keep
        ours = ours[: tensor.shape[0] if tensor.shape else 0]
    if tensor.shape != ours.shape:
        raise StrictLoadingError(f"{tensor.name} has the shape {tensor.shape}, not {ours.shape}. Fetch the file again.")
    if not np.allclose(tensor.read(), ours, rtol=_HALF_ROUNDING, atol=_TOLERANCES[table]):
        raise WeightsError(
            f"{tensor.name} holds other numbers than the model's {table.replace('_', ' ')}: a network trained with "
            "them would be run wrongly. Use the file that was published."
        )


def _position_frequencies(adapter: Adapter) -> NDArray[Any]:
    half = adapter.network.width // 2
    return 10_000.0 ** -(np.arange(half) / half)


def _mel_bank(adapter: Adapter) -> NDArray[Any]:
    front_end = adapter.front_end
    return mel_matrix(front_end.bank, front_end.bands, front_end.low_hz, front_end.high_hz)


def _rotary(kind: RotaryKind) -> Callable[[Adapter], NDArray[Any]]:
    return lambda adapter: rotary_frequencies(kind, adapter.perceiver.heads if adapter.perceiver else 0)


_TABLES: dict[TableName, Callable[[Adapter], NDArray[Any]]] = {
    "position_frequencies": _position_frequencies,
    "positions": lambda adapter: position_table(adapter.network.positions, adapter.network.width),
    "window": lambda _adapter: window(),
    "mel_bank": _mel_bank,
    "rotary_pixel": _rotary("pixel"),
    "rotary_lang": _rotary("lang"),
}
_TOLERANCES: dict[TableName, float] = {
    "position_frequencies": 0,
    "positions": 2e-4,  # sines of up to a thousand radians, in single precision
    "window": 1e-6,
    "mel_bank": 2e-3,  # torchaudio's triangles at 50 Hz, in single precision
    "rotary_pixel": 0,
    "rotary_lang": 0,
}
"""What float32 rounds, absolute."""
_HALF_ROUNDING = 0.004
"""What bfloat16 rounds, relative. The frequencies of Magenta's positions are up to 3.7 % off the others."""


def _numbers(tensor: ForeignTensor, *, is_transposed: bool) -> Array:
    numbers = tensor.read()
    if not np.isfinite(numbers).all():
        raise WeightsError(
            f"{tensor.name} holds numbers that are NaN or infinite. The file is damaged; fetch it again."
        )
    return np.ascontiguousarray(numbers.T) if is_transposed else numbers
