"""Foreign names of tensors and ours: what is kept, what must repeat something, what can be computed, what is unknown.

No framework.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tutti.capabilities.transcription.models.adapter import TableName, UpstreamNames

__all__ = ["Renamed", "decoder_renames", "encoder_renames", "rename"]

Renames = tuple[tuple[str, str], ...]

_ATTENTION = r"\.SelfAttention\.([qkvo])\.weight"
_FEED = (("wi_0", "gate"), ("wi_1", "up"), ("wo", "down"))


@dataclass(frozen=True)
class Renamed:
    """What the names in a file stand for. Foreign names are whole, as they stand in the file."""

    weights: dict[str, str] = field(default_factory=dict)
    """Our name → theirs."""
    repeats: dict[str, str] = field(default_factory=dict)
    """Their name → theirs of the tensor that it must equal."""
    tables: dict[str, TableName] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)
    """Names with the prefix that nothing is known of."""


def rename(found: Iterable[str], names: UpstreamNames) -> Renamed:
    """Sort the names `found` in a file by what `names` says of them."""
    result = Renamed()
    for whole in found:
        if whole.startswith(names.prefix):
            _place(result, whole, whole.removeprefix(names.prefix), names)
    return result


def _place(result: Renamed, whole: str, name: str, names: UpstreamNames) -> None:
    if any(re.fullmatch(pattern, name) for pattern in names.drops):
        return
    if (repeated := _translated(name, names.repeats)) is not None:
        result.repeats[whole] = names.prefix + repeated
    elif (table := next((table for pattern, table in names.tables if re.fullmatch(pattern, name)), None)) is not None:
        result.tables[whole] = table
    elif (ours := _translated(name, names.renames)) is not None and ours not in result.weights:
        result.weights[ours] = whole
    else:
        result.strangers.append(whole)


def _translated(name: str, renames: Renames) -> str | None:
    for pattern, template in renames:
        if match := re.fullmatch(pattern, name):
            return match.expand(template)
    return None


def encoder_renames(theirs: str, ours: str) -> Renames:
    """Names within a T5 encoder of Hugging Face's layout: `theirs` and `ours` are the names of the stack itself."""
    block, to = rf"{re.escape(theirs)}\.block\.(\d+)\.layer\.", rf"{ours}.blocks.\1."
    return (
        (rf"{block}0{_ATTENTION}", rf"{to}attention.\2.weight"),
        (rf"{block}0\.layer_norm\.weight", rf"{to}attention_norm.weight"),
        *_feed_renames(f"{block}1", to),
        (rf"{re.escape(theirs)}\.final_layer_norm\.weight", f"{ours}.norm.weight"),
    )


def decoder_renames(theirs: str, ours: str) -> Renames:
    """As `encoder_renames`, of a decoder, without its embedding and logits."""
    block, to = rf"{re.escape(theirs)}\.block\.(\d+)\.layer\.", rf"{ours}.blocks.\1."
    return (
        (rf"{block}0{_ATTENTION}", rf"{to}attention.\2.weight"),
        (rf"{block}0\.layer_norm\.weight", rf"{to}attention_norm.weight"),
        (rf"{block}1\.EncDecAttention\.([qkvo])\.weight", rf"{to}cross.\2.weight"),
        (rf"{block}1\.layer_norm\.weight", rf"{to}cross_norm.weight"),
        *_feed_renames(f"{block}2", to),
        (rf"{re.escape(theirs)}\.final_layer_norm\.weight", f"{ours}.norm.weight"),
    )


def _feed_renames(layer: str, to: str) -> Renames:
    linears = ((rf"{layer}\.DenseReluDense\.{old}\.weight", f"{to}feed.{new}.weight") for old, new in _FEED)
    return (*linears, (rf"{layer}\.layer_norm\.weight", f"{to}feed_norm.weight"))
