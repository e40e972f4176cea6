import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tutti.errors import StrictLoadingError, WeightsError
from tutti.weights import opening
from tutti.weights.native import read_table
from tutti.weights.opening import NoFirstWeights, load_strict, open_strict, read_safetensors


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("mask", torch.zeros(2, dtype=torch.bool))


def weights(**changes: Tensor | None) -> dict[str, Tensor]:
    """Tensors that fit `Net`, with those given exchanged, added, or (None) left out."""
    torch.manual_seed(1)
    tensors = {**Net().state_dict(), **{key.replace("__", "."): value for key, value in changes.items()}}
    return {key: value for key, value in tensors.items() if value is not None}


def file_of(folder: Path, header: Any, data: bytes = b"") -> Path:
    """A file in the form of safetensors with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_what_was_saved_is_read_with_its_metadata(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "x.safetensors", {"steps": "7"})
    tensors, metadata = read_safetensors(tmp_path / "x.safetensors")
    assert metadata == {"steps": "7"}
    assert tensors.keys() == weights().keys()
    assert all(torch.equal(tensors[key], value) for key, value in weights().items())
    assert read_table(tmp_path / "x.safetensors").tensors["layer.weight"]["shape"] == [2, 3]


@pytest.mark.parametrize("metadata", [None, {"steps": "7"}])
def test_a_file_is_opened_into_its_network(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file(weights(), tmp_path / "x.safetensors", metadata)
    network = Net()
    assert open_strict(network, tmp_path / "x.safetensors", "net") == (metadata or {})
    assert torch.equal(network.layer.weight, weights()["layer.weight"])


def test_a_network_for_a_file_is_built_without_drawing_weights(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "x.safetensors")
    before = torch.get_rng_state()
    with NoFirstWeights():
        network = Net()
        nn.Embedding(3, 2)
        bounds = torch.linspace(0, 1, 3)
    assert torch.equal(torch.get_rng_state(), before)
    assert bounds.tolist() == [0, 0.5, 1]
    open_strict(network, tmp_path / "x.safetensors", "net")
    assert all(torch.equal(network.state_dict()[key], value) for key, value in weights().items())


def test_weights_may_be_kept_in_half_the_bits(tmp_path: Path) -> None:
    save_file(weights(layer__weight=torch.full((2, 3), 0.5, dtype=torch.bfloat16)), tmp_path / "x.safetensors")
    network = Net()
    open_strict(network, tmp_path / "x.safetensors", "net")
    assert network.layer.weight.dtype == torch.float32
    assert network.layer.weight.tolist() == [[0.5] * 3] * 2


MISFITS = [
    ({"layer__bias": None}, "missing: layer.bias"),
    ({"head": torch.zeros(1)}, "extra: head"),
    ({"layer__weight": torch.zeros(3, 2)}, "layer.weight: the file has (3, 2), the network (2, 3)"),
    (
        {"layer__bias": torch.zeros(2, dtype=torch.int32)},
        "layer.bias: the file has integer numbers, the network float",
    ),
    ({"mask": torch.zeros(2)}, "mask: the file has float numbers, the network bool"),
    (
        {"layer__bias": None, "head": torch.zeros(1), "norm__bias": torch.zeros(3)},
        "extra: head; missing: layer.bias; norm.bias: the file has (3,), the network (2,)",
    ),
]


@pytest.mark.parametrize(("changes", "told"), MISFITS)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(changes: dict[str, Tensor | None], told: str) -> None:
    network = Net()
    before = network.layer.weight.clone()
    with pytest.raises(StrictLoadingError) as caught:
        load_strict(network, weights(**changes), "net")
    assert str(caught.value) == f"The weights of net do not fit its network: {told}."
    assert torch.equal(network.layer.weight, before)


@pytest.mark.parametrize(("changes", "told"), MISFITS)
def test_what_does_not_fit_is_found_in_the_table_before_a_tensor_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Tensor | None], told: str
) -> None:
    save_file(weights(**changes), tmp_path / "x.safetensors")
    monkeypatch.setattr(opening, "read_safetensors", lambda _path: pytest.fail("read"))
    with pytest.raises(StrictLoadingError) as caught:
        open_strict(Net(), tmp_path / "x.safetensors", "net")
    assert str(caught.value) == f"The weights of net do not fit its network: {told}."


def test_a_type_torch_never_trains_in_does_not_fit(tmp_path: Path) -> None:
    header = {key: {"shape": list(value.shape), "dtype": "F32"} for key, value in weights().items()}
    header["mask"]["dtype"] = "BOOL"
    header["norm.num_batches_tracked"]["dtype"] = "I64"
    header["layer.bias"]["dtype"] = "F4"
    with pytest.raises(StrictLoadingError, match=r"layer\.bias: the file has f4 numbers, the network float\.$"):
        open_strict(Net(), file_of(tmp_path, header), "net")


def test_a_table_that_promises_a_billion_numbers_is_refused_unread(tmp_path: Path) -> None:
    header = {key: {"shape": [10**9], "dtype": "F32", "data_offsets": [0, 4 * 10**9]} for key in weights()}
    with pytest.raises(StrictLoadingError, match=r"\(1000000000,\)"):
        open_strict(Net(), file_of(tmp_path, header), "net")


def test_many_misfits_are_counted_not_listed() -> None:
    with pytest.raises(StrictLoadingError, match=r"; and 12 more\.$"):
        load_strict(Net(), weights(**{f"extra{index}": torch.zeros(1) for index in range(20)}), "net")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        [1, 2],
        {"a": {"dtype": "F32"}},
        {"a": {"shape": 3, "dtype": "F32"}},
        {"a": 3},
    ],
)
def test_a_broken_table_is_no_safetensors_file(tmp_path: Path, header: Any) -> None:
    path = file_of(tmp_path, header)
    with pytest.raises(WeightsError, match=r"is not a safetensors file .* Pull or install it again") as caught:
        open_strict(Net(), path, "net")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"1234", struct.pack("<Q", 2**40) + b"{}", b"PK\x03\x04" + bytes(100)])
def test_another_kind_of_file_is_no_safetensors_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="is not a safetensors file"):
        read_safetensors(path)


def test_a_file_whose_data_are_cut_off_is_no_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(weights(), path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="is not a safetensors file"):
        open_strict(Net(), path, "net")


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.safetensors is not .*No such file"):
        read_safetensors(tmp_path / "gone.safetensors")
