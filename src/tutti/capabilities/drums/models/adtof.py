"""The Frame-RNN of ADTOF (Zehren, Alunno, Bientinesi, "High-Quality and Reproducible Automatic Drum Transcription from
Crowdsourced Data", Signals 4, 2023): our own code of the network, for weights that the user brings.

tutti ships no weights for it: those that are published allow no commercial use. The network hears 44.1 kHz mono, full
mixes as well as drum stems, and answers 100 times a second for kick, snare, toms, hi-hat and cymbals. It does not tell
toms, hats or cymbals apart, so each is given as one class of tutti's: `tom_mid`, `hihat_closed`, `crash`. Velocities
are taken from the level of the recording.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tutti.capabilities.drums.excerpts import excerpt
from tutti.capabilities.drums.stroke_levels import velocities_at
from tutti.errors import HashMismatchError, WeightsError
from tutti.music.drum_hits import DrumHit, DrumHits
from tutti.weights.opening import load_strict, read_safetensors
from tutti.weights.store import hash_of

__all__ = [
    "INSTRUMENTS",
    "SAMPLE_RATE_HZ",
    "THRESHOLDS",
    "AdtofNet",
    "Pooling",
    "hear",
    "open_adtof",
    "pick_peaks",
    "read_pickle",
]

SAMPLE_RATE_HZ = 44_100
FRAMES_PER_S = 100
INSTRUMENTS = ("kick", "snare", "tom_mid", "hihat_closed", "crash")
"""What each output is called here; the network's own order is the General MIDI keys 35, 38, 47, 42, 49."""
THRESHOLDS = (0.22, 0.24, 0.32, 0.22, 0.30)
"""Of the published model, for activations less their moving average."""

Pooling = Literal["port", "keras"]
"""What a pooling finds beyond the outermost bands: zeros in the port to torch, nothing in the network as trained.

"port" gives the figures that others state (pooled F .899 on the drum tracks of six songs); "keras" .905.
"""

_WINDOW = 2048
_HOP = SAMPLE_RATE_HZ // FRAMES_PER_S
_FRAMES_AT_ONCE = 6_000
_CONTEXT_FRAMES = 2_000
"""Frames that a window sees beyond those it answers for; the rest of a recording moves an answer by .002 at most."""


def front_end(samples: NDArray[np.float32], first: int, last: int) -> Tensor:
    """Band levels of the frames `first` to `last` - 1 of mono `samples`, `(frames, 84)`: log10(1 + magnitude).

    Frame t is centred on sample 441 t; there is silence before and after the recording.
    """
    piece = excerpt(samples, first * _HOP - _WINDOW // 2, (last - 1) * _HOP + _WINDOW // 2)
    window = torch.from_numpy(np.hanning(_WINDOW).astype(np.float32))
    framed = torch.from_numpy(piece).unfold(0, _WINDOW, _HOP) * window
    magnitudes = torch.fft.rfft(framed).abs()[:, : _WINDOW // 2]
    return torch.log10(1.0 + magnitudes @ _triangles())


@cache
def _triangles() -> Tensor:
    """`(1024, 84)`: corners at the transform bins nearest to 12 tones an octave from 20 Hz, each used once."""
    tones = int(np.floor(12 * np.log2(20_000 / 20))) + 1
    centres_hz = 20.0 * 2 ** (np.arange(tones) / 12)
    corners = np.unique(np.rint(centres_hz * _WINDOW / SAMPLE_RATE_HZ).astype(int))
    bins = np.arange(_WINDOW // 2)[:, None]
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    weights = np.maximum(0.0, np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)))
    with torch.inference_mode(False):
        return torch.from_numpy((weights / weights.sum(axis=0)).astype(np.float32))


class AdtofNet(nn.Module):
    """Band levels (batch, frames, 84) to activations (batch, frames, 5), between 0 and 1. 449,741 parameters."""

    def __init__(self, pooling: Pooling = "port") -> None:
        super().__init__()
        self.blocks = nn.ModuleList([_Block(1, 32, pooling), _Block(32, 64, pooling)])
        self.recurrent = nn.ModuleList(
            nn.GRU(width, 60, batch_first=True, bidirectional=True) for width in (640, 120, 120)
        )
        self.head = nn.Linear(120, len(INSTRUMENTS))

    def forward(self, levels: Tensor) -> Tensor:
        maps = levels[:, None]
        for block in self.blocks:
            maps = block(maps)
        steps = maps.permute(0, 2, 3, 1).flatten(2)  # frequency before channel, as the published weights expect
        for layer in self.recurrent:
            steps, _ = layer(steps)
        return torch.sigmoid(self.head(steps))


class _Block(nn.Module):
    """Two convolutions, then the loudest of every three bands: (batch, channels, frames, bands)."""

    def __init__(self, inputs: int, outputs: int, pooling: Pooling) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.first_norm = nn.BatchNorm2d(outputs, eps=1e-3)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.second_norm = nn.BatchNorm2d(outputs, eps=1e-3)
        self.dropout = nn.Dropout2d(0.3)
        self.beyond = 0.0 if pooling == "port" else -torch.inf

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.first_norm(torch.relu(self.first(maps)))
        maps = self.second_norm(torch.relu(self.second(maps)))
        missing = -maps.shape[-1] % 3
        maps = nn.functional.pad(maps, (missing // 2, missing - missing // 2), value=self.beyond)
        return self.dropout(nn.functional.max_pool2d(maps, (1, 3)))  # type: ignore[no-any-return]


_PORT_PLACES = {"0": "first", "2": "first_norm", "3": "second", "5": "second_norm"}


def _name_here(name: str) -> str:
    """Our name of a tensor that the port to torch (xavriley/ADTOF-pytorch) calls `name`; other names stay."""
    parts = name.split(".")
    if parts[0] == "cnn_blocks" and len(parts) == 4 and parts[2] in _PORT_PLACES:
        return ".".join(("blocks", parts[1], _PORT_PLACES[parts[2]], parts[3]))
    return name.replace("gru_layers.", "recurrent.", 1).replace("output_layer.", "head.", 1)


def read_pickle(path: Path, sha256: str) -> dict[str, Tensor]:
    """Tensors by the names of AdtofNet from a `.pth` of the port to torch, to be kept as safetensors.

    The pickle is opened after its sha256 was checked, by torch's unpickler that admits tensors and plain containers.
    Raises HashMismatchError, WeightsError when it is no such file.
    """
    if hash_of(path) != sha256.lower():
        raise HashMismatchError(f"{path} is not the file with sha256 {sha256}. Check where it came from.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the unpickler trips over
        raise WeightsError(f"{path} holds no weights that can be read safely ({type(error).__name__}).") from error
    named = content.get("model_weights", content) if isinstance(content, dict) else None
    if not isinstance(named, dict) or not all(isinstance(tensor, Tensor) for tensor in named.values()):
        raise WeightsError(f"{path} holds no table of tensors. Give the .pth of the network's weights.")
    return {_name_here(name): tensor.float().contiguous() for name, tensor in named.items()}


def open_adtof(path: Path, pooling: Pooling = "port") -> AdtofNet:
    """The network with the user's weights, a safetensors file under our names or those of the port to torch.

    Raises WeightsError, StrictLoadingError naming what is missing, extra or of another shape.
    """
    tensors, _ = read_safetensors(path)
    network = AdtofNet(pooling)
    # counters of training steps, which published files lack and evaluation does not read
    counters = {name: tensor for name, tensor in network.state_dict().items() if name.endswith("num_batches_tracked")}
    named = {_name_here(name): tensor for name, tensor in tensors.items()}
    load_strict(network, {**counters, **named}, path.name)
    return network.eval()


def hear(
    samples: NDArray[np.float32],
    network: AdtofNet,
    *,
    thresholds: tuple[float, ...] = THRESHOLDS,
    on_step: Callable[[int, int], None] | None = None,
) -> DrumHits:
    """The hits in mono `samples` at 44.1 kHz; a hit's confidence is the activation at its peak.

    Recordings of up to 80 s are heard as a whole, longer ones in windows of a minute with 20 s of context.
    `on_step(done, total)` is called after every window, in frames, and may raise to stop.
    """
    activations = _activations(samples, network, on_step or (lambda _done, _total: None))
    found = [
        (frame, instrument, activations[frame, place])
        for place, (instrument, threshold) in enumerate(zip(INSTRUMENTS, thresholds, strict=True))
        for frame in pick_peaks(activations[:, place], threshold)
    ]
    times_s = np.array([frame for frame, _, _ in found], dtype=np.float64) / FRAMES_PER_S
    velocities = velocities_at(samples, times_s, SAMPLE_RATE_HZ)
    return DrumHits.of(
        DrumHit(float(time_s), instrument, int(velocity), min(1.0, float(activation)))
        for (_, instrument, activation), time_s, velocity in zip(found, times_s, velocities, strict=True)
    )


def _activations(
    samples: NDArray[np.float32], network: AdtofNet, on_step: Callable[[int, int], None]
) -> NDArray[np.float32]:
    """`(frames, 5)`"""
    frames = 1 + len(samples) // _HOP
    answers = np.empty((frames, len(INSTRUMENTS)), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, frames, _FRAMES_AT_ONCE):
            stop = min(frames, start + _FRAMES_AT_ONCE)
            first, last = max(0, start - _CONTEXT_FRAMES), min(frames, stop + _CONTEXT_FRAMES)
            heard = network(front_end(samples, first, last)[None])[0]
            answers[start:stop] = heard[start - first : stop - first].numpy()
            on_step(stop, frames)
    return answers


def pick_peaks(activations: NDArray[np.float32], threshold: float) -> list[int]:
    """Frames of the peaks in `(frames,)` activations of one class.

    From each activation the mean of the 10 frames before to the one after it is taken away. A peak reaches `threshold`
    and is not exceeded from two frames before to the one after it; of peaks at most two frames apart the highest stays.
    """
    around = np.lib.stride_tricks.sliding_window_view(np.pad(activations, (10, 1), mode="edge"), 12)
    above = np.maximum(0.0, activations - around.mean(axis=1, dtype=np.float32))
    near = np.lib.stride_tricks.sliding_window_view(np.pad(above, (2, 1), mode="edge"), 4)
    peaks = np.flatnonzero((above >= near.max(axis=1)) & (above >= threshold))
    groups = np.split(peaks, np.flatnonzero(np.diff(peaks) > 2) + 1) if len(peaks) else []
    return [int(group[np.argmax(above[group])]) for group in groups]
