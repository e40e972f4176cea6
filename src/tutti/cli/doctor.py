"""`tutti doctor`: what a report of a fault should contain."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from typing import NamedTuple

import typer

import tutti
from tutti.catalog import CAPABILITIES
from tutti.errors import TuttiError
from tutti.settings import settings

__all__ = ["app"]

PACKAGES = (
    "torch",
    "numpy",
    "soundfile",
    "av",
    "soxr",
    "symusic",
    "safetensors",
    "onnxruntime",
    "onnx",
    "jax",
    "lightning",
)

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command("doctor")
def doctor() -> None:
    """Say what tutti runs on here, and what is missing.

    Exit status: 1 when a model that ships with tutti is missing or damaged, or a package too old.
    """
    faults = 0
    facts = [(name, value, False) for name, value in (*_machine(), *_folders(), *_devices())]
    for name, value, is_fault in [*facts, *_packages(), *_weights()]:
        typer.echo(f"{name:<14} {value}")
        faults += is_fault
    if faults:
        raise typer.Exit(1)


def _machine() -> Iterator[tuple[str, str]]:
    yield "tutti", tutti.__version__
    yield "verbs", ", ".join(row.verb for row in CAPABILITIES)
    yield "python", f"{platform.python_version()} ({sys.executable})"
    yield "system", f"{platform.platform()}, {os.cpu_count()} CPUs"
    yield "ffmpeg", shutil.which("ffmpeg") or "not found (not needed)"


class _Needed(NamedTuple):
    """What tutti says it needs of a package."""

    lowest: str
    extra: str
    """The extra it comes with; empty when it always does."""


_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)>=(?P<lowest>[\d.]+)(?:; extra == '(?P<extra>\w+)')?")


def _needed() -> dict[str, _Needed]:
    """By package, from the metadata of the tutti that is installed."""
    found = (_REQUIREMENT.fullmatch(line.replace('"', "'")) for line in requires("tutti") or ())
    return {match["name"]: _Needed(match["lowest"], match["extra"] or "") for match in found if match}


def _packages() -> Iterator[tuple[str, str, bool]]:
    needed = _needed()
    for name in PACKAGES:
        try:
            yield name, *_judged(name, version(name), needed.get(name))
        except PackageNotFoundError:
            yield name, f"not installed{_how_to_install(name, needed.get(name))}", False


def _judged(name: str, found: str, needed: _Needed | None) -> tuple[str, bool]:
    if needed is None or _parts(found) >= _parts(needed.lowest):
        return found, False
    command = f"pip install -U '{name}>={needed.lowest}'"
    return f"{found} is too old: tutti needs {needed.lowest} or newer. Run: {command}", True


def _parts(number: str) -> tuple[int, ...]:
    """The release of a version: (2, 13, 0) of 2.13.0rc1+cpu."""
    release = re.match(r"\d+(\.\d+)*", number)
    return tuple(map(int, release[0].split("."))) if release else ()


def _how_to_install(name: str, needed: _Needed | None) -> str:
    if needed is None:
        return ""
    what = f"tutti[{needed.extra}]" if needed.extra else f"{name}>={needed.lowest}"
    return f" ({'optional' if needed.extra else 'needed'}: pip install '{what}')"


def _folders() -> Iterator[tuple[str, str]]:
    here = settings()
    yield "cache", f"{here.cache_dir}{'' if here.cache_dir.is_dir() else ' (not there yet)'}"
    yield "own cards", f"{here.cards_dir}{'' if here.cards_dir.is_dir() else ' (not there yet)'}"
    yield "fetching", "refused (TUTTI_OFFLINE)" if here.offline else "allowed when asked for"


def _devices() -> Iterator[tuple[str, str]]:
    try:
        from tutti.weights.devices import choose_device
    except ModuleNotFoundError:
        yield "auto device", "cpu, by onnx or jax alone: torch is not installed"
    else:
        yield "auto device", str(choose_device("auto"))


def _weights() -> Iterator[tuple[str, str, bool]]:
    from tutti.weights.cards import BUNDLED, load_cards
    from tutti.weights.store import verify

    for card in load_cards().values():
        try:
            verify(card)
        except TuttiError as error:
            yield card.name, str(error), BUNDLED in card.locations
        else:
            yield card.name, "ready", False
