"""Kits from the system's packages: the right sounds under the right keys, each from its attack on."""

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tutti.datasets import drum_voices
from tutti.datasets.drum_voices import (
    aligned,
    attack_delays,
    attack_sample,
    build_drum_voices,
    is_electronic,
    read_gus_patch,
)
from tutti.datasets.note_bank import DRUM_KEYS, SAMPLE_RATE_HZ, Voice, VoiceSheet, open_bank, write_voice
from tutti.errors import TrainingError
from tutti.music.drum_kit import class_of_key


def stroke(delay: int, decay_s: float = 0.05, rise_s: float = 0.0) -> np.ndarray:
    time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    rise = 1.0 if rise_s == 0.0 else 1 - np.exp(-time_s / rise_s)
    sound = np.random.default_rng(0).normal(0, 0.2, SAMPLE_RATE_HZ) * np.exp(-time_s / decay_s) * rise
    return np.concatenate([np.zeros(delay), sound]).astype(np.float32)


@given(st.integers(0, 3000), st.floats(0.01, 1.0))
def test_an_attack_is_found_where_the_silence_ends(delay: int, decay_s: float) -> None:
    assert delay <= attack_sample(stroke(delay, decay_s)) <= delay + 24


def test_hum_before_the_stroke_is_not_its_attack() -> None:
    sound = stroke(2000)
    sound[:2000] += 0.01 * np.sin(np.arange(2000) / 50).astype(np.float32)
    assert 2000 <= attack_sample(sound) <= 2024


def test_a_cymbal_begins_when_struck_not_when_it_has_bloomed() -> None:
    struck = stroke(1000, 0.8, rise_s=0.2)
    assert attack_sample(struck) < 1000 + 0.02 * SAMPLE_RATE_HZ
    assert np.argmax(np.abs(struck)) > 1000 + 0.02 * SAMPLE_RATE_HZ


def test_aligned_strokes_begin_at_once() -> None:
    assert attack_sample(aligned(stroke(1234))) <= 24


def test_delays_are_told_for_every_stroke_of_a_voice(tmp_path: Path) -> None:
    sheet = VoiceSheet("late", 0, True, (36, 38), (60, 120), 1.0, 0.1, "t", "t")
    delays = np.array([[0, 100], [200, 4000]])
    samples = np.stack([np.stack([stroke(delay)[:SAMPLE_RATE_HZ] for delay in row]) for row in delays])
    write_voice(tmp_path, sheet, samples)
    voice = open_bank(tmp_path)["late"]
    found = attack_delays(voice)
    assert found.shape == (2, 2)
    assert np.all((found >= delays) & (found <= delays + 24))
    assert attack_delays(Voice(voice.sheet, voice.path)) is found


def test_a_silent_stroke_has_no_delay() -> None:
    assert attack_sample(np.zeros(500, np.float32)) == 0


@pytest.mark.parametrize(
    ("name", "electronic"),
    [
        ("struck_003", False),
        ("struck_e_003", True),
        ("fluid_kit_000", False),
        ("fluid_kit_025", True),
        ("hydrogen_tr808emulationkit_0", True),
        ("hydrogen_gmrockkit_0", False),
        ("avldrums_blackpearl_0", False),
        ("oneshots_004", True),
    ],
)
def test_kits_are_known_as_acoustic_or_electronic(name: str, electronic: bool) -> None:
    assert is_electronic(name) is electronic


def gus_patch(wave: bytes, mode: int, rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    sample = bytearray(96)
    struct.pack_into("<I", sample, 8, len(wave))
    struct.pack_into("<H", sample, 20, rate_hz)
    sample[55] = mode
    return b"GF1PATCH110\0".ljust(129 + 63 + 47, b"\0") + bytes(sample) + wave


def test_gus_patches_of_every_sample_format_say_the_same() -> None:
    wave = np.round(100 * np.sin(np.arange(600) / 7)).astype(np.int16)
    expected = wave / 128
    for mode, raw in (
        (0, wave.astype("i1").tobytes()),
        (2, (wave + 128).astype("u1").tobytes()),
        (1, (wave * 256).astype("<i2").tobytes()),
        (3, (wave.astype("<i4") * 256 + 32768).astype("<u2").tobytes()),
    ):
        np.testing.assert_allclose(read_gus_patch(gus_patch(raw, mode)), expected, atol=1e-6)


def test_a_gus_patch_is_resampled_and_other_files_refused() -> None:
    assert len(read_gus_patch(gus_patch(bytes(4000), 0, 2 * SAMPLE_RATE_HZ))) == 2000
    with pytest.raises(TrainingError, match="GF1PATCH1"):
        read_gus_patch(b"RIFF")


@pytest.fixture
def few_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One-shots of two packages and a patch; the sound fonts are missing."""
    monkeypatch.setattr(drum_voices, "SYSTEM", tmp_path)
    monkeypatch.setattr(drum_voices, "_ONESHOT_KITS", 2)
    monkeypatch.setattr(drum_voices, "_ONESHOTS", {36: "bd_one bd_two bd_three", 42: "hihat_closed01"})
    pieces = {38: ("soft.flac", "hard.flac"), 42: ("bd_one.flac",)}
    kit = drum_voices._FileKit("files_kit_000", "sonic-pi/samples", "sonic-pi-samples", "CC0", pieces)
    monkeypatch.setattr(drum_voices, "_FILE_KITS", (kit,))
    for folder, name, decay_s in (
        ("sonic-pi/samples", "bd_one.flac", 0.02), ("sonic-pi/samples", "bd_two.flac", 0.04),
        ("sonic-pi/samples", "bd_three.flac", 0.08), ("lmms/samples/drums", "hihat_closed01.ogg", 0.01),
        ("sonic-pi/samples", "soft.flac", 0.01), ("sonic-pi/samples", "hard.flac", 0.2),
    ):  # fmt: skip
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / folder / name, stroke(500, decay_s), 2 * SAMPLE_RATE_HZ)
    patches = tmp_path / "midi/freepats/Drum_000"
    patches.mkdir(parents=True)
    (patches / "036_Kick_2.pat").write_bytes(gus_patch((stroke(300) * 20_000).astype("<i2").tobytes(), 1))
    return tmp_path


def test_kits_are_built_from_what_is_there_and_only_once(few_sources: Path) -> None:
    bank = few_sources / "bank"
    names = ["files_kit_000", "freepats_kit_000", "oneshots_000", "oneshots_001"]
    assert list(build_drum_voices(bank)) == names
    assert list(build_drum_voices(bank)) == []
    voices = open_bank(bank)
    for voice in voices.values():
        assert attack_delays(voice).max() <= 24
    files = voices["files_kit_000"]
    soft, hard = files.samples[0, 0].astype(float), files.samples[0, -1].astype(float)
    assert np.abs(soft).max() / np.abs(hard).max() == pytest.approx((30 / 120) ** 2, rel=0.02)
    assert np.sum(soft**2) / np.abs(soft).max() ** 2 < 0.5 * np.sum(hard**2) / np.abs(hard).max() ** 2
    kicks = [voices[name].samples[0].astype(float) for name in names[2:]]
    assert not np.array_equal(*kicks)
    assert np.abs(voices["oneshots_000"].samples[1]).max() < 0.5 * np.abs(kicks[0]).max()  # hats are quieter


def test_a_missing_one_shot_says_what_to_install(few_sources: Path) -> None:
    (few_sources / "lmms/samples/drums/hihat_closed01.ogg").unlink()
    with pytest.raises(TrainingError, match="apt-get install sonic-pi-samples lmms-common"):
        list(build_drum_voices(few_sources / "bank"))


def test_every_key_of_every_kit_is_part_of_a_drum_set() -> None:
    extras = {54, 56, 69, 70, 75}
    maps = [set(kit.keys) for kit in drum_voices._FONT_KITS] + [set(kit.pieces) for kit in drum_voices._FILE_KITS]
    for keys in maps:
        assert all(class_of_key(key) or key in extras for key in keys)
        assert keys <= {*DRUM_KEYS}


def test_real_kits_hold_the_pieces_their_fonts_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    font = drum_voices.SYSTEM / "sounds/sf2/Black_Pearl_4_LV2.sf2"
    if not font.exists():
        pytest.skip("needs the Debian package avldrums.lv2-soundfont")
    if shutil.which("fluidsynth") is None:
        pytest.skip("needs FluidSynth")
    kit = drum_voices._FONT_KITS[0]
    few = drum_voices._FontKit(
        kit.name, kit.font, kit.package, kit.licence, False, 0, {42: (42, 0.0), 49: (49, 0.0), 50: (45, 3.5)}, (40, 120)
    )
    monkeypatch.setattr(drum_voices, "_FONT_KITS", (few,))
    monkeypatch.setattr(drum_voices, "_FILE_KITS", ())
    monkeypatch.setattr(drum_voices, "_build_oneshots", lambda _: iter(()))
    monkeypatch.setattr(drum_voices, "_build_freepats", lambda _: iter(()))
    assert list(build_drum_voices(tmp_path)) == [kit.name]
    voice = open_bank(tmp_path)[kit.name]
    assert voice.sheet.pitches == (42, 49, 50)
    assert attack_delays(voice).max() <= 24
    tail = round(0.5 * SAMPLE_RATE_HZ)
    hat, crash = voice.samples[0, 1].astype(float), voice.samples[1, 1].astype(float)
    assert np.sum(hat[tail:] ** 2) < 1e-3 * np.sum(hat**2)
    assert np.sum(crash[tail:] ** 2) > 0.05 * np.sum(crash**2)
