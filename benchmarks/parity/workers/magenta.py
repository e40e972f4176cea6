"""Magenta's own MT3 on segments of audio: spectrograms of TensorFlow, a Flax network, T5X's beam search, its notes.

Runs in upstream's environment (`mt3-requirements.txt`). `mt3` and `t5x` are imported file by file: their packages would
import all that training needs. The glue between network and search, which T5X keeps in its `models.py`, is written
anew here. Beside the checkpoint, a T5X directory, lie `config.json` with the sizes and `teacher.npy`, the ids
(n, 1, length) that the decoder reads for `logits`.
"""

from __future__ import annotations

import argparse
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import tensorstore
from mt3_pytorch import clocks, note_rows, set_bands, stand_in

BATCH, MOST_TOKENS = 8, 1024
EOS = 1


def import_from(checkouts: list[Path]) -> None:
    """Make `mt3` and `t5x` packages of which only the files that are asked for are imported."""
    for name, checkout in zip(("mt3", "t5x"), checkouts, strict=True):
        package = types.ModuleType(name)
        package.__path__ = [str(checkout / name)]
        sys.modules[name] = package


def read_checkpoint(folder: Path) -> Any:
    """The parameters, by Flax's own reader of msgpack and TensorStore's of zarr."""
    tree = flax.serialization.msgpack_restore((folder / "checkpoint").read_bytes())

    def load(leaf: Any) -> Any:
        if isinstance(leaf, dict) and "driver" in leaf:
            place = {"driver": "file", "path": str(folder / leaf["kvstore"]["path"])}
            return jnp.asarray(tensorstore.open({"driver": "zarr", "kvstore": place}).result().read().result())
        return {name: load(part) for name, part in leaf.items()} if isinstance(leaf, dict) else jnp.asarray(leaf)

    return load(tree["optimizer"]["target"])


def searching(module: Any, params: Any) -> Callable[[Any], Any]:
    """Frames (BATCH, frames, features) to tokens (BATCH, 1024) as T5X's predict_batch does, compiled."""
    from t5x import decoding

    def search(frames: Any) -> Any:
        nothing = jnp.zeros((len(frames), MOST_TOKENS), jnp.int32)
        encoded = module.apply({"params": params}, frames, enable_dropout=False, method=module.encode)
        _, empty = module.apply(
            {"params": params},
            encoder_input_tokens=jnp.ones_like(frames),
            decoder_input_tokens=jnp.ones_like(nothing),
            decoder_target_tokens=jnp.ones_like(nothing),
            mutable=["cache"],
            decode=True,
            enable_dropout=False,
        )

        def step(state: Any) -> Any:
            logits, kept = module.apply(
                {"params": params, "cache": state.cache},
                encoded,
                frames,
                state.cur_token,
                state.cur_token,
                enable_dropout=False,
                decode=True,
                max_decode_length=MOST_TOKENS,
                mutable=["cache"],
                method=module.decode,
            )
            return logits[:, 0], kept["cache"]

        found, _ = decoding.beam_search(nothing, empty["cache"], step, eos_id=EOS, num_decodes=1, alpha=0.6)
        return found[:, -1]

    return jax.jit(search)


def hear(segments: np.ndarray, config: Any) -> np.ndarray:
    from mt3 import spectrograms

    return np.stack([spectrograms.compute_spectrogram(segment, config).numpy() for segment in segments])


def read(module: Any, params: Any, frames: np.ndarray, teacher: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States and logits, whole sequences at once. Targets are only asked which of them are padding: none."""
    ones = np.ones_like(teacher)
    states = module.apply({"params": params}, frames, enable_dropout=False, method=module.encode)
    logits = module.apply({"params": params}, frames, teacher, ones, enable_dropout=False)
    return np.asarray(states), np.asarray(logits)


def notes_of(tokens: np.ndarray, frames_per_segment: int, frames_per_second: float) -> np.ndarray:
    from mt3 import metrics_utils, note_sequences, vocabularies

    codec = vocabularies.build_codec(vocabularies.VocabularyConfig(num_velocity_bins=1))
    vocabulary = vocabularies.vocabulary_from_codec(codec)
    times = np.arange(len(tokens) * frames_per_segment) / frames_per_second
    predictions = []
    for row, start in zip(vocabulary.decode_tf(tokens).numpy(), times[::frames_per_segment], strict=True):
        ended = np.flatnonzero(row == vocabularies.DECODED_EOS_ID)
        start -= start % (1 / codec.steps_per_second)
        predictions.append(
            {"est_tokens": row[: ended[0]] if len(ended) else row, "start_time": start, "raw_inputs": []}
        )
    combined = metrics_utils.event_predictions_to_ns(predictions, codec, note_sequences.NoteEncodingWithTiesSpec)
    return note_rows(combined["est_ns"])


def run(module: Any, params: Any, segments: np.ndarray, teacher: np.ndarray) -> dict[str, np.ndarray]:
    from mt3 import spectrograms

    config = spectrograms.SpectrogramConfig()
    features = hear(segments, config)
    search, tokens, seconds = searching(module, params), [], np.zeros(2)
    search(features[:BATCH])  # compiles
    for begin in range(0, len(features), BATCH):
        few = features[begin : begin + BATCH]
        missing = len(features[:BATCH]) - len(few)
        began = clocks()
        found = np.asarray(search(np.concatenate([few, features[:missing]])))
        seconds += clocks() - began
        tokens.append(found[: len(few)])
    written = np.concatenate(tokens)
    parts = [
        read(module, params, features[at : at + BATCH], teacher[at : at + BATCH])
        for at in range(0, len(features), BATCH)
    ]
    states, logits = (np.concatenate(part) for part in zip(*parts, strict=True))
    return {
        "features": features,
        "states": states[:, None],
        "logits": logits[:, None],
        "tokens": written[:, None],
        "notes": notes_of(written, features.shape[1], config.frames_per_second),
        "seconds_decode": seconds,
        "tokens_decoded": np.array(np.count_nonzero(written)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", type=Path, nargs=2, required=True, help="checkouts of magenta/mt3 and t5x")
    parser.add_argument("--model", choices=("mt3",), required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--segments", type=Path, required=True, help="(n, 32768) float32")
    parser.add_argument("--out", type=Path, required=True)
    said = parser.parse_args()
    stand_in()
    import_from(said.upstream)
    from mt3 import network, spectrograms

    config = json.loads(said.checkpoint.with_name("config.json").read_text())
    set_bands(spectrograms, config["d_model"])
    sizes = network.T5Config(
        vocab_size=config["vocab_size"],
        emb_dim=config["d_model"],
        num_heads=config["num_heads"],
        num_encoder_layers=config["num_layers"],
        num_decoder_layers=config["num_decoder_layers"],
        head_dim=config["d_kv"],
        mlp_dim=config["d_ff"],
        mlp_activations=("gelu", "linear"),
    )
    teacher = np.load(said.checkpoint.with_name("teacher.npy"))[:, 0].astype(np.int32)
    params = read_checkpoint(said.checkpoint)
    found = run(network.Transformer(sizes), params, np.load(said.segments), teacher)
    np.savez(said.out, **found)


if __name__ == "__main__":
    main()
