"""A peer's measurements, kept by the content of the files they were made on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.transcription.folders import CACHE
from benchmarks.transcription.systems import Measurement
from benchmarks.transcription.workers.protocol import read_files


def path_for(system: str, set_name: str, audio: Sequence[Path]) -> Path:
    digest = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in audio))
    return CACHE / system / f"{set_name}-{digest.hexdigest()[:8]}.json"


def save(path: Path, measurement: Measurement) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(measurement), indent=1))


def load(path: Path) -> Measurement:
    document = json.loads(path.read_text())
    return Measurement(**{**document, "files": tuple(read_files(document["files"]))})
