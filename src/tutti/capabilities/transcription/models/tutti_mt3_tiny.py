"""`tutti-mt3-tiny`: an MT3 of this repository's own training, small enough to ship.

MT3's vocabulary, spectrogram, network and way of decoding; fewer and narrower layers, frames in pairs, none of the
quirks, and a stem in front of T5's encoder that hears notes (`note_stem`).
"""

from __future__ import annotations

from dataclasses import replace

from tutti.audio.segment_features import FRONT_ENDS
from tutti.capabilities.transcription.codec import CODECS
from tutti.capabilities.transcription.models.adapter import Adapter, UpstreamNames
from tutti.nets.t5_config import T5Config

__all__ = ["ADAPTER"]

ADAPTER = Adapter(
    codec=CODECS["mt3"],
    front_end=replace(FRONT_ENDS["mt3"], scaling="clip", stack=2),
    network=T5Config(width=192, heads=3, feed_forward=448, encoder_layers=2, decoder_layers=3, choices=16),
    notes="mt3",
    has_note_stem=True,
    names=UpstreamNames(renames=()),
    decoding="ordered",
    max_tokens=768,
    least_confidence=0.15,  # the best of nine on rendered piano; see docs/experiments/mt3.md
)
