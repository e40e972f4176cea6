"""Scenes of a drummer and a band: what sounds is what is labelled."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tutti.audio import augment
from tutti.datasets import drum_performances, drum_scenes
from tutti.datasets.drum_patterns import compose_take
from tutti.datasets.drum_scenes import Scene, SceneMaker
from tutti.datasets.groove_midi import DrumTake
from tutti.datasets.note_bank import SAMPLE_RATE_HZ
from tutti.music.drum_kit import DRUM_CLASSES, key_of_class

DURATION_S = 6.0


@pytest.fixture(scope="module")
def maker(drum_bank: Path, groove_root: Path) -> SceneMaker:
    return SceneMaker(drum_bank, groove_root, DURATION_S, "train", ("held_",))


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither rooms nor codecs nor other players' liberties."""
    monkeypatch.setattr(augment, "degrade", lambda samples, *_: samples)
    monkeypatch.setattr(augment, "room", lambda samples, *_: samples)
    monkeypatch.setattr(augment, "compress", lambda samples, *_: samples)
    monkeypatch.setattr(drum_scenes, "_compressed", lambda samples, _: samples)
    monkeypatch.setattr(drum_scenes, "_interrupted", lambda scene, _: scene)
    monkeypatch.setattr(drum_performances, "_rearranged", lambda strokes, _: strokes)
    monkeypatch.setattr(drum_scenes, "_DISTRACTORS", (999,))


def every_piece(bpm: float = 100.0) -> DrumTake:
    """Each piece in turn, an eighth apart, at the same strength."""
    names = [name for name in DRUM_CLASSES if name != "hihat_open"]
    strokes = tuple((0.5 * row, key_of_class(names[row % len(names)]), 100) for row in range(8 * 48))
    return DrumTake(strokes, bpm, 1.0, 4, 48)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("seed", range(8))
def test_strokes_sound_where_they_are_labelled(seed: int, maker: SceneMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maker.drummer, "_take", lambda _: every_piece())
    scene = maker.draw(np.random.default_rng(seed), has_band=False)
    assert len(scene.hits) > 8
    assert not scene.band.any()
    checked = 0
    for hit in scene.hits:
        begin = round((hit.time_s - 0.02) * SAMPLE_RATE_HZ)
        if begin < 0:
            continue
        part = np.abs(scene.drums[begin : begin + round(0.05 * SAMPLE_RATE_HZ)])
        before = part[: round(0.019 * SAMPLE_RATE_HZ)].max()
        onset = int(np.argmax(part > max(4 * before, 0.05 * part.max())))
        assert onset / SAMPLE_RATE_HZ - 0.02 == pytest.approx(0.0, abs=0.001)
        checked += 1
    assert checked > 8


@pytest.mark.usefixtures("plain")
def test_a_soft_stroke_under_a_loud_one_has_little_of_the_sound(
    maker: SceneMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarters = [float(row) for row in range(200)]
    together = [
        (at, key_of_class(name), velocity) for at in quarters for name, velocity in (("kick", 12), ("snare", 120))
    ]
    for strokes, least_db, most_db in ((together, -60.0, -3.0), (together[1::2], -1.5, 0.0)):
        take = DrumTake(tuple(strokes), 100.0, 1.0, 4, 50)
        monkeypatch.setattr(maker.drummer, "_take", lambda _, take=take: take)
        audible_db = [
            hit.audible_db
            for seed in range(6)
            for hit in maker.draw(np.random.default_rng(seed), has_band=False).hits
            if hit.instrument == ("kick" if strokes is together else "snare")
        ]
        assert least_db <= np.median(audible_db) <= most_db


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("seed", range(8))
def test_beats_are_where_the_drummer_plays_them(seed: int, maker: SceneMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    strokes = tuple((float(row), key_of_class("kick" if row % 3 == 0 else "hihat_closed"), 100) for row in range(200))
    monkeypatch.setattr(maker.drummer, "_take", lambda _: DrumTake(strokes, 130.0, 1.0, 3, 66))
    scene = maker.draw(np.random.default_rng(seed), has_band=False)
    beats = dict(scene.beats)
    assert 8 <= len(beats) <= 20
    for hit in scene.hits:
        nearest = min(beats, key=lambda time_s: abs(time_s - hit.time_s))
        assert nearest == pytest.approx(hit.time_s, abs=1e-6)
        assert (beats[nearest] == 1) == (hit.instrument == "kick")
    places = [place for _, place in scene.beats]
    assert all(after == before % 3 + 1 for before, after in pairwise(places))
    assert all(0 <= time_s < DURATION_S for time_s in beats)


def bytes_of(scene: Scene) -> tuple[object, ...]:
    return scene.drums.tobytes(), scene.band.tobytes(), scene.hits, scene.beats


def test_a_seed_gives_the_same_scene_and_another_another(maker: SceneMaker) -> None:
    first, again, other = (maker.draw(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert bytes_of(first) == bytes_of(again)
    assert bytes_of(first)[0] != bytes_of(other)[0]


@pytest.mark.parametrize("seed", range(4))
def test_drums_and_band_are_apart_finite_and_of_one_length(seed: int, maker: SceneMaker) -> None:
    scene = maker.draw(np.random.default_rng(seed))
    for sound in (scene.drums, scene.band):
        assert sound.dtype == np.float32
        assert len(sound) == round(DURATION_S * SAMPLE_RATE_HZ)
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() > 1e-3
    assert not np.array_equal(scene.drums, scene.band)
    assert {hit.instrument for hit in scene.hits} <= set(DRUM_CLASSES)
    assert max(hit.level_db for hit in scene.hits) == 0.0
    assert all(0 <= hit.time_s < DURATION_S and 1 <= hit.velocity <= 127 for hit in scene.hits)
    assert list(scene.beats) == sorted(scene.beats)


@pytest.mark.usefixtures("plain")
def test_the_drums_are_the_same_with_and_without_a_band(maker: SceneMaker) -> None:
    alone, together = (maker.draw(np.random.default_rng(5), has_band=has_band) for has_band in (False, True))
    assert np.array_equal(alone.drums, together.drums)
    assert alone.hits == together.hits


def test_held_out_kits_and_takes_are_for_validation_alone(
    drum_bank: Path, groove_root: Path, maker: SceneMaker
) -> None:
    held = SceneMaker(drum_bank, groove_root, DURATION_S, "validation", ("held_",))
    assert [kit.sheet.name for kit in held.kits] == ["held_kit"]
    assert sorted(kit.sheet.name for kit in maker.kits) == ["kit", "whole_kit"]
    assert {key for _, key, _ in held.drummer.long[0].strokes} == {36, 75}
    assert {key for _, key, _ in maker.drummer.long[0].strokes} == {36, 22, 38, 26}
    assert held.draw(np.random.default_rng(0)).hits


@pytest.mark.parametrize("seed", range(20))
def test_composed_takes_are_playable(seed: int) -> None:
    take = compose_take(np.random.default_rng(seed), 8)
    assert take.bars == 8
    assert 50 < take.bpm < 320
    assert list(take.strokes) == sorted(take.strokes)
    length = 8 * take.beats_per_bar * take.beat_quarters
    assert all(0 <= position < length + 0.2 and 1 <= velocity <= 127 for position, _, velocity in take.strokes)
    assert len(take.strokes) > 16
    assert take == compose_take(np.random.default_rng(seed), 8)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("seed", range(4))
def test_an_interrupted_scene_keeps_the_strokes_that_sound(
    seed: int, maker: SceneMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maker.drummer, "_take", lambda _: every_piece())
    whole = maker.draw(np.random.default_rng(seed), has_band=False)
    monkeypatch.undo()
    draws = [drum_scenes._interrupted(whole, np.random.default_rng(number)) for number in range(60)]
    interrupted = [scene for scene in draws if not np.array_equal(scene.drums, whole.drums)]
    assert 0.15 < len(interrupted) / len(draws) < 0.5
    assert {len(scene.hits) < len(whole.hits) for scene in interrupted} == {True}
    for scene in interrupted:
        kept = {hit.time_s for hit in scene.hits}
        assert kept < {hit.time_s for hit in whole.hits}
        for hit in whole.hits:
            begin = max(0, round(hit.time_s * SAMPLE_RATE_HZ))
            attack = slice(begin, begin + round(0.03 * SAMPLE_RATE_HZ) + 1)
            if hit.time_s in kept:
                assert np.array_equal(scene.drums[attack], whole.drums[attack])
            else:
                assert (scene.drums[attack] == 0).any()
