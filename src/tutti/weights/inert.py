"""A torch checkpoint's pickle, read without running any of it.

Pickle is a program. Here it may build plain containers and descriptions of tensors; every other name it calls for
becomes `Nothing`, which takes whatever is done to it and does nothing. No module is imported on its behalf. What a
hostile program can still do is waste time and memory: read strangers' files in a process with limits.
"""

from __future__ import annotations

import pickle
from typing import IO, Any, NamedTuple

from tutti.errors import WeightsError

__all__ = ["Described", "Nothing", "Storage", "read_inert"]


class Storage(NamedTuple):
    """A member of the archive that holds numbers, as the pickle describes it."""

    kind: str
    """torch's name of its type, "FloatStorage"."""
    key: str
    numbers: int


class Described(NamedTuple):
    """A tensor, as the pickle describes it; whether it can be one is not checked."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Swallows(type):
    """Lets a class itself be treated as the object: called, filled, given a state."""

    def _ignore(cls, *_given: object, **_named: object) -> None:
        """Do nothing."""

    append = extend = add = __setitem__ = __setstate__ = _ignore


class Nothing(metaclass=_Swallows):
    """Stands for everything that is not admitted; calling it gives itself."""

    def __new__(cls, *_given: object, **_named: object) -> Any:
        return cls


class _Plain(dict[Any, Any]):
    """An OrderedDict's content. The attributes that torch hangs on its state dicts are left out."""

    def __setstate__(self, _state: object) -> None:
        """Do nothing."""


class _Admitted:
    """A function that a pickle may call. It cannot be changed by a pickle, as a function's attributes can."""

    __slots__ = ()

    def __setstate__(self, _state: object) -> None:
        """Do nothing."""


class _RebuildTensor(_Admitted):
    __slots__ = ()

    def __call__(self, storage: object, offset: object, shape: object, strides: object, *_rest: object) -> object:
        if isinstance(storage, Storage) and _is_count(offset) and _are_counts(shape) and _are_counts(strides):
            return Described(storage, offset, shape, strides)  # type: ignore[arg-type]
        return Nothing


class _RebuildParameter(_Admitted):
    __slots__ = ()

    def __call__(self, tensor: object, *_rest: object) -> object:
        return tensor


_ADMITTED: dict[tuple[str, str], object] = {
    ("collections", "OrderedDict"): _Plain,
    ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor(),
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter(),
}


class _Kind(NamedTuple):
    name: str


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        if module == "torch" and name.endswith("Storage"):
            return _Kind(name)
        return _ADMITTED.get((module, name), Nothing)

    def persistent_load(self, pid: Any) -> Any:
        match pid:
            case ("storage", _Kind(name), str(key), _, int(numbers)):
                return Storage(name, key, numbers)
        return Nothing


def read_inert(file: IO[bytes]) -> Any:
    """What the pickle in `file` describes: dicts, lists, tuples, texts, numbers, `Described` tensors and `Nothing`.

    Raises WeightsError when it is none, or broken.
    """
    try:
        return _Unpickler(file).load()
    except Exception as error:  # a broken or hostile program can end in any of them
        raise WeightsError(f"its pickle is broken ({type(error).__name__}: {error})") from error


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_counts(values: object) -> bool:
    return isinstance(values, tuple) and all(map(_is_count, values))
