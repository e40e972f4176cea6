from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.conftest import TINY_DRUMS, clicks
from tutti.audio.bands import stored_levels
from tutti.capabilities.drums import hearing
from tutti.capabilities.drums.decode import Answers
from tutti.capabilities.drums.hearing import FrameModel, hear_hits, load_frame_model
from tutti.capabilities.drums.models.tutti_drums import DrumsNet, DrumsNetConfig
from tutti.errors import CardError
from tutti.weights.cards import find_card
from tutti.weights.devices import choose_precision

pytestmark = pytest.mark.usefixtures("tiny_models")

TIMES_S = np.array([0.5, 1.0, 1.3, 2.6, 3.14])


@pytest.fixture(scope="module")
def levels() -> NDArray[np.uint8]:
    return np.concatenate(list(stored_levels([clicks(TIMES_S, 4.0)])), axis=1)


def ignore(done: int, total: int) -> None:
    """Nobody watches."""


def test_clicks_are_heard_where_they_are(levels: NDArray[np.uint8]) -> None:
    heard = hear_hits(find_card("tutti-drums"), levels, device="cpu", on_window=ignore)
    kicks_s = [hit.time_s for hit in heard.hits if hit.instrument == "kick"]
    assert kicks_s == pytest.approx(TIMES_S, abs=0.025)
    assert heard.hits.summary == {"kick": 5, "hihat_closed": 5}
    precision = choose_precision("auto", torch.device("cpu"))  # bf16 where the processor multiplies in it
    assert (heard.device, heard.precision, heard.warnings) == ("cpu", precision, ())
    assert all(hit.time_s == round(hit.time_s, 6) and hit.confidence == round(hit.confidence, 4) for hit in heard.hits)


def test_where_a_recording_is_cut_off_nothing_is_struck() -> None:
    levels = np.concatenate(list(stored_levels([clicks([0.5, 1.0], 2.0)])), axis=1)
    card = find_card("tutti-drums")
    last_s = hear_hits(card, levels, device="cpu", on_window=ignore).hits[-1].time_s
    assert type(last_s) is float
    for left_s, strokes in ((0.06, 2), (0.02, 1)):
        cut = levels[:, : round((last_s + left_s) / 0.01)]
        assert hear_hits(card, cut, device="cpu", on_window=ignore).hits.summary["kick"] == strokes


def test_windows_make_no_difference(levels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    card = find_card("tutti-drums")
    kept: list[Answers] = []
    joined = Answers.joined
    monkeypatch.setattr(Answers, "joined", lambda parts: kept.append(joined(parts)) or kept[-1])
    for window in (2048, 64, 150):
        monkeypatch.setattr(hearing, "_WINDOW_FRAMES", window)
        hear_hits(card, levels, device="cpu", on_window=ignore)
    whole, *others = kept
    assert len(whole) == levels.shape[1]
    assert np.ptp(whole.onset) > 0.5
    for other in others:
        assert np.abs(other.onset - whole.onset).max() < 1e-5
        assert np.abs(other.velocity - whole.velocity).max() < 1e-5


def test_the_folded_network_answers_like_the_network(levels: NDArray[np.uint8]) -> None:
    torch.manual_seed(0)
    network = DrumsNet(DrumsNetConfig(**TINY_DRUMS)).eval()  # type: ignore[arg-type]
    model = FrameModel(network, torch.device("cpu"), "fp32")
    reach = network.config.reach_frames
    answers = model.answers(np.pad(levels, ((0, 0), (reach, reach), (0, 0))))
    assert len(answers) == levels.shape[1]
    with torch.inference_mode():
        predicted = network(torch.from_numpy(levels).float()[None] / 125)
    inner = slice(reach, -reach)
    assert np.abs(answers.onset[inner] - predicted.onset[0, inner].sigmoid().numpy()).max() < 1e-5


def test_the_caller_follows_and_may_stop(levels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "_WINDOW_FRAMES", 200)
    calls: list[tuple[int, int]] = []
    hear_hits(find_card("tutti-drums"), levels, device="cpu", on_window=lambda *call: calls.append(call))
    assert calls == [(0, 401), (200, 401), (400, 401), (401, 401)]

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hear_hits(find_card("tutti-drums"), levels, device="cpu", on_window=stop)


def test_a_threshold_holds_for_every_family(levels: NDArray[np.uint8]) -> None:
    card = find_card("tutti-drums")
    assert not len(hear_hits(card, levels, onset_threshold=0.9999, device="cpu", on_window=ignore).hits)
    low = hear_hits(card, levels, onset_threshold=0.004, device="cpu", on_window=ignore).hits.summary
    assert {"snare", "tom_high"} & set(low)


@pytest.mark.parametrize("frames", [1, 11])
def test_the_shortest_recordings_can_be_heard(frames: int) -> None:
    silence = np.zeros((2, frames, 85), np.uint8)
    assert not len(hear_hits(find_card("tutti-drums"), silence, device="cpu", on_window=ignore).hits)


def test_a_full_gpu_hands_over_to_the_cpu_and_says_so(
    levels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = find_card("tutti-drums")
    model = load_frame_model(card, "cpu", "auto")
    asked: list[str] = []

    class FullGpu(FrameModel):
        def answers(self, levels: NDArray[np.uint8]) -> Answers:
            assert levels.any()
            raise torch.cuda.OutOfMemoryError("no room")

    def load(_card: Any, device: str, _precision: str) -> FrameModel:
        asked.append(device)
        return model if device == "cpu" else FullGpu(model.network, torch.device("cuda", 0), "fp32")

    expected = hear_hits(card, levels, device="cpu", on_window=ignore)
    monkeypatch.setattr(hearing, "load_frame_model", load)
    monkeypatch.setattr(hearing, "_WINDOW_FRAMES", 150)
    heard = hear_hits(card, levels, device="cuda:0", on_window=ignore)
    assert heard.device == "cpu"
    (warning,) = heard.warnings
    assert "memory" in warning
    assert heard.hits.summary == expected.hits.summary
    assert asked.count("cuda:0") == 2  # once to load, once for the first window; then no more


def test_a_gpu_too_full_for_the_weights_hands_over_too(
    levels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = find_card("tutti-drums")
    model = load_frame_model(card, "cpu", "auto")

    def load(_card: Any, device: str, _precision: str) -> FrameModel:
        if device != "cpu":
            raise RuntimeError("CUDA error: out of memory")
        return model

    monkeypatch.setattr(hearing, "load_frame_model", load)
    heard = hear_hits(card, levels, device="auto", on_window=ignore)
    assert heard.device == "cpu"
    assert heard.warnings == ("The GPU had too little memory; the CPU was used instead. Close other GPU programs.",)


def test_a_card_without_thresholds_is_a_card_error(levels: NDArray[np.uint8]) -> None:
    card = find_card("tutti-drums")
    odd = card.model_copy(update={"config": {"network": card.config["network"]}})
    with pytest.raises(CardError, match=r"no table \[config.thresholds\]"):
        hear_hits(odd, levels, on_window=ignore)
