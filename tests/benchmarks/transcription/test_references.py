import pytest

from benchmarks.transcription.references import DrumReference, PlayedNote, drum_class, extend_by_pedal


@pytest.mark.parametrize(
    ("key", "name"),
    [(36, "KD"), (40, "SD"), (37, "OT"), (22, "HH"), (26, "HH"), (58, "TT"), (52, "CY"), (54, "OT"), (120, "OT")],
)
def test_keys_fold_into_five_classes(key: int, name: str) -> None:
    assert drum_class(key) == name


def test_a_note_released_under_the_pedal_lasts_until_it_rises() -> None:
    assert extend_by_pedal([PlayedNote(0.0, 1.0, 60)], [(0.5, 3.0)]) == (PlayedNote(0.0, 3.0, 60),)


def test_a_note_released_before_the_pedal_stays_short() -> None:
    assert extend_by_pedal([PlayedNote(0.0, 1.0, 60)], [(1.1, 3.0)]) == (PlayedNote(0.0, 1.0, 60),)


def test_striking_the_key_again_ends_the_note() -> None:
    notes = [PlayedNote(0.0, 1.0, 60), PlayedNote(2.0, 2.5, 60), PlayedNote(1.5, 1.6, 62)]

    assert extend_by_pedal(notes, [(0.5, 3.0)]) == (
        PlayedNote(0.0, 2.0, 60),
        PlayedNote(1.5, 3.0, 62),
        PlayedNote(2.0, 3.0, 60),
    )


def test_onsets_of_a_class() -> None:
    reference = DrumReference("X", ((0.0, "KD"), (0.5, "SD"), (1.0, "KD")))

    assert reference.of_class("KD").tolist() == [0.0, 1.0]
    assert reference.all_onsets.tolist() == [0.0, 0.5, 1.0]
