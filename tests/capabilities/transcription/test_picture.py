import io

import numpy as np
from matplotlib.image import imread

from tutti.capabilities.transcription.picture import piano_roll, to_png
from tutti.music.notes import Note, Notes

NOTES = Notes.of(
    [
        Note(0.5, 1.5, 60, 100, 0),
        Note(2.0, 3.0, 72, 60, 25),
        Note(1.0, 1.05, 36, 90, 0, True),
        Note(3.0, 3.1, 54, 9, 0, True),
    ]
)


def test_every_instrument_and_drum_is_drawn_and_named() -> None:
    pitched, drums = piano_roll(NOTES, 4.0, title="a song_with $ signs").axes
    assert [text.get_text() for text in pitched.get_legend().get_texts()] == ["piano (1)", "guitar (1)"]
    assert [label.get_text() for label in drums.get_yticklabels()] == ["kick", "other"]
    assert pitched.get_xlim() == (0.0, 4.0)
    low, high = pitched.get_ylim()
    assert low < 60 < 72 < high


def test_what_is_not_there_takes_no_room() -> None:
    assert len(piano_roll(Notes.of(NOTES.pitched), 4.0).axes) == 1
    (drums,) = piano_roll(Notes.of(NOTES.drums), 4.0).axes
    assert [label.get_text() for label in drums.get_yticklabels()] == ["kick", "other"]
    (empty,) = piano_roll(Notes(), 0.0).axes
    assert [text.get_text() for text in empty.texts] == ["no notes"]


def test_a_narrow_range_is_named_note_by_note_and_a_wide_one_by_octaves() -> None:
    narrow, wide = (
        [label.get_text() for label in piano_roll(Notes.of(notes), 4.0).axes[0].get_yticklabels()]
        for notes in (NOTES.pitched, [*NOTES.pitched, Note(0.0, 1.0, 96, 90, 0)])
    )
    assert narrow[:4] == ["B3", "C4", "D4", "E4"]
    assert wide == ["C4", "C5", "C6", "C7"]


def test_the_same_notes_give_the_same_bytes_of_a_picture_that_shows_something() -> None:
    first, second = (to_png(piano_roll(NOTES, 4.0)) for _ in range(2))
    assert first == second
    image = imread(io.BytesIO(first))
    assert len(np.unique(image.reshape(-1, image.shape[-1]), axis=0)) > 10
