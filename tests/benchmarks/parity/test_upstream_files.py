"""Files of random weights in their published forms, as our converter's readers see them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.parity.small_mt3 import file_names, small_mt3
from benchmarks.parity.upstream_files import Setup, as_t5x, read_shapes, write_upstream
from tutti.weights.foreign import open_torch
from tutti.weights.t5x import open_t5x


@pytest.mark.parametrize("name", ["mt3_pytorch", "mr_mt3", "mt3"])
def test_file_holds_every_tensor_under_its_published_name(name: str, tmp_path: Path) -> None:
    small = small_mt3(name)
    path = write_upstream(tmp_path, Setup(name, small.adapter), small.tensors)
    wanted = file_names(name, small.tensors)
    with open_t5x(path) if path.is_dir() else open_torch(path) as found:
        assert wanted.keys() <= found.keys()
        for key, array in wanted.items():
            np.testing.assert_array_equal(found[key].read(), array)


def test_t5x_has_all_but_repeats_and_tables() -> None:
    tensors = small_mt3("mt3_pytorch").tensors
    left_out = {name for name in tensors if name.endswith(("embed_tokens.weight", "inv_freq"))}
    assert len(as_t5x(tensors)) == len(tensors) - len(left_out - {"decoder_embed_tokens.weight"})


def test_shapes_are_read_from_lists(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text("a.weight\t(3, 4)\nb\t(2,)\nc\t()\n")
    assert read_shapes(path) == {"a.weight": (3, 4), "b": (2,), "c": ()}
