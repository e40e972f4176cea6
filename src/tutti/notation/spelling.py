"""How a bar is written: two voices of notes and rests, with values, tuplets, beams and what stands on each stem.

A drum has no length, so a note is written only up to the next stroke of its voice or the end of its beat: no ties, no
long values, and no rest where a longer note reads the same. Each voice fills its bar exactly. A roll alone is written
as long as it sounds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, lru_cache
from itertools import pairwise
from math import gcd
from typing import Literal, NoReturn

from tutti.errors import OptionError
from tutti.notation.pieces import PIECES, Voice
from tutti.notation.sheet import Bar, Sheet, Stroke

__all__ = ["VALUES", "Beam", "Event", "Tuplet", "Value", "Voices", "spell", "spell_sheet"]

VALUES: dict[str, Fraction] = {
    "whole": Fraction(4),
    "half": Fraction(2),
    "quarter": Fraction(1),
    "eighth": Fraction(1, 2),
    "16th": Fraction(1, 4),
    "32nd": Fraction(1, 8),
    "64th": Fraction(1, 16),
}
"""Note value, by its name in MusicXML -> quarter notes."""

Beam = Literal["", "begin", "continue", "end"]


@dataclass(frozen=True, slots=True)
class Value:
    """A note value: its name in VALUES, and 0 or 1 dots."""

    name: str
    dots: int = 0

    @classmethod
    def of(cls, quarters: Fraction) -> Value:
        """The value that lasts `quarters`. Raises OptionError when none does with at most one dot."""
        value = _value_of(quarters)
        if value is None:
            raise OptionError(f"No note value lasts {quarters} quarter notes. Use a simpler metre or divisions.")
        return value

    @property
    def quarters(self) -> Fraction:
        return VALUES[self.name] * (Fraction(3, 2) if self.dots else 1)

    @property
    def flags(self) -> int:
        """How many beams it takes."""
        return max(0, list(VALUES).index(self.name) - 2)


@dataclass(frozen=True, slots=True)
class Tuplet:
    """`actual` notes in the time of `normal`, each worth `unit`: 3 in the time of 2 eighths."""

    actual: int
    normal: int
    unit: str


@dataclass(frozen=True, slots=True)
class Event:
    """A note, a chord, or (with no `strokes`) a rest of one voice."""

    position: Fraction
    """Quarter notes from the start of what is printed of the bar."""
    duration: Fraction
    """Quarter notes."""
    value: Value
    strokes: tuple[Stroke, ...] = ()
    """From the lowest head to the highest."""
    graces: tuple[Stroke, ...] = ()
    tuplet: Tuplet | None = None
    tuplet_starts: bool = False
    tuplet_stops: bool = False
    tuplet_is_beamed: bool = False
    """One beam joins all notes of its tuplet, so that the number needs no bracket."""
    beam: Beam = ""
    hidden: bool = False
    """A rest that is not printed: its voice is silent, or the other voice's rest stands for both."""
    centred: bool = False
    """A rest for both voices, on the middle line."""
    fills_bar: bool = False
    """A rest for a whole bar, whatever its length."""

    @property
    def is_rest(self) -> bool:
        return not self.strokes

    @property
    def tremolo(self) -> int:
        """Slashes through the stem."""
        return max((stroke.tremolo for stroke in self.strokes), default=0)

    @property
    def end(self) -> Fraction:
        return self.position + self.duration


@dataclass(frozen=True, slots=True)
class Voices:
    """A bar as it is written: both voices last `quarters`."""

    quarters: Fraction
    hands: tuple[Event, ...]
    feet: tuple[Event, ...]


def spell_sheet(sheet: Sheet) -> tuple[Voices, ...]:
    """Every bar of a sheet, as `spell` writes it."""
    return tuple(spell(bar, sheet.has_pickup and index == 0) for index, bar in enumerate(sheet.bars))


def spell(bar: Bar, is_pickup: bool = False) -> Voices:
    """Write `bar`. A pickup begins with the beat of its first stroke.

    Raises OptionError when its divisions do not fit its metre, or a stroke lies on none of their parts.
    """
    grids = _grids(bar)
    places = _places(grids)
    for stroke in bar.strokes:
        if stroke.position not in places or stroke.instrument not in PIECES:
            _refuse(stroke, bar, grids)
    skipped = 0
    if is_pickup and bar.strokes:
        first = min(stroke.position for stroke in bar.strokes)
        skipped = max(index for index, grid in enumerate(grids) if grid.start <= first)
    start = grids[skipped].start
    hands, feet = (_voice(bar, voice, grids[skipped:], start) for voice in ("hands", "feet"))
    return Voices(bar.quarters - start, *_without_double_rests(hands, feet))


@dataclass(frozen=True, slots=True)
class _Grid:
    """A stretch of the bar cut into `parts` equal parts: a beat, or what it is split into."""

    start: Fraction
    length: Fraction
    parts: int

    @property
    def part(self) -> Fraction:
        return self.length / self.parts

    @property
    def end(self) -> Fraction:
        return self.start + self.length

    def slots(self, positions: Sequence[Fraction]) -> list[int]:
        """Which parts `positions`, which rise, begin, of those that lie here."""
        here = positions[bisect_left(positions, self.start) : bisect_left(positions, self.end)]
        part = self.part
        return [int((position - self.start) / part) for position in here]

    def half(self, second: bool) -> _Grid:
        return _Grid(self.start + (self.length / 2 if second else 0), self.length / 2, self.parts // 2)


def _grids(bar: Bar) -> tuple[_Grid, ...]:
    """The beats of `bar`."""
    count = bar.quarters / bar.beat_quarters
    parts = bar.divisions or (1,) * int(count)
    if count != len(parts) or any(p < 1 for p in parts):
        raise OptionError(
            f"A bar of {bar.numerator}/{bar.denominator} has {count} beats, but its divisions are {bar.divisions}. "
            "Give one number a beat."
        )
    return _cut_into(bar.beat_quarters, parts)


@lru_cache(maxsize=256)
def _cut_into(beat: Fraction, parts: tuple[int, ...]) -> tuple[_Grid, ...]:
    """Beats of a length from 0 on."""
    return tuple(_Grid(row * beat, beat, count) for row, count in enumerate(parts))


@lru_cache(maxsize=256)
def _places(grids: tuple[_Grid, ...]) -> frozenset[Fraction]:
    """Where a stroke can be."""
    return frozenset(grid.start + row * grid.part for grid in grids for row in range(grid.parts))


def _refuse(stroke: Stroke, bar: Bar, grids: Sequence[_Grid]) -> NoReturn:
    """Raises OptionError, which says why `stroke` cannot be in `bar`."""
    if stroke.instrument not in PIECES:
        raise OptionError(f"There is no drum {stroke.instrument!r}. Use one of: {', '.join(PIECES)}.")
    if not 0 <= stroke.position < bar.quarters:
        raise OptionError(
            f"Stroke {stroke.id!r} is at {stroke.position}, outside its bar of {bar.quarters} quarter notes."
        )
    grid = grids[int(stroke.position / bar.beat_quarters)]
    raise OptionError(
        f"Stroke {stroke.id!r} is at {stroke.position}, which is on none of the {grid.parts} parts of its beat."
    )


def _voice(bar: Bar, voice: Voice, grids: Sequence[_Grid], origin: Fraction) -> list[Event]:
    """The notes and rests of one voice. `origin` is where the printed part of the bar begins."""
    heads: dict[Fraction, list[Stroke]] = defaultdict(list)
    graces: dict[Fraction, list[Stroke]] = defaultdict(list)
    for stroke in bar.strokes:
        if PIECES[stroke.instrument].voice == voice:
            (graces if stroke.grace else heads)[stroke.position].append(stroke)
    onsets = sorted({*heads, *graces})
    if not onsets:
        length = bar.quarters - origin
        return [Event(Fraction(0), length, _value_of(length) or Value("whole"), fills_bar=True)]
    events: list[Event] = []
    for group in _groups(bar, grids):
        start = group[0].start
        here = onsets[bisect_left(onsets, start) : bisect_left(onsets, group[-1].end)]
        struck = tuple((onset - start, onset in heads) for onset in here)
        for event in _written(group[0].length, tuple(grid.parts for grid in group), struck):
            position = start + event.position
            strokes = tuple(sorted(heads.get(position, ()), key=lambda stroke: PIECES[stroke.instrument].place))
            events.append(replace(event, position=position, strokes=strokes, graces=tuple(graces.get(position, ()))))
    events = _with_long_rolls(events, bar)
    events = _with_long_rests(events, bar)
    return [replace(event, position=event.position - origin) for event in events] if origin else events


def _beam_groups(bar: Bar) -> tuple[int, ...]:
    """How many beats are beamed together: each beat alone, but twos and a last three where a beat is an eighth."""
    beats = int(bar.quarters / bar.beat_quarters)
    if bar.beat_quarters > Fraction(1, 2):
        return (1,) * beats
    if beats < 4:
        return (beats,)
    return (2,) * (beats // 2 - beats % 2) + (3,) * (beats % 2)


def _groups(bar: Bar, grids: Sequence[_Grid]) -> Iterator[list[_Grid]]:
    """The beats that are beamed together, counted from the end of the bar, where a pickup is whole."""
    end = len(grids)
    groups: list[list[_Grid]] = []
    for size in reversed(_beam_groups(bar)):
        if end > 0:
            groups.append(list(grids[max(0, end - size) : end]))
        end -= size
    yield from reversed(groups)


@lru_cache(maxsize=4096)
def _written(beat: Fraction, parts: tuple[int, ...], struck: tuple[tuple[Fraction, bool], ...]) -> tuple[Event, ...]:
    """Beats that are beamed together, from 0 on, before their strokes are put in: music has few of them, again and
    again. `struck` is where something is played, and whether that is more than grace notes."""
    onsets = [onset for onset, _ in struck]
    spans = _spans(_cut_into(beat, parts), onsets)
    events = [event for grid in spans for event in _within(grid, onsets)]
    return tuple(_beamed(events, {onset for onset, has_head in struck if has_head}))


def _spans(group: Sequence[_Grid], onsets: Sequence[Fraction]) -> Sequence[_Grid]:
    """What is written as one: two or three eighth-note beats without tuplets make one quarter or dotted quarter."""
    if len(group) == 1 or any(_is_tuplet(grid, grid.slots(onsets)) for grid in group):
        return group
    parts = max(grid.parts // gcd(grid.parts, *grid.slots(onsets)) for grid in group)
    return [_Grid(group[0].start, sum((grid.length for grid in group), Fraction(0)), parts * len(group))]


def _is_tuplet(grid: _Grid, slots: Sequence[int]) -> bool:
    return not _is_power_of_two(grid.parts // gcd(grid.parts, *slots))


def _within(grid: _Grid, onsets: Sequence[Fraction]) -> list[Event]:
    """One beat (or half of one) of a voice: the plainest reading of its strokes."""
    slots = grid.slots(onsets)
    dotted = grid.length.numerator % 3 == 0
    straight_parts = 3 if dotted and grid.parts % 3 == 0 else 1  # a dotted beat has three equal parts without a tuplet
    common = gcd(grid.parts // straight_parts, *slots)
    if not any(slots):
        common, straight_parts = grid.parts, 1
    grid = replace(grid, parts=grid.parts // common)
    slots = [slot // common for slot in slots]
    if _is_power_of_two(grid.parts // straight_parts) and (straight_parts == 3 or not dotted or grid.parts == 1):
        return _filled(grid, slots, None)
    if not dotted and _reads_in_halves(grid.parts, slots):
        return [event for second in (False, True) for event in _within(grid.half(second), onsets)]
    return _filled(grid, slots, _tuplet_of(grid, slots, dotted))


def _reads_in_halves(parts: int, slots: Sequence[int]) -> bool:
    """Whether a beat with triplets reads better as two halves: its middle is struck, or one half has but one stroke."""
    if parts % 2:
        return False
    half = parts // 2
    first, second = [s for s in slots if s < half], [s for s in slots if s >= half]
    if half in slots:
        return len(slots) < parts
    return not second or not any(first)


def _tuplet_of(grid: _Grid, slots: Sequence[int], dotted: bool) -> Tuplet:
    if dotted:  # 2 in the time of 3
        normal = 3 * grid.parts // 2
        return Tuplet(grid.parts, normal, Value.of(grid.length / normal).name)
    actual = grid.parts
    if actual % 2 == 0 and any(s not in slots for s in range(1, actual, 2)):  # eighths that are split here and there
        actual //= 2
    normal = 1 << (actual.bit_length() - 1)
    return Tuplet(actual, normal, Value.of(grid.length / normal).name)


def _filled(grid: _Grid, slots: Sequence[int], tuplet: Tuplet | None) -> list[Event]:
    """Notes from stroke to stroke, rests before the first and where no single value reaches the next."""
    written_part = grid.part if tuplet is None else grid.part * tuplet.actual / tuplet.normal
    bounds = sorted({0, *slots, grid.parts})
    events: list[Event] = []
    for low, high in pairwise(bounds):
        pieces = _cut(low, high, grid.parts, written_part, low in slots)
        for start, stop, value in pieces:
            events.append(Event(grid.start + start * grid.part, (stop - start) * grid.part, value, tuplet=tuplet))
    if tuplet is not None:
        events[0] = replace(events[0], tuplet_starts=True)
        events[-1] = replace(events[-1], tuplet_stops=True)
    return events


@cache
def _cut(low: int, high: int, parts: int, part: Fraction, is_note: bool) -> tuple[tuple[int, int, Value], ...]:
    """The fewest signs that fill the parts `low` to `high`, breaking at the plainest places.

    The first is a note if `is_note`; a dotted rest begins only where such a value does naturally.
    """
    best: tuple[tuple[int, int, Value], ...] | None = None
    for stop in range(high, low, -1):
        value = _value_of((stop - low) * part)
        if value is None or (not is_note and value.dots and low % Fraction(2 * (stop - low), 3)):
            continue
        rest = _cut(stop, high, parts, part, False) if stop < high else ()
        candidate = ((low, stop, value), *rest)
        if best is None or _clumsiness(candidate, parts) < _clumsiness(best, parts):
            best = candidate
    if best is None:
        raise OptionError(f"No note values fill {high - low} of the {parts} parts of a beat. Use simpler divisions.")
    return best


def _clumsiness(pieces: Sequence[tuple[int, int, Value]], parts: int) -> tuple[int, int]:
    return len(pieces), -sum(gcd(stop, parts) for _, stop, _ in pieces)


def _beamed(events: list[Event], heads: Container[Fraction]) -> list[Event]:
    """Join the flags of one group, whose notes are at `heads`. A note without flags, or a rest as long, parts them."""
    runs: list[list[int]] = [[]]
    for index, event in enumerate(events):
        if event.value.flags:
            if event.position in heads:
                runs[-1].append(index)
        else:
            runs.append([])
    edges = [index for index, event in enumerate(events) if event.tuplet_starts or event.tuplet_stops]
    tuplets = [range(start, stop + 1) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    out = list(events)
    for run in [part for joined in runs for part in _nested(joined, tuplets)]:
        for place, index in enumerate(run if len(run) > 1 else []):
            beam: Beam = "begin" if place == 0 else "end" if place == len(run) - 1 else "continue"
            out[index] = replace(out[index], beam=beam)
    return _with_beamed_tuplets(out)


def _nested(run: list[int], tuplets: list[range]) -> list[list[int]]:
    """A beam, parted where it would join some notes of a tuplet, but not all of its events, with notes outside it."""
    for tuplet in tuplets:
        inside = [index for index in run if index in tuplet]
        if inside and len(inside) < len(run) and not run[0] <= tuplet[0] <= tuplet[-1] <= run[-1]:
            before = [index for index in run if index < tuplet[0]]
            after = [index for index in run if index > tuplet[-1]]
            return [part for piece in (before, inside, after) for part in _nested(piece, tuplets)]
    return [run]


def _with_beamed_tuplets(events: list[Event]) -> list[Event]:
    out: list[Event] = []
    for event in events:
        out.append(event)
        if event.tuplet_stops:
            start = max(place for place, member in enumerate(out) if member.tuplet_starts)
            members = out[start:]
            is_beamed = len(members) > 1 and all(member.beam for member in members)
            is_beamed &= members[0].beam != "end" and all(member.beam == "continue" for member in members[1:-1])
            out[start:] = [replace(member, tuplet_is_beamed=is_beamed) for member in members]
    return out


def _with_long_rolls(events: list[Event], bar: Bar) -> list[Event]:
    """A roll from the start of a beat takes over the silent beats after it, as many as one note value spans."""
    out: list[Event] = []
    while events:
        event, *events = events
        if event.tremolo and not event.beam and _is_whole_beat(event, bar):
            free = 0
            while free < len(events) and events[free].is_rest and _is_whole_beat(events[free], bar):
                free += 1
            for taken in range(free, 0, -1):
                duration = events[taken - 1].end - event.position
                if not any(following.graces for following in events[:taken]) and (value := _value_of(duration)):
                    event, events = replace(event, duration=duration, value=value), events[taken:]
                    break
        out.append(event)
    return out


def _with_long_rests(events: list[Event], bar: Bar) -> list[Event]:
    """Two silent beats that make a half of a four-beat bar are one rest."""
    if bar.quarters != 4 * bar.beat_quarters:
        return events
    out: list[Event] = []
    for event in events:
        before = out[-1] if out else None
        if (
            before
            and before.is_rest
            and event.is_rest
            and _is_whole_beat(before, bar)
            and _is_whole_beat(event, bar)
            and before.position % (2 * bar.beat_quarters) == 0
            and not event.graces
        ):
            duration = before.duration + event.duration
            out[-1] = replace(before, duration=duration, value=_value_of(duration) or before.value)
        else:
            out.append(event)
    return out


def _is_whole_beat(event: Event, bar: Bar) -> bool:
    return event.duration == bar.beat_quarters and event.position % bar.beat_quarters == 0


def _without_double_rests(hands: list[Event], feet: list[Event]) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
    """Hide the rests of a voice that is silent all bar, and print a rest that both voices share once."""
    if feet[0].fills_bar:
        return tuple(map(_centred, hands)), (replace(feet[0], hidden=True),)
    if hands[0].fills_bar:
        return (replace(hands[0], hidden=True),), tuple(map(_centred, feet))
    shared = {(e.position, e.duration) for e in hands if e.is_rest} & {
        (e.position, e.duration) for e in feet if e.is_rest and not e.tuplet
    }
    return (
        tuple(_centred(e) if e.is_rest and (e.position, e.duration) in shared else e for e in hands),
        tuple(
            replace(e, hidden=True) if e.is_rest and not e.tuplet and (e.position, e.duration) in shared else e
            for e in feet
        ),
    )


def _centred(event: Event) -> Event:
    return replace(event, centred=True) if event.is_rest else event


@cache
def _value_of(quarters: Fraction) -> Value | None:
    """The value that lasts `quarters`, if one does with at most one dot."""
    for name, length in VALUES.items():
        if quarters == length:
            return Value(name)
        if quarters == length * 3 / 2:
            return Value(name, dots=1)
    return None


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0
