"""`python -m benchmarks.groove`: tokens, likeness to drummers, styles, copying and speed of `groove`, as Markdown."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

import torch

from benchmarks.groove import copying, likeness, schemes, speed, style_check
from benchmarks.transcription.conditions import describe
from benchmarks.transcription.folders import REPOSITORY
from benchmarks.transcription.report import replace_section

DOCUMENT = REPOSITORY / "docs" / "benchmarks" / "groove.md"
MODEL = "tutti-groove"
SECTIONS: dict[str, Callable[[int, str], str]] = {
    "schemes": schemes.report,
    "likeness": likeness.report,
    "styles": style_check.report,
    "copying": copying.report,
    "speed": speed.report,
}


def main(command_line: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.groove", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), help="which sections (default: all)"
    )
    parser.add_argument("--threads", type=int, default=2, help="processor threads (default: 2)")
    parser.add_argument("--model", default=MODEL, help=f"name of a model, or path of its weights (default: {MODEL})")
    parser.add_argument("--write", action="store_true", help=f"also keep the tables in {DOCUMENT.name}")
    said = parser.parse_args(command_line)
    if said.write and said.model != MODEL:
        parser.error(f"--write keeps figures of {MODEL}. Leave --model out.")
    torch.set_num_threads(said.threads)
    versions = {name: version(name) for name in ("tutti", "torch", "numpy", "scikit-learn", "miditok")}
    for name in said.only:
        print(f"{name} ...", file=sys.stderr)
        text = f"{describe(said.threads, versions)}\n{SECTIONS[name](said.threads, said.model)}"
        print(text, flush=True)
        if said.write:
            DOCUMENT.write_text(replace_section(DOCUMENT.read_text(), name, text))


if __name__ == "__main__":
    main()
