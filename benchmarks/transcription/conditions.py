"""What a measurement was made on, in one line."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def describe(threads: int, versions: dict[str, str]) -> str:
    """Date, processor, threads, Python and the given packages."""
    software = {"Python": platform.python_version(), **versions}
    packages = ", ".join(f"{name} {number}" for name, number in software.items())
    today = datetime.now(tz=UTC).date().isoformat()
    return (
        f"Measured {today} on {processor_name()} ({os.cpu_count()} logical processors, {threads} threads used), "
        f"{packages}.\n"
    )


def processor_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
