"""A recording as long as asked for: piano and drums of the rendered evaluation pieces together, over and over."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile as sf  # type: ignore[import-untyped]

from benchmarks.transcription.folders import CACHE
from benchmarks.transcription.render import SAMPLE_RATE_HZ
from benchmarks.transcription.sets import drums_rendered, piano_rendered

Mono = npt.NDArray[np.float32]


def recording(duration_s: float, data: Path) -> Path:
    """A mono 16-bit FLAC, kept in the cache. A shorter one is sample by sample the beginning of a longer one."""
    target = CACHE / "recordings" / f"{duration_s:.0f}s.flac"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(".part")
        with sf.SoundFile(unfinished, "w", SAMPLE_RATE_HZ, 1, "PCM_16", format="FLAC") as file:
            for block in _exactly(round(duration_s * SAMPLE_RATE_HZ), _endless(data)):
                file.write(block)
        unfinished.replace(target)
    return target


def _endless(data: Path) -> Iterator[Mono]:
    pianos = [piece.audio for piece in piano_rendered(data)]
    drums = [piece.audio for piece in drums_rendered(data)]
    for piano, drum in itertools.cycle(zip(pianos, drums, strict=True)):
        yield _together(_mono(piano), _mono(drum))


def _exactly(samples: int, blocks: Iterator[Mono]) -> Iterator[Mono]:
    """The blocks up to `samples` in all."""
    left = samples
    while left > 0:
        block = next(blocks)[:left]
        left -= len(block)
        yield block


def _together(first: Mono, second: Mono) -> Mono:
    """Both at half level, as long as the shorter."""
    length = min(len(first), len(second))
    mixed: Mono = np.float32(0.5) * (first[:length] + second[:length])
    return mixed


def _mono(path: Path) -> Mono:
    samples: Mono = sf.read(path, dtype="float32", always_2d=True)[0]
    mixed: Mono = samples.mean(axis=1, dtype=np.float32)
    return mixed
