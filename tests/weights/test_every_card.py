"""What every built-in card keeps. A card added to the folder is tested without a line changed here."""

from collections.abc import Callable
from math import prod
from pathlib import Path

import pytest
from safetensors import safe_open

from tutti.catalog import CAPABILITIES
from tutti.weights.cards import BUNDLED, BUNDLED_CARDS, Card, read_card
from tutti.weights.store import BUNDLED_FILES, hash_of

ROOT = Path(__file__).resolve().parents[2]
CARDS = {path.stem: read_card(path) for path in sorted(BUNDLED_CARDS.glob("*.toml"))}


def every(wanted: Callable[[Card], bool]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("card", [pytest.param(c, id=c.name) for c in CARDS.values() if wanted(c)])


every_card = every(lambda _card: True)
every_trained_card = every(lambda card: card.training is not None)
every_bundled_card = every(lambda card: BUNDLED in card.locations)


def test_there_are_cards_that_are_trained_and_bundled() -> None:
    assert any(card.training is not None and BUNDLED in card.locations for card in CARDS.values())


@every_card
def test_the_card_lies_under_its_name(card: Card) -> None:
    assert CARDS[card.name] == card


@every_card
def test_the_card_says_what_is_needed_to_use_it(card: Card) -> None:
    assert card.config
    assert card.weaknesses
    assert card.scores or any(text.startswith("No published figure") for text in card.weaknesses)
    assert card.training is not None or card.commit


@every_card
def test_the_card_serves_a_capability_there_is(card: Card) -> None:
    listening = {"beats", "stems"}  # heard for several capabilities
    assert card.capability in listening | {row.module.rpartition(".")[2] for row in CAPABILITIES}


@every_trained_card
def test_the_training_can_be_repeated(card: Card) -> None:
    assert card.training is not None
    assert (ROOT / card.training.recipe).is_file()
    assert card.training.steps > 0
    assert card.training.hours_heard > 0
    assert card.training.wall_hours > 0


@every_bundled_card
def test_bundled_weights_are_the_ones_the_card_names(card: Card) -> None:
    path = BUNDLED_FILES / card.file
    assert path.stat().st_size == card.size_bytes
    assert hash_of(path) == card.sha256


@every_bundled_card
def test_the_number_of_parameters_is_that_of_the_file(card: Card) -> None:
    """Running statistics and counters lie in the file as well and are no parameters."""
    with safe_open(BUNDLED_FILES / card.file, framework="numpy") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert sum(prod(shape) for name, shape in shapes.items() if not name.endswith(statistics)) == card.parameters


def test_no_bundled_file_is_without_a_card() -> None:
    named = {card.file for card in CARDS.values() if BUNDLED in card.locations}
    assert {path.name for path in BUNDLED_FILES.glob("*.safetensors")} == named
