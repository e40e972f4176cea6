"""MT3-PyTorch's own code on segments of audio: its spectrograms, its network, its loop of five segments, its notes.

Runs in upstream's environment (`mt3-requirements.txt`). Beside the checkpoint, which must be called mt3.pth, lie
upstream's `config.json` and `teacher.npy`, the ids (n, 1, length) that the decoder reads for `logits`.
"""

from __future__ import annotations

import argparse
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

BATCH = 5


def stand_in() -> None:
    """Modules that upstream imports and does not use here: a pitch tracker, and T5's data sets for one constant."""
    sys.modules["crepe"] = types.ModuleType("crepe")
    data = types.ModuleType("t5.data")
    data.DEFAULT_EXTRA_IDS = 100
    sys.modules["t5"] = types.ModuleType("t5")
    sys.modules["t5"].data = data
    sys.modules["t5.data"] = data


def set_bands(spectrograms: Any, bands: int) -> None:
    """Small networks hear fewer mel bands than upstream's default."""
    spectrograms.SpectrogramConfig.num_mel_bins = bands
    spectrograms.SpectrogramConfig.__init__.__defaults__ = tuple(
        bands if value == spectrograms.DEFAULT_NUM_MEL_BINS else value
        for value in spectrograms.SpectrogramConfig.__init__.__defaults__
    )


def clocks() -> np.ndarray:
    """Seconds by the wall clock, and of processor time."""
    return np.array([time.perf_counter(), time.process_time()])


def note_rows(sequence: Any) -> np.ndarray:
    """(notes, 6): onset and offset in seconds, pitch, program, whether a drum, velocity."""
    rows = [(n.start_time, n.end_time, n.pitch, n.program, n.is_drum, n.velocity) for n in sequence.notes]
    return np.array(rows, np.float64).reshape(-1, 6)


def padded(batches: list[torch.Tensor]) -> np.ndarray:
    """(n, 1, length) of token batches (n, length), 0 behind the shorter ones and no 0 before."""
    length = max(batch.shape[1] for batch in batches)
    joined = torch.cat([torch.nn.functional.pad(batch, (0, length - batch.shape[1])) for batch in batches])
    return joined[:, None, 1:].numpy()


@torch.no_grad()
def run(handler: Any, audio: np.ndarray, teacher: torch.Tensor) -> dict[str, np.ndarray]:
    model = handler.model
    features, frame_times = handler._preprocess(audio)
    inputs, times = handler._batching(torch.from_numpy(features).float(), frame_times, BATCH)
    tokens, seconds = [], np.zeros(2)
    for batch in inputs:
        began = clocks()
        answer = model.generate(
            inputs=batch,
            max_length=1024,
            num_beams=1,
            do_sample=False,
            length_penalty=0.4,
            eos_token_id=model.config.eos_token_id,
            early_stopping=False,
            bad_words_ids=None,
        )
        seconds += clocks() - began
        tokens.append(answer)
    answers = [read(model, *few) for few in zip(inputs, teacher.split(BATCH), strict=True)]
    states, logits = (torch.cat(parts) for parts in zip(*answers, strict=True))
    notes = handler._to_event([handler._postprocess_batch(batch) for batch in tokens], times)
    return {
        "features": features.astype(np.float32),
        "states": states[:, None].numpy(),
        "logits": logits[:, None].numpy(),
        "tokens": padded(tokens),
        "notes": note_rows(notes),
        "seconds_decode": seconds,
        "tokens_decoded": np.array(sum(int((batch[:, 1:] != 0).sum()) for batch in tokens)),
    }


def read(model: Any, inputs: torch.Tensor, teacher: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """States and logits of a batch, whole sequences at once."""
    answer = model(inputs=inputs, decoder_input_ids=teacher[:, 0], use_cache=False, return_dict=True)
    return answer.encoder_last_hidden_state, answer.logits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", type=Path, required=True, help="a checkout of kunato/mt3-pytorch")
    parser.add_argument("--model", choices=("mt3_pytorch",), required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--segments", type=Path, required=True, help="(n, 32768) float32, ending with 0")
    parser.add_argument("--out", type=Path, required=True)
    said = parser.parse_args()
    stand_in()
    sys.path.insert(0, str(said.upstream))
    from contrib import spectrograms
    from inference import InferenceHandler

    handler = InferenceHandler(str(said.checkpoint.parent), device=torch.device("cpu"))
    set_bands(spectrograms, handler.model.config.d_model)
    handler.spectrogram_config = spectrograms.SpectrogramConfig()
    segments = np.load(said.segments)
    teacher = torch.from_numpy(np.load(said.checkpoint.with_name("teacher.npy")).astype(np.int64))
    # a length of whole frames would get another segment of nothing
    np.savez(said.out, **run(handler, segments.reshape(-1)[:-1], teacher))


if __name__ == "__main__":
    main()
