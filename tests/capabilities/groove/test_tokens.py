"""Patterns to tokens and back, and what the grammar lets a network write."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.capabilities.groove.small_groove import HAT, KICK, SNARE, TAKES, pattern_of, rock
from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.capabilities.groove.prompts import read_pattern
from tutti.capabilities.groove.tokens import METRES, VOICES, Conditions, Grammar, Wanted, tokenizer
from tutti.errors import OptionError
from tutti.music.drum_kit import class_of_key, key_of_class
from tutti.music.timing import TimeSignature

T = tokenizer()
KIT = [key for key in range(128) if class_of_key(key)]
GRID = 1 / 120
"""Beats between places that tokens have."""

Cells = dict[tuple[int, int], int]
"""Velocity by place, in GRID, and key of the voice."""


def cells(pattern: Pattern) -> Cells:
    """The loudest stroke of each place and voice."""
    found: Cells = {}
    for hit in pattern:
        if name := class_of_key(hit.key):
            place = math.floor(hit.beat / GRID + 0.5), key_of_class(name)
            found[place] = max(hit.velocity, found.get(place, 0))
    return found


def name_of(metre: TimeSignature) -> str:
    return f"{metre.numerator}/{metre.denominator}"


@st.composite
def patterns(draw: Callable[[st.SearchStrategy], object]) -> Pattern:  # type: ignore[type-arg]
    over, under = map(int, draw(st.sampled_from(METRES)).split("/"))  # type: ignore[attr-defined]
    metre, bars = TimeSignature(over, under), draw(st.integers(1, 3))
    # what is nearer to the bar line at the end than half a sixteenth belongs to a bar that is not there
    beats = st.floats(-0.125, bars * metre.quarters_per_bar - 0.13)  # type: ignore[operator]
    hits = st.builds(Hit, beats, st.sampled_from(KIT), st.integers(1, 127))
    return Pattern(tuple(draw(st.lists(hits, max_size=40))), 120, bars, metre)  # type: ignore[arg-type]


def check_round_trip(pattern: Pattern) -> None:
    ids = T.encode(pattern)
    back = T.decode(ids, pattern.bpm, pattern.metre)
    assert T.encode(back) == ids
    assert (back.bars, back.metre, back.bpm) == (pattern.bars, pattern.metre, pattern.bpm)
    before, after = cells(pattern), cells(back)
    assert before.keys() == after.keys()
    assert len(back) == len(after)
    assert all(abs(before[place] - after[place]) <= 2 for place in before)
    for hit in back:
        assert abs(hit.beat - round(hit.beat / GRID) * GRID) < 1e-9
    for hit in pattern:
        own = [other.beat for other in back if class_of_key(other.key) == class_of_key(hit.key)]
        assert min(abs(beat - hit.beat) for beat in own) <= 1 / 240 + 1e-9


@given(patterns())
@settings(max_examples=150, deadline=None)
def test_every_stroke_comes_back_on_its_place_in_the_grid(pattern: Pattern) -> None:
    check_round_trip(pattern)


@pytest.mark.parametrize("path", TAKES, ids=lambda path: path.stem)
def test_takes_come_back_too_with_the_edges_of_the_hats(path: Path) -> None:
    file = mido.MidiFile(path)
    hits, now = [], 0
    for message in mido.merge_tracks(file.tracks):
        now += message.time
        if message.type == "note_on" and message.velocity:
            hits.append(Hit(now / file.ticks_per_beat, message.note, message.velocity))
    read, _ = read_pattern(path)
    raw = Pattern(tuple(hit for hit in hits if hit.beat < read.beats - 0.13), read.bpm, read.bars, read.metre)
    assert len(raw) >= len(hits) - 8
    assert bool({22, 26} & {hit.key for hit in raw}) == ("latin" not in path.name)
    check_round_trip(raw)
    decoded = Counter(hit.key for hit in T.decode(T.encode(raw), raw.bpm, raw.metre))
    for key, edge in ((42, 22), (46, 26)):
        assert decoded[key] == len({math.floor(hit.beat / GRID + 0.5) for hit in raw if hit.key in (key, edge)})


def test_the_vocabulary_never_changes() -> None:
    assert len(T) == 234
    digest = hashlib.sha256("\n".join(T.tokens).encode()).hexdigest()
    assert digest == "00e7e5aaf20be795b864629d65303ea020f2651fcf976f3e7cb01b591686e5c2"
    pinned = {"PAD_None": 0, "BOS_None": 1, "EOS_None": 2, "Bar_None": 3, "PitchDrum_36": 4, "Velocity_127": 49}
    pinned |= {"Position_0": 50, "MicroTiming_0": 89, "Fill_None": 104, "Style_rock": 124, "TimeSig_4/4": 201}
    assert {name: T.vocab[name] for name in pinned} == pinned
    assert T.span("MicroTiming") == (74, 104)


def test_a_bar_is_written_as_its_docstring_says() -> None:
    pattern = pattern_of((0.26, HAT, 51), (0.0, SNARE, 99), (-0.01, KICK, 100), (2.0, 22, 3))
    names = ["Bar_None", "Position_0", "PitchDrum_36", "MicroTiming_-4", "Velocity_99", "PitchDrum_38", "MicroTiming_0"]
    names += ["Velocity_99", "Position_120", "PitchDrum_42", "MicroTiming_4", "Velocity_51", "Position_960"]
    names += ["PitchDrum_42", "MicroTiming_0", "Velocity_3"]
    assert [T.tokens[token] for (bar,) in [T.bar_tokens(pattern)] for token in bar] == names


def test_the_header_says_what_is_asked() -> None:
    ids = T.header(Conditions("jazz", "swing", 120.0, "6/8", 16, 17.0))
    expected = ["BOS_None", "Style_jazz", "Substyle_swing", "Tempo_15", "TimeSig_6/8", "Bars_16", "Density_2"]
    assert [T.tokens[token] for token in ids] == expected
    ids = T.header(Conditions(bars=17))
    expected = ["BOS_None", "Style_None", "Substyle_None", "Tempo_None", "TimeSig_4/4", "Bars_None", "Density_None"]
    assert [T.tokens[token] for token in ids] == expected
    slow, fast = T.header(Conditions(bpm=1.0))[3], T.header(Conditions(bpm=1000.0))[3]
    assert (T.tokens[slow], T.tokens[fast]) == ("Tempo_0", "Tempo_27")


@pytest.mark.parametrize(
    ("conditions", "says"),
    [
        (Conditions(style="polka"), "no style 'polka'. It knows: afrobeat"),
        (Conditions(substyle="polka"), "no substyle 'polka'"),
        (Conditions(metre="13/8"), "no bars of 13/8. It knows: 2/4"),
        (Conditions(bars=0), "at least one bar"),
        (Conditions(bpm=0.0), "tempo above 0"),
        (Conditions(bpm=math.nan), "tempo above 0"),
    ],
)
def test_a_header_of_what_there_is_not_is_refused(conditions: Conditions, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        T.header(conditions)


@pytest.mark.parametrize(("ids", "says"), [([-1], "no token -1"), ([234], "ids are 0-233"), ([1, 2], "hold no bar")])
def test_what_are_no_tokens_of_a_pattern_is_refused(ids: list[int], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        T.decode(ids, 120)


def test_what_comes_later_and_what_is_unfinished_is_left_out() -> None:
    now, later = rock(bars=1), pattern_of((0.0, HAT, 99))
    (bar,), (ahead,) = T.bar_tokens(now), T.bar_tokens(later)
    unfinished = [T.vocab["Position_1800"], T.vocab["PitchDrum_49"], T.vocab["MicroTiming_0"]]
    ids = [*T.header(Conditions()), T.future_id, *ahead, T.present_id, *bar, *unfinished]
    assert T.decode(ids, 100) == T.decode([*T.header(Conditions()), *bar], 100)
    assert T.decode(ids, 100).bars == 1


def test_percussion_has_no_tokens() -> None:
    assert T.bar_tokens(pattern_of((0.0, 54, 99), (1.0, 76, 99))) == [[T.bar_id]]


# the grammar


def walk(grammar: Grammar, choose: Callable[[Sequence[int]], int], limit: int = 20_000) -> list[int]:
    """Tokens to the end, each chosen of those that are allowed."""
    ids: list[int] = []
    while not grammar.is_done:
        allowed = np.flatnonzero(grammar.allowed()).tolist()
        assert allowed, f"nothing may follow {[T.tokens[token] for token in ids[-6:]]}"
        ids.append(choose(allowed))
        grammar.advance(ids[-1])
        assert len(ids) < limit
    return ids


def at_random(seed: int) -> Callable[[Sequence[int]], int]:
    rng = np.random.default_rng(seed)
    return lambda allowed: int(allowed[rng.integers(len(allowed))])


CHOICES = {"random": at_random(7), "first": lambda allowed: allowed[0], "last": lambda allowed: allowed[-1]}


def strokes(ids: Sequence[int], metre: str = "4/4") -> list[Wanted]:
    """All of `ids`, with shift and velocity."""
    return [stroke for stroke, _ in T.struck(T.decode(ids, 100, TimeSignature(*map(int, metre.split("/")))))]


def places(wanted: Sequence[Wanted]) -> Counter[tuple[int, int, int]]:
    return Counter((stroke.bar, stroke.step, stroke.voice) for stroke in wanted)


@given(seed=st.integers(0, 2**32), metre=st.sampled_from(METRES), bars=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_whatever_is_drawn_ends_and_is_well_formed(seed: int, metre: str, bars: int) -> None:
    ids = walk(Grammar(T, metre, bars), at_random(seed))
    assert ids.count(T.bar_id) == bars
    assert ids[-1] == T.eos_id
    pattern = T.decode(ids, 100, TimeSignature(*map(int, metre.split("/"))))
    assert [*(token for bar in T.bar_tokens(pattern) for token in bar), T.eos_id] == ids


@given(
    seed=st.integers(0, 2**32),
    played=patterns(),
    as_played=st.booleans(),
    data=st.data(),
)
@settings(max_examples=80, deadline=None)
def test_wanted_strokes_all_come_and_no_others_where_only_they_may(
    seed: int, played: Pattern, as_played: bool, data: st.DataObject
) -> None:
    metre = name_of(played.metre)
    steps = T.steps_of(metre)
    wanted = [stroke for stroke, _ in T.struck(played)]
    if not as_played:
        wanted = [replace(stroke, shift=None, velocity=None) for stroke in wanted]
    only = data.draw(st.dictionaries(st.integers(0, played.bars - 1), st.sampled_from([steps // 2, steps])))
    ids = walk(Grammar(T, metre, played.bars, wanted=wanted, only=only), at_random(seed))
    found = strokes(ids, metre)
    if as_played:
        assert set(wanted) <= set(found)
    else:
        assert not places(wanted) - places(found)
    for bar, until in only.items():
        held = [stroke for stroke in found if stroke.bar == bar and stroke.step < until]
        assert places(held) == places([stroke for stroke in wanted if stroke.bar == bar and stroke.step < until])
    again = T.decode(ids, 100, played.metre)
    assert [*(token for bar in T.bar_tokens(again) for token in bar), T.eos_id] == ids


@pytest.mark.parametrize("choice", CHOICES)
def test_flams_keep_room_for_their_second_stroke(choice: str) -> None:
    wanted = [Wanted(0, 4, 1), Wanted(0, 4, 1), Wanted(0, 4, 1), Wanted(0, 4, 3)]
    ids = walk(Grammar(T, "4/4", 1, wanted=wanted, only={0: 16}), CHOICES[choice])
    assert places(strokes(ids)) == {(0, 4, 1): 3, (0, 4, 3): 1}


@pytest.mark.parametrize("choice", ["random", "first"])
def test_half_a_bar_that_is_kept_leaves_the_other_free(choice: str) -> None:
    wanted = [stroke for stroke, _ in T.struck(pattern_of((0.0, KICK, 99), (1.0, SNARE, 99), (3.75, HAT, 99)))]
    ids = walk(Grammar(T, "4/4", 1, wanted=wanted, only={0: 8}), CHOICES[choice])
    found = strokes(ids)
    assert [stroke for stroke in found if stroke.step < 8] == wanted[:2]
    assert wanted[2] in found
    assert len(found) > 3


@given(seed=st.integers(0, 2**32), played=patterns(), reach=st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_strokes_with_a_reach_stay_within_it_and_in_their_order(seed: int, played: Pattern, reach: int) -> None:
    metre = name_of(played.metre)
    wanted = [replace(stroke, reach=reach, velocity=None) for stroke, _ in T.struck(played)]
    only = dict.fromkeys(range(played.bars), T.steps_of(metre))
    found = strokes(walk(Grammar(T, metre, played.bars, wanted=wanted, only=only), at_random(seed)), metre)
    assert [(one.bar, one.step, one.voice) for one in found] == [(one.bar, one.step, one.voice) for one in wanted]
    assert all(abs(one.shift - own.shift) <= reach for one, own in zip(found, wanted, strict=True))  # type: ignore[operator]


@given(
    seed=st.integers(0, 2**32),
    spare=st.dictionaries(st.tuples(st.integers(0, 1), st.integers(0, 3)), st.integers(1, 3)),
)
@settings(max_examples=60, deadline=None)
def test_no_more_strokes_come_unasked_than_are_spare(seed: int, spare: dict[tuple[int, int], int]) -> None:
    wanted = [Wanted(bar, step, 1, 0, 20) for bar in range(2) for step in (0, 5, 12)]
    found = strokes(walk(Grammar(T, "4/4", 2, wanted=wanted, spare=spare), at_random(seed)))
    fresh = Counter((one.bar, one.step // 4) for one in (Counter(found) - Counter(wanted)).elements())
    assert not fresh - Counter(spare)
    assert set(wanted) <= set(found)
    assert strokes(walk(Grammar(T, "4/4", 2, wanted=wanted, spare={}), at_random(seed))) == wanted


def test_hits_that_are_one_stroke_are_told_together() -> None:
    played = pattern_of((0.0, 38, 90), (0.0, 39, 110), (0.0, 36, 60), (1.5, 38, 80))
    strokes_and_hits = T.struck(played)
    assert [[hit.key for hit in hits] for _, hits in strokes_and_hits] == [[36], [38, 39], [38]]
    assert strokes_and_hits[1][0].velocity == T._velocity_class(110)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_only_the_voices_come_and_never_what_may_not_but_in_fills(seed: int) -> None:
    voices = [VOICES.index(key) for key in (KICK, SNARE, HAT)]
    never = [(step, voices[1]) for step in range(16) if step != 4] + [(99, voices[0])]
    ids = walk(Grammar(T, "4/4", 4, voices=voices, never=never, fills=[3]), at_random(seed))
    found = strokes(ids)
    assert {stroke.voice for stroke in found} <= set(voices)
    assert not [stroke for stroke in found if stroke.bar < 3 and (stroke.step, stroke.voice) in never]
    bars = [index for index, token in enumerate(ids) if token == T.bar_id]
    assert [ids[index + 1] == T.fill_id for index in bars] == [False, False, False, True]
    assert ids.count(T.fill_id) == 1


def test_fills_may_strike_what_is_barred_elsewhere() -> None:
    voice = VOICES.index(SNARE)
    never = [(step, voice) for step in range(16)]
    drawn = [strokes(walk(Grammar(T, "4/4", 2, never=never, fills=[1]), at_random(seed))) for seed in range(10)]
    assert {stroke.bar for found in drawn for stroke in found if stroke.voice == voice} == {1}


@pytest.mark.parametrize("path", TAKES, ids=lambda path: path.stem)
def test_what_drummers_played_is_allowed(path: Path) -> None:
    pattern, _ = read_pattern(path)
    grammar = Grammar(T, name_of(pattern.metre), pattern.bars)
    for token in [*(token for bar in T.bar_tokens(pattern) for token in bar), T.eos_id]:
        assert grammar.allowed()[token]
        grammar.advance(token)
    assert grammar.is_done
    assert np.flatnonzero(grammar.allowed()).tolist() == [T.pad_id]
