import tracemalloc

import numpy as np
import pytest

from tutti.capabilities.drums import recurrence
from tutti.capabilities.drums.decode import Answers
from tutti.capabilities.drums.recurrence import recalled
from tutti.music.drum_kit import DRUM_CLASSES

BAR_FRAMES = 200
KICK, SNARE, HIHAT, CRASH = (DRUM_CLASSES.index(name) for name in ("kick", "snare", "hihat_closed", "crash"))


def rock(bars: int) -> Answers:
    """Eighths on the hi-hat, kick on one and three, snare on two and four, all of them sure."""
    onset = np.zeros((bars * BAR_FRAMES, len(DRUM_CLASSES)), np.float32)
    onset[::25, HIHAT] = onset[::100, KICK] = onset[50::100, SNARE] = 0.9
    return Answers(onset, np.full_like(onset, 0.5))


def test_a_stroke_hardly_heard_is_surer_where_all_other_bars_have_it() -> None:
    heard = rock(12)
    heard.onset[5 * BAR_FRAMES + 50, SNARE] = 0.3
    assert recalled(heard).onset[5 * BAR_FRAMES + 50, SNARE] > 0.5


def test_a_stroke_that_no_other_bar_has_is_less_sure() -> None:
    heard = rock(12)
    heard.onset[5 * BAR_FRAMES + 75, CRASH] = 0.6
    assert recalled(heard).onset[5 * BAR_FRAMES + 75, CRASH] < 0.3


def test_a_sure_stroke_that_no_other_bar_has_stays() -> None:
    heard = rock(12)
    heard.onset[5 * BAR_FRAMES, CRASH] = 0.99
    assert recalled(heard).onset[5 * BAR_FRAMES, CRASH] > 0.5


def test_what_all_bars_agree_on_stays() -> None:
    heard = rock(12)
    inner = slice(2 * BAR_FRAMES, 10 * BAR_FRAMES)
    assert recalled(heard).onset[inner] == pytest.approx(heard.onset[inner], abs=0.01)


@pytest.mark.parametrize("frames", [(), (100,), (100, 110)])
def test_without_other_moments_nothing_changes(frames: tuple[int, ...]) -> None:
    onset = np.zeros((400, len(DRUM_CLASSES)), np.float32)
    onset[list(frames), SNARE] = 0.4
    heard = Answers(onset, np.zeros_like(onset))
    assert recalled(heard).onset == pytest.approx(onset, abs=2e-4)


def test_no_frames_stay_none() -> None:
    assert len(recalled(Answers.joined([]))) == 0


def test_velocities_and_what_was_given_stay() -> None:
    heard = rock(4)
    heard.onset[50, SNARE] = 0.3
    before = heard.onset.copy()
    assert recalled(heard).velocity is heard.velocity
    assert np.array_equal(heard.onset, before)


def test_a_song_is_compared_with_itself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrence, "_SONG", 12 * 8)
    first, second = rock(12), rock(12)
    second.onset[50::100, SNARE] = 0.3  # everywhere in the second song, so it stays unsure there
    both = recalled(Answers.joined([first, second]))
    assert both.onset[18 * BAR_FRAMES + 50, SNARE] < 0.35
    assert both.onset[6 * BAR_FRAMES + 50, SNARE] > 0.85


def test_memory_stays_bounded() -> None:
    heard = rock(500)  # over sixteen minutes
    tracemalloc.start()
    recalled(heard)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 300e6
