import gzip
import json
import zlib
from itertools import product
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tutti.errors import WeightsError
from tutti.weights.t5x import CHECKPOINT, open_t5x

Arrays = NDArray[Any]


def inline(array: Arrays, dtype: str | None = None) -> msgpack.ExtType:
    """An array as Flax packs it."""
    return msgpack.ExtType(1, msgpack.packb((array.shape, dtype or array.dtype.name, array.tobytes())))


def put_aside(
    folder: Path, name: str, array: Arrays, chunks: tuple[int, ...] | None = None, **table: Any
) -> dict[str, Any]:
    """Write an array as TensorStore does, and say so as T5X does."""
    chunks = chunks or array.shape
    facts = {
        "zarr_format": 2,
        "shape": list(array.shape),
        "chunks": list(chunks),
        "dtype": "<f4",
        "order": "C",
        "compressor": {"id": "gzip", "level": 1},
        "filters": None,
        "fill_value": None,
        **table,
    }
    place = folder / name
    place.mkdir(parents=True)
    (place / ".zarray").write_text(json.dumps(facts))
    pack = {"gzip": gzip.compress, "zlib": zlib.compress}.get((facts["compressor"] or {}).get("id"), bytes)
    for index in product(*(range(-(-size // chunk)) for size, chunk in zip(array.shape, chunks, strict=True))):
        chunk = np.zeros(chunks, array.dtype)
        part = array[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunks, strict=True))]
        chunk[tuple(map(slice, part.shape))] = part
        (place / ".".join(map(str, index))).write_bytes(pack(chunk.tobytes()))
    return {"driver": "zarr", "kvstore": {"driver": "file", "path": "../../elsewhere"}, "metadata": facts}


def checkpoint(folder: Path, target: dict[str, Any], **optimizer: Any) -> Path:
    folder.mkdir(exist_ok=True)
    tree = {"version": 3, "optimizer": {"target": target, "state": {"step": 5, "param_states": {}}, **optimizer}}
    (folder / CHECKPOINT).write_bytes(msgpack.packb(tree))
    return folder


def read_all(folder: Path) -> dict[str, Arrays]:
    with open_t5x(folder) as found:
        return {name: tensor.read() for name, tensor in found.items()}


KERNEL = np.arange(35, dtype=np.float32).reshape(5, 7)
SCALE = np.linspace(0, 1, 5, dtype=np.float32)


def test_arrays_lie_in_the_tree_and_beside_it(tmp_path: Path) -> None:
    name = "target.decoder.layers_0.mlp.wi_0.kernel"
    aside = put_aside(tmp_path, name, KERNEL)
    tree = {"decoder": {"layers_0": {"mlp": {"wi_0": {"kernel": aside}}, "norm": {"scale": inline(SCALE)}}}}
    found = read_all(checkpoint(tmp_path, tree))
    assert found.keys() == {name, "target.decoder.layers_0.norm.scale"}
    np.testing.assert_array_equal(found[name], KERNEL)
    np.testing.assert_array_equal(found["target.decoder.layers_0.norm.scale"], SCALE)
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("compressor", [None, {"id": "gzip", "level": 1}, {"id": "zlib", "level": 9}])
@pytest.mark.parametrize("chunks", [(5, 7), (2, 3), (5, 1), (1, 7)])
def test_chunks_are_put_together(compressor: Any, chunks: tuple[int, int], tmp_path: Path) -> None:
    """Those at the edges are stored whole."""
    leaf = put_aside(tmp_path, "target.kernel", KERNEL, chunks, compressor=compressor)
    np.testing.assert_array_equal(read_all(checkpoint(tmp_path, {"kernel": leaf}))["target.kernel"], KERNEL)


def test_bfloat16_is_widened(tmp_path: Path) -> None:
    tensor = torch.linspace(-3, 3, 6, dtype=torch.bfloat16)
    raw = tensor.view(torch.int16).numpy().view(np.uint16)
    leaf = put_aside(tmp_path, "target.aside", raw, dtype="bfloat16")
    found = read_all(checkpoint(tmp_path, {"aside": leaf, "within": inline(raw, "bfloat16")}))
    for array in found.values():
        np.testing.assert_array_equal(array, tensor.float().numpy())


def test_the_optimiser_is_never_looked_at(tmp_path: Path) -> None:
    checkpoint(tmp_path, {"scale": inline(SCALE)}, state={"param_states": {"x": {"driver": "zarr"}}})
    assert read_all(tmp_path).keys() == {"target.scale"}


def test_a_folder_without_checkpoint_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"No such file.*folder with a file 'checkpoint'"), open_t5x(tmp_path):
        pass


@pytest.mark.parametrize(
    "content", [b"", b"\xc1", b"hello", msgpack.packb([1]), msgpack.packb({"optimizer": {}}), b"\xdf\xff\xff\xff\xff"]
)
def test_another_file_is_no_checkpoint(content: bytes, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(WeightsError, match="no checkpoint of T5X"), open_t5x(tmp_path):
        pass


def test_parameters_must_be_a_tree(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no parameters"), open_t5x(checkpoint(tmp_path, [])):  # type: ignore[arg-type]
        pass


@pytest.mark.parametrize("key", ["..", "a/b", "../../etc", "a.b", "", "\0", 7])
def test_a_name_cannot_lead_out_of_the_folder(key: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="strange name"), open_t5x(checkpoint(tmp_path, {key: inline(SCALE)})):
        pass


@pytest.mark.parametrize(
    ("leaf", "reason"),
    [
        (5, "no array: target.x"),
        (None, "no array: target.x"),
        (msgpack.ExtType(3, b"x"), "no array: target.x"),
        (msgpack.ExtType(1, b"x"), "x is no array"),
        (msgpack.ExtType(1, msgpack.packb(["shape", "float32", b""])), "x is no array"),
        (msgpack.ExtType(1, msgpack.packb([[2], "float32", "text"])), "x is no array"),
        (msgpack.ExtType(1, msgpack.packb([[-2], "float32", b""])), "x is no array"),
        (msgpack.ExtType(1, msgpack.packb([[2], "int32", bytes(8)])), "int32 numbers in target.x"),
        (msgpack.ExtType(1, msgpack.packb([[10**9], "float32", bytes(8)])), "has 8 bytes for"),
    ],
)
def test_a_leaf_that_is_no_array_names_the_parameter(leaf: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=reason), open_t5x(checkpoint(tmp_path, {"x": leaf})):
        pass


@pytest.mark.parametrize(
    "table",
    [
        {"order": "F"},
        {"zarr_format": 3},
        {"dtype": "<i4"},
        {"dtype": "|O"},
        {"compressor": {"id": "blosc"}},
        {"filters": [{"id": "delta"}]},
        {"shape": [5, -7]},
        {"shape": "5,7"},
        {"chunks": [5]},
        {"chunks": [0, 7]},
        {"dimension_separator": ".."},
    ],
)
def test_another_layout_of_zarr_is_refused(table: dict[str, Any], tmp_path: Path) -> None:
    leaf = put_aside(tmp_path, "target.x", KERNEL)
    path = tmp_path / "target.x" / ".zarray"
    path.write_text(json.dumps({**json.loads(path.read_text()), **table}))
    with (
        pytest.raises(WeightsError, match="describes no array that can be read"),
        open_t5x(checkpoint(tmp_path, {"x": leaf})),
    ):
        pass


def test_a_missing_array_is_an_error(tmp_path: Path) -> None:
    leaf = {"driver": "zarr", "kvstore": {"path": "target.x"}}
    with pytest.raises(WeightsError, match=r"\.zarray cannot be read"), open_t5x(checkpoint(tmp_path, {"x": leaf})):
        pass


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read"),
        (gzip.compress(KERNEL.tobytes())[:-30], "damaged"),
        (b"no gzip", "damaged"),
        (gzip.compress(KERNEL.tobytes()[:-4]), "holds 136 bytes"),
        (gzip.compress(bytes(10_000_000)), "holds 141 bytes or more"),
        (bytes(3_000_000), "more than the"),
    ],
)
def test_a_damaged_or_swelling_chunk_is_an_error(content: bytes | None, reason: str, tmp_path: Path) -> None:
    leaf = put_aside(tmp_path, "target.x", KERNEL)
    chunk = tmp_path / "target.x" / "0.0"
    chunk.unlink() if content is None else chunk.write_bytes(content)
    with pytest.raises(WeightsError, match=reason):
        read_all(checkpoint(tmp_path, {"x": leaf}))


@pytest.mark.parametrize("chunks", [[100_000, 100_000], [1, 1]])
def test_chunks_must_suit_the_array(chunks: list[int], tmp_path: Path) -> None:
    leaf = put_aside(tmp_path, "target.x", KERNEL)
    path = tmp_path / "target.x" / ".zarray"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "shape": [5, 70_000 // chunks[0] + 7], "chunks": chunks})
    )
    with pytest.raises(WeightsError, match="chunks that do not suit"):
        read_all(checkpoint(tmp_path, {"x": leaf}))


def test_a_huge_tree_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutti.weights.t5x._MAX_TREE_BYTES", 10)
    with (
        pytest.raises(WeightsError, match="more than the 10 bytes"),
        open_t5x(checkpoint(tmp_path, {"x": inline(SCALE)})),
    ):
        pass
