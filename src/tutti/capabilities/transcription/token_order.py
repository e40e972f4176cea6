"""What may follow in a segment's tokens, as `note_tokens` writes them: times rise, and so does what happens at one.

A network that has lost its place in a busy segment repeats itself or goes back in time until its tokens run out. What
no segment can have is passed over, and strokes of one pitch closer together than anybody plays.
"""

from __future__ import annotations

from tutti.capabilities.transcription.codec import EOS, Codec, EventKind

__all__ = ["TokenOrder"]

_SOONEST_AGAIN_STEPS = 5
"""Nobody strikes a pitch again within 50 ms; what is written so is one stroke heard twice."""


class TokenOrder:
    """The state of one segment's tokens in MT3's order: ends before onsets, drums last, then program and pitch."""

    def __init__(self, codec: Codec, steps: int) -> None:
        """A segment lasts `steps` of 10 ms."""
        self.codec, self.steps = codec, steps
        self._before: EventKind | None = None
        self._is_tied = True
        self._step, self._program, self._velocity = 0, -1, -1
        self._last: tuple[int, ...] = ()
        self._sounding: set[tuple[int, int]] = set()
        self._struck: dict[tuple[int, int], int] = {}
        """Program and pitch → the step at which it began last."""

    def allows(self, token: int) -> bool:
        """Whether `token` may come next. What is no event and not EOS may not."""
        event = self.codec.decode(token)
        if event is None:
            return token == EOS
        kind, value = event.kind, event.value
        if self._is_tied:
            return kind == "tie" or (kind in ("program", "pitch") and self._may_be_tied(kind, value))
        match kind:
            case "shift":
                return self._step < value < self.steps
            case "program":
                return self._before != "program" and value != self._program and self._may_play(value)
            case "velocity":
                is_late = value == 0 and self._last[:2] == (self._step, 1)
                return self._before != "velocity" and value != self._velocity and not is_late
            case "pitch":
                has_sense = self._may_be_struck(value) if self._velocity > 0 else self._sounds(value)
                return min(self._program, self._velocity) >= 0 and has_sense and self._key(value) > self._last
            case "drum":
                return self._velocity > 0 and self._key(value, is_drum=True) > self._last
            case _:
                return False

    def push(self, token: int) -> None:
        """`token` comes next."""
        event = self.codec.decode(token)
        if event is None:
            return
        kind, value = event.kind, event.value
        self._before = kind
        match kind:
            case "tie":
                self._is_tied, self._last = False, ()
            case "shift":
                self._step = value
            case "program":
                self._program = value
            case "velocity":
                self._velocity = value
            case "pitch":
                self._play(value)
            case "drum":
                self._last = self._key(value, is_drum=True)

    def _may_be_tied(self, kind: EventKind, value: int) -> bool:
        if kind == "program":
            return self._before != "program" and value > self._program
        return self._program >= 0 and (self._program, value) > self._last

    def _may_be_struck(self, pitch: int) -> bool:
        before = self._struck.get((self._program, pitch))
        return before is None or self._step - before >= _SOONEST_AGAIN_STEPS

    def _sounds(self, pitch: int) -> bool:
        return (self._program, pitch) in self._sounding

    def _may_play(self, program: int) -> bool:
        """Whether `program` can still begin or end anything at this time."""
        if self._last[:2] != (self._step, 1):
            return True
        return self._last < (self._step, 1, 0, program)

    def _key(self, pitch: int, *, is_drum: bool = False) -> tuple[int, ...]:
        return (self._step, int(self._velocity > 0), int(is_drum), 0 if is_drum else self._program, pitch)

    def _play(self, pitch: int) -> None:
        note = (self._program, pitch)
        if self._is_tied:
            self._last = note
            self._sounding.add(note)
            return
        self._last = self._key(pitch)
        if self._velocity > 0:
            self._sounding.add(note)
            self._struck[note] = self._step
        else:
            self._sounding.discard(note)
