"""What each token is told of those before it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.capabilities.groove.small_groove import take
from tutti.capabilities.groove.recall import CONTEXT, Recall, contexts_of
from tutti.capabilities.groove.tokens import Conditions, tokenizer

T = tokenizer()
V = T.vocab


def told(*names: str) -> list[tuple[int, ...]]:
    return [tuple(context) for context in contexts_of([V[name] for name in names])]


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
        (0, 0, 0, 0, 0, 0),  # BOS
        (0, 0, 0, 0, 0, 0),  # Bar: nothing came after one
        (1, 0, 0, 0, 0, 0),  # Position 0
        (1, 0, 0, 0, 0, NO_SHIFT),
        (1, 0, 0, 0, 0, NO_VELOCITY),
        (1, 0, 0, 0, 0, 0),
        (5, 0, kick, 0, 0, 0),  # Position 480: nothing here yet, but the kick on this part of the beat
        (5, 0, early, early, 0, NO_SHIFT),  # the kick: its shift the last time, and that of any voice
        (5, 0, loud, loud, 0, NO_VELOCITY),
        (5, 0, second, 0, 0, 0),
        (0, first, 0, 0, 0, 0),  # the next Bar: it began with Position 0 the last time
        (1, kick, kick, 0, 0, 0),
        (1, early, late, late, early, NO_SHIFT),  # usual here is what came once
        (1, loud, soft, soft, loud, NO_VELOCITY),
        (1, second, bar, 0, 0, 0),
        (5, kick, kick, 0, 0, 0),
        # 3 classes later than usual and 2 softer: 0.3 of it drifts, three times as fine
        (5, late, later, later, late, round(88.5 + 3 * 0.3 * 3)),
        (5, soft, less, less, soft, round(33.5 - 3 * 0.3 * 2)),
        (5, bar, second, 0, 0, 0),
        (5, 0, 0, 0, 0, 0),  # EOS
    ]


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
    for step, *recalled, usual, drift in contexts_of(ids):
        assert 0 <= step <= 24
        assert all(token == 0 or token in ids for token in recalled)
        for token in (usual, drift):
            assert token == 0 or T.tokens[token].startswith(("MicroTiming_", "Velocity_"))
