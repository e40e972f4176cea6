"""`tutti doctor`: what a report of a fault should contain."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import typer

import tutti
from tutti.catalog import CAPABILITIES
from tutti.errors import TuttiError
from tutti.settings import settings

__all__ = ["app"]

PACKAGES = ("torch", "numpy", "soundfile", "av", "soxr", "symusic", "safetensors", "onnxruntime", "jax", "lightning")

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command("doctor")
def doctor() -> None:
    """Say what tutti runs on here, and what is missing.

    Exit status: 1 when a model that ships with tutti is missing or damaged.
    """
    for name, value in [*_machine(), *_packages(), *_folders(), *_devices()]:
        typer.echo(f"{name:<14} {value}")
    faults = 0
    for name, value, is_fault in _weights():
        typer.echo(f"{name:<14} {value}")
        faults += is_fault
    if faults:
        raise typer.Exit(1)


def _machine() -> Iterator[tuple[str, str]]:
    yield "tutti", tutti.__version__
    yield "verbs", ", ".join(row.verb for row in CAPABILITIES)
    yield "python", f"{platform.python_version()} ({sys.executable})"
    yield "system", f"{platform.platform()}, {os.cpu_count()} CPUs"


def _packages() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, "not installed"
    yield "ffmpeg", shutil.which("ffmpeg") or "not found (not needed)"


def _folders() -> Iterator[tuple[str, str]]:
    here = settings()
    yield "cache", f"{here.cache_dir}{'' if here.cache_dir.is_dir() else ' (not there yet)'}"
    yield "own cards", f"{here.cards_dir}{'' if here.cards_dir.is_dir() else ' (not there yet)'}"
    yield "fetching", "refused (TUTTI_OFFLINE)" if here.offline else "allowed when asked for"


def _devices() -> Iterator[tuple[str, str]]:
    from tutti.weights.devices import choose_device

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
