"""The training loop every recipe shares: it yields after each step, so that whoever iterates decides what else happens.

Device, precision and saving are Lightning Fabric's; the schedule is a linear warm-up into a half cosine, the shipped
weights are an exponential moving average, and a resumed run continues step for step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from tutti.weights.devices import choose_device

__all__ = ["Schedule", "Step", "fit"]


@dataclass(frozen=True, slots=True)
class Schedule:
    steps: int
    learning_rate: float
    warmup_steps: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    average_decay: float = 0.998

    def factor(self, step: int) -> float:
        """Share of the learning rate at a step."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        return warm * 0.5 * (1 + math.cos(math.pi * min(step, self.steps) / self.steps))


@dataclass(frozen=True, slots=True)
class Step:
    """What a step leaves behind."""

    number: int
    losses: dict[str, float]
    averaged: nn.Module
    """The moving average of the network, in evaluation mode; the loop goes on changing it."""
    save: Callable[[Path], None]


def fit(
    network: nn.Module,
    losses: Callable[[nn.Module, Any], dict[str, Tensor]],
    batches: Callable[[int], Any],
    schedule: Schedule,
    *,
    device: str = "auto",
    precision: str = "fp32",
    resume: Path | None = None,
) -> Iterator[Step]:
    """Train `network` on `batches(step)` by the sum of `losses(network, batch)`; yields a Step after each update.

    `batches` must depend on nothing but the step number, and torch be seeded alike, so that a run resumed from
    `Step.save` repeats itself. Raises DeviceError.
    """
    chosen = choose_device(device)
    fabric = Fabric(
        accelerator=chosen.type,
        devices=[chosen.index or 0] if chosen.type == "cuda" else 1,
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )
    averaged = deepcopy(network).eval().requires_grad_(False).to(fabric.device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    wrapped, optimiser = fabric.setup(network, optimiser)
    state = {"network": wrapped, "averaged": averaged, "optimiser": optimiser, "step": 0}
    if resume is not None:
        fabric.load(resume, state)
    wrapped.train()
    seed = torch.initial_seed()
    for number in range(int(state["step"]), schedule.steps):
        torch.manual_seed(seed + number)  # what is dropped at random is dropped again when a run goes on
        for group in optimiser.param_groups:
            group["lr"] = schedule.learning_rate * schedule.factor(number)
        parts = losses(wrapped, fabric.to_device(batches(number)))
        total = torch.stack(list(parts.values())).sum()
        fabric.backward(total)
        fabric.clip_gradients(wrapped, optimiser, max_norm=schedule.clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        _average(averaged, network, min(schedule.average_decay, (number + 1) / (number + 10)))
        state["step"] = number + 1
        yield Step(
            number + 1,
            {name: float(value.detach()) for name, value in parts.items()},
            averaged,
            lambda path: fabric.save(path, state),
        )


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    for mean, value in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value.to(mean.dtype), 1 - decay)
        else:
            mean.copy_(value)
