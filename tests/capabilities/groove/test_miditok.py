"""MidiTok's PerTok reads our tokens of bars as we do.

Three habits of its code (3.1.0) are met halfway. Its sequences begin inside the first bar: our first `Bar` is left out.
It takes bars of a metre over eight to be longer than they are (`den / 4 * num` quarters): each bar of 6/8 is read by
itself. And it has shifts of half a sixteenth both ways, where we have one: `MicroTiming_60` is `MicroTiming_-60` of the
next sixteenth.
"""

from pathlib import Path

import pytest
from miditok import PerTok, TokenizerConfig, TokSequence

from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.capabilities.groove.prompts import read_pattern
from tutti.capabilities.groove.tokens import TICKS_PER_BEAT, tokenizer

TAKES = sorted((Path(__file__).parents[2] / "data" / "groove").glob("*.mid"))
Notes = list[tuple[int, int, int]]
"""(tick, key, velocity), in order."""


@pytest.fixture(scope="module")
def per_tok() -> PerTok:
    config = TokenizerConfig(
        drums_pitch_range=(22, 88),
        beat_res={(0, 6): 4},
        num_velocities=32,
        use_note_duration_programs=[],
        use_time_signatures=False,
        use_microtiming=True,
        ticks_per_quarter=480,
        max_microtiming_shift=0.125,
        num_microtiming_bins=30,
        use_position_toks=True,
    )
    return PerTok(config)


def read_by(per_tok: PerTok, bar_tokens: list[list[int]]) -> Notes:
    names = [tokenizer().tokens[token] for bar in bar_tokens for token in bar][1:]
    score = per_tok.decode([TokSequence(ids=[per_tok.vocab[name] for name in names])], programs=[(0, True)])
    assert all(track.is_drum for track in score.tracks)
    return sorted((note.time, note.pitch, note.velocity) for track in score.tracks for note in track.notes)


def read_by_us(pattern: Pattern, bar_tokens: list[list[int]]) -> Notes:
    read = tokenizer().decode([token for bar in bar_tokens for token in bar], pattern.bpm, pattern.metre)
    return sorted((round(hit.beat * TICKS_PER_BEAT), hit.key, hit.velocity) for hit in read)


@pytest.mark.parametrize("kind", ["Bar", "PitchDrum", "Velocity", "Position", "MicroTiming"])
def test_note_tokens_are_those_of_per_tok(per_tok: PerTok, kind: str) -> None:
    both = (tokenizer().vocab, per_tok.vocab)
    ours, theirs = ({name for name in vocab if name.startswith(f"{kind}_")} for vocab in both)
    if kind == "PitchDrum":
        assert ours < theirs
    else:
        assert theirs - ours == ({"MicroTiming_60"} if kind == "MicroTiming" else set())
        assert ours <= theirs


@pytest.mark.parametrize("path", [path for path in TAKES if "4-4" in path.name], ids=lambda path: path.stem)
def test_per_tok_reads_what_we_wrote(per_tok: PerTok, path: Path) -> None:
    pattern, _ = read_pattern(path)
    bars = tokenizer().bar_tokens(pattern)
    notes = read_by(per_tok, bars)
    assert len(notes) > 0.98 * len(pattern)  # some strokes of a take have all but velocity in common
    assert notes == read_by_us(pattern, bars)


@pytest.mark.parametrize("path", [path for path in TAKES if "6-8" in path.name], ids=lambda path: path.stem)
def test_per_tok_reads_bars_of_six_eighths_one_by_one(per_tok: PerTok, path: Path) -> None:
    pattern, _ = read_pattern(path)
    bars = tokenizer().bar_tokens(pattern)
    ticks = round(pattern.bar_beats * TICKS_PER_BEAT)
    notes = [
        (tick + bar * ticks, key, velocity)
        for bar, tokens in enumerate(bars)
        for tick, key, velocity in read_by(per_tok, [tokens])
    ]
    assert sorted(notes) == read_by_us(pattern, bars)


def test_per_tok_reads_strokes_ahead_of_bar_lines(per_tok: PerTok) -> None:
    hits = (Hit(-0.05, 36, 100), Hit(1.0, 38, 90), Hit(3.9, 49, 110), Hit(4.0, 36, 100), Hit(7.95, 38, 30))
    pattern = Pattern(hits, 100.0, 2)
    bars = tokenizer().bar_tokens(pattern)
    notes = read_by(per_tok, bars)
    assert notes[0][0] == -24
    assert notes == read_by_us(pattern, bars)
    assert len(notes) == 4  # the last is that of a bar that is not there


def test_per_tok_writes_what_we_wrote(per_tok: PerTok) -> None:
    """But for the order of strokes on one sixteenth, and `Position_0`, which it leaves out."""
    pattern, _ = read_pattern(next(path for path in TAKES if "funk" in path.name))
    tokens = [token for bar in tokenizer().bar_tokens(pattern) for token in bar]
    names = [tokenizer().tokens[token] for token in tokens][1:]
    read = per_tok.decode([TokSequence(ids=[per_tok.vocab[name] for name in names])], [(0, True)])
    (written,) = per_tok.encode(read)
    assert sorted(written.tokens) == sorted(name for name in names if name != "Position_0")
