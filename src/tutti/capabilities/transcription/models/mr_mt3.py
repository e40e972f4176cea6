"""MR-MT3: MT3 that remembers the segment before (Tan et al., "MR-MT3", 2024; gudgud96/MR-MT3, MIT).

No tensor tells how many states of the memory are used, nor which mel bank a file was trained with: the card knows
both of the published files. All of them hear clipped and scaled spectra: the data set that trained them always scales.
"""

from __future__ import annotations

from dataclasses import replace

from tutti.audio.segment_features import FRONT_ENDS
from tutti.capabilities.transcription.codec import CODECS
from tutti.capabilities.transcription.models.adapter import Adapter
from tutti.capabilities.transcription.models.mt3_pytorch import HUGGING_FACE_NAMES
from tutti.capabilities.transcription.models.renaming import encoder_renames
from tutti.nets.t5_config import T5Config

__all__ = ["ADAPTER"]

ADAPTER = Adapter(
    codec=CODECS["mt3"],
    front_end=FRONT_ENDS["mr_mt3"],
    network=T5Config(vocabulary=CODECS["mt3"].size, positions="stored"),
    zeroes_missing_frames=True,
    notes="mt3",
    names=replace(
        HUGGING_FACE_NAMES,
        prefix="model.",
        renames=(
            *HUGGING_FACE_NAMES.renames,
            (r"segmem_proj\.weight", "memory_projection.weight"),
            *encoder_renames("segmem_encoder", "memory"),
        ),
        repeats=(
            *HUGGING_FACE_NAMES.repeats,
            (r"segmem_encoder\.embed_tokens\.weight", "segmem_proj.weight"),
        ),
        tables=((r"(encoder|decoder|segmem_encoder)\.pos_emb\.inv_freq", "position_frequencies"),),
    ),
    max_tokens=1023,
    has_memory=True,
    quirks=frozenset({"no_eos_empties", "allow_list_off_by_one", "float_start", "state_persists", "extra_frame"}),
    file_settings=("memory_rows", "mel_bank"),
)
