"""The folder of a model that was exported to ONNX: where it lies, what is in it, what it says of itself.

No framework is imported here, neither torch, which writes such folders, nor onnxruntime, which runs them.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from tutti.capabilities.transcription.models.adapter import Adapter
from tutti.errors import HashMismatchError, OutputError, WeightsError, WeightsMissingError
from tutti.music.files import write_atomic
from tutti.settings import settings
from tutti.weights.cards import Card
from tutti.weights.native import read_table
from tutti.weights.store import hash_of, path_of

__all__ = [
    "CROSS",
    "ENCODER",
    "MANIFEST",
    "MEMORY",
    "PRECISIONS",
    "STEP",
    "Manifest",
    "OnnxPrecision",
    "check_current",
    "folder_of",
    "network_sizes",
    "read_manifest",
    "write_folder",
]

OnnxPrecision = Literal["fp32", "int8"]
PRECISIONS: tuple[OnnxPrecision, ...] = get_args(OnnxPrecision)

ENCODER, CROSS, STEP, MEMORY = "encoder.onnx", "cross.onnx", "decoder_step.onnx", "memory.onnx"
MANIFEST = "model.json"


class Manifest(BaseModel):
    """What a folder says of itself, in `model.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    tutti: str
    """Version that wrote it."""
    card: str
    weights_sha256: str
    """Of the weights it was made from."""
    settings: dict[str, str]
    """What no tensor tells of them, see `models.adapter.configured`."""
    network: dict[str, Any]
    """See `network_sizes`."""
    precision: OnnxPrecision
    opset: int
    files: dict[str, str]
    """Name → sha256."""


def folder_of(card: Card, precision: OnnxPrecision) -> Path:
    """Where the export of a model lies, or would lie."""
    return settings().cache_dir / "onnx" / f"{card.name}-{precision}"


def network_sizes(adapter: Adapter) -> dict[str, Any]:
    """What a graph is made for. The position table is none of it: it is given to the graph."""
    sizes = asdict(adapter.network)
    del sizes["positions"]
    return {**sizes, "features": adapter.front_end.features, "channels": adapter.channels}


def read_manifest(folder: Path) -> Manifest:
    """What the folder says of itself, once all its files are seen to be those it was written with.

    Raises WeightsMissingError where there is none, WeightsError, HashMismatchError.
    """
    path = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
        wrong = [name for name, checksum in manifest.files.items() if hash_of(folder / name) != checksum]
    except ValidationError as error:
        raise WeightsError(f"{path} does not describe an exported model. Export it again.") from error
    except OSError as error:
        raise WeightsMissingError(f"{error.filename or path} cannot be read: {error.strerror}.") from error
    if wrong:
        raise HashMismatchError(f"{folder / wrong[0]} was changed after it was exported. Export the model again.")
    return manifest


def check_current(manifest: Manifest, card: Card, adapter: Adapter) -> None:
    """Raises WeightsError when an export is of another model, network or weights than `card` has now."""
    again = f"Write it again: tutti export onnx --model {card.name} --precision {manifest.precision}"
    if manifest.card != card.name:
        raise WeightsError(f"The exported model is {manifest.card}, not {card.name}. {again}")
    if manifest.network != json.loads(json.dumps(network_sizes(adapter))):
        raise WeightsError(f"The card of {card.name} has other sizes than the exported network. {again}")
    if manifest.weights_sha256 != (_weights_sha256(card) or manifest.weights_sha256):
        raise HashMismatchError(f"The weights of {card.name} are others than those that were exported. {again}")


def _weights_sha256(card: Card) -> str | None:
    """Of the weights in use, as far as that can be told without reading them. They need not be here."""
    path = path_of(card)
    if card.is_converted and path.is_file():
        return read_table(path).metadata.get("content_sha256")
    return card.sha256 or None


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` to `folder`, whole or not at all; an export that lies there is replaced. Raises OutputError."""
    if folder.exists() and not (folder / MANIFEST).is_file():
        raise OutputError(f"{str(folder)!r} is there and no exported model. Choose another folder with -o.")
    mark = secrets.token_hex(8)
    new, old = folder.with_name(f".tutti-{mark}.part"), folder.with_name(f".tutti-{mark}.old")
    try:
        new.mkdir(parents=True)
        for name, data in files.items():
            write_atomic(new / name, data)
        _swap(folder, new, old)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"Could not write {str(folder)!r}: {reason}. Choose another folder with -o.") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _swap(folder: Path, new: Path, old: Path) -> None:
    if folder.exists():
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
