from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.capabilities.transcription.comparison import Counts, compare
from tutti.errors import OptionError
from tutti.music.notes import Note, Notes

PIANO, VIOLIN = 0, 40


def note(onset_s: float, pitch: int = 60, program: int = PIANO, length_s: float = 0.4) -> Note:
    return Note(onset_s, onset_s + length_s, pitch, 80, program)


def kick(onset_s: float, key: int = 36) -> Note:
    return Note(onset_s, onset_s + 0.05, key, 90, 0, True)


def test_every_kind_of_difference_is_told_from_the_others() -> None:
    a = Notes.of([note(0), note(1), note(2), note(3), note(6), kick(0), kick(1)])
    b = Notes.of([note(0.05), note(1.3), note(2.01, program=VIOLIN), note(3.6), note(6, 61), kick(0), kick(1, 35)])
    found = compare(a, b)
    assert [(x.onset_s, y.onset_s) for x, y in found.matched] == [(0, 0), (0, 0.05)]
    assert [(x.onset_s, y.onset_s) for x, y in found.moved] == [(1, 1.3)]
    assert [(x.onset_s, y.program) for x, y in found.other_instrument] == [(2, VIOLIN)]
    assert [(x.onset_s, x.pitch) for x in found.only_a] == [(1, 36), (3, 60), (6, 60)]
    assert [(y.onset_s, y.pitch) for y in found.only_b] == [(1, 35), (3.6, 60), (6, 61)]
    assert found.by_instrument == {
        "Acoustic Grand Piano": Counts(matched=1, moved=1, other_instrument=1, only_a=2, only_b=2),
        "Drums": Counts(matched=1, only_a=1, only_b=1),
    }
    assert list(found.by_instrument) == ["Acoustic Grand Piano", "Drums"]
    assert not found.is_same_within_tolerance


def test_the_nearest_are_paired_and_each_once() -> None:
    found = compare(Notes.of([note(1.0), note(1.04)]), Notes.of([note(1.03), note(1.4)]))
    assert [(x.onset_s, y.onset_s) for x, y in found.matched] == [(1.04, 1.03)]
    assert [(x.onset_s, y.onset_s) for x, y in found.moved] == [(1.0, 1.4)]


def test_unisons_stay_with_their_instruments() -> None:
    both = Notes.of([note(0), note(0, program=VIOLIN)])
    assert compare(both, both).is_same_within_tolerance
    found = compare(both, Notes.of([note(0.01, program=VIOLIN)]))
    assert len(found.matched) == 1
    assert [each.program for each in found.only_a] == [PIANO]


def test_the_tolerance_is_the_callers() -> None:
    a, b = Notes.of([note(0)]), Notes.of([note(0.02)])
    assert len(compare(a, b, 0.02).matched) == 1
    assert len(compare(a, b, 0.0199).moved) == 1
    assert len(compare(a, a, 0.0).matched) == 1
    for wrong in (-0.01, 0.51, float("nan")):
        with pytest.raises(OptionError, match=r"0-0\.5 s"):
            compare(a, b, wrong)


def test_lengths_and_velocities_of_matched_notes_are_compared() -> None:
    a = Notes.of([note(0, length_s=1.0), note(2, length_s=0.1), kick(3)])
    b = Notes.of([note(0, length_s=1.21), note(2, length_s=0.14), replace(kick(3), offset_s=4.0, velocity=1)])
    found = compare(a, b)
    assert [x.onset_s for x, _ in found.other_length] == [0]
    assert [x.onset_s for x, _ in found.other_velocity] == [3]
    assert found.is_same_within_tolerance
    assert not found.is_identical


def test_identical_is_equal_in_everything_but_confidence() -> None:
    a = Notes.of([note(0)])
    assert compare(a, Notes.of([replace(a[0], confidence=0.3)])).is_identical
    assert not compare(a, Notes.of([replace(a[0], offset_s=0.41)])).is_identical
    assert compare(Notes(), Notes()).is_identical


NOTE = st.builds(note, st.integers(0, 30).map(lambda row: row / 20), st.integers(60, 61), st.sampled_from([0, 40]))
NOTES = st.lists(NOTE, max_size=12).map(Notes.of)


@given(NOTES, NOTES)
def test_every_note_is_in_one_place(a: Notes, b: Notes) -> None:
    found = compare(a, b)
    pairs = [*found.matched, *found.moved, *found.other_instrument]
    assert sorted([*(x for x, _ in pairs), *found.only_a]) == list(a)
    assert sorted([*(y for _, y in pairs), *found.only_b]) == list(b)


@given(NOTES, NOTES)
def test_which_comes_first_makes_no_difference_to_how_many_match(a: Notes, b: Notes) -> None:
    there, back = compare(a, b), compare(b, a)
    assert len(there.matched) == len(back.matched)
    assert (len(there.only_a), len(there.only_b)) == (len(back.only_b), len(back.only_a))
