"""The whole way from sound to chart, heard by small networks that answer to clicks."""

import importlib
import io
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.conftest import CLICK_RATE_HZ, clicks
from tutti.capabilities.drums.run import run
from tutti.capabilities.drums.types import Options
from tutti.errors import AudioFormatError, Cancelled, CardError, InputNotFoundError, OutputError, UnknownModelError
from tutti.music.beats import Beats
from tutti.weights.cards import find_card

run_module = importlib.import_module("tutti.capabilities.drums.run")  # the package exports the function
pytestmark = pytest.mark.usefixtures("tiny_models")

TIMES_S = 0.4 + 0.5 * np.arange(12)
SONG = (clicks(TIMES_S, 6.5), CLICK_RATE_HZ)
NONE = Options(stems="none", device="cpu")


def with_options(**options: Any) -> Options:
    return Options(**{"stems": "none", "device": "cpu", **options})


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("song") / "My Song.wav"
    soundfile.write(path, SONG[0], CLICK_RATE_HZ)
    return path


def test_clicks_become_a_chart(file: Path) -> None:
    chart = run(file, NONE)
    assert chart.hits.summary == {"kick": 12, "hihat_closed": 12}
    assert [hit.time_s for hit in chart.hits if hit.instrument == "kick"] == pytest.approx(TIMES_S, abs=0.025)
    assert chart.bpm == pytest.approx(120, rel=0.02)
    assert chart.duration_s == pytest.approx(6.5)
    assert sum(len(bar.strokes) for bar in chart.sheet.bars) == 24
    assert chart.sheet.title == "My Song"
    assert (chart.recording, chart.backing) == (file, None)
    made = chart.provenance
    assert (made.model, made.source, made.device, made.beats) == ("tutti-drums", "My Song.wav", "cpu", "tutti-beats")
    assert made.weights_sha256 == find_card("tutti-drums").sha256
    assert made.stems["method"] == "none"
    assert made.options["stems"] == "none"


def test_a_recording_is_the_same_however_it_comes(file: Path) -> None:
    exact = with_options(precision="fp32")  # bf16 may move a velocity by a step
    by_path = run(file, exact)
    for source in (str(file), file.read_bytes(), io.BytesIO(file.read_bytes()), SONG):
        chart = run(source, exact)
        assert [(hit.instrument, hit.velocity) for hit in chart.hits] == [
            (h.instrument, h.velocity) for h in by_path.hits
        ]
        assert [hit.time_s for hit in chart.hits] == pytest.approx([hit.time_s for hit in by_path.hits], abs=1e-3)
        assert chart.duration_s == by_path.duration_s
        if source != str(file):
            assert (chart.provenance.source, chart.recording) == ("recording", None)


@pytest.mark.parametrize(
    "samples", [np.zeros(3 * 24_000, np.float32), np.zeros(2400, np.float32), np.zeros(1, np.float32)]
)
def test_without_drums_the_chart_is_empty_and_says_so(samples: Any) -> None:
    chart = run((samples, 24_000), NONE)
    assert (len(chart.hits), chart.confidence, chart.bpm) == (0, None, None)
    assert chart.duration_s == pytest.approx(len(samples) / 24_000)
    assert chart.warnings == ("no drums were heard; the chart is empty.",)


@pytest.mark.parametrize(("strokes", "is_said"), [(2, True), (12, False)])
def test_few_hits_are_doubted(strokes: int, is_said: bool) -> None:
    chart = run((clicks([0.5 + row for row in range(strokes)], 20.0), CLICK_RATE_HZ), NONE)
    assert len(chart.hits) == 2 * strokes
    few = "few hits, 4 in 20 s: what was taken for drums may be something else."
    assert (few in chart.warnings) is is_said


def test_a_tenth_of_a_second_with_one_stroke_is_written_at_the_last_resort() -> None:
    chart = run((clicks([0.03], 0.1), CLICK_RATE_HZ), NONE)
    assert chart.hits.summary == {"kick": 1, "hihat_closed": 1}
    assert (chart.bpm, chart.beats.method) == (120, "none")
    assert any("the tempo, 120 bpm, is uncertain; it may be 60 or 240." in warning for warning in chart.warnings)
    said = run((clicks([0.03], 0.1), CLICK_RATE_HZ), with_options(bpm=90, metre="3/4"))
    assert (said.bpm, said.beats.method, said.beats.bpm_unreliable) == (pytest.approx(90), "user", False)


def test_samples_that_are_no_numbers_are_silence_and_said() -> None:
    samples = SONG[0].copy()
    samples[40_000:41_000] = np.nan
    chart = run((samples, CLICK_RATE_HZ), NONE)
    assert len(chart.hits) >= 22
    assert any("NaN" in warning or "not finite" in warning or "no number" in warning for warning in chart.warnings)


@pytest.mark.parametrize(
    ("options", "per_bar", "worth", "bpm"),
    [
        ({"metre": "3/4"}, 3, Fraction(1), 120),
        ({"metre": "6/8"}, 2, Fraction(3, 2), 120),
        ({"metre": "7/8"}, 7, Fraction(1, 2), 120),
        ({"bpm": 60.0}, None, Fraction(1), 60),
        ({"bpm": 240.0, "metre": "7/8"}, 7, Fraction(1, 2), 240),
    ],
)
def test_the_user_knows_tempo_and_metre(
    options: dict[str, Any], per_bar: int | None, worth: Fraction, bpm: float
) -> None:
    chart = run(SONG, with_options(**options))
    assert chart.bpm == pytest.approx(bpm, rel=0.03)
    assert chart.beats.beat_quarters == worth
    assert per_bar is None or chart.beats.beats_per_bar == per_bar
    assert sum(len(bar.strokes) for bar in chart.sheet.bars) == 24


def test_the_user_knows_where_a_bar_begins() -> None:
    for row in (1, 2):
        chart = run(SONG, with_options(metre="4/4", first_downbeat_s=float(TIMES_S[row]) + 0.05))
        assert any(abs(time_s - TIMES_S[row]) < 0.03 for time_s in chart.beats.grid.downbeats_s)


def test_other_trackers_obey_the_user_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Beats.at_bpm(121, 0.4, 6.5)
    monkeypatch.setattr(run_module, "librosa_beats", lambda *_: found)
    assert run(SONG, with_options(beats="librosa")).beats == found
    seven = run(SONG, with_options(beats="librosa", bpm=240.0, metre="7/8")).beats
    assert (seven.bpm, seven.beats_per_bar, seven.beat_quarters) == (pytest.approx(240), 7, Fraction(1, 2))
    assert 0.4 in seven.grid.downbeats_s
    six = run(SONG, with_options(beats="librosa", metre="6/8")).beats
    assert (six.bpm, six.beat_quarters) == (pytest.approx(121), Fraction(3, 2))


def test_light_stems_are_listened_to_instead(file: Path, tmp_path: Path) -> None:
    chart = run(file, with_options(stems="light", keep=tmp_path / "kept"))
    assert chart.provenance.stems["method"] == "light"
    assert chart.backing == tmp_path / "kept" / "drumless.flac"
    assert chart.backing.is_file()
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {
        "beats.json", "hits.json", "stems.json", "drums.flac", "drumless.flac"
    }  # fmt: skip
    assert chart.recording == file
    gone = run(SONG, with_options(stems="light"))
    assert (gone.backing, gone.recording) == (None, None)


def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, int]]:
    calls = {"separate": 0, "hear_hits": 0, "hear_beats": 0}
    for name in calls:
        function = getattr(run_module, name)

        def count(*args: Any, name: str = name, function: Callable[..., Any] = function, **how: Any) -> Any:
            calls[name] += 1
            return function(*args, **how)

        monkeypatch.setattr(run_module, name, count)
    return lambda: dict(calls)


def test_a_kept_folder_is_gone_on_from(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(monkeypatch)
    first = run(file, with_options(keep=tmp_path))
    assert calls() == {"separate": 1, "hear_hits": 1, "hear_beats": 1}
    again = run(file, with_options(keep=tmp_path))
    assert calls() == {"separate": 1, "hear_hits": 1, "hear_beats": 1}
    assert (again.hits, again.beats, again.sheet, again.warnings) == (
        first.hits,
        first.beats,
        first.sheet,
        first.warnings,
    )
    run(file, with_options(keep=tmp_path, title="Other", paper="letter"))
    assert calls()["hear_hits"] == 1
    run(file, with_options(keep=tmp_path, metre="3/4"))
    assert calls() == {"separate": 1, "hear_hits": 1, "hear_beats": 2}
    run(file, with_options(keep=tmp_path, metre="3/4", onset_threshold=0.9))
    assert calls() == {"separate": 1, "hear_hits": 2, "hear_beats": 3}, "beats are read from the hits"
    (tmp_path / "hits.json").write_text("{")
    run(file, with_options(keep=tmp_path, metre="3/4", onset_threshold=0.9))
    assert calls() == {"separate": 1, "hear_hits": 3, "hear_beats": 3}
    run(SONG, with_options(keep=tmp_path))
    assert calls() == {"separate": 2, "hear_hits": 4, "hear_beats": 4}


def test_a_run_that_breaks_leaves_what_was_finished(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "hear_beats", broken)
        with pytest.raises(MemoryError):
            run(file, with_options(keep=tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hits.json", "stems.json"]
    calls = counted(monkeypatch)
    assert len(run(file, with_options(keep=tmp_path)).hits) == 24
    assert calls() == {"separate": 0, "hear_hits": 0, "hear_beats": 1}
    assert json.loads((tmp_path / "beats.json").read_text())["answer"]["method"] == "tutti-beats"


def test_a_folder_that_cannot_be_is_said(file: Path) -> None:
    with pytest.raises(OutputError, match="cannot be made"):
        run(file, with_options(keep=file))


def test_every_stage_is_told_of_and_ends() -> None:
    calls: list[tuple[str, float, float]] = []
    chart = run(SONG, NONE, on_progress=lambda *call: calls.append(call))
    assert list(dict.fromkeys(call[0] for call in calls)) == ["listen", "hits", "beats", "write"]
    for stage in ("listen", "hits"):
        done = [call[1] for call in calls if call[0] == stage]
        assert done == sorted(done)
        assert done[-1] == pytest.approx(chart.duration_s, abs=0.02)
    assert calls[-1] == ("write", 1, 1)


@pytest.mark.parametrize("stage", ["listen", "hits", "beats", "write"])
def test_a_caller_can_stop_at_any_stage(stage: str) -> None:
    reached: list[str] = []

    def progress(name: str, *_: float) -> None:
        reached.append(name)

    with pytest.raises(Cancelled):
        run(SONG, NONE, on_progress=progress, cancelled=lambda: stage in reached)
    assert reached[-1] == stage


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError):
        run(tmp_path / "gone.wav", NONE)
    with pytest.raises(UnknownModelError, match="Did you mean 'tutti-drums'"):
        run(tmp_path / "gone.wav", with_options(model="tuti-drums"))
    with pytest.raises(CardError, match="tutti-beats is a model for beats"):
        run(tmp_path / "gone.wav", with_options(model="tutti-beats"))
    with pytest.raises(AudioFormatError):
        run(b"no sound at all, only words" * 20, NONE)


def test_an_odd_kind_of_model_is_a_card_error(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = find_card("tutti-drums").model_copy(update={"name": "odd", "config": {"kind": "guess"}})
    monkeypatch.setattr(run_module, "find_card", lambda _: odd)
    with pytest.raises(CardError, match=r"kind = 'guess'\. Use frames, clips or adtof"):
        run(SONG, NONE)
