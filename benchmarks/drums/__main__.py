"""`python -m benchmarks.drums`: hits, beats, charts and speed of the drums capability as Markdown."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.drums import beats, charts, end_to_end, engravers, hits, separation_memory, speed
from benchmarks.drums.rendered import musescore_kits, rendered_takes, sampled_takes, unheard_kits
from benchmarks.drums.systems import OUR_BEATS, OURS, beat_systems, hit_systems
from benchmarks.transcription.conditions import describe
from benchmarks.transcription.folders import DATA, REPOSITORY
from benchmarks.transcription.report import replace_section, table

DOCUMENT = REPOSITORY / "docs" / "benchmarks" / "drums.md"


def main(command_line: Sequence[str] | None = None) -> None:
    arguments = _arguments(command_line)
    if not arguments.data.is_dir():
        sys.exit(f"No evaluation data at {arguments.data}. Name its folder with --data.")
    versions = {name: version(name) for name in ("tutti", "torch", "librosa")}
    for name in arguments.only:
        print(f"{name} ...", file=sys.stderr)
        text = f"{describe(arguments.threads, versions)}\n{SECTIONS[name](arguments)}"
        print(text, flush=True)
        if arguments.write:
            DOCUMENT.write_text(replace_section(DOCUMENT.read_text(), name, text))


def _arguments(command_line: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drums", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), help="which sections (default: all)"
    )
    parser.add_argument("--threads", type=int, default=2, help="processor threads (default: 2)")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the evaluation data")
    parser.add_argument("--write", action="store_true", help=f"also keep the tables in {DOCUMENT.name}")
    return parser.parse_args(command_line)


def _hits(arguments: argparse.Namespace) -> str:
    return hits.report(hit_systems(), arguments.data)


def _beats(arguments: argparse.Namespace) -> str:
    return beats.report(beat_systems(), arguments.data)


def _charts(arguments: argparse.Namespace) -> str:
    given = charts.table(arguments.data)
    rows = [[name, str(takes), str(bars), f"{100 * right:.1f} %"] for name, takes, bars, right in given]
    parts = [table(["given true hits and beats", "takes", "bars", "bars right"], rows), ""]
    ours = next((system for system in hit_systems() if system.name == OURS), None)
    tracker = next((system for system in beat_systems() if system.name == OUR_BEATS), None)
    if ours is not None and tracker is not None:
        takes = sampled_takes(arguments.data)
        rendered = {
            hits.UNHEARD: rendered_takes(takes, unheard_kits()),
            hits.MUSESCORE: rendered_takes(takes, musescore_kits()),
        }
        parts.append(end_to_end.report(rendered, ours.remembering(), tracker.remembering()))
    return "\n".join(parts)


def _speed(arguments: argparse.Namespace) -> str:
    return speed.report(hit_systems(), arguments.data, arguments.threads)


SECTIONS: dict[str, Callable[[argparse.Namespace], str]] = {
    "hits": _hits,
    "beats": _beats,
    "charts": _charts,
    "engravers": lambda _: engravers.report(),
    "speed": _speed,
    "separation": lambda _: separation_memory.report(),
}


if __name__ == "__main__":
    main()
