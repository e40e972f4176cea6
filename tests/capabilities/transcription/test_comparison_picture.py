import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from tutti.capabilities.transcription.comparison import compare
from tutti.capabilities.transcription.comparison_picture import comparison_rolls
from tutti.capabilities.transcription.picture import to_png
from tutti.music.notes import Note, Notes

A = Notes.of([Note(0.0, 1.0, 60, 80), Note(1.0, 2.0, 64, 80), Note(2.0, 3.0, 67, 80), Note(1.0, 1.1, 36, 90, 0, True)])
B = Notes.of([Note(0.0, 1.0, 60, 80), Note(1.2, 2.0, 64, 80), Note(2.0, 3.0, 72, 80), Note(1.0, 1.1, 54, 9, 0, True)])


def colours_of(axes: object) -> list[tuple[float, ...]]:
    return [tuple(each.get_facecolor()[0][:3]) for each in axes.collections]  # type: ignore[attr-defined]


def test_both_are_drawn_on_one_time_axis_with_their_differences_in_colour() -> None:
    figure = comparison_rolls(compare(A, B), ("a $song_.mid", "b.mid"))
    above, strip, below = figure.axes
    assert above.get_xlim() == below.get_xlim() == strip.get_xlim() == (0.0, 3.0)
    assert above.get_ylim() == below.get_ylim()
    grey, amber, red, blue = (to_rgb(colour) for colour in ("#aeb8c2", "#d98e04", "#cf222e", "#1f6feb"))
    assert colours_of(above) == [grey, amber, red]
    assert colours_of(below) == [grey, amber, blue]
    assert above.get_title(loc="left") == "A   a $song_.mid   (4 notes)"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [
        "in both (1)", "other length (0)", "moved (1)", "other instrument (0)", "only in A (2)", "only in B (2)",
    ]  # fmt: skip
    assert [label.get_text() for label in above.get_yticklabels()] == ["kick", "other", "C4", "C5"]


def test_a_note_is_where_it_sounds() -> None:
    (box,) = comparison_rolls(compare(Notes.of(A.notes[:1]), Notes())).axes[0].collections[0].get_paths()
    assert box.get_extents().bounds == pytest.approx((0.0, 59.55, 1.0, 0.9))


def test_long_pieces_make_wide_pictures_in_which_short_notes_can_be_seen() -> None:
    widths = []
    for end_s in (10.0, 180.0, 3600.0):
        notes = Notes.of([Note(0.0, 0.01, 60, 80), Note(end_s - 1, end_s, 60, 80)])
        figure = comparison_rolls(compare(notes, Notes()))
        widths.append(figure.get_figwidth())
        box = figure.axes[0].collections[0].get_paths()[0].get_extents()
        assert box.width / end_s * widths[-1] * 110 == pytest.approx(3.0)
        marks = [mark for mark in figure.axes[2].get_xticks() if 0 <= mark <= end_s]
        assert 10 <= len(marks) <= 61
    assert widths == [14.0, pytest.approx(23.4), 36.0]


def test_nothing_at_all_can_be_drawn() -> None:
    assert to_png(comparison_rolls(compare(Notes(), Notes())), dpi=40).startswith(b"\x89PNG")


def test_the_same_notes_give_the_same_bytes_of_a_picture_that_shows_something() -> None:
    first, second = (to_png(comparison_rolls(compare(A, B)), dpi=40) for _ in range(2))
    assert first == second
    image = imread(io.BytesIO(first))
    assert len(np.unique(image.reshape(-1, image.shape[-1]), axis=0)) > 10
