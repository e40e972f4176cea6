"""Magenta's `ismir2021`: piano with velocities, segments twice as long, no ties (Hawthorne et al., ISMIR 2021)."""

from __future__ import annotations

from dataclasses import replace

from tutti.audio.segment_features import FRONT_ENDS
from tutti.capabilities.transcription.codec import CODECS
from tutti.capabilities.transcription.models.adapter import Adapter
from tutti.capabilities.transcription.models.mt3 import T5X_NAMES
from tutti.nets.t5_config import T5Config

__all__ = ["ADAPTER"]

ADAPTER = Adapter(
    codec=CODECS["ismir2021"],
    front_end=replace(FRONT_ENDS["mt3"], segment_samples=65_536),
    network=T5Config(vocabulary=CODECS["ismir2021"].size, positions="magenta"),
    zeroes_missing_frames=True,
    notes="ismir2021",
    names=T5X_NAMES,
    decoding="t5x_beam1",
    quirks=frozenset({"float_start", "eos_when_second", "state_persists", "extra_frame"}),
)
