"""MR-MT3's own code on segments of audio: its spectrograms, its network with memory, its loop without cache, its notes.

Runs in upstream's environment (`mt3-requirements.txt`). Beside the Lightning checkpoint lie `config.json`, upstream's
with `segmem_length`, the number of states kept of the memory, and `use_tf_spectral_ops`, which mel bank is used; and
`teacher.npy`, the ids (n, 1, length) that the decoder reads for `logits`. Each row of it is also what the memory reads
for the segment after it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mt3_pytorch import clocks, note_rows, set_bands, stand_in

REMEMBERED = 1024
TIE = 1134


def build(checkpoint: Path, config: dict[str, Any]) -> Any:
    from models.t5_segmem_v2_with_prev import T5SegMemV2WithPrev
    from transformers import T5Config

    model = T5SegMemV2WithPrev(T5Config.from_dict(config), segmem_num_layers=1, segmem_length=config["segmem_length"])
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    model.load_state_dict({name.removeprefix("model."): tensor for name, tensor in state.items()}, strict=True)
    return model.eval()


@torch.no_grad()
def run(handler: Any, segments: np.ndarray, teacher: torch.Tensor, songs: list[int]) -> dict[str, np.ndarray]:
    model = handler.model
    features, tokens, notes, seconds = [], [], [], np.zeros(2)
    for song in np.split(segments, np.cumsum(songs)[:-1]):
        with contextlib.redirect_stdout(io.StringIO()):  # upstream prints every segment
            # a length of whole frames would get another segment of nothing
            heard, frame_times = handler._preprocess(song.reshape(-1)[:-1])
            began = clocks()
            written = model.generate(inputs=torch.from_numpy(heard).float(), max_length=1024)
            seconds += clocks() - began
        features.append(heard)
        tokens.append(written)
        notes.append(note_rows(handler._to_event([handler._postprocess_batch(written)], [frame_times])))
    heard, written = np.concatenate(features).astype(np.float32), torch.cat(tokens)
    rows = zip(torch.from_numpy(heard), before(teacher), teacher, strict=True)
    answers = [read(model, row[None], *given) for row, *given in rows]
    states, logits = (torch.cat(parts) for parts in zip(*answers, strict=True))
    return {
        "features": heard,
        "states": states[:, None].numpy(),
        "logits": logits[:, None].numpy(),
        "tokens": written[:, None, 1:].numpy(),
        "notes": np.concatenate(notes),
        "seconds_decode": seconds,
        "tokens_decoded": np.array(int((written[:, 1:] != 0).sum())),
    }


def before(teacher: torch.Tensor) -> torch.Tensor:
    """(n, 1024): what was written of the segment before each, as if the teacher had written it."""
    previous = torch.zeros(len(teacher), REMEMBERED, dtype=torch.long)
    previous[0, :2] = torch.tensor([TIE, 1])
    previous[1:, : teacher.shape[2]] = teacher[:-1, 0]
    return previous


def read(
    model: Any, row: torch.Tensor, previous: torch.Tensor, teacher: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """States with the memory's, and logits, of one segment."""
    kept = []
    hook = model.decoder.register_forward_pre_hook(
        lambda _, __, given: kept.append(given["encoder_hidden_states"]), with_kwargs=True
    )
    logits = model(inputs=row, decoder_input_ids=teacher, targets_prev=previous[None], use_cache=False)
    hook.remove()
    return kept[0], logits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", type=Path, required=True, help="a checkout of gudgud96/MR-MT3")
    parser.add_argument("--model", choices=("mr_mt3",), required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--segments", type=Path, required=True, help="(n, 32768) float32, a song ends with 0")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--songs", type=int, nargs="+", help="segments of each recording (default: all are of one)")
    said = parser.parse_args()
    stand_in()
    sys.path.insert(0, str(said.upstream))
    from contrib import spectrograms
    from inference import InferenceHandler

    config = json.loads(said.checkpoint.with_name("config.json").read_text())
    set_bands(spectrograms, config["d_model"])
    handler = InferenceHandler(
        model=build(said.checkpoint, config),
        device=torch.device("cpu"),
        contiguous_inference=True,
        use_tf_spectral_ops=config["use_tf_spectral_ops"],
    )
    segments = np.load(said.segments)
    teacher = torch.from_numpy(np.load(said.checkpoint.with_name("teacher.npy")).astype(np.int64))
    np.savez(said.out, **run(handler, segments, teacher, said.songs or [len(segments)]))


if __name__ == "__main__":
    main()
