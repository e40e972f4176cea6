import mido
import pytest

from tutti.capabilities.transcription.families import FAMILIES as HEARD
from tutti.capabilities.transcription.families import family_of_program, program_of_family
from tutti.errors import OptionError
from tutti.music.drum_kit import DRUM_CLASSES, key_of_class
from tutti.music.instruments import FAMILIES, PERCUSSION, PROGRAMS, family_of, percussion_name, program_name


def test_the_128_programs_lie_in_sixteen_families_of_eight() -> None:
    assert len(PROGRAMS) == len(set(PROGRAMS)) == 128
    assert len(FAMILIES) == 16
    assert (program_name(0), program_name(40), program_name(127)) == ("Acoustic Grand Piano", "Violin", "Gunshot")
    assert [family_of(program) for program in range(128)] == [name for name in FAMILIES for _ in range(8)]
    for wrong in (-1, 128):
        with pytest.raises(OptionError, match=f"0-127; got {wrong}"):
            program_name(wrong)
        with pytest.raises(OptionError):
            family_of(wrong)


@pytest.mark.parametrize(
    ("program", "name", "family"),
    [
        (0, "Acoustic Grand Piano", "Piano"), (11, "Vibraphone", "Chromatic Percussion"),
        (19, "Church Organ", "Organ"), (24, "Acoustic Guitar (nylon)", "Guitar"),
        (33, "Electric Bass (finger)", "Bass"), (40, "Violin", "Strings"), (47, "Timpani", "Strings"),
        (52, "Choir Aahs", "Ensemble"), (56, "Trumpet", "Brass"), (68, "Oboe", "Reed"), (73, "Flute", "Pipe"),
        (80, "Lead 1 (square)", "Synth Lead"), (95, "Pad 8 (sweep)", "Synth Pad"),
        (103, "FX 8 (sci-fi)", "Synth Effects"), (105, "Banjo", "Ethnic"), (114, "Steel Drums", "Percussive"),
        (127, "Gunshot", "Sound Effects"),
    ],
)  # fmt: skip
def test_programs_count_from_0(program: int, name: str, family: str) -> None:
    assert (program_name(program), family_of(program)) == (name, family)


def test_percussion_keys_have_names_where_general_midi_gives_one() -> None:
    named = {
        35: "Acoustic Bass Drum",
        38: "Acoustic Snare",
        42: "Closed Hi-hat",
        46: "Open Hi-hat",
        51: "Ride Cymbal 1",
    }
    named |= {56: "Cowbell", 60: "Hi Bongo", 75: "Claves", 81: "Open Triangle"}
    assert {key: percussion_name(key) for key in named} == named
    assert [key for key in range(128) if percussion_name(key)] == list(range(35, 82)) == list(PERCUSSION)
    assert len(set(PERCUSSION.values())) == len(PERCUSSION)
    assert all(percussion_name(key_of_class(name)) for name in DRUM_CLASSES)


def test_every_family_that_is_heard_writes_a_program_that_reads_back() -> None:
    assert [family_of_program(program_of_family(name)) for name in HEARD] == list(HEARD)


@pytest.mark.parametrize("name", [*PROGRAMS, *PERCUSSION.values()])
def test_every_name_may_name_a_midi_track(name: str) -> None:
    assert mido.MetaMessage("track_name", name=name).bytes()[3:] == list(name.encode("ascii"))
