"""Patterns as tokens and back: the vocabulary of MidiTok's PerTok with position tokens, and a grammar of what follows.

A bar is `Bar`, then for each sixteenth that is struck `Position`, and for each stroke on it `PitchDrum`, `MicroTiming`,
`Velocity`; strokes on one sixteenth are in the order of the kit. Sixteenths and 30 shifts of 1/120 beat up to half a
sixteenth place every stroke, triplets and 32nds too, to 1/240 beat; docs/benchmarks/groove.md has what the other
schemes of MidiTok (Fradet et al., 2021; PerTok: Lenz and Mani, arXiv 2410.02060) keep of the same takes.

In front stand the conditions, one token each: style, substyle, tempo, metre, bars, density. `Fill` after a `Bar` asks
for a fill. `Future` … `Present` encloses bars that come after those to be written.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.errors import OptionError
from tutti.music.drum_kit import DRUM_CLASSES, class_of_key, key_of_class
from tutti.music.timing import TimeSignature

__all__ = ["METRES", "STYLES", "SUBSTYLES", "TICKS_PER_BEAT", "VOICES", "Conditions", "Grammar", "Tokenizer", "Wanted"]

TICKS_PER_BEAT: Final = 480
STEPS_PER_BEAT: Final = 4
STEP_TICKS: Final = TICKS_PER_BEAT // STEPS_PER_BEAT
SHIFT_TICKS: Final = 4
_SHIFTS = STEP_TICKS // SHIFT_TICKS
_EARLIEST = -(_SHIFTS // 2)
_MAX_STEPS = 24

VOICES: tuple[int, ...] = tuple(key_of_class(name) for name in DRUM_CLASSES)
"""The keys that tokens have, in the order of the kit."""

METRES: tuple[str, ...] = ("2/4", "3/4", "4/4", "5/4", "6/4", "5/8", "6/8", "7/8", "9/8", "12/8")

STYLES: tuple[str, ...] = (
    *("afrobeat", "afrocuban", "blues", "country", "dance", "funk", "gospel", "highlife", "hiphop", "jazz", "latin"),
    *("middleeastern", "neworleans", "pop", "punk", "reggae", "rock", "soul"),
)
"""What drummers of the Groove MIDI Dataset were asked to play."""
SUBSTYLES: tuple[str, ...] = (
    *("ando", "baiao", "bembe", "bomba", "bossa", "bounce", "breakbeat", "calypso", "chacarera", "chacha", "disco"),
    *("fast", "folk", "frevo", "funk", "fusion", "halftime", "ijexa", "indie", "joropo", "klezmer", "latin", "linear"),
    *("maracatu", "march", "mediumfast", "merengue", "motown", "prog", "purdieshuffle", "reggaeton", "rhumba", "rock"),
    *("rockabilly", "samba", "sambareggae", "sangueo", "secondline", "shuffle", "slow", "soft", "songo", "swing"),
)
_LOWEST_BPM, _TEMPO_RATIO, _TEMPI = 50.0, 1.06, 28
_MAX_BARS = 16
_DENSITIES = (10.0, 14.0, 17.0, 20.0, 24.0, 29.0)
"""Strokes in four beats between one class of density and the next."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a pattern is to be; None leaves it to the network."""

    style: str | None = None
    """One of STYLES."""
    substyle: str | None = None
    """One of SUBSTYLES."""
    bpm: float | None = None
    metre: str = "4/4"
    """One of METRES."""
    bars: int | None = None
    density: float | None = None
    """Strokes in four beats."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A stroke that must come; without `shift` or `velocity` the network plays it as it will."""

    bar: int
    step: int
    """Sixteenth of the bar, from 0."""
    voice: int
    """Its place in VOICES."""
    shift: int | None = None
    """In SHIFT_TICKS."""
    velocity: int | None = None
    """Its place among the velocities."""
    reach: int = 0
    """By how many shifts it may come earlier or later."""


class Tokenizer:
    """Token ids of patterns. Ids never change; what is new comes last."""

    def __init__(self) -> None:
        velocities = np.linspace(0, 127, 33, dtype=int)[1:]
        groups: dict[str, list[str]] = {
            "special": ["PAD_None", "BOS_None", "EOS_None"],
            "Bar": ["Bar_None"],
            "PitchDrum": [f"PitchDrum_{key}" for key in VOICES],
            "Velocity": [f"Velocity_{velocity}" for velocity in velocities],
            "Position": [f"Position_{step * STEP_TICKS}" for step in range(_MAX_STEPS)],
            "MicroTiming": [f"MicroTiming_{shift * SHIFT_TICKS}" for shift in range(_EARLIEST, _EARLIEST + _SHIFTS)],
            "mark": ["Fill_None", "Future_None", "Present_None"],
            "Style": ["Style_None", *(f"Style_{name}" for name in STYLES)],
            "Substyle": ["Substyle_None", *(f"Substyle_{name}" for name in SUBSTYLES)],
            "Tempo": ["Tempo_None", *(f"Tempo_{index}" for index in range(_TEMPI))],
            "TimeSig": [f"TimeSig_{metre}" for metre in METRES],
            "Bars": ["Bars_None", *(f"Bars_{bars}" for bars in range(1, _MAX_BARS + 1))],
            "Density": ["Density_None", *(f"Density_{index}" for index in range(len(_DENSITIES) + 1))],
        }
        self.tokens: tuple[str, ...] = tuple(token for group in groups.values() for token in group)
        self.vocab: dict[str, int] = {token: index for index, token in enumerate(self.tokens)}
        self._span: dict[str, tuple[int, int]] = {}
        begin = 0
        for name, group in groups.items():
            self._span[name] = begin, begin + len(group)
            begin += len(group)
        self.pad_id, self.bos_id, self.eos_id = (self.vocab[f"{name}_None"] for name in ("PAD", "BOS", "EOS"))
        self.bar_id, self.fill_id = self.vocab["Bar_None"], self.vocab["Fill_None"]
        self.future_id, self.present_id = self.vocab["Future_None"], self.vocab["Present_None"]
        self._velocities = velocities
        self._voice_of = {key: place for place, key in enumerate(VOICES)}

    def __len__(self) -> int:
        return len(self.tokens)

    def span(self, group: str) -> tuple[int, int]:
        """First id of a kind of tokens, and the one after its last."""
        return self._span[group]

    def steps_of(self, metre: str) -> int:
        """Sixteenths in a bar. Raises OptionError for a metre without a token."""
        if metre not in METRES:
            raise OptionError(f"The network knows no bars of {metre}. It knows: {', '.join(METRES)}.")
        numerator, denominator = map(int, metre.split("/"))
        return numerator * 4 * STEPS_PER_BEAT // denominator

    def header(self, conditions: Conditions) -> list[int]:
        """The tokens before the first bar. Raises OptionError for a style or metre that has none."""
        for kind, value, known in (("style", conditions.style, STYLES), ("substyle", conditions.substyle, SUBSTYLES)):
            if value is not None and value not in known:
                raise OptionError(f"The network knows no {kind} {value!r}. It knows: {', '.join(known)}.")
        self.steps_of(conditions.metre)
        bars = conditions.bars
        if not (bars is None or bars >= 1) or not (conditions.bpm is None or conditions.bpm > 0):
            raise OptionError(f"A pattern has a tempo above 0 and at least one bar; got {conditions.bpm} and {bars}.")
        named = (
            f"Style_{conditions.style}",
            f"Substyle_{conditions.substyle}",
            f"Tempo_{None if conditions.bpm is None else _tempo_class(conditions.bpm)}",
            f"TimeSig_{conditions.metre}",
            f"Bars_{bars if bars is not None and bars <= _MAX_BARS else None}",
            f"Density_{None if conditions.density is None else int(np.searchsorted(_DENSITIES, conditions.density))}",
        )
        return [self.bos_id, *(self.vocab[name] for name in named)]

    def bar_tokens(self, pattern: Pattern) -> list[list[int]]:
        """The tokens of each bar, `Bar` first.

        Keys are read as the piece of the kit they are (`music.drum_kit`); strokes on pieces without tokens are left
        out, of strokes that have one token for all but velocity the loudest stays.
        """
        bars: list[list[int]] = [[self.bar_id] for _ in range(pattern.bars)]
        positions, shifts = self.span("Position")[0], self.span("MicroTiming")[0] - _EARLIEST
        drums, velocities = self.span("PitchDrum")[0], self.span("Velocity")[0]
        before: tuple[int, int] | None = None
        for stroke, _ in self.struck(pattern):
            if (stroke.bar, stroke.step) != before:
                bars[stroke.bar].append(positions + stroke.step)
                before = stroke.bar, stroke.step
            assert stroke.shift is not None
            assert stroke.velocity is not None
            bars[stroke.bar] += [drums + stroke.voice, shifts + stroke.shift, velocities + stroke.velocity]
        return bars

    def struck(self, pattern: Pattern) -> list[tuple[Wanted, list[Hit]]]:
        """Every stroke as its tokens have it, in their order, and the hits that are it, more than one where they differ
        in nothing but velocity and key; the loudest tells."""
        steps = self.steps_of(f"{pattern.metre.numerator}/{pattern.metre.denominator}")
        places: dict[tuple[int, int, int, int], list[Hit]] = defaultdict(list)
        for hit in pattern:
            name = class_of_key(hit.key)
            if name is None:
                continue
            step, shift = _placed(hit.beat)
            bar, step = divmod(step, steps)
            if bar == pattern.bars and step == 0 and hit.beat < pattern.beats - 0.125:
                bar, step, shift = bar - 1, steps - 1, _EARLIEST + _SHIFTS - 1  # nearer to a bar that is not there
            if 0 <= bar < pattern.bars:
                places[bar, step, self._voice_of[key_of_class(name)], shift].append(hit)
        return [
            (Wanted(*place, self._velocity_class(max(hit.velocity for hit in hits))), hits)
            for place, hits in sorted(places.items())
        ]

    def encode(self, pattern: Pattern, conditions: Conditions | None = None) -> list[int]:
        """Header, bars and end of `pattern`."""
        metre = f"{pattern.metre.numerator}/{pattern.metre.denominator}"
        header = self.header(conditions or Conditions(bpm=pattern.bpm, metre=metre, bars=pattern.bars))
        return [*header, *(token for bar in self.bar_tokens(pattern) for token in bar), self.eos_id]

    def decode(self, ids: Sequence[int], bpm: float, metre: TimeSignature | None = None) -> Pattern:
        """The pattern in `ids`; what stands between `Future` and `Present`, and an unfinished stroke, is left out.

        Raises OptionError for ids that are none, or hold no bar.
        """
        metre = metre or TimeSignature(4, 4)
        hits: list[Hit] = []
        bar, step, voice, shift, ahead = -1, 0, 0, 0, False
        for index in ids:
            if not 0 <= index < len(self.tokens):
                raise OptionError(f"There is no token {index}; ids are 0-{len(self.tokens) - 1}.")
            kind, _, value = self.tokens[index].partition("_")
            if kind in ("Future", "Present"):
                ahead = kind == "Future"
            elif ahead:
                continue
            elif kind == "Bar":
                bar += 1
            elif kind == "Position":
                step = int(value)
            elif kind == "PitchDrum":
                voice = int(value)
            elif kind == "MicroTiming":
                shift = int(value)
            elif kind == "Velocity":
                beat = bar * metre.quarters_per_bar + (step + shift) / TICKS_PER_BEAT
                hits.append(Hit(beat, voice, int(value)))
        if bar < 0:
            raise OptionError("These tokens hold no bar.")
        return Pattern(tuple(hits), bpm, bar + 1, metre)

    def _velocity_class(self, velocity: int) -> int:
        return int(np.abs(self._velocities - velocity).argmin())


def _tempo_class(bpm: float) -> int:
    return min(_TEMPI - 1, max(0, round(math.log(bpm / _LOWEST_BPM) / math.log(_TEMPO_RATIO))))


def _placed(beat: float) -> tuple[int, int]:
    """The nearest sixteenth, and the shift from it."""
    shifts = math.floor(beat * TICKS_PER_BEAT / SHIFT_TICKS + 0.5)
    step = (shifts - _EARLIEST) // _SHIFTS
    return step, shifts - step * _SHIFTS


class Grammar:
    """What may follow, token by token, for the bars that are to be written.

    Bar, position, voice, shift, velocity in this order; positions and, on one position, voices only rise; one voice may
    come again on a position, later; as many bars as were asked for, then the end. Strokes in `wanted` all come, in
    their place; `only` says for a bar in how many of its first sixteenths no others do, `spare` how many others do in a
    beat (bar, beat), None any. Only `voices` come (None is all), and none of `never`, (sixteenth, voice), but in the
    bars that are `fills`.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        metre: str,
        bars: int,
        *,
        wanted: Iterable[Wanted] = (),
        only: Mapping[int, int] | None = None,
        spare: Mapping[tuple[int, int], int] | None = None,
        fills: Iterable[int] = (),
        voices: Iterable[int] | None = None,
        never: Iterable[tuple[int, int]] = (),
    ) -> None:
        self._t = tokenizer
        self._steps, self._bars = tokenizer.steps_of(metre), bars
        self._only, self._fills = dict(only or {}), frozenset(fills)
        self._spare = None if spare is None else dict(spare)
        self._may = np.zeros((self._steps, len(VOICES)), bool)
        self._may[:, slice(None) if voices is None else [*voices]] = True
        self._everything = self._may.copy()
        for step, voice in never:
            self._may[step : step + 1, voice] = False
        self._wanted: dict[tuple[int, int], list[Wanted]] = defaultdict(list)
        for stroke in sorted(wanted, key=lambda w: (w.bar, w.step, w.voice, w.shift or 0)):
            self._wanted[stroke.bar, stroke.step].append(stroke)
        self._places: dict[int, list[int]] = {bar: [] for bar in range(bars)}
        for bar, step in self._wanted:  # in order, as they were put in
            self._places.setdefault(bar, []).append(step)
        self._bar, self._step, self._voice, self._shift = -1, -1, -1, _EARLIEST - 1
        self._struck: Wanted | None = None
        self._state = "begin"
        self._spans = {name: tokenizer.span(name) for name in ("PitchDrum", "Velocity", "Position", "MicroTiming")}

    @property
    def is_done(self) -> bool:
        return self._state == "end"

    @property
    def bars_begun(self) -> int:
        return self._bar + 1

    def allowed(self) -> NDArray[np.bool_]:
        """(tokens,): what may come next; something always may, until the end."""
        may = np.zeros(len(self._t), bool)
        if self._state == "begin":
            may[self._t.bar_id] = True
        elif self._state == "bar" and self._bar in self._fills:
            may[self._t.fill_id] = True
        elif self._state == "voice":
            self._allow_voices(may)
        elif self._state == "shift":
            begin, _ = self._spans["MicroTiming"]
            again = sum(stroke.voice == self._voice for stroke in self._due())  # they need room after it
            first, last = self._shift + 1, _EARLIEST + _SHIFTS - 1 - again
            if self._struck is not None and self._struck.shift is not None:
                first = max(first, self._struck.shift - self._struck.reach)
                last = max(first, min(last, self._struck.shift + self._struck.reach))
            may[begin + first - _EARLIEST : begin + last + 1 - _EARLIEST] = True
        elif self._state == "velocity":
            begin, end = self._spans["Velocity"]
            if self._struck is None or self._struck.velocity is None:
                may[begin:end] = True
            else:
                may[begin + self._struck.velocity] = True
        elif self._state != "end":
            self._allow_next(may)
        else:
            may[self._t.pad_id] = True
        return may

    def advance(self, token: int) -> None:
        """Take `token`, one of the allowed."""
        kind, _, _ = self._t.tokens[token].partition("_")
        if kind == "Bar":
            self._bar, self._step, self._voice = self._bar + 1, -1, -1
            self._state = "bar" if self._bar in self._fills else "next"
        elif kind == "Fill":
            self._state = "next"
        elif kind == "Position":
            self._step, self._voice, self._shift = token - self._spans["Position"][0], -1, _EARLIEST - 1
            self._state = "voice"
        elif kind == "PitchDrum":
            voice = token - self._spans["PitchDrum"][0]
            if voice != self._voice:
                self._shift = _EARLIEST - 1
            self._voice = voice
            due = self._due()
            self._struck = due.pop(0) if due and due[0].voice == voice else None
            if self._struck is None and self._spare is not None:
                self._spare[self._bar, self._step // STEPS_PER_BEAT] -= 1
            self._state = "shift"
        elif kind == "MicroTiming":
            self._shift = token - self._spans["MicroTiming"][0] + _EARLIEST
            self._state = "velocity"
        elif kind == "Velocity":
            self._state = "next"
        elif kind == "EOS":
            self._state = "end"

    def _free(self) -> NDArray[np.bool_]:
        """(sixteenths, voices): what may be struck in this bar unasked."""
        return self._everything if self._bar in self._fills else self._may

    def _is_open(self, step: int) -> bool:
        """Whether strokes may come there unasked."""
        if step < self._only.get(self._bar, 0):
            return False
        return self._spare is None or self._spare.get((self._bar, step // STEPS_PER_BEAT), 0) > 0

    def _due(self) -> list[Wanted]:
        return self._wanted.get((self._bar, self._step), [])

    def _allow_voices(self, may: NDArray[np.bool_]) -> None:
        """Voices on this position: from the last one on, up to the next that must come."""
        due = self._due()
        begin = self._spans["PitchDrum"][0]
        if not self._is_open(self._step):
            if due:
                may[begin + due[0].voice] = True
            return
        again = self._voice >= 0 and self._shift < _EARLIEST + _SHIFTS - 1
        low = self._voice if again else self._voice + 1
        until = due[0].voice + 1 if due else len(VOICES)
        may[begin + low : begin + until] = self._free()[self._step, low:until]
        if due:
            may[begin + due[0].voice] = True

    def _allow_next(self, may: NDArray[np.bool_]) -> None:
        if self._step >= 0:
            self._allow_voices(may)
            if self._due():
                return
        ahead = [step for step in self._places[self._bar] if step > self._step]
        begin = self._spans["Position"][0]
        first, until = max(self._step + 1, self._only.get(self._bar, 0)), ahead[0] if ahead else self._steps
        free = self._free()[first:until].any(axis=1)
        if self._spare is not None:
            free &= np.array([self._is_open(step) for step in range(first, until)], bool)
        may[begin + first : begin + max(first, until)] = free
        if ahead:
            may[begin + until] = True
        if not ahead:
            may[self._t.bar_id if self._bar + 1 < self._bars else self._t.eos_id] = True


@cache
def tokenizer() -> Tokenizer:
    """The one that the shipped network was trained with."""
    return Tokenizer()
