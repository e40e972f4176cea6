import io
from pathlib import Path

import mido
import pytest

from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.capabilities.groove.prompts import read_pattern
from tutti.errors import InputAccessError, InputNotFoundError, MidiError, OptionError
from tutti.music.timing import TimeSignature

PER_QUARTER = 480


def midi_of(
    hits: list[tuple[float, int]],
    *,
    bpm: list[tuple[float, float]] = [(0, 100)],  # noqa: B006
    metres: list[tuple[float, int, int]] = [],  # noqa: B006
    end: float | None = None,
    channel: int = 9,
    more: tuple[int, int] | None = None,
) -> bytes:
    """Notes (beat, key) of ten ticks; `more` is a channel and pitch besides."""
    events: list[tuple[int, int, mido.Message | mido.MetaMessage]] = []
    for beat, value in bpm:
        events.append((round(beat * PER_QUARTER), 0, mido.MetaMessage("set_tempo", tempo=round(60e6 / value))))
    for beat, over, under in metres:
        signature = mido.MetaMessage("time_signature", numerator=over, denominator=under)
        events.append((round(beat * PER_QUARTER), 0, signature))
    played = [(beat, key, channel) for beat, key in hits] + ([(0.0, more[1], more[0])] if more else [])
    for beat, key, own in played:
        tick = round(beat * PER_QUARTER)
        events.append((tick, 2, mido.Message("note_on", channel=own, note=key, velocity=90)))
        events.append((tick + 10, 1, mido.Message("note_off", channel=own, note=key)))
    track, now = mido.MidiTrack(), 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    if end is not None:
        track.append(mido.MetaMessage("end_of_track", time=round(end * PER_QUARTER) - now))
    file = mido.MidiFile(type=1, ticks_per_beat=PER_QUARTER)
    file.tracks.append(track)
    made = io.BytesIO()
    file.save(file=made)
    return made.getvalue()


def test_a_drum_track_is_read_from_bytes_files_and_paths(tmp_path: Path) -> None:
    data = midi_of([(0, 36), (1.01, 38), (4.5, 42)], metres=[(0, 4, 4)])
    (tmp_path / "a.mid").write_bytes(data)
    pattern, warnings = read_pattern(data)
    assert not warnings
    assert [(hit.beat, hit.key, hit.velocity) for hit in pattern] == [
        (0, 36, 90), (pytest.approx(485 / 480), 38, 90), (4.5, 42, 90),
    ]  # fmt: skip
    assert (pattern.bpm, pattern.bars, pattern.metre) == (100, 2, TimeSignature(4, 4))
    with (tmp_path / "a.mid").open("rb") as file:
        sources = [tmp_path / "a.mid", str(tmp_path / "a.mid"), file, io.BytesIO(data), pattern]
        assert all(read_pattern(source) == (pattern, ()) for source in sources)


def test_other_channels_are_passed_over() -> None:
    pattern, _ = read_pattern(midi_of([(0, 36)], more=(0, 60)))
    assert [hit.key for hit in pattern] == [36]


def test_roland_keys_become_general_midi() -> None:
    pattern, _ = read_pattern(midi_of([(0, 22), (1, 26), (2, 58)]))
    assert [hit.key for hit in pattern] == [42, 46, 43]


def test_a_drum_map_is_read() -> None:
    pattern, _ = read_pattern(midi_of([(0, 36), (1, 49), (2, 77)]), "addictive")
    assert [hit.key for hit in pattern] == [36, 42, 49]
    with pytest.raises(OptionError):
        read_pattern(midi_of([(0, 36)]), "none such")


@pytest.mark.parametrize(
    ("last", "end", "bars"),
    [
        (0.0, None, 1),
        (3.875, None, 1),
        (3.97, None, 2),  # the next bar's first stroke
        (3.97, 4, 1),  # but for a file that ends there
        (4.0, None, 2),
        (1.0, 16, 4),
        (1.0, 15.5, 1),
        (13.0, 16, 4),
    ],
)
def test_bars_are_those_played_in_or_the_file_s(last: float, end: float | None, bars: int) -> None:
    pattern, _ = read_pattern(midi_of([(0, 36), (last, 38)], end=end))
    assert pattern.bars == bars


def test_the_first_tempo_and_metre_count_and_beats_keep_their_place() -> None:
    data = midi_of([(0, 36), (6, 38)], bpm=[(0, 90), (4, 120)], metres=[(0, 3, 4), (3, 4, 4)])
    pattern, warnings = read_pattern(data)
    assert (pattern.bpm, pattern.metre, pattern.bars) == (90, TimeSignature(3, 4), 3)
    assert [hit.beat for hit in pattern] == [0, 6]
    assert len(warnings) == 2
    assert "first, 90 bpm" in warnings[0]
    assert "first, 3/4" in warnings[1]


def test_without_a_metre_it_is_four_four_and_repeats_are_no_changes() -> None:
    pattern, warnings = read_pattern(midi_of([(0, 36)], bpm=[(0, 90), (4, 90)]))
    assert pattern.metre == TimeSignature(4, 4)
    assert not warnings


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"MThd", "not a readable MIDI file"),
        (b"RIFF....WAVE", "not a readable MIDI file"),
        (b"{}", "not a groove that tutti wrote"),
        (midi_of([]), "holds no notes. Give"),
        (
            midi_of([(0, 36), (1, 38)], channel=3),
            "no notes on channel 10; its 2 notes look like drums .* Set their channel",
        ),
        (midi_of([(0, 90), (1, 38)], channel=3), "no notes on channel 10, which is the drums'"),
        (midi_of([(0, 36)], bpm=[(0, 10)]), "tempo is 10 bpm; a groove has 20-400"),
        (midi_of([(0, 36)], bpm=[(0, 500)]), "tempo is 500 bpm"),
        (midi_of([(0, 36), (44_000, 36)], bpm=[(0, 400)]), "11001 bars; a prompt has at most 10000"),
    ],
)
def test_what_cannot_be_used_says_what_to_do(data: bytes, says: str) -> None:
    with pytest.raises(MidiError, match=says):
        read_pattern(data)


def test_cut_files_are_refused_or_read_but_nothing_else() -> None:
    data = midi_of([(n / 2, 36) for n in range(16)], end=8)
    for length in range(len(data)):
        try:
            pattern, _ = read_pattern(data[:length])
        except MidiError:
            continue
        assert len(pattern) <= 16


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError):
        read_pattern(tmp_path / "none.mid")
    with pytest.raises(InputNotFoundError):
        read_pattern("a\0b")
    with pytest.raises(InputAccessError):
        read_pattern(tmp_path)


def test_a_pattern_is_itself() -> None:
    pattern = Pattern((Hit(0.0, 36, 90),), 90, 1)
    assert read_pattern(pattern)[0] is pattern
