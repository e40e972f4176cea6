import contextlib
import io
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tutti.errors import WeightsError
from tutti.weights.foreign import as_native, open_torch


def saved(folder: Path, content: Any, name: str = "model.ckpt") -> Path:
    path = folder / name
    torch.save(content, path)
    return path


def rewritten(path: Path, change: Callable[[str, bytes], bytes | None], compression: int = zipfile.ZIP_STORED) -> Path:
    """The archive with the content of its members changed, or (None) left out."""
    target = path.with_name("changed.ckpt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


def read_all(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    with open_torch(path) as found:
        return {name: tensor.read() for name, tensor in found.items()}


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return OrderedDict({"a.weight": torch.randn(3, 5), "a.bias": torch.randn(3), "n": torch.tensor(7)})


def test_a_state_dict_is_described_and_then_read(tmp_path: Path) -> None:
    with open_torch(saved(tmp_path, state())) as found:
        assert {name: (tensor.shape, tensor.kind) for name, tensor in found.items()} == {
            "a.weight": ((3, 5), "float"),
            "a.bias": ((3,), "float"),
            "n": ((), "integer"),
        }
        for name, tensor in state().items():
            np.testing.assert_array_equal(found[name].read(), tensor.numpy())
            assert found[name].read().shape == tensor.shape
        assert found["a.bias"].read().dtype == np.float32
        assert found["n"].read().dtype == np.int64


def test_only_the_state_dict_of_a_lightning_file_is_kept(tmp_path: Path) -> None:
    wrapped = {
        "epoch": 3,
        "state_dict": state(),
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3, 5)}}, "param_groups": [{"lr": 0.1}]}],
        "hyper_parameters": {"manager": Foreign(), "sparse": torch.eye(2).to_sparse(), "dtype": torch.float16},
    }
    assert read_all(saved(tmp_path, wrapped)).keys() == state().keys()


class Foreign:
    def __init__(self) -> None:
        self.codec = [1]


def test_parameters_views_and_repeats_are_read_as_they_are(tmp_path: Path) -> None:
    table = torch.arange(24.0).reshape(4, 6)
    views = {
        "parameter": torch.nn.Parameter(table),
        "transposed": table.T,
        "permuted": torch.arange(24.0).reshape(2, 3, 4).permute(1, 2, 0),
        "rows": table[1:3],
        "again": table,
        "one": torch.arange(3.0)[:, None],
    }
    found = read_all(saved(tmp_path, views))
    for name, tensor in views.items():
        np.testing.assert_array_equal(found[name], tensor.detach().numpy())
        assert found[name].flags.c_contiguous


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_single_precision(dtype: torch.dtype, tmp_path: Path) -> None:
    tensor = torch.tensor([[1.5, -2.25], [3.0e-5, 0.1]], dtype=dtype)
    (found,) = read_all(saved(tmp_path, {"w": tensor})).values()
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, tensor.float().numpy())


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool])
def test_whole_numbers_become_long(dtype: torch.dtype, tmp_path: Path) -> None:
    with open_torch(saved(tmp_path, {"n": torch.tensor([0, 1], dtype=dtype)})) as found:
        assert found["n"].kind == ("bool" if dtype == torch.bool else "integer")
        np.testing.assert_array_equal(found["n"].read(), np.array([0, 1]))


def test_what_single_precision_cannot_hold_becomes_infinite() -> None:
    assert np.isinf(as_native(np.array([1e300]).tobytes(), "<f8", (1,))).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"RIFF....WAVE", "no checkpoint of torch"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (pickle.dumps({"a": 1}), "before 1.6"),
    ],
)
def test_another_kind_of_file_says_what_it_is(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=reason), open_torch(path):
        pass


def test_the_old_formats_of_torch_are_named(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with tarfile.open(tmp_path / "older.pth", "w") as tar:
        info = tarfile.TarInfo("pickle")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    for name in ("old.pth", "older.pth"):
        with pytest.raises(WeightsError, match=r"torch before 1\.6"), open_torch(tmp_path / name):
            pass


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.pth"):
        with pytest.raises(WeightsError, match="cannot be read"), open_torch(path):
            pass


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_an_error(share: float, tmp_path: Path) -> None:
    path = saved(tmp_path, state())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(WeightsError, match="damaged or cut off"):
        read_all(path)


def test_a_changed_number_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path, state())
    whole = path.read_bytes()
    at = whole.index(state()["a.weight"].numpy().tobytes())
    path.write_bytes(whole[: at + 3] + bytes([whole[at + 3] ^ 1]) + whole[at + 4 :])
    with pytest.raises(WeightsError, match="CRC"):
        read_all(path)


def test_another_zip_file_is_no_checkpoint(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(WeightsError, match="no checkpoint of torch"), open_torch(tmp_path / "x.pth"):
        pass


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"epoch": 1, "model": 2}, "epoch, model are no tensors"),
        ({"state_dict": {"a": [1, 2]}}, "a are no tensors"),
        ({"state_dict": {}}, "no state_dict"),
        ({1: torch.zeros(1)}, "1 are no tensors"),
        ([torch.zeros(1)], "no state_dict"),
        (torch.nn.Linear(2, 2), "no state_dict"),
        ({"a": torch.eye(2).to_sparse()}, "a are no tensors"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "unknown kind in a"),
    ],
)
def test_a_file_without_a_state_dict_says_what_it_holds(content: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=reason):
        read_all(saved(tmp_path, content))


def test_an_expanded_tensor_costs_nothing_and_is_refused(tmp_path: Path) -> None:
    """A file of 1.5 KB declares 4 GB."""
    path = saved(tmp_path, {"w": torch.zeros(1).expand(1_000_000_000)})
    assert path.stat().st_size < 4096
    with open_torch(path) as found:
        assert found["w"].shape == (1_000_000_000,)
        with pytest.raises(WeightsError, match="gaps or repeats in w"):
            found["w"].read()


def test_a_tensor_with_gaps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="gaps or repeats in w"):
        read_all(saved(tmp_path, {"w": torch.arange(10.0)[::2]}))


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, {"w": torch.arange(6.0)})
    short = rewritten(path, lambda name, content: content[:-4] if "/data/" in name else content)
    with pytest.raises(WeightsError, match="says that w has more numbers than it holds"):
        read_all(short)
    longer = rewritten(path, lambda name, content: content * 2 if "/data/" in name else content)
    with pytest.raises(WeightsError, match="more than belong there"):
        read_all(longer)


def test_a_missing_part_is_an_error(tmp_path: Path) -> None:
    without = rewritten(saved(tmp_path, state()), lambda name, content: None if name.endswith("/data/0") else content)
    with pytest.raises(WeightsError, match="lacks its part data/0"):
        read_all(without)


def test_a_packed_archive_is_refused_so_that_none_can_swell(tmp_path: Path) -> None:
    packed = rewritten(saved(tmp_path, state()), lambda _name, content: content, zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="packed in a way that torch never does"):
        read_all(packed)


def test_a_huge_pickle_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutti.weights.foreign._MAX_PICKLE_BYTES", 100)
    with pytest.raises(WeightsError, match=r"data\.pkl, more than belong there"):
        read_all(saved(tmp_path, state()))


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.target}",)


def test_a_payload_beside_the_weights_is_not_run(tmp_path: Path) -> None:
    target = tmp_path / "owned"
    path = saved(tmp_path, {"state_dict": state(), "callbacks": Payload(target)})
    assert read_all(path).keys() == state().keys()
    assert not target.exists()


def test_a_payload_among_the_weights_is_an_error_and_not_run(tmp_path: Path) -> None:
    target = tmp_path / "owned"
    with pytest.raises(WeightsError, match="evil are no tensors"):
        read_all(saved(tmp_path, {**state(), "evil": Payload(target)}))
    assert not target.exists()


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    path = saved(tmp_path, state())
    code = (
        "import sys; from pathlib import Path; from tutti.weights.foreign import open_torch\n"
        f"with open_torch(Path({str(path)!r})) as found: print(sorted(found), 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "['a.bias', 'a.weight', 'n'] False\n"


def test_any_damage_ends_in_tensors_or_an_error(tmp_path: Path) -> None:
    whole = saved(tmp_path, {"w": torch.arange(2.0)}).read_bytes()
    path = tmp_path / "spoilt.pth"
    rng = np.random.default_rng(1)
    for at in rng.integers(0, len(whole), 150):
        path.write_bytes(whole[:at] + bytes([rng.integers(256)]) + whole[at + 1 :])
        with contextlib.suppress(WeightsError):  # anything else fails the test
            read_all(path)
