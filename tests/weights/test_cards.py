from pathlib import Path

import pytest
from pydantic import ValidationError

from tutti.errors import CardError, UnknownModelError
from tutti.weights.cards import BUNDLED_CARDS, check_uri, find_card, load_cards

CARD = f"""
name = "mine"
capability = "transcription"
framework = "torch"
description = "A model of my own."
licence = "MIT"
source = "my notebook"
parameters = 10
file = "mine.safetensors"
size_bytes = 40
sha256 = "{"0" * 64}"
locations = ["https://models.invalid/mine.safetensors", "file:///models/mine.safetensors"]
attribution = ["me"]

[config]
width = 3

[[scores]]
data = "my recordings"
metric = "onset F1"
value = 1

[training]
data = "my songs"
hours_heard = 2
steps = 10
wall_hours = 0.5
seed = 1
recipe = "recipes/mine.toml"
"""


def write(folders: Path, text: str, name: str = "mine.toml") -> Path:
    path = folders / "cards" / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_card_in_the_users_folder_is_found_beside_the_built_in_ones(folders: Path) -> None:
    write(folders, CARD)
    card = find_card("mine")
    assert card.config == {"width": 3}
    assert (card.scores[0].value, card.scores[0].note) == (1.0, "")
    assert card.training is not None
    assert card.training.hours_heard == 2.0
    assert card.locations[1] == "file:///models/mine.safetensors"
    built_in = {path.stem for path in BUNDLED_CARDS.glob("*.toml")}
    assert built_in
    assert load_cards().keys() == built_in | {"mine"}


CONVERTED_CARD = f"""
name = "made"
capability = "transcription"
framework = "torch"
description = "Made here."
licence = "MIT"
source = "https://models.invalid"
parameters = 10
file = "made.safetensors"
size_bytes = 40
locations = ["converted"]

[[upstream]]
name = "made=1.ckpt"
size_bytes = 90
sha256 = "{"1" * 64}"
locations = ["https://models.invalid/made%3D1.ckpt"]
settings = {{ rows = "3" }}

[[upstream]]
name = "other.ckpt"
"""


def test_a_card_can_be_of_weights_that_are_made_from_a_published_file(folders: Path) -> None:
    write(folders, CONVERTED_CARD, "made.toml")
    card = find_card("made")
    assert card.is_converted
    assert card.sha256 == ""
    assert [file.can_be_fetched for file in card.upstream] == [True, False]
    assert card.upstream[0].settings == {"rows": "3"}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('["converted"]', '["https://models.invalid/made"]', "sha256 is missing"),
        ('["converted"]', '["bundled"]', "sha256 is missing"),
        ('["converted"]', '["converted", "https://models.invalid/made"]', "have no other location"),
        ('"1', '"x', "upstream.0.sha256: "),
        ('"made=1.ckpt"', '"../made.ckpt"', "upstream.0.name: "),
        ('["https://models.invalid/made%3D1.ckpt"]', '["converted"]', "upstream.0.locations.0: "),
        ('rows = "3"', "rows = 3", "upstream.0.settings.rows: "),
    ],
)
def test_a_malformed_card_of_converted_weights_says_why(folders: Path, old: str, new: str, reason: str) -> None:
    assert old in CONVERTED_CARD
    write(folders, CONVERTED_CARD.replace(old, new, 1), "made.toml")
    with pytest.raises(CardError, match=r"made\.toml is not a model card: ") as caught:
        load_cards()
    assert reason in str(caught.value)


def test_a_folder_of_cards_need_not_be_there(folders: Path) -> None:
    (folders / "cards").rmdir()
    assert "mine" not in load_cards()
    assert load_cards()


def test_a_card_cannot_be_changed(folders: Path) -> None:
    write(folders, CARD)
    with pytest.raises(ValidationError, match="frozen"):
        find_card("mine").name = "yours"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('name = "mine"', 'name = "Mine!"', "name: "),
        ('name = "mine"', "", "name: Field required"),
        ('framework = "torch"', 'framework = "keras"', "framework: "),
        ('licence = "MIT"', 'licence = ""', "licence: "),
        ("parameters = 10", "parameters = 0", "parameters: "),
        ("parameters = 10", 'parameters = "10"', "parameters: "),
        ('file = "mine.safetensors"', 'file = "../mine.safetensors"', "file: "),
        ("size_bytes = 40", "size_bytes = 40.5", "size_bytes: "),
        ('sha256 = "0', 'sha256 = "G', "sha256: "),
        ('"file:///models', '"gs://models', "locations.1: "),
        ("width = 3", "width = 3\n[surprise]\nx = 1", "surprise: Extra inputs"),
        ("value = 1", 'value = "high"', "scores.0.value: "),
        ("steps = 10", "steps = -10", "training.steps: "),
        ('attribution = ["me"]', 'attribution = "me"', "attribution: "),
    ],
)
def test_a_malformed_card_names_file_and_field(folders: Path, old: str, new: str, field: str) -> None:
    assert old in CARD
    path = write(folders, CARD.replace(old, new, 1))
    with pytest.raises(CardError) as caught:
        load_cards()
    assert str(caught.value).startswith(f"{path} is not a model card: {field}")


def test_a_card_that_is_not_toml_names_file_and_line(folders: Path) -> None:
    path = write(folders, "name = mine\n")
    with pytest.raises(CardError, match="line 1") as caught:
        load_cards()
    assert str(path) in str(caught.value)


def test_a_card_that_is_no_text_names_the_file(folders: Path) -> None:
    (folders / "cards" / "mine.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CardError, match=r"mine\.toml cannot be read as a model card"):
        load_cards()


def test_two_cards_of_one_name_are_refused_naming_both(folders: Path) -> None:
    paths = [write(folders, CARD, name) for name in ("a.toml", "b.toml")]
    with pytest.raises(CardError) as caught:
        load_cards()
    assert str(caught.value) == f"{paths[0]} and {paths[1]} both name 'mine'. Rename one of them."


def test_a_users_card_cannot_take_a_built_in_name(folders: Path) -> None:
    write(folders, CARD.replace('"mine"', '"tutti-notes"', 1))
    with pytest.raises(CardError, match=r"tutti-notes\.toml and .*mine\.toml both name 'tutti-notes'"):
        load_cards()


def test_an_unknown_name_lists_what_there_is_and_guesses(folders: Path) -> None:
    write(folders, CARD)
    with pytest.raises(UnknownModelError) as caught:
        find_card("tuti-notes")
    names = ", ".join(sorted(load_cards()))
    assert str(caught.value) == f"There is no model 'tuti-notes'. Did you mean 'tutti-notes'? There is: {names}."


def test_a_name_like_no_other_gets_no_guess(folders: Path) -> None:  # noqa: ARG001
    with pytest.raises(UnknownModelError) as caught:
        find_card("zzz")
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("uri", ["https://a/b", "http://a/b?c=d", "s3://bucket/key", "file:///a/b"])
def test_a_place_to_fetch_from(uri: str) -> None:
    assert check_uri(uri) == uri


@pytest.mark.parametrize(
    "uri",
    [
        "a/b",
        "ftp://a/b",
        "gs://a/b",
        "https:///b",
        "https://a",
        "https://a/",
        "s3://a/b/",
        "file:///",
        "file://a::s3://b",
    ],
)
def test_no_place_to_fetch_from(uri: str) -> None:
    with pytest.raises(ValueError, match=r"no place to fetch from|names no file"):
        check_uri(uri)
