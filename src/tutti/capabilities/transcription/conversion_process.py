"""A conversion in a process of its own, with limits: a hostile file can end it, and nothing more.

The reader runs no code of a file, but a file can still ask for memory and time without end.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tutti import errors
from tutti.errors import TuttiError, WeightsError, printable
from tutti.weights.cards import Card

__all__ = ["convert_apart", "do", "main"]

MAX_MEMORY_BYTES: Final = 12 << 30
"""Address space; PyTorch alone maps some gigabytes that it never touches."""
MAX_CPU_S: Final = 900
MAX_FILE_BYTES: Final = 1 << 30
_BOOT: Final = (
    "import sys; sys.path[len(sys.path):] = sys.argv[1:]\n"
    "from tutti.capabilities.transcription.conversion_process import main; main()"
)
_MAX_WORDS: Final = 300


def convert_apart(
    source: Path, card: Card, target: Path, *, settings: Mapping[str, str], is_any_file: bool = False
) -> dict[str, str]:
    """Convert `source` to the safetensors file `target` by a child process; returns the metadata written.

    Raises as `conversion.convert`, OutputError, and WeightsError when the process broke or outran its limits.
    """
    job = {
        "source": str(source.absolute()),
        "card": card.model_dump(mode="json"),
        "target": str(target.absolute()),
        "settings": dict(settings),
        "is_any_file": is_any_file,
    }
    answer = subprocess.run(
        [sys.executable, "-I", "-c", _BOOT, *(entry for entry in sys.path if Path(entry).is_absolute())],
        input=json.dumps(job).encode(),
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
        check=False,
    )
    return _result(answer, source)


def _result(answer: subprocess.CompletedProcess[bytes], source: Path) -> dict[str, str]:
    if answer.returncode:
        words = answer.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise WeightsError(
            f"{source}: the conversion broke (status {answer.returncode}"
            f"{': ' + printable(words[0])[:_MAX_WORDS] if words else ''}). Free memory; if it breaks again, the file "
            "is damaged or made to do this."
        )
    try:
        content = json.loads(answer.stdout)
        if "error" in content:
            raise _error_class(str(content["error"]))(str(content["message"]))
        return {str(name): str(value) for name, value in content["metadata"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{source}: the conversion answered nonsense. The file may attack it; do not use it."
        ) from error


def _error_class(name: str) -> type[TuttiError]:
    found = getattr(errors, name, None)
    return found if isinstance(found, type) and issubclass(found, TuttiError) else WeightsError


def main() -> None:
    """The child: a job on standard input, what came of it on standard output, both JSON."""
    _limit_process()
    print(json.dumps(do(json.load(sys.stdin))))


def do(job: dict[str, Any]) -> dict[str, Any]:
    """Convert and write. The metadata, or an error by its class and message."""
    from tutti.capabilities.transcription.conversion import convert  # after the limits are set

    try:
        card = Card.model_validate_json(json.dumps(job["card"]))
        converted = convert(Path(job["source"]), card, settings=job["settings"], is_any_file=job["is_any_file"])
        converted.write(Path(job["target"]))
    except TuttiError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"metadata": converted.metadata}


def _limit_process() -> None:
    for kind, value in (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_CPU, MAX_CPU_S),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, most = resource.getrlimit(kind)
        resource.setrlimit(kind, (value if most == resource.RLIM_INFINITY else min(value, most), most))
