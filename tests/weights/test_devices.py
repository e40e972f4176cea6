from collections.abc import Callable, Iterator

import pytest
import torch

from tutti.errors import DeviceError
from tutti.settings import settings
from tutti.weights.devices import available_devices, choose_device, choose_precision

Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Make torch tell of so many CUDA cards, of MPS, and of what they and the CPU can."""

    def has(*, cuda: int = 0, mps: bool = False, gpu_bf16: bool = False, cpu: tuple[str, ...] = ()) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: gpu_bf16)  # noqa: ARG005
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(
            torch.cpu, "get_capabilities", lambda: dict.fromkeys(cpu, True) | {"avx2": True}, raising=False
        )

    return has


@pytest.mark.parametrize(
    ("cuda", "mps", "there", "best"),
    [
        (2, True, ("cuda:0", "cuda:1", "mps", "cpu"), "cuda:0"),
        (0, True, ("mps", "cpu"), "mps"),
        (0, False, ("cpu",), "cpu"),
    ],
)
def test_auto_takes_the_best_there_is(
    machine: Machine, cuda: int, mps: bool, there: tuple[str, ...], best: str
) -> None:
    machine(cuda=cuda, mps=mps)
    assert available_devices() == there
    assert choose_device("auto") == torch.device(best)


def test_a_device_can_be_named(machine: Machine) -> None:
    machine(cuda=2, mps=True)
    assert choose_device("cuda") == torch.device("cuda:0")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("mps") == torch.device("mps")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:1", "mps", "tpu", "cuda:-1", "CPU", ""])
def test_a_device_that_is_not_here_lists_what_is(machine: Machine, name: str) -> None:
    machine(cuda=1)
    with pytest.raises(DeviceError) as caught:
        choose_device(name)
    assert str(caught.value) == f"There is no device {name!r} here. There is: cuda:0, cpu. Use --device auto."


@pytest.fixture
def threads_before() -> Iterator[int]:
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)
    settings.cache_clear()


def test_the_settings_number_of_threads_is_kept(monkeypatch: pytest.MonkeyPatch, threads_before: int) -> None:
    monkeypatch.setenv("TUTTI_THREADS", str(threads_before + 1))
    settings.cache_clear()
    choose_device("cpu")
    assert torch.get_num_threads() == threads_before + 1


@pytest.mark.parametrize(
    ("device", "features", "expected"),
    [
        ("cpu", (), "fp32"),
        ("cpu", ("avx512_f", "avx512_vnni"), "fp32"),
        ("cpu", ("avx512_bf16",), "bf16"),
        ("cpu", ("amx_bf16", "amx_tile"), "bf16"),
        ("mps", ("amx_bf16",), "fp32"),
    ],
)
def test_auto_precision_asks_the_hardware(
    machine: Machine, device: str, features: tuple[str, ...], expected: str
) -> None:
    machine(cpu=features)
    assert choose_precision("auto", torch.device(device)) == expected


@pytest.mark.parametrize(("can", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_precision_on_a_gpu(machine: Machine, can: bool, expected: str) -> None:
    machine(cuda=1, gpu_bf16=can)
    assert choose_precision("auto", torch.device("cuda:0")) == expected


def test_a_torch_that_cannot_tell_computes_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert choose_precision("auto", torch.device("cpu")) == "fp32"


def test_this_very_machine_gets_an_answer() -> None:
    assert choose_precision("auto", choose_device("cpu")) in ("fp32", "bf16")


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_a_precision_can_be_named(machine: Machine, name: str) -> None:
    machine()
    assert choose_precision(name, torch.device("cpu")) == name


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"There is no precision 'int4'\. Use one of: auto, fp32, bf16"):
        choose_precision("int4", torch.device("cpu"))
