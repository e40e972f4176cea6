"""tutti as a library: the model loaded once, then file by file."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from benchmarks.transcription.workers.protocol import NoteRow, System, serve


def load(threads: int) -> System:
    import torch

    import tutti

    torch.set_num_threads(threads)
    model = tutti.load_model("tutti-notes", device="cpu")

    def to_midi(audio: Path, target: Path) -> list[NoteRow]:
        transcription = model.transcribe(audio)
        transcription.save(target)
        return [
            (note.onset_s, note.offset_s, float(note.pitch), note.velocity, note.program, note.is_drum)
            for note in transcription.notes
        ]

    return System(to_midi, {name: version(name) for name in ("tutti", "torch", "numpy")})


if __name__ == "__main__":
    serve(load)
