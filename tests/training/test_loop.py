from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tutti.errors import DeviceError
from tutti.training.loop import Schedule, Step, fit

SCHEDULE = Schedule(steps=30, learning_rate=0.3, warmup_steps=5, average_decay=0.9)


def toy(
    steps: list[Step] | None = None, resume: Path | None = None, until: int = 30, save: Path | None = None
) -> nn.Module:
    """Fit a line through points drawn from the step's number alone."""
    torch.manual_seed(0)
    network = nn.Linear(2, 1)

    def batches(step: int) -> Tensor:
        return torch.randn(16, 2, generator=torch.Generator().manual_seed(step))

    def losses(net: nn.Module, points: Any) -> dict[str, Tensor]:
        error = net(points)[:, 0] - (2 * points[:, 0] - points[:, 1] + 0.5)
        return {"square": (error**2).mean(), "size": 0.0 * error.abs().mean()}

    for step in fit(network, losses, batches, SCHEDULE, device="cpu", resume=resume):
        if steps is not None:
            steps.append(step)
        if step.number == until:
            if save is not None:
                step.save(save)
            break
    return network


def test_losses_fall_and_the_average_follows() -> None:
    steps: list[Step] = []
    toy(steps)
    assert [step.number for step in steps] == list(range(1, 31))
    assert set(steps[0].losses) == {"square", "size"}
    assert steps[-1].losses["square"] < 0.2 * steps[0].losses["square"]
    assert not steps[-1].averaged.training
    (weight, _) = steps[-1].averaged.parameters()
    assert weight[0, 0] == pytest.approx(2.0, abs=0.8)


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole: list[Step] = []
    toy(whole)
    toy(until=12, save=tmp_path / "at12.ckpt")
    rest: list[Step] = []
    toy(rest, resume=tmp_path / "at12.ckpt")
    assert rest[0].number == 13
    for one, other in zip(whole[-1].averaged.parameters(), rest[-1].averaged.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_schedule_warms_up_and_ends_at_zero() -> None:
    factors = [SCHEDULE.factor(step) for step in range(31)]
    assert factors[0] == pytest.approx(0.2)
    assert max(factors) <= 1.0
    assert factors[5] > factors[15] > factors[25]
    assert factors[30] == pytest.approx(0.0, abs=1e-9)


def test_a_device_that_is_not_there_is_told_in_our_own_words() -> None:
    with pytest.raises(DeviceError, match="There is no device 'cuda:7' here"):
        next(fit(nn.Linear(2, 1), lambda *_: {}, lambda _: None, SCHEDULE, device="cuda:7"))
