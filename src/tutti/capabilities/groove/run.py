"""A style, or a prompt, to patterns: what the network is told, what it plays, and what the style makes of it."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from os import PathLike
from typing import BinaryIO

import tutti
from tutti.capabilities.groove.features import swing_percent
from tutti.capabilities.groove.generation import Loaded, open_model
from tutti.capabilities.groove.pattern import Pattern
from tutti.capabilities.groove.planning import Plan, planned
from tutti.capabilities.groove.profile import Asked
from tutti.capabilities.groove.prompts import read_pattern
from tutti.capabilities.groove.sampling import Sampled, Sampling, sample
from tutti.capabilities.groove.styles import find_style
from tutti.capabilities.groove.tokens import tokenizer
from tutti.capabilities.groove.types import Groove, Options, Provenance
from tutti.capabilities.groove.validate import validate
from tutti.errors import Cancelled, OptionError, WeightsError

__all__ = ["Prompt", "run"]

Prompt = str | PathLike[str] | bytes | BinaryIO | Pattern
OnProgress = Callable[[str, float, float], None]

_DEFAULT_STYLE = "Rock"
_MOST_TOKENS_A_BAR = 320
_SWING_POINTS = 1.5
"""How far a result's swing may be from what was asked before it is told."""


def run(
    source: Prompt | None,
    options: Options,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Groove:
    """Patterns as `options` ask; `source` is the prompt, a path, bytes or open file of MIDI or of our JSON, or a
    Pattern; None for none.

    `on_progress("playing", bars, of_bars)` is called as it goes on, `cancelled` is asked before each token.

    Raises OptionError, UnknownStyleError, UnknownModelError, InputError for the prompt, WeightsError, DeviceError,
    Cancelled.
    """
    prompt, warnings = (None, ()) if source is None else read_pattern(source, options.drum_map)
    task = _task(options, prompt)
    style = find_style(options.style) if options.style else find_style(_DEFAULT_STYLE) if prompt is None else None
    seed = secrets.randbits(31) if options.seed is None else options.seed
    plan = planned(options, task, prompt, style, seed)
    model = options.model or (style.model if style is not None else "tutti-groove")
    loaded = open_model(model, options.device)
    if loaded.metadata["vocab_size"] != len(tokenizer()):
        raise WeightsError(
            f"{model} has a vocabulary of {loaded.metadata['vocab_size']} tokens; those of tutti are "
            f"{len(tokenizer())}. With its own tokenizer it can be played by generation.generate_pattern."
        )
    played = _played(loaded, plan, options, on_progress or (lambda *_: None), cancelled or (lambda: False))
    patterns = tuple(
        plan.finished(tokenizer().decode(one.ids[len(plan.prompt) :], plan.bpm, plan.metre), row)
        for row, one in enumerate(played)
    )
    span = style.bpm if style is not None else None
    name, by_hand = (style.name, style.by_hand) if style is not None else (None, True)
    findings = tuple(validate(each, bpm_range=span, style=name, played_by_hand=by_hand) for each in patterns)
    provenance = Provenance(
        tutti_version=tutti.__version__,
        model=model,
        weights_sha256=loaded.sha256,
        device=loaded.device,
        style=name,
        seed=seed,
        task=task,
        source="" if source is None else _named(source),
        stopped=tuple(one.stopped for one in played),
        options=options.model_dump(mode="json"),
    )
    told = [*warnings, *plan.warnings, *([loaded.warning] if loaded.warning else [])]
    told += [
        f"Pattern {row + 1} ran out of tokens; its last bars are empty."
        for row, one in enumerate(played)
        if one.stopped == "length"
    ]
    for row, (pattern, found) in enumerate(zip(patterns, findings, strict=True), start=1):
        where = f"Pattern {row}: " if len(patterns) > 1 else ""
        told += [
            f"{where}{one.message}" if one.bar is None else f"{where}bar {one.bar}: {one.message}" for one in found
        ]
        told += [where + said for said in _swing_missed(pattern, plan.asked, options)]
    return Groove(patterns, findings, provenance, tuple(told))


def _swing_missed(pattern: Pattern, asked: Asked, options: Options) -> list[str]:
    """What is to be said where the swing that was asked for is not what the result measures."""
    if options.swing_percent is None:
        return []
    found = swing_percent(pattern, 2 if asked.swing_division == "8th" else 4)
    if not math.isfinite(found):
        return [f"too few second {asked.swing_division}s on hats and rides to measure swing by."]
    if abs(found - options.swing_percent) > _SWING_POINTS:
        return [f"the swing measures {found:.1f} %, not {options.swing_percent:g} %."]
    return []


def _named(source: Prompt) -> str:
    return str(source) if isinstance(source, (str, PathLike)) else type(source).__name__


def _task(options: Options, prompt: Pattern | None) -> str:
    if options.task == "auto":
        return "new" if prompt is None else "continue"
    if options.task == "new" and prompt is not None:
        raise OptionError("The task is new, but there is a prompt. Leave one of them out.")
    if options.task != "new" and prompt is None:
        raise OptionError(f"To {options.task.replace('_', ' ')} takes a prompt. Give a MIDI file with drums.")
    return options.task


def _played(
    loaded: Loaded, plan: Plan, options: Options, on_progress: OnProgress, cancelled: Callable[[], bool]
) -> list[Sampled]:
    at_most = len(plan.prompt) + _MOST_TOKENS_A_BAR * max(1, plan.writes)
    guides = [part.guide for part in plan.parts]

    def check(drawn: int) -> None:
        if cancelled():
            raise Cancelled("Stopped, as asked. Nothing was written.")
        if drawn % 32 == 0:
            on_progress("playing", max(0, min(guide.bars_begun for guide in guides) - 1), plan.writes)

    guidance = options.guidance if plan.untold != plan.prompt else 1.0
    sampling = Sampling(options.temperature, options.top_k, options.top_p, options.repetition_penalty, guidance)
    rows = len(guides)
    return sample(
        loaded.network,
        [plan.prompt] * rows,
        guides,
        [(plan.seed, row) for row in range(rows)],
        sampling,
        max_length=at_most,
        head=plan.head,
        untold=[plan.untold] * rows,
        check=check,
    )
