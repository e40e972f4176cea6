"""The tree that `tutti.errors` draws is the tree it builds."""

import os
import re

import pytest

import tutti.errors
from tutti.errors import TuttiError, printable

DRAWN = re.compile(r"^ +(?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+)(?P<rest>.*)$")
CLASSES = [kind for name in tutti.errors.__all__ if isinstance(kind := getattr(tutti.errors, name), type)]


def drawn() -> dict[str, tuple[str | None, int | None, int | None]]:
    """Name -> parent's name, exit code and HTTP status as the docstring draws them, None where it says nothing."""
    tree: dict[str, tuple[str | None, int | None, int | None]] = {}
    ancestors: list[str] = []
    for line in (tutti.errors.__doc__ or "").splitlines():
        match = DRAWN.match(line)
        if match is None:
            continue
        depth = len(match["branch"]) // 4
        ancestors[depth:] = [match["name"]]
        exit_code, status = (re.search(rf"{word} (\d+)", match["rest"]) for word in ("exit", "HTTP"))
        tree[match["name"]] = (
            ancestors[depth - 1] if depth else None,
            int(exit_code[1]) if exit_code else None,
            int(status[1]) if status else None,
        )
    return tree


def test_every_error_is_drawn_below_its_parent() -> None:
    tree = drawn()
    assert {name: parent for name, (parent, _, _) in tree.items()} == {
        error.__name__: None if error is TuttiError else error.__bases__[0].__name__ for error in CLASSES
    }


@pytest.mark.parametrize("error", CLASSES)
def test_codes_are_as_drawn(error: type[TuttiError]) -> None:
    _, exit_code, status = drawn()[error.__name__]
    assert exit_code in (None, error.exit_code)
    assert status in (None, error.http_status)


def test_only_wrong_usage_exits_with_2_and_only_a_stop_with_130() -> None:
    exits = {error.__name__: error.exit_code for error in CLASSES}
    assert {name for name, code in exits.items() if code == 130} == {"Cancelled"}
    assert {name for name, code in exits.items() if code == 2} == {
        "UsageError", "OptionError", "UnknownModelError", "UnknownStyleError", "UnknownFormatError", "CorrectionError",
        "DeviceError",
    }  # fmt: skip
    assert set(exits.values()) == {1, 2, 130}


def test_every_error_has_a_name_of_its_own_for_machines() -> None:
    codes = [error.code for error in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


def test_statuses_are_errors_of_http() -> None:
    assert all(400 <= error.http_status < 600 for error in CLASSES)


def test_what_is_exported_is_every_class_of_the_file() -> None:
    defined = {
        name for name, value in vars(tutti.errors).items() if isinstance(value, type) and issubclass(value, TuttiError)
    }
    assert defined == {kind.__name__ for kind in CLASSES}
    assert sorted(tutti.errors.__all__) == tutti.errors.__all__


def test_the_message_is_what_was_said() -> None:
    assert str(tutti.errors.OutputError("The disk is full. Free some space.")) == "The disk is full. Free some space."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain — ünïcode 歌.wav", "plain — ünïcode 歌.wav"),
        ("two\nlines\x1b[31m", "two\\nlines\\x1b[31m"),
        (os.fsdecode(b"latin-\xe9.wav"), "latin-\\udce9.wav"),
    ],
)
def test_printable_fits_one_line_of_any_terminal(text: str, expected: str) -> None:
    assert printable(text) == expected
