"""Where the benchmark finds its data and keeps what it makes."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY.parent / "shared" / "data"
"""The evaluation data lies beside the checkout; `--data` names another place."""
CACHE = REPOSITORY / "benchmarks" / ".cache"
PEERS = REPOSITORY / "benchmarks" / ".peers"
DOCUMENT = REPOSITORY / "docs" / "benchmarks" / "transcription.md"
