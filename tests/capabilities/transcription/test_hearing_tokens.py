"""Many recordings through one batch, with a network that says what was in each segment's samples."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tutti.audio.reading import Source
from tutti.capabilities.transcription.codec import EOS
from tutti.capabilities.transcription.hearing_tokens import Ended, Event, Failed, NewNotes, Settings, hear
from tutti.capabilities.transcription.models import mr_mt3, mt3, ymt3_plus
from tutti.capabilities.transcription.models.adapter import Adapter
from tutti.errors import Cancelled
from tutti.music.notes import Note

RATE = 16_000


class Announcer:
    """A backend whose states are a pitch, read off the loudest band, and whose tokens are that note, alone.

    A segment of pitch p takes p steps longer, so that rows finish out of order. `remembered` keeps what memory got.
    """

    device, precision = "cpu", "fp32"

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.remembered: list[list[int]] = []
        self.widest = 0

    def encode(self, frames: NDArray[np.float32]) -> Sequence[int]:
        pitches = frames[:, :40].mean(axis=1).argmax(axis=1) % 100 + 10
        return [int(pitch) + channel for pitch in pitches for channel in range(self.adapter.channels)]

    def remember(self, states: int, previous: NDArray[np.int64]) -> int:
        self.remembered.append(previous.tolist())
        return states

    def stepper(self, rows: int, banned: NDArray[np.int64]) -> _Script:  # noqa: ARG002
        return _Script(self, rows)

    def text(self, pitch: int) -> list[int]:
        encode = self.adapter.codec.encode
        note = [encode("program", 40), encode("velocity", 1), encode("pitch", pitch)]
        end = [encode("shift", 50), encode("velocity", 0), encode("pitch", pitch)]
        return [encode("tie"), encode("shift", 10), *note, *end, *[encode("shift", 60)] * (pitch // 4), EOS]


class _Script:
    def __init__(self, announcer: Announcer, rows: int) -> None:
        self.announcer, self.rows, self._texts = announcer, rows, [[EOS]] * rows

    def place(self, first: int, states: Sequence[Any]) -> None:
        for row, pitch in enumerate(states, start=first):
            self._texts[row] = self.announcer.text(pitch)

    def move(self, source: int, target: int) -> None:
        self._texts[target] = self._texts[source]

    def step(
        self, tokens: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        self.announcer.widest = max(self.announcer.widest, len(tokens))
        said = [self._texts[row][position] for row, position in enumerate(positions.tolist())]
        ids = np.array([[token, 2] for token in said], np.int64)
        return ids, np.full((len(said), 2), np.log(0.5), np.float32)


def song(seed: int, seconds: float) -> tuple[NDArray[np.float32], int]:
    """A tone every two seconds, each of its own pitch."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    pitches_hz = rng.uniform(300, 6000, size=int(seconds) + 2)[(times // 2.048).astype(int)]
    return (0.3 * np.sin(2 * np.pi * pitches_hz * times)).astype(np.float32), RATE


def settings(adapter: Adapter, rows: int) -> Settings:
    return Settings(adapter, "greedy", frozenset(), rows)


def notes_of(events: Iterable[Event]) -> dict[int, list[Note]]:
    notes: dict[int, list[Note]] = {}
    for event in events:
        if isinstance(event, NewNotes):
            notes.setdefault(event.number, []).extend(note.to_note() for note in event.notes)
    return {number: sorted(each) for number, each in notes.items()}


SONGS = [song(seed, seconds) for seed, seconds in enumerate((9.0, 0.4, 2.048, 21.3, 5.1))]


MANY_CHANNELS = replace(ymt3_plus.ADAPTER, channels=13, max_tokens=256)


@pytest.mark.parametrize("adapter", [mt3.ADAPTER, replace(mr_mt3.ADAPTER, memory_rows=8), MANY_CHANNELS])
@pytest.mark.parametrize("rows", [13, 16, 40])
def test_a_recording_is_heard_alike_alone_and_among_others(adapter: Adapter, rows: int) -> None:
    together = list(hear(SONGS, Announcer(adapter), settings(adapter, rows)))
    assert sorted(event.number for event in together if isinstance(event, Ended)) == [0, 1, 2, 3, 4]
    notes = notes_of(together)
    for number, each in enumerate(SONGS):
        alone = list(hear([each], Announcer(adapter), settings(adapter, rows)))
        assert notes[number] == notes_of(alone)[0]
        ended = next(event for event in together if isinstance(event, Ended) and event.number == number)
        assert ended.duration_s == pytest.approx(len(each[0]) / RATE)
        segments = -(-len(each[0]) // adapter.front_end.segment_samples)
        assert ended.report.rows == segments * adapter.channels


def test_notes_are_where_the_segments_are() -> None:
    (notes,) = notes_of(hear([song(3, 7.0)], Announcer(mt3.ADAPTER), settings(mt3.ADAPTER, 3))).values()
    assert [note.onset_s for note in notes] == pytest.approx([0.10, 2.14, 4.19, 6.24])
    assert [note.duration_s for note in notes] == pytest.approx([0.4] * 4)
    assert {note.program for note in notes} == {40}


def test_the_batch_stays_full_across_recordings() -> None:
    announcer = Announcer(mt3.ADAPTER)
    list(hear([song(seed, 1.5) for seed in range(9)], announcer, settings(mt3.ADAPTER, 6)))
    assert announcer.widest == 6


def test_memory_takes_one_segment_of_a_song_at_a_time_and_many_songs_at_once() -> None:
    adapter = replace(mr_mt3.ADAPTER, memory_rows=8)
    announcer = Announcer(adapter)
    list(hear(SONGS[:2], announcer, settings(adapter, 8)))
    assert announcer.widest == 2
    tie, pad = adapter.codec.encode("tie"), 0
    begun = [each for each in announcer.remembered if each[:3] == [tie, EOS, pad]]
    assert len(begun) == 2  # one for each song
    assert all(len(each) == 1024 for each in announcer.remembered)
    rest = [each for each in announcer.remembered if each not in begun]
    assert len(rest) == 4  # 9 s are five segments
    for each in rest:
        said = each[1 : each.index(EOS) + 1]
        assert each[0] == pad
        assert said == announcer.text(adapter.codec.decode(said[4]).value)  # type: ignore[union-attr]


def test_notes_come_while_the_recording_is_still_read() -> None:
    audio = io.BytesIO()
    soundfile.write(audio, song(1, 120)[0], RATE, format="WAV")
    seen = []
    for event in hear([audio.getvalue()], Announcer(mt3.ADAPTER), settings(mt3.ADAPTER, 4)):
        if isinstance(event, NewNotes):
            seen.append((event.written_s, len(event.notes)))
    assert len(seen) > 20
    written = [at for at, _ in seen]
    assert written == sorted(written)
    assert written[0] < 10
    assert written[-1] == pytest.approx(120)


def test_a_recording_that_cannot_be_read_does_not_stop_the_others(tmp_path: Any) -> None:
    whole, broken = tmp_path / "whole.wav", tmp_path / "broken.flac"
    soundfile.write(whole, song(1, 9)[0], RATE)
    soundfile.write(broken, song(2, 60)[0], RATE)
    broken.write_bytes(broken.read_bytes()[:200_000])
    sources: list[Source] = [tmp_path / "gone.wav", whole, broken, b"no audio", whole]
    events = list(hear(sources, Announcer(mt3.ADAPTER), settings(mt3.ADAPTER, 4)))
    failed = {event.number: event.error for event in events if isinstance(event, Failed)}
    ended = {event.number for event in events if isinstance(event, Ended)}
    assert set(failed) | ended == {0, 1, 2, 3, 4}
    assert {0, 3} <= set(failed)
    assert {1, 4} <= ended
    assert set(failed).isdisjoint(ended)
    notes = notes_of(events)
    assert notes[1] == notes[4]


def test_the_extra_frame_of_whole_segments_is_another_segment() -> None:
    adapter = mt3.ADAPTER
    exact = song(0, 2 * 2.048)
    for kept, expected in ((frozenset[Any](), 2), (frozenset({"extra_frame"}), 3)):
        events = list(hear([exact], Announcer(adapter), replace(settings(adapter, 4), kept=kept)))
        assert events[-1].report.rows == expected  # type: ignore[union-attr]


def test_it_can_be_stopped() -> None:
    steps = []

    def check() -> None:
        steps.append(1)
        if len(steps) == 5:
            raise Cancelled("Stopped on request; nothing was written.")

    with pytest.raises(Cancelled):
        list(hear([song(0, 30)], Announcer(mt3.ADAPTER), settings(mt3.ADAPTER, 4), check))


def test_nothing_to_hear() -> None:
    assert list(hear([], Announcer(mt3.ADAPTER), settings(mt3.ADAPTER, 4))) == []
