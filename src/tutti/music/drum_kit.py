"""The drum classes tutti names everywhere, and the General MIDI percussion keys that mean them."""

from __future__ import annotations

__all__ = ["DRUM_CLASSES", "class_of_key", "key_of_class"]

_KEYS: dict[str, tuple[int, ...]] = {
    # class: the key written for it, then every other key read as it (22 and 26 are Roland's hi-hat edges)
    "kick": (36, 35),
    "snare": (38, 40, 39),
    "side_stick": (37, 31),
    "hihat_closed": (42, 22),
    "hihat_open": (46, 26),
    "hihat_pedal": (44,),
    "tom_high": (50, 48),
    "tom_mid": (47, 45),
    "tom_low": (43, 41, 58),
    "ride": (51, 59),
    "ride_bell": (53,),
    "crash": (49, 57),
    "splash": (55,),
    "china": (52,),
}

DRUM_CLASSES: tuple[str, ...] = tuple(_KEYS)

_CLASS_OF_KEY = {key: name for name, keys in _KEYS.items() for key in keys}


def class_of_key(key: int) -> str | None:
    """The class of a General MIDI percussion key, or None for hand percussion and effects."""
    return _CLASS_OF_KEY.get(key)


def key_of_class(name: str) -> int:
    """The General MIDI key that tutti writes for a class of `DRUM_CLASSES`."""
    return _KEYS[name][0]
