"""YPTF.MoE+Multi: YPTF+Multi with mixtures of experts and rotary positions. Facts, not code, as in `yptf_single`.

One adapter serves both published checkpoints, trained with and without shifted pitches.
"""

from __future__ import annotations

from dataclasses import replace

from tutti.capabilities.transcription.models import yptf_multi
from tutti.capabilities.transcription.models.perceiver_config import CHANNEL_NAMES, PerceiverConfig
from tutti.capabilities.transcription.models.yptf_single import BLOCK, LAYER, OUR_LAYER, YPTF_NAMES

__all__ = ["ADAPTER"]

_EXPERT = LAYER + r"mlp\.experts\.(\d+)\."
_OUR_EXPERT = OUR_LAYER + r"feed.experts.\4."

ADAPTER = replace(
    yptf_multi.ADAPTER,
    perceiver=PerceiverConfig(latents=2 * len(CHANNEL_NAMES), experts=8),
    names=replace(
        YPTF_NAMES,
        renames=(
            *YPTF_NAMES.renames,
            (LAYER + r"mlp\.gate\.weight", OUR_LAYER + "feed.router.weight"),
            (_EXPERT + r"w1\.weight", _OUR_EXPERT + "gate.weight"),
            (_EXPERT + r"gate\.weight", _OUR_EXPERT + "up.weight"),
            (_EXPERT + r"w2\.weight", _OUR_EXPERT + "down.weight"),
        ),
        repeats=(
            (BLOCK + r"spectral_cross_attention\.self\.rotary_emb\.freqs", "encoder.rotary_emb_sca.freqs"),
            (BLOCK + r"local_transformer\.\d+\.attention\.self\.rotary_emb\.freqs", "encoder.rotary_emb_latent.freqs"),
            (
                BLOCK + r"temporal_transformer\.\d+\.attention\.self\.rotary_emb\.freqs",
                "encoder.rotary_emb_temporal.freqs",
            ),
        ),
        tables=(
            *YPTF_NAMES.tables,
            (r"encoder\.rotary_emb_(sca|latent)\.freqs", "rotary_pixel"),
            (r"encoder\.rotary_emb_temporal\.freqs", "rotary_lang"),
        ),
    ),
)
