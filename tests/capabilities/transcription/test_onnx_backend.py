"""What onnxruntime writes, against torch; and that torch is not needed for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tutti
from tests.capabilities.transcription.small_models import (
    ADAPTERS,
    SmallModel,
    assert_same,
    frames_of,
    network_of,
    write_all,
    write_model,
)
from tutti.capabilities.transcription.onnx_backend import OnnxBackend, open_backend, open_folder
from tutti.capabilities.transcription.onnx_export import export, export_network
from tutti.capabilities.transcription.onnx_folder import ENCODER, MANIFEST, OnnxPrecision, folder_of
from tutti.capabilities.transcription.torch_backend import TorchBackend
from tutti.errors import DeviceError, HashMismatchError, OptionError, WeightsError, WeightsMissingError
from tutti.settings import settings
from tutti.weights.cards import Card, load_cards

EXAMPLES = Path(__file__).parents[3] / "examples"
ANY_CARD = next(iter(load_cards().values()))


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TUTTI_THREADS", "1")
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """kind, precision -> the same small network in torch and in onnxruntime."""

    def backends(kind: str, precision: OnnxPrecision = "fp32") -> tuple[TorchBackend, OnnxBackend]:
        adapter, folder = ADAPTERS[kind], tmp_path_factory.mktemp(kind) / "onnx"
        network = network_of(adapter)
        export_network(network, adapter, folder, precision, ANY_CARD, {})
        return TorchBackend(network, torch.device("cpu"), "fp32"), OnnxBackend(folder, adapter, precision)

    return backends


@pytest.mark.parametrize("kind", ADAPTERS)
def test_every_kind_writes_the_same_tokens_as_torch(both: Any, kind: str) -> None:
    """More rows than there is room for: they move and begin anew; some tokens are banned."""
    adapter = ADAPTERS[kind]
    ours, theirs = both(kind)
    frames = frames_of(adapter, 9 if adapter.channels == 1 else 2)
    expected = write_all(ours, adapter, frames, rows=5, banned=[5, 40])
    assert len({len(written.tokens) for written in expected.values()}) > 2 or adapter.channels > 1
    assert_same(write_all(theirs, adapter, frames, rows=5, banned=[5, 40]), expected)


def test_states_are_those_of_torch_however_many_segments_come_at_once(both: Any) -> None:
    ours, theirs = both("yptf_moe_multi")
    frames = frames_of(theirs.adapter, 5)
    expected = torch.stack(list(ours.encode(frames))).numpy()
    assert expected.std(axis=0).max() > 1e-3
    np.testing.assert_allclose(np.stack(theirs.encode(frames)), expected, atol=1e-5)
    np.testing.assert_allclose(np.stack(theirs.encode(frames[3:4])), expected[3 * 13 : 4 * 13], atol=1e-5)


def test_the_shipped_model_hears_a_recording_as_in_torch(tmp_path: Path) -> None:
    """Real sound has pitches that hardly sound, and what is decided about them must be the same."""
    steps = tutti.load_model("tutti-mt3-tiny", device="cpu").steps()
    ours, adapter = steps.model.backend, steps.model.settings.adapter
    export_network(ours.network, adapter, tmp_path / "onnx", "fp32", ANY_CARD, {})  # type: ignore[attr-defined]
    theirs = OnnxBackend(tmp_path / "onnx", adapter, "fp32")
    for name in ("guitar_solo", "drum_groove"):
        frames = steps.preprocess(EXAMPLES / f"{name}.flac").values
        states = [torch.stack(list(ours.encode(frames))).numpy(), np.stack(theirs.encode(frames))]
        np.testing.assert_allclose(*states, atol=1e-4)


def test_without_states_to_keep_the_memory_is_left_out(both: Any) -> None:
    _, backend = both("mr_mt3")
    forgetful = replace(backend, adapter=replace(backend.adapter, memory_rows=0))
    states = np.zeros((12, 16), np.float32)
    assert forgetful.remember(states, np.zeros(1024, np.int64)) is states


def test_a_variant_of_the_positions_needs_no_other_export(both: Any) -> None:
    ours, theirs = both("mt3_pytorch")
    adapter = replace(theirs.adapter, network=replace(theirs.adapter.network, positions="magenta"))
    network = network_of(adapter)
    network.load_state_dict(ours.network.state_dict())
    frames = frames_of(adapter, 3)
    expected = write_all(TorchBackend(network, torch.device("cpu"), "fp32"), adapter, frames, rows=3)
    assert_same(write_all(replace(theirs, adapter=adapter), adapter, frames, rows=3), expected)
    plain = write_all(theirs, theirs.adapter, frames, rows=3)
    assert any(len(plain[i].tokens) != len(expected[i].tokens) for i in plain)


def test_int8_is_near_fp32_and_a_row_does_not_depend_on_its_neighbours(both: Any) -> None:
    ours, theirs = both("mt3", "int8")
    adapter = theirs.adapter
    frames = frames_of(adapter, 6)
    expected, found = write_all(ours, adapter, frames, rows=6), write_all(theirs, adapter, frames, rows=6)
    first = [(found[i].tokens[:4] == expected[i].tokens[:4]).all() for i in found]
    assert np.mean(first) > 0.8
    apart = [np.abs(found[i].log_probs[:4] - expected[i].log_probs[:4]).max() for i in found]
    assert 1e-4 < max(apart) < 0.3
    states = theirs.encode(frames)
    for count in (1, 6):
        stepper = theirs.stepper(count, np.zeros(0, np.int64))
        stepper.place(0, states[:count])
        ids, log_probs = stepper.step(np.zeros(count, np.int64), np.zeros(count, np.int64))
        if count == 1:
            alone = ids[0].tolist(), log_probs[0].tolist()
    assert (ids[0].tolist(), log_probs[0].tolist()) == alone


def test_states_of_another_length_begin_anew(both: Any) -> None:
    ours, theirs = both("mt3")
    steppers = [backend.stepper(2, np.zeros(0, np.int64)) for backend in (ours, theirs)]
    for length in (12, 7):
        states = np.random.default_rng(length).normal(size=(2, length, 16)).astype(np.float32)
        steppers[0].place(0, list(torch.from_numpy(states)))
        steppers[1].place(0, list(states))
        found = [stepper.step(np.array([3, 4]), np.zeros(2, np.int64)) for stepper in steppers]
        np.testing.assert_array_equal(found[0][0], found[1][0])
        np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-5)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallModel]:
    monkeypatch.setenv("TUTTI_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TUTTI_CARDS_DIR", str(tmp_path / "cards"))
    settings.cache_clear()
    yield write_model(tmp_path, "small", "mr_mt3", {"memory_rows": "3", "mel_bank": "linear_in_hz"})
    settings.cache_clear()


def test_an_export_is_opened_with_what_was_known_of_the_weights(model: SmallModel) -> None:
    folder = export(model.card)
    assert folder == folder_of(model.card, "fp32")
    opened = open_backend(model.card, "auto", "auto", lambda adapter: adapter)
    assert (opened.adapter.memory_rows, opened.adapter.front_end.bank) == (3, "linear_in_hz")
    assert len(opened.card.sha256) == 64
    assert (opened.backend.device, opened.backend.precision) == ("cpu", "fp32")
    assert open_backend(model.card, "cpu", "fp32", lambda adapter: adapter).backend is opened.backend
    frames = frames_of(opened.adapter, 2)
    ours = TorchBackend(model.network, torch.device("cpu"), "fp32")
    short = replace(model.adapter, max_tokens=20)
    assert_same(write_all(opened.backend, short, frames, rows=2), write_all(ours, short, frames, rows=2))


def test_what_was_not_exported_is_asked_for(model: SmallModel) -> None:
    with pytest.raises(WeightsMissingError, match="tutti export onnx --model small --precision int8"):
        open_backend(model.card, "auto", "int8", lambda adapter: adapter)
    with pytest.raises(DeviceError, match="on the CPU, not on cuda"):
        open_backend(model.card, "cuda", "fp32", lambda adapter: adapter)
    with pytest.raises(OptionError, match="fp32 or int8"):
        open_backend(model.card, "auto", "bf16", lambda adapter: adapter)


@pytest.fixture
def exported(model: SmallModel) -> Path:
    return export(model.card)


def _open(card: Card, folder: Path) -> None:
    opened = open_folder(folder, card, lambda adapter: adapter)
    opened.backend.encode(frames_of(opened.adapter, 1))


def test_a_changed_file_is_refused(model: SmallModel, exported: Path) -> None:
    data = bytearray((exported / ENCODER).read_bytes())
    data[len(data) // 2] ^= 1
    (exported / ENCODER).write_bytes(data)
    with pytest.raises(HashMismatchError, match=ENCODER):
        _open(model.card, exported)
    (exported / ENCODER).unlink()
    with pytest.raises(WeightsMissingError, match=ENCODER):
        _open(model.card, exported)
    (exported / MANIFEST).write_text("{}")
    with pytest.raises(WeightsError, match="does not describe"):
        _open(model.card, exported)


def test_an_export_of_something_else_is_refused(model: SmallModel, exported: Path, tmp_path: Path) -> None:
    other = model.card.model_copy(update={"name": "other"})
    with pytest.raises(WeightsError, match="is small, not other"):
        _open(other, exported)
    wider = {**model.card.config, "network": {**model.card.config["network"], "feed_forward": 32}}
    with pytest.raises(WeightsError, match="other sizes"):
        _open(model.card.model_copy(update={"config": wider}), exported)
    aside = shutil.copytree(exported, tmp_path / "aside")
    changed = json.loads((aside / MANIFEST).read_text()) | {"weights_sha256": "0" * 64}
    (aside / MANIFEST).write_text(json.dumps(changed))
    with pytest.raises(HashMismatchError, match="others than those that were exported"):
        _open(model.card, aside)


def test_a_graph_that_onnxruntime_cannot_read_says_so(model: SmallModel, exported: Path) -> None:
    (exported / ENCODER).write_bytes(b"nothing")
    opened = OnnxBackend(exported, model.adapter, "fp32")
    with pytest.raises(WeightsError, match=r"cannot run .*encoder\.onnx"):
        opened.encode(frames_of(model.adapter, 1))


WITHOUT_TORCH = """
import sys
class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "jax", "onnx"):
            raise ModuleNotFoundError(f"{name} is not here", name=name)
sys.meta_path.insert(0, Refusing())
try:
    import torch
except ModuleNotFoundError:
    pass
else:
    raise AssertionError("nothing was refused")
import numpy as np
from tutti.capabilities.transcription.run import run
from tutti.capabilities.transcription.types import Options
time_s = np.arange(16_000 * 4) / 16_000
sound = (0.3 * np.sin(2 * np.pi * 440 * time_s) * (time_s % 1 < 0.5)).astype(np.float32)
result = run((sound, 16_000), Options(model="small", backend=sys.argv[1], batch=2))
print(len(result.notes), result.provenance.device, result.provenance.precision)
"""


def test_a_recording_is_heard_without_torch(model: SmallModel, exported: Path) -> None:
    shutil.rmtree(exported.parents[1] / "converted")
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_TORCH, "onnx"], capture_output=True, text=True, timeout=60
    )
    assert found.stderr == ""
    assert found.stdout.endswith("cpu fp32\n")
    assert model.card.is_converted
