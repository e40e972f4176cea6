"""What is fixed about a model of the MT3 family: how it hears, what it writes, and what its files call things.

No framework is imported here: the same constants serve torch, JAX and ONNX.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from tutti.audio.segment_features import SegmentFrontEnd
from tutti.capabilities.transcription.codec import Codec
from tutti.capabilities.transcription.models.perceiver_config import PerceiverConfig
from tutti.capabilities.transcription.quirks import Quirk
from tutti.errors import CardError
from tutti.nets.t5_config import T5Config

__all__ = ["ADAPTERS", "Adapter", "DecodingRule", "NoteRule", "UpstreamNames", "find_adapter"]

DecodingRule = Literal["greedy", "t5x_beam1"]
NoteRule = Literal["mt3", "ismir2021", "ymt3"]

ADAPTERS = (
    "mt3",
    "mt3_ismir2021",
    "mt3_pytorch",
    "mr_mt3",
    "ymt3_plus",
    "yptf_single",
    "yptf_multi",
    "yptf_moe_multi",
)
"""Modules in this folder that hold an `ADAPTER`; a card's [config] names one."""


@dataclass(frozen=True)
class UpstreamNames:
    """How the names in a published file become ours; patterns are regular expressions for whole names."""

    renames: tuple[tuple[str, str], ...]
    """(pattern, our name as a template): the first that matches counts."""
    prefix: str = ""
    """Taken off every name first; names without it are no part of the network (Lightning's own entries)."""
    drops: tuple[str, ...] = ()
    """What the file carries and transcription does not need."""
    repeats: tuple[tuple[str, str], ...] = ()
    """(pattern, template of the name it repeats): the same tensor stored twice, checked for equality."""
    tables: tuple[tuple[str, str], ...] = ()
    """(pattern, which table): what tutti computes, checked against the file within float32's rounding."""
    is_transposed: bool = False
    """Matrices are (in, out), as Flax keeps them."""


@dataclass(frozen=True)
class Adapter:
    """One model of the family."""

    codec: Codec
    front_end: SegmentFrontEnd
    network: T5Config
    notes: NoteRule
    names: UpstreamNames
    decoding: DecodingRule = "greedy"
    max_tokens: int = 1024
    """Tokens a row may have, the starting PAD not counted."""
    perceiver: PerceiverConfig | None = None
    """Set where the encoder is a Perceiver-TF instead of T5's."""
    channels: int = 1
    """Rows of tokens per segment."""
    memory_rows: int = 0
    """Encoder states that remember the segment before (MR-MT3's L_agg)."""
    has_memory: bool = False
    """Whether the file has the memory's layers, used or not."""
    quirks: frozenset[Quirk] = frozenset()
    """The upstream quirks that concern this model."""


def find_adapter(name: str) -> Adapter:
    """The adapter called `name`. Raises CardError listing what there is."""
    if name not in ADAPTERS:
        raise CardError(f"There is no adapter {name!r} for transcription. There is: {', '.join(ADAPTERS)}.")
    adapter: Adapter = import_module(f"tutti.capabilities.transcription.models.{name}").ADAPTER
    return adapter
