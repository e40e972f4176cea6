"""Recordings to notes with a model of the MT3 family: segments → frames → states → tokens → notes.

However many recordings there are, their segments share one batch of rows that is kept full; notes come as soon as no
later segment can change them. Memory does not grow with the length of a recording, nor with their number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tutti.audio.reading import Source, open_stream
from tutti.capabilities.transcription.codec import EOS, PAD
from tutti.capabilities.transcription.generation import GenerationRules, Row, RowKey, Stepper, Written, generate
from tutti.capabilities.transcription.models.adapter import Adapter, DecodingRule
from tutti.capabilities.transcription.quirks import Quirk
from tutti.capabilities.transcription.segments import features_of, segments_of
from tutti.capabilities.transcription.token_notes import note_builder
from tutti.capabilities.transcription.token_order import TokenOrder
from tutti.capabilities.transcription.token_rows import STEPS_PER_S, DecodingReport, TokenNote, TokenRow
from tutti.errors import InputError
from tutti.weights.cards import Card

__all__ = [
    "ENCODED_AT_ONCE",
    "Backend",
    "Ended",
    "Failed",
    "NewNotes",
    "Opened",
    "Settings",
    "hear",
    "nothing_before",
    "remembered",
]

ENCODED_AT_ONCE = 8
"""Segments."""
_REMEMBERED = 1024
"""Tokens of the segment before that MR-MT3's memory reads, PAD at both ends."""


class Backend(Protocol):
    """A network, wherever it computes. What states are is its own affair."""

    @property
    def device(self) -> str: ...

    @property
    def precision(self) -> str: ...

    def encode(self, frames: NDArray[np.float32]) -> Sequence[Any]:
        """States of each row, segment by segment and channel by channel, of frames (segments, frames, features)."""
        ...

    def remember(self, states: Any, previous: NDArray[np.int64]) -> Any:
        """A row's `states` with those of the memory of `previous` (1024,) tokens behind them."""
        ...

    def stepper(self, rows: int, banned: NDArray[np.int64]) -> Stepper: ...


@dataclass(frozen=True)
class Opened:
    """What a backend's `open_backend` gives."""

    backend: Backend
    adapter: Adapter
    """As the file in use needs it."""
    card: Card
    """Its sha256 is that of the weights in use."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """How one model is used."""

    adapter: Adapter
    decoding: DecodingRule
    kept: frozenset[Quirk]
    rows: int
    """Rows written at once."""
    banned: tuple[int, ...] = ()
    """Ids that may not come."""

    @property
    def rules(self) -> GenerationRules:
        adapter = self.adapter
        steps = round(adapter.front_end.segment_s * STEPS_PER_S)
        return GenerationRules(
            self.decoding,
            adapter.max_tokens,
            is_first_eos_ignored="first_eos_ignored" in self.kept,
            new_order=partial(TokenOrder, adapter.codec, steps) if self.decoding == "ordered" else None,
        )


@dataclass(frozen=True, slots=True)
class NewNotes:
    """Notes of recording `number` that are final, and how much of it has been written down."""

    number: int
    notes: tuple[TokenNote, ...]
    written_s: float
    duration_s: float
    """What the file says of its length; 0 where it says nothing."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Recording `number` has been written down."""

    number: int
    name: str
    duration_s: float
    warnings: tuple[str, ...]
    report: DecodingReport


@dataclass(frozen=True, slots=True)
class Failed:
    """Recording `number` could not be read to its end; its notes so far are of no use."""

    number: int
    error: InputError


Event = NewNotes | Ended | Failed


def hear(
    sources: Iterable[Source], backend: Backend, settings: Settings, check: Callable[[], None] = lambda: None
) -> Iterator[Event]:
    """What there is to tell of `sources`, numbered from 0; notes of one recording come in the order of its segments.

    `check` is called between steps and may raise. Files are closed when the iterator is.
    """
    stepper = backend.stepper(settings.rows, np.array(settings.banned, np.int64))
    with ExitStack() as stack:
        desk = _Desk(enumerate(sources), backend, settings, stack)

        def take(count: int) -> list[Row]:
            return desk.take(count)

        for written in generate(stepper, take, settings.rules, check):
            desk.give(written)
            yield from desk.news()
        yield from desk.news()


class _Desk:
    """Hands out rows of the recordings that are open, and takes what was written."""

    def __init__(
        self, sources: Iterator[tuple[int, Source]], backend: Backend, settings: Settings, stack: ExitStack
    ) -> None:
        self._sources, self._backend, self._settings, self._stack = sources, backend, settings, stack
        self._open: dict[int, _Recording] = {}
        self._stock: deque[Row] = deque()
        self._news: list[Event] = []
        self._are_more = True
        self._is_remembering = settings.adapter.memory_rows > 0

    def take(self, count: int) -> list[Row]:
        """What is in stock, else what is heard next; not more, so that rows that can begin do not wait for others."""
        while not self._stock and self._restock():
            pass
        return [self._stock.popleft() for _ in range(min(count, len(self._stock)))]

    def give(self, written: Written) -> None:
        recording = self._open.get(written.key.recording)
        if recording is not None:
            recording.keep(written)
            self._build(recording)

    def news(self) -> list[Event]:
        news, self._news = self._news, []
        return news

    def _restock(self) -> bool:
        """Put rows on the stock; False when there are none to be had now."""
        for recording in list(self._open.values()):
            if recording.can_begin and (rows := self._rows_of(recording)):
                self._stock.extend(rows)
                return True
        # one recording after another keeps little open; those that remember give one row at a time
        most = self._settings.rows if self._is_remembering else 1
        if self._are_more and sum(not recording.is_read for recording in self._open.values()) < most:
            self._open_next()
            return True
        return False

    def _open_next(self) -> None:
        number, source = next(self._sources, (-1, None))
        if source is None:
            self._are_more = False
            return
        try:
            self._open[number] = _Recording(number, source, self._settings, self._stack)
        except InputError as error:
            self._news.append(Failed(number, error))

    def _rows_of(self, recording: _Recording) -> list[Row]:
        try:
            rows = recording.rows(self._backend)
        except InputError as error:
            recording.close()
            del self._open[recording.number]
            self._news.append(Failed(recording.number, error))
            return []
        if not rows:
            self._build(recording)
        return rows

    def _build(self, recording: _Recording) -> None:
        notes = recording.new_notes()
        if recording.is_over:
            notes += recording.builder.finish(recording.heard_s)
            recording.close()
            del self._open[recording.number]
        if notes or recording.is_over:
            written_s = recording.heard_s if recording.is_over else recording.written_s
            self._news.append(NewNotes(recording.number, tuple(notes), written_s, recording.duration_s))
        if recording.is_over:
            self._news.append(recording.end())


class _Recording:
    """One recording on its way: its segments going out, its tokens coming back."""

    def __init__(self, number: int, source: Source, settings: Settings, stack: ExitStack) -> None:
        self.number, self.is_read = number, False
        self._settings, self._adapter = settings, settings.adapter
        self._front_end = self._adapter.front_end
        self._closing = stack.enter_context(ExitStack())
        self._stream = self._closing.enter_context(open_stream(source, sample_rate_hz=self._front_end.sample_rate_hz))
        self.duration_s = self._stream.duration_s or 0.0
        self._has_extra_frame = "extra_frame" in settings.kept
        hop = self._front_end.hop if self._has_extra_frame else None
        self._segments = segments_of(self._counted(), self._front_end.segment_samples, hop)
        self._samples = 0
        self._encoded: deque[Any] = deque()
        self._at_once = 1  # the first is written as soon as it is heard
        self._begun = self._built = 0
        self._came: dict[int, dict[int, TokenRow]] = {}
        self._previous = nothing_before(self._adapter) if self._adapter.memory_rows else None
        self.builder = note_builder(self._adapter.notes, settings.kept, self._adapter.channels)

    def _counted(self) -> Iterator[NDArray[np.float32]]:
        for block in self._stream:
            self._samples += len(block)
            yield block

    @property
    def heard_s(self) -> float:
        return self._samples / self._front_end.sample_rate_hz

    @property
    def written_s(self) -> float:
        return min(self._built * self._front_end.segment_s, self.heard_s)

    @property
    def can_begin(self) -> bool:
        """Whether another segment's rows may be asked for."""
        return not (self.is_read and not self._encoded) and not self._is_waiting

    @property
    def _is_waiting(self) -> bool:
        return self._adapter.memory_rows > 0 and self._previous is None

    @property
    def is_over(self) -> bool:
        return self.is_read and not self._encoded and self._built == self._begun

    def rows(self, backend: Backend) -> list[Row]:
        """The next segments' rows: one segment's if they remember, else of as many as are encoded at once."""
        if not self._encoded:
            self._encode(backend)
        channels = self._adapter.channels
        count = min(len(self._encoded), channels if self._adapter.memory_rows else len(self._encoded))
        rows = []
        for index in range(count):
            states = self._encoded.popleft()
            if self._previous is not None:
                states, self._previous = backend.remember(states, self._previous), None
            rows.append(Row(RowKey(self.number, self._begun + index // channels, index % channels), states))
        self._begun += count // channels
        return rows

    def _encode(self, backend: Backend) -> None:
        segments = list(islice(self._segments, self._at_once))
        self._at_once = min(2 * self._at_once, ENCODED_AT_ONCE)
        if not segments:
            self.is_read = True
            return
        frames = features_of(
            segments,
            self._front_end,
            zeroes_missing=self._adapter.zeroes_missing_frames,
            has_extra_frame=self._has_extra_frame,
        )
        self._encoded.extend(backend.encode(frames))

    def keep(self, written: Written) -> None:
        self._came.setdefault(written.key.segment, {})[written.key.channel] = TokenRow(
            written.tokens, written.log_probs
        )
        if self._adapter.memory_rows:
            self._previous = remembered(written.tokens)

    def new_notes(self) -> list[TokenNote]:
        """Build on from the segments that are complete, in their order."""
        notes: list[TokenNote] = []
        while len(self._came.get(self._built, ())) == self._adapter.channels:
            rows = self._came.pop(self._built)
            notes += self.builder.push([rows[channel] for channel in range(self._adapter.channels)])
            self._built += 1
        return notes

    def end(self) -> Ended:
        return Ended(self.number, self._stream.name, self.heard_s, tuple(self._stream.warnings), self.builder.report)

    def close(self) -> None:
        self._closing.close()


def nothing_before(adapter: Adapter) -> NDArray[np.int64]:
    """(1024,) What the first segment remembers: a tie section in which nothing rings."""
    return _padded([adapter.codec.encode("tie"), EOS])


def remembered(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """(1024,) What the segment after one with these `tokens` remembers."""
    return _padded([PAD, *tokens.tolist()])


def _padded(tokens: list[int]) -> NDArray[np.int64]:
    padded = np.full(_REMEMBERED, PAD, np.int64)
    padded[: len(tokens)] = tokens[:_REMEMBERED]
    return padded
