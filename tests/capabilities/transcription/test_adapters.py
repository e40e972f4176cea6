"""What the published checkpoints hold and what our networks want, name by name: without the checkpoints."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from tests.capabilities.transcription.upstream import DATA, KEYS, keys_of, t5x_names, t5x_shape
from tutti.capabilities.transcription.models.adapter import (
    ADAPTERS,
    Adapter,
    UpstreamNames,
    adapter_of,
    configured,
    find_adapter,
)
from tutti.capabilities.transcription.models.mt3_network import build_network
from tutti.capabilities.transcription.models.renaming import rename
from tutti.errors import CardError, OptionError
from tutti.weights.cards import BUNDLED_CARDS, find_card, read_card

FULL = {"vocabulary": 1536, "width": 512, "heads": 6, "head_width": 64, "feed_forward": 1024}
COUNTS = {
    "mt3": 45_896_704,
    "mt3_ismir2021": 46_027_776,
    "mt3_pytorch": 45_896_704,
    "mr_mt3": 48_519_680,
    "ymt3_plus": 45_730_816,
    "yptf_single": 30_397_824,
    "yptf_multi": 28_987_008,
    "yptf_moe_multi": 47_078_022,
}
"""Different numbers in upstream's networks, position tables that some keep as parameters among them."""
KEPT_TABLES = {"ymt3_plus": 2 * 529_408, "yptf_single": 529_408, "yptf_multi": 529_408, "yptf_moe_multi": 529_408 + 6}


def on_meta(adapter: Adapter) -> nn.Module:
    with torch.device("meta"):
        return build_network(adapter)


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("model", KEYS)
def test_every_name_in_a_published_file_is_accounted_for(model: str) -> None:
    adapter, theirs = find_adapter(model), keys_of(model)
    renamed = rename((adapter.names.prefix + name for name in theirs), adapter.names)
    plain = {ours: name.removeprefix(adapter.names.prefix) for ours, name in renamed.weights.items()}
    assert renamed.strangers == []
    assert {ours: theirs[name] for ours, name in plain.items()} == shapes(on_meta(adapter))
    assert len(plain) + len(renamed.repeats) + len(renamed.tables) == len(theirs)


@pytest.mark.parametrize("model", KEYS)
def test_what_repeats_is_what_upstream_ties(model: str) -> None:
    adapter = find_adapter(model)
    known = json.loads((DATA / "state_dicts.json").read_text())
    facts = known.get({"ymt3_plus": "ymt3plus", "yptf_moe_multi": "yptf_moe"}.get(model, model))
    prefix = adapter.names.prefix
    found = {
        name.removeprefix(prefix): other.removeprefix(prefix)
        for name, other in rename((prefix + name for name in keys_of(model)), adapter.names).repeats.items()
    }
    assert {name: other for name, other in found.items() if "rotary" not in name} == facts.get("aliases", {})
    assert facts["n_tensors"] == len(keys_of(model))
    assert facts["unique_parameters"] == COUNTS[model]


@pytest.mark.parametrize("model", ["mt3", "mt3_ismir2021"])
def test_every_parameter_of_t5x_is_accounted_for(model: str) -> None:
    adapter = find_adapter(model)
    renamed = rename((f"target.{name}" for name in t5x_names(8)), adapter.names)
    sizes = {**FULL, "vocabulary": adapter.codec.size}
    found = {}
    for ours, theirs in renamed.weights.items():
        shape = t5x_shape(theirs, sizes)
        found[ours] = shape[::-1] if theirs.endswith(".kernel") else shape
    assert renamed.strangers == []
    assert len(t5x_names(8)) == 189  # 147 matrices and 42 norms
    assert found == shapes(on_meta(adapter))


@pytest.mark.parametrize("model", COUNTS)
def test_parameters_are_as_many_as_upstream_has(model: str) -> None:
    network = on_meta(find_adapter(model))
    assert sum(p.numel() for p in network.parameters()) + KEPT_TABLES.get(model, 0) == COUNTS[model]


@pytest.mark.parametrize("model", COUNTS)
def test_the_card_says_the_size_of_the_network(model: str) -> None:
    card, network = read_card(BUNDLED_CARDS / f"{model}.toml"), on_meta(find_adapter(model))
    assert card.parameters == sum(p.numel() for p in network.parameters())
    assert card.size_bytes == sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())


@pytest.mark.parametrize("model", COUNTS)
def test_what_the_card_knows_of_files_is_what_the_adapter_needs(model: str) -> None:
    card = read_card(BUNDLED_CARDS / f"{model}.toml")
    adapter = adapter_of(card)
    assert adapter == find_adapter(model)
    assert card.upstream or adapter.names.prefix == "target."
    for file in card.upstream:
        assert file.settings.keys() == set(adapter.file_settings)
        configured(adapter, file.settings)


@pytest.mark.parametrize("model", [model for model in COUNTS if model != "yptf_moe_multi"])
def test_the_parts_of_a_model_fit_each_other(model: str) -> None:
    """Shapes alone; a mixture of experts routes by numbers, which tensors without data have not."""
    adapter = find_adapter(model)
    assert adapter.network.vocabulary == adapter.codec.size
    network = on_meta(adapter)
    frames = torch.zeros(2, adapter.front_end.frames, adapter.front_end.features, device="meta")
    states = network.encode(frames)  # type: ignore[operator]
    assert states.shape == (2, adapter.channels, adapter.front_end.frames, adapter.network.width)


def test_segments_are_as_long_as_upstream_cuts_them() -> None:
    found = {model: (find_adapter(model).front_end.segment_samples, find_adapter(model).max_tokens) for model in COUNTS}
    assert found == {
        "mt3": (32_768, 1024),
        "mt3_ismir2021": (65_536, 1024),
        "mt3_pytorch": (32_768, 1023),
        "mr_mt3": (32_768, 1023),
        "ymt3_plus": (32_767, 1024),
        "yptf_single": (32_767, 1024),
        "yptf_multi": (32_767, 256),
        "yptf_moe_multi": (32_767, 256),
    }


def test_pairs_that_are_known_by_heart() -> None:
    known = {
        "encoder.block.3.layer.0.SelfAttention.q.weight": "encoder.blocks.3.attention.q.weight",
        "encoder.block.3.layer.0.layer_norm.weight": "encoder.blocks.3.attention_norm.weight",
        "encoder.block.3.layer.1.DenseReluDense.wi_0.weight": "encoder.blocks.3.feed.gate.weight",
        "encoder.block.3.layer.1.layer_norm.weight": "encoder.blocks.3.feed_norm.weight",
        "decoder.block.7.layer.1.EncDecAttention.o.weight": "decoder.blocks.7.cross.o.weight",
        "decoder.block.7.layer.1.layer_norm.weight": "decoder.blocks.7.cross_norm.weight",
        "decoder.block.7.layer.2.DenseReluDense.wi_1.weight": "decoder.blocks.7.feed.up.weight",
        "decoder.block.7.layer.2.DenseReluDense.wo.weight": "decoder.blocks.7.feed.down.weight",
        "decoder.block.7.layer.2.layer_norm.weight": "decoder.blocks.7.feed_norm.weight",
        "decoder.final_layer_norm.weight": "decoder.norm.weight",
        "lm_head.weight": "decoder.logits.weight",
    }
    renamed = rename(known, find_adapter("mt3_pytorch").names)
    assert renamed.weights == {ours: theirs for theirs, ours in known.items()}
    flax = {
        "target.decoder.layers_7.encoder_decoder_attention.out.kernel": "decoder.blocks.7.cross.o.weight",
        "target.decoder.layers_7.self_attention.key.kernel": "decoder.blocks.7.attention.k.weight",
        "target.decoder.layers_7.pre_self_attention_layer_norm.scale": "decoder.blocks.7.attention_norm.weight",
        "target.encoder.layers_0.pre_attention_layer_norm.scale": "encoder.blocks.0.attention_norm.weight",
        "target.decoder.layers_7.mlp.wi_0.kernel": "decoder.blocks.7.feed.gate.weight",
        "target.decoder.token_embedder.embedding": "decoder.embedding.weight",
    }
    assert rename(flax, find_adapter("mt3").names).weights == {ours: theirs for theirs, ours in flax.items()}


def test_names_are_sorted_by_what_is_known_of_them() -> None:
    names = UpstreamNames(
        prefix="net.",
        renames=((r"(\w+)\.weight", r"\1"), (r"other", "a")),
        drops=(r".*junk.*",),
        repeats=((r"copy\.weight", "a.weight"),),
        tables=((r"hann", "window"),),
    )
    found = ["net.a.weight", "net.copy.weight", "net.hann", "net.xjunkx", "net.new", "net.other", "loss.weight"]
    renamed = rename(found, names)
    assert renamed.weights == {"a": "net.a.weight"}
    assert renamed.repeats == {"net.copy.weight": "net.a.weight"}
    assert renamed.tables == {"net.hann": "window"}
    assert renamed.strangers == ["net.new", "net.other"]  # a second tensor of one name is a stranger


def test_a_file_of_mr_mt3_says_how_it_is_used() -> None:
    adapter = configured(find_adapter("mr_mt3"), {"memory_rows": "64", "mel_bank": "linear_in_mel", "card": "mr_mt3"})
    assert adapter.memory_rows == 64
    assert (adapter.front_end.bank, adapter.front_end.scaling) == ("linear_in_mel", "clip")
    assert find_adapter("mr_mt3").memory_rows == 0
    assert configured(find_adapter("mt3"), {"memory_rows": "64"}) == find_adapter("mt3")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, r"Nothing says memory_rows and mel_bank of this file\. Give --memory-rows and --mel-bank"),
        ({"mel_bank": "linear_in_hz"}, "Nothing says memory_rows"),
        ({"memory_rows": "-1", "mel_bank": "linear_in_hz"}, "memory_rows='-1'"),
        ({"memory_rows": "1025", "mel_bank": "linear_in_hz"}, "Use 0 to 1024"),
        ({"memory_rows": "²", "mel_bank": "linear_in_hz"}, "memory_rows"),
        ({"memory_rows": "0", "mel_bank": "none"}, "mel_bank='none' is unknown"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, str], reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        configured(find_adapter("mr_mt3"), settings)


def test_a_card_names_its_adapter_and_may_change_sizes() -> None:
    card = read_card(BUNDLED_CARDS / "mt3.toml")
    small = card.model_copy(update={"config": {"adapter": "mt3", "network": {"width": 32}}})
    assert adapter_of(small).network.width == 32
    for config, reason in (
        ({}, "names no adapter"),
        ({"adapter": "mt4"}, "no adapter 'mt4'"),
        ({"adapter": "mt3", "network": {"breadth": 3}}, r"\[config.network\] has an unknown key"),
    ):
        with pytest.raises(CardError, match=reason):
            adapter_of(card.model_copy(update={"config": config}))


def test_adapters_need_no_framework() -> None:
    code = (
        "import sys; from tutti.capabilities.transcription.models.adapter import ADAPTERS, find_adapter\n"
        "from tutti.capabilities.transcription.models.renaming import rename\n"
        "print(len([find_adapter(name) for name in ADAPTERS]), {'torch', 'jax', 'onnxruntime'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == f"{len(ADAPTERS)} set()\n"


def test_cards_are_found_by_the_names_that_users_give() -> None:
    assert all(find_card(model).is_converted for model in COUNTS)
