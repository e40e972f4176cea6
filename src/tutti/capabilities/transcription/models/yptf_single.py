"""YPTF+Single: YourMT3 with a Perceiver-TF encoder and one row of tokens (Chang et al., "YourMT3+", MLSP 2024).

Facts, not code.
"""

from __future__ import annotations

from tutti.audio.segment_features import FRONT_ENDS
from tutti.capabilities.transcription.codec import CODECS
from tutti.capabilities.transcription.models.adapter import Adapter, UpstreamNames
from tutti.capabilities.transcription.models.perceiver_config import PerceiverConfig
from tutti.capabilities.transcription.models.ymt3_plus import YMT3_DROPS, YMT3_QUIRKS, YMT3_RENAMES, ymt3_network

__all__ = ["ADAPTER", "BLOCK", "LAYER", "OUR_LAYER", "YPTF_NAMES"]

BLOCK = r"encoder\.blocks\.(\d+)\."
LAYER = BLOCK + r"(local|temporal)_transformer\.(\d+)\."
OUR_LAYER = r"encoder.blocks.\1.\2.\3."

_STEM = r"pre_encoder\.0\.blocks\.(\d+)\."
_CROSS = BLOCK + r"spectral_cross_attention\."
_LINEAR = r"(q|k|v)(?:uery|ey|alue)\.(weight|bias)"

YPTF_NAMES = UpstreamNames(
    renames=(
        (_STEM + r"conv1\.weight", r"stem.blocks.\1.body.0.weight"),
        (_STEM + r"bn1\.(\w+)", r"stem.blocks.\1.body.1.\2"),
        (_STEM + r"conv2\.weight", r"stem.blocks.\1.body.3.weight"),
        (_STEM + r"bn2\.(\w+)", r"stem.blocks.\1.body.4.\2"),
        (_STEM + r"shortcut\.(weight|bias)", r"stem.blocks.\1.shortcut.\2"),
        (r"encoder\.latent_array\.latents", "encoder.latents"),
        (r"encoder\.pos_emb\._pos_emb", "encoder.positions"),
        (_CROSS + r"self\.layernorm1\.(\w+)", r"encoder.blocks.\1.query_norm.\2"),
        (_CROSS + r"self\.layernorm2\.(\w+)", r"encoder.blocks.\1.state_norm.\2"),
        (_CROSS + r"self\." + _LINEAR, r"encoder.blocks.\1.cross.\2.\3"),
        (_CROSS + r"output\.dense\.(\w+)", r"encoder.blocks.\1.cross.o.\2"),
        (LAYER + r"attention\.self\.layernorm1\.(\w+)", OUR_LAYER + r"attention_norm.\4"),
        (LAYER + r"attention\.self\." + _LINEAR, OUR_LAYER + r"attention.\4.\5"),
        (LAYER + r"attention\.output\.dense\.(\w+)", OUR_LAYER + r"attention.o.\4"),
        (LAYER + r"layernorm\.(\w+)", OUR_LAYER + r"feed_norm.\4"),
        (LAYER + r"mlp\.dense1\.(\w+)", OUR_LAYER + r"feed.first.\4"),
        (LAYER + r"mlp\.dense2\.(\w+)", OUR_LAYER + r"feed.second.\4"),
        (r"pre_decoder\.0\.(?:projection_layer|linear)\.weight", "projection.weight"),
        *YMT3_RENAMES,
    ),
    drops=YMT3_DROPS,
    tables=(
        (r"decoder\.decoder\.additive_pe\.weight", "positions"),
        (r"spectrogram\.stft\.window", "window"),
    ),
)

ADAPTER = Adapter(
    codec=CODECS["ymt3"],
    front_end=FRONT_ENDS["yptf"],
    network=ymt3_network(encoder_layers=0),
    perceiver=PerceiverConfig(latents=24),
    notes="ymt3",
    names=YPTF_NAMES,
    quirks=YMT3_QUIRKS,
)
