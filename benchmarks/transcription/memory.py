"""How much memory a process and its children hold together at their peak."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from types import TracebackType

PROC = Path("/proc")
PERIOD_S = 0.05


class PeakMemory:
    """Watches a process tree while the `with` block runs; `.peak_bytes` is the largest sum of resident sizes seen.

    Pages that parent and child share are counted twice, so the figure errs on the high side. Where there is no /proc
    (macOS), `.peak_bytes` stays None.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.peak_bytes: int | None = None
        self._pid = process.pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        if PROC.is_dir():
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(PERIOD_S):
            resident = sum(resident_bytes(pid) for pid in process_tree(self._pid))
            self.peak_bytes = max(self.peak_bytes or 0, resident)


def process_tree(pid: int) -> list[int]:
    """`pid` and every descendant that is alive now."""
    found = [pid]
    for parent in found:  # grows while it is walked
        for children in (PROC / str(parent) / "task").glob("*/children"):
            try:
                found.extend(int(child) for child in children.read_text().split())
            except OSError:  # the thread ended between the listing and the reading
                continue
    return found


def resident_bytes(pid: int) -> int:
    """Resident set of one process, 0 when it is gone."""
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)
