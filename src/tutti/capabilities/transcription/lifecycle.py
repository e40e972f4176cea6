"""A model of the MT3 family step by step: preprocess → forward → decode, whole recordings in memory.

For looking inside and for experiments; `run` does the same segment by segment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutti.audio.reading import Source, open_stream
from tutti.capabilities.transcription.generation import Row, RowKey, generate
from tutti.capabilities.transcription.hearing_tokens import ENCODED_AT_ONCE, nothing_before, remembered
from tutti.capabilities.transcription.segments import features_of, segments_of
from tutti.capabilities.transcription.token_models import TokenModel, to_notes
from tutti.capabilities.transcription.token_notes import note_builder
from tutti.capabilities.transcription.token_rows import TokenRow
from tutti.errors import AudioEmptyError
from tutti.music.notes import Notes

__all__ = ["Frames", "Lifecycle"]


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """What a model hears."""

    values: NDArray[np.float32]
    """(segments, frames, features)"""
    duration_s: float


@dataclass(frozen=True)
class Lifecycle:
    """The steps of one model."""

    model: TokenModel

    def preprocess(self, source: Source) -> Frames:
        """The spectrogram of every segment. Raises InputError."""
        settings = self.model.settings
        front_end = settings.adapter.front_end
        has_extra_frame = "extra_frame" in settings.kept
        with open_stream(source, sample_rate_hz=front_end.sample_rate_hz) as blocks:
            hop = front_end.hop if has_extra_frame else None
            segments = list(segments_of(blocks, front_end.segment_samples, hop))
            name = blocks.name
        if not segments:
            raise AudioEmptyError(f"{name} holds no samples. Give a recording with sound.")
        values = features_of(
            segments,
            front_end,
            zeroes_missing=settings.adapter.zeroes_missing_frames,
            has_extra_frame=has_extra_frame,
        )
        return Frames(values, sum(segment.heard for segment in segments) / front_end.sample_rate_hz)

    def forward(self, frames: NDArray[np.float32]) -> list[list[TokenRow]]:
        """The tokens of each segment, channel by channel, of `frames` (segments, frames, features)."""
        settings, backend = self.model.settings, self.model.backend
        channels = settings.adapter.channels
        parts = (frames[begin : begin + ENCODED_AT_ONCE] for begin in range(0, len(frames), ENCODED_AT_ONCE))
        desk = _Desk(deque(states for part in parts for states in backend.encode(part)), self.model)
        stepper = backend.stepper(min(settings.rows, len(frames) * channels), np.array(settings.banned, np.int64))
        came: dict[int, TokenRow] = {}
        for written in generate(stepper, desk.take, settings.rules):
            came[written.key.segment * channels + written.key.channel] = TokenRow(written.tokens, written.log_probs)
            desk.previous = written.tokens
        rows = [came[index] for index in range(len(came))]
        return [rows[begin : begin + channels] for begin in range(0, len(rows), channels)]

    def decode(self, rows: Sequence[Sequence[TokenRow]], duration_s: float) -> Notes:
        """The notes of a recording of `duration_s` seconds, from the tokens of its segments in order."""
        settings = self.model.settings
        adapter = settings.adapter
        builder = note_builder(adapter.notes, settings.kept, adapter.channels)
        notes = [note for segment in rows for note in builder.push(segment)]
        return Notes.of(to_notes([*notes, *builder.finish(duration_s)], settings))


class _Desk:
    """Hands out encoded rows: as many as are asked for, or one after another where each needs the tokens before."""

    def __init__(self, states: deque[Any], model: TokenModel) -> None:
        self._states, self._model, self._begun = states, model, 0
        self.previous: NDArray[np.int64] | None = None

    def take(self, count: int) -> list[Row]:
        if self._model.settings.adapter.memory_rows:
            return self._next_remembering()
        return [self._key(self._states.popleft()) for _ in range(min(count, len(self._states)))]

    def _next_remembering(self) -> list[Row]:
        if not self._states or (self._begun and self.previous is None):
            return []
        before = nothing_before(self._model.settings.adapter) if self.previous is None else remembered(self.previous)
        self.previous = None
        return [self._key(self._model.backend.remember(self._states.popleft(), before))]

    def _key(self, states: Any) -> Row:
        segment, channel = divmod(self._begun, self._model.settings.adapter.channels)
        self._begun += 1
        return Row(RowKey(0, segment, channel), states)
