"""YMT3+: YourMT3 with T5's own encoder on mel frames (Chang et al., "YourMT3+", MLSP 2024). Facts, not code."""

from __future__ import annotations

from tutti.audio.segment_features import FRONT_ENDS
from tutti.capabilities.transcription.codec import CODECS
from tutti.capabilities.transcription.models.adapter import Adapter, UpstreamNames
from tutti.capabilities.transcription.models.renaming import decoder_renames, encoder_renames
from tutti.capabilities.transcription.quirks import Quirk
from tutti.nets.t5_config import T5Config

__all__ = ["ADAPTER", "YMT3_DROPS", "YMT3_QUIRKS", "YMT3_RENAMES", "ymt3_network"]

YMT3_RENAMES = (
    *decoder_renames("decoder.decoder", "decoder"),
    (r"embed_tokens\.weight", "decoder.embedding.weight"),
    (r"lm_head\.lm_head\.weight", "decoder.logits.weight"),
)
"""What all YourMT3 models call their decoder."""
YMT3_DROPS = (r".*pitchshift.*",)
"""Buffers that change the pitch of training data."""
YMT3_QUIRKS: frozenset[Quirk] = frozenset(
    {
        "first_eos_ignored",
        "tieless_segment_dropped",
        "long_notes_cut",
        "leftovers_cut",
        "unrounded_cut",
        "grouped_programs",
    }
)


def ymt3_network(encoder_layers: int) -> T5Config:
    """The T5 of all YourMT3 models. It scales what becomes logits once; it was trained with scaling it twice."""
    width = 512
    return T5Config(
        vocabulary=CODECS["ymt3"].size,
        width=width,
        encoder_layers=encoder_layers,
        positions="stored",
        logit_scale=width**-0.5,
        probability_scale=width**-0.5,
    )


ADAPTER = Adapter(
    codec=CODECS["ymt3"],
    front_end=FRONT_ENDS["ymt3_plus"],
    network=ymt3_network(encoder_layers=8),
    notes="ymt3",
    names=UpstreamNames(
        renames=(*encoder_renames("encoder.encoder", "encoder"), *YMT3_RENAMES),
        drops=YMT3_DROPS,
        tables=(
            (r"(encoder\.encoder|decoder\.decoder)\.additive_pe\.weight", "positions"),
            (r"spectrogram\.mel_stft\.spectrogram\.window", "window"),
            (r"spectrogram\.mel_stft\.mel_scale\.fb", "mel_bank"),
        ),
    ),
    is_projected=False,
    quirks=YMT3_QUIRKS,
)
