"""The Frame-RNN with random weights: what its parts compute, and that a user's file loads strictly."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from tutti.capabilities.drums.models import adtof
from tutti.capabilities.drums.models.adtof import (
    INSTRUMENTS,
    SAMPLE_RATE_HZ,
    AdtofNet,
    hear,
    open_adtof,
    pick_peaks,
    read_pickle,
)
from tutti.errors import Cancelled, HashMismatchError, StrictLoadingError, WeightsError

PORT_SHAPES = {
    **{f"cnn_blocks.{block}.{at}.{kind}": shape for block, at, kind, shape in (
        (0, 0, "weight", (32, 1, 3, 3)), (0, 3, "weight", (32, 32, 3, 3)),
        (1, 0, "weight", (64, 32, 3, 3)), (1, 3, "weight", (64, 64, 3, 3)),
    )},
    **{f"cnn_blocks.{block}.{at}.bias": (width,) for block, width in ((0, 32), (1, 64)) for at in (0, 3)},
    **{
        f"cnn_blocks.{block}.{at}.{kind}": (width,)
        for block, width in ((0, 32), (1, 64))
        for at in (2, 5)
        for kind in ("weight", "bias", "running_mean", "running_var")
    },
    **{
        f"gru_layers.{layer}.{kind}_l0{way}": shape
        for layer, inputs in ((0, 640), (1, 120), (2, 120))
        for way in ("", "_reverse")
        for kind, shape in (
            ("weight_ih", (180, inputs)), ("weight_hh", (180, 60)), ("bias_ih", (180,)), ("bias_hh", (180,)),
        )
    },
    "output_layer.weight": (5, 120),
    "output_layer.bias": (5,),
}  # fmt: skip
"""Names and shapes in the file that xavriley/ADTOF-pytorch ships."""


@pytest.fixture
def port_tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(shape, generator=generator, dtype=torch.float64) * 0.1 for name, shape in PORT_SHAPES.items()
    }


@pytest.fixture
def network() -> AdtofNet:
    torch.manual_seed(0)
    return AdtofNet().eval()


def noise(seconds: float) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.1, round(seconds * SAMPLE_RATE_HZ)).astype(np.float32)


def test_it_has_the_published_number_of_parameters(network: AdtofNet) -> None:
    assert sum(parameter.numel() for parameter in network.parameters()) == 449_741
    statistics = ("running_mean", "running_var")
    assert sum(np.prod(shape) for name, shape in PORT_SHAPES.items() if not name.endswith(statistics)) == 449_741


@pytest.mark.parametrize("renamed", [False, True])
def test_a_user_s_file_loads_under_either_set_of_names(
    tmp_path: Path, port_tensors: dict[str, Tensor], renamed: bool
) -> None:
    names = {name: adtof._name_here(name) if renamed else name for name in port_tensors}
    save_file({names[name]: tensor.float() for name, tensor in port_tensors.items()}, tmp_path / "user.safetensors")
    loaded = open_adtof(tmp_path / "user.safetensors").state_dict()
    for name, tensor in port_tensors.items():
        assert torch.equal(loaded[adtof._name_here(name)], tensor.float()), name
    assert {adtof._name_here(name) for name in port_tensors} == {
        name for name in loaded if not name.endswith("num_batches_tracked")
    }


def test_a_file_that_does_not_fit_is_told_so(tmp_path: Path, port_tensors: dict[str, Tensor]) -> None:
    del port_tensors["output_layer.bias"]
    port_tensors["output_layer.weight"] = torch.zeros(8, 120)
    port_tensors["more"] = torch.zeros(1)
    save_file(port_tensors, tmp_path / "user.safetensors")
    with pytest.raises(StrictLoadingError) as caught:
        open_adtof(tmp_path / "user.safetensors")
    for fault in ("missing: head.bias", "extra: more", "head.weight: the file has (8, 120), the network (5, 120)"):
        assert fault in str(caught.value)


def test_a_pickle_is_opened_after_its_hash_and_only_for_tensors(
    tmp_path: Path, port_tensors: dict[str, Tensor]
) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"model_weights": port_tensors, "model_info": {"architecture": "Frame_RNN"}}, path)
    digest = sha256(path.read_bytes()).hexdigest()
    with pytest.raises(HashMismatchError, match="is not the file"):
        read_pickle(path, "0" * 64)
    save_file(read_pickle(path, digest), tmp_path / "user.safetensors")
    assert torch.equal(
        open_adtof(tmp_path / "user.safetensors").head.weight, port_tensors["output_layer.weight"].float()
    )
    for content in ({"model_weights": Path("/")}, {"model_weights": {"a": 1}}, [1]):
        torch.save(content, path)
        with pytest.raises(WeightsError, match="holds no"):
            read_pickle(path, sha256(path.read_bytes()).hexdigest())


# the front end


def test_the_bands_are_84_triangles_of_sum_one() -> None:
    triangles = adtof._triangles().numpy()
    assert triangles.shape == (1024, 84)
    np.testing.assert_allclose(triangles.sum(axis=0), 1, rtol=1e-6)
    peaks = triangles.argmax(axis=0)
    assert np.all(np.diff(peaks) > 0)
    assert (peaks[0], peaks[-1]) == (2, 847)  # 43 Hz, 18.2 kHz
    assert np.all((triangles > 0).sum(axis=0) >= 1)


def test_a_frame_is_the_magnitude_spectrum_around_its_centre() -> None:
    samples = noise(0.2)
    levels = adtof.front_end(samples, 0, 21).numpy()
    padded = np.pad(samples, (1024, 1024 + 441))
    for frame in (0, 7, 20):
        spectrum = np.abs(np.fft.rfft(padded[441 * frame : 441 * frame + 2048] * np.hanning(2048)))[:1024]
        np.testing.assert_allclose(levels[frame], np.log10(1 + spectrum @ adtof._triangles().numpy()), rtol=1e-3)


def test_a_part_of_the_frames_is_part_of_all() -> None:
    samples = noise(0.5)
    whole, part = adtof.front_end(samples, 0, 51), adtof.front_end(samples, 20, 30)
    torch.testing.assert_close(part, whole[20:30])


def test_pooling_finds_zeros_or_nothing_beyond_the_outermost_bands() -> None:
    maps = torch.full((1, 1, 4, 28), -1.0)  # the second block's bands, which three do not divide
    pooled = {}
    for pooling in ("port", "keras"):
        block = AdtofNet(pooling).eval().blocks[1]
        block.first = block.first_norm = block.second = block.second_norm = torch.nn.Identity()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "relu", lambda values: values)
            pooled[pooling] = block(maps)[0, 0, 0]
    assert pooled["port"].tolist() == [0.0, *[-1.0] * 8, 0.0]
    assert pooled["keras"].tolist() == [-1.0] * 10


# peaks


def peaks_of(values: dict[int, float], threshold: float = 0.2, frames: int = 60) -> list[int]:
    activations = np.zeros(frames, np.float32)
    for frame, value in values.items():
        activations[frame] = value
    return pick_peaks(activations, threshold)


def test_peaks_are_local_maxima_above_the_moving_average() -> None:
    assert peaks_of({}) == []
    assert peaks_of({20: 0.9, 40: 0.5}) == [20, 40]
    assert peaks_of({20: 0.2}) == []  # less its twelfth part of the average it is below
    assert peaks_of({20: 0.2 * 12 / 11 + 1e-4}) == [20]
    assert peaks_of({0: 0.9, 59: 0.9}) == [59]  # an edge that goes on is no attack
    assert pick_peaks(np.ones(30, np.float32), 0.2) == []


def test_peaks_two_frames_apart_become_the_stronger() -> None:
    assert peaks_of({20: 0.8, 22: 0.9}) == [22]
    assert peaks_of({20: 0.9, 22: 0.8}) == [20]
    assert peaks_of({20: 0.8, 23: 0.9}) == [20, 23]


# the whole


def test_hits_come_from_the_activations_with_their_confidence(
    network: AdtofNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    activations = np.zeros((101, 5), np.float32)
    for place in range(5):
        activations[10 + 15 * place, place] = 0.5 + 0.1 * place
    monkeypatch.setattr(adtof, "_activations", lambda *_: activations)
    samples = np.zeros(SAMPLE_RATE_HZ, np.float32)
    samples[4410::6615] = [0.8, 0.2, 0.2, 0.2, 0.2, 0.2]
    hits = hear(samples, network)
    assert [hit.instrument for hit in hits] == ["kick", "snare", "tom_mid", "hihat_closed", "crash"]
    assert [hit.time_s for hit in hits] == pytest.approx([0.1, 0.25, 0.4, 0.55, 0.7])
    assert [hit.confidence for hit in hits] == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9])
    assert [hit.velocity for hit in hits] == [127, 64, 64, 64, 64]


def test_windows_with_context_answer_as_the_whole(network: AdtofNet, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = noise(12)
    whole = adtof._activations(samples, network, lambda _done, _total: None)
    assert whole.shape == (1201, len(INSTRUMENTS))
    monkeypatch.setattr(adtof, "_FRAMES_AT_ONCE", 400)
    monkeypatch.setattr(adtof, "_CONTEXT_FRAMES", 300)
    steps: list[tuple[int, int]] = []
    parts = adtof._activations(samples, network, lambda done, total: steps.append((done, total)))
    assert steps == [(400, 1201), (800, 1201), (1200, 1201), (1201, 1201)]
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples", [0, 1, 440, 441, 5_000])
def test_the_shortest_recordings_are_heard(network: AdtofNet, samples: int) -> None:
    assert all(hit.time_s <= samples / SAMPLE_RATE_HZ for hit in hear(np.zeros(samples, np.float32), network))


def test_it_can_be_stopped(network: AdtofNet) -> None:
    def stop(_done: int, _total: int) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        hear(noise(0.3), network, on_step=stop)
