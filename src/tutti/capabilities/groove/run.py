"""A style, or a prompt, to patterns: what the network is told, what it plays, and what the style makes of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import BinaryIO

import numpy as np

import tutti
from tutti.capabilities.groove.generation import Loaded, open_model
from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.capabilities.groove.profile import Asked, applied, figures_asked
from tutti.capabilities.groove.prompts import read_pattern
from tutti.capabilities.groove.sampling import Sampled, Sampling, sample
from tutti.capabilities.groove.styles import Places, Style, Told, find_style
from tutti.capabilities.groove.tokens import VOICES, Conditions, Grammar, Tokenizer, Wanted, tokenizer
from tutti.capabilities.groove.types import Groove, Options, Provenance
from tutti.capabilities.groove.validate import validate
from tutti.errors import Cancelled, OptionError, WeightsError
from tutti.music.drum_kit import class_of_key, key_of_class
from tutti.music.timing import TimeSignature

__all__ = ["Prompt", "run"]

Prompt = str | PathLike[str] | bytes | BinaryIO | Pattern
OnProgress = Callable[[str, float, float], None]

_DEFAULT_STYLE = "Rock"
_REMEMBERED_BARS = 4
"""Of a prompt that is continued the network is told the last ones."""
_MOST_TOKENS_A_BAR = 320
_MOST_TOKENS_AHEAD = 360
"""Of bars after those to be written: so many are never forgotten (`sampling.sample`)."""
_LEARNT_METRES = ("4/4",)


def run(
    source: Prompt | None,
    options: Options,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Groove:
    """Patterns as `options` ask; `source` is the prompt, a path, bytes or open file of MIDI or of our JSON, or a
    Pattern; None for none.

    `on_progress("playing", tokens, at_most)` is called as it goes on, `cancelled` is asked before each token.

    Raises OptionError, UnknownStyleError, UnknownModelError, InputError for the prompt, WeightsError, DeviceError,
    Cancelled.
    """
    prompt, warnings = (None, ()) if source is None else read_pattern(source, options.drum_map)
    task = _task(options, prompt)
    style = find_style(options.style) if options.style else find_style(_DEFAULT_STYLE) if prompt is None else None
    seed = secrets.randbits(31) if options.seed is None else options.seed
    plan = _planned(options, task, prompt, style, seed)
    loaded = open_model(options.model or (style.model if style is not None else "tutti-groove"), options.device)
    if loaded.metadata["vocab_size"] != len(tokenizer()):
        raise WeightsError(
            f"{options.model} has a vocabulary of {loaded.metadata['vocab_size']} tokens; those of tutti are "
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
        model=options.model or (style.model if style is not None else "tutti-groove"),
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
    told += dict.fromkeys(found.message for each in findings for found in each)
    return Groove(patterns, findings, provenance, tuple(told))


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


@dataclass(frozen=True, slots=True)
class Plan:
    """What the network is told and held to, and what is made of its answer."""

    prompt: list[int]
    head: int
    guides: tuple[Grammar, ...]
    bpm: float
    metre: TimeSignature
    seed: int
    style: Style | None
    asked: Asked
    bars: int
    """Of the result."""
    half_time: bool
    kept: Pattern | None
    """What of the prompt stays without having gone through the network."""
    first_bar: int
    """Where what is written begins."""
    warnings: tuple[str, ...]

    def finished(self, written: Pattern, row: int) -> Pattern:
        """The pattern that is given back."""
        written = replace(written, bars=max(written.bars, 1))
        if self.half_time:
            written = _doubled(written)
        begin = self.first_bar * written.bar_beats
        hits = [replace(hit, beat=hit.beat + begin) for hit in written.cut(0, min(written.bars, self.bars))]
        written = replace(written, hits=(*hits, *(self.kept or ())), bars=self.bars)
        rng = np.random.default_rng([self.seed, row, 2])
        written = applied(written, self.style, self.asked, rng)
        if self.style is not None and self.style.keys:
            keys = self.style.keys
            written = written.with_hits(
                replace(hit, key=keys.get(class_of_key(hit.key) or "", hit.key)) for hit in written
            )
        return written


def _planned(options: Options, task: str, prompt: Pattern | None, style: Style | None, seed: int) -> Plan:
    t = tokenizer()
    metre_name = options.metre or (_metre_name(prompt.metre) if prompt is not None else "4/4")
    t.steps_of(metre_name)
    metre = TimeSignature(*map(int, metre_name.split("/")))
    if prompt is not None and _metre_name(prompt.metre) != metre_name:
        raise OptionError(f"The prompt is in {_metre_name(prompt.metre)}, not in {metre_name}. Leave out the metre.")
    bpm = options.tempo_bpm or (prompt.bpm if prompt is not None else None) or (style.usual_bpm if style else 100.0)
    half = style is not None and style.told.half_time and task in ("new", "continue")
    heard = _halved(prompt) if half and prompt is not None else prompt
    keeps = task in ("vary", "fill_in", "answer")
    asked = figures_asked(
        None if keeps else style,
        swing_percent=options.swing_percent,
        swing_division=options.swing_division,
        micro_timing_ms=options.micro_timing_ms,
        ghost_note_prob=options.ghost_note_prob,
        velocity_variation=options.velocity_variation,
    )
    if task == "humanise":  # every stroke stays, and no other comes unasked
        asked = replace(asked, ghost_note_prob=options.ghost_note_prob)
    bars = options.bars if task in ("new", "continue") or prompt is None else prompt.bars
    writes = -(-bars // 2) if half else bars
    played = style
    if style is not None and task == "humanise":
        played = style.model_copy(update={"rolls": None})
    told = style.told if style is not None else None
    begun, head, remembered = _context(t, task, heard)
    conditions = Conditions(
        told.style if told else None,
        told.substyle if told else None,
        bpm / 2 if half else bpm,
        metre_name,
        remembered + writes if task in ("new", "continue") else remembered + 1 if task == "answer" else bars,
        _density(options, told, half, heard),
    )
    header = t.header(conditions)
    drum_places = [VOICES.index(key_of_class(name)) for name in style.voices] if style and style.voices else None
    guides = []
    for row in range(options.count):
        rng = np.random.default_rng([seed, row, 1])
        guides.append(_guide(t, options, task, heard, style, metre_name, writes, drum_places, rng))
    kept, warnings = _kept(task, prompt)
    if metre_name not in _LEARNT_METRES:
        warnings.append(
            f"The network heard next to no music in {metre_name}: bars are right in length, their accents are a guess."
        )
    return Plan(
        prompt=[*header, *begun],
        head=len(header) + head,
        guides=tuple(guides),
        bpm=bpm,
        metre=metre,
        seed=seed,
        style=None if keeps else played,
        asked=asked,
        bars=bars,
        half_time=half,
        kept=prompt.with_hits(kept) if prompt is not None and kept else None,
        first_bar=bars - 1 if task == "answer" else 0,
        warnings=tuple(warnings),
    )


def _density(options: Options, told: Told | None, half_time: bool, heard: Pattern | None) -> float | None:
    """Strokes in four of the network's beats: as asked, as the style has it, or as the prompt."""
    if options.density is not None:
        return options.density * (2 if half_time else 1)  # one bar of the network's is two
    if told is not None and told.density is not None:
        return told.density
    return 4 * len(heard) / heard.beats if heard is not None and len(heard) else None


def _kept(task: str, prompt: Pattern | None) -> tuple[list[Hit], list[str]]:
    """Strokes of the prompt that stay without going through the network, and what is to be said of them."""
    if prompt is None:
        return [], []
    kept: list[Hit] = []
    if task == "answer" and prompt.bars > 1:
        kept += prompt.cut(0, prompt.bars - 1)
    elif task == "fill_in":
        first = _empty_bars(prompt)[-1] + 1
        later = prompt.cut(first, prompt.bars - first) if first < prompt.bars else ()
        kept += [replace(hit, beat=hit.beat + first * prompt.bar_beats) for hit in later]
    others = [hit for hit in prompt if class_of_key(hit.key) is None]
    if not others:
        return kept, []
    keys = ", ".join(map(str, sorted({hit.key for hit in others})))
    stay = task != "continue"
    fate = "kept as they are" if stay else "left out"
    kept += [hit for hit in others if stay and hit not in kept]
    return kept, [f"The network plays no percussion on the keys {keys}; the prompt's strokes there are {fate}."]


def _context(t: Tokenizer, task: str, prompt: Pattern | None) -> tuple[list[int], int, int]:
    """Tokens of the prompt that the network is told, how many of them it is never to forget, and bars in the others."""
    if prompt is None or task in ("new", "vary", "humanise"):
        return [], 0, 0
    bars = t.bar_tokens(prompt)
    if task == "fill_in":
        empty = _empty_bars(prompt)
        if not empty:
            raise OptionError("The prompt has no empty bar to fill in. Leave the bars empty that are to be written.")
        after = bars[empty[-1] + 1 :][:_REMEMBERED_BARS]
        while sum(map(len, after)) > _MOST_TOKENS_AHEAD:
            after.pop()
        later = [token for bar in after for token in bar]
        ahead = [t.future_id, *later, t.present_id] if later else []
        return ahead, len(ahead), 0
    before = bars if task == "continue" else bars[:-1]
    before = before[-_REMEMBERED_BARS:]
    return [token for bar in before for token in bar], 0, len(before)


def _empty_bars(prompt: Pattern) -> list[int]:
    return [bar for bar, tokens in enumerate(tokenizer().bar_tokens(prompt)) if len(tokens) == 1]


def _guide(
    t: Tokenizer,
    options: Options,
    task: str,
    prompt: Pattern | None,
    style: Style | None,
    metre: str,
    bars: int,
    voices: Sequence[int] | None,
    rng: np.random.Generator,
) -> Grammar:
    """The grammar of one row."""
    steps = t.steps_of(metre)
    if task in ("new", "continue"):
        counted = 2 if style is not None and style.told.half_time else 1
        last_bars = range(options.fill_every, options.bars + 1, options.fill_every) if options.fill_every else ()
        fills = {(bar - 1) // counted for bar in last_bars}
        must = _drawn(style.must, steps, rng) if style is not None else []
        never = _drawn(style.never, steps, rng) if style is not None else []
        # two bars of a machine's: what is further from its sixteenth than half of theirs would end up on another
        shift = 0 if counted > 1 else None
        wanted = [Wanted(bar, step, voice, shift) for bar in range(bars) if bar not in fills for step, voice in must]
        return Grammar(t, metre, bars, wanted=wanted, fills=fills, voices=voices, never=never)
    assert prompt is not None
    if task == "humanise":
        return Grammar(t, metre, bars, wanted=t.wanted(prompt), only=dict.fromkeys(range(bars), steps))
    as_played = t.wanted(prompt, as_played=True)
    if task == "vary":
        kept = [
            stroke
            for stroke, draw in zip(as_played, rng.random(len(as_played)), strict=True)
            if draw >= options.distance
        ]
        only = dict.fromkeys(range(bars), steps) if options.distance == 0 else {}
        return Grammar(t, metre, bars, wanted=kept, only=only)
    if task == "fill_in":
        empty = _empty_bars(prompt)
        before = [stroke for stroke in as_played if stroke.bar < empty[-1]]
        full = {stroke.bar for stroke in before}
        return Grammar(t, metre, empty[-1] + 1, wanted=before, only=dict.fromkeys(full, steps))
    last = [replace(stroke, bar=0) for stroke in as_played if stroke.bar == bars - 1 and stroke.step < steps // 2]
    return Grammar(t, metre, 1, wanted=last, only={0: steps // 2}, fills=[0])


def _drawn(places: Sequence[Places], steps: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """(sixteenth, voice) of each place, by its chance."""
    found = []
    for place in places:
        voice = VOICES.index(key_of_class(place.voice))
        found += [(step, voice) for step in place.steps if step < steps and rng.random() < place.chance]
    return found


def _played(
    loaded: Loaded, plan: Plan, options: Options, on_progress: OnProgress, cancelled: Callable[[], bool]
) -> list[Sampled]:
    at_most = len(plan.prompt) + _MOST_TOKENS_A_BAR * max(1, plan.bars)

    def check(drawn: int) -> None:
        if cancelled():
            raise Cancelled("Stopped, as asked. Nothing was written.")
        if drawn % 32 == 0:
            on_progress("playing", drawn, at_most)

    sampling = Sampling(options.temperature, options.top_k, options.top_p, options.repetition_penalty)
    seeds = [(plan.seed, row) for row in range(len(plan.guides))]
    prompts = [plan.prompt] * len(plan.guides)
    return sample(
        loaded.network, prompts, plan.guides, seeds, sampling, max_length=at_most, head=plan.head, check=check
    )


def _metre_name(metre: TimeSignature) -> str:
    return f"{metre.numerator}/{metre.denominator}"


def _halved(pattern: Pattern) -> Pattern:
    """The same music counted in beats twice as long, in half as many bars; the tempo is left as it was."""
    hits = [replace(hit, beat=hit.beat / 2) for hit in pattern]
    return replace(pattern, hits=tuple(hits), bars=-(-pattern.bars // 2))


def _doubled(pattern: Pattern) -> Pattern:
    """`_halved` undone."""
    hits = [replace(hit, beat=hit.beat * 2) for hit in pattern]
    return replace(pattern, hits=tuple(hits), bars=pattern.bars * 2)
