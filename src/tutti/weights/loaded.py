"""Models in memory: the few used last, and what to do when a GPU has too little room."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch

__all__ = ["LOADED", "LoadedModels", "with_cpu_fallback"]

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())  # nothing is printed unless the program asks for it

T = TypeVar("T")

_Key = tuple[str, str, str, str]


class Named(Protocol):
    """What is asked of a card, or of what stands for weights without one."""

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str: ...


class LoadedModels:
    """The `size` models used last, keyed by card, file, device and precision. Safe to share between threads.

    A drum chart takes three: one for the hits, two for the beats.
    """

    def __init__(self, size: int = 4) -> None:
        self.size = size
        self._models: OrderedDict[_Key, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._building: dict[_Key, threading.Lock] = {}

    def get(self, card: Named, device: torch.device, precision: str, build: Callable[[], T]) -> T:
        """The model if it is here, else what `build` makes; the one unused the longest goes.

        Threads that ask for one model wait for each other and share it; others are not held up.
        """
        key = (card.name, card.sha256, str(device), precision)
        with self._lock:
            building = self._building.setdefault(key, threading.Lock())
        with building:
            with self._lock:
                if key in self._models:
                    self._models.move_to_end(key)
                    return self._models[key]  # type: ignore[no-any-return]
            model = build()
            log.info("loaded %s on %s in %s", card.name, device, precision)
            with self._lock:
                self._models[key] = model
                gone = [self._models.popitem(last=False)[0] for _ in range(len(self._models) - self.size)]
        _give_back({name for _, _, name, _ in gone})
        return model

    def release(self, kind: str) -> None:
        """Forget the models on devices of this kind ("cuda", "mps") and give their memory back."""
        with self._lock:
            for key in [key for key in self._models if torch.device(key[2]).type == kind]:
                del self._models[key]
        _give_back({kind})

    def clear(self) -> None:
        with self._lock:
            devices = {key[2] for key in self._models}
            self._models.clear()
        _give_back(devices)

    def __len__(self) -> int:
        return len(self._models)


LOADED = LoadedModels()


def _give_back(devices: set[str]) -> None:
    # torch keeps what models leave behind for itself, out of other programs' reach.
    kinds = {torch.device(name).type for name in devices}
    if "cuda" in kinds:
        torch.cuda.empty_cache()
    if "mps" in kinds:
        torch.mps.empty_cache()


def with_cpu_fallback(attempt: Callable[[str], T], device: str) -> tuple[T, str | None]:
    """`attempt(device)`, or `attempt("cpu")` when a GPU runs out of memory; the warning says so, else it is None.

    `LOADED` forgets its models on the GPU first.
    """
    try:
        return attempt(device), None
    except RuntimeError as error:  # refusing a context, and memory on MPS, raise nothing more special
        full = isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
        if not full or device == "cpu":
            raise
        kind = "mps" if "MPS" in str(error) else "cuda"
        # the exception holds the frames, and they the tensors: it goes before memory is given back
    LOADED.release(kind)
    name = "The GPU" if device == "auto" else device
    warning = f"{name} had too little memory; the CPU was used instead. Close other GPU programs."
    log.warning(warning)
    return attempt("cpu"), warning
