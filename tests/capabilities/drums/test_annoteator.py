"""The network against values computed with Keras, and its weights out of HDF5. The golden arrays are synthetic."""

import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tutti.capabilities.drums.clip_classifier import decide
from tutti.capabilities.drums.models.annoteator import INSTRUMENTS, AnnoteatorNet
from tutti.capabilities.drums.models.annoteator_weights import COMPLETE_NETWORK_SHA256, open_annoteator, read_hdf5
from tutti.errors import (
    HashMismatchError,
    MissingExtraError,
    StrictLoadingError,
    WeightsError,
    WeightsMissingError,
)
from tutti.music.drum_kit import DRUM_CLASSES
from tutti.settings import settings
from tutti.weights.cards import BUNDLED_CARDS, read_card
from tutti.weights.opening import open_strict
from tutti.weights.store import locate

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "data" / "annoteator"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the reference data in ../shared/data/annoteator")

CARD = read_card(BUNDLED_CARDS / "annoteator.toml")
KERAS_SHAPES = {
    "conv2d": (3, 3, 1, 32),
    "conv2d_1": (3, 3, 32, 64),
    "conv2d_2": (3, 3, 64, 64),
    "dense": (960, 100),
    "dense_1": (100, 100),
    "dense_2": (100, 6),
}


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[Any]]:
    with np.load(ROOT / "tests" / "data" / "annoteator" / "golden.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def network() -> AnnoteatorNet:
    net = AnnoteatorNet()
    open_strict(net, locate(CARD), CARD.name)
    return net.eval()


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    for name in ("MODEL_URI", "MODEL_VERSION", "MODEL_SHA256", "TUTTI_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MODEL_CACHE_DIR", str(tmp_path / "models"))
    settings.cache_clear()
    yield monkeypatch
    settings.cache_clear()


def random_mels() -> NDArray[np.float32]:
    uniform = np.random.RandomState(38).random_sample((16, 128, 18)).astype(np.float32)
    return uniform * np.tile(np.array([0.01, 0.1, 1, 10], np.float32), 4)[:, None, None]


def answers(network: AnnoteatorNet, mel: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.inference_mode():
        return network(torch.from_numpy(mel)).numpy()


def test_the_outputs_are_those_of_keras(network: AnnoteatorNet, golden: dict[str, NDArray[Any]]) -> None:
    for mel, name in (
        (random_mels(), "random"),
        (golden["mel_reflect"], "reflect"),
        (golden["mel_constant"], "constant"),
    ):
        heard = answers(network, mel)
        np.testing.assert_allclose(heard, golden[f"out_{name}"], rtol=0, atol=1e-5)
        np.testing.assert_array_equal(decide(heard), golden[f"hits_{name}"] == 1)


def test_the_outputs_are_called_as_required() -> None:
    assert INSTRUMENTS == ("snare", "hihat_closed", "kick", "ride", "tom_high", "crash")
    assert set(INSTRUMENTS) <= set(DRUM_CLASSES)
    assert sum(parameter.numel() for parameter in AnnoteatorNet().parameters()) == CARD.parameters == 162_550


@needs_shared
def test_all_golden_arrays(network: AnnoteatorNet) -> None:
    with np.load(SHARED / "golden.npz") as whole:
        np.testing.assert_allclose(random_mels(), whole["mel_random"][..., 0], rtol=1e-7)
        for name in ("random", "reflect", "constant"):
            heard = answers(network, whole[f"mel_{name}"].reshape(-1, 128, 18))
            np.testing.assert_allclose(heard, whole[f"out_{name}"], rtol=0, atol=1e-5)
            np.testing.assert_array_equal(decide(heard), whole[f"hits_{name}"] == 1)


@needs_shared
def test_the_shipped_weights_are_the_published_ones(network: AnnoteatorNet) -> None:
    published = read_hdf5(SHARED / "complete_network.h5")
    assert published.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, published[name]), name


@needs_shared
def test_a_deployment_brings_the_file_by_uri(environment: pytest.MonkeyPatch, golden: dict[str, NDArray[Any]]) -> None:
    environment.setenv("MODEL_URI", (SHARED / "complete_network.h5").as_uri())
    environment.setenv("MODEL_VERSION", "7")
    network, weights = open_annoteator(CARD)
    assert weights == COMPLETE_NETWORK_SHA256
    assert (settings().model_cache_dir / "complete_network" / "7" / "complete_network.h5").is_file()
    np.testing.assert_allclose(answers(network, random_mels()), golden["out_random"], rtol=0, atol=1e-5)


@pytest.mark.usefixtures("environment")
def test_the_weights_that_ship_are_used_when_nothing_else_is_asked_for(golden: dict[str, NDArray[Any]]) -> None:
    network, weights = open_annoteator(CARD)
    assert weights == CARD.sha256
    np.testing.assert_allclose(answers(network, random_mels()), golden["out_random"], rtol=0, atol=1e-5)


def test_a_version_that_is_asked_for_is_not_replaced_by_what_ships(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MODEL_VERSION", "2")
    with pytest.raises(WeightsMissingError, match="MODEL_URI does not say where"):
        open_annoteator(CARD)


# the HDF5 file


@pytest.fixture
def write_hdf5(tmp_path: Path) -> Callable[..., tuple[Path, str]]:
    """A file as Keras 2 writes it, with random weights; `change` sees it before it is closed."""
    h5py = pytest.importorskip("h5py", reason="needs the extra hdf5")

    def write(change: Callable[[Any], None] = lambda _layers: None) -> tuple[Path, str]:
        path = tmp_path / "complete_network.h5"
        rng = np.random.default_rng(0)
        with h5py.File(path, "w") as file:
            layers = file.create_group("model_weights")
            layers.create_group("dropout")
            for layer, shape in KERAS_SHAPES.items():
                layers[f"{layer}/{layer}/kernel:0"] = rng.normal(0, 0.05, shape).astype(np.float32)
                layers[f"{layer}/{layer}/bias:0"] = rng.normal(0, 0.05, shape[-1:]).astype(np.float32)
            file["optimizer_weights/Adam/iter:0"] = 3
            change(layers)
        return path, sha256(path.read_bytes()).hexdigest()

    return write


def test_kernels_turn_and_the_flattened_order_is_kept(write_hdf5: Callable[..., tuple[Path, str]]) -> None:
    """Against a forward in numpy, channels last, as the file was meant."""
    h5py = pytest.importorskip("h5py", reason="needs the extra hdf5")
    path, digest = write_hdf5()
    network = AnnoteatorNet().eval()
    network.load_state_dict(read_hdf5(path, digest))
    mel = np.random.default_rng(1).random((2, 128, 18)).astype(np.float32)
    with h5py.File(path) as file:
        weights = {
            layer: (
                file[f"model_weights/{layer}/{layer}/kernel:0"][()],
                file[f"model_weights/{layer}/{layer}/bias:0"][()],
            )
            for layer in KERAS_SHAPES
        }
    maps = mel[..., None]
    for layer, padding in (("conv2d", 1), ("conv2d_1", 1), ("conv2d_2", 0)):
        kernel, bias = weights[layer]
        padded = np.pad(maps, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        maps = np.maximum(0, np.einsum("nhwcij,ijco->nhwo", windows, kernel) + bias)
        rows, columns = maps.shape[1] // 2 * 2, maps.shape[2] // 2 * 2
        pooled = maps[:, :rows, :columns].reshape(len(maps), rows // 2, 2, columns // 2, 2, -1)
        maps = pooled.max(axis=(2, 4))
    vector = maps.reshape(len(maps), -1)
    for layer in ("dense", "dense_1"):
        vector = np.maximum(0, vector @ weights[layer][0] + weights[layer][1])
    expected = 1 / (1 + np.exp(-(vector @ weights["dense_2"][0] + weights["dense_2"][1])))
    np.testing.assert_allclose(answers(network, mel), expected, rtol=0, atol=1e-6)


def test_a_file_of_another_hash_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "complete_network.h5"
    path.write_bytes(b"anything")
    monkeypatch.setitem(sys.modules, "h5py", None)  # an import of it would say so
    with pytest.raises(HashMismatchError, match="it was not opened"):
        read_hdf5(path)
    with pytest.raises(MissingExtraError, match=r"pip install 'tutti\[hdf5\]'"):
        read_hdf5(path, sha256(b"anything").hexdigest())


def test_a_file_that_is_not_there_or_no_hdf5(tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="needs the extra hdf5")
    with pytest.raises(WeightsMissingError, match="not at"):
        read_hdf5(tmp_path / "gone.h5")
    path = tmp_path / "text.h5"
    path.write_bytes(b"text")
    with pytest.raises(WeightsError, match="cannot be read as Keras weights"):
        read_hdf5(path, sha256(b"text").hexdigest())


def without_dense_1(layers: Any) -> None:
    del layers["dense_1"]


def with_a_layer_more(layers: Any) -> None:
    layers["dense_3/dense_3/kernel:0"] = np.zeros((6, 6), np.float32)


def with_a_wide_bias(layers: Any) -> None:
    del layers["dense_2/dense_2/bias:0"]
    layers["dense_2/dense_2/bias:0"] = np.zeros(7, np.float32)


def with_an_array_for_a_layer(layers: Any) -> None:
    del layers["conv2d"]
    layers["conv2d"] = np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (without_dense_1, StrictLoadingError, "missing: dense_1/bias:0; missing: dense_1/kernel:0"),
        (with_a_layer_more, StrictLoadingError, "extra: dense_3/kernel:0"),
        (with_a_wide_bias, StrictLoadingError, r"dense_2/bias:0: the file has \(7,\), the network \(6,\)"),
        (with_an_array_for_a_layer, WeightsError, "cannot be read as Keras weights|missing: conv2d"),
    ],
)
def test_weights_that_do_not_fit_are_named(
    write_hdf5: Callable[..., tuple[Path, str]], change: Callable[[Any], None], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        read_hdf5(*write_hdf5(change))
