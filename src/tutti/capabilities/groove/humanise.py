"""Feel by rule: swing, drift, lean, accents, ghost notes, flams and rolls, for any pattern; a seed decides all chance.

Swing as on an MPC: the percentage of a pair that its first note is given; 50 is straight, 66.7 a triplet, 75 the most.
People drift together and slowly: a hit is late when the one before it was. So timing here is a clock of the whole kit
that wanders (AR(1) over sixteenths) and one for each limb; `docs/benchmarks/groove.md` holds it against what drummers
of the Groove MIDI Dataset do. Strokes are moved, never cut off at the start of the pattern: one ahead of the first beat
stays there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tutti.capabilities.groove.features import GHOST_VELOCITY, swing_percent
from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.errors import OptionError
from tutti.music.drum_kit import class_of_key, key_of_class

__all__ = [
    "Division",
    "Feel",
    "accented",
    "drifted",
    "flammed",
    "ghosted",
    "humanise",
    "leaned",
    "rolled",
    "swing_set",
    "swung",
    "velocities_spread",
]

Division = Literal["8th", "16th"]
_PAIR_BEATS: dict[Division, float] = {"8th": 1.0, "16th": 0.5}
_DIVISIONS: dict[Division, int] = {"8th": 2, "16th": 4}

_KIT_SHARE, _KIT_MEMORY, _LIMB_MEMORY = 0.75, 0.85, 0.35
"""Of the variance of drift that the whole kit shares; and how much of it is left a sixteenth, or a stroke, later."""

_FLAM_MS = 28.0
_LIMBS = {"kick": 0, "hihat_pedal": 1, "hihat_closed": 2, "hihat_open": 2, "ride": 2, "ride_bell": 2, "crash": 2}
"""Who plays it; everything else is the other hand."""

_ACCENTS = (1.0, 0.72, 0.86, 0.72)
"""How loud the sixteenths of a beat are against its first, fully accented."""

Floats = NDArray[np.float64]
WhichVoice = Callable[[str | None], bool]


def _any(_name: str | None) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Feel:
    """How a pattern is to be played. As it stands it changes nothing."""

    swing_percent: float = 50.0
    swing_division: Division = "16th"
    micro_timing_ms: float = 0.0
    """Standard deviation of the drift; drummers: 16-19."""
    lean_ms: Mapping[str, float] = field(default_factory=dict)
    """How late each class of `music.drum_kit` is, early below 0."""
    accents: float = 0.0
    """0 leaves velocities, 1 gives weak sixteenths their full distance from the beat."""
    velocity_variation: float = 0.0
    """Standard deviation of velocities as a share of them; it wanders as timing does."""
    ghost_note_prob: float = 0.0
    """Chance of a ghost note on each weak sixteenth where the snare is free."""
    flam_prob: float = 0.0
    """Chance that a loud snare gets a grace note."""
    roll_prob: float = 0.0
    """Chance of a beat that its last hi-hats become a roll of 32nds."""

    def __post_init__(self) -> None:
        _check_swing(self.swing_percent)
        for name in ("accents", "velocity_variation", "ghost_note_prob", "flam_prob", "roll_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} is 0-1; got {getattr(self, name)}.")
        if not 0 <= self.micro_timing_ms <= 60:
            raise OptionError(f"micro_timing_ms is 0-60; got {self.micro_timing_ms}.")
        unknown = [name for name in self.lean_ms if class_of_key(_key(name)) is None]
        if unknown or not all(abs(late) <= 60 for late in self.lean_ms.values()):
            raise OptionError(f"lean_ms takes classes of drums and -60 to 60 ms; got {dict(self.lean_ms)}.")


def _key(name: str) -> int:
    try:
        return key_of_class(name)
    except KeyError:
        return -1


def _check_swing(percent: float) -> None:
    if not 50 <= percent <= 75:
        raise OptionError(f"Swing is 50-75 % (50 straight, 66.7 triplets); got {percent}.")


def humanise(pattern: Pattern, feel: Feel, seed: int = 0) -> Pattern:
    """`pattern` played with `feel`. The same seed gives the same, in whatever order the hits were given."""
    rng = np.random.default_rng(seed)
    pattern = ghosted(pattern, feel.ghost_note_prob, rng)
    pattern = flammed(pattern, feel.flam_prob, rng)
    pattern = rolled(pattern, feel.roll_prob, (8,), rng)
    pattern = accented(pattern, feel.accents)
    pattern = velocities_spread(pattern, feel.velocity_variation, rng)
    pattern = swung(pattern, feel.swing_percent, feel.swing_division)
    pattern = leaned(pattern, lambda hit, _step: feel.lean_ms.get(class_of_key(hit.key) or "", 0.0))
    return drifted(pattern, feel.micro_timing_ms, rng)


def swung(pattern: Pattern, percent: float, division: Division = "16th", voices: WhichVoice = _any) -> Pattern:
    """A straight pattern with swing: the second note of each pair at `percent` of it, what lies half way to it or
    from it half as far along, the ends of a pair where they were. Offsets from those lines stay. Raises OptionError.
    """
    _check_swing(percent)
    return _reswung(pattern, 0.5, percent / 100, division, voices)


def swing_set(pattern: Pattern, percent: float, division: Division = "16th", voices: WhichVoice = _any) -> Pattern:
    """A played pattern with its second notes moved so that they lie at `percent` on average, as `swing_percent`
    measures it; one that has too few of them to tell counts as straight. Raises OptionError."""
    _check_swing(percent)
    found = swing_percent(pattern, _DIVISIONS[division], voices)
    before = 0.5 if math.isnan(found) else found / 100
    best, off_by, aim = pattern, math.inf, percent
    low, high = percent - 10, percent + 10
    for _ in range(12):  # strokes that change sides of the middle between two lines move the mean a little
        moved = _reswung(pattern, before, aim / 100, division, voices)
        missing = percent - _measured_swing(moved, division, voices, percent)
        if math.isnan(missing):
            return moved if math.isinf(off_by) else best
        if abs(missing) < off_by:
            best, off_by = moved, abs(missing)
        if off_by < 0.05:
            break
        low, high = (aim, high) if missing > 0 else (low, aim)
        aim = aim + missing if low < aim + missing < high else (low + high) / 2
    return best


def _measured_swing(pattern: Pattern, division: Division, voices: WhichVoice, near: float) -> float:
    """As the pattern says of itself, or, where it plays two kinds of second notes and says the other, about `near`."""
    found = swing_percent(pattern, _DIVISIONS[division], voices)
    return found if abs(found - near) < 5 else swing_percent(pattern, _DIVISIONS[division], voices, near)


def _reswung(pattern: Pattern, before: float, after: float, division: Division, voices: WhichVoice) -> Pattern:
    """Strokes moved from the lines of one swing to those of another: the ends of a pair, its second note, and what is
    half way to that and from it."""
    pair = _PAIR_BEATS[division]
    lines = np.array([0, before / 2, before, (1 + before) / 2, 1]) * pair
    moves = np.array([0, (after - before) / 2, after - before, (after - before) / 2, 0]) * pair
    whole = math.floor(pattern.bar_beats / pair) * pair  # in 7/8 the last eighth of a bar is in no pair
    moved = []
    for hit in pattern:
        in_bar = hit.beat % pattern.bar_beats
        swings = in_bar < whole and voices(class_of_key(hit.key))
        by = float(moves[np.abs(lines - in_bar % pair).argmin()]) if swings else 0.0
        moved.append(replace(hit, beat=hit.beat + by))
    return pattern.with_hits(moved)


def leaned(pattern: Pattern, late_ms: Callable[[Hit, int], float]) -> Pattern:
    """Each hit later by `late_ms(hit, sixteenth of its bar)`."""
    steps = round(pattern.bar_beats * 4)
    return pattern.with_hits(
        replace(hit, beat=hit.beat + late_ms(hit, math.floor(hit.beat * 4 + 0.5) % steps) / pattern.beat_ms)
        for hit in pattern
    )


def drifted(pattern: Pattern, sd_ms: float, rng: np.random.Generator) -> Pattern:
    """Timing that wanders with a standard deviation of `sd_ms`: the kit together, each limb a little by itself."""
    if sd_ms == 0 or not len(pattern):
        return pattern
    late_ms = sd_ms * _wander(pattern, rng)
    return pattern.with_hits(
        replace(hit, beat=hit.beat + float(late) / pattern.beat_ms) for hit, late in zip(pattern, late_ms, strict=True)
    )


def _wander(pattern: Pattern, rng: np.random.Generator) -> Floats:
    """(hits,): a value of variance 1 for each hit, that of the kit and that of its limb."""
    places = np.floor(np.array([hit.beat for hit in pattern]) * 4 + 0.5).astype(int)
    clock = _ar1(int(places.max() - places.min()) + 1, _KIT_MEMORY, rng)[places - places.min()]
    own = np.zeros(len(pattern))
    limbs = np.array([_LIMBS.get(class_of_key(hit.key) or "", 3) for hit in pattern])
    for limb in range(4):
        mine = np.flatnonzero(limbs == limb)
        own[mine] = _ar1(len(mine), _LIMB_MEMORY, rng)
    together: Floats = math.sqrt(_KIT_SHARE) * clock + math.sqrt(1 - _KIT_SHARE) * own
    return together


def _ar1(count: int, memory: float, rng: np.random.Generator) -> Floats:
    noise = rng.standard_normal(count)
    values = np.zeros(count)
    for index in range(count):
        values[index] = memory * values[index - 1] + math.sqrt(1 - memory**2) * noise[index] if index else noise[0]
    return values


def velocities_spread(pattern: Pattern, variation: float, rng: np.random.Generator) -> Pattern:
    """Velocities times 1 plus what wanders with a standard deviation of `variation`."""
    if variation == 0 or not len(pattern):
        return pattern
    louder = 1 + variation * _wander(pattern, rng)
    return _with_velocities(pattern, [hit.velocity * more for hit, more in zip(pattern, louder, strict=True)])


def accented(pattern: Pattern, amount: float) -> Pattern:
    """Hits between the beats softer, the weaker their sixteenth, by `amount` (0-1)."""
    weights = [_ACCENTS[math.floor(hit.beat * 4 + 0.5) % 4] for hit in pattern]
    louder = [hit.velocity * (1 - amount * (1 - weight)) for hit, weight in zip(pattern, weights, strict=True)]
    return _with_velocities(pattern, louder) if amount else pattern


def _with_velocities(pattern: Pattern, velocities: Iterable[float]) -> Pattern:
    return pattern.with_hits(
        replace(hit, velocity=int(np.clip(round(velocity), 1, 127)))
        for hit, velocity in zip(pattern, velocities, strict=True)
    )


def free_ghost_places(pattern: Pattern) -> list[int]:
    """Sixteenths of the pattern, from 0, where a ghost note fits: weak ones that no hand drum has, nor the next."""
    steps = round(pattern.beats * 4)
    hands = {math.floor(hit.beat * 4 + 0.5) for hit in pattern if _LIMBS.get(class_of_key(hit.key) or "", 3) == 3}
    return [place for place in range(steps) if place % 2 and place not in hands and place + 1 not in hands]


def ghosted(pattern: Pattern, chance: float, rng: np.random.Generator) -> Pattern:
    """With a ghost note by `chance` on each of `free_ghost_places`; velocities 18-42."""
    places = free_ghost_places(pattern)
    drawn, velocities = rng.random(len(places)), rng.integers(18, GHOST_VELOCITY - 2, len(places))
    ghosts = [
        Hit(place / 4, key_of_class("snare"), int(velocity))
        for place, velocity, draw in zip(places, velocities, drawn, strict=True)
        if draw < chance
    ]
    return pattern.with_hits([*pattern, *ghosts]) if ghosts else pattern


def flammed(pattern: Pattern, chance: float, rng: np.random.Generator) -> Pattern:
    """With a grace note 28 ms ahead of loud snares, by `chance`, where nothing is struck so shortly before."""
    ahead = _FLAM_MS / pattern.beat_ms
    graces = []
    snares = [hit for hit in pattern if class_of_key(hit.key) == "snare"]
    for before, hit in zip([None, *snares], snares, strict=False):
        is_free = before is None or hit.beat - before.beat > 3 * ahead
        if rng.random() < chance and is_free and hit.velocity >= 80:
            graces.append(Hit(hit.beat - ahead, hit.key, max(1, round(hit.velocity * 0.45))))
    return pattern.with_hits([*pattern, *graces]) if graces else pattern


def rolled(
    pattern: Pattern, chance: float, divisions: tuple[int, ...], rng: np.random.Generator, ramp: float = 0.4
) -> Pattern:
    """Closed hi-hats of half a beat or a beat split into `divisions` of a beat, by `chance` for each beat; velocities
    rise or fall along a roll by the share `ramp`. Beats without hi-hats, and with open ones, stay."""
    key = key_of_class("hihat_closed")
    hits = list(pattern)
    for beat in range(math.floor(pattern.beats)):
        draw, division, long, rising = rng.random(), divisions[rng.integers(len(divisions))], rng.random(), rng.random()
        begin = beat + (0.0 if long < 0.3 else 0.5)
        inside = [hit for hit in hits if begin - 1 / 16 <= hit.beat < beat + 1 - 1 / 16]
        closed = [hit for hit in inside if class_of_key(hit.key) == "hihat_closed"]
        if draw >= chance or not closed or any(class_of_key(hit.key) == "hihat_open" for hit in inside):
            continue
        count = round((beat + 1 - begin) * division)
        loud = max(hit.velocity for hit in closed)
        levels = np.linspace(1 - ramp, 1, count) if rising < 0.6 else np.linspace(1, 1 - ramp, count)
        gone = {id(hit) for hit in closed}
        hits = [hit for hit in hits if id(hit) not in gone]
        hits += [
            Hit(begin + index / division, key, max(1, round(loud * level)))
            for index, level in enumerate(levels.tolist())
        ]
    return pattern.with_hits(hits)
