"""Basic Pitch in an environment of its own, so that its pins never meet ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.transcription.folders import PEERS

REQUIREMENTS = Path(__file__).with_name("basic-pitch-requirements.txt")


def basic_pitch_python() -> Path:
    """The interpreter of Basic Pitch's environment, made first when missing or stale (about a minute, 600 MB)."""
    environment = PEERS / "basic-pitch"
    python = environment / "bin" / "python"
    stamp = environment / "installed.txt"
    wanted = REQUIREMENTS.read_text()
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(environment, ignore_errors=True)
    print(f"Installing Basic Pitch into {environment} ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", REQUIREMENTS], check=True)
    stamp.write_text(wanted)
    return python
