"""YourMT3's programs as General MIDI ones: it sings in 100 and, backing, 101, which are effects in General MIDI."""

from __future__ import annotations

__all__ = ["BACKING_VOICE", "VOICE", "general_midi_program", "upstream_midi_program"]

VOICE = 100
BACKING_VOICE = 101

_GENERAL_MIDI = {VOICE: 53, BACKING_VOICE: 52}
"""Voice Oohs and Choir Aahs."""

_GROUPS: tuple[tuple[int, tuple[int, ...]], ...] = (
    (0, (0, 1, 3, 6, 7)),
    (2, (2, 4, 5)),
    (8, tuple(range(8, 16))),
    (16, tuple(range(16, 24))),
    (24, tuple(range(24, 28))),
    (30, tuple(range(28, 32))),
    (33, tuple(range(32, 40))),
    (48, tuple(range(40, 56))),
    (56, tuple(range(56, 64))),
    (64, tuple(range(64, 72))),
    (72, tuple(range(72, 80))),
    (80, tuple(range(80, 88))),
    (88, tuple(range(88, 96))),
    (65, (VOICE,)),
    (53, (BACKING_VOICE,)),
)
"""(the program upstream writes, the programs it writes it for); alto saxophone stands for the voice."""

_UPSTREAM = {program: written for written, programs in _GROUPS for program in programs}


def general_midi_program(program: int) -> int:
    """The General MIDI program for a program token of YourMT3: itself, but for voices."""
    return _GENERAL_MIDI.get(program, program)


def upstream_midi_program(program: int) -> int:
    """The program that upstream writes into its MIDI files: one for each group of instruments."""
    return _UPSTREAM.get(program, program)
