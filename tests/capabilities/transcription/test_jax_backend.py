"""What JAX writes, against torch; and that torch is not needed for it. Every shape is compiled: there are few."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.capabilities.transcription.small_models import (
    ADAPTERS,
    SmallModel,
    assert_same,
    frames_of,
    network_of,
    write_all,
    write_model,
)
from tests.capabilities.transcription.test_onnx_backend import WITHOUT_TORCH
from tutti.capabilities.transcription.generation import Stepper
from tutti.capabilities.transcription.jax_backend import JaxBackend, _weights, build_backend, open_backend
from tutti.capabilities.transcription.models.adapter import Adapter
from tutti.capabilities.transcription.torch_backend import TorchBackend
from tutti.errors import DeviceError, MissingExtraError, OptionError, StrictLoadingError, WeightsError
from tutti.settings import settings
from tutti.weights.cards import find_card

CPU = jax.devices("cpu")[0]


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def shallow(kind: str) -> Adapter:
    adapter = ADAPTERS[kind]
    return replace(adapter, network=replace(adapter.network, encoder_layers=1), memory_rows=0)


def in_both(adapter: Adapter) -> tuple[TorchBackend, JaxBackend]:
    network = network_of(adapter)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    return TorchBackend(network, torch.device("cpu"), "fp32"), build_backend(weights, adapter, "small", CPU)


@pytest.mark.parametrize(
    ("kind", "rows"),
    [("mt3", 5), ("ymt3_plus", 3)],  # one beam and projected frames; greedy and wide ones
)
def test_it_writes_the_same_tokens_as_torch(kind: str, rows: int) -> None:
    """More rows than there is room for: they move and begin anew; some tokens are banned."""
    adapter = shallow(kind)
    ours, theirs = in_both(adapter)
    frames = frames_of(adapter, 9)
    expected = write_all(ours, adapter, frames, rows=rows, banned=[5, 40])
    assert len({len(written.tokens) for written in expected.values()}) > 1
    assert_same(write_all(theirs, adapter, frames, rows=rows, banned=[5, 40]), expected)


def test_states_are_those_of_torch() -> None:
    adapter = ADAPTERS["mr_mt3"]  # two layers; its memory's weights are passed over
    ours, theirs = in_both(replace(adapter, memory_rows=0))
    frames = frames_of(adapter, 2)
    expected = torch.stack(list(ours.encode(frames))).numpy()
    np.testing.assert_allclose(np.stack(theirs.encode(frames)), expected, atol=1e-5)
    states = theirs.encode(frames)[0]
    assert theirs.remember(states, np.zeros(1024, np.int64)) is states
    assert (theirs.device, theirs.precision) == ("cpu", "fp32")


def test_rows_hold_more_when_they_must(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutti.nets.t5_jax._FIRST_ROOM", 2)
    adapter = shallow("mt3")
    ours, theirs = in_both(replace(adapter, network=replace(adapter.network, decoder_layers=1)))
    frames = frames_of(adapter, 2)
    steppers: list[Stepper] = []
    for backend in (ours, theirs):
        stepper = backend.stepper(2, np.zeros(0, np.int64))
        stepper.place(0, backend.encode(frames))  # type: ignore[arg-type]
        steppers.append(stepper)
    for position in range(3):  # the rows are one apart
        positions = np.array([position + 1, position])
        answers = [stepper.step(np.array([7 + position, 9]), positions) for stepper in steppers]
        np.testing.assert_array_equal(answers[0][0], answers[1][0])
        np.testing.assert_allclose(answers[0][1], answers[1][1], atol=1e-5)


def test_weights_of_another_network_are_refused() -> None:
    adapter = shallow("mt3")
    weights = {name: value.numpy() for name, value in network_of(adapter).state_dict().items()}
    norm = "decoder.norm.weight"
    with pytest.raises(StrictLoadingError, match="missing: decoder"):
        build_backend({name: value for name, value in weights.items() if name != norm}, adapter, "small", CPU)
    with pytest.raises(StrictLoadingError, match=r"extra: memory\.norm\.weight"):
        build_backend({**weights, "memory.norm.weight": weights[norm]}, adapter, "small", CPU)
    with pytest.raises(StrictLoadingError, match=r"file has \(3,\), the network \(16,\)"):
        build_backend({**weights, norm: weights[norm][:3]}, adapter, "small", CPU)
    with pytest.raises(StrictLoadingError, match="file has int64 numbers"):
        build_backend({**weights, norm: weights[norm].astype(np.int64)}, adapter, "small", CPU)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TUTTI_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TUTTI_CARDS_DIR", str(tmp_path / "cards"))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


@pytest.fixture
def model(home: Path) -> SmallModel:
    return write_model(home, "small", "mt3")


def test_a_model_is_opened_once(model: SmallModel) -> None:
    opened = open_backend(model.card, "auto", "auto", lambda adapter: adapter)
    assert len(opened.card.sha256) == 64
    assert open_backend(model.card, "cpu", "fp32", lambda adapter: adapter).backend is opened.backend


def test_what_jax_cannot_do_is_said(model: SmallModel, home: Path) -> None:
    with pytest.raises(DeviceError, match="no device cuda"):
        open_backend(model.card, "cuda", "auto", lambda adapter: adapter)
    with pytest.raises(OptionError, match="not in int8"):
        open_backend(model.card, "auto", "int8", lambda adapter: adapter)
    remembering = write_model(home, "remembering", "mr_mt3", {"memory_rows": "3", "mel_bank": "linear_in_hz"})
    with pytest.raises(OptionError, match="has a memory"):
        open_backend(remembering.card, "auto", "auto", lambda adapter: adapter)
    with pytest.raises(OptionError, match="has a Perceiver encoder"):
        open_backend(model.card, "auto", "auto", lambda _: ADAPTERS["yptf_multi"])
    with pytest.raises(OptionError, match="has a stem that hears notes"):
        open_backend(find_card("tutti-mt3-tiny"), "auto", "auto", lambda adapter: adapter)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_weights_may_be_kept_in_fewer_bits(model: SmallModel, home: Path, kind: torch.dtype) -> None:
    weights = {name: value.to(kind) for name, value in model.network.state_dict().items()}
    save_file(weights, home / "a.safetensors")
    found = _weights(home / "a.safetensors")
    assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}
    name = "decoder.logits.weight"
    np.testing.assert_array_equal(found[name], weights[name].float().numpy())


def test_a_file_that_numpy_cannot_hold_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2, dtype=torch.float8_e4m3fn)}, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        _weights(tmp_path / "a.safetensors")


def test_a_recording_is_heard_without_torch(model: SmallModel) -> None:
    assert model.card.is_converted
    code = WITHOUT_TORCH.replace('"jax", ', "")
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "jax"],
        env={**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert found.stderr == ""
    assert found.stdout.endswith("cpu fp32\n")


def test_a_missing_package_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    monkeypatch.delitem(sys.modules, "tutti.capabilities.transcription.jax_backend", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'tutti\[jax\]'"):
        import_module("tutti.capabilities.transcription.jax_backend")
