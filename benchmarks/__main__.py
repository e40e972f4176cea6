"""`python -m benchmarks`: every benchmark, one after the other, each with its own tables and documents.

Arguments are those of the comparison with the peer; `--data`, `--threads` and `--write` reach all of them.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.drums import __main__ as drums
from benchmarks.transcription import __main__ as transcription
from benchmarks.transcription import startup


def main() -> None:
    arguments = sys.argv[1:]
    transcription.main(arguments)
    common = argparse.ArgumentParser()
    common.add_argument("--data")
    common.add_argument("--threads")
    common.add_argument("--write", action="store_true")
    shared, _ = common.parse_known_args(arguments)
    named = [f"--{name}={value}" for name in ("data", "threads") if (value := getattr(shared, name)) is not None]
    common_arguments = [*named, "--write"] if shared.write else named
    startup.main(common_arguments)
    drums.main(common_arguments)


if __name__ == "__main__":
    main()
