"""MT3-PyTorch: Magenta's weights in a `.pth` file, run with another position table. Facts about kunato/mt3-pytorch.

The same bytes are offered as `mt3.pth` beside MR-MT3's checkpoints.
"""

from __future__ import annotations

from tutti.audio.segment_features import FRONT_ENDS
from tutti.capabilities.transcription.codec import CODECS
from tutti.capabilities.transcription.models.adapter import Adapter, UpstreamNames
from tutti.capabilities.transcription.models.renaming import decoder_renames, encoder_renames
from tutti.nets.t5_config import T5Config

__all__ = ["ADAPTER", "HUGGING_FACE_NAMES"]

HUGGING_FACE_NAMES = UpstreamNames(
    renames=(
        (r"proj\.weight", "projection.weight"),
        *encoder_renames("encoder", "encoder"),
        *decoder_renames("decoder", "decoder"),
        (r"decoder_embed_tokens\.weight", "decoder.embedding.weight"),
        (r"lm_head\.weight", "decoder.logits.weight"),
    ),
    repeats=(
        (r"encoder\.embed_tokens\.weight", "proj.weight"),
        (r"decoder\.embed_tokens\.weight", "decoder_embed_tokens.weight"),
    ),
    tables=((r"(en|de)coder\.pos_emb\.inv_freq", "position_frequencies"),),
)

ADAPTER = Adapter(
    codec=CODECS["mt3"],
    front_end=FRONT_ENDS["mt3"],
    network=T5Config(vocabulary=CODECS["mt3"].size, positions="stored"),
    zeroes_missing_frames=True,
    notes="mt3",
    names=HUGGING_FACE_NAMES,
    max_tokens=1023,
    quirks=frozenset(
        {"position_table", "no_eos_empties", "allow_list_off_by_one", "float_start", "state_persists", "extra_frame"}
    ),
)
