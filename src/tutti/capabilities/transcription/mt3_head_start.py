"""Where T5 begins to learn in `tutti-mt3-tiny`: not from noise, but wired for what is known of the task.

A network of this kind that begins at random spends most of its time finding out that a token of time belongs to a
moment of the sound, and a token of pitch to a pitch that is heard; the published ones saw millions of segments for it.
Here it begins as somebody who writes notes down one after the other, and training goes on from there:

- the decoder's first layer finds the last token of time, and copies the time to where all layers look for it;
- each layer asks the states around that time: one head which pitches begin there, one what it learns to ask, and one,
  a step later, when the next note begins or ends, which the stem has worked out (`next_events`);
- what comes back lies where the logits of times and of pitches read it.

For this the stream is divided: position codes fill its first columns of sines and of cosines fastest, and the slow ones
further on, which hardly change within a segment, are free to hold something else.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tutti.capabilities.transcription.codec import Codec, EventKind
from tutti.capabilities.transcription.models.mt3_network import Mt3Network
from tutti.capabilities.transcription.models.next_events import NEXT_FEATURES, time_codes
from tutti.capabilities.transcription.models.note_stem import NOTE_FEATURES
from tutti.capabilities.transcription.models.tutti_notes import LOWEST_PITCH, PITCHES, STEP
from tutti.nets.t5 import Attention
from tutti.nets.t5_config import T5Config

__all__ = ["begin_well"]

_STEPS_PER_S = 100
_TIMES = 16
"""Frequencies that a time is matched by; each takes a sine's and a cosine's column."""
_RECENT = range(8, 36)
"""Of the position codes, those by which a token tells how far back another is: waves of 13 to 190 tokens."""
_KINDS: tuple[EventKind, ...] = ("shift", "velocity", "program")
_FOUND, _SOONER = 25.0, 1.5
"""How much a token's kind and a state's time weigh in attention."""
_BEGINS, _SOUNDS, _NEXT = 3.0, 1.0, 2.0
"""What weigh, in the stream, a pitch that begins or sounds for sure and a time, where a position code has 1."""


class _Columns:
    """Which columns of the stream hold what. Those of sines come first, then those of cosines."""

    def __init__(self, width: int) -> None:
        half = width // 2

        def pairs(numbers: range) -> list[int]:
            return [*numbers, *(half + number for number in numbers)]

        self.matched = range(0, 3 * _TIMES, 3)
        self.positions = pairs(self.matched)
        """Position codes of states that a time is matched with: nothing else is written there."""
        self.recent = pairs(_RECENT)
        self.now = pairs(range(48, 48 + _TIMES))
        """In the decoder the time it has come to; in the encoder when the next note ends."""
        self.next = pairs(range(64, 64 + _TIMES))
        """When the next note begins."""
        self.kinds = dict(zip(_KINDS, range(90, 90 + len(_KINDS)), strict=True))
        self.always = width - 1
        """The slowest cosine, near 1 at all positions."""
        taken = {*self.positions, *self.now, *self.next, *self.kinds.values(), half - 1, self.always}
        self.free = [column for column in range(width) if column not in taken]
        self.pitches = self.free[:PITCHES]
        self.ones = range(half + 48, width - 1)
        """Cosines so slow that they are near 1 at all positions; what else they hold is read less that."""


@torch.no_grad()
def begin_well(network: Mt3Network, config: T5Config, codec: Codec, states_per_s: float) -> None:
    """Set all weights of `network`, which reads `note_stem`'s features, in the spirit described above.

    Its encoder gives `states_per_s` states; `config` has a width of 192 or more and at least three heads, 64 wide.
    """
    columns = _Columns(config.width)
    for name, weight in network.named_parameters():
        if weight.ndim > 1:
            weight.normal_(0, weight.shape[1] ** -0.5)
        if name.endswith(("attention.o.weight", "feed.down.weight")):
            weight.mul_(0.2)
        if name.endswith("attention.q.weight"):
            weight.mul_(config.head_width**-0.5)
    _give_what_is_heard_its_place(network, columns)
    _name_tokens(network, columns, codec, states_per_s)
    _look_back(network.decoder.blocks[0].attention, columns, config)  # type: ignore[arg-type]
    basis = nn.init.orthogonal_(torch.empty(PITCHES, PITCHES))
    for number, block in enumerate(network.decoder.blocks):
        seen = basis.roll(-number * PITCHES // 2, 0)[: config.head_width]
        _ask_the_states(block.cross, columns, config, seen, number)  # type: ignore[arg-type]


def _give_what_is_heard_its_place(network: Mt3Network, columns: _Columns) -> None:
    assert network.projection is not None
    weight = network.projection.weight
    weight[columns.positions] = 0
    weight[columns.next] = 0
    weight[columns.now] = 0
    weight[:, : STEP * PITCHES] = 0
    for frame in range(STEP):
        weight[columns.pitches, range(frame * PITCHES, (frame + 1) * PITCHES)] = _BEGINS
    weight[:, STEP * PITCHES : 2 * STEP * PITCHES] = 0
    spread = torch.randn(len(columns.free), PITCHES) * _SOUNDS / STEP * len(columns.free) ** -0.5
    weight[columns.free, STEP * PITCHES : 2 * STEP * PITCHES] = spread.repeat(1, STEP)
    weight[:, NOTE_FEATURES:] = 0
    codes = NEXT_FEATURES // 2
    weight[columns.next, range(NOTE_FEATURES, NOTE_FEATURES + codes)] = _NEXT
    weight[columns.now, range(NOTE_FEATURES + codes, NOTE_FEATURES + 2 * codes)] = _NEXT
    for name, part in network.encoder.named_parameters():
        if name.endswith(("attention.o.weight", "feed.down.weight")):
            part[columns.positions + columns.next] *= 0.1


def _name_tokens(network: Mt3Network, columns: _Columns, codec: Codec, states_per_s: float) -> None:
    embedding, logits = network.decoder.embedding.weight, network.decoder.logits.weight
    embedding.normal_(0, 0.5)
    logits.mul_(0.5)
    embedding[:, columns.now + columns.next] *= 0.2
    embedding[:, columns.ones] -= 1
    embedding[:, list(columns.kinds.values())] = 0
    for kind, column in columns.kinds.items():
        first = codec.encode(kind)
        embedding[first : first + codec.count(kind), column] = 4
    states = np.arange(codec.count("shift")) / _STEPS_PER_S * states_per_s
    times = slice(codec.encode("shift"), codec.encode("shift") + len(states))
    embedding[times, columns.now] += _NEXT * torch.from_numpy(_codes_of_positions(states, columns, network))
    logits[times, columns.next] += 0.5 * torch.from_numpy(time_codes(states))
    pitches = [codec.encode("pitch", pitch + LOWEST_PITCH) for pitch in range(PITCHES)]
    embedding[pitches, columns.pitches] -= _BEGINS  # what is written need not be written again
    logits[pitches, columns.pitches] += 1.0


def _look_back(attention: Attention, columns: _Columns, config: T5Config) -> None:
    """First head: the last time; second: the last program; others: the last tokens, whatever they are."""
    q, k, v, o = (part.weight for part in (attention.q, attention.k, attention.v, attention.o))
    o.mul_(2.5)  # against the small beginning of all others: these have something to say
    for head in range(config.heads):
        first = head * config.head_width
        q[first : first + config.head_width] = 0
        k[first : first + config.head_width] = 0
        rows = range(first, first + len(columns.recent))
        q[rows, columns.recent] = 1
        k[rows, columns.recent] = 1
    for head, kind in enumerate(("shift", "program")):
        row = head * config.head_width + len(columns.recent)
        q[row, columns.always] = _FOUND
        k[row, columns.kinds[kind]] = 1  # type: ignore[index]
    _pass_on(v, o, 0, config.head_width, columns.now, columns.now, 1.0)
    o[columns.now, config.head_width :] *= 0.1
    o[columns.next] *= 0.1


def _ask_the_states(attention: Attention, columns: _Columns, config: T5Config, seen: Tensor, number: int) -> None:
    """`seen` (n, PITCHES) are the mixtures of pitches that the first head of this layer, the `number`th, brings."""
    q, k, v, o = (part.weight for part in (attention.q, attention.k, attention.v, attention.o))
    q.normal_(0, 0.02)
    k.normal_(0, 0.02)
    v.mul_(0.3)
    o.mul_(0.2)
    asks_next = config.heads - 1
    sines, cosines = columns.now[:_TIMES], columns.now[_TIMES:]
    for head in range(config.heads):
        first = head * config.head_width
        rows = range(first, first + 2 * _TIMES)
        later = torch.from_numpy(_frequencies(columns, config.width)) * (1.0 if head == asks_next else 0.0)
        turn, lift = _SOONER * later.cos().float(), _SOONER * later.sin().float()
        q[rows[:_TIMES], sines] += turn
        q[rows[:_TIMES], cosines] += lift
        q[rows[_TIMES:], cosines] += turn
        q[rows[_TIMES:], sines] -= lift
        k[rows, columns.positions] += 1
    o[columns.now] *= 0.1
    o[columns.next] *= 0.1
    v[: config.head_width] = 0
    o[:, : config.head_width] = 0
    v[: len(seen), columns.pitches] = seen
    o[columns.pitches, : len(seen)] = 3.0 * seen.t()
    begins_or_ends, loud = (columns.next, 0.6) if number != 1 else (columns.now, 0.2)
    _pass_on(v, o, asks_next * config.head_width, config.head_width, begins_or_ends, columns.next, loud)
    for head in (0, asks_next):
        own = slice(head * config.head_width, (head + 1) * config.head_width)
        v[own, columns.always] -= v[own, columns.ones].sum(1)


def _pass_on(v: Tensor, o: Tensor, first: int, width: int, read: list[int], written: list[int], loud: float) -> None:
    """Let the head whose rows begin at `first` do nothing but copy columns."""
    v[first : first + width] = 0
    o[:, first : first + width] = 0
    rows = range(first, first + len(read))
    v[rows, read] = 1
    o[written, rows] = loud


def _frequencies(columns: _Columns, width: int) -> NDArray[np.float64]:
    """Radians per state of the position codes that are matched; see `nets.t5_config.position_table`, "magenta"."""
    exponents: NDArray[np.float64] = np.array(columns.matched) / (width // 2 - 1)
    return 10_000.0**-exponents


def _codes_of_positions(states: NDArray[np.float64], columns: _Columns, network: Mt3Network) -> NDArray[np.float32]:
    """(n, 2 · _TIMES) of the matched columns of the position table, also between its rows."""
    angles = states[:, None] * _frequencies(columns, network.decoder.config.width)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
