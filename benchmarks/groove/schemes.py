"""What schemes of tokens keep of a drummer's take, and how many they need for it.

Takes of the validation split of the Groove MIDI Dataset: 4/4, no fills, longer than ten seconds. Onset error is the
distance to the nearest decoded note of the same key, velocity error that note's. MidiTok's schemes write the keys as
the kit sent them; ours writes the 14 pieces they are, and its keys are compared as such; its vocabulary holds the
conditions too. Tokens are those of bars and notes. Times are medians over takes.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from miditok import REMI, TSD, MusicTokenizer, PerTok, TokenizerConfig
from numpy.typing import NDArray
from symusic import Score

from benchmarks.transcription.folders import DATA
from benchmarks.transcription.report import table
from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.capabilities.groove.tokens import tokenizer
from tutti.datasets.groove_midi import index_of
from tutti.music.drum_kit import class_of_key, key_of_class

__all__ = ["report"]

_SHORTEST_S = 10.0
_DRUM_KEYS = (22, 88)
Rows = NDArray[np.float64]
"""(notes, 3): quarter note, key, velocity."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """A way to write notes as tokens and to read them again."""

    title: str
    size: int
    pass_through: Callable[[Score], tuple[int, float, Rows]]
    """Tokens, seconds of writing them, and what is read back."""
    key_of: Callable[[int], int] = lambda key: key
    """The key that stands for one of the kit's."""


def _by_miditok(title: str, kind: type[MusicTokenizer], **options: Any) -> Scheme:
    config = TokenizerConfig(
        **{"drums_pitch_range": _DRUM_KEYS, "num_velocities": 32, **options},
        use_note_duration_programs=[],
        use_time_signatures=False,
    )
    tokens = kind(config)

    def pass_through(score: Score) -> tuple[int, float, Rows]:
        began_s = time.perf_counter()
        written = tokens.encode(score)
        seconds = time.perf_counter() - began_s
        read = tokens.decode(written, programs=[(0, True)] * len(written))
        return sum(map(len, written)), seconds, _rows(read)

    return Scheme(title, len(tokens), pass_through)


def _by_us(title: str) -> Scheme:
    t = tokenizer()

    def pass_through(score: Score) -> tuple[int, float, Rows]:
        rows = _rows(score)
        hits = tuple(Hit(beat, int(key), int(velocity)) for beat, key, velocity in rows.tolist())
        pattern = Pattern(hits, 100.0, _bars(rows))
        began_s = time.perf_counter()
        written = [token for bar in t.bar_tokens(pattern) for token in bar]
        seconds = time.perf_counter() - began_s
        read = [(hit.beat, hit.key, hit.velocity) for hit in t.decode(written, pattern.bpm)]
        return len(written), seconds, np.array(read, np.float64)

    return Scheme(title, len(t), pass_through, _key_of_piece)


def _key_of_piece(key: int) -> int:
    name = class_of_key(key)
    return key if name is None else key_of_class(name)


def _schemes() -> list[Scheme]:
    def remi(resolution: int, **options: Any) -> Scheme:
        keys = ", keys 27–88" if "drums_pitch_range" in options else ""
        return _by_miditok(f"REMI, {resolution} a beat{keys}", REMI, beat_res={(0, 4): resolution}, **options)

    def per_tok(bins: int, shift: float, part: str, *, positions: bool = False) -> Scheme:
        return _by_miditok(
            f"PerTok, sixteenths, {bins} bins within ±{part} beat{', positions' if positions else ''}",
            PerTok,
            beat_res={(0, 4): 4},
            ticks_per_quarter=480,
            use_microtiming=True,
            max_microtiming_shift=shift,
            num_microtiming_bins=bins,
            use_position_toks=positions,
        )

    return [
        remi(8, drums_pitch_range=(27, 88)),
        *(remi(resolution) for resolution in (8, 12, 24, 48, 96)),
        _by_miditok("TSD, 96 a beat", TSD, beat_res={(0, 4): 96}),
        per_tok(30, 1 / 8, "1/8"),
        per_tok(31, 1 / 4, "1/4"),
        per_tok(61, 1 / 8, "1/8"),
        per_tok(30, 1 / 8, "1/8", positions=True),
        _by_us("**tutti: PerTok, 30 shifts, positions, 14 pieces**"),
    ]


@cache
def _takes() -> tuple[tuple[Score, float], ...]:
    """Each take and its quarter notes a minute."""
    found = []
    for row in index_of(DATA / "gmd"):
        asked = row["split"], row["time_signature"], row["beat_type"]
        if asked == ("validation", "4-4", "beat") and float(row["duration"]) > _SHORTEST_S:
            score = Score(str(Path(DATA, "gmd", "midi", row["midi_filename"])))
            found.append((score, float(score.tempos[0].qpm)))
    return tuple(found)


def _rows(score: Score) -> Rows:
    notes = [(note.time / score.tpq, note.pitch, note.velocity) for track in score.tracks for note in track.notes]
    return np.array(sorted(notes), np.float64).reshape(-1, 3)


def _bars(rows: Rows) -> int:
    return int((rows[:, 0].max() + 0.125) // 4) + 1


def _row(scheme: Scheme, takes: Sequence[tuple[Score, float]]) -> list[str]:
    tokens, bars, notes, kept = 0, 0, 0, 0
    seconds: list[float] = []
    onset_ms: list[Rows] = []
    velocity: list[Rows] = []
    for score, bpm in takes:
        true = _rows(score)
        count, taken_s, read = scheme.pass_through(score.copy())
        tokens, bars, notes, kept = tokens + count, bars + _bars(true), notes + len(true), kept + len(read)
        seconds.append(taken_s)
        for key, own in _by_key(true, scheme.key_of).items():
            there = read[read[:, 1] == key]
            if len(there):
                nearest, distance = _nearest(own, there)
                onset_ms.append(distance * 60_000 / bpm)
                velocity.append(np.abs(own[:, 2] - nearest))
    errors, louder = np.concatenate(onset_ms), np.concatenate(velocity)
    return [
        scheme.title,
        f"{scheme.size}",
        f"{kept / notes:.3f}",
        " / ".join(f"{value:.2f}" for value in (errors.mean(), np.percentile(errors, 95), errors.max())),
        f"{louder.mean():.2f}",
        f"{tokens / bars:.1f}",
        f"{tokens / notes:.2f}",
        f"{1000 * statistics.median(seconds):.1f}",
    ]


def _by_key(rows: Rows, key_of: Callable[[int], int]) -> dict[int, Rows]:
    groups = defaultdict(list)
    for row in rows.tolist():
        groups[key_of(int(row[1]))].append(row)
    return {key: np.array(own) for key, own in groups.items()}


def _nearest(true: Rows, read: Rows) -> tuple[Rows, Rows]:
    """Velocity and distance (beats) of the note of `read` that is nearest to each of `true`, of those equally near the
    one most alike in velocity."""
    apart = np.abs(true[:, None, 0] - read[None, :, 0])
    cost = np.rint(apart * 1e6) * 1e3 + np.abs(true[:, None, 2] - read[None, :, 2])
    chosen = cost.argmin(axis=1)
    return read[chosen, 2], apart[np.arange(len(true)), chosen]


def report(threads: int, model: str = "") -> str:  # noqa: ARG001 - no network takes part
    """The table and what was made of it."""
    takes = _takes()
    head = ["scheme", "vocabulary", "notes kept", "onset error ms, mean / p95 / max", "velocity error"]
    head += ["tokens a bar", "tokens a note", "ms a take"]
    notes = sum(len(_rows(score)) for score, _ in takes)
    rows = [_row(scheme, takes) for scheme in _schemes()]
    return (
        f"{__doc__}\n{len(takes)} takes, {notes} notes.\n\n{table(head, rows)}\n\n"
        "Chosen: sixteenths with 30 shifts. REMI needs 96 positions a beat for the same error, and twice the "
        "vocabulary; a shift of its own parts what is struck from how it is played, so that a pattern can be played "
        "anew without being written anew. Position tokens in the place of time shifts cost no more, and say where in "
        "the bar a stroke is without counting. 61 bins would halve an error that is small already, with twice as many "
        "shifts to learn from the same takes."
    )
