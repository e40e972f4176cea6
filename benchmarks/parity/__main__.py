"""`python -m benchmarks.parity`: the MT3 family beside upstream's code, on the same random weights, as Markdown.

Needs checkouts of upstream's repositories and an interpreter in whose environment their code runs (see
`mt3-requirements.txt` and `yourmt3-requirements.txt` here). Models whose checkouts are not named are left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import torch

from benchmarks.parity.report import render_report
from benchmarks.parity.systems import SYSTEMS, Checkout, System, compare
from benchmarks.transcription.conditions import describe
from benchmarks.transcription.report import replace_section

DOCUMENT = Path(__file__).parents[2] / "docs/benchmarks/mt3_parity.md"


def main(command_line: Sequence[str] | None = None) -> None:
    said = _arguments(command_line)
    torch.set_num_threads(said.threads)
    checkouts: dict[Checkout, Path] = dict(said.checkout)
    versions = {name: version(name) for name in ("torch", "numpy", "onnxruntime")}
    results, text = [], ""
    for system in SYSTEMS:
        python = _python(system, said)
        if system.model in said.models and python and all(name in checkouts for name in system.checkouts):
            print(f"{system.title} ...", file=sys.stderr)
            results.append(compare(system, python, checkouts, said.segments, said.threads))
            text = render_report(results, describe(said.threads, versions))
            if said.write:  # after each, as all together take most of an hour
                DOCUMENT.write_text(replace_section(DOCUMENT.read_text(), "parity", text))
    if not results:
        sys.exit("Nothing to compare. Name checkouts with --checkout and an interpreter with --mt3-python.")
    print(text)


def _python(system: System, said: argparse.Namespace) -> Path | None:
    python: Path | None = said.yourmt3_python if "yourmt3" in system.checkouts else said.mt3_python
    return python


def _arguments(command_line: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__)
    models = list(dict.fromkeys(system.model for system in SYSTEMS))
    parser.add_argument("--models", nargs="+", choices=models, default=models, help="which models (default: all)")
    parser.add_argument("--mt3-python", type=Path, help="interpreter for Magenta MT3, MT3-PyTorch and MR-MT3")
    parser.add_argument("--yourmt3-python", type=Path, help="interpreter for YourMT3")
    names = ", ".join(get_args(Checkout))
    parser.add_argument(
        "--checkout", type=_checkout, action="append", default=[], metavar="NAME=FOLDER", help=f"of {names}"
    )
    parser.add_argument("--segments", type=int, default=50, help="segments that both hear (default: 50)")
    parser.add_argument("--threads", type=int, default=2, help="processor threads for either side (default: 2)")
    parser.add_argument("--write", action="store_true", help=f"also keep the table in {DOCUMENT.name}")
    return parser.parse_args(command_line)


def _checkout(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if name not in get_args(Checkout) or not Path(folder).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER with one of {', '.join(get_args(Checkout))}")
    return name, Path(folder)


if __name__ == "__main__":
    main()
