"""Which device and number format to compute with."""

from __future__ import annotations

import torch

from tutti.errors import DeviceError
from tutti.settings import settings

__all__ = ["available_devices", "choose_device", "choose_precision"]

_PRECISIONS = ("auto", "fp32", "bf16")


def available_devices() -> tuple[str, ...]:
    """Names this machine can compute on, the best first."""
    cuda = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count())) if torch.cuda.is_available() else ()
    mps = ("mps",) if torch.backends.mps.is_available() else ()
    return (*cuda, *mps, "cpu")


def choose_device(name: str) -> torch.device:
    """The device called `name` (auto, cpu, cuda, cuda:N, mps). Raises DeviceError listing what there is.

    Also sets the number of CPU threads, where the settings ask for one.
    """
    if (threads := settings().threads) is not None:
        torch.set_num_threads(threads)
    there = available_devices()
    wanted = there[0] if name == "auto" else "cuda:0" if name == "cuda" else name
    if wanted not in there:
        raise DeviceError(f"There is no device {name!r} here. There is: {', '.join(there)}. Use --device auto.")
    return torch.device(wanted)


def choose_precision(name: str, device: torch.device) -> str:
    """ "fp32" or "bf16"; auto takes bf16 where the hardware multiplies in it (elsewhere it is slower).

    Raises DeviceError for another name.
    """
    if name not in _PRECISIONS:
        raise DeviceError(f"There is no precision {name!r}. Use one of: {', '.join(_PRECISIONS)}.")
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        return "bf16" if _cpu_multiplies_bf16() else "fp32"
    return "fp32"


def _cpu_multiplies_bf16() -> bool:
    if not hasattr(torch.cpu, "get_capabilities"):  # an older torch cannot tell; fp32 is right everywhere
        return False
    can = torch.cpu.get_capabilities()
    return bool(can.get("amx_bf16") or can.get("avx512_bf16"))
