import pytest

from tutti.capabilities.groove.drum_maps import MAP_NAMES, drum_map, mapped, unmapped
from tutti.capabilities.groove.types import Options
from tutti.errors import OptionError
from tutti.music.drum_kit import DRUM_CLASSES, class_of_key, key_of_class

PERCUSSION = range(35, 82)


@pytest.mark.parametrize("name", MAP_NAMES)
def test_every_map_says_where_it_is_from_and_gives_notes(name: str) -> None:
    chosen = drum_map(name)
    assert chosen.title
    assert chosen.source
    assert not chosen.verified.keys() & chosen.assumed.keys()
    assert all(0 <= mapped(key, name) <= 127 for key in range(128))
    if name != "gm":  # a key left out would play whatever lies there
        assert set(PERCUSSION) <= chosen.verified.keys() | chosen.assumed.keys()


@pytest.mark.parametrize("name", MAP_NAMES)
def test_a_note_that_was_written_comes_back_as_itself(name: str) -> None:
    for key in range(128):
        note = mapped(key, name)
        assert mapped(unmapped(note, name), name) == note


@pytest.mark.parametrize("name", MAP_NAMES)
def test_the_pieces_of_every_kit_read_back(name: str) -> None:
    for piece in ("kick", "snare", "side_stick", "hihat_closed", "hihat_open", "hihat_pedal", "tom_high", "crash"):
        assert class_of_key(unmapped(mapped(key_of_class(piece), name), name)) == piece


@pytest.mark.parametrize("name", ["gm", "superior", "addictive"])
def test_kits_with_every_piece_lose_none(name: str) -> None:
    for piece in DRUM_CLASSES:
        assert class_of_key(unmapped(mapped(key_of_class(piece), name), name)) == piece


def test_general_midi_changes_nothing() -> None:
    assert all(mapped(key, "gm") == unmapped(key, "gm") == key for key in range(128))


def test_notes_that_the_sources_name() -> None:
    assert [mapped(key, "addictive") for key in (36, 37, 38, 44, 49, 51, 53)] == [36, 42, 38, 48, 77, 60, 61]
    assert [mapped(key, "td17") for key in (36, 38, 50, 47, 43)] == [36, 38, 48, 45, 43]
    assert [mapped(key, "superior") for key in (36, 38, 50, 47, 43, 41)] == [36, 38, 48, 47, 43, 41]
    assert all(36 <= mapped(key, "ableton") <= 51 for key in PERCUSSION)  # its sixteen pads


def test_the_option_offers_exactly_these_maps() -> None:
    assert Options.model_json_schema()["properties"]["drum_map"]["enum"] == list(MAP_NAMES)
    with pytest.raises(OptionError, match="Use one of: gm, ableton"):
        mapped(36, "../secret")
