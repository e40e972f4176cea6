"""Token ids from networks, and networks from files and cards, by content."""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.capabilities.groove.small_groove import small_card, small_network, small_weights, take
from tutti.capabilities.groove import generation
from tutti.capabilities.groove.generation import generate_pattern, load_model, open_model
from tutti.capabilities.groove.models.drum_pattern_transformer import (
    DrumPatternTransformer,
    DrumPatternTransformerConfig,
)
from tutti.capabilities.groove.models.tutti_groove import GrooveNet
from tutti.capabilities.groove.tokens import Conditions, tokenizer
from tutti.errors import (
    DeviceError,
    OptionError,
    StrictLoadingError,
    UnknownModelError,
    WeightsError,
    WeightsMissingError,
)
from tutti.settings import settings
from tutti.weights import cards
from tutti.weights.loaded import LOADED

T = tokenizer()


class Stub:
    """What generation asks of MidiTok's tokenizers."""

    def __init__(self, *names: str) -> None:
        self.vocab = {name: index for index, name in enumerate(names)}

    def __len__(self) -> int:
        return len(self.vocab)


NAMES = (
    "PAD_None",
    "BOS_None",
    "EOS_None",
    "MASK_None",
    "Bar_None",
    "Position_0",
    "Position_1",
    "Pitch_36",
    "Pitch_38",
)
STUB = Stub(*NAMES)
PAD, BOS, EOS, MASK, BAR = range(5)


def gpt2(vocabulary: int = len(NAMES)) -> DrumPatternTransformer:
    torch.manual_seed(0)
    network = DrumPatternTransformer(DrumPatternTransformerConfig(vocabulary, 3, 64, 16, 1, 2)).eval()
    torch.nn.init.normal_(network.embedding.weight, std=0.1)
    return network


@pytest.mark.parametrize("bars", [1, 3, 8])
@pytest.mark.parametrize("seed", range(4))
def test_so_many_bars_come_as_are_asked_for_then_the_end(bars: int, seed: int) -> None:
    ids = generate_pattern(gpt2(), STUB, num_bars=bars, max_length=2000, seed=seed)
    assert ids[0] == BOS
    assert ids.count(BAR) == bars
    assert ids[-1] == EOS
    assert ids.count(EOS) == 1
    assert not {PAD, BOS, MASK} & set(ids[1:])


def test_a_tokenizer_without_an_end_stops_before_a_bar_too_many() -> None:
    ids = generate_pattern(gpt2(8), Stub(*(n for n in NAMES if n != "EOS_None")), num_bars=2, max_length=900, seed=1)
    bar = 3
    assert ids.count(bar) == 2
    assert ids[-1] != bar
    assert len(ids) < 900


def test_a_tokenizer_without_bars_stops_at_its_end() -> None:
    names = [name for name in NAMES if name != "Bar_None"]
    ids = generate_pattern(gpt2(8), Stub(*names), num_bars=9, max_length=900, seed=1)
    assert ids[-1] == EOS
    assert len(ids) < 900


def test_the_prompt_stays_in_front_and_counts_no_bars() -> None:
    prompt = [BOS, BAR, 5, 7, BAR, 6]
    ids = generate_pattern(gpt2(), STUB, prompt, num_bars=2, seed=3, max_length=900)
    assert ids[:6] == prompt
    assert ids.count(BAR) == 4
    assert prompt == [BOS, BAR, 5, 7, BAR, 6]


def test_tutti_s_own_tokens_are_always_well_formed() -> None:
    ids = generate_pattern(small_network(), T, num_bars=3, max_length=2000, seed=1, metre="7/8")
    assert ids[:7] == T.header(Conditions(metre="7/8", bars=3))
    assert ids.count(T.bar_id) == 3
    assert ids[-1] == T.eos_id
    bars = [token for bar in T.bar_tokens(take("rock_92").cut(0, 2)) for token in bar]
    prompt = [*T.header(Conditions(bars=4)), *bars]
    ids = generate_pattern(small_network(), T, prompt, num_bars=2, max_length=2000, seed=1)
    assert ids[: len(prompt)] == prompt
    assert T.decode(ids, 92).bars == 4


def test_max_length_ends_it_sooner() -> None:
    assert len(generate_pattern(gpt2(), STUB, num_bars=1000, max_length=30, seed=0)) == 30
    assert len(generate_pattern(small_network(), T, num_bars=9, max_length=30, seed=0)) == 30


def test_seed_and_style_decide() -> None:
    def ids(**given: Any) -> list[int]:
        return generate_pattern(gpt2(), STUB, num_bars=6, max_length=300, **given)

    assert ids(seed=1) == ids(seed=1)
    assert ids(seed=1) != ids(seed=2)
    assert ids(seed=1, temperature=0) == ids(seed=2, temperature=0)
    assert ids(seed=1, style_id=2) != ids(seed=1)
    assert len({tuple(ids()) for _ in range(3)}) == 3  # drawn anew


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"num_bars": 0}, "num_bars is 1-1024"),
        ({"num_bars": 1025}, "num_bars is 1-1024"),
        ({"temperature": -1.0}, "temperature is 0-10"),
        ({"temperature": float("nan")}, "temperature is 0-10"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"repetition_penalty": 0.5}, "repetition_penalty"),
        ({"max_length": 0}, "max_length is at least 1"),
        ({"prompt_tokens": [BOS] * 30, "max_length": 30}, "The prompt has 30 tokens; max_length=30"),
        ({"prompt_tokens": [BOS] * 31, "max_length": 30}, "The prompt has 31 tokens; max_length=30"),
        ({"prompt_tokens": []}, "prompt_tokens holds none"),
        ({"prompt_tokens": [BOS, 9, -1]}, r"no tokens: \[9, -1\]; they are 0-8"),
        ({"seed": -1}, "seed is at least 0"),
        ({"style_id": 3}, "style_id is 0-2"),
        ({"style_id": -1}, "style_id is 0-2"),
    ],
)
def test_what_cannot_be_asked_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        generate_pattern(gpt2(), STUB, **given)


def test_tokenizer_and_model_must_fit() -> None:
    with pytest.raises(OptionError, match="vocabulary of 9 tokens, the tokenizer one of 234"):
        generate_pattern(gpt2(), T)
    with pytest.raises(OptionError, match="no BOS_None to begin with"):
        generate_pattern(gpt2(2), Stub("Bar_None", "Pitch_36"))
    with pytest.raises(OptionError, match="no bars of 11/8"):
        generate_pattern(small_network(), T, metre="11/8")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_refused(weights: Path) -> None:
    with pytest.raises(DeviceError):
        generate_pattern(gpt2(), STUB, device="cuda")
    with pytest.raises(DeviceError):
        load_model(weights, "cuda")
    assert load_model(weights)[1]["device"] == "cpu"


# files


@pytest.fixture(autouse=True)
def nothing_loaded() -> Iterator[None]:
    LOADED.clear()
    yield
    LOADED.clear()


def test_a_file_is_loaded_once_whatever_it_is_called(weights: Path, tmp_path: Path) -> None:
    network, metadata = load_model(weights)
    copy = shutil.copy(weights, tmp_path / "other name.safetensors")
    assert isinstance(network, GrooveNet)
    assert not network.training
    assert all(load_model(name)[0] is network for name in (weights, str(weights), copy))
    assert load_model(str(weights), "cpu")[0] is network
    assert len(LOADED) == 1
    assert metadata["vocab_size"] == len(T)
    assert metadata["max_length"] == 512
    assert metadata["device"] == "cpu"
    assert len(metadata["sha256"]) == 64
    metadata["vocab_size"] = 0
    assert load_model(weights)[1]["vocab_size"] == len(T)


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path = small_weights(tmp_path / "a.safetensors", seed=1)
    before = load_model(path)[0].embedding.weight.clone()
    small_weights(path, seed=2)
    after = load_model(path)[0].embedding.weight
    assert not torch.equal(before, after)
    assert torch.equal(after, small_network(2).embedding.weight)


def test_the_four_used_last_stay(tmp_path: Path) -> None:
    paths = [small_weights(tmp_path / f"{seed}.safetensors", seed) for seed in range(5)]
    networks = [load_model(path)[0] for path in paths[:4]]
    assert load_model(paths[0])[0] is networks[0]  # used again: the second is now the oldest
    load_model(paths[4])
    assert len(LOADED) == 4
    assert load_model(paths[0])[0] is networks[0]
    assert load_model(paths[1])[0] is not networks[1]


def test_threads_wait_for_one_load(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, found = [], []
    really = generation._open_own

    def slowly(path: Path, *how: Any) -> Any:
        opened.append(path)
        time.sleep(0.1)
        return really(path, *how)

    monkeypatch.setattr(generation, "_open_own", slowly)
    threads = [threading.Thread(target=lambda: found.append(load_model(weights)[0])) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [weights]
    assert len(found) == 5
    assert len({id(network) for network in found}) == 1


@pytest.mark.parametrize("name", ["none.safetensors", "none.pt", "folder/none"])
def test_a_file_that_is_not_there_is_missing_and_nothing_stands_in(name: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError, match="There is no checkpoint"):
        load_model(tmp_path / name)
    with pytest.raises(WeightsMissingError):
        load_model(tmp_path)


def write(path: Path, network: GrooveNet, config: str) -> Path:
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, path, {"config": config})
    return path


def test_another_vocabulary_is_refused(tmp_path: Path) -> None:
    path = small_weights(tmp_path / "a.safetensors", vocab_size=100)
    with pytest.raises(WeightsError, match=r"a\.safetensors has a vocabulary of 100 tokens; those of tutti are 234"):
        load_model(path)


@pytest.mark.parametrize(
    "config",
    ["", "[]", "{", '{"layers": 1, "wings": 2}', '{"layers": "1"}', '{"width": 30, "heads": 4}', '{"layers": 0}',
     '{"width": 100000}', '{"max_length": -5}', '{"inner_layers": 20000}', '{"inner_layers": 0}', "null"],
)  # fmt: skip
def test_metadata_that_say_no_network_are_refused(config: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", small_network(), config)
    with pytest.raises(WeightsError, match="does not say what network"):
        load_model(path)


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    config = {**asdict(small_network().config), "layers": 2}
    path = write(tmp_path / "a.safetensors", small_network(), json.dumps(config))
    with pytest.raises(StrictLoadingError, match="missing: layers"):
        load_model(path)


@pytest.mark.parametrize("data", [b"", b"12345678", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}"])
def test_what_is_no_safetensors_file_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError):
        load_model(path)


# cards


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = small_card(tmp_path)
    monkeypatch.setattr(cards, "BUNDLED_CARDS", tmp_path / "no cards")
    monkeypatch.setenv("TUTTI_CARDS_DIR", str(folder))
    monkeypatch.setenv("TUTTI_CACHE_DIR", str(folder))
    settings.cache_clear()
    yield folder
    settings.cache_clear()


def test_styles_and_cards_name_models(card: Path) -> None:
    network, metadata = load_model("tutti-groove")
    for style in ("J Dilla", "j_dilla_v1", "dilla"):
        assert load_model(style)[0] is network
    (path,) = card.glob("weights/*/tutti-groove.safetensors")
    assert load_model(path)[0] is network
    assert metadata["sha256"] == path.parent.name
    assert open_model("Rock").warning is None


def test_a_name_that_nothing_has_is_unknown(card: Path) -> None:
    assert card.is_dir()
    with pytest.raises(UnknownModelError, match="tutti-groove"):
        load_model("tutti-grove")


def test_a_model_for_something_else_is_refused() -> None:
    with pytest.raises(OptionError, match="tutti-drums is for drums, not for groove"):
        load_model("tutti-drums")


def test_styles_of_one_network_share_its_packed_weights() -> None:
    network = gpt2()
    ids = generate_pattern(network, STUB, num_bars=1, max_length=60, seed=1, style_id=0)
    packed = network._packed
    assert packed is not None
    assert generate_pattern(network, STUB, num_bars=1, max_length=60, seed=1, style_id=0) == ids
    assert network._packed is packed
    assert network.style_id == 0
    other = network.in_style(1)
    assert (other._packed, other.style_id, network.style_id) == (packed, 1, 0)
