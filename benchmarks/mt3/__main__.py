"""`python -m benchmarks.mt3`: what the MT3 family costs, as Markdown."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from benchmarks.mt3 import accuracy, cold_start, long_files, paths
from benchmarks.transcription.conditions import describe
from benchmarks.transcription.folders import REPOSITORY
from benchmarks.transcription.report import replace_section

DOCUMENT = REPOSITORY / "docs" / "benchmarks" / "mt3.md"
SECTIONS: dict[str, Callable[[int], str]] = {
    "accuracy": accuracy.report,
    "paths": paths.report,
    "long_files": long_files.report,
    "cold_start": cold_start.report,
}


def main(command_line: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mt3", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), help="which sections (default: all)"
    )
    parser.add_argument("--threads", type=int, default=2, help="processor threads (default: 2)")
    parser.add_argument("--write", action="store_true", help=f"also keep the tables in {DOCUMENT.name}")
    said = parser.parse_args(command_line)
    versions = {name: version(name) for name in ("tutti", "torch", "onnxruntime", "jax")}
    for name in said.only:
        print(f"{name} ...", file=sys.stderr)
        text = f"{describe(said.threads, versions)}\n{SECTIONS[name](said.threads)}"
        print(text, flush=True)
        if said.write:
            DOCUMENT.write_text(replace_section(DOCUMENT.read_text(), name, text))


if __name__ == "__main__":
    main()
