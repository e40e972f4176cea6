"""Where upstream code does something odd that changes results: every case by name, to be kept or mended.

`faithful` does as upstream does, `corrected` what was meant. The numbers are the rows of the list in
docs/provenance/README.md.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

__all__ = ["QUIRKS", "Quirk", "Variant", "kept_quirks"]

Variant = Literal["faithful", "corrected"]

Quirk = Literal[
    "position_table",  # 1: MT3-PyTorch runs Magenta's weights with frequencies over i/256 instead of i/255
    "no_eos_empties",  # 2: a segment without EOS is emptied
    "allow_list_off_by_one",  # 3: program 127 cannot be banned
    "float_start",  # 4: a segment's start loses a remainder in floating point, 10 ms at times
    "eos_when_second",  # 5: T5X's search with one beam may end a segment though EOS was second
    "first_eos_ignored",  # 6: EOS as the first token does not end a row
    "tieless_segment_dropped",  # 7: no tie before the first shift drops the segment and cuts what rings
    "long_notes_cut",  # 8: notes over 10 s become 10 ms
    "leftovers_cut",  # 9: notes that ring when the file ends last 10 ms
    "state_persists",  # 10: velocity and program carry over from segment to segment
    "extra_frame",  # 11: a length of whole frames gets another, empty one
    "unrounded_cut",  # 13: what no tie continues ends at the segment's first sample, not its first step, if at all
    "grouped_programs",  # 14: MIDI gets one program for each group of instruments, an alto saxophone for singing
]
QUIRKS: tuple[Quirk, ...] = get_args(Quirk)


def kept_quirks(concerned: Collection[Quirk], variant: Variant, except_quirks: Collection[Quirk]) -> frozenset[Quirk]:
    """Those of `concerned` that are kept: all or none by `variant`, `except_quirks` the other way round."""
    kept = {quirk for quirk in concerned if (variant == "faithful") != (quirk in except_quirks)}
    return frozenset(kept)
