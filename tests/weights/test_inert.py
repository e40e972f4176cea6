"""Pickles of strangers: nothing of them runs, whatever they ask for."""

import builtins
import collections
import contextlib
import io
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import pytest
import torch

from tutti.errors import WeightsError
from tutti.weights.inert import Nothing, _RebuildTensor, read_inert


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.answer = (function, arguments, state) if state is not None else (function, arguments)

    def __reduce__(self) -> Any:
        return self.answer


class TaskManager:
    """As YourMT3 pickles one among its hyper parameters."""

    class Inner:
        def __init__(self) -> None:
            self.x = 1

    def __init__(self) -> None:
        self.codec = {"a": [1, 2]}
        self.inner = TaskManager.Inner()


def read(content: Any, protocol: int = 2) -> Any:
    return read_inert(io.BytesIO(pickle.dumps(content, protocol)))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_plain_content_is_what_it_was(protocol: int) -> None:
    content = {"epoch": 3, "lr": 0.5, "names": ["a", ("b", None, True)]}
    assert read(content, protocol) == content
    ordered = collections.OrderedDict(a=1, b=2)
    ordered._metadata = {"version": 1}  # type: ignore[attr-defined]
    found = read(ordered, protocol)
    assert dict(found) == {"a": 1, "b": 2}
    assert not hasattr(found, "_metadata")


@pytest.mark.parametrize("protocol", [2, 4])
def test_objects_of_foreign_classes_become_nothing(protocol: int) -> None:
    found = read({"manager": TaskManager(), "path": Path("x"), "set": {1, 2}, "class": TaskManager}, protocol)
    assert set(map(id, found.values())) <= {id(Nothing)} | {id(found["set"])}
    assert found["manager"] is Nothing


def payloads(target: Path) -> list[Any]:
    code = f"__import__('pathlib').Path({str(target)!r}).write_text('owned')"
    return [
        Calls(os.system, f"touch {target}"),
        Calls(builtins.exec, code),
        Calls(builtins.eval, code),
        Calls(builtins.open, str(target), "w"),
        Calls(Path.touch, target),
        Calls(builtins.__import__, "os"),
        Calls(builtins.getattr, Calls(builtins.open, str(target), "w"), "write"),
        Calls(pickle.loads, pickle.dumps(Calls(os.system, f"touch {target}"))),
        Calls(torch.load, str(target)),
    ]


@pytest.mark.parametrize("number", range(9))
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_payload_is_not_run(number: int, protocol: int, tmp_path: Path) -> None:
    target = tmp_path / "owned"
    payload = payloads(target)[number]
    found = read({"state_dict": {}, "callbacks": [payload]}, protocol)
    assert found == {"state_dict": {}, "callbacks": [Nothing]}
    assert not target.exists()


def test_the_payloads_would_run_in_an_ordinary_unpickler(tmp_path: Path) -> None:
    target = tmp_path / "owned"
    pickle.loads(pickle.dumps(payloads(target)[1]))
    assert target.read_text() == "owned"


def test_what_is_admitted_cannot_be_changed(tmp_path: Path) -> None:  # noqa: ARG001
    """A state set on the function itself would stay for files opened later."""
    program = b"ctorch._utils\n_rebuild_tensor_v2\n(N(dVx\nI1\nstb."
    pickletools.dis(program, io.StringIO())
    assert isinstance(read_inert(io.BytesIO(program)), _RebuildTensor)
    assert not hasattr(_RebuildTensor(), "x")


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x02", b"no pickle", pickle.dumps([1, 2, 3])[:-4], b"\x80\x02cos\n", b"."]
)
def test_a_broken_pickle_is_an_error(content: bytes) -> None:
    with pytest.raises(WeightsError, match="its pickle is broken"):
        read_inert(io.BytesIO(content))


def test_any_bytes_end_in_content_or_an_error() -> None:
    good = bytearray(pickle.dumps({"a": [collections.OrderedDict(b=1), TaskManager(), 2.5]}, 2))
    for at in range(len(good)):
        for value in (0, 46, 82, 98, 255):
            spoilt = good[:at] + bytes([value]) + good[at + 1 :]
            with contextlib.suppress(WeightsError):  # anything else fails the test
                read_inert(io.BytesIO(bytes(spoilt)))
