"""Checkpoints against GPT-2 written out, and what is no checkpoint."""

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tutti.capabilities.groove.generation import generate_pattern, load_model
from tutti.capabilities.groove.models.drum_pattern_transformer import open_checkpoint
from tutti.errors import StrictLoadingError, WeightsError, WeightsMissingError

SIZES = {"vocab_size": 23, "n_styles": 3, "n_positions": 20, "n_embd": 16, "n_layer": 2, "n_head": 4}
Tensors = dict[str, Tensor]


def state_dict(*, buffers: bool = True) -> Tensors:
    """Random weights as GPT2LMHeadModel and the style's parts name and lay them."""
    generator = torch.Generator().manual_seed(0)
    width = SIZES["n_embd"]

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.3

    made = {
        "transformer.transformer.wte.weight": drawn(SIZES["vocab_size"], width),
        "transformer.transformer.wpe.weight": drawn(SIZES["n_positions"], width),
        "style_embeddings.weight": drawn(SIZES["n_styles"], 128),
        "style_projection.weight": drawn(width, 128),
        "style_projection.bias": drawn(width),
    }
    for layer in range(SIZES["n_layer"]):
        block = f"transformer.transformer.h.{layer}"
        for name, inputs, outputs in (
            ("attn.c_attn", width, 3 * width),
            ("attn.c_proj", width, width),
            ("mlp.c_fc", width, 4 * width),
            ("mlp.c_proj", 4 * width, width),
        ):
            made[f"{block}.{name}.weight"] = drawn(inputs, outputs)
            made[f"{block}.{name}.bias"] = drawn(outputs)
        for name in ("ln_1", "ln_2"):
            made[f"{block}.{name}.weight"] = 1 + drawn(width)
            made[f"{block}.{name}.bias"] = drawn(width)
        if buffers:
            length = SIZES["n_positions"]
            made[f"{block}.attn.bias"] = torch.ones(length, length).tril().bool().view(1, 1, length, length)
            made[f"{block}.attn.masked_bias"] = torch.tensor(-1e4)
    made["transformer.transformer.ln_f.weight"] = 1 + drawn(width)
    made["transformer.transformer.ln_f.bias"] = drawn(width)
    if buffers:
        made["transformer.lm_head.weight"] = made["transformer.transformer.wte.weight"]
    return made


def reference(weights: Tensors, ids: Tensor, style: int) -> Tensor:
    """GPT-2 with a style added to every token; Conv1D is x @ weight + bias."""
    width, heads = SIZES["n_embd"], SIZES["n_head"]
    told = weights["style_projection.weight"] @ weights["style_embeddings.weight"][style]
    told = told + weights["style_projection.bias"]
    wte, wpe = weights["transformer.transformer.wte.weight"], weights["transformer.transformer.wpe.weight"]
    states = wte[ids] + told + wpe[: ids.shape[1]]

    def normed(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (width,), weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)

    def conv(x: Tensor, name: str) -> Tensor:
        return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def gelu_new(x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    ahead = torch.ones(ids.shape[1], ids.shape[1]).triu(1).bool()
    for layer in range(SIZES["n_layer"]):
        block = f"transformer.transformer.h.{layer}"
        parts = conv(normed(states, f"{block}.ln_1"), f"{block}.attn.c_attn").split(width, dim=-1)
        query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts)
        scores = (query @ key.transpose(-1, -2) / math.sqrt(width // heads)).masked_fill(ahead, -torch.inf)
        heard = (scores.softmax(-1) @ value).transpose(1, 2).flatten(-2)
        states = states + conv(heard, f"{block}.attn.c_proj")
        inner = gelu_new(conv(normed(states, f"{block}.ln_2"), f"{block}.mlp.c_fc"))
        states = states + conv(inner, f"{block}.mlp.c_proj")
    return normed(states, "transformer.transformer.ln_f") @ wte.T


def save(path: Path, tensors: Any = None, metadata: Any = None) -> Path:
    content = {
        "model_state_dict": state_dict() if tensors is None else tensors,
        "metadata": {**SIZES, "epoch": 3} if metadata is None else metadata,
    }
    torch.save(content, path)
    return path


@pytest.mark.parametrize("style", [0, 2])
@pytest.mark.parametrize("buffers", [True, False])
@torch.no_grad()
def test_it_answers_as_gpt_2_with_a_style(style: int, buffers: bool, tmp_path: Path) -> None:
    weights = state_dict(buffers=buffers)
    network, metadata = open_checkpoint(save(tmp_path / "a.pt", weights))
    ids = torch.tensor([[1, 5, 5, 22, 0, 7], [3, 2, 1, 0, 9, 9]])
    network.style_id = style
    torch.testing.assert_close(network(ids), reference(weights, ids, style), atol=1e-4, rtol=1e-4)
    assert metadata == {**SIZES, "epoch": 3, "max_length": 20}
    assert not network.training
    other = reference(weights, ids, 1)
    assert (network(ids) - other).abs().max() > 0.1


def test_the_loader_opens_it_and_it_generates(tmp_path: Path) -> None:
    network, metadata = load_model(save(tmp_path / "a.pt"))
    assert metadata["vocab_size"] == 23
    assert metadata["max_length"] == 20

    class Stub:
        vocab = {"BOS_None": 1, "EOS_None": 2, "Bar_None": 4}  # noqa: RUF012

        def __len__(self) -> int:
            return 23

    ids = generate_pattern(network, Stub(), num_bars=2, max_length=400, seed=1, top_k=0, top_p=1.0, style_id=1)
    assert ids.count(4) == 2
    assert ids[-1] == 2


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError, match=r"There is no checkpoint at .*a\.pt"):
        open_checkpoint(tmp_path / "a.pt")


def test_what_is_missing_extra_or_of_another_shape_is_named(tmp_path: Path) -> None:
    weights = state_dict()
    del weights["transformer.transformer.h.1.mlp.c_fc.bias"]
    with pytest.raises(StrictLoadingError, match=r"missing: layers\.blocks\.1\.dense_in\.bias"):
        open_checkpoint(save(tmp_path / "missing.pt", weights))
    weights = {**state_dict(), "tempo_embeddings.weight": torch.zeros(3, 3)}
    with pytest.raises(StrictLoadingError, match=r"extra: tempo_embeddings\.weight"):
        open_checkpoint(save(tmp_path / "extra.pt", weights))
    weights = {**state_dict(), "style_projection.bias": torch.zeros(17)}
    with pytest.raises(StrictLoadingError, match=r"style_projection\.bias: the file has \(17,\), the network \(16,\)"):
        open_checkpoint(save(tmp_path / "shape.pt", weights))
    weights = {**state_dict(), "style_projection.bias": torch.zeros(16, dtype=torch.long)}
    with pytest.raises(StrictLoadingError, match="integer numbers"):
        open_checkpoint(save(tmp_path / "kind.pt", weights))


def test_a_head_of_its_own_is_refused(tmp_path: Path) -> None:
    weights = {**state_dict(), "transformer.lm_head.weight": torch.zeros(23, 16)}
    with pytest.raises(WeightsError, match="a head that is not its table"):
        open_checkpoint(save(tmp_path / "a.pt", weights))


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ([], "lacks model_state_dict or metadata"),
        ({}, "do not say what network"),
        ({"vocab_size": 23}, "do not say what network"),
        ({**SIZES, "n_head": "many"}, "do not say what network"),
        ({**SIZES, "n_head": None}, "do not say what network"),
        ({**SIZES, "n_layer": math.inf}, "do not say what network"),
        ({**SIZES, "n_layer": torch.zeros(3)}, "do not say what network"),
        ({**SIZES, "n_layer": 0}, "no network that can be built"),
        ({**SIZES, "n_layer": 10**9}, "no network that can be built"),
        ({**SIZES, "n_head": 3}, "no network that can be built"),
        ({**SIZES, "vocab_size": 24}, "says vocab_size=24"),
        ({**SIZES, "n_positions": 10**12}, "position.weight: the file has"),
        ({**SIZES, "n_styles": 4}, "style.weight: the file has"),
        ({**SIZES, "n_layer": 3}, "missing: layers.blocks.2"),
        ({**SIZES, "n_layer": 1}, "extra: layers.blocks.1"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(metadata: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=says):
        open_checkpoint(save(tmp_path / "a.pt", metadata=metadata))


@pytest.mark.parametrize("tensors", [[], {"a": 1}, {3: torch.zeros(2)}, {"transformer.transformer.wte.weight": "x"}])
def test_what_are_no_tensors_by_name_is_refused(tensors: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no DrumPatternTransformer checkpoint"):
        open_checkpoint(save(tmp_path / "a.pt", tensors=tensors))


class Hostile:
    ran: Path | None = None

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, (f"open({str(Hostile.ran)!r}, 'w').close()",)


def test_a_pickle_that_is_a_program_is_not_run(tmp_path: Path) -> None:
    Hostile.ran = tmp_path / "ran"
    save(tmp_path / "zip.pt", metadata={**SIZES, "note": Hostile()})
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"model_state_dict": {}, "metadata": Hostile()}))
    for name in ("zip.pt", "plain.pt"):
        with pytest.raises(WeightsError, match="no weights that can be read safely"):
            open_checkpoint(tmp_path / name)
    assert not Hostile.ran.exists()
    torch.load(tmp_path / "zip.pt", weights_only=False)  # and it is one
    assert Hostile.ran.exists()


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"not weights at all", b"\x80\x02"])
def test_what_is_no_checkpoint_at_all_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(WeightsError, match="no weights that can be read safely"):
        open_checkpoint(tmp_path / "a.pt")


def test_a_checkpoint_of_nothing_else_is_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="lacks model_state_dict or metadata"):
        open_checkpoint(tmp_path / "a.pt")
    torch.save(state_dict(), tmp_path / "b.pt")
    with pytest.raises(WeightsError, match="lacks model_state_dict or metadata"):
        open_checkpoint(tmp_path / "b.pt")
