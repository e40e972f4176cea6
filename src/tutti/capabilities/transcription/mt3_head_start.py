"""Where the training of a small MT3 begins: not from noise, but from what is known of music and of the task.

A network of this kind that begins at random spends most of its time finding out that pitches have harmonics and that a
token of time belongs to a moment of the sound; the published ones heard millions of segments for it. Here both are
written into the first weights, and training goes on from there:

- frames are projected onto 88 harmonic templates, and the residual stream carries these to the decoder;
- the embedding of a time is the position code of its frame, that of a pitch points where its template does;
- queries begin as keys do, so that like looks for like, and values come out of attention as they went in.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tutti.audio.segment_features import SegmentFrontEnd
from tutti.capabilities.transcription.codec import Codec
from tutti.capabilities.transcription.models.mt3_network import Mt3Network
from tutti.nets.t5 import Attention
from tutti.nets.t5_config import T5Config

__all__ = ["LOWEST_PITCH", "PITCHES", "begin_well", "harmonic_templates", "read_templates"]

LOWEST_PITCH, PITCHES = 21, 88
_HARMONICS = 8
_FADING = 0.75
"""Weight of a harmonic by that of the one before."""
_STREAM = 9.0
"""Of templates of unit norm: gives pitches a few times the spread of the position code."""
_STEPS_PER_S = 100
_RARE = -4.0
"""Log-odds of a pitch before anything is heard."""


@torch.no_grad()
def begin_well(network: Mt3Network, config: T5Config, codec: Codec, front_end: SegmentFrontEnd) -> None:
    """Set all weights of `network`, whose front end gives log levels over mel bands, in the spirit described above."""
    for name, weight in network.named_parameters():
        if weight.ndim > 1:
            weight.normal_(0, weight.shape[1] ** -0.5)
        if name.endswith(("attention.o.weight", "feed.down.weight")):
            weight.mul_(0.2)
    _project_onto_templates(network, front_end)
    for block in network.decoder.blocks:
        _look_for_like(block.attention, config, sharpness=config.head_width**-0.5, gain=0.3)  # type: ignore[arg-type]
        _look_for_like(block.cross, config, sharpness=0.4, gain=0.5)  # type: ignore[arg-type]
    _name_times_and_pitches(network, config, codec, front_end)


def _project_onto_templates(network: Mt3Network, front_end: SegmentFrontEnd) -> None:
    assert network.projection is not None
    templates = torch.from_numpy(harmonic_templates(front_end)) * _STREAM
    weight = network.projection.weight
    for part in range(front_end.stack):
        rows = slice(part * PITCHES, (part + 1) * PITCHES)
        weight[rows] = 0
        weight[rows, part * front_end.bands : (part + 1) * front_end.bands] = templates


def harmonic_templates(front_end: SegmentFrontEnd) -> NDArray[np.float32]:
    """(88, bands) of unit norm: what is at a pitch's harmonics against what is half way between them."""
    low, high = _mel(front_end.low_hz), _mel(front_end.high_hz)
    bands = np.linspace(low, high, front_end.bands + 2)[1:-1]
    spread = 1.2 * (bands[1] - bands[0])
    templates = np.zeros((PITCHES, front_end.bands))
    for pitch in range(PITCHES):
        base_hz = 440 * 2 ** ((pitch + LOWEST_PITCH - 69) / 12)
        for harmonic in range(1, _HARMONICS + 1):
            for at, weight in ((harmonic - 0.5, -0.5), (harmonic, 1.0), (harmonic + 0.5, -0.5)):
                if at * base_hz <= front_end.high_hz:
                    bell = np.exp(-0.5 * ((bands - _mel(at * base_hz)) / spread) ** 2)
                    templates[pitch] += weight * _FADING ** (harmonic - 1) * bell
        templates[pitch] /= max(np.linalg.norm(templates[pitch]), 1e-9)
    return templates.astype(np.float32)


def _mel(frequency_hz: float) -> float:
    return float(1127 * np.log(1 + frequency_hz / 700))


def _look_for_like(attention: Attention, config: T5Config, sharpness: float, gain: float) -> None:
    same = nn.init.orthogonal_(torch.empty(config.inner, config.width))
    attention.k.weight.copy_(same)
    attention.q.weight.copy_(same * sharpness)
    through = nn.init.orthogonal_(torch.empty(config.inner, config.width))
    attention.v.weight.copy_(through)
    attention.o.weight.copy_(through.t() * gain)


def _name_times_and_pitches(network: Mt3Network, config: T5Config, codec: Codec, front_end: SegmentFrontEnd) -> None:
    embedding, logits = network.decoder.embedding.weight, network.decoder.logits.weight
    embedding.normal_(0, 0.7)
    frames = np.arange(codec.count("shift")) / _STEPS_PER_S * front_end.frames / front_end.segment_s
    first = codec.encode("shift")
    embedding[first : first + len(frames)] = 2 * torch.from_numpy(_position_codes(frames, config))
    for pitch in range(PITCHES):
        token = codec.encode("pitch", pitch + LOWEST_PITCH)
        for part in range(front_end.stack):
            embedding[token, part * PITCHES + pitch] += 4.0
            logits[token, part * PITCHES + pitch] += 0.5


def _position_codes(frames: NDArray[np.float64], config: T5Config) -> NDArray[np.float32]:
    """(n, width) of the table `nets.t5_config.position_table`, also between its rows."""
    half = config.width // 2
    exponents = np.arange(half) / (half - 1 if config.positions == "magenta" else half)
    angles = frames[:, None] * 10_000.0**-exponents
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


@torch.no_grad()
def read_templates(reader: nn.Linear, rows: int) -> None:
    """Let `reader`, whose outputs are (2, rows), begin by calling a pitch what its template hears."""
    reader.weight.mul_(0.1)
    reader.bias.fill_(_RARE)
    for output in (0, rows):
        for pitch in range(PITCHES):
            reader.weight[output + pitch, [pitch, PITCHES + pitch]] = 0.4
