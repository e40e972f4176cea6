"""Tokens to notes by the rules of YourMT3, one decoder channel or several.

What upstream does to a whole song, sorting events, building notes, trimming overlaps, is done here behind a horizon: no
later segment has events before it. Facts from the published package; the code is our own.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import attrgetter

from tutti.capabilities.transcription.codec import EOS, PAD, UNK, Codec, Event
from tutti.capabilities.transcription.quirks import Quirk
from tutti.capabilities.transcription.token_rows import (
    MIN_NOTE_S,
    DecodingReport,
    Evidence,
    TokenNote,
    TokenRow,
    moment_s,
    start_time_s,
)

__all__ = ["Ymt3NoteBuilder"]

_VELOCITY = 100
_LONG_NOTE_S = 10.0
_Sound = tuple[int, int, bool]
"""pitch, program, whether a drum"""


@dataclass(frozen=True, slots=True)
class _Change:
    """A note begins or ends."""

    time_s: float
    pitch: int
    program: int
    is_drum: bool
    is_onset: bool
    confidence: float | None
    segment: int

    @property
    def order(self) -> tuple[float, bool, int, bool, int]:
        """Ends of a pitch come before its onsets."""
        return (self.time_s, self.is_drum, self.pitch, self.is_onset, self.program)


class Ymt3NoteBuilder:
    """See `token_notes.NoteBuilder`."""

    def __init__(self, codec: Codec, kept: Set[Quirk], channels: int = 1) -> None:
        self.kept = kept
        self.report = DecodingReport()
        self._channels = [_Channel(number, codec, kept, self.report) for number in range(channels)]
        self._segment = -1
        self._overlaps = _Overlaps()

    def push(self, rows: Sequence[TokenRow]) -> list[TokenNote]:
        self._segment += 1
        horizon_s = self._earliest_s(self._segment + 1)
        for channel, row in zip(self._channels, rows, strict=True):
            channel.read(row, self._segment)
            self._overlaps.add(channel.play(horizon_s))
        ringing = [change for channel in self._channels for change in channel.ringing.values()]
        return self._overlaps.take_final(ringing)

    def finish(self, end_s: float, /) -> list[TokenNote]:
        """What still rings lasts 10 ms or, with leftovers_cut mended, to `end_s`."""
        for channel in self._channels:
            self._overlaps.add(channel.play(math.inf))
            self._overlaps.add(channel.end_leftovers(end_s))
        return self._overlaps.take_final([])

    def _earliest_s(self, segment: int) -> float:
        """No event of this segment or a later one lies before."""
        return min(start_time_s(segment, "ymt3", self.kept), moment_s(segment, 0, "ymt3", self.kept))


class _Channel:
    """The notes of one decoder channel."""

    def __init__(self, number: int, codec: Codec, kept: Set[Quirk], report: DecodingReport) -> None:
        self.number, self.codec, self.kept, self.report = number, codec, kept, report
        self.ringing: dict[tuple[int, int], _Change] = {}
        """Onsets by (pitch, program)."""
        self._active: list[tuple[int, int]] = []
        """(program, pitch) that the last segment left open, as its own tokens have it."""
        self._waiting: list[_Change] = []

    def read(self, row: TokenRow, segment: int) -> None:
        reader = _RowReader(row, segment, self.codec)
        is_discarded = reader.read("tieless_segment_dropped" in self.kept)
        self.report.rows += 1
        self.report.unended_rows += EOS not in row.tokens
        self.report.discarded_rows += is_discarded
        self.report.invalid_events += reader.invalid_events
        start_s = start_time_s(segment, "ymt3", self.kept)
        cuts = [note for note in self._open() if note not in reader.ties]
        self._waiting += [_Change(start_s, pitch, program, False, False, None, segment) for program, pitch in cuts]
        self._waiting += reader.changes
        self._active = reader.active

    def _open(self) -> list[tuple[int, int]]:
        """(program, pitch) of the notes that end here unless the segment to come continues them.

        Upstream goes by the last segment's tokens; what began on the border then misses its end, and none comes later.
        """
        if "unrounded_cut" in self.kept:
            return self._active
        on_border = {(change.pitch, change.program) for change in self._waiting}
        return [(program, pitch) for pitch, program in self.ringing if (pitch, program) not in on_border]

    def play(self, horizon_s: float) -> list[TokenNote]:
        """The notes that end before `horizon_s`, which no later event precedes."""
        self._waiting.sort(key=attrgetter("order"))
        ready = bisect_left(self._waiting, horizon_s, key=attrgetter("time_s"))
        changes, self._waiting = self._waiting[:ready], self._waiting[ready:]
        return [note for change in changes if (note := self._play(change)) is not None]

    def _play(self, change: _Change) -> TokenNote | None:
        if change.is_drum:
            return self._note(change, change.time_s + MIN_NOTE_S)
        key = (change.pitch, change.program)
        onset = self.ringing.pop(key, None)
        if change.is_onset:
            self.ringing[key] = change
        elif onset is None:
            self.report.invalid_events += 1
        return None if onset is None else self._note(onset, change.time_s)

    def end_leftovers(self, end_s: float) -> list[TokenNote]:
        onsets, self.ringing = list(self.ringing.values()), {}
        if "leftovers_cut" not in self.kept:
            return [self._note(onset, end_s) for onset in onsets]
        self.report.cut_notes += len(onsets)
        return [self._note(onset, onset.time_s + MIN_NOTE_S) for onset in onsets]

    def _note(self, onset: _Change, offset_s: float) -> TokenNote:
        if "long_notes_cut" in self.kept and offset_s - onset.time_s > _LONG_NOTE_S:
            self.report.cut_notes += 1
            offset_s = onset.time_s + MIN_NOTE_S
        return TokenNote(
            onset_s=onset.time_s,
            offset_s=_lasting(onset.time_s, offset_s, onset.is_drum),
            pitch=onset.pitch,
            program=onset.program,
            is_drum=onset.is_drum,
            velocity=_VELOCITY,
            confidence=onset.confidence,
            segment=onset.segment,
            channel=self.number,
        )


class _RowReader:
    """What one row says: `ties`, the notes it continues; `changes`; `active`, what it leaves open at its end."""

    def __init__(self, row: TokenRow, segment: int, codec: Codec) -> None:
        self.tokens: list[int] = row.tokens.tolist()
        self.segment = segment
        self.invalid_events = 0
        self.ties: set[tuple[int, int]] = set()
        self.changes: list[_Change] = []
        self.active: list[tuple[int, int]] = []
        """(program, pitch); a note begun twice is there twice."""
        self._events = [codec.decode(token) for token in self.tokens]
        self._evidence = Evidence(row)
        self._steps = 0
        self._program: int | None = None
        self._is_onset: bool | None = None

    def read(self, tieless_is_dropped: bool) -> bool:
        """Read it all. True where the row has events and they were discarded, for want of a tie token."""
        kinds = [None if event is None else event.kind for event in self._events]
        first = next((index for index, kind in enumerate(kinds) if kind in ("tie", "shift")), None)
        if first is not None and kinds[first] == "tie":
            self._read_ties(self._events[:first])
            self._read_changes(first + 1)
        elif tieless_is_dropped:
            return any(kinds)
        else:
            self._read_changes(0)
        return False

    def _read_ties(self, events: Iterable[Event | None]) -> None:
        for event in events:
            if event is not None and event.kind == "program":
                self._program = event.value
            elif event is not None and event.kind == "pitch":
                if self._program is None:
                    self.invalid_events += 1
                else:
                    self.active.append((self._program, event.value))
        self.ties.update(self.active)

    def _read_changes(self, begin: int) -> None:
        for index in range(begin, len(self.tokens)):
            event, token = self._events[index], self.tokens[index]
            if token == EOS:
                return
            if event is not None:
                self.invalid_events += not self._apply(event, index)
            else:
                self.invalid_events += token not in (PAD, UNK)

    def _apply(self, event: Event, index: int) -> bool:
        """Whether the event makes sense where it stands."""
        match event.kind:
            case "shift":
                self._steps = event.value or self._steps
                return event.value > 0
            case "program":
                self._program = event.value
                self._evidence.hear(index)
            case "velocity":
                self._is_onset = event.value > 0
                self._evidence.hear(index)
            case "drum":
                self._change(event.value, 0, True, True, index)
            case "pitch":
                return self._pitch(event.value, index)
            case "tie":
                return False
        return True

    def _pitch(self, pitch: int, index: int) -> bool:
        if self._program is None or self._is_onset is None:
            return False
        note = (self._program, pitch)
        if self._is_onset:
            self.active.append(note)
        elif note in self.active:
            self.active.remove(note)
        else:
            return False
        self._change(pitch, self._program, False, self._is_onset, index)
        return True

    def _change(self, pitch: int, program: int, is_drum: bool, is_onset: bool, index: int) -> None:
        time_s = moment_s(self.segment, self._steps, "ymt3", frozenset())
        confidence = self._evidence.confidence(index)
        self.changes.append(_Change(time_s, pitch, program, is_drum, is_onset, confidence, self.segment))


class _Overlaps:
    """Lets no two notes of one pitch and program sound at once, be they of one channel or of several.

    A note ends where the next begins; of those that begin together the longest counts.
    """

    def __init__(self) -> None:
        self._waiting: dict[_Sound, list[TokenNote]] = {}
        self._passed: dict[_Sound, set[float]] = {}
        """Onsets of final notes that an earlier, unfinished one must end at."""

    def add(self, notes: Iterable[TokenNote]) -> None:
        for note in notes:
            self._waiting.setdefault((note.pitch, note.program, note.is_drum), []).append(note)

    def take_final(self, ringing: Iterable[_Change]) -> list[TokenNote]:
        """The notes that nothing can shorten any more.

        `ringing` are the onsets of notes that are still to be added. Later ones begin a step or more after all onsets
        so far, thus shorten none that has ended: one that ends behind the horizon lasts just that step.
        """
        onsets: dict[_Sound, set[float]] = {}
        for change in ringing:
            onsets.setdefault((change.pitch, change.program, False), set()).add(change.time_s)
        waiting, self._waiting = self._waiting, {}
        return [
            note for sound, notes in waiting.items() for note in self._settle(sound, notes, onsets.get(sound, set()))
        ]

    def _settle(self, sound: _Sound, notes: Iterable[TokenNote], ringing: set[float]) -> list[TokenNote]:
        longest = {note.onset_s: note for note in sorted(notes, key=attrgetter("offset_s"))}
        onsets = sorted(longest.keys() | ringing | self._passed.pop(sound, set()))
        final, rest = [], []
        for onset_s, next_s in pairwise([*onsets, math.inf]):
            note = longest.get(onset_s)
            if note is None:
                continue
            if onset_s in ringing:
                rest.append(note)
            else:
                offset_s = _lasting(onset_s, min(note.offset_s, next_s), note.is_drum)
                final.append(note if offset_s == note.offset_s else replace(note, offset_s=offset_s))
        if unfinished := ringing | {note.onset_s for note in rest}:
            self._passed[sound] = {onset_s for onset_s in onsets if onset_s > min(unfinished)}
        if rest:
            self._waiting[sound] = rest
        return final


def _lasting(onset_s: float, offset_s: float, is_drum: bool) -> float:
    """`offset_s`, but no earlier than 10 ms after the onset; drums have that length already."""
    is_short = not is_drum and offset_s - onset_s < MIN_NOTE_S
    return onset_s + MIN_NOTE_S if is_short else offset_s
