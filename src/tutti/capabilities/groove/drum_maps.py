"""Which note plays which drum in other instruments, from and to the percussion keys of General MIDI.

`drum_maps.toml` holds the maps, each with where its notes are told and which of them are our own choice.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from tutti.errors import OptionError

__all__ = ["MAP_NAMES", "DrumMap", "drum_map", "mapped", "unmapped"]

MAP_NAMES: tuple[str, ...] = ("gm", "ableton", "td17", "superior", "addictive")


@dataclass(frozen=True, slots=True)
class DrumMap:
    title: str
    source: str
    """Who says so."""
    verified: dict[int, int]
    """Notes by General MIDI key, as the source has them."""
    assumed: dict[int, int]
    """Our choice where the source leaves one, or the kit has no such piece."""


@cache
def _maps() -> dict[str, DrumMap]:
    text = files("tutti.capabilities.groove").joinpath("drum_maps.toml").read_text("utf-8")
    return {
        name: DrumMap(table["title"], table["source"], _whole(table["verified"]), _whole(table["assumed"]))
        for name, table in tomllib.loads(text).items()
    }


def _whole(table: dict[str, int]) -> dict[int, int]:
    return {int(key): note for key, note in table.items()}


def drum_map(name: str) -> DrumMap:
    """The map of MAP_NAMES. Raises OptionError for another name."""
    if name not in MAP_NAMES:
        raise OptionError(f"There is no drum map {name!r}. Use one of: {', '.join(MAP_NAMES)}.")
    return _maps()[name]


def mapped(key: int, map_name: str) -> int:
    """The note that plays a General MIDI percussion key; a key the map does not name stays. Raises OptionError."""
    chosen = drum_map(map_name)
    return chosen.verified.get(key, chosen.assumed.get(key, key))


def unmapped(key: int, map_name: str) -> int:
    """The General MIDI percussion key of a note of the map; a note it does not use stays. Raises OptionError.

    `mapped` brings back every note it gave. The other way something is lost where two keys share a note: toms and
    cymbals that the kit has fewer of, and hand percussion.
    """
    return _inverse(map_name).get(key, key)


@cache
def _inverse(map_name: str) -> dict[int, int]:
    chosen = drum_map(map_name)
    keys: dict[int, int] = {}
    for key, note in (chosen.verified | chosen.assumed).items():
        keys.setdefault(note, key)
    return keys
