"""YPTF+Multi: YPTF with a row of tokens for each of 13 groups of instruments. Facts, not code, as in `yptf_single`."""

from __future__ import annotations

from dataclasses import replace

from tutti.capabilities.transcription.models import yptf_single
from tutti.capabilities.transcription.models.perceiver_config import CHANNEL_NAMES, PerceiverConfig

__all__ = ["ADAPTER"]

ADAPTER = replace(
    yptf_single.ADAPTER,
    perceiver=PerceiverConfig(latents=2 * len(CHANNEL_NAMES)),
    channels=len(CHANNEL_NAMES),
    max_tokens=256,
)
