"""What is fixed about a model of the MT3 family: how it hears, what it writes, and what its files call things.

No framework is imported here: the same constants serve torch, JAX and ONNX.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib import import_module
from typing import Literal

from tutti.audio.segment_features import BankName, SegmentFrontEnd
from tutti.capabilities.transcription.codec import Codec
from tutti.capabilities.transcription.models.perceiver_config import PerceiverConfig
from tutti.capabilities.transcription.quirks import Quirk
from tutti.errors import CardError, OptionError
from tutti.nets.t5_config import T5Config
from tutti.weights.cards import Card

__all__ = [
    "ADAPTERS",
    "MEL_BANKS",
    "Adapter",
    "DecodingRule",
    "FileSetting",
    "NoteRule",
    "TableName",
    "UpstreamNames",
    "adapter_of",
    "configured",
    "find_adapter",
]

DecodingRule = Literal["greedy", "t5x_beam1", "ordered"]
"""`ordered`: the likeliest token that may follow (`token_order`); a network of our own may be held to its language."""
NoteRule = Literal["mt3", "ismir2021", "ymt3"]
TableName = Literal["position_frequencies", "positions", "window", "mel_bank", "rotary_pixel", "rotary_lang"]
"""What a file may carry although it can be computed."""
FileSetting = Literal["memory_rows", "mel_bank"]
"""What differs between published files of one model, and no tensor tells."""
MEL_BANKS: tuple[BankName, ...] = ("linear_in_mel", "linear_in_hz")

ADAPTERS = (
    "mt3",
    "mt3_ismir2021",
    "mt3_pytorch",
    "mr_mt3",
    "ymt3_plus",
    "yptf_single",
    "yptf_multi",
    "yptf_moe_multi",
    "tutti_mt3_tiny",
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
    tables: tuple[tuple[str, TableName], ...] = ()
    """(pattern, which table): what tutti computes, checked against the file within float32's rounding."""
    transposed: str = ""
    """A pattern: names of matrices that are (in, out), as Flax keeps them."""


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
    zeroes_missing_frames: bool = False
    """Whether frames behind the recording's end are 0, which is no silence; else they are heard as silence."""
    is_projected: bool = True
    """Whether frames pass a linear layer before T5's encoder."""
    has_note_stem: bool = False
    """Whether the network of `tutti-notes` hears the frames first (`note_stem`), and gives a state for two of them."""
    perceiver: PerceiverConfig | None = None
    """Set where the encoder is a Perceiver-TF instead of T5's."""
    channels: int = 1
    """Rows of tokens per segment."""
    memory_rows: int = 0
    """Encoder states that remember the segment before (MR-MT3's L_agg)."""
    has_memory: bool = False
    """Whether the file has the memory's layers, used or not."""
    least_confidence: float = 0.0
    """Notes that the network was less sure of are dropped: upstream's models keep them all."""
    quirks: frozenset[Quirk] = frozenset()
    """The upstream quirks that concern this model."""
    file_settings: tuple[FileSetting, ...] = ()
    """What must be known of a file besides its tensors; `configured` applies it."""


def adapter_of(card: Card) -> Adapter:
    """The adapter that [config] of a card names; a table [config.network] in it changes sizes of the network.

    Raises CardError.
    """
    name, sizes = card.config.get("adapter"), card.config.get("network", {})
    if not isinstance(name, str):
        raise CardError(f"The card of {card.name} names no adapter in [config]. There is: {', '.join(ADAPTERS)}.")
    adapter = find_adapter(name)
    try:
        return replace(adapter, network=replace(adapter.network, **sizes))
    except TypeError as error:
        known = ", ".join(field.name for field in fields(T5Config))
        raise CardError(
            f"In the card of {card.name}, [config.network] has an unknown key. It takes: {known}."
        ) from error


def configured(adapter: Adapter, settings: Mapping[str, str]) -> Adapter:
    """`adapter` for one file, by what its conversion wrote down of it; entries that are no settings are passed over.

    Raises OptionError for a setting that is missing or makes no sense.
    """
    missing = [name for name in adapter.file_settings if name not in settings]
    if missing:
        raise OptionError(
            f"Nothing says {' and '.join(missing)} of this file. Give {' and '.join(map(_option, missing))}."
        )
    if "memory_rows" in adapter.file_settings:
        adapter = replace(adapter, memory_rows=_memory_rows(settings["memory_rows"], adapter.max_tokens + 1))
    if "mel_bank" in adapter.file_settings:
        adapter = replace(adapter, front_end=replace(adapter.front_end, bank=_mel_bank(settings["mel_bank"])))
    return adapter


def _option(setting: FileSetting) -> str:
    return "--" + setting.replace("_", "-")


def _memory_rows(text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= most):
        raise OptionError(f"memory_rows={text!r} is no number of encoder states. Use 0 to {most}.")
    return int(text)


def _mel_bank(text: str) -> BankName:
    for bank in MEL_BANKS:
        if bank == text:
            return bank
    raise OptionError(f"mel_bank={text!r} is unknown. Use {' or '.join(MEL_BANKS)}.")


def find_adapter(name: str) -> Adapter:
    """The adapter called `name`. Raises CardError listing what there is."""
    if name not in ADAPTERS:
        raise CardError(f"There is no adapter {name!r} for transcription. There is: {', '.join(ADAPTERS)}.")
    adapter: Adapter = import_module(f"tutti.capabilities.transcription.models.{name}").ADAPTER
    return adapter
