"""What an export writes, and what it refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import onnx
import pytest

from tests.capabilities.transcription.small_models import ADAPTERS, SmallModel, network_of, write_model
from tutti.capabilities.transcription.onnx_export import export, export_network
from tutti.capabilities.transcription.onnx_folder import CROSS, ENCODER, MANIFEST, MEMORY, STEP, folder_of
from tutti.errors import CardError, MissingExtraError, OutputError, StrictLoadingError, WeightsMissingError
from tutti.settings import settings
from tutti.weights.cards import find_card, load_cards
from tutti.weights.store import identified


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallModel]:
    monkeypatch.setenv("TUTTI_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TUTTI_CARDS_DIR", str(tmp_path / "cards"))
    settings.cache_clear()
    yield write_model(tmp_path, "small", "mt3")
    settings.cache_clear()


def test_the_folder_says_what_is_in_it(model: SmallModel, tmp_path: Path) -> None:
    folder = export(model.card, tmp_path / "out")
    said = json.loads((folder / MANIFEST).read_text())
    assert said["weights_sha256"] == identified(model.card).sha256
    assert (said["card"], said["precision"], said["settings"]) == ("small", "fp32", {})
    assert said["files"] == {
        path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name != MANIFEST
    }
    assert said["files"].keys() == {ENCODER, CROSS, STEP}
    for name in said["files"]:
        assert [each.version for each in onnx.load(folder / name).opset_import] == [said["opset"], 1]


def test_int8_holds_the_decoders_matrices_in_8_bits(model: SmallModel) -> None:
    whole, small = (export(model.card, precision=precision) for precision in ("fp32", "int8"))
    assert small == folder_of(model.card, "int8") != whole
    kinds = {tensor.data_type for tensor in onnx.load(small / STEP).graph.initializer if len(tensor.dims) == 2}
    assert kinds == {onnx.TensorProto.INT8, onnx.TensorProto.FLOAT}  # the embedding is looked up
    for name in (ENCODER, CROSS):
        assert (small / name).read_bytes() == (whole / name).read_bytes()


def test_only_a_memory_that_is_used_is_written(tmp_path: Path) -> None:
    adapter = ADAPTERS["mr_mt3"]
    export_network(network_of(adapter), adapter, tmp_path / "used", "fp32", next(iter(load_cards().values())), {})
    assert (tmp_path / "used" / MEMORY).is_file()


def test_an_older_export_is_replaced_whole(model: SmallModel, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = export(model.card)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "left.onnx").write_bytes(b"of another version")
    monkeypatch.setattr("tutti.__version__", "9.9")
    rename = Path.rename

    def broken(self: Path, target: Path) -> Path:
        if target == folder and self.suffix == ".part":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(OutputError, match="No space left"):
        export(model.card)
    assert (folder / "left.onnx").is_file()
    monkeypatch.setattr(Path, "rename", rename)
    export(model.card)
    assert {path.name for path in folder.iterdir()} == before.keys()
    assert json.loads((folder / MANIFEST).read_text())["tutti"] == "9.9"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_folder_of_something_else_is_left_alone(model: SmallModel, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(OutputError, match="no exported model"):
        export(model.card, tmp_path / "mine")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="exported model"):
        export(model.card, tmp_path / "file")
    with pytest.raises(OutputError, match="Choose another folder"):
        export(model.card, tmp_path / "file" / "below")


def test_a_model_of_another_kind_is_refused(model: SmallModel) -> None:
    assert model.card.capability == "transcription"
    with pytest.raises(CardError, match="tutti-notes is not of the MT3 family"):
        export(find_card("tutti-notes"))


def test_missing_and_wrong_weights_are_refused(model: SmallModel, tmp_path: Path) -> None:
    wider = {**model.card.config, "network": {**model.card.config["network"], "feed_forward": 32}}
    with pytest.raises(StrictLoadingError, match="feed"):
        export(model.card.model_copy(update={"config": wider}))
    (tmp_path / "converted" / "small.safetensors").unlink()
    with pytest.raises(WeightsMissingError, match="small"):
        export(model.card)


HERE = "tutti.capabilities.transcription"


@pytest.mark.parametrize(
    ("package", "module", "others"),
    [
        ("onnx", "onnx_export", (f"{HERE}.models.perceiver_onnx", "tutti.nets.t5_onnx", "tutti.nets.onnx_graph")),
        ("onnxruntime", "onnx_backend", ()),
    ],
)
def test_a_missing_package_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, package: str, module: str, others: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for name in (f"{HERE}.{module}", *others):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'tutti\[onnx\]'"):
        import_module(f"{HERE}.{module}")
