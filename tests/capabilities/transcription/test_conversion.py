"""Published checkpoints to our weights, on small random ones that are named and wrapped as the real ones are."""

import gzip
import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import torch
from torch import Tensor

import tutti
from tests.capabilities.transcription.upstream import (
    SMALL,
    keys_of,
    lightning,
    small_sizes,
    small_state,
    t5x_names,
    t5x_shape,
)
from tutti.capabilities.transcription.conversion import Converted, convert
from tutti.capabilities.transcription.models.adapter import adapter_of, configured
from tutti.capabilities.transcription.models.mt3_network import build_network
from tutti.errors import CardError, HashMismatchError, OptionError, OutputError, StrictLoadingError, WeightsError
from tutti.weights.cards import BUNDLED_CARDS, Card, read_card
from tutti.weights.native import content_sha256, read_table
from tutti.weights.opening import open_strict

SETTINGS = {"memory_rows": "64", "mel_bank": "linear_in_hz"}


class TaskManager:
    """YourMT3 pickles one among its hyper parameters."""

    def __init__(self) -> None:
        self.codec = {"events": [1, 2]}


def small_card(model: str, *upstream: dict[str, Any], **fields: Any) -> Card:
    """The card of a model whose network has the sizes of `small_state`, knowing no file but those given."""
    card = read_card(BUNDLED_CARDS / f"{model}.toml")
    facts = card.model_dump() | {"upstream": upstream, "config": {"adapter": model, "network": small_sizes(model)}}
    return Card.model_validate(facts | fields)


def saved(folder: Path, content: Any, name: str = "model.ckpt") -> Path:
    torch.save(content, folder / name)
    return folder / name


def converted(path: Path, model: str, **options: Any) -> Converted:
    return convert(path, small_card(model), settings=SETTINGS if model == "mr_mt3" else None, **options)


def published(model: str) -> dict[str, Any]:
    """As its authors save it."""
    if model == "mt3_pytorch":
        return small_state(model)
    if model == "mr_mt3":
        return lightning(small_state(model, prefix="model."), hyper_parameters={"optim_cfg": {"lr": 1e-4}})
    extra = {"pitchshift.window": torch.zeros(4), "encoder.pitchshift.x": torch.zeros(2)}
    return lightning({**small_state(model), **extra}, hyper_parameters={"task_manager": TaskManager()})


@pytest.mark.parametrize("model", ["mt3_pytorch", "mr_mt3", "ymt3_plus"])
def test_a_published_file_fits_our_network(model: str, tmp_path: Path) -> None:
    path, card = saved(tmp_path, published(model), "their.ckpt"), small_card(model)
    result = converted(path, model)
    out = tmp_path / "ours.safetensors"
    result.write(out)
    network = build_network(configured(adapter_of(card), result.metadata))
    metadata = open_strict(network, out, card.name)
    assert metadata["card"] == model
    assert metadata["tutti"] == tutti.__version__
    assert metadata["upstream_file"] == "their.ckpt"
    assert metadata["upstream_sha256"] == sha256(path.read_bytes()).hexdigest()
    assert content_sha256(out) == metadata["content_sha256"]
    state = small_state(model)
    theirs = "lm_head.lm_head.weight" if model == "ymt3_plus" else "lm_head.weight"
    assert torch.equal(network.decoder.logits.weight, state[theirs])  # type: ignore[union-attr]
    stack = "decoder.decoder" if model == "ymt3_plus" else "decoder"
    key = f"{stack}.block.0.layer.2.DenseReluDense.wi_0.weight"
    assert torch.equal(network.decoder.blocks[0].feed.gate.weight, state[key])  # type: ignore[union-attr, union-attr]


def test_mr_mt3_says_how_it_is_to_be_used(tmp_path: Path) -> None:
    metadata = converted(saved(tmp_path, published("mr_mt3")), "mr_mt3").metadata
    assert {name: metadata[name] for name in SETTINGS} == SETTINGS
    assert configured(adapter_of(small_card("mr_mt3")), metadata).memory_rows == 64


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    path = saved(tmp_path, published("mr_mt3"))
    for name in ("one", "two"):
        converted(path, "mr_mt3").write(tmp_path / f"{name}.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    assert read_table(tmp_path / "one.safetensors").tensors["decoder.logits.weight"]["dtype"] == "F32"


# T5X


def t5x_checkpoint(folder: Path, change: Callable[[dict[str, Any]], None] = lambda _tree: None) -> dict[str, Any]:
    """A directory as Magenta publishes it: matrices beside the tree, norms in it. Returns the arrays by name."""
    rng = np.random.default_rng(1)
    arrays = {name: rng.normal(size=t5x_shape(name, SMALL)).astype(np.float32) for name in t5x_names(1)}
    target: dict[str, Any] = {}
    for name, array in arrays.items():
        *above, last = name.split(".")
        at = target
        for part in above:
            at = at.setdefault(part, {})
        at[last] = _put(folder, f"target.{name}", array)
    change(target)
    folder.mkdir(exist_ok=True)
    (folder / "checkpoint").write_bytes(msgpack.packb({"version": 3, "optimizer": {"target": target, "state": {}}}))
    return arrays


def _put(folder: Path, name: str, array: np.ndarray[Any, Any]) -> Any:
    if name.endswith(".scale"):
        return msgpack.ExtType(1, msgpack.packb((array.shape, "float32", array.tobytes())))
    place = folder / name
    place.mkdir(parents=True)
    facts = {"zarr_format": 2, "shape": array.shape, "chunks": array.shape, "dtype": "<f4", "order": "C"}
    facts |= {"compressor": {"id": "gzip", "level": 1}, "filters": None, "fill_value": None}
    (place / ".zarray").write_text(json.dumps(facts))
    (place / "0.0").write_bytes(gzip.compress(array.tobytes(), mtime=0))
    return {"driver": "zarr", "kvstore": {"driver": "gfile", "path": name}, "metadata": {}}


@pytest.mark.parametrize("model", ["mt3", "mt3_ismir2021"])
def test_a_directory_of_t5x_fits_our_network(model: str, tmp_path: Path) -> None:
    arrays = t5x_checkpoint(tmp_path / "theirs")
    card = small_card(model)
    result = convert(tmp_path / "theirs", card)
    result.write(tmp_path / "ours.safetensors")
    network = build_network(adapter_of(card))
    open_strict(network, tmp_path / "ours.safetensors", model)
    projection = arrays["encoder.continuous_inputs_projection.kernel"]
    frames = np.random.default_rng(2).normal(size=(1, 3, 512)).astype(np.float32)
    np.testing.assert_allclose(
        network.projection(torch.from_numpy(frames)).detach(),  # type: ignore[operator, union-attr]
        frames @ projection,
        rtol=1e-4,
        atol=1e-4,
    )
    np.testing.assert_array_equal(
        network.decoder.embedding.weight.detach(),  # type: ignore[union-attr]
        arrays["decoder.token_embedder.embedding"],
    )


def test_a_directory_is_known_by_all_its_files(tmp_path: Path) -> None:
    t5x_checkpoint(tmp_path / "a")
    t5x_checkpoint(tmp_path / "b")
    first, same = (convert(tmp_path / name, small_card("mt3")).metadata["upstream_sha256"] for name in "ab")
    chunk = tmp_path / "b" / "target.decoder.logits_dense.kernel" / "0.0"
    chunk.write_bytes(gzip.compress(gzip.decompress(chunk.read_bytes()), 1, mtime=0))
    assert first == same != convert(tmp_path / "b", small_card("mt3")).metadata["upstream_sha256"]


def test_a_parameter_that_is_missing_or_extra_in_t5x_is_named(tmp_path: Path) -> None:
    def change(tree: dict[str, Any]) -> None:
        del tree["decoder"]["decoder_norm"]
        tree["decoder"]["relpos_bias"] = {"scale": tree["encoder"]["encoder_norm"]["scale"]}

    t5x_checkpoint(tmp_path / "theirs", change)
    with pytest.raises(StrictLoadingError) as caught:
        convert(tmp_path / "theirs", small_card("mt3"))
    assert "missing: decoder.norm.weight" in str(caught.value)
    assert "extra: target.decoder.relpos_bias.scale" in str(caught.value)


# which file it is


def test_a_file_is_known_by_its_sha256_whatever_its_name(tmp_path: Path) -> None:
    path = saved(tmp_path, published("mr_mt3"), "renamed.ckpt")
    facts = {"name": "a.ckpt", "sha256": sha256(path.read_bytes()).hexdigest(), "settings": SETTINGS}
    assert convert(path, small_card("mr_mt3", facts)).metadata["memory_rows"] == "64"


def test_a_file_without_a_stated_sha256_is_known_by_its_name(tmp_path: Path) -> None:
    path = saved(tmp_path, published("mr_mt3"), "exp_prev_context=32.ckpt")
    settings = {"memory_rows": "32", "mel_bank": "linear_in_mel"}
    card = small_card("mr_mt3", {"name": path.name, "settings": settings}, {"name": "b.ckpt", "settings": SETTINGS})
    assert convert(path, card).metadata["memory_rows"] == "32"
    given = convert(path, card, settings={"memory_rows": "16"}).metadata
    assert (given["memory_rows"], given["mel_bank"]) == ("16", "linear_in_mel")


def test_other_bytes_are_refused_unless_one_insists(tmp_path: Path) -> None:
    path = saved(tmp_path, published("mt3_pytorch"), "mt3.pth")
    card = small_card("mt3_pytorch", {"name": "mt3.pth", "sha256": "1" * 64})
    with pytest.raises(HashMismatchError, match=r"mt3\.pth \(111111111111\)\. Fetch it again; or, .* --any-file"):
        convert(path, card)
    assert convert(path, card, is_any_file=True).metadata["card"] == "mt3_pytorch"


def test_the_file_of_another_card_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, published("mt3_pytorch"), "mt3.pth")
    other = small_card("mt3_pytorch", {"name": "mt3.pth", "sha256": sha256(path.read_bytes()).hexdigest()})
    monkeypatch.setattr("tutti.capabilities.transcription.conversion.load_cards", lambda: {"mt3_pytorch": other})
    with pytest.raises(HashMismatchError, match=r"is a file of mt3_pytorch, not of mr_mt3: say --card mt3_pytorch"):
        convert(path, small_card("mr_mt3", {"name": "a.ckpt", "sha256": "1" * 64}))


def test_a_file_of_mr_mt3_that_nobody_knows_needs_its_settings(tmp_path: Path) -> None:
    path = saved(tmp_path, published("mr_mt3"), "own.ckpt")
    with pytest.raises(OptionError, match="Give --memory-rows and --mel-bank"):
        convert(path, small_card("mr_mt3"))
    with pytest.raises(OptionError, match="mt3_pytorch has no setting memory_rows"):
        convert(saved(tmp_path, published("mt3_pytorch")), small_card("mt3_pytorch"), settings={"memory_rows": "3"})


def test_a_card_of_fetched_weights_is_not_converted(tmp_path: Path) -> None:
    card = read_card(BUNDLED_CARDS / "htdemucs.toml")
    with pytest.raises(CardError, match="not made by conversion"):
        convert(saved(tmp_path, published("mt3_pytorch")), card)


# files that do not fit


def changed(model: str, **tensors: Tensor | None) -> dict[str, Tensor]:
    prefix = "model." if model == "mr_mt3" else ""
    state = {**small_state(model, prefix), **{name.replace("__", "."): value for name, value in tensors.items()}}
    return {name: value for name, value in state.items() if value is not None}


def test_missing_and_extra_tensors_are_named(tmp_path: Path) -> None:
    state = changed("mt3_pytorch", lm_head__weight=None, lm_head__bias=torch.zeros(48))
    with pytest.raises(StrictLoadingError) as caught:
        converted(saved(tmp_path, state), "mt3_pytorch")
    assert "extra: lm_head.bias" in str(caught.value)
    assert "missing: decoder.logits.weight" in str(caught.value)


def test_another_shape_is_named_before_a_number_is_read(tmp_path: Path) -> None:
    state = changed("mt3_pytorch", lm_head__weight=torch.zeros(1).expand(48, 1_000_000_000))
    with pytest.raises(StrictLoadingError, match=r"decoder\.logits\.weight: the file has \(48, 1000000000\)"):
        converted(saved(tmp_path, state), "mt3_pytorch")


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    state = changed("mt3_pytorch", lm_head__weight=torch.zeros(48, 32, dtype=torch.int8))
    with pytest.raises(StrictLoadingError, match="the file has integer numbers, the network float"):
        converted(saved(tmp_path, state), "mt3_pytorch")


@pytest.mark.parametrize(
    ("theirs", "card"), [("mt3_pytorch", "mr_mt3"), ("mr_mt3", "mt3_pytorch"), ("ymt3_plus", "mt3_pytorch")]
)
def test_the_checkpoint_of_another_model_is_recognised(
    theirs: str, card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small ones are not: they fit no network of the family. So the whole, without its numbers."""
    prefix = "model." if theirs == "mr_mt3" else ""
    nothing = torch.zeros(1)
    state = {prefix + name: nothing.expand(shape) for name, shape in keys_of(theirs).items()}
    whole = read_card(BUNDLED_CARDS / f"{card}.toml").model_copy(update={"upstream": ()})
    path = saved(tmp_path, state)
    settings = SETTINGS if card == "mr_mt3" else None
    monkeypatch.setattr("tutti.weights.foreign._Reader._read", lambda *_: pytest.fail("a number was read"))
    with pytest.raises(StrictLoadingError, match=f"They are those of {theirs}: say --card {theirs}"):
        convert(path, whole, settings=settings)


def test_a_wrong_prefix_is_named(tmp_path: Path) -> None:
    with pytest.raises(StrictLoadingError, match=r"No name in the file begins with 'model\.'"):
        converted(saved(tmp_path, lightning(small_state("mr_mt3"))), "mr_mt3")
    with pytest.raises(StrictLoadingError, match=r"extra: module\.decoder"):
        converted(saved(tmp_path, small_state("mt3_pytorch", prefix="module.")), "mt3_pytorch")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none_are_refused_by_name(value: float, tmp_path: Path) -> None:
    weights = torch.zeros(48, 32)
    weights[3, 4] = value
    with pytest.raises(WeightsError, match=r"lm_head\.weight holds numbers that are NaN or infinite"):
        converted(saved(tmp_path, changed("mt3_pytorch", lm_head__weight=weights)), "mt3_pytorch")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_single(dtype: torch.dtype, tmp_path: Path) -> None:
    """Tables in it are rounded, too, and still known."""
    state = {name: value.to(dtype) for name, value in small_state("ymt3_plus").items()}
    result = converted(saved(tmp_path, state), "ymt3_plus")
    assert {tensor.dtype for tensor in result.tensors.values()} == {np.dtype(np.float32)}
    assert np.array_equal(result.tensors["decoder.logits.weight"], state["lm_head.lm_head.weight"].float().numpy())


def test_a_repeated_tensor_must_repeat(tmp_path: Path) -> None:
    for other in (torch.zeros(32, 512), torch.zeros(1)):
        state = changed("mt3_pytorch", encoder__embed_tokens__weight=other)
        with pytest.raises(WeightsError, match=r"encoder\.embed_tokens\.weight should repeat proj\.weight"):
            converted(saved(tmp_path, state), "mt3_pytorch")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("mt3_pytorch", "encoder.pos_emb.inv_freq"),
        ("ymt3_plus", "decoder.decoder.additive_pe.weight"),
        ("ymt3_plus", "spectrogram.mel_stft.spectrogram.window"),
        ("ymt3_plus", "spectrogram.mel_stft.mel_scale.fb"),
    ],
)
def test_tables_must_be_ours(model: str, name: str, tmp_path: Path) -> None:
    right = small_state(model)[name]
    with pytest.raises(WeightsError, match=f"{name} holds other numbers than the model's"):
        converted(saved(tmp_path, changed(model, **{name: right * 1.01})), model)
    with pytest.raises(StrictLoadingError, match=f"{name} has the shape"):
        converted(saved(tmp_path, changed(model, **{name: torch.zeros(3)})), model)


def test_magentas_table_is_not_taken_for_the_stored_one(tmp_path: Path) -> None:
    frequencies = 10_000.0 ** -(torch.arange(16.0) / 15)
    state = changed("mt3_pytorch", encoder__pos_emb__inv_freq=frequencies)
    with pytest.raises(WeightsError, match="position frequencies"):
        converted(saved(tmp_path, state), "mt3_pytorch")


# broken and hostile files


def test_empty_truncated_and_missing_files_are_errors(tmp_path: Path) -> None:
    path = saved(tmp_path, published("mt3_pytorch"))
    whole = path.read_bytes()
    for content, reason in ((b"", "is empty"), (whole[: len(whole) // 2], "damaged or cut off")):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=reason):
            converted(path, "mt3_pytorch")
    with pytest.raises(WeightsError, match="cannot be read"):
        converted(tmp_path / "none.ckpt", "mt3_pytorch")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="checkpoint cannot be read"):
        converted(tmp_path / "empty", "mt3")


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.target}",)


def test_a_payload_beside_the_weights_does_nothing(tmp_path: Path) -> None:
    target = tmp_path / "owned"
    content = lightning(small_state("mr_mt3", "model."), hyper_parameters={"manager": Payload(target)})
    assert "memory_projection.weight" in converted(saved(tmp_path, content), "mr_mt3").tensors
    assert not target.exists()


def test_a_payload_for_a_weight_is_an_error_and_does_nothing(tmp_path: Path) -> None:
    target = tmp_path / "owned"
    content = {**small_state("mt3_pytorch"), "lm_head.weight": Payload(target)}
    with pytest.raises(WeightsError, match=r"lm_head\.weight are no tensors"):
        converted(saved(tmp_path, content), "mt3_pytorch")
    assert not target.exists()


def test_nothing_is_left_where_the_result_cannot_be_written(tmp_path: Path) -> None:
    result = converted(saved(tmp_path, published("mt3_pytorch")), "mt3_pytorch")
    with pytest.raises(OutputError):
        result.write(tmp_path / "none" / "x.safetensors")
    assert {path.name for path in tmp_path.iterdir()} == {"model.ckpt"}
