import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.errors import OptionError
from tutti.music.sections import Section, Sections
from tutti.music.timing import BeatGrid, Tempo, TempoMap, TimeSignature

steps = st.lists(st.tuples(st.floats(0.25, 50), st.floats(20, 400)), min_size=1, max_size=10)


@given(steps, st.floats(0, 600))
def test_beats_come_back_from_seconds(changes: list[tuple[float, float]], beat: float) -> None:
    at = 0.0
    tempi = []
    for length, bpm in changes:
        tempi.append(Tempo(at, bpm))
        at += length
    tempo_map = TempoMap(tuple(tempi))
    assert tempo_map.to_beat(tempo_map.to_seconds(beat)) == pytest.approx(beat, abs=1e-6)


def test_each_tempo_counts_from_its_own_beat() -> None:
    tempo_map = TempoMap((Tempo(0, 120), Tempo(4, 60)))
    assert [tempo_map.to_seconds(beat) for beat in (0, 2, 4, 6)] == [0, 1, 2, 4]
    assert tempo_map.to_beat(3.0) == 5.0


@pytest.mark.parametrize("beats", [(), (1.0,), (0.0, 0.0), (0.0, 4.0, 2.0)])
def test_a_tempo_map_begins_at_zero_and_rises(beats: tuple[float, ...]) -> None:
    with pytest.raises(OptionError, match="begins at beat 0"):
        TempoMap(tuple(Tempo(beat, 120) for beat in beats))


@pytest.mark.parametrize(("beat", "bpm"), [(-1.0, 120.0), (0.0, 0.0), (0.0, float("inf"))])
def test_a_tempo_that_cannot_be_is_refused(beat: float, bpm: float) -> None:
    with pytest.raises(OptionError, match="bpm > 0"):
        Tempo(beat, bpm)


def test_time_signatures_are_checked() -> None:
    assert TimeSignature(7, 8).numerator == 7
    for wrong in ((0, 4), (4, 3), (4, 4, -1.0)):
        with pytest.raises(OptionError):
            TimeSignature(*wrong)


def test_a_beat_grid_knows_its_downbeats_and_refuses_disorder() -> None:
    assert BeatGrid((0.5, 1.0, 1.5), (4, 1, 2)).downbeats_s == (1.0,)
    for times, positions in (((0.5,), (1, 2)), ((1.0, 0.5), (1, 2)), ((-1.0,), (1,)), ((1.0,), (0,))):
        with pytest.raises(OptionError):
            BeatGrid(times, positions)


def test_sections_lie_end_to_end() -> None:
    form = Sections((Section(0, 10, "intro"), Section(10, 30, "drop")))
    assert form.boundaries_s == (0, 10, 30)
    assert form.at(10) == form.sections[1]
    assert form.at(30) is None
    assert len(form) == len(list(form)) == 2
    assert Sections().boundaries_s == ()
    with pytest.raises(OptionError, match="gap or overlap"):
        Sections((Section(0, 10, "a"), Section(11, 12, "b")))
    with pytest.raises(OptionError, match="start_s < end_s"):
        Section(2, 2, "x")
