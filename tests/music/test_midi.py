"""Notes through MIDI files and back."""

from pathlib import Path

import mido
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutti.errors import InputAccessError, InputNotFoundError, MidiError
from tutti.music.midi import read_midi, to_midi_bytes, to_mido, write_midi
from tutti.music.notes import Note, Notes, PedalEvent

SHARED = Path(__file__).parents[3] / "shared" / "data"

pitches = st.integers(0, 127)
grid = st.integers(0, 400)


@st.composite
def apart(draw: st.DrawFn) -> Notes:
    """Notes of which no two of one pitch and instrument touch: MIDI cannot tell such notes apart."""
    keys = draw(st.lists(st.tuples(pitches, st.integers(0, 127), st.booleans(), grid), unique=True, max_size=40))
    notes = []
    for pitch, program, is_drum, slot in keys:
        onset_s = slot * 0.3 + draw(st.floats(0, 0.1))
        velocity = draw(st.integers(1, 127))
        notes.append(
            Note(onset_s, onset_s + draw(st.floats(0.01, 0.15)), pitch, velocity, 0 if is_drum else program, is_drum)
        )
    unique = {(n.pitch, n.program, n.is_drum, int(n.onset_s / 0.3)): n for n in notes}
    return Notes.of(unique.values())


@settings(deadline=None)
@given(apart())
def test_notes_come_back_from_midi_within_a_third_of_a_millisecond(notes: Notes) -> None:
    key = lambda n: (n.is_drum, n.program, n.pitch, n.onset_s)  # noqa: E731
    before, after = sorted(notes, key=key), sorted(read_midi(to_midi_bytes(notes)), key=key)
    assert [key(n)[:3] for n in after] == [key(n)[:3] for n in before]
    assert [n.velocity for n in after] == [n.velocity for n in before]
    for one, other in zip(before, after, strict=True):
        assert other.onset_s == pytest.approx(one.onset_s, abs=3e-4)
        assert other.offset_s == pytest.approx(one.offset_s, abs=6e-4)


def test_more_instruments_than_channels_keep_their_programs() -> None:
    notes = Notes.of([Note(0.1 * p, 0.1 * p + 0.05, 60, 90, p) for p in range(128)] + [Note(0, 0.1, 36, 99, 0, True)])
    assert [(n.program, n.is_drum) for n in read_midi(to_midi_bytes(notes))] == [(n.program, n.is_drum) for n in notes]
    channels = {m.channel for track in to_mido(notes).tracks for m in track if m.type == "note_on" and m.note == 60}
    assert 9 not in channels  # drums alone are on channel 10


def test_the_pedal_comes_back_for_every_instrument() -> None:
    pedal = (PedalEvent(0.5, 1.5, 0), PedalEvent(2.0, 3.0, 5), PedalEvent(4.0, 5.0, 5))
    again = read_midi(to_midi_bytes(Notes.of([Note(0, 6, 60, 80), Note(0, 6, 60, 80, 5)], pedal))).pedal
    assert [(round(e.onset_s, 3), round(e.offset_s, 3), e.program) for e in again] == [
        (e.onset_s, e.offset_s, e.program) for e in pedal
    ]


def test_every_tempo_of_a_file_counts(tmp_path: Path) -> None:
    file = mido.MidiFile(type=1, ticks_per_beat=480)
    tempi, notes = file.add_track(), file.add_track()
    tempi.append(mido.MetaMessage("set_tempo", tempo=500_000))
    tempi.append(mido.MetaMessage("set_tempo", tempo=1_000_000, time=480))
    notes.append(mido.Message("note_on", note=60, velocity=64, time=960))
    notes.append(mido.Message("note_off", note=60, time=480))
    file.save(tmp_path / "two.mid")
    (note,) = read_midi(tmp_path / "two.mid")
    assert (note.onset_s, note.offset_s) == (pytest.approx(1.5), pytest.approx(2.5))


def test_a_pedal_never_let_go_ends_with_the_file_and_half_pedals_count_from_64(tmp_path: Path) -> None:
    file = mido.MidiFile(ticks_per_beat=480)
    track = file.add_track()
    for value, time in ((63, 0), (64, 480), (90, 480), (10, 480), (127, 480)):
        track.append(mido.Message("control_change", control=64, value=value, time=time))
    track.append(mido.Message("note_on", note=60, velocity=64))
    track.append(mido.Message("note_off", note=60, time=480))
    file.save(tmp_path / "pedal.mid")
    assert [(e.onset_s, e.offset_s) for e in read_midi(tmp_path / "pedal.mid").pedal] == [(0.5, 1.5), (2.0, 2.5)]


@pytest.mark.parametrize("cut", range(0, 75, 5))
def test_a_broken_file_is_a_midi_error_or_its_whole_notes(cut: int) -> None:
    data = to_midi_bytes(Notes.of([Note(0, 1, 60, 80), Note(1, 2, 62, 80)]))
    assert len(data) > cut
    try:
        assert len(read_midi(data[:cut])) <= 2
    except MidiError as error:
        assert "not a readable MIDI file" in str(error)  # noqa: PT017 - either way is right, another error is not


def test_missing_and_forbidden_files_say_so(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="Check the path"):
        read_midi(tmp_path / "no.mid")
    with pytest.raises(InputAccessError):
        read_midi(tmp_path)


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    data = to_midi_bytes(Notes.of([Note(0, 10, 60, 80)]))
    monkeypatch.setattr("tutti.music.midi.MAX_DURATION_S", 5.0)
    with pytest.raises(MidiError, match="lasts 10 s"):
        read_midi(data)
    monkeypatch.setattr("tutti.music.midi.MAX_FILE_BYTES", 10)
    with pytest.raises(MidiError, match="bytes of MIDI"):
        read_midi(data)


def test_write_midi_writes_what_read_midi_reads(tmp_path: Path) -> None:
    write_midi(Notes.of([Note(0.25, 0.5, 60, 80, 40)]), tmp_path / "a.mid")
    (note,) = read_midi(tmp_path / "a.mid")
    assert (note.onset_s, note.program) == (0.25, 40)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the reference data in ../shared/data")
@pytest.mark.parametrize("folder", ["percepiano/midi", "gmd/midi/drummer1/session1"])
def test_real_files_have_the_times_that_mido_computes(folder: str) -> None:
    for path in sorted((SHARED / folder).glob("*.mid"))[:40:8]:
        now, expected = 0.0, []
        for message in mido.MidiFile(path):
            now += message.time
            if message.type == "note_on" and message.velocity:
                expected.append(now)
        heard = [note.onset_s for note in read_midi(path)]
        assert len(expected) - 2 <= len(heard) <= len(expected)  # a few are struck and let go at once
        if len(heard) == len(expected):
            assert heard == pytest.approx(sorted(expected), abs=1e-3)
