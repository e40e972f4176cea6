from pathlib import Path

import numpy as np
import pytest

from tutti.audio.bands import DRUMS_FRONT_END, stored_levels
from tutti.datasets import scene_mixes
from tutti.datasets.drum_scenes import Hit, SceneMaker
from tutti.datasets.scene_mixes import draw_mix
from tutti.datasets.scene_shards import SceneShards, write_scene_shard
from tutti.errors import TrainingError

FRAMES = 300


@pytest.fixture(scope="module")
def maker(drum_bank: Path, groove_root: Path) -> SceneMaker:
    return SceneMaker(drum_bank, groove_root, 5.5, "train", ("held_",))


@pytest.fixture(scope="module")
def shards(maker: SceneMaker, tmp_path_factory: pytest.TempPathFactory) -> SceneShards:
    folder = tmp_path_factory.mktemp("shards")
    write_scene_shard(folder, 0, 2, maker, seed=5)
    return SceneShards(folder, 1)


def test_shards_hold_what_was_drawn(shards: SceneShards, maker: SceneMaker) -> None:
    rng = np.random.default_rng((5, 0))
    for stored in shards.scenes:
        scene = maker.draw(rng)
        assert stored.hits == scene.hits
        assert stored.beats == tuple((pytest.approx(time_s), place) for time_s, place in scene.beats)
        for levels, sound in zip(stored.levels, (scene.drums, scene.band), strict=True):
            assert np.array_equal(levels, np.concatenate(list(stored_levels([sound])), axis=1))
    assert len(shards.scenes) == 2


def test_missing_shards_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"No .*shard_00000\.json\. Make it: tutti train drums"):
        SceneShards(tmp_path, 1)


def test_mixes_follow_from_the_seed_and_keep_labels_in_step(shards: SceneShards) -> None:
    kinds = set()
    for seed in range(60):
        mix, again = (draw_mix(shards, np.random.default_rng(seed), FRAMES, 0.01) for _ in range(2))
        assert np.array_equal(mix.levels, again.levels)
        assert (mix.hits, mix.beats) == (again.hits, again.beats)
        assert mix.levels.dtype == np.float32
        assert mix.levels.shape == (2, FRAMES, 85)
        assert 0 <= mix.levels.min() <= mix.levels.max() <= 2
        assert all(-0.05 <= hit.time_s < 3.05 for hit in mix.hits)
        assert all(0 <= time_s < 3 for time_s, _ in mix.beats)
        kinds.add((bool(mix.hits), bool(mix.beats)))
    assert {(True, True), (False, True)} <= kinds


def test_the_loud_frames_of_drums_alone_are_where_the_hits_are(
    shards: SceneShards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene_mixes, "_tone", lambda _, bands: np.zeros(bands))

    class Drums:
        """Draws as its seed says, but for the kind of mix: drums alone."""

        def __init__(self, seed: int) -> None:
            self.rng = np.random.default_rng(seed)

        def __getattr__(self, name: str) -> object:
            return (lambda: 0.1) if name == "random" else getattr(self.rng, name)

    rises = []
    for seed in range(6):
        mix = draw_mix(shards, Drums(seed), FRAMES, 0.01)  # type: ignore[arg-type]
        power = (10 ** (mix.levels[1] * 5)).sum(axis=1)
        for hit in mix.hits:
            frame = round(hit.time_s / 0.01)
            if hit.level_db > -10 and 6 < frame < FRAMES - 6:
                rises.append(power[frame : frame + 3].max() / power[frame - 4 : frame - 1].mean())
    assert np.median(rises) > 4


@pytest.mark.parametrize("level_db", [-8.0, 0.0, 8.0])
def test_silence_adds_nothing_and_equal_sounds_three_decibels(level_db: float) -> None:
    tone, floor = np.full((2, 4, 6), 1.2, np.float32), np.zeros((2, 4, 6), np.float32)
    assert not scene_mixes._sum(floor, floor, level_db).any()
    assert scene_mixes._sum(tone, floor, level_db) == pytest.approx(tone, abs=1e-5)
    assert scene_mixes._sum(floor, tone, level_db) == pytest.approx(tone, abs=1e-5)
    added_db = 10 * np.log10(1 + 10 ** (level_db / 10))
    assert scene_mixes._sum(tone, tone, level_db) == pytest.approx(tone + added_db / 50, abs=1e-4)


def test_a_band_as_loud_as_the_drums_halves_what_a_stroke_has_of_the_sound() -> None:
    tone = np.full((2, 40, 85), 1.2, np.float32)
    hit = Hit(0.2, "snare", 90, 0.0, (-1.0, -20.0, -3.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    (beside,) = scene_mixes._beside([hit], tone, scene_mixes._sum(tone, tone, 0.0), 0.01)
    assert beside.shares_db == pytest.approx([share - 3.01 for share in hit.shares_db], abs=0.02)
    (alone,) = scene_mixes._beside([hit], tone, tone, 0.01)
    assert alone == hit


def test_a_mask_only_takes_away_and_spares_what_is_loud() -> None:
    rng = np.random.default_rng(0)
    levels = rng.uniform(0, 1.0, (2, 60, 85)).astype(np.float32)
    levels[:, 30] = 2.0
    for seed in range(10):
        masked = scene_mixes._masked(levels, np.random.default_rng(seed))
        assert (masked <= levels).all()
        assert (masked >= 0).all()
        assert np.array_equal(masked[:, 30], levels[:, 30])


@pytest.mark.parametrize("seed", range(8))
def test_an_echo_comes_once_later_softer_and_no_brighter(seed: int) -> None:
    levels = np.zeros((2, 100, 85), np.float32)
    levels[:, 10] = 1.5
    found = scene_mixes._echoed(levels, np.random.default_rng(seed))
    assert found[:, 10] == pytest.approx(levels[:, 10], abs=1e-5)
    sounding = np.flatnonzero((found[0] > 1e-3).any(axis=1))
    assert sounding[0] == 10
    assert len(sounding) == 2
    assert 6 <= sounding[1] - 10 <= 40
    echo = found[0, sounding[1]]
    assert 0.1 < echo[0] < 1.3
    assert (np.diff(echo) <= 1e-6).all()


def test_what_is_retuned_sounds_as_much_higher() -> None:
    centres_hz = DRUMS_FRONT_END.centres_hz()
    band = int(np.searchsorted(centres_hz, 1000))
    levels = np.zeros((2, 4, len(centres_hz)), np.float32)
    levels[..., band] = 1.0
    for octaves in (-1.0, -0.1, 0.0, 0.25, 1.0):
        found = scene_mixes._retuned(levels, octaves)
        peak_hz = centres_hz[found[0, 0].argmax()]
        assert np.log2(peak_hz / centres_hz[band]) == pytest.approx(octaves, abs=1 / 24 + 1e-9)
        assert found.shape == levels.shape
