"""What recipes have in common: reading one, and following a run to its weights."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import save_file
from torch import nn

from tutti.errors import TrainingError
from tutti.training.loop import Step

__all__ = ["Table", "follow", "read_recipe"]


class Table(BaseModel):
    """A table of a recipe: nothing unknown, nothing changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid")


R = TypeVar("R", bound=Table)


def read_recipe(path: Path, kind: type[R]) -> R:
    """The recipe in a TOML file. Raises TrainingError when it is missing or malformed."""
    try:
        return kind.model_validate(tomllib.loads(path.read_text()))
    except FileNotFoundError as missing:
        raise TrainingError(f"No recipe at {path}. The shipped ones are in the folder recipes/.") from missing
    except (tomllib.TOMLDecodeError, ValidationError) as malformed:
        raise TrainingError(f"{path} is not a recipe: {malformed}") from malformed


def follow(
    steps: Iterator[Step], weights: Path, config: Any, last: int, max_minutes: float | None, resumed: Path | None
) -> Path:
    """Take a run through its steps up to `last`, or for `max_minutes`; returns `weights`, the averaged network's file.

    Every 100 steps weights and `checkpoint.ckpt` are saved beside each other; losses go to `losses.jsonl`. `config`, a
    dataclass, travels in the weights' metadata. Raises TrainingError when `resumed` had nothing left to do.
    """
    weights.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (weights.parent / "losses.jsonl").open("a") as log:
        for step in steps:
            log.write(json.dumps({"step": step.number, **step.losses}) + "\n")
            minutes = (time.monotonic() - began) / 60
            out_of_time = max_minutes is not None and minutes >= max_minutes
            if step.number % 100 == 0 or step.number == last or out_of_time:
                log.flush()
                step.save(weights.with_name("checkpoint.ckpt"))
                _save_weights(step.averaged, config, step.number, weights)
                print(f"step {step.number} of {last}, {minutes:.1f} min, {step.losses}", flush=True)
            if out_of_time:
                break
    if not weights.exists():
        raise TrainingError(f"{resumed} has done all its {last} steps; go on in its own folder.")
    return weights


def _save_weights(averaged: nn.Module, config: Any, steps: int, path: Path) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in averaged.state_dict().items()}
    metadata = {"config": json.dumps(asdict(config)), "steps": str(steps)}
    save_file(tensors, path.with_suffix(".part"), metadata)
    path.with_suffix(".part").replace(path)
