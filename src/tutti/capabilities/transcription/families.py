"""The instrument families that transcription tells apart, and the General MIDI programs that stand for them."""

from __future__ import annotations

__all__ = ["FAMILIES", "family_of_program", "program_of_family"]

_PROGRAMS: dict[str, tuple[int, tuple[range, ...]]] = {
    # family: the program written for it, the programs read as it
    "piano": (0, (range(0, 8),)),
    "chromatic percussion": (11, (range(8, 16),)),
    "organ": (16, (range(16, 24),)),
    "guitar": (25, (range(24, 32), range(104, 108))),
    "bass": (33, (range(32, 40),)),
    "strings": (40, (range(40, 48), range(110, 111))),
    "ensemble": (48, (range(48, 52), range(55, 56))),
    "brass": (56, (range(56, 64),)),
    "reed": (65, (range(64, 72), range(109, 110), range(111, 112))),
    "pipe": (73, (range(72, 80),)),
    "synth lead": (80, (range(80, 88),)),
    "synth pad": (88, (range(88, 96),)),
    "voice": (53, (range(52, 55),)),
}

FAMILIES: tuple[str, ...] = tuple(_PROGRAMS)

_FAMILY = {program: name for name, (_, spans) in _PROGRAMS.items() for span in spans for program in span}


def family_of_program(program: int) -> str | None:
    """The family of a General MIDI program counted from 0, or None (effects, some ethnic instruments)."""
    return _FAMILY.get(program)


def program_of_family(name: str) -> int:
    """The program that tutti writes for a family."""
    return _PROGRAMS[name][0]
