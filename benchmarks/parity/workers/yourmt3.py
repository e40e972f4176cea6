"""YourMT3's own classes, as mt3-infer carries them, on segments of audio: YMT3+ and the three YPTF models.

Runs in upstream's environment (`yourmt3-requirements.txt`). Beside the checkpoint lies `teacher.npy`, the ids
(n, channels, length) that the decoder reads for `logits`. Segments may be frames (n, frames, features) already: then
all begins behind the front end.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import re
import sys
import time
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio_layers

BATCH = 8
"""Segments at a time, as upstream's demo takes them."""
TABLES = r"^spectrogram\.|additive_pe|rotary_emb.*freqs"
TASKS = {"yptf_multi": "mc13_full_plus_256", "yptf_moe_multi": "mc13_full_plus_256"}
MIXTURE = {  # -sqr 1 -ff moe -wf 4 -nmoe 8 -kmoe 2 -act silu -epe rope -rp 1
    "sca_use_query_residual": True,
    "ff_layer_type": "moe",
    "ff_widening_factor": 4,
    "moe_num_experts": 8,
    "moe_topk": 2,
    "hidden_act": "silu",
    "position_encoding_type": "rope",
    "rope_partial_pe": True,
}
SMALL_STACK = {"d_model": 256, "d_kv": 16, "num_layers": 2}
SMALL_PERCEIVER = dict.fromkeys(("d_latent", "d_latents", "kv_dim", "qk_channels", "v_channels"), 64)
"""What `--small` makes of the sizes, for networks whose weights and answers fit into a test."""


def build(upstream: Path, model: str, *, is_small: bool) -> Any:
    """Upstream's network with the options its demo gives for `model`."""
    if importlib.util.find_spec("torchaudio") is None:
        torchaudio_layers.stand_in()
    for name in ("mt3_infer", "mt3_infer.models"):  # their __init__ would import every other model
        package = types.ModuleType(name)
        package.__path__ = [str(upstream / name.replace(".", "/"))]
        sys.modules[name] = package
    from mt3_infer.models.yourmt3.config import config
    from mt3_infer.models.yourmt3.model.ymt3 import YourMT3
    from mt3_infer.models.yourmt3.utils.task_manager import TaskManager

    audio, network = copy.deepcopy(config.audio_cfg), copy.deepcopy(config.model_cfg)
    if model != "ymt3_plus":
        audio.update(codec="spec", hop_length=300)
        network.update(encoder_type="perceiver-tf")
        network["encoder"]["perceiver-tf"].update(attention_to_channel=True)
    if model in TASKS:
        network.update(decoder_type="multi-t5")
        network["encoder"]["perceiver-tf"].update(num_latents=26)
    if model == "yptf_moe_multi":
        network["encoder"]["perceiver-tf"].update(MIXTURE)
    if is_small:
        audio.update(n_mels=SMALL_STACK["d_model"])
        network.update(conv_out_channels=64)
        network["encoder"]["perceiver-tf"].update(SMALL_PERCEIVER)
        for stack in (network["encoder"]["t5"], *network["decoder"].values()):
            stack.update(SMALL_STACK)
    task = TaskManager(TASKS.get(model, "mt3_full_plus"))
    return YourMT3(audio_cfg=audio, model_cfg=network, shared_cfg=config.shared_cfg, task_manager=task).eval()


def load(network: Any, checkpoint: Path) -> None:
    """All of the file, and nothing else. What upstream can compute stays as upstream computes it: windows, mel banks,
    position and rotary tables are part of what is compared."""
    own = {name: tensor.clone() for name, tensor in network.state_dict().items() if re.search(TABLES, name)}
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    network.load_state_dict(state, strict=True)
    network.load_state_dict(own, strict=False)


def hear(network: Any, segments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (n, frames, features) and what the decoder attends to, (n, [channels,] frames, width)."""
    features = network.spectrogram(segments[:, None]) if segments.ndim == 2 else segments
    states = network.encoder(inputs_embeds=network.pre_encoder(features))["last_hidden_state"]
    return features, network.pre_decoder(states)


def read(network: Any, states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Logits (n, channels, length, ids) as inference computes them."""
    read = tokens if states.ndim == 4 else tokens[:, 0]
    hidden, _ = network.decoder(
        inputs_embeds=network.embed_tokens(read), encoder_hidden_states=states, return_dict=False
    )
    logits = network.lm_head(hidden)
    return logits if states.ndim == 4 else logits[:, None]


def write(network: Any, states: torch.Tensor, most: int) -> torch.Tensor:
    """Tokens (n, channels, length), `most` at most, of upstream's cached greedy loop."""
    from mt3_infer.models.yourmt3.model.t5mod_helper import task_cond_dec_generate

    tokens = task_cond_dec_generate(
        decoder=network.decoder,
        decoder_type=network.decoder_type,
        embed_tokens=network.embed_tokens,
        lm_head=network.lm_head,
        encoder_hidden_states=states,
        shift_right_fn=network.shift_right_fn,
        max_length=min(most, network.max_total_token_length),
    )
    return tokens if tokens.ndim == 3 else tokens[:, None]


def notes_of(network: Any, batches: list[torch.Tensor]) -> np.ndarray:
    """(notes, 6) of one song: onset and offset in seconds, pitch, program, whether a drum, velocity."""
    from mt3_infer.models.yourmt3.utils.event2note import merge_zipped_note_events_and_ties_to_notes
    from mt3_infer.models.yourmt3.utils.note2event import mix_notes

    task, audio = network.task_manager, network.audio_cfg
    segments = sum(map(len, batches))
    starts = [audio["input_frames"] * number / audio["sample_rate"] for number in range(segments)]
    by_channel = []
    for channel in range(batches[0].shape[1]):
        events, *_ = task.detokenize_list_batches([few[:, channel].numpy() for few in batches], starts, True)
        by_channel.append(merge_zipped_note_events_and_ties_to_notes(events)[0])
    # what its MIDI file says of them: drums have no program, and all are equally loud
    rows = [
        (note.onset, note.offset, note.pitch, 0 if note.is_drum else note.program, note.is_drum, 100)
        for note in mix_notes(by_channel)
    ]
    return np.array(rows, np.float64).reshape(-1, 6)


def clocks() -> np.ndarray:
    """Seconds by the wall clock, and of processor time."""
    return np.array([time.perf_counter(), time.process_time()])


def padded(batches: list[torch.Tensor]) -> np.ndarray:
    """(n, channels, length) batches as one array, 0 behind the shorter ones."""
    length = max(batch.shape[-1] for batch in batches)
    return torch.cat([torch.nn.functional.pad(batch, (0, length - batch.shape[-1])) for batch in batches]).numpy()


@torch.inference_mode()
def run(network: Any, segments: torch.Tensor, teacher: torch.Tensor, most: int) -> dict[str, np.ndarray]:
    features, states, logits, tokens, seconds = [], [], [], [], np.zeros(2)
    for begin in range(0, len(segments), BATCH):
        few = slice(begin, begin + BATCH)
        heard, attended = hear(network, segments[few])
        began = clocks()
        tokens.append(write(network, attended, most))
        seconds += clocks() - began
        features.append(heard)
        states.append(attended if attended.ndim == 4 else attended[:, None])
        logits.append(read(network, attended, teacher[few]))
    written = padded(tokens)
    return {
        "features": torch.cat(features).numpy(),
        "states": torch.cat(states).numpy(),
        "logits": torch.cat(logits).numpy(),
        "tokens": written,
        "notes": notes_of(network, tokens),
        "seconds_decode": seconds,
        "tokens_decoded": np.array(np.count_nonzero(written)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", type=Path, required=True, help="a checkout of openmirlab/mt3-infer")
    parser.add_argument("--model", choices=("ymt3_plus", "yptf_single", "yptf_multi", "yptf_moe_multi"), required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--segments", type=Path, required=True, help="(n, 32767) float32")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--most-tokens", type=int, default=1024, help="a row may have, upstream's own limit aside")
    said = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)  # upstream names torch.cuda.amp as it was called once
    network = build(said.upstream, said.model, is_small=said.small)
    load(network, said.checkpoint)
    segments = torch.from_numpy(np.load(said.segments))
    teacher = torch.from_numpy(np.load(said.checkpoint.with_name("teacher.npy")).astype(np.int64))
    np.savez(said.out, **run(network, segments, teacher, said.most_tokens))


if __name__ == "__main__":
    main()
