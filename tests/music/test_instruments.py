import pytest

from tutti.capabilities.transcription.families import FAMILIES as HEARD
from tutti.capabilities.transcription.families import family_of_program, program_of_family
from tutti.errors import OptionError
from tutti.music.drum_kit import DRUM_CLASSES, key_of_class
from tutti.music.instruments import FAMILIES, PROGRAMS, family_of, percussion_name, program_name


def test_the_128_programs_lie_in_sixteen_families_of_eight() -> None:
    assert len(PROGRAMS) == len(set(PROGRAMS)) == 128
    assert len(FAMILIES) == 16
    assert (program_name(0), program_name(40), program_name(127)) == ("Acoustic Grand Piano", "Violin", "Gunshot")
    assert (family_of(25), family_of(73)) == ("Guitar", "Pipe")
    for wrong in (-1, 128):
        with pytest.raises(OptionError):
            program_name(wrong)


def test_percussion_keys_have_names_where_general_midi_gives_one() -> None:
    assert percussion_name(42) == "Closed Hi-hat"
    assert percussion_name(22) is None
    assert all(percussion_name(key_of_class(name)) for name in DRUM_CLASSES)


def test_every_family_that_is_heard_writes_a_program_that_reads_back() -> None:
    assert [family_of_program(program_of_family(name)) for name in HEARD] == list(HEARD)
