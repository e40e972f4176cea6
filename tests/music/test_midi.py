"""Notes through MIDI files and back."""

import io
import struct
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import mido
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mido import Message, MetaMessage

from tutti.errors import InputAccessError, InputNotFoundError, MidiError, OptionError
from tutti.music.instruments import program_name
from tutti.music.midi import read_midi, read_midi_score, to_midi_bytes, to_mido, write_midi
from tutti.music.notes import Note, Notes, PedalEvent
from tutti.music.timing import BeatGrid, Tempo, TempoMap, TimeSignature

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the reference data in ../shared/data")


def file_of(*tracks: Iterable[Message | MetaMessage], kind: int = 1, ticks_per_beat: int = 480) -> bytes:
    """A MIDI file that mido writes from messages whose `time` is the wait before them."""
    file = mido.MidiFile(type=kind, ticks_per_beat=ticks_per_beat)
    for messages in tracks:
        file.add_track().extend(messages)
    data = io.BytesIO()
    file.save(file=data)
    return data.getvalue()


def struck(pitch: int, wait: int, length: int, channel: int = 0) -> list[Message]:
    return [
        Message("note_on", note=pitch, velocity=64, time=wait, channel=channel),
        Message("note_off", note=pitch, time=length, channel=channel),
    ]


def tempo(bpm: float, wait: int = 0) -> MetaMessage:
    return MetaMessage("set_tempo", tempo=round(60e6 / bpm), time=wait)


def by_mido(file: mido.MidiFile) -> list[tuple[float, float, int, int]]:
    """Onset, offset, pitch, velocity of every note that sounds, as mido plays the file: first struck, first let go."""
    now, notes = 0.0, []
    sounding: dict[tuple[int, int], list[tuple[float, int]]] = {}
    for message in file:
        now += message.time
        if message.type == "note_on" and message.velocity:
            sounding.setdefault((message.channel, message.note), []).append((now, message.velocity))
        elif message.type in ("note_on", "note_off") and sounding.get((message.channel, message.note)):
            onset_s, velocity = sounding[message.channel, message.note].pop(0)
            if now > onset_s:
                notes.append((onset_s, now, message.note, velocity))
    return sorted(notes)


def assert_same_notes(notes: Iterable[Note], expected: list[tuple[float, float, int, int]], abs_s: float) -> None:
    found = sorted((n.onset_s, n.offset_s, n.pitch, n.velocity) for n in notes)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one[:2] == pytest.approx(other[:2], abs=abs_s)
        assert one[2:] == other[2:]


# --- there and back


@st.composite
def apart(draw: st.DrawFn) -> Notes:
    """Notes of which no two of one pitch and instrument touch: MIDI cannot tell such notes apart."""
    pitch, program, slot = st.integers(0, 127), st.integers(0, 127), st.integers(0, 400)
    keys = draw(st.lists(st.tuples(pitch, program, st.booleans(), slot), max_size=40, unique_by=lambda k: (k[0], k[3])))
    notes = []
    for pitch_, program_, is_drum, slot_ in keys:
        onset_s = slot_ * 0.3 + draw(st.floats(0, 0.1))
        offset_s = onset_s + draw(st.floats(0.01, 0.15))
        notes.append(Note(onset_s, offset_s, pitch_, draw(st.integers(1, 127)), program_, is_drum))
    return Notes.of(notes)


tempo_maps = st.builds(
    lambda first, later: TempoMap((Tempo(0, first), *(Tempo(beat, bpm) for beat, bpm in sorted(later.items())))),
    st.floats(10, 400),
    st.dictionaries(st.floats(0.5, 300), st.floats(10, 400), max_size=6),
)


@settings(deadline=None)
@given(apart(), st.none() | tempo_maps)
def test_notes_come_back_within_a_third_of_a_millisecond_at_any_tempo(notes: Notes, tempo_map: TempoMap | None) -> None:
    key = lambda n: (n.is_drum, n.program, n.pitch, n.onset_s)  # noqa: E731
    before, after = sorted(notes, key=key), sorted(read_midi(to_midi_bytes(notes, tempo_map)), key=key)
    assert [(*key(n)[:3], n.velocity) for n in after] == [(*key(n)[:3], n.velocity) for n in before]
    for one, other in zip(before, after, strict=True):
        assert other.onset_s == pytest.approx(one.onset_s, abs=3e-4)
        assert other.offset_s == pytest.approx(one.offset_s, abs=3e-4)


@settings(deadline=None)
@given(st.from_type(Notes))
def test_no_onset_is_lost_whatever_overlaps(notes: Notes) -> None:
    key = lambda n: (n.is_drum, n.program, n.pitch, n.velocity)  # noqa: E731
    again = read_midi(to_midi_bytes(notes))
    assert Counter(map(key, again)) == Counter(map(key, notes))
    for times in ("onset_s", "offset_s"):
        before, after = (sorted(getattr(n, times) for n in some) for some in (notes, again))
        assert after == pytest.approx(before, abs=6e-4)  # a whole tick where a note would have had no length


@settings(deadline=None)
@given(st.from_type(Notes))
def test_a_file_that_was_read_is_written_the_same_again(notes: Notes) -> None:
    once = read_midi(to_midi_bytes(notes))
    assert read_midi(to_midi_bytes(once)) == once


@settings(deadline=None)
@given(st.from_type(Notes), st.none() | tempo_maps)
def test_mido_s_object_is_the_written_file(notes: Notes, tempo_map: TempoMap | None) -> None:
    data = io.BytesIO()
    to_mido(notes, tempo_map).save(file=data)
    assert read_midi_score(data.getvalue()) == read_midi_score(to_midi_bytes(notes, tempo_map))
    assert_same_notes(
        read_midi(to_midi_bytes(Notes.of(notes.drums), tempo_map)),  # alone on its channel
        by_mido(to_mido(Notes.of(notes.drums), tempo_map)),
        abs_s=1e-6,
    )


def test_hours_into_a_file_times_are_as_good_as_at_its_start() -> None:
    notes = Notes.of([Note(12 * 3600 + i / 7, 12 * 3600 + i / 7 + 0.1, 60, 80) for i in range(20)])
    for one, other in zip(notes, read_midi(to_midi_bytes(notes)), strict=True):
        assert other.onset_s == pytest.approx(one.onset_s, abs=2.7e-4)


def test_more_instruments_than_channels_keep_their_programs() -> None:
    notes = Notes.of([Note(0.1 * p, 0.1 * p + 0.05, 60, 90, p) for p in range(128)] + [Note(0, 0.1, 36, 99, 0, True)])
    assert [(n.program, n.is_drum) for n in read_midi(to_midi_bytes(notes))] == [(n.program, n.is_drum) for n in notes]


def test_instruments_have_tracks_with_names_and_drums_have_channel_10() -> None:
    file = to_mido(Notes.of([Note(0, 1, 60, 90, p) for p in range(128)] + [Note(0, 1, 36, 99, 0, True)]))
    channels = {
        track.name: {message.channel for message in track if not message.is_meta} for track in file.tracks if track.name
    }
    assert channels.pop("Drums") == {9}
    assert set(channels) == {program_name(program) for program in range(128)}
    assert set().union(*channels.values()) == set(range(16)) - {9}
    for track in file.tracks:
        kinds = [message.type for message in track if not message.is_meta]
        assert kinds[:1] == ["program_change"] * bool(kinds)


def test_silence_is_a_file_too() -> None:
    assert read_midi(to_midi_bytes(Notes())) == Notes()


def test_write_midi_writes_what_read_midi_reads(tmp_path: Path) -> None:
    tempo_map = TempoMap.constant(100)
    write_midi(Notes.of([Note(0.25, 0.5, 60, 80, 40)]), tmp_path / "a.mid", tempo_map, [TimeSignature(3, 4)])
    score = read_midi_score(tmp_path / "a.mid")
    assert score.notes == read_midi(str(tmp_path / "a.mid"))
    assert [(note.onset_s, note.program) for note in score.notes] == [(pytest.approx(0.25, abs=3e-4), 40)]
    assert (score.tempo_map, score.time_signatures) == (tempo_map, (TimeSignature(3, 4),))


# --- pedal


def test_the_pedal_comes_back_for_every_instrument() -> None:
    pedal = (PedalEvent(0.5, 1.5, 0), PedalEvent(2.0, 3.0, 5), PedalEvent(3.0, 4.0, 5), PedalEvent(4.25, 5.0, 5))
    again = read_midi(to_midi_bytes(Notes.of([Note(0, 6, 60, 80), Note(0, 6, 60, 80, 5)], pedal))).pedal
    assert again == pedal


def test_spans_of_a_pedal_that_overlap_become_one() -> None:
    pedal = [PedalEvent(0, 2), PedalEvent(1, 3), PedalEvent(1.5, 2.5), PedalEvent(4, 5), PedalEvent(1, 2, 7)]
    notes = [Note(0, 6, 60, 80), Note(0, 6, 60, 80, 7)]
    again = read_midi(to_midi_bytes(Notes.of(notes, pedal))).pedal
    assert again == (PedalEvent(0, 3), PedalEvent(1, 2, 7), PedalEvent(4, 5))


def test_a_pedal_never_let_go_ends_with_the_file_and_half_pedals_count_from_64() -> None:
    steps = ((63, 0), (64, 480), (90, 480), (10, 480), (127, 480))
    data = file_of(
        [Message("control_change", control=64, value=value, time=wait) for value, wait in steps]
        + [Message("control_change", control=67, value=127)]
        + struck(60, 0, 480)
    )
    assert [(e.onset_s, e.offset_s) for e in read_midi(data).pedal] == [(0.5, 1.5), (2.0, 2.5)]


def test_a_drummer_s_pedal_is_no_pianist_s() -> None:
    data = file_of(
        [Message("control_change", channel=9, control=64, value=127), *struck(36, 0, 480, channel=9)], struck(60, 0, 9)
    )
    assert read_midi(data).pedal == ()


def test_a_pedal_that_is_let_go_at_once_is_none() -> None:
    touched = [Message("control_change", control=64, value=value) for value in (127, 0)]
    assert read_midi(file_of(touched + struck(60, 0, 480))).pedal == ()


# --- tempi and bars


def test_every_tempo_of_a_file_counts() -> None:
    data = file_of([tempo(120), tempo(60, wait=480)], struck(60, 960, 480))
    (note,) = read_midi(data)
    assert (note.onset_s, note.offset_s) == (1.5, 2.5)


@pytest.mark.parametrize(
    ("tracks", "kind"),
    [
        ([[*struck(60, 960, 480), *struck(62, 0, 480)]], 0),
        ([[tempo(90, wait=700)], struck(60, 960, 480)], 1),  # 120 bpm until then
        ([[tempo(90), tempo(40, wait=100), tempo(250, wait=860)], struck(60, 100, 2000) + struck(61, 7, 1)], 1),
        ([[tempo(90), tempo(40)], struck(60, 100, 2000)], 1),  # two at once
        ([[tempo(90)], [*struck(60, 100, 2000), tempo(33, wait=50), *struck(60, 100, 200)]], 1),  # not in track 1
        ([[tempo(77.7), *struck(60, 33, 44), tempo(133.3, wait=9), *struck(60, 0, 1), *struck(36, 5, 5, 9)]], 0),
    ],
)
def test_times_are_those_that_mido_computes(tracks: list[list[Message]], kind: int) -> None:
    data = file_of(*tracks, kind=kind)
    assert_same_notes(read_midi(data), by_mido(mido.MidiFile(file=io.BytesIO(data))), abs_s=1e-9)


def test_a_file_s_tempi_and_time_signatures_are_told() -> None:
    bars = [MetaMessage("time_signature", numerator=3, denominator=8, time=720)]
    score = read_midi_score(file_of([tempo(120), tempo(60, wait=480)], bars, struck(60, 960, 480)))
    assert score.tempo_map == TempoMap((Tempo(0, 120), Tempo(1, 60)))
    assert score.time_signatures == (TimeSignature(3, 8, 1.5),)
    assert read_midi_score(file_of(struck(60, 0, 1))).time_signatures == ()


def test_a_time_signature_that_is_none_is_left_out() -> None:
    data = bytearray(file_of([MetaMessage("time_signature", numerator=3, denominator=4)], struck(60, 0, 480)))
    data[data.index(b"\xff\x58\x04") + 3] = 0  # 0/4
    score = read_midi_score(bytes(data))
    assert (len(score.notes), score.time_signatures) == (1, ())


@settings(deadline=None)
@given(tempo_maps)
def test_tempi_come_back_to_the_microsecond(tempo_map: TempoMap) -> None:
    again = read_midi_score(to_midi_bytes(Notes.of([Note(0, 1, 60, 80)]), tempo_map)).tempo_map
    assert len(again.tempi) <= len(tempo_map.tempi)  # fewer where two begin within a tick
    for tempo_ in again.tempi:
        (first, *_) = sorted(tempo_map.tempi, key=lambda t: (abs(t.beat - tempo_.beat), -t.beat))
        assert tempo_.beat == pytest.approx(first.beat, abs=1 / 960)
        if len(again.tempi) == len(tempo_map.tempi):
            assert 60e6 / tempo_.bpm == pytest.approx(60e6 / first.bpm, abs=0.51)


def test_heard_beats_become_the_beats_and_bars_of_the_file() -> None:
    grid = BeatGrid((0.7, 1.3, 1.8, 2.5, 3.0, 3.6), (3, 1, 2, 3, 1, 2))
    notes = Notes.of([Note(time_s, time_s + 0.1, 60, 80) for time_s in grid.times_s])
    score = read_midi_score(to_midi_bytes(notes, grid.tempo_map(), grid.time_signatures()))
    beats = [score.tempo_map.to_beat(note.onset_s) for note in score.notes]
    assert beats == pytest.approx([1, 2, 3, 4, 5, 6], abs=2e-3)
    assert score.time_signatures == (TimeSignature(2, 4, 0.0), TimeSignature(3, 4, 2.0))


def test_a_slow_tempo_is_counted_in_finer_ticks() -> None:
    notes = Notes.of([Note(i / 7, i / 7 + 0.1, 60, 80) for i in range(70)])
    data = to_midi_bytes(notes, TempoMap.constant(5))
    assert mido.MidiFile(file=io.BytesIO(data)).ticks_per_beat == 23040
    for one, other in zip(notes, read_midi(data), strict=True):
        assert other.onset_s == pytest.approx(one.onset_s, abs=2.7e-4)


def test_one_slow_moment_of_a_long_piece_does_not_make_it_unwritable() -> None:
    tempo_map = TempoMap((Tempo(0, 120), Tempo(10, 4), Tempo(11, 120)))
    notes = Notes.of([Note(20_000, 20_001, 60, 80)])
    (note,) = read_midi(to_midi_bytes(notes, tempo_map))
    assert note.onset_s == pytest.approx(20_000, abs=1e-3)


@pytest.mark.parametrize(
    ("notes", "tempo_map", "message"),
    [
        (Notes.of([Note(0, 1, 60, 80)]), TempoMap.constant(3), "cannot hold a tempo of 3 bpm"),
        (Notes.of([Note(0, 1, 60, 80)]), TempoMap.constant(1e9), "cannot hold a tempo of 1000000000"),
        (Notes.of([Note(1e5, 2e5, 60, 80)]), None, "at most 86400 s; these notes end at 200000 s"),
        (Notes.of([Note(0, 1, 60, 80)], [PedalEvent(0, 1e5)]), None, "at most 86400 s"),
        (Notes.of([Note(0, 1, 60, 80)]), TempoMap((Tempo(0, 90), Tempo(1e9, 90))), "at most 268435455 beats"),
    ],
)
def test_what_midi_cannot_hold_is_refused(notes: Notes, tempo_map: TempoMap | None, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        to_midi_bytes(notes, tempo_map)


# --- files of strangers


def test_overlapping_notes_of_one_pitch_end_first_struck_first() -> None:
    on = Message("note_on", note=60, velocity=50)
    again = Message("note_on", note=60, velocity=70, time=240)
    data = file_of([on, again, *(Message("note_off", note=60, time=480),) * 2])
    assert [(n.onset_s, n.offset_s, n.velocity) for n in read_midi(data)] == [(0.0, 0.75, 50), (0.25, 1.25, 70)]


def test_notes_without_length_or_end_are_left_out() -> None:
    data = file_of(
        [*struck(60, 10, 0), *struck(61, 0, 10), Message("note_on", note=62, velocity=64), *struck(63, 5, 5)]
    )
    assert [note.pitch for note in read_midi(data)] == [61, 63]


def test_type_0_with_changing_programs_is_taken_apart() -> None:
    track = [Message("program_change", program=5), *struck(60, 0, 480), Message("program_change", program=40)]
    data = file_of([*track, *struck(62, 0, 480), *struck(36, 0, 480, channel=9)], kind=0)
    assert [(n.pitch, n.program, n.is_drum) for n in read_midi(data)] == [
        (60, 5, False),
        (62, 40, False),
        (36, 0, True),
    ]


def test_the_kit_of_drums_is_passed_over() -> None:
    (note,) = read_midi(file_of([Message("program_change", channel=9, program=25), *struck(36, 0, 480, channel=9)]))
    assert (note.program, note.is_drum) == (0, True)


@pytest.mark.parametrize("cut", range(0, 75, 5))
def test_a_broken_file_is_a_midi_error_or_its_whole_notes(cut: int) -> None:
    data = to_midi_bytes(Notes.of([Note(0, 1, 60, 80), Note(1, 2, 62, 80)]))
    assert len(data) > cut
    try:
        assert len(read_midi(data[:cut])) <= 2
    except MidiError as error:
        assert "not a readable MIDI file" in str(error)  # noqa: PT017 - either way is right, another error is not


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_bytes_are_notes_or_a_midi_error(data: st.DataObject) -> None:
    whole = bytearray(to_midi_bytes(Notes.of([Note(0, 1, 60, 80), Note(1, 2, 62, 80, 5)], [PedalEvent(0, 1)])))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert len(read_midi(bytes(whole))) <= len(whole)
    except MidiError as error:
        assert str(error).startswith("The data ")  # noqa: PT017 - either way is right, another error is not


WITH_HEADER = bytearray(file_of([tempo(120)], struck(60, 0, 480)))


def test_a_tempo_of_no_time_is_broken() -> None:
    data = bytes(WITH_HEADER).replace(b"\xff\x51\x03\x07\xa1\x20", b"\xff\x51\x03\0\0\0")
    with pytest.raises(MidiError, match=r"The data is broken: A tempo needs .* Open and save it again"):
        read_midi(data)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (8, b"\0\2", "type 2 MIDI file"),
        (12, b"\0\0", "no ticks per quarter note"),
        (12, b"\xe7\x28", "not a readable MIDI file"),  # frames of film
        (0, b"RIFF", "not a readable MIDI file"),
    ],
)
def test_a_header_that_cannot_be_read(at: int, value: bytes, message: str) -> None:
    data = WITH_HEADER.copy()
    data[at : at + len(value)] = value
    with pytest.raises(MidiError, match=message):
        read_midi(bytes(data))


def test_ticks_beyond_count_are_an_error_not_another_time() -> None:
    longest_wait = b"\xff\xff\xff\x7f"
    track = (longest_wait + b"\x90\x3c\x40" + b"\x01\x80\x3c\x40") * 9 + b"\0\xff\x2f\0"
    data = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 32767) + b"MTrk" + struct.pack(">I", len(track)) + track
    with pytest.raises(MidiError, match="longer than ticks can count"):
        read_midi(data)


def test_missing_and_forbidden_files_say_so(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="Check the path"):
        read_midi(tmp_path / "no.mid")
    with pytest.raises(InputNotFoundError, match="Check the path"):
        read_midi("nul\0.mid")
    with pytest.raises(InputAccessError, match="Give a file you may read"):
        read_midi(tmp_path)


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("MAX_DURATION_S", 5.0, "lasts 10 s; more than 5 s are not read"),
        ("MAX_EVENTS", 1, "holds 2 notes and controls; more than 1 are not read"),
        ("MAX_FILE_BYTES", 10, "more than 10 bytes of MIDI"),
    ],
)
def test_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, value: float, message: str) -> None:
    write_midi(Notes.of([Note(0, 10, 60, 80)]), tmp_path / "a.mid")
    monkeypatch.setattr(f"tutti.music.midi.{limit}", value)
    for source in (tmp_path / "a.mid", (tmp_path / "a.mid").read_bytes()):
        with pytest.raises(MidiError, match=message):
            read_midi(source)


@needs_shared
@pytest.mark.parametrize("folder", ["percepiano/midi", "percepiano/score_midi", "gmd/midi"])
def test_real_files_have_the_times_that_mido_computes(folder: str) -> None:
    paths = sorted((SHARED / folder).rglob("*.mid"), key=lambda path: path.stat().st_size)
    chosen = paths[:: len(paths) // 12]
    assert len(chosen) >= 12
    for path in chosen:
        assert_same_notes(read_midi(path), by_mido(mido.MidiFile(path)), abs_s=1e-6)


@needs_shared
def test_real_files_with_several_tempi_have_the_times_that_mido_computes() -> None:
    several = [
        path for path in sorted((SHARED / "percepiano" / "score_midi").glob("*.mid"))
        if len(read_midi_score(path).tempo_map.tempi) > 1
    ]  # fmt: skip
    assert several
    for path in several:
        assert_same_notes(read_midi(path), by_mido(mido.MidiFile(path)), abs_s=1e-6)


def test_a_steady_tempo_is_written_once_however_many_beats_it_was_given_for() -> None:
    steady = TempoMap(
        tuple(Tempo(float(beat), bpm) for beat, bpm in enumerate([120.0, 120.0, 120.0, 90.0, 90.0, 120.0]))
    )
    file = to_mido(Notes.of([Note(0.5, 3.0, 60, 80)]), steady)
    tempi = [message.tempo for track in file.tracks for message in track if message.type == "set_tempo"]
    assert tempi == [500_000, 666_667, 500_000]
