"""Magenta's `mt3`: many instruments, no velocities (Gardner et al., "MT3", ICLR 2022). A T5X directory.

Facts from magenta/mt3 and google-research/t5x (Apache-2.0).
"""

from __future__ import annotations

from tutti.audio.segment_features import FRONT_ENDS
from tutti.capabilities.transcription.codec import CODECS
from tutti.capabilities.transcription.models.adapter import Adapter, UpstreamNames
from tutti.nets.t5_config import T5Config

__all__ = ["ADAPTER", "T5X_NAMES"]

_LAYER = r"coder\.layers_(\d+)\."
_TO = r"coder.blocks.\2."
_LETTERS = (("query", "q"), ("key", "k"), ("value", "v"), ("out", "o"))
_FEED = (("wi_0", "gate"), ("wi_1", "up"), ("wo", "down"))

T5X_NAMES = UpstreamNames(
    prefix="target.",
    transposed=r".*\.kernel",
    renames=(
        (r"encoder\.continuous_inputs_projection\.kernel", "projection.weight"),
        *(
            (rf"(en|de){_LAYER}(?:self_)?attention\.{old}\.kernel", rf"\1{_TO}attention.{new}.weight")
            for old, new in _LETTERS
        ),
        *(
            (rf"(de){_LAYER}encoder_decoder_attention\.{old}\.kernel", rf"\1{_TO}cross.{new}.weight")
            for old, new in _LETTERS
        ),
        *((rf"(en|de){_LAYER}mlp\.{old}\.kernel", rf"\1{_TO}feed.{new}.weight") for old, new in _FEED),
        (rf"(en|de){_LAYER}pre_(?:self_)?attention_layer_norm\.scale", rf"\1{_TO}attention_norm.weight"),
        (rf"(de){_LAYER}pre_cross_attention_layer_norm\.scale", rf"\1{_TO}cross_norm.weight"),
        (rf"(en|de){_LAYER}pre_mlp_layer_norm\.scale", rf"\1{_TO}feed_norm.weight"),
        (r"(en|de)coder\.(?:en|de)coder_norm\.scale", r"\1coder.norm.weight"),
        (r"decoder\.token_embedder\.embedding", "decoder.embedding.weight"),
        (r"decoder\.logits_dense\.kernel", "decoder.logits.weight"),
    ),
)
"""How T5X calls the parts of the network."""

ADAPTER = Adapter(
    codec=CODECS["mt3"],
    front_end=FRONT_ENDS["mt3"],
    network=T5Config(vocabulary=CODECS["mt3"].size, positions="magenta"),
    zeroes_missing_frames=True,
    notes="mt3",
    names=T5X_NAMES,
    decoding="t5x_beam1",
    quirks=frozenset({"float_start", "eos_when_second", "state_persists", "extra_frame"}),
)
