import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tutti.errors import OutputError, WeightsError
from tutti.weights.native import content_sha256, read_table
from tutti.weights.saving import write_safetensors

TENSORS = {
    "b.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a.bias": np.array([0.5, -1], np.float32),
    "count": np.array(7),
}
METADATA = {"card": "mine", "upstream_file": "größe.ckpt"}


def written(folder: Path, name: str = "x.safetensors") -> Path:
    write_safetensors(folder / name, TENSORS, METADATA)
    return folder / name


def test_what_was_written_is_read_by_safetensors(tmp_path: Path) -> None:
    found = load_file(written(tmp_path))
    assert found.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)


def test_the_table_is_read_without_the_tensors(tmp_path: Path) -> None:
    table = read_table(written(tmp_path))
    assert table.tensors["b.weight"]["shape"] == [2, 3]
    assert {**METADATA, "content_sha256": table.metadata["content_sha256"]} == table.metadata
    assert table.data_begin % 8 == 0
    assert written(tmp_path).stat().st_size == table.data_begin + 6 * 4 + 2 * 4 + 8


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one = written(tmp_path, "one.safetensors").read_bytes()
    write_safetensors(tmp_path / "two.safetensors", dict(reversed(TENSORS.items())), dict(reversed(METADATA.items())))
    assert (tmp_path / "two.safetensors").read_bytes() == one


def test_arrays_in_another_order_of_memory_are_written_the_same(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "x.safetensors", {"w": np.asfortranarray(TENSORS["b.weight"])}, {})
    np.testing.assert_array_equal(load_file(tmp_path / "x.safetensors")["w"], TENSORS["b.weight"])


def test_the_checksum_covers_every_byte_that_means_something(tmp_path: Path) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    assert content_sha256(path) == read_table(path).metadata["content_sha256"]
    for old, new in ((b'"mine"', b'"sine"'), (b"[2,3]", b"[3,2]"), (np.float32(4).tobytes(), np.float32(5).tobytes())):
        assert whole.count(old) == 1
        path.write_bytes(whole.replace(old, new))
        assert content_sha256(path) is None
    path.write_bytes(whole[:-1])
    assert content_sha256(path) is None


def test_a_file_without_checksum_has_none(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    header = json.dumps({"__metadata__": {"card": "mine"}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    assert content_sha256(path) is None


@pytest.mark.parametrize("metadata", [[], {"card": 1}, "text"])
def test_metadata_that_is_no_text_is_refused(metadata: object, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    header = json.dumps({"__metadata__": metadata}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(WeightsError, match="metadata that is not text"):
        read_table(path)


def test_nothing_is_left_behind_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_safetensors(tmp_path / "none" / "x.safetensors", TENSORS, METADATA)
    assert list(tmp_path.iterdir()) == []
