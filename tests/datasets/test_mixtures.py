from pathlib import Path

import numpy as np
import pytest
import torch

from tutti.audio.log_frequency import NOTES_FRONT_END
from tutti.datasets.composer import Part
from tutti.datasets.feature_shards import STEPS_PER_UNIT, FeatureShards, write_shard
from tutti.datasets.mixtures import KINDS, Mixer
from tutti.datasets.note_bank import SAMPLE_RATE_HZ
from tutti.datasets.players import SINGER_PROGRAM
from tutti.errors import TrainingError
from tutti.music.notes import Note

DURATION_S = 7.984


@pytest.fixture(scope="module")
def mixer(bank: Path, percepiano_root: Path, groove_root: Path) -> Mixer:
    return Mixer(bank, percepiano_root, groove_root, DURATION_S)


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_sounds_within_its_length_and_says_what_sounds(mixer: Mixer, kind: str) -> None:
    piece = mixer.draw(np.random.default_rng(3), kind)
    assert piece.kind == kind
    assert piece.samples.dtype == np.float32
    assert len(piece.samples) == round(DURATION_S * SAMPLE_RATE_HZ)
    assert np.isfinite(piece.samples).all()
    assert np.abs(piece.samples).max() <= 1.0
    assert bool(piece.notes) == (kind != "nothing")
    assert all(0 <= note.onset_s < note.offset_s <= DURATION_S for note in piece.notes)
    assert {note.is_drum for note in piece.notes} <= {kind in ("drums", "band"), kind == "drums"}


def test_singing_is_labelled_as_voice(mixer: Mixer) -> None:
    piece = mixer.draw(np.random.default_rng(0), "singing")
    assert {note.program for note in piece.notes} == {SINGER_PROGRAM}


def test_a_seed_gives_the_same_bytes(mixer: Mixer) -> None:
    first, second = (mixer.draw(np.random.default_rng(7)) for _ in range(2))
    assert first.samples.tobytes() == second.samples.tobytes()
    assert first.notes == second.notes


def test_an_unknown_kind_names_the_known(mixer: Mixer) -> None:
    with pytest.raises(TrainingError, match="performed piano"):
        mixer.draw(np.random.default_rng(0), "opera")


def test_labels_lie_where_the_sound_begins(mixer: Mixer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a note begins after 200 ms without another, the energy at its own pitch rises within 25 ms."""
    monkeypatch.setattr("tutti.audio.augment.degrade", lambda samples, *_: samples)  # no room rings on
    checked = 0
    for seed in range(12):
        piece = mixer.draw(np.random.default_rng(seed), "line")
        onsets = [note.onset_s for note in piece.notes]
        for before, note in zip(piece.notes, piece.notes[1:], strict=False):
            if note.onset_s - before.offset_s < 0.2 or onsets.count(note.onset_s) > 1 or note.velocity < 60:
                continue
            begin = round((note.onset_s - 0.1) * SAMPLE_RATE_HZ)
            part = piece.samples[begin : begin + round(0.2 * SAMPLE_RATE_HZ)]
            time_s = np.arange(len(part)) / SAMPLE_RATE_HZ
            tone = part * np.exp(-2j * np.pi * 440 * 2 ** ((note.pitch - 69) / 12) * time_s)
            level = np.abs(np.convolve(tone, np.ones(240) / 240, "same"))
            rise = int(np.argmax(level > 0.3 * level.max())) / SAMPLE_RATE_HZ - 0.1
            assert abs(rise) < 0.025
            checked += 1
    assert checked >= 5


def test_the_held_out_scores_are_other_scores(
    bank: Path, percepiano_root: Path, groove_root: Path, mixer: Mixer
) -> None:
    held = Mixer(bank, percepiano_root, groove_root, DURATION_S, validation=True)
    assert min(note.pitch for note in held.performances[0]) == 70
    assert min(note.pitch for note in mixer.performances[0]) == 50
    assert len(held.grooves) == len(mixer.grooves) == 1


def test_a_part_too_soft_to_hear_leaves_its_band_in_peace(mixer: Mixer, monkeypatch: pytest.MonkeyPatch) -> None:
    loud, soft = Note(1.0, 1.4, 60, 90), Note(2.0, 2.4, 60, 1)
    monkeypatch.setattr(mixer, "_compose", lambda *_: [Part(0, [loud]), Part(1, [soft])])
    assert np.isfinite(mixer.draw(np.random.default_rng(0), "band").samples).all()


def test_a_note_held_to_the_end_of_its_sample_fades_out(mixer: Mixer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutti.audio.augment.degrade", lambda samples, *_: samples)
    monkeypatch.setattr("tutti.audio.augment.colour", lambda samples, *_, **__: samples)
    monkeypatch.setattr(mixer, "_compose", lambda *_: [Part(0, [Note(1.0, 5.0, 60, 90)])])
    piece = mixer.draw(np.random.default_rng(0), "line")
    (note,) = piece.notes
    end = round(note.offset_s * SAMPLE_RATE_HZ)
    assert note.offset_s == pytest.approx(1.6)  # the sample lasts 0.6 s
    before, last = piece.samples[end - 1200 : end - 600], piece.samples[end - 24 : end]
    assert np.abs(last).max() < 0.1 * np.abs(before).max()
    assert not piece.samples[end:].any()


def test_missing_data_sets_and_banks_say_what_is_missing(
    tmp_path: Path, bank: Path, percepiano_root: Path, groove_root: Path
) -> None:
    with pytest.raises(TrainingError, match="tutti train"):
        Mixer(tmp_path, percepiano_root, groove_root, DURATION_S)
    with pytest.raises(TrainingError, match=r"clips\.csv"):
        Mixer(bank, tmp_path, groove_root, DURATION_S)
    with pytest.raises(TrainingError, match=r"info\.csv"):
        Mixer(bank, percepiano_root, tmp_path, DURATION_S)


def test_shards_hold_what_was_drawn_and_crops_stay_in_step(mixer: Mixer, tmp_path: Path) -> None:
    write_shard(tmp_path, 0, 2, mixer, NOTES_FRONT_END, seed=5)
    shards = FeatureShards(tmp_path, 1)
    assert len(shards.notes[0]) == 2
    rng = np.random.default_rng((5, 0))
    pieces = [mixer.draw(rng) for _ in range(2)]
    assert [tuple(notes) for notes in shards.notes[0]] == [piece.notes for piece in pieces]
    frames = NOTES_FRONT_END(torch.from_numpy(np.pad(pieces[1].samples, NOTES_FRONT_END.reach))[None])[0].numpy()
    stored = shards.features[0][1] / STEPS_PER_UNIT
    assert np.abs(stored - frames).max() <= 0.5 / STEPS_PER_UNIT + 1e-6
    crop, notes, begin = shards.crop(np.random.default_rng(0), 100)
    index = shards.notes[0].index(notes)
    assert np.array_equal(crop, shards.features[0][index][:, begin : begin + 100])


def test_shards_beyond_the_count_are_not_heard_and_missing_ones_are_an_error(mixer: Mixer, tmp_path: Path) -> None:
    for number in range(2):
        write_shard(tmp_path, number, 1, mixer, NOTES_FRONT_END, seed=5)
    assert len(FeatureShards(tmp_path, 1).notes) == 1
    with pytest.raises(TrainingError, match=r"No .*shard_00002\.json\. Make it: tutti train"):
        FeatureShards(tmp_path, 3)
