import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.capabilities.transcription.codec import CODECS, EOS, PAD
from tutti.capabilities.transcription.note_tokens import segment_tokens
from tutti.capabilities.transcription.token_order import TokenOrder
from tutti.music.notes import Note

CODEC = CODECS["mt3"]
NOTES = st.lists(
    st.builds(
        lambda onset, length, pitch, program, is_drum: Note(
            onset / 20, (onset + length) / 20, pitch, 80, 0 if is_drum else program, is_drum
        ),
        st.integers(0, 60), st.integers(1, 40), st.integers(40, 46), st.integers(0, 3), st.booleans(),
    ),
    max_size=40,
)  # fmt: skip


@given(NOTES)
def test_whatever_a_segment_has_is_allowed(notes: list[Note]) -> None:
    """As long as a pitch is not struck again within 50 ms."""
    order = TokenOrder(CODEC, 204)
    for token in segment_tokens(notes, 50, 254, CODEC):
        assert order.allows(token)
        order.push(token)


def after(*events: tuple[str, int]) -> TokenOrder:
    order = TokenOrder(CODEC, 204)
    for kind, value in events:
        token = CODEC.encode(kind, value)  # type: ignore[arg-type]
        assert order.allows(token), (kind, value)
        order.push(token)
    return order


BEGUN = (("tie", 0), ("shift", 20), ("program", 5), ("velocity", 1), ("pitch", 60))


@pytest.mark.parametrize(
    ("events", "kind", "value"),
    [
        (BEGUN, "pitch", 60),  # again
        (BEGUN, "pitch", 59),  # lower ones come first
        (BEGUN, "shift", 20),  # time rises
        (BEGUN, "shift", 10),
        (BEGUN, "shift", 204),  # behind the segment's end
        ((*BEGUN, ("shift", 24)), "pitch", 60),  # struck again too soon
        (BEGUN, "velocity", 1),  # holds already
        (BEGUN, "velocity", 0),  # ends come before onsets
        (BEGUN, "program", 4),  # lower ones come first
        (BEGUN, "tie", 0),
        ((*BEGUN, ("drum", 38)), "pitch", 72),  # drums come last
        ((*BEGUN, ("drum", 38)), "drum", 36),
        ((*BEGUN, ("shift", 30), ("velocity", 0)), "pitch", 61),  # ends what does not sound
        ((*BEGUN, ("shift", 30), ("velocity", 0)), "drum", 38),
        ((*BEGUN, ("shift", 30), ("velocity", 0)), "velocity", 1),  # without having ended anything
        ((*BEGUN, ("program", 6)), "program", 7),
        ((("tie", 0),), "pitch", 60),  # of no program
        ((("program", 3), ("pitch", 50)), "pitch", 50),
        ((("program", 3), ("pitch", 50)), "program", 2),
        ((), "shift", 3),  # ties come first
    ],
)
def test_what_no_segment_can_have_is_not(events: tuple[tuple[str, int], ...], kind: str, value: int) -> None:
    assert not after(*events).allows(CODEC.encode(kind, value))  # type: ignore[arg-type]


def test_a_pitch_may_be_struck_again_after_50_ms() -> None:
    assert after(*BEGUN, ("shift", 25)).allows(CODEC.encode("pitch", 60))
    assert after(*BEGUN, ("shift", 22), ("program", 6)).allows(CODEC.encode("pitch", 60))  # another instrument


def test_a_segment_may_end_anywhere_and_what_is_no_event_may_come_nowhere() -> None:
    for order in (after(), after(*BEGUN)):
        assert order.allows(EOS)
        assert not order.allows(PAD)
        assert not order.allows(CODEC.size - 1)


def test_every_end_that_is_allowed_ends_something() -> None:
    order = after(*BEGUN, ("shift", 30), ("velocity", 0))
    allowed = [pitch for pitch in np.arange(128) if order.allows(CODEC.encode("pitch", int(pitch)))]
    assert allowed == [60]
