import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.errors import OptionError
from tutti.music.sections import Section, Sections

SONG = Sections.between([0.5, 10.0, 30.0, 42.5], ["intro", "verse", "chorus"])


def test_sections_between_boundaries() -> None:
    assert [section.label for section in SONG] == ["intro", "verse", "chorus"]
    assert len(SONG) == 3
    assert SONG[1] == Section(10.0, 30.0, "verse")
    assert SONG[1].duration_s == 20.0
    assert SONG.boundaries_s == (0.5, 10.0, 30.0, 42.5)
    assert Sections().boundaries_s == ()


@pytest.mark.parametrize(
    ("time_s", "label"),
    [(0.4, None), (0.5, "intro"), (9.999, "intro"), (10.0, "verse"), (42.4, "chorus"), (42.5, None)],
)
def test_a_section_sounds_from_its_start_up_to_its_end(time_s: float, label: str | None) -> None:
    section = SONG.at(time_s)
    assert (section and section.label) == label


@pytest.mark.parametrize("span", [(-1.0, 1.0), (1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (math.nan, 1.0)])
def test_a_section_that_takes_no_time_is_refused(span: tuple[float, float]) -> None:
    with pytest.raises(OptionError, match="0 <= start_s < end_s"):
        Section(*span, "verse")


def test_a_section_has_a_label() -> None:
    with pytest.raises(OptionError, match=r"at 3.0 s has none"):
        Section(3.0, 4.0, " ")


@pytest.mark.parametrize("start_s", [1.5, 2.5])
def test_gaps_and_overlaps_are_refused(start_s: float) -> None:
    with pytest.raises(OptionError, match=f"gap or overlap: 2.0 s, then {start_s} s"):
        Sections((Section(0.0, 2.0, "a"), Section(start_s, 4.0, "b")))


def test_labels_and_boundaries_must_fit() -> None:
    with pytest.raises(OptionError, match="2 sections have 3 boundaries; got 2"):
        Sections.between([0.0, 1.0], ["a", "b"])


@given(st.lists(st.floats(0, 1e4), min_size=2, max_size=12, unique=True).map(sorted), st.floats(0, 1e4))
def test_each_moment_has_the_one_section_that_holds_it(boundaries_s: list[float], time_s: float) -> None:
    sections = Sections.between(boundaries_s, [f"part {i}" for i in range(len(boundaries_s) - 1)])
    holding = [section for section in sections if section.start_s <= time_s < section.end_s]
    found = sections.at(time_s)
    assert holding == ([found] if found else [])
