"""The environment, read once.

| variable | meaning | default |
|---|---|---|
| `TUTTI_CACHE_DIR` | where fetched weights lie | the platform's user cache folder, `tutti` |
| `TUTTI_CARDS_DIR` | a folder of the user's own model cards | the platform's user config folder, `tutti/cards` |
| `TUTTI_STYLES_DIR` | a folder of the user's own drum styles | the platform's user config folder, `tutti/styles` |
| `TUTTI_OFFLINE` | `1` refuses every fetch | `0` |
| `TUTTI_THREADS` | CPU threads of the networks | all physical cores |
| `MODEL_URI` | where `complete_network.h5` comes from: https, http, s3 or file | none |
| `MODEL_VERSION` | its version; another one is fetched anew | `1` |
| `MODEL_SHA256` | its sha256 | that of the file its authors published |
| `MODEL_CACHE_DIR` | its cache, `complete_network/<version>/complete_network.h5` in it | `/data/models` |

The last four let a deployment of the drum model `annoteator` bring its own weights: once `MODEL_URI` or `MODEL_VERSION`
is set, that file is used and not the one that ships with tutti.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import platformdirs

from tutti.errors import OptionError

__all__ = ["Settings", "read_settings", "settings"]


@dataclass(frozen=True)
class Settings:
    cache_dir: Path
    cards_dir: Path
    styles_dir: Path
    offline: bool
    threads: int | None
    """None leaves the choice to the framework."""
    model_uri: str | None
    model_version: str | None
    model_sha256: str | None
    model_cache_dir: Path


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from a mapping of environment variables. Raises OptionError for a malformed value."""
    config_dir = Path(platformdirs.user_config_dir("tutti", appauthor=False))
    return Settings(
        cache_dir=Path(environment.get("TUTTI_CACHE_DIR") or platformdirs.user_cache_dir("tutti", appauthor=False)),
        cards_dir=Path(environment.get("TUTTI_CARDS_DIR") or config_dir / "cards"),
        styles_dir=Path(environment.get("TUTTI_STYLES_DIR") or config_dir / "styles"),
        offline=_flag(environment, "TUTTI_OFFLINE"),
        threads=_count(environment, "TUTTI_THREADS"),
        model_uri=environment.get("MODEL_URI", "").strip() or None,
        model_version=_matching(environment, "MODEL_VERSION", r"[A-Za-z0-9][A-Za-z0-9._-]*", "letters, digits, . _ -"),
        model_sha256=_matching(environment, "MODEL_SHA256", r"[0-9A-Fa-f]{64}", "64 hexadecimal digits"),
        model_cache_dir=Path(environment.get("MODEL_CACHE_DIR") or "/data/models"),
    )


@cache
def settings() -> Settings:
    """The process's settings. Tests that change the environment call `settings.cache_clear()`."""
    return read_settings(os.environ)


def _flag(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name, "").strip().lower()
    if value in {"", "0", "false", "no"}:
        return False
    if value in {"1", "true", "yes"}:
        return True
    raise OptionError(f"{name}={value!r} is not a yes or no. Set it to 1 or 0.")


def _count(environment: Mapping[str, str], name: str) -> int | None:
    value = environment.get(name, "").strip()
    if not value:
        return None
    if not value.isdecimal() or int(value) < 1:
        raise OptionError(f"{name}={value!r} is not a number of threads. Set it to 1 or more.")
    return int(value)


def _matching(environment: Mapping[str, str], name: str, form: str, meaning: str) -> str | None:
    value = environment.get(name, "").strip()
    if value and not re.fullmatch(form, value):
        raise OptionError(f"{name}={value!r} will not do. Set it to {meaning}.")
    return value or None
