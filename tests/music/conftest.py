"""What hypothesis draws for `st.from_type(Notes)`: any piece, hours long, notes overlapping as they like."""

from hypothesis import strategies as st

from tutti.music.notes import Note, Notes, PedalEvent


@st.composite
def _note(draw: st.DrawFn) -> Note:
    onset_s = draw(st.floats(0, 20_000))
    offset_s = onset_s + draw(st.floats(0.001, 100))
    pitch, velocity = draw(st.integers(0, 127)), draw(st.integers(1, 127))
    return Note(onset_s, offset_s, pitch, velocity, draw(st.integers(0, 127)), draw(st.booleans()))


@st.composite
def _pedal_event(draw: st.DrawFn) -> PedalEvent:
    onset_s = draw(st.floats(0, 20_000))
    return PedalEvent(onset_s, onset_s + draw(st.floats(0.001, 100)), draw(st.integers(0, 127)))


st.register_type_strategy(Note, _note())
st.register_type_strategy(PedalEvent, _pedal_event())
st.register_type_strategy(
    Notes, st.builds(Notes.of, st.lists(_note(), max_size=20), st.lists(_pedal_event(), max_size=5))
)
