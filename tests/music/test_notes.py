import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.errors import OptionError
from tutti.music.notes import Note, Notes, PedalEvent


@pytest.mark.parametrize(
    "wrong",
    [
        {"onset_s": -1.0}, {"offset_s": 0.0}, {"offset_s": float("nan")}, {"offset_s": float("inf")}, {"pitch": 128},
        {"velocity": 0}, {"velocity": 128}, {"program": -1},
    ],
)  # fmt: skip
def test_a_note_that_cannot_sound_is_refused(wrong: dict[str, float]) -> None:
    fields = {"onset_s": 0.0, "offset_s": 1.0, "pitch": 60, "velocity": 64, "program": 0} | wrong
    with pytest.raises(OptionError):
        Note(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [(1.0, 1.0), (-1.0, 1.0), (0.0, float("inf")), (0.0, 1.0, 128), (0.0, 1.0, -1)])
def test_a_pedal_goes_down_before_it_comes_up(wrong: tuple[float, float] | tuple[float, float, int]) -> None:
    with pytest.raises(OptionError):
        PedalEvent(*wrong)


def test_drums_have_no_program() -> None:
    assert Note(0, 1, 36, 64, 8, True) == Note(0, 1, 36, 64, 0, True)


@given(st.from_type(Notes))
def test_the_order_of_notes_is_the_order_of_their_type(notes: Notes) -> None:
    assert list(notes.notes) == sorted(notes.notes)
    assert list(notes.pedal) == sorted(notes.pedal)


def test_notes_are_sorted_and_know_their_end() -> None:
    notes = Notes.of([Note(2, 3, 60, 64), Note(0, 5, 40, 64), Note(0, 1, 36, 64, 0, True)])
    assert [note.onset_s for note in notes] == [0, 0, 2]
    assert notes.end_s == 5
    assert notes[0].pitch == 36
    assert len(notes.pitched) == 2
    assert len(notes.drums) == 1
    assert notes[0].duration_s == 1
    assert Notes().end_s == 0


def test_sustained_notes_ring_to_the_pedal_s_end_or_their_own_next_onset() -> None:
    pedal = [PedalEvent(0.5, 3.0, 0)]
    notes = Notes.of(
        [Note(0, 1, 60, 64), Note(2, 2.5, 60, 64), Note(0, 1, 62, 64), Note(0, 0.4, 64, 64), Note(0, 1, 60, 64, 5)],
        pedal,
    )
    ends = {(n.pitch, n.program, n.onset_s): n.offset_s for n in notes.sustained()}
    assert ends == {
        (60, 0, 0): 2.0,  # struck again
        (60, 0, 2): 3.0,
        (62, 0, 0): 3.0,
        (64, 0, 0): 0.4,  # let go before the pedal went down
        (60, 5, 0): 1.0,  # another instrument's pedal
    }


def test_confidence_is_kept_but_makes_no_difference() -> None:
    sure, unsure, unknown = (Note(0.0, 1.0, 60, 80, confidence=value) for value in (1.0, 0, None))
    assert (sure.confidence, unsure.confidence, unknown.confidence) == (1.0, 0.0, None)
    assert sure == unsure == unknown
    assert len({sure, unsure, unknown}) == 1
    assert not sure < unknown
    pedal = [PedalEvent(0.5, 2.0)]
    assert [note.confidence for note in Notes.of([sure], pedal).sustained()] == [1.0]


@pytest.mark.parametrize("confidence", [-0.1, 1.1, float("nan")])
def test_confidence_is_a_share(confidence: float) -> None:
    with pytest.raises(OptionError, match="confidence is 0-1"):
        Note(0.0, 1.0, 60, 80, confidence=confidence)
