import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.conftest import clicks
from tutti.audio.bands import stored_levels
from tutti.errors import CardError, MissingExtraError, OptionError
from tutti.listening import beats as beats_module
from tutti.listening.beat_net import BeatNet, BeatNetConfig, StrokeBeatNet, StrokeBeatNetConfig
from tutti.listening.beats import (
    FRAMES_PER_S,
    BeatModel,
    StrokeBeatModel,
    Tracking,
    grid_of,
    hear_beats,
    last_resort,
    librosa_beats,
    load_beat_model,
    load_stroke_beat_model,
    madmom_beats,
    no_beats,
    stroke_roll,
)
from tutti.music.beats import Beats, beats_of_metre
from tutti.music.drum_hits import DrumHit, DrumHits
from tutti.music.drum_kit import DRUM_CLASSES
from tutti.music.timing import BeatGrid

RATE_HZ = 24_000


def levels_of(samples: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.concatenate(list(stored_levels([samples])), axis=1)


@pytest.fixture(scope="module")
def clicked() -> NDArray[np.uint8]:
    """Levels of a click every half second from 0.4 s on, 16 of them."""
    return levels_of(clicks(0.4 + 0.5 * np.arange(16), 8.3))


def curves(times_s: list[float], places: list[int], duration_s: float, certain: float) -> tuple[Any, Any]:
    """What a network sure of these beats answers: its frames are centred half a front-end frame late."""
    at = np.arange(round(duration_s * FRAMES_PER_S))[:, None]
    near = np.maximum(0, 1 - np.abs(at - (np.array(times_s) * FRAMES_PER_S - 0.25)) / 2)
    return certain * near.max(axis=1), certain * (near * (np.array(places) == 1)).max(axis=1)


def test_beats_of_a_metre() -> None:
    half, dotted = Fraction(1, 2), Fraction(3, 2)
    known = {(4, 4): (4, 1), (5, 4): (5, 1), (6, 8): (2, dotted), (9, 8): (3, dotted), (12, 8): (4, dotted)}
    known |= {(3, 8): (3, half), (7, 8): (7, half), (15, 8): (15, half)}
    assert {metre: beats_of_metre(*metre) for metre in known} == known
    for metre in ((2, 2), (0, 4), (33, 8), (4, 16)):
        with pytest.raises(OptionError, match="is no metre for a drum chart"):
            beats_of_metre(*metre)


@pytest.mark.parametrize("per_bar", [3, 4])
def test_beats_lie_between_frames_where_the_probabilities_say(per_bar: int) -> None:
    times_s = [0.313 + 0.487 * row for row in range(25)]
    places = [row % per_bar + 1 for row in range(25)]
    found = grid_of(*curves(times_s, places, 12.2, 0.95), Tracking(), "ours")
    assert found.grid.times_s == pytest.approx(times_s, abs=0.01)
    assert list(found.grid.positions) == places
    assert found.bpm == pytest.approx(60 / 0.487, rel=0.01)
    assert not found.bpm_unreliable
    assert found.method == "ours"
    assert found.confidence > 0.8


def test_unsure_probabilities_are_flagged_and_none_are_no_beats() -> None:
    times_s = [0.5 * row for row in range(20)]
    unsure = grid_of(*curves(times_s, [1, 2, 3, 4] * 5, 10.0, 0.15), Tracking(), "ours")
    assert len(unsure.grid) == 20
    assert unsure.bpm_unreliable
    assert unsure.confidence < 0.5
    assert grid_of(*curves(times_s, [1] * 20, 10.0, 0.04), Tracking(), "ours") == no_beats("ours")
    assert grid_of(np.zeros(0), np.zeros(0), Tracking(), "ours") == no_beats("ours")


def test_a_beat_at_the_very_start_is_not_before_it() -> None:
    times_s = [0.5 * row for row in range(12)]
    beat, downbeat = curves(times_s, [1, 2, 3, 4] * 3, 6.0, 0.9)
    beat[0], beat[1] = 0.9, 0.0
    found = grid_of(beat, downbeat, Tracking(), "ours")
    assert found.grid.times_s[0] == pytest.approx(0.0, abs=0.02)


def test_beats_bridged_over_certain_silence_have_times() -> None:
    times_s = [0.5 * row for row in range(12)]
    beat, downbeat = curves(times_s, [1, 2, 3, 4] * 3, 6.0, 0.9)
    beat[120:180] = downbeat[120:180] = 0.0
    assert grid_of(beat, downbeat, Tracking(), "ours").grid.times_s == pytest.approx(times_s, abs=0.06)


def test_bars_begin_where_the_drums_come_in_when_little_speaks_against_it() -> None:
    times_s = [0.4 + 0.5 * row for row in range(24)]
    beat, _ = curves(times_s, [1] * 24, 12.5, 0.9)
    _, third = curves(times_s, [3, 4, 1, 2] * 6, 12.5, 0.9)
    unsure, certain = beat * 0.3 + third * 0.05, beat * 0.1 + third * 0.8

    def downbeats(downbeat: Any, opening_s: float | None) -> list[float]:
        found = grid_of(beat, downbeat, Tracking(metres=(4,)), "ours", opening_s)
        return [round(time_s, 1) for time_s in found.grid.downbeats_s]

    assert downbeats(unsure, None)[:2] == [1.4, 3.4]
    assert downbeats(unsure, 0.42)[:2] == [0.4, 2.4]
    assert downbeats(unsure, 2.87)[:2] == [0.9, 2.9]
    assert downbeats(certain, 0.42)[:2] == [1.4, 3.4]


def test_four_in_a_bar_can_be_called_likelier() -> None:
    beat, _ = curves([0.5 * row for row in range(24)], [1] * 24, 12.0, 0.9)
    neutral = beat / 3.5
    biased = [grid_of(beat, neutral, Tracking(four_bonus=bonus), "ours").beats_per_bar for bonus in (-5.0, 5.0)]
    assert biased == [3, 4]


@pytest.mark.usefixtures("tiny_models")
def test_the_network_of_a_card_hears_clicks(clicked: NDArray[np.uint8]) -> None:
    beats, warnings = hear_beats(clicked, device="cpu")
    assert warnings == ()
    assert beats.method == "tutti-beats"
    assert beats.grid.times_s == pytest.approx(0.4 + 0.5 * np.arange(16), abs=0.03)
    assert beats.bpm == pytest.approx(120, rel=0.02)
    assert beats.beat_quarters == 1


@pytest.mark.usefixtures("tiny_models")
@pytest.mark.parametrize(
    ("metre", "per_bar", "worth", "bpm"),
    [
        ((3, 4), 3, Fraction(1), 120),
        ((5, 4), 5, Fraction(1), 120),
        ((6, 8), 2, Fraction(3, 2), 120),
        ((12, 8), 4, Fraction(3, 2), 120),
        ((7, 8), 7, Fraction(1, 2), 120),
    ],
)
def test_a_metre_is_obeyed(
    clicked: NDArray[np.uint8], metre: tuple[int, int], per_bar: int, worth: Fraction, bpm: float
) -> None:
    beats, _ = hear_beats(clicked, metre=metre, device="cpu")
    assert beats.beat_quarters == worth
    assert max(beats.grid.positions) == per_bar
    assert beats.beats_per_bar == per_bar
    assert beats.bpm == pytest.approx(bpm, rel=0.02)


@pytest.mark.usefixtures("tiny_models")
def test_a_tempo_is_obeyed_and_not_doubted(clicked: NDArray[np.uint8]) -> None:
    for bpm in (60.0, 122.0, 240.0):
        beats, warnings = hear_beats(clicked, bpm=bpm, device="cpu")
        assert warnings == ()
        assert beats.bpm == pytest.approx(bpm, rel=0.03)
        assert (beats.method, beats.confidence, beats.bpm_unreliable) == ("user", 1.0, False)
    sevens, _ = hear_beats(clicked, bpm=240.0, metre=(7, 8), device="cpu")
    assert sevens.bpm == pytest.approx(240, rel=0.03)
    assert sevens.beats_per_bar == 7


def test_a_tempo_that_nothing_has_is_said_to_be_wrong(clicked: NDArray[np.uint8]) -> None:
    beats, warnings = hear_beats(clicked, bpm=114.0, device="cpu")
    assert warnings == (f"the beats found are at {beats.bpm:.0f} bpm: nothing beats at the 114 bpm given.",)


@pytest.mark.usefixtures("tiny_models")
def test_silence_and_a_tenth_of_a_second_have_no_beats(clicked: NDArray[np.uint8]) -> None:
    assert hear_beats(np.zeros((2, 500, 85), np.uint8), device="cpu")[0] == no_beats("tutti-beats")
    assert hear_beats(clicked[:, :11], device="cpu")[0] == no_beats("tutti-beats")
    assert hear_beats(clicked[:, :1], device="cpu")[0] == no_beats("tutti-beats")


def test_strokes_tell_where_a_bar_begins() -> None:
    """Kick on one and three, snare on two and four, a crash every other bar."""
    _, model = load_stroke_beat_model(device="cpu")
    for first in range(4):
        times_s = [0.4 + 0.5 * row for row in range(48)]
        pieces = [("kick", "snare")[(row - first) % 2] for row in range(48)]
        hits = [DrumHit(time_s, piece, 100) for time_s, piece in zip(times_s, pieces, strict=True)]
        hits += [DrumHit(time_s + 0.25, "hihat_closed", 70) for time_s in times_s]
        hits += [DrumHit(times_s[row], "crash", 110) for row in range(first, 48, 8)]
        hits += [DrumHit(times_s[row] + 0.25, "kick", 90) for row in range(first + 2, 48, 4)]
        found = grid_of(*model.probabilities(DrumHits.of(hits), 1230), Tracking(), "read")
        assert found.bpm == pytest.approx(120, rel=0.02)
        bars = np.array(found.grid.downbeats_s)
        inner = bars[(bars > 3) & (bars < 22)]
        assert len(inner) >= 8
        assert np.abs((inner - times_s[first]) / 2 - np.round((inner - times_s[first]) / 2)).max() < 0.03


def test_what_is_read_counts_beside_what_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that hears nothing in particular, and one that reads a beat where the kicks are."""
    frames = 600
    heard, read = np.full((2, frames), 0.2), np.full((2, frames), 0.01)
    read[0, 20::25] = 0.99
    read[1, 20::100] = 0.9
    card, model = load_beat_model(device="cpu")

    class Heard:
        tracking = replace(model.tracking, strokes_share=0.5)

        def probabilities(self, _levels: NDArray[np.uint8]) -> NDArray[np.float64]:
            return heard

    class Read:
        def probabilities(self, hits: DrumHits, frames: int) -> NDArray[np.float64]:
            assert [hit.instrument for hit in hits] == ["kick"]
            return read[:, :frames]

    monkeypatch.setattr(beats_module, "load_beat_model", lambda *_: (card, Heard()))
    monkeypatch.setattr(beats_module, "load_stroke_beat_model", lambda **_: (card, Read()))
    levels = np.zeros((2, 2 * frames, 85), np.uint8)
    found, _ = hear_beats(levels, DrumHits.of([DrumHit(0.4, "kick", 100)]), device="cpu")
    assert found.bpm == pytest.approx(120, rel=0.02)
    assert found.grid.downbeats_s[:2] == pytest.approx((0.405, 2.405), abs=0.011)
    alone, _ = hear_beats(levels, device="cpu")
    assert alone.confidence < found.confidence


@pytest.mark.parametrize(
    ("name", "load"), [("tutti-beats", "load_stroke_beat_model"), ("tutti-stroke-beats", "load_beat_model")]
)
def test_a_model_that_hears_something_else_is_refused(name: str, load: str) -> None:
    with pytest.raises(CardError, match=f"{name} finds beats from something else"):
        getattr(beats_module, load)(name, device="cpu")


@pytest.mark.usefixtures("tiny_models")
def test_an_odd_metre_is_refused_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beats_module, "load_beat_model", None)
    with pytest.raises(OptionError, match="4/2 is no metre"):
        hear_beats(np.zeros((2, 10, 85), np.uint8), metre=(4, 2))


@pytest.mark.usefixtures("tiny_models")
def test_a_model_for_something_else_is_refused() -> None:
    with pytest.raises(CardError, match="tutti-drums is a model for drums in torch, not one that finds beats"):
        load_beat_model("tutti-drums")


@pytest.mark.usefixtures("tiny_models")
def test_a_full_gpu_hands_over_to_the_cpu_and_says_so(
    clicked: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    card, model = load_beat_model(device="cpu")

    def load(_name: str, device: str, _precision: str) -> tuple[Any, BeatModel]:
        if device != "cpu":
            raise torch.cuda.OutOfMemoryError("no room")
        return card, model

    expected, _ = hear_beats(clicked, device="cpu")
    monkeypatch.setattr(beats_module, "load_beat_model", load)
    beats, (warning,) = hear_beats(clicked, device="cuda:0")
    assert beats == expected
    assert "memory" in warning


@pytest.mark.parametrize("frames", [400, 401, 639])
def test_windows_make_no_difference(frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    config = BeatNetConfig(stem=2, column=2, width=4, dilations=(1, 2, 4), kernel=5)
    network = BeatNet(config).eval()
    levels = np.random.default_rng(0).integers(0, 251, (2, frames, 85), np.uint8)
    with torch.no_grad():  # answers spread over 0 to 1
        logits = network(torch.from_numpy(levels[:, :400]).float()[None] / 125).beat
        network.heads.weight /= logits.std()
        network.heads.bias.copy_(-(logits.mean() + 3.0) / logits.std())
    model = BeatModel(network, Tracking(), torch.device("cpu"), "fp32")
    whole = model.probabilities(levels)
    monkeypatch.setattr(beats_module, "_WINDOW_FRAMES", 100)
    parts = model.probabilities(levels)
    assert np.ptp(whole[0]) > 0.1
    for one, other in zip(whole, parts, strict=True):
        assert len(one) == (frames + 1) // 2
        assert np.abs(one - other).max() < 1e-5


@pytest.fixture
def librosa(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float]], None]:
    """Installs modules with the names and arguments of librosa's own, which itself compiles for a minute."""

    def install(times_s: list[float]) -> None:
        def onset_strength(*, y: NDArray[np.float32], sr: int) -> NDArray[np.float32]:
            assert sr == RATE_HZ
            return np.abs(y[::512])

        def beat_track(
            *, onset_envelope: NDArray[np.float32], sr: int, units: str
        ) -> tuple[float, NDArray[np.float64]]:
            assert (len(onset_envelope) > 0, sr, units) == (True, RATE_HZ, "time")
            return 120.0, np.array(times_s)

        package, onset, beat = (ModuleType(name) for name in ("librosa", "librosa.onset", "librosa.beat"))
        vars(onset)["onset_strength"], vars(beat)["beat_track"] = onset_strength, beat_track
        vars(package).update(onset=onset, beat=beat)
        monkeypatch.setitem(sys.modules, "librosa", package)

    return install


def test_librosas_beats_are_never_trusted(librosa: Callable[[list[float]], None]) -> None:
    librosa([0.3, 0.8, 1.3, 1.8, 2.3])
    beats = librosa_beats(clicks([0.3, 0.8], 3.0), RATE_HZ)
    assert beats == Beats(BeatGrid((0.3, 0.8, 1.3, 1.8, 2.3), (1, 2, 3, 4, 1)), 0.3, True, "librosa")
    assert librosa_beats(np.zeros(3 * RATE_HZ, np.float32), RATE_HZ) == no_beats("librosa")


def test_where_librosa_finds_none_the_last_resort_is_taken(librosa: Callable[[list[float]], None]) -> None:
    librosa([])
    assert librosa_beats(clicks([0.3, 0.8], 3.0), RATE_HZ) == last_resort(3.0)


def test_without_librosa_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(MissingExtraError, match=r"tutti\[librosa\]"):
        librosa_beats(np.zeros(RATE_HZ, np.float32), RATE_HZ)


def test_the_last_resort_is_flagged_unless_the_user_gave_a_tempo() -> None:
    nothing = last_resort(4.0)
    assert (nothing.bpm, nothing.confidence, nothing.bpm_unreliable, nothing.method) == (120, 0.0, True, "none")
    assert nothing.grid.times_s[0] == 0
    assert nothing.grid.times_s[-1] >= 4.0
    assert len(last_resort(0.0).grid) == 2
    said = last_resort(4.0, 90.0, (7, 8))
    assert (said.bpm, said.bpm_unreliable, said.method) == (pytest.approx(90), False, "user")
    assert (max(said.grid.positions), said.beat_quarters) == (7, Fraction(1, 2))
    assert last_resort(4.0, metre=(6, 8)).beat_quarters == Fraction(3, 2)


Madmom = Callable[[Any, Any], list[dict[str, Any]]]


@pytest.fixture
def madmom(monkeypatch: pytest.MonkeyPatch) -> Madmom:
    """Installs modules with the names, arguments and shapes of madmom's own; what was asked of them is noted."""

    def install(downbeats: Any, tempi: Any) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []

        def signal(data: Any, sample_rate: int | None = None, num_channels: int | None = None) -> Any:
            asked.append({"signal": len(data), "sample_rate": sample_rate, "num_channels": num_channels})
            return data

        class Bars:
            def __init__(self, beats_per_bar: Any, *, fps: Any) -> None:
                asked.append({"beats_per_bar": beats_per_bar, "fps": fps})

            def __call__(self, activations: NDArray[np.float32]) -> NDArray[np.float64]:
                assert activations.ndim == 2
                return np.array(downbeats, float).reshape(-1, 2)

        class Tempo:
            def __init__(self, *, fps: Any) -> None:
                asked.append({"fps": fps})

            def __call__(self, activations: NDArray[np.float32]) -> NDArray[np.float64]:
                assert activations.ndim == 1
                return np.array(tempi, float).reshape(-1, 2)

        contents: dict[str, dict[str, Any]] = {
            "madmom": {},
            "madmom.audio": {},
            "madmom.features": {},
            "madmom.audio.signal": {"Signal": signal},
            "madmom.features.downbeats": {
                "DBNDownBeatTrackingProcessor": Bars,
                "RNNDownBeatProcessor": lambda: lambda s: np.zeros((len(s) // 441, 2), np.float32),
            },
            "madmom.features.beats": {"RNNBeatProcessor": lambda: lambda s: np.zeros(len(s) // 441, np.float32)},
            "madmom.features.tempo": {"TempoEstimationProcessor": Tempo},
        }
        for name, values in contents.items():
            module = ModuleType(name)
            vars(module).update(values)
            monkeypatch.setitem(sys.modules, name, module)
        return asked

    return install


def test_madmom_is_asked_as_it_wants_and_read_as_it_answers(madmom: Madmom) -> None:
    found = [(0.5 * row + 0.2, row % 4 + 1) for row in range(9)]
    asked = madmom(found, [(120.5, 0.31), (60.2, 0.2)])
    beats = madmom_beats(np.zeros(44_100, np.float32))
    assert asked == [
        {"signal": 44_100, "sample_rate": 44_100, "num_channels": 1},
        {"beats_per_bar": [3, 4], "fps": 100},
        {"fps": 100},
    ]
    grid = BeatGrid(tuple(time_s for time_s, _ in found), tuple(place for _, place in found))
    assert beats == Beats(grid, 0.95, False, "madmom", literal_strength=0.31)


@pytest.mark.parametrize("comb_bpm", [126.0, 60.0, float("nan")])
def test_madmom_that_disagrees_with_itself_is_flagged(madmom: Madmom, comb_bpm: float) -> None:
    madmom([(0.5 * row, row % 3 + 1) for row in range(9)], [(comb_bpm, 0.8)])
    beats = madmom_beats(np.zeros(44_100, np.float32))
    assert beats.bpm_unreliable
    assert beats.literal_strength == 0.8


@pytest.mark.parametrize(
    ("downbeats", "tempi"), [([], [(120, 0.5)]), ([(0.1, 1)], [(120, 0.5)]), ([(0, 1), (1, 2)], [])]
)
def test_madmom_without_an_answer_is_no_beats(madmom: Madmom, downbeats: Any, tempi: Any) -> None:
    madmom(downbeats, tempi)
    assert madmom_beats(np.zeros(44_100, np.float32)) == no_beats("madmom")


def test_without_madmom_it_is_said_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("madmom", "madmom.features", "madmom.features.downbeats"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"github\.com/CPJKU/madmom"):
        madmom_beats(np.zeros(44_100, np.float32))


def test_windows_make_no_difference_to_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = StrokeBeatNet(StrokeBeatNetConfig(width=4, dilations=(1, 2, 4), kernel=5)).eval()
    rng = np.random.default_rng(0)
    hits = DrumHits.of(DrumHit(float(t), str(rng.choice(DRUM_CLASSES)), 100) for t in rng.uniform(0, 8, 60))
    with torch.no_grad():  # answers spread over 0 to 1
        logits = network(torch.from_numpy(stroke_roll(hits, 411))[None]).beat
        network.heads.weight /= logits.std()
        network.heads.bias.copy_((network.heads.bias - logits.mean()) / logits.std())
    model = StrokeBeatModel(network, torch.device("cpu"), "fp32")
    whole = model.probabilities(hits, 411)
    assert np.ptp(whole[0]) > 0.1
    monkeypatch.setattr(beats_module, "_WINDOW_FRAMES", 100)
    for one, other in zip(whole, model.probabilities(hits, 411), strict=True):
        assert one.shape == other.shape == (411,)
        assert np.abs(one - other).max() < 1e-5
