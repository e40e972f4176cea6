import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(sys.executable).with_name("tutti")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tutti(tmp_path: Path) -> Run:
    """Run the installed console script in `tmp_path`."""

    def run(*arguments: str | Path, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
        answer = subprocess.run(
            [SCRIPT, *map(str, arguments)],
            cwd=tmp_path,
            input=stdin,
            capture_output=True,
            env={**os.environ, **environment},
            check=False,
            timeout=300,
        )
        out, err = answer.stdout.decode(), answer.stderr.decode()
        return subprocess.CompletedProcess(answer.args, answer.returncode, out, err)

    return run


@pytest.fixture(scope="session")
def recording() -> Path:
    return Path(__file__).resolve().parents[2] / "examples" / "guitar_solo.flac"
