import threading
import weakref
from collections.abc import Callable

import pytest
import torch

from tutti.weights import loaded
from tutti.weights.cards import Card
from tutti.weights.loaded import LoadedModels, with_cpu_fallback

MakeCard = Callable[..., Card]

CPU = torch.device("cpu")
GPU = torch.device("cuda:0")


class Model:
    """Something that can be watched going away."""


@pytest.fixture
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which devices were told to let go of memory."""
    told: list[str] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: told.append("cuda"))
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: told.append("mps"))
    return told


def never() -> Model:
    pytest.fail("built again")


def test_a_model_is_built_once(make_card: MakeCard) -> None:
    models = LoadedModels()
    model = models.get(make_card(), CPU, "fp32", Model)
    assert models.get(make_card(), CPU, "fp32", never) is model


def test_card_file_device_and_precision_tell_models_apart(make_card: MakeCard) -> None:
    models = LoadedModels(size=5)
    asked = [
        (make_card(), CPU, "fp32"),
        (make_card(name="other"), CPU, "fp32"),
        (make_card(content=b"other"), CPU, "fp32"),
        (make_card(), GPU, "fp32"),
        (make_card(), CPU, "bf16"),
    ]
    assert len({id(models.get(*key, Model)) for key in asked}) == len(models) == 5


def test_the_one_unused_the_longest_goes_and_is_freed(make_card: MakeCard) -> None:
    models = LoadedModels(size=2)
    first, second = (weakref.ref(models.get(make_card(name=name), CPU, "fp32", Model)) for name in ("a", "b"))
    models.get(make_card(name="a"), CPU, "fp32", never)
    models.get(make_card(name="c"), CPU, "fp32", Model)
    assert first() is not None
    assert second() is None
    assert len(models) == 2


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_what_goes_gives_its_memory_back_to_the_device(make_card: MakeCard, given_back: list[str], kind: str) -> None:
    models = LoadedModels(size=1)
    models.get(make_card(name="a"), torch.device(kind), "fp32", Model)
    assert given_back == []
    models.get(make_card(name="b"), CPU, "fp32", Model)
    assert given_back == [kind]
    models.get(make_card(name="c"), CPU, "fp32", Model)
    assert given_back == [kind]


def test_all_can_be_forgotten(make_card: MakeCard, given_back: list[str]) -> None:
    models = LoadedModels()
    model = weakref.ref(models.get(make_card(), GPU, "fp32", Model))
    models.clear()
    assert model() is None
    assert len(models) == 0
    assert given_back == ["cuda"]


def test_a_model_that_could_not_be_built_is_tried_again(make_card: MakeCard) -> None:
    models = LoadedModels()
    with pytest.raises(ZeroDivisionError):
        models.get(make_card(), CPU, "fp32", lambda: 1 / 0)
    assert isinstance(models.get(make_card(), CPU, "fp32", Model), Model)


def test_threads_share_one_building(make_card: MakeCard) -> None:
    models, built, results = LoadedModels(), [], []
    started, go_on = threading.Event(), threading.Event()

    def build() -> Model:
        built.append(1)
        started.set()
        assert go_on.wait(30)
        return Model()

    def ask() -> None:
        results.append(models.get(make_card(), CPU, "fp32", build))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert started.wait(30)
    # while that one is being built, another model can be had
    assert isinstance(models.get(make_card(name="other"), CPU, "fp32", Model), Model)
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert len(results) == 3
    assert len(set(map(id, results))) == 1


def test_what_fits_runs_where_it_was_asked_to() -> None:
    assert with_cpu_fallback(lambda device: f"on {device}", "cuda:0") == ("on cuda:0", None)


@pytest.mark.parametrize(("device", "name"), [("cuda:0", "cuda:0"), ("cuda", "cuda"), ("auto", "The GPU")])
def test_a_gpu_without_room_is_emptied_and_the_cpu_takes_over(
    make_card: MakeCard, given_back: list[str], monkeypatch: pytest.MonkeyPatch, device: str, name: str
) -> None:
    models = LoadedModels()
    monkeypatch.setattr(loaded, "LOADED", models)
    on_gpu = weakref.ref(models.get(make_card(), GPU, "fp32", Model))
    on_cpu = weakref.ref(models.get(make_card(), CPU, "fp32", Model))
    asked: list[str] = []
    scratch: list[weakref.ref[Model]] = []

    def attempt(device: str) -> str:
        asked.append(device)
        if device == "cpu":
            assert scratch[0]() is None, "what the failed attempt held is still in memory"
            assert on_gpu() is None
            return "done"
        held = Model()
        scratch.append(weakref.ref(held))
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    result, warning = with_cpu_fallback(attempt, device)
    assert result == "done"
    assert warning == f"{name} had too little memory; the CPU was used instead. Close other GPU programs."
    assert asked == [device, "cpu"]
    assert given_back == ["cuda"]
    assert on_cpu() is not None


def test_the_cpu_is_tried_once_only(given_back: list[str]) -> None:
    asked: list[str] = []

    def attempt(device: str) -> None:
        asked.append(device)
        raise torch.cuda.OutOfMemoryError("out of memory")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        with_cpu_fallback(attempt, "cuda:0")
    assert asked == ["cuda:0", "cpu"]
    assert given_back == ["cuda"]


@pytest.mark.parametrize(
    ("message", "kind"),
    [("CUDA error: out of memory", "cuda"), ("MPS backend out of memory (MPS allocated: 9 GB)", "mps")],
)
def test_a_gpu_too_full_for_its_context_is_full(message: str, kind: str, given_back: list[str]) -> None:
    def attempt(device: str) -> str:
        if device != "cpu":
            raise RuntimeError(message)
        return "done"

    assert with_cpu_fallback(attempt, "auto")[0] == "done"
    assert given_back == [kind]


def test_a_cpu_out_of_memory_blames_no_gpu(given_back: list[str]) -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        with_cpu_fallback(lambda _device: (_ for _ in ()).throw(RuntimeError("out of memory")), "cpu")
    assert given_back == []


def test_other_faults_are_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="shape"):
        with_cpu_fallback(lambda _device: (_ for _ in ()).throw(RuntimeError("shape")), "cuda:0")
