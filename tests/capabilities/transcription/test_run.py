"""The shipped model on real sound, through the same door as users."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from tutti.audio.log_frequency import NOTES_FRONT_END
from tutti.capabilities.transcription import hearing_frames
from tutti.capabilities.transcription.decode import Block
from tutti.capabilities.transcription.hearing_frames import WINDOW_FRAMES, Model, load, predict_blocks
from tutti.capabilities.transcription.metrics import evaluate
from tutti.capabilities.transcription.run import run
from tutti.capabilities.transcription.types import Options
from tutti.errors import Cancelled, CardError, UnknownModelError
from tutti.music.notes import Note, Notes
from tutti.weights.cards import Card, find_card

run_module = importlib.import_module("tutti.capabilities.transcription.run")  # the package exports the function
ROOT = Path(__file__).parents[3]
GUITAR = ROOT / "examples" / "guitar_solo.flac"
TRUTH = ROOT / "tests" / "data" / "guitar_solo_notes.csv"
RATE_HZ = 24_000


@pytest.fixture(scope="module")
def guitar() -> NDArray[np.float32]:
    samples, rate_hz = soundfile.read(GUITAR, dtype="float32")
    assert rate_hz == 44_100
    return samples  # type: ignore[no-any-return]


def notes_of(blocks: Iterator[Block]) -> list[bytes]:
    return [getattr(block, name).tobytes() for block in blocks for name in Block.__dataclass_fields__]


def test_a_real_recording_becomes_its_notes() -> None:
    rows = [line.split(",") for line in TRUTH.read_text().split()[1:]]
    truth = Notes.of(Note(float(begin), float(end), round(float(pitch)), 80) for begin, end, pitch in rows)
    result = run(GUITAR, Options())
    assert evaluate(truth, result.notes)["onset_f1"] > 0.747  # what Basic Pitch reaches on this recording
    assert result.warnings == ()
    assert result.provenance.source == "guitar_solo.flac"
    assert result.provenance.model == "tutti-notes"


def test_the_same_call_gives_the_same_notes(guitar: NDArray[np.float32]) -> None:
    first, second = (run((guitar[: 5 * 44_100], 44_100), Options()).notes for _ in range(2))
    assert first == second
    assert len(first)


@pytest.mark.parametrize("size", [1000, 24_000, 400_000])
def test_how_the_audio_arrives_makes_no_difference(guitar: NDArray[np.float32], size: int) -> None:
    _, model = load(Options(device="cpu", precision="fp32"))
    audio = guitar[: 18 * RATE_HZ]  # any samples will do here; a little over one window
    blocks = [audio[begin : begin + size] for begin in range(0, len(audio), size)]
    assert notes_of(predict_blocks(model, blocks)) == notes_of(predict_blocks(model, [audio]))


def test_a_cut_hears_what_the_whole_hears(guitar: NDArray[np.float32]) -> None:
    _, model = load(Options(device="cpu", precision="fp32"))
    window = WINDOW_FRAMES * 384
    whole = next(iter(predict_blocks(model, [np.tile(guitar, 2)[: 2 * window]])))
    cut = next(iter(predict_blocks(model, [np.tile(guitar, 2)[: window + 60_000]])))
    assert np.array_equal(whole.onset, cut.onset)  # the windows' surroundings are whole in both


def test_a_short_recording_is_not_padded_to_a_whole_window() -> None:
    _, model = load(Options(device="cpu", precision="fp32"))
    sizes = []

    class Measured:
        reach_frames = model.reach_frames

        def __call__(self, samples: NDArray[np.float32]) -> Block:
            sizes.append(len(samples))
            return model(samples)

    (block,) = predict_blocks(Measured(), [np.zeros(RATE_HZ, np.float32)])
    assert len(block) == RATE_HZ // NOTES_FRONT_END.hop + 1
    beyond = sizes[0] - 2 * (model.reach_frames * NOTES_FRONT_END.hop + NOTES_FRONT_END.reach)
    assert RATE_HZ <= beyond < RATE_HZ + 64 * NOTES_FRONT_END.hop


def test_silence_has_no_notes() -> None:
    result = run((np.zeros(3 * 44_100, np.float32), 44_100), Options())
    assert len(result.notes) == 0
    assert result.duration_s == pytest.approx(3.0, abs=0.001)
    assert result.warnings == ("no notes were found.",)


def test_a_lower_threshold_finds_more_and_instruments_narrow_it_down(guitar: NDArray[np.float32]) -> None:
    clip = (guitar[: 6 * 44_100], 44_100)
    usual = run(clip, Options()).notes
    assert len(run(clip, Options(onset_threshold=0.05)).notes) > len(usual) > 0
    assert len(run(clip, Options(instruments=("drums",))).notes.pitched) == 0
    nothing = run(clip, Options(instruments=("voice",), min_note_s=10.0))
    assert len(nothing.notes) == 0
    (warning,) = nothing.warnings
    assert warning.endswith("notes that were found, none was left by the options instruments, programs and min_note_s.")


def test_progress_only_rises_and_ends_at_the_end(guitar: NDArray[np.float32]) -> None:
    calls: list[tuple[str, float, float]] = []
    result = run((guitar, 44_100), Options(), on_progress=lambda *call: calls.append(call))
    done = [call[1] for call in calls]
    assert done == sorted(done)
    assert done[-1] == pytest.approx(result.duration_s)
    assert {call[0] for call in calls} == {"transcribe"}


def test_a_caller_can_stop(guitar: NDArray[np.float32]) -> None:
    with pytest.raises(Cancelled):
        run((guitar, 44_100), Options(), cancelled=lambda: True)


def test_an_unknown_model_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="tutti-notes"):
        run(tmp_path / "missing.wav", Options(model="tuti-notes"))


def test_a_full_gpu_hands_over_to_the_cpu_and_says_so(
    guitar: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    card, model = load(Options(device="cpu", precision="fp32"))

    class FullGpu(Model):
        def __call__(self, samples: NDArray[np.float32]) -> Block:
            assert len(samples)
            raise torch.cuda.OutOfMemoryError("no room")

    full = FullGpu(model.network, torch.device("cuda", 0), "fp32")
    monkeypatch.setattr(hearing_frames, "load", lambda options: (card, full if options.device == "cuda:0" else model))
    clip = (guitar[: 3 * 44_100], 44_100)
    result = run(clip, Options(device="cuda:0"))
    assert result.provenance.device == "cpu"
    assert len(result.warnings) == 1
    assert "memory" in result.warnings[0]
    assert result.notes == run(clip, Options(device="cpu")).notes


def test_a_gpu_too_full_for_the_weights_hands_over_too(
    guitar: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(Options(device="cpu", precision="fp32"))

    def load_on_cpu(options: Options) -> tuple[Card, Model]:
        if options.device != "cpu":
            raise RuntimeError("CUDA error: out of memory")
        return loaded

    monkeypatch.setattr(hearing_frames, "load", load_on_cpu)
    result = run((guitar[:44_100], 44_100), Options(device="auto"))
    assert result.provenance.device == "cpu"
    assert result.warnings == ("The GPU had too little memory; the CPU was used instead. Close other GPU programs.",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {}}, r"no table \[config.network\]"),
        (
            {"config": {"network": {"stems": 3}}},
            r"\[config.network\] lacks a key or has an unknown one. It takes: stem,",
        ),
        (
            {"config": {**find_card("tutti-notes").config, "thresholds": {"onset": 0.3}}},
            r"\[config.thresholds\] lacks a key",
        ),
        ({"capability": "groove"}, "odd is a model for groove in torch; choose another with --model"),
    ],
)
def test_a_card_that_does_not_fit_is_a_card_error(
    changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = find_card("tutti-notes").model_copy(update={"name": "odd", **changes})
    for module in (run_module, hearing_frames):
        monkeypatch.setattr(module, "find_card", {"odd": odd}.__getitem__)
    with pytest.raises(CardError, match=message):
        run((np.zeros(24_000, np.float32), 24_000), Options(model="odd", device="cpu"))


def test_drums_asked_for_twice_are_drums_alone(guitar: NDArray[np.float32]) -> None:
    result = run((guitar[: 3 * 44_100], 44_100), Options(instruments=("drums", "drums")))
    assert all(note.is_drum for note in result.notes)


def test_notes_are_put_on_a_grid_and_say_so(guitar: NDArray[np.float32]) -> None:
    clip = (guitar[: 4 * 44_100], 44_100)
    plain, result = run(clip, Options()), run(clip, Options(quantise=4, tempo_bpm=120, programs=(25,)))
    assert result.beats is not None
    assert result.beats.bpm == pytest.approx(120)
    steps = [result.beats.grid.tempo_map().to_beat(note.onset_s) * 4 for note in result.notes]
    assert steps == pytest.approx([round(step) for step in steps], abs=1e-6)
    assert 0 < len(result.notes) <= len(plain.notes)
    assert {note.program for note in result.notes} == {25}
    assert all(note.confidence is not None and note.confidence > 0 for note in result.notes)
    assert plain.beats is None
