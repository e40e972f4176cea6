"""`python -m benchmarks`: every benchmark, one after the other, each with its own tables and documents.

Arguments are handed to the comparison with the peer; `--write` reaches all of them.
"""

from __future__ import annotations

import sys

from benchmarks.transcription import __main__ as transcription
from benchmarks.transcription import startup


def main() -> None:
    arguments = sys.argv[1:]
    transcription.main(arguments)
    startup.main([argument for argument in arguments if argument == "--write"])


if __name__ == "__main__":
    main()
