import pytest

from benchmarks.drums import beats
from benchmarks.drums.beats import SETS, f_measure, score
from benchmarks.drums.systems import OUR_BEATS
from tutti.music.timing import BeatGrid


def grid(bpm: float, first: int = 1, count: int = 40, start_s: float = 0.0) -> BeatGrid:
    times_s = tuple(start_s + row * 60 / bpm for row in range(count))
    return BeatGrid(times_s, tuple((row + first - 1) % 4 + 1 for row in range(count)))


def test_the_first_five_seconds_count_or_do_not() -> None:
    truth = [0.5 * row for row in range(20)]
    late = [time_s for time_s in truth if time_s >= 5]
    assert f_measure(truth, late, trimmed=True) == 1
    assert f_measure(truth, late) == pytest.approx(2 / 3)
    assert f_measure(truth, []) == f_measure(truth, [1.0], trimmed=True) == 0


def test_downbeats_and_tempo_have_their_own_scores() -> None:
    one = score("A", grid(120), grid(120, first=2), knows_bars=True)
    assert (one.beat_f1, one.downbeat_f1, one.tempo_is_right) == (1, 0, True)
    double = score("A", grid(120), grid(240, count=80), knows_bars=False)
    assert double.beat_f1 == pytest.approx(2 / 3, abs=0.01)
    assert (double.downbeat_f1, double.tempo_is_right) == (None, False)
    assert score("A", grid(100), grid(103.9), knows_bars=True).tempo_is_right
    assert not score("A", grid(100), grid(104.1), knows_bars=True).tempo_is_right
    nothing = score("A", grid(100), BeatGrid(), knows_bars=True)
    assert (nothing.beat_f1, nothing.bpm, nothing.tempo_is_right) == (0, None, False)


def test_the_report_has_a_row_a_system_and_goals_for_ours() -> None:
    right = score("A", grid(120), grid(120), knows_bars=True)
    wrong = score("B", grid(120), grid(60, count=20), knows_bars=True)
    unbarred = score("A", grid(120), grid(120), knows_bars=False)
    sets = {title: {OUR_BEATS: [right, wrong], "librosa": [unbarred, unbarred]} for title in SETS}
    text = beats.render(sets)
    for title in SETS:
        assert f"| {title}, tempo within 4 % | 1 of 2 | all | **no** |" in text
        assert f"| {title} | librosa | 1.000 | 1.000 | – | – | 2 of 2 |" in text
        assert f"| {title} | B | 120.0 | {OUR_BEATS} | 60.0 | 0.667 |" in text
    assert "goal" not in beats.render({title: {"librosa": [unbarred]} for title in SETS})
