"""Basic Pitch with its released defaults, in its own environment (see `peer.py`)."""

from __future__ import annotations

import contextlib
import functools
import io
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.transcription.workers.protocol import NoteRow, System, serve

ELECTRIC_PIANO = 4


def load(threads: int) -> System:
    import onnxruntime  # type: ignore[import-not-found, unused-ignore]

    # The release leaves ONNX Runtime's thread count to the machine; the comparison fixes it for both sides.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    onnxruntime.InferenceSession = functools.partial(onnxruntime.InferenceSession, sess_options=options)

    from basic_pitch import ICASSP_2022_MODEL_PATH  # type: ignore[import-not-found]
    from basic_pitch.inference import Model, predict  # type: ignore[import-not-found]

    model = Model(ICASSP_2022_MODEL_PATH)

    def to_midi(audio: Path, target: Path) -> list[NoteRow]:
        with contextlib.redirect_stdout(io.StringIO()):  # the release prints three lines per window
            _, midi, events = predict(audio, model)
        midi.write(str(target))
        return [_row(event) for event in events]

    return System(to_midi, {name: version(name) for name in ("basic-pitch", "onnxruntime", "numpy")})


def _row(event: tuple[float, float, int, float, Any]) -> NoteRow:
    onset_s, offset_s, pitch, amplitude, _ = event
    velocity = min(127, max(1, round(127 * float(amplitude))))
    return (float(onset_s), float(offset_s), float(pitch), velocity, ELECTRIC_PIANO, False)


if __name__ == "__main__":
    serve(load)
