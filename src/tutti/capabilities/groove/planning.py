"""What a network is told and held to for each task with a prompt or without, and what is made of its answer."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tutti.capabilities.groove.features import swing_percent
from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.capabilities.groove.profile import Asked, applied, figures_asked
from tutti.capabilities.groove.styles import Places, Style, Told
from tutti.capabilities.groove.tokens import VOICES, Conditions, Grammar, Tokenizer, Wanted, tokenizer
from tutti.capabilities.groove.types import Options
from tutti.errors import OptionError
from tutti.music.drum_kit import class_of_key, key_of_class
from tutti.music.timing import TimeSignature

__all__ = ["Part", "Plan", "planned"]

_REMEMBERED_BARS = 4
"""Of a prompt that is continued the network is told the last ones."""
_MOST_TOKENS_AHEAD = 360
"""Of bars after those to be written: so many are never forgotten (`sampling.sample`)."""
_LEARNT_METRES = ("4/4",)
_ON_SIXTEENTH, _REACH = 3, 3
"""Shifts within which a prompt's stroke is on its sixteenth, and by how many one that is not may move."""
_SWUNG = 52.0
"""From which per cent on a prompt is not straight."""
_ACCENTED = 4.0
"""Standard deviation from which on a voice's velocities are accents, not all one."""


@dataclass(frozen=True, slots=True)
class Part:
    """One pattern that is to be written."""

    guide: Grammar
    again: tuple[Wanted, ...] = ()
    """Strokes of the prompt that the network is made to play as they were, so that it hears them."""
    stays: tuple[Hit, ...] = ()
    """Strokes of the prompt that are given back as they are, those among them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the network is told and held to, and what is made of its answer."""

    prompt: list[int]
    untold: list[int]
    """The same without the style."""
    head: int
    parts: tuple[Part, ...]
    bpm: float
    metre: TimeSignature
    seed: int
    style: Style | None
    asked: Asked
    bars: int
    """Of the result."""
    writes: int
    """Bars that the network writes."""
    half_time: bool
    first_bar: int
    """Where what is written begins."""
    humanised: tuple[tuple[Wanted, list[Hit]], ...]
    """The prompt's strokes where they are to be played anew."""
    warnings: tuple[str, ...]

    def finished(self, written: Pattern, row: int) -> Pattern:
        """The pattern that is given back."""
        written, part = replace(written, bars=max(written.bars, 1)), self.parts[row]
        rng = np.random.default_rng([self.seed, row, 2])
        if self.humanised:
            anew = replace(written, hits=tuple(_played_anew(self.humanised, written)), bars=self.bars)
            anew = applied(anew, self.style, self.asked, rng)
            return anew.with_hits((*anew, *part.stays))
        if self.half_time:
            written = _doubled(written)
        begin = self.first_bar * written.bar_beats
        fresh = _without(written.cut(0, min(written.bars, self.bars)), part.again)
        fresh = replace(fresh, hits=tuple(replace(hit, beat=hit.beat + begin) for hit in fresh), bars=self.bars)
        fresh = applied(fresh, self.style, self.asked, rng)
        if self.style is not None and self.style.keys:
            keys = self.style.keys
            fresh = fresh.with_hits(replace(hit, key=keys.get(class_of_key(hit.key) or "", hit.key)) for hit in fresh)
        return fresh.with_hits((*fresh, *part.stays))


def _without(written: Pattern, again: Sequence[Wanted]) -> Pattern:
    """`written` but for the strokes that it was made to repeat."""
    left = Counter(again)
    fresh: list[Hit] = []
    for stroke, hits in tokenizer().struck(written):
        if left[stroke] > 0:
            left[stroke] -= 1
        else:
            fresh += hits
    return written.with_hits(fresh)


def _played_anew(strokes: Sequence[tuple[Wanted, list[Hit]]], written: Pattern) -> list[Hit]:
    """Every hit of the prompt when and as loud as the network struck it, one after the other.

    A voice that has accents keeps them: what it gets is by how much the network's strokes of the same voice on the same
    sixteenth differ.
    """
    t = tokenizer()
    answers = [hits[0] for _, hits in t.struck(written)]
    loud: dict[int, list[int]] = defaultdict(list)
    usual: dict[tuple[int, int], list[int]] = defaultdict(list)
    for (stroke, hits), answer in zip(strokes, answers, strict=False):
        loud[stroke.voice] += [hit.velocity for hit in hits]
        usual[stroke.voice, stroke.step].append(answer.velocity)
    played = []
    for (stroke, hits), answer in zip(strokes, answers, strict=False):
        for hit in hits:
            velocity = float(answer.velocity)
            if np.std(loud[stroke.voice]) >= _ACCENTED:
                velocity += hit.velocity - float(np.mean(usual[stroke.voice, stroke.step]))
            played.append(Hit(answer.beat, hit.key, int(np.clip(round(velocity), 1, 127))))
    unplayed = strokes[len(answers) :]  # it may have run out of tokens
    return [*played, *(hit for _, hits in unplayed for hit in hits)]


def planned(options: Options, task: str, prompt: Pattern | None, style: Style | None, seed: int) -> Plan:
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
        style,
        swing_percent=options.swing_percent,
        swing_division=options.swing_division,
        micro_timing_ms=options.micro_timing_ms,
        ghost_note_prob=options.ghost_note_prob,
        velocity_variation=options.velocity_variation,
    )
    if task == "humanise":  # every stroke stays, and no other comes unasked
        asked = replace(asked, ghost_note_prob=options.ghost_note_prob)
        if asked.swing_percent is None and prompt is not None:
            asked = replace(asked, **_own_swing(prompt))
    if keeps:  # ghosts would come between the strokes that stay
        asked = replace(asked, ghost_note_prob=None)
    bars = options.bars if task in ("new", "continue") or prompt is None else prompt.bars
    empty = _empty_bars(prompt) if prompt is not None and task == "fill_in" else []
    writes = -(-bars // 2) if half else 1 if task == "answer" else empty[-1] - empty[0] + 1 if empty else bars
    played = style
    if style is not None and prompt is not None and task != "continue":
        played = style.model_copy(update={"rolls": None})
    told = style.told if style is not None else None
    begun, head, remembered = _context(t, task, heard)
    conditions = Conditions(
        told.style if told else None,
        told.substyle if told else None,
        bpm / 2 if half else bpm,
        metre_name,
        remembered + writes,
        _density(options, told, half, heard),
    )
    header, nameless = t.header(conditions), t.header(replace(conditions, style=None, substyle=None))
    parts = []
    for row in range(options.count):
        rng = np.random.default_rng([seed, row, 1])
        parts.append(_part(t, options, task, heard, style, metre_name, writes, rng))
    warnings = [*_idle(options, task), *(_percussion(task, prompt) if prompt is not None else [])]
    if metre_name not in _LEARNT_METRES:
        warnings.append(
            f"The network heard next to no music in {metre_name}: bars are right in length, their accents are a guess."
        )
    return Plan(
        prompt=[*header, *begun],
        untold=[*nameless, *begun],
        head=len(header) + head,
        parts=tuple(parts),
        bpm=bpm,
        metre=metre,
        seed=seed,
        style=played,
        asked=asked,
        bars=bars,
        writes=writes,
        half_time=half,
        first_bar=bars - 1 if task == "answer" else empty[0] if empty else 0,
        humanised=tuple(t.struck(prompt)) if prompt is not None and task == "humanise" else (),
        warnings=tuple(warnings),
    )


def _own_swing(prompt: Pattern) -> dict[str, Any]:
    """The swing of a prompt that has one; where sixteenths are struck they tell, and not the eighths."""
    sixteenths = swing_percent(prompt, 4)
    found, division = (sixteenths, "16th") if math.isfinite(sixteenths) else (swing_percent(prompt, 2), "8th")
    return {"swing_percent": min(found, 75.0), "swing_division": division} if found >= _SWUNG else {}


_ONLY_FOR = {
    "bars": ("new", "continue"),
    "fill_every": ("new", "continue"),
    "distance": ("vary",),
    "density": ("new", "continue", "vary", "fill_in", "answer"),
    "ghost_note_prob": ("new", "continue", "humanise"),
}


def _idle(options: Options, task: str) -> list[str]:
    """What was asked and says nothing to this task."""
    asked = {name for name in _ONLY_FOR if getattr(options, name) != Options.model_fields[name].default}
    idle = sorted(name for name in asked if task not in _ONLY_FOR[name])
    return [f"To {task.replace('_', ' ')}, {' and '.join(idle)} says nothing."] if idle else []


def _density(options: Options, told: Told | None, half_time: bool, heard: Pattern | None) -> float | None:
    """Strokes in four of the network's beats: as asked, as the style has it, or as the prompt."""
    if options.density is not None:
        return options.density * (2 if half_time else 1)  # one bar of the network's is two
    if told is not None and told.density is not None:
        return told.density
    return 4 * len(heard) / heard.beats if heard is not None and len(heard) else None


def _percussion(task: str, prompt: Pattern) -> list[str]:
    """What is to be said of strokes that the network does not play."""
    others = {hit.key for hit in prompt if class_of_key(hit.key) is None}
    if not others:
        return []
    fate = "left out" if task == "continue" else "kept as they are"
    keys = ", ".join(map(str, sorted(others)))
    return [f"The network plays no percussion on the keys {keys}; the prompt's strokes there are {fate}."]


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
        before = bars[: empty[0]]
    else:
        ahead, before = [], bars if task == "continue" else bars[:-1]
    before = before[-_REMEMBERED_BARS:]
    return [*ahead, *(token for bar in before for token in bar)], len(ahead), len(before)


def _empty_bars(prompt: Pattern) -> list[int]:
    return [bar for bar, tokens in enumerate(tokenizer().bar_tokens(prompt)) if len(tokens) == 1]


def _part(
    t: Tokenizer,
    options: Options,
    task: str,
    prompt: Pattern | None,
    style: Style | None,
    metre: str,
    bars: int,
    rng: np.random.Generator,
) -> Part:
    """What one row is held to."""
    steps = t.steps_of(metre)
    played = [VOICES.index(key_of_class(name)) for name in style.voices] if style and style.voices else None
    if task in ("new", "continue"):
        counted = 2 if style is not None and style.told.half_time else 1
        last_bars = range(options.fill_every, options.bars + 1, options.fill_every) if options.fill_every else ()
        fills = {(bar - 1) // counted for bar in last_bars}
        must = _drawn(style.must, steps, rng) if style is not None else []
        never = _drawn(style.never, steps, rng) if style is not None else []
        # two bars of a machine's: what is further from its sixteenth than half of theirs would end up on another
        shift = 0 if counted > 1 else None
        wanted = [Wanted(bar, step, voice, shift) for bar in range(bars) if bar not in fills for step, voice in must]
        return Part(Grammar(t, metre, bars, wanted=wanted, fills=fills, voices=played, never=never))
    assert prompt is not None
    strokes = t.struck(prompt)
    inside = {id(hit) for _, hits in strokes for hit in hits}
    rest = tuple(hit for hit in prompt if id(hit) not in inside)  # other percussion, and what lies beyond the bars
    if task == "humanise":
        alone = Counter((stroke.bar, stroke.step, stroke.voice) for stroke, _ in strokes)
        wanted = [_anew(stroke, is_alone=alone[stroke.bar, stroke.step, stroke.voice] == 1) for stroke, _ in strokes]
        return Part(Grammar(t, metre, bars, wanted=wanted, only=dict.fromkeys(range(bars), steps)), stays=rest)
    spare: Counter[tuple[int, int]] | None = None
    first = 0
    filled: list[int] = []
    only: dict[int, int] = {}
    if task == "vary":
        draws = rng.random(len(strokes))
        keeps = [draw >= options.distance for draw in draws.tolist()]
        spare = Counter(
            (stroke.bar, stroke.step // 4) for (stroke, _), stay in zip(strokes, keeps, strict=True) if not stay
        )
    elif task == "fill_in":
        empty = _empty_bars(prompt)
        first, keeps = empty[0], [True] * len(strokes)
        only = {bar - first: steps for bar in range(first, first + bars) if bar not in empty}
    else:
        first, filled, only = prompt.bars - 1, [0], {0: steps // 2}
        keeps = [stroke.bar < first or stroke.step < steps // 2 for stroke, _ in strokes]
    kept = [pair for pair, stay in zip(strokes, keeps, strict=True) if stay]
    again = tuple(replace(stroke, bar=stroke.bar - first) for stroke, _ in kept if first <= stroke.bar < first + bars)
    guide = Grammar(t, metre, bars, wanted=again, only=only, spare=spare, fills=filled, voices=played)
    return Part(guide, again, (*(hit for _, hits in kept for hit in hits), *rest))


def _anew(stroke: Wanted, *, is_alone: bool) -> Wanted:
    """The stroke to be played anew: anywhere about its sixteenth if that is where it lies, else near where it lies, so
    that triplets, 32nds, flams and swing stay what they are."""
    if is_alone and abs(stroke.shift or 0) <= _ON_SIXTEENTH:
        return replace(stroke, shift=None, velocity=None)
    return replace(stroke, velocity=None, reach=_REACH)


def _drawn(places: Sequence[Places], steps: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """(sixteenth, voice) of each place, by its chance."""
    found = []
    for place in places:
        voice = VOICES.index(key_of_class(place.voice))
        found += [(step, voice) for step in place.steps if step < steps and rng.random() < place.chance]
    return found


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
