"""What is declared in TOML files, one object a file: model cards, styles."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tutti.errors import TuttiError

__all__ = ["read_declared"]

M = TypeVar("M", bound=BaseModel)


def read_declared(path: Path, kind: type[M], called: str, error: type[TuttiError]) -> M:
    """The object in a TOML file. Raises `error`, which names the file, what it should be, and the field."""
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as unread:
        raise error(f"{path} cannot be read as a {called}: {unread}. Mend or remove it.") from unread
    except ValidationError as invalid:
        faults = "; ".join(
            ": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"])))
            for fault in invalid.errors(include_url=False)
        )
        raise error(f"{path} is not a {called}: {faults}. Mend or remove it.") from invalid
