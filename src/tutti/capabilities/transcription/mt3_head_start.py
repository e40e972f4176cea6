"""Where T5 begins to learn in `tutti-mt3-tiny`: not from noise, but from what is known of the task.

A network of this kind that begins at random spends most of its time finding out that a token of time belongs to a
moment of the sound, and a token of pitch to a pitch that is heard; the published ones saw millions of segments for it.
Here both are written into the first weights, and training goes on from there:

- what the stem hears of a pitch goes to a place of its own in the stream, one where it begins and one where it sounds;
- the embedding of a time is the position code of its state, that of a pitch points where the stem's hearing of it goes,
  and what is decided is read off the same way;
- what asks the states begins as their keys do, so that like looks for like, and comes out as it went in.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tutti.capabilities.transcription.codec import Codec
from tutti.capabilities.transcription.models.mt3_network import Mt3Network
from tutti.capabilities.transcription.models.tutti_notes import LOWEST_PITCH, PITCHES, STEP
from tutti.nets.t5 import Attention
from tutti.nets.t5_config import T5Config

__all__ = ["begin_well"]

_STEPS_PER_S = 100
_BEGINS, _SOUNDS = 3.0, 1.5
"""What a pitch that begins or sounds for sure weighs in the stream, where the position code has 1."""


@torch.no_grad()
def begin_well(network: Mt3Network, config: T5Config, codec: Codec, states_per_s: float) -> None:
    """Set all weights of `network`, which reads `note_stem`'s features, in the spirit described above.

    Its encoder gives `states_per_s` states; `config.width` is at least 176.
    """
    for name, weight in network.named_parameters():
        if weight.ndim > 1:
            weight.normal_(0, weight.shape[1] ** -0.5)
        if name.endswith(("attention.o.weight", "feed.down.weight")):
            weight.mul_(0.2)
    _give_pitches_their_places(network)
    for block in network.decoder.blocks:
        _look_everywhere(block.attention, config)  # type: ignore[arg-type]
        _look_for_like(block.cross, config)  # type: ignore[arg-type]
    _name_times_and_pitches(network, config, codec, states_per_s)


def _give_pitches_their_places(network: Mt3Network) -> None:
    assert network.projection is not None
    weight = network.projection.weight
    places = torch.arange(PITCHES)
    weight[:, : 2 * STEP * PITCHES] = 0
    for frame in range(STEP):
        weight[places, frame * PITCHES + places] = _BEGINS
        weight[PITCHES + places, (STEP + frame) * PITCHES + places] = _SOUNDS / STEP


def _look_everywhere(attention: Attention, config: T5Config) -> None:
    """T5's own beginning; a token that looked for its like would find itself, and learn nothing of the others."""
    attention.q.weight.mul_(config.head_width**-0.5)
    attention.o.weight.normal_(0, 0.5 * config.width**-0.5)


def _look_for_like(attention: Attention, config: T5Config) -> None:
    same = nn.init.orthogonal_(torch.empty(config.inner, config.width))
    attention.k.weight.copy_(same)
    attention.q.weight.copy_(same * 0.4)
    through = nn.init.orthogonal_(torch.empty(config.inner, config.width))
    attention.v.weight.copy_(through)
    attention.o.weight.copy_(through.t() * 0.5)


def _name_times_and_pitches(network: Mt3Network, config: T5Config, codec: Codec, states_per_s: float) -> None:
    embedding, logits = network.decoder.embedding.weight, network.decoder.logits.weight
    embedding.normal_(0, 0.7)
    states = np.arange(codec.count("shift")) / _STEPS_PER_S * states_per_s
    first = codec.encode("shift")
    codes = torch.from_numpy(_position_codes(states, config))
    embedding[first : first + len(states)] = 2 * codes
    logits[first : first + len(states)] += 0.5 * codes
    for pitch in range(PITCHES):
        token = codec.encode("pitch", pitch + LOWEST_PITCH)
        for place in (pitch, PITCHES + pitch):
            embedding[token, place] += 4.0
            logits[token, place] += 0.5


def _position_codes(places: NDArray[np.float64], config: T5Config) -> NDArray[np.float32]:
    """(n, width) of the table `nets.t5_config.position_table`, also between its rows."""
    half = config.width // 2
    exponents = np.arange(half) / (half - 1 if config.positions == "magenta" else half)
    angles = places[:, None] * 10_000.0**-exponents
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
