"""Weights that are made on this machine from a published file: where they lie, whether they are right."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.weights.conftest import CONTENT, Server
from tutti.errors import HashMismatchError, WeightsMissingError
from tutti.weights.cards import CONVERTED, Card
from tutti.weights.saving import write_safetensors
from tutti.weights.store import identified, locate, path_of, pull, pull_upstream, verify

MakeCard = Callable[..., Card]

pytestmark = pytest.mark.usefixtures("folders")

NUMBERS = np.arange(4, dtype=np.float32)


@pytest.fixture
def made_card(make_card: MakeCard) -> MakeCard:
    def make(*upstream: dict[str, Any], **fields: Any) -> Card:
        return make_card(CONVERTED, sha256="", size_bytes=NUMBERS.nbytes, upstream=upstream, **fields)

    return make


def convert(card: Card, numbers: np.ndarray[Any, Any] = NUMBERS, **metadata: str) -> Path:
    path = path_of(card)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, {"w": numbers}, {"card": card.name, **metadata})
    return path


def test_they_lie_under_their_name(folders: Path, made_card: MakeCard) -> None:
    assert path_of(made_card()) == folders / "cache" / "converted" / "far.safetensors"


@pytest.mark.parametrize("look", [locate, pull, identified])
def test_without_them_one_is_told_how_to_make_them(look: Callable[[Card], Any], made_card: MakeCard) -> None:
    by_hand = "tutti models convert UPSTREAM_FILE --card far"
    with pytest.raises(WeightsMissingError) as caught:
        look(made_card())
    assert str(caught.value) == (
        f"The weights of far are not at {path_of(made_card())}. "
        f"Get the file that its authors published (the tests), then: {by_hand}."
    )
    known = {"name": "far.ckpt", "size_bytes": 9, "sha256": "0" * 64, "locations": ["https://models.invalid/far.ckpt"]}
    with pytest.raises(WeightsMissingError, match=rf"Fetch it: tutti models pull far \(or .*: {by_hand}\)\.$"):
        look(made_card(known))


def test_they_are_right_when_they_are_whole_and_of_this_card(made_card: MakeCard) -> None:
    card = made_card()
    path = convert(card)
    verify(card)
    assert locate(card) == pull(card) == path


def test_they_are_known_by_what_their_file_holds(made_card: MakeCard) -> None:
    card, found = made_card(), []
    for rows in ("64", "32"):
        convert(card, memory_rows=rows)
        found.append(identified(card).sha256)
    assert [len(checksum) for checksum in found] == [64, 64]
    assert found[0] != found[1]


def test_a_card_with_a_sha256_keeps_it(make_card: MakeCard) -> None:
    card = make_card()
    path_of(card).parent.mkdir(parents=True)
    path_of(card).write_bytes(CONTENT)
    assert identified(card) == card


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _change(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")


def _scramble(path: Path) -> None:
    path.write_bytes(b"no safetensors at all")


@pytest.mark.parametrize("spoil", [_cut, _change, _scramble])
def test_a_damaged_file_is_refused(spoil: Callable[[Path], None], made_card: MakeCard) -> None:
    card = made_card()
    spoil(convert(card))
    with pytest.raises(HashMismatchError, match=r"far names\. Delete it, then: Get the file"):
        locate(card)


def test_the_file_of_another_model_is_refused(made_card: MakeCard) -> None:
    convert(made_card(name="near"))
    with pytest.raises(HashMismatchError):
        verify(made_card())


def test_a_file_of_other_sizes_is_refused(made_card: MakeCard) -> None:
    convert(made_card(), np.zeros(5, np.float32))
    with pytest.raises(HashMismatchError):
        verify(made_card())


def test_the_first_published_file_that_can_be_fetched_is(folders: Path, made_card: MakeCard, server: Server) -> None:
    unknown = {"name": "unknown.ckpt", "locations": [server.uri]}
    known = {
        "name": "far.ckpt",
        "size_bytes": len(CONTENT),
        "sha256": sha256(CONTENT).hexdigest(),
        "locations": [server.uri],
    }
    told: list[tuple[int, int]] = []
    path = pull_upstream(made_card(unknown, known), lambda done, total: told.append((done, total)))
    assert path == folders / "cache" / "weights" / sha256(CONTENT).hexdigest() / "far.ckpt"
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert pull_upstream(made_card(known)) == path
    server.content = CONTENT[:-1] + b"x"
    path.unlink()
    with pytest.raises(HashMismatchError, match="it was removed"):
        pull_upstream(made_card(known))
    with pytest.raises(WeightsMissingError, match="Nobody has stated where to fetch far"):
        pull_upstream(made_card(unknown))
