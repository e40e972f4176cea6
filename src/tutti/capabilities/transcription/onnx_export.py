"""Models of the MT3 family to ONNX: a folder that `onnx_backend` runs without torch and without the weights file.

`encoder.onnx` hears, `cross.onnx` prepares what the decoder attends to, `decoder_step.onnx` writes a token of each row,
`memory.onnx` (MR-MT3) reads the segment before; `model.json` says what they are. The graphs are written node by node
(`nets.onnx_graph` says why); torch only opens the weights, as strictly as ever.

int8 holds for the decoder's step, which reads all its weights for every token; what it attends to, and the encoder,
whose errors every token would hear, stay in fp32.
"""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from pathlib import Path

from torch import nn

import tutti
from tutti.capabilities.transcription.models.adapter import Adapter, adapter_of, configured
from tutti.capabilities.transcription.models.mt3_network import build_network
from tutti.capabilities.transcription.onnx_folder import (
    CROSS,
    ENCODER,
    MANIFEST,
    MEMORY,
    STEP,
    Manifest,
    OnnxPrecision,
    folder_of,
    network_sizes,
    write_folder,
)
from tutti.errors import CardError, MissingExtraError
from tutti.weights.cards import Card
from tutti.weights.native import read_table
from tutti.weights.opening import open_strict
from tutti.weights.store import identified, path_of

try:
    from tutti.capabilities.transcription.models.note_stem_onnx import add_note_stem
    from tutti.capabilities.transcription.models.perceiver_onnx import perceiver_graph
    from tutti.nets.onnx_graph import OPSET, Weights
    from tutti.nets.t5_onnx import cross_graph, encoder_graph, memory_graph, step_graph
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] != "onnx":
        raise
    raise MissingExtraError("Exporting to ONNX needs one more package. Run: pip install 'tutti[onnx]'") from error

__all__ = ["export", "export_network"]


def export(card: Card, folder: Path | None = None, precision: OnnxPrecision = "fp32") -> Path:
    """Write the model of `card` to `folder`, by default where `onnx_backend` looks for it; returns the folder.

    Raises CardError for a model of another kind, WeightsError, OutputError.
    """
    if card.capability != "transcription" or "adapter" not in card.config:
        raise CardError(f"{card.name} is not of the MT3 family. Only models of that family are exported.")
    found, path = identified(card), path_of(card)
    said = read_table(path).metadata
    adapter = configured(adapter_of(card), said)
    network = build_network(adapter)
    open_strict(network, path, card.name)
    target = folder or folder_of(card, precision)
    settings: dict[str, str] = {name: said[name] for name in adapter.file_settings}
    export_network(network, adapter, target, precision, found, settings)
    return target


def export_network(
    network: nn.Module,
    adapter: Adapter,
    folder: Path,
    precision: OnnxPrecision,
    card: Card,
    settings: dict[str, str],
) -> None:
    """Write `network`, that of `adapter`; `card` and `settings` say whose weights it has. Raises OutputError."""
    weights = {name: value.detach().float().cpu().numpy() for name, value in network.state_dict().items()}
    files = _graphs(weights, adapter, precision)
    manifest = Manifest(
        tutti=tutti.__version__,
        card=card.name,
        weights_sha256=card.sha256,
        settings=settings,
        network=network_sizes(adapter),
        precision=precision,
        opset=OPSET,
        files={name: sha256(data).hexdigest() for name, data in files.items()},
    )
    write_folder(folder, {**files, MANIFEST: manifest.model_dump_json(indent=1).encode()})


def _graphs(weights: Weights, adapter: Adapter, precision: OnnxPrecision) -> dict[str, bytes]:
    config = adapter.network
    files = {
        ENCODER: _encoder(weights, adapter),
        CROSS: cross_graph(weights, config),
        STEP: step_graph(weights, config, precision),
    }
    if adapter.memory_rows:
        files[MEMORY] = memory_graph(weights, config)
    return files


def _encoder(weights: Weights, adapter: Adapter) -> bytes:
    front_end = adapter.front_end
    if adapter.perceiver is not None:
        return perceiver_graph(weights, adapter.perceiver, adapter.channels, front_end.frames)
    stem = partial(add_note_stem, front_end=front_end) if adapter.has_note_stem else None
    return encoder_graph(weights, adapter.network, front_end.features, stem)
