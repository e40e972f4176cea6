from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutti.capabilities.transcription.decode import Block, Decoder, HeardNote, Thresholds, settle_families
from tutti.capabilities.transcription.families import FAMILIES, program_of_family
from tutti.music.drum_kit import DRUM_CLASSES, key_of_class

FRAME_S = 0.016
THRESHOLDS = Thresholds(onset=0.5, frame=0.4, offset=0.6, drum=0.5)
FIELDS = tuple(Block.__dataclass_fields__)


def silence(frames: int) -> Block:
    def zeros(*shape: int) -> np.ndarray:
        return np.zeros((frames, *shape), np.float32)

    families = zeros(88, len(FAMILIES))
    families[:] = -np.log(len(FAMILIES))
    return Block(
        zeros(88), zeros(88), zeros(88), zeros(88), families, zeros(len(DRUM_CLASSES)), zeros(len(DRUM_CLASSES))
    )


def strike(block: Block, pitch: int, at: float, until: int, velocity: float = 0.5, family: int = 0) -> None:
    """Put a note on `pitch` whose onset is a triangle around the fractional frame `at`."""
    column = pitch - 21
    for frame in range(max(0, int(at) - 2), min(len(block), int(at) + 4)):
        block.onset[frame, column] = max(block.onset[frame, column], 1 - abs(frame - at) / 2)
    block.frame[round(at) : until, column] = 1.0
    block.velocity[:, column] = velocity
    block.family[round(at) : until, column] = -9.0
    block.family[round(at) : until, column, family] = -0.01


def decode(block: Block, cuts: Sequence[int] = ()) -> Decoder:
    decoder = Decoder(THRESHOLDS, FRAME_S, 21)
    edges = [0, *sorted(cuts), len(block)]
    for begin, end in pairwise(edges):
        decoder.push(Block(*(getattr(block, name)[begin:end] for name in FIELDS)))
    decoder.finish()
    return decoder


def test_a_note_has_its_fractional_onset_its_end_velocity_and_family() -> None:
    block = silence(100)
    strike(block, 60, 20.25, 50, velocity=100 / 127, family=3)
    (note,) = decode(block).pitched
    assert note.pitch == 60
    assert note.onset_s == pytest.approx(20.25 * FRAME_S, abs=1e-4)
    assert note.offset_s == pytest.approx(50 * FRAME_S)
    assert note.velocity == 100
    assert int(note.family.argmax()) == 3


def test_a_pitch_struck_while_it_rings_ends_and_begins_again() -> None:
    block = silence(100)
    strike(block, 60, 20, 70)
    strike(block, 60, 40, 70)
    first, second = decode(block).pitched
    assert first.offset_s == pytest.approx(second.onset_s)
    assert second.offset_s == pytest.approx(70 * FRAME_S)


def test_a_clear_release_ends_a_note_before_its_frames_fade() -> None:
    block = silence(100)
    strike(block, 60, 20, 80)
    block.offset[40, 60 - 21] = 0.9
    (note,) = decode(block).pitched
    assert note.offset_s == pytest.approx(40 * FRAME_S)


def test_a_gap_of_two_frames_does_not_end_a_note() -> None:
    block = silence(100)
    strike(block, 60, 20, 80)
    block.frame[40:42, 60 - 21] = 0.0
    (note,) = decode(block).pitched
    assert note.offset_s == pytest.approx(80 * FRAME_S)


def test_what_still_rings_at_the_end_ends_with_the_recording() -> None:
    block = silence(60)
    strike(block, 60, 20, 60)
    (note,) = decode(block).pitched
    assert note.offset_s == pytest.approx(60 * FRAME_S)


def test_an_onset_without_frames_is_still_a_note_of_one_frame() -> None:
    block = silence(60)
    strike(block, 60, 20, 20)
    (note,) = decode(block).pitched
    assert note.onset_s < note.offset_s <= note.onset_s + 2 * FRAME_S


def test_onsets_below_the_threshold_are_nothing() -> None:
    block = silence(60)
    block.onset[20, 30] = 0.49
    assert decode(block).pitched == []


def test_drum_hits_carry_their_class_and_velocity() -> None:
    block = silence(60)
    row = DRUM_CLASSES.index("snare")
    block.drum_onset[29:32, row] = (0.5, 0.9, 0.5)
    block.drum_velocity[30, row] = 1.0
    (hit,) = decode(block).drums
    assert (hit.pitch, hit.velocity, hit.is_drum) == (key_of_class("snare"), 127, True)
    assert hit.confidence == pytest.approx(0.9, abs=1e-4)
    assert hit.onset_s == pytest.approx(30 * FRAME_S)


def test_nothing_pushed_is_nothing_heard() -> None:
    decoder = Decoder(THRESHOLDS, FRAME_S, 21)
    decoder.finish()
    assert decoder.pitched == []
    assert decoder.drums == []


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 240), max_size=12))
def test_any_cutting_into_blocks_gives_the_same_notes(seed: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    block = silence(240)
    for name in ("onset", "frame", "offset", "velocity", "drum_onset", "drum_velocity"):
        values = getattr(block, name)
        values[:] = rng.random(values.shape, dtype=np.float32) ** 3
    block.frame[:, :44] = np.repeat(rng.random((24, 44)), 10, axis=0)
    block.family[:] = np.log(rng.dirichlet(np.ones(len(FAMILIES)), block.family.shape[:2]))
    whole, parts = decode(block), decode(block, cuts)
    assert [_plain(note) for note in parts.pitched] == [_plain(note) for note in whole.pitched]
    assert parts.drums == whole.drums
    assert whole.pitched


def _plain(note: HeardNote) -> tuple[object, ...]:
    return note.onset_s, note.offset_s, note.pitch, note.velocity, note.confidence, tuple(note.family)


def heard(family: int, second: int | None = None) -> HeardNote:
    scores = np.full(len(FAMILIES), -9.0, np.float32)
    scores[family] = -0.1
    if second is not None:
        scores[second] = -1.0
    return HeardNote(0.0, 1.0, 60, 80, 0.9, scores)


def test_a_family_that_few_notes_chose_gives_them_up_to_the_next_best_that_is_there() -> None:
    piano, guitar, organ = (FAMILIES.index(name) for name in ("piano", "guitar", "organ"))
    notes = settle_families([heard(piano)] * 30 + [heard(guitar)] * 20 + [heard(organ, second=guitar)])
    assert [note.program for note in notes].count(program_of_family("guitar")) == 21


def test_short_notes_are_named_but_have_no_say() -> None:
    """A doubtful note is what the others of its stretch are: here only the long ones count."""
    piano, guitar = FAMILIES.index("piano"), FAMILIES.index("guitar")
    doubtful = heard(piano, second=guitar)
    crumbs = [replace(heard(piano), offset_s=0.02)] * 30
    notes = settle_families([*crumbs, *[heard(guitar)] * 20, doubtful], min_note_s=0.03)
    assert len(notes) == 51
    assert notes[-1].program == program_of_family("guitar")
    assert settle_families([*crumbs, *[heard(guitar)] * 20, doubtful])[-1].program == program_of_family("piano")
    assert {note.confidence for note in notes} == {0.9}
    assert [note.program for note in settle_families(crumbs, min_note_s=0.03)] == [program_of_family("piano")] * 30


def test_what_comes_later_does_not_rename_what_was_settled() -> None:
    """Stretches of 120 s are settled each by itself, so a cut at 600 s names its notes as the whole recording does."""
    organ = heard(FAMILIES.index("organ"), second=FAMILIES.index("guitar"))
    begin = [organ] + [heard(FAMILIES.index("guitar"))] * 3
    later = [replace(heard(FAMILIES.index("guitar")), onset_s=120.0, offset_s=120.5)] * 60
    assert settle_families(begin) == settle_families(begin + later)[: len(begin)]


def test_no_notes_need_no_families() -> None:
    assert settle_families([]) == []
