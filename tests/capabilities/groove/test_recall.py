"""What each token is told of those before it."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.capabilities.groove.small_groove import take
from tutti.capabilities.groove.recall import ASKED, CONTEXT, RECALLED, Recall, contexts_of
from tutti.capabilities.groove.tokens import Conditions, tokenizer

T = tokenizer()
V = T.vocab


def told(*names: str) -> list[tuple[int, ...]]:
    """Place, recalled, usual and drift."""
    return [context[:7] for context in contexts_of([V[name] for name in names])]


NO_SHIFT, NO_VELOCITY = 88, 34
"""The middle of their kinds: no drift."""


def test_the_last_bar_is_recalled_by_place_and_voice() -> None:
    kick, early, late, later = V["PitchDrum_36"], V["MicroTiming_4"], V["MicroTiming_8"], V["MicroTiming_16"]
    loud, less, soft = V["Velocity_99"], V["Velocity_91"], V["Velocity_51"]
    first, second, bar = V["Position_0"], V["Position_480"], V["Bar_None"]
    one = ("Bar_None", "Position_0", "PitchDrum_36", "MicroTiming_4", "Velocity_99")
    one += ("Position_480", "PitchDrum_36", "MicroTiming_8", "Velocity_51")
    two = ("Bar_None", "Position_0", "PitchDrum_36", "MicroTiming_16", "Velocity_91", *one[5:])
    assert told("BOS_None", *one, *two, "EOS_None") == [
        (0, 0, 0, 0, 0, 0, 0),  # BOS
        (0, 0, 0, 0, 0, 0, 0),  # Bar: nothing came after one
        (1, 0, 0, 0, 0, 0, 0),  # Position 0
        (1, 0, 0, 0, 0, 0, NO_SHIFT),
        (1, 0, 0, 0, 0, 0, NO_VELOCITY),
        (1, 0, 0, 0, 0, 0, 0),
        (5, 0, 0, kick, 0, 0, 0),  # Position 480: nothing here yet, but the kick on this part of the beat
        (5, 0, 0, early, early, 0, NO_SHIFT),  # the kick: the shift of any voice, and its own, the last time
        (5, 0, 0, loud, loud, 0, NO_VELOCITY),
        (5, 0, 0, second, 0, 0, 0),
        (0, first, 0, 0, 0, 0, 0),  # the next Bar: it began with Position 0 the last time
        (1, kick, 0, kick, 0, 0, 0),
        (1, early, 0, late, late, early, NO_SHIFT),  # usual here is what came once
        (1, loud, 0, soft, soft, loud, NO_VELOCITY),
        (1, second, 0, bar, 0, 0, 0),
        (5, kick, 0, kick, 0, 0, 0),
        # 3 classes later than usual and 2 softer: 0.3 of it drifts, three times as fine
        (5, late, 0, later, later, late, round(88.5 + 3 * 0.3 * 3)),
        (5, soft, 0, less, less, soft, round(33.5 - 3 * 0.3 * 2)),
        (5, bar, 0, second, 0, 0, 0),
        (5, 0, 0, 0, 0, 0, 0),  # EOS
    ]


def test_every_other_bar_is_recalled_apart() -> None:
    kick, snare, bar = V["PitchDrum_36"], V["PitchDrum_38"], V["Bar_None"]
    bars = [
        ("Bar_None", f"Position_{at}", f"PitchDrum_{key}", "MicroTiming_0", f"Velocity_{loud}")
        for at, key, loud in ((0, 36, 99), (480, 38, 51), (0, 36, 91), (480, 38, 43))
    ]
    context = told(*(name for one in bars for name in one))
    first, second = V["Position_0"], V["Position_480"]
    assert [line[1:3] for line in context[::5]] == [(0, 0), (first, 0), (second, first), (first, second)]
    assert [line[1:3] for line in context[1::5]] == [(0, 0), (0, 0), (kick, kick), (snare, snare)]
    assert [line[1:3] for line in context[4::5]] == [(0, 0), (0, 0), (bar, bar), (bar, bar)]


def test_a_voice_that_takes_turns_is_recalled_by_turns() -> None:
    names: list[str] = []
    for loud in (99, 51, 91):
        names += ["Bar_None", "Position_0", "PitchDrum_36", "MicroTiming_0", f"Velocity_{loud}"]
    before = [line[1:3] for line in told(*names)[3::5]]
    assert before == [(0, 0), (V["Velocity_99"], 0), (V["Velocity_51"], V["Velocity_99"])]


def test_conditions_are_told_to_all_that_comes_after_them() -> None:
    asked = Conditions("funk", "fast", 100, "4/4", 2, 20)
    ids = T.encode(take("funk").cut(0, 2), asked)
    context = contexts_of(ids)
    assert tuple(T.tokens[token].partition("_")[0] for token in T.header(asked)[1:]) == ASKED
    assert [list(line[1 + RECALLED :]) for line in context[:7]] == [
        [*ids[1 : at + 1], *[0] * (6 - at)] for at in range(7)
    ]
    assert {line[1 + RECALLED :] for line in context[6:]} == {tuple(ids[1:7])}


def test_the_usual_is_the_mean_of_voice_and_place_and_drift_wears_off() -> None:
    names: list[str] = []
    for shift in (0, 0, 40, 0):
        names += ["Bar_None", "Position_0", "PitchDrum_36", f"MicroTiming_{shift}", "Velocity_99"]
        names += ["PitchDrum_42", "MicroTiming_0", "Velocity_99"]
    context = told(*names)
    kicks, hats = context[2::8], context[5::8]
    zero = V["MicroTiming_0"]
    assert [usual for *_, usual, _ in kicks] == [0, zero, zero, round(zero + 10 / 3)]
    assert [usual for *_, usual, _ in hats] == [0, zero, zero, zero]
    drift = [0, 0, 0.3 * 10, 0.7 * (0.7 * 3) - 0.3 * 10 / 3]  # after the kick of each bar; its hat has none of its own
    assert [late for *_, late in hats] == [round(88.5 + 3 * one) for one in drift]


def test_what_is_to_be_expected_is_between_the_middle_and_the_usual_and_goes_with_the_drift() -> None:
    names: list[str] = []
    for shift, loud in ((20, 99), (20, 99), (40, 91), (20, 99)):
        names += ["Bar_None", "Position_0", "PitchDrum_36", f"MicroTiming_{shift}", f"Velocity_{loud}"]
    context = contexts_of([V[name] for name in names])
    shifts, velocities = context[2::5], context[3::5]
    at = 1 + RECALLED - 2
    usual, loud = V["MicroTiming_20"], V["Velocity_99"]
    # the third is 5 classes later and 2 softer than usual; .3 of it drifts
    calm = round(88.5 + 0.62 * (usual - 88.5)), round(33.5 + 0.87 * (loud - 33.5))
    drifting = (
        round(88.5 + 0.62 * (usual + 5 / 3 - 88.5) + 0.6 * 0.3 * 5),
        round(33.5 + 0.87 * (loud - 2 / 3 - 33.5) - 0.2 * 0.3 * 2),
    )
    assert [line[at] for line in shifts] == [0, calm[0], calm[0], drifting[0]]
    assert [line[at] for line in velocities] == [0, calm[1], calm[1], drifting[1]]


def test_a_voice_that_strays_is_told_how_far() -> None:
    names: list[str] = []
    for bar, shift in enumerate((0, 0, 12, 0)):
        names += ["Bar_None", "Position_0", "PitchDrum_36", f"MicroTiming_{shift}", "Velocity_99"]
        names += ["PitchDrum_42", f"MicroTiming_{4 * (bar % 2)}", "Velocity_99"]
    context = contexts_of([V[name] for name in names])
    kicks, hats = ([line[RECALLED] for line in context[first::8]] for first in (2, 5))
    first = T.span("MicroTiming")[0]
    # the kick: no news at first, then 0 off, then 3 classes
    assert kicks == [0, 0, first, round(first + 4 * math.sqrt(0.1 * 9))]
    assert hats == [0, 0, first + 4, round(first + 4 * math.sqrt(0.9 + 0.1 * 0.25))]


def test_a_fill_is_recalled_apart_from_bars() -> None:
    context = told("Bar_None", "Position_0", "Bar_None", "Fill_None", "Position_480", "Bar_None", "Fill_None")
    assert context[2][1] == V["Position_0"]
    assert context[3][1] == 0
    assert context[5][1] == V["Fill_None"]
    assert context[6][1] == V["Position_480"]


@pytest.mark.parametrize("name", ["funk", "6-8", "jazz"])
def test_one_by_one_is_the_same_as_all_at_once(name: str) -> None:
    ids = T.encode(take(name).cut(0, 3), Conditions(metre="6/8" if name == "6-8" else "4/4"))
    whole = contexts_of(ids)
    recall = Recall()
    assert [recall.advance(token) for token in ids] == whole
    assert contexts_of(ids[:100]) == whole[:100]
    assert {len(context) for context in whole} == {CONTEXT}


@given(st.lists(st.integers(0, len(T) - 1), max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_tokens_are_told_of_places_and_tokens_there_are(ids: list[int]) -> None:
    for context in contexts_of(ids):
        step, *recalled, usual, drift, expected, stray = context[: 1 + RECALLED]
        assert all(token == 0 or token in ids for token in context[1 + RECALLED :])
        assert 0 <= step <= 24
        assert all(token == 0 or token in ids for token in recalled)
        for token in (usual, drift, expected, stray):
            assert token == 0 or T.tokens[token].startswith(("MicroTiming_", "Velocity_"))
