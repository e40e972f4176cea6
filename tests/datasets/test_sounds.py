"""The synthetic sounds have the pitches they are asked for; the bank keeps what it is given."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tutti.datasets import note_bank
from tutti.datasets.composer import SINGER, band, guitar_solo, mono_solo, polyphonic_solo, random_cloud
from tutti.datasets.note_bank import SAMPLE_RATE_HZ, VoiceSheet, build_bank, open_bank, write_voice
from tutti.datasets.plucked import build_plucked, pluck
from tutti.datasets.singing import articulate, sing
from tutti.errors import TrainingError
from tutti.music.notes import Note


def fundamental_hz(samples: NDArray[np.floating], low_hz: float = 60.0) -> float:
    """By the first strong peak of the autocorrelation."""
    spectrum = np.fft.rfft(samples - samples.mean(), 2 * len(samples))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: len(samples) // 2]
    first = int(np.argmax(correlation < 0.3 * correlation[0]))
    lag = first + int(np.argmax(correlation[first : int(SAMPLE_RATE_HZ / low_hz)]))
    return SAMPLE_RATE_HZ / lag


@pytest.mark.parametrize("frequency_hz", [110.0, 220.0, 330.0])
def test_a_string_sounds_at_its_fundamental_and_dies_away(frequency_hz: float) -> None:
    tone = pluck(
        frequency_hz, SAMPLE_RATE_HZ, tilt=1.0, stiffness=1e-5, position=0.2, decay_per_s=3.0, brightness_loss=0.01,
        beating_hz=0.0, sharp_cents=0.0, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert fundamental_hz(tone[2400:9600]) == pytest.approx(frequency_hz, rel=0.02)
    assert np.abs(tone[-2000:]).max() < 0.3 * np.abs(tone[:2000]).max()


@pytest.mark.parametrize("seed", range(4))
def test_words_make_noises_around_the_notes_and_nowhere_else(seed: int) -> None:
    notes = [Note(1.0, 1.5, 60, 90), Note(2.5, 3.0, 62, 90)]
    noises = articulate(notes, 4.0, np.random.default_rng(seed))
    assert noises.shape == (4 * SAMPLE_RATE_HZ,)
    assert noises.dtype == np.float32
    assert np.abs(noises).max() <= 1.0
    edges_s = np.array([1.0, 1.5, 2.5, 3.0])
    sounding_s = np.flatnonzero(np.abs(noises) > 1e-4) / SAMPLE_RATE_HZ
    assert all(np.abs(edges_s - time_s).min() < 0.22 for time_s in sounding_s[:: len(sounding_s) // 50 + 1])


@pytest.mark.parametrize("seed", range(4))
def test_a_singer_sings_the_notes_and_is_quiet_between(seed: int) -> None:
    notes = [Note(0.5, 1.3, 57, 90), Note(2.0, 2.8, 64, 90)]
    voice = sing(notes, 3.5, np.random.default_rng(seed))
    assert len(voice) == round(3.5 * SAMPLE_RATE_HZ)
    for note in notes:
        middle = voice[round((note.onset_s + 0.3) * SAMPLE_RATE_HZ) : round((note.onset_s + 0.5) * SAMPLE_RATE_HZ)]
        assert 12 * np.log2(fundamental_hz(middle) / 440) + 69 == pytest.approx(note.pitch, abs=0.9)
    silent = voice[round(1.5 * SAMPLE_RATE_HZ) : round(1.8 * SAMPLE_RATE_HZ)]
    assert np.abs(silent).max() < 0.1 * np.abs(voice).max()


def test_no_notes_no_voice() -> None:
    assert not sing([], 1.0, np.random.default_rng(0)).any()


def test_a_bank_keeps_levels_and_refuses_silence(tmp_path: Path) -> None:
    sheet = VoiceSheet("v", 3, False, (60, 61), (50, 100), 0.1, 0.1, "test", "test")
    samples = np.array([[[0.1, -0.2], [0.4, 0.8]], [[0.1, 0.1], [0.2, 0.3]]], np.float32)
    write_voice(tmp_path, sheet, samples)
    (voice,) = open_bank(tmp_path).values()
    assert voice.sheet == sheet
    assert voice.has(61)
    assert not voice.has(62)
    loud, soft = voice.note(60, 100), voice.note(60, 90)
    assert np.allclose(soft / loud, 0.81, atol=1e-3)  # the square of the velocity
    assert np.allclose(loud[0] / loud[1], 0.5, atol=1e-3)
    with pytest.raises(TrainingError, match="silent"):
        write_voice(tmp_path, sheet, samples * 0)


def test_plucked_guitars_are_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutti.datasets.plucked._PITCHES", (45, 60))
    monkeypatch.setattr("tutti.datasets.plucked._HELD_S", 0.5)
    assert list(build_plucked(tmp_path, 2)) == ["plucked_000", "plucked_001"]
    assert list(build_plucked(tmp_path, 2)) == []
    first, second = open_bank(tmp_path).values()
    assert fundamental_hz(first.note(45, 110)[1000:8000]) == pytest.approx(110, rel=0.02)
    assert not np.array_equal(first.note(60, 75), second.note(60, 75))


@pytest.mark.parametrize("seed", range(6))
def test_composed_parts_stay_in_range_and_lines_have_one_note_at_a_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for parts in (polyphonic_solo(10, 0, 30, 90, rng), guitar_solo(10, 25, 40, 84, rng), band(10, [], rng)):
        for note in (note for part in parts for note in part.notes):
            assert 21 <= note.pitch <= 108
            assert 0 <= note.onset_s < note.offset_s <= 10
    (line,) = mono_solo(10, SINGER, 50, 70, rng)
    for first, second in zip(line.notes, line.notes[1:], strict=False):
        assert first.offset_s <= second.onset_s
    assert len(random_cloud(10, rng)) > 5


def test_a_bank_without_fluidsynth_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(TrainingError, match="apt-get install fluidsynth"):
        list(build_bank(tmp_path))


def test_a_missing_font_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(note_bank, "FONTS", {"fluid": (str(tmp_path / "no.sf2"), "fluid-soundfont-gm", "MIT")})
    with pytest.raises(TrainingError, match="apt-get install fluid-soundfont-gm"):
        list(build_bank(tmp_path))


LAYERS = ((1.0, "hard"), (0.4, "soft"))
ONE, TWO, NONE = (f"<filename>{name}.flac</filename>" for name in ("one", "two", "none"))


@pytest.fixture
def few_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """One pitched program, one kit, a Salamander of two notes and a Hydrogen kit; the synthesiser writes ramps."""
    font = tmp_path / "font.sf2"
    font.touch()
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(note_bank, "FONTS", {"fluid": (str(font), "fluid-soundfont-gm", "MIT")})
    monkeypatch.setattr(note_bank, "_PROGRAM_RANGES", ((range(0, 1), 60, 62, 0.5, 0.1),))
    monkeypatch.setattr(note_bank, "_DRUM_PROGRAMS", {"fluid": (0,)})
    monkeypatch.setattr(note_bank, "_SALAMANDER_LAYERS", {2: 25, 8: 65})

    def synthesise(command: list[str], **_: object) -> None:
        raw = Path(command[command.index("-F") + 1])
        rng = np.random.default_rng(0)
        (rng.random((48_000 * 400, 2), np.float32) - np.float32(0.5)).tofile(raw)

    monkeypatch.setattr(note_bank.subprocess, "run", synthesise)
    time_s = np.arange(48_000) / 48_000
    for layer in (2, 8):
        for name, pitch in (("A4", 69), ("D#5", 75)):
            tone = np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time_s) * layer / 10
            soundfile.write(tmp_path / f"{name}v{layer}.ogg", tone, 48_000)
    kit = tmp_path / "kits" / "Rock Kit"
    kit.mkdir(parents=True)
    for name, level in (("soft", 0.1), ("hard", 0.5), ("one", 0.4), ("two", 0.4), ("none", 0.0)):
        soundfile.write(
            kit / f"{name}.flac", np.exp(-np.arange(4000) / (900 if name == "two" else 500)) * level, 44_100
        )
    layers = "".join(f"<layer><max>{top}</max><filename>{name}.flac</filename></layer>" for top, name in LAYERS)
    instruments = {
        "Kick (20 inch)": layers,
        "Snare 1": ONE,
        "Snare 2": TWO,
        "Closed HH": ONE,
        "Crash": NONE,
        "Zap": ONE,
    }
    (kit / "drumkit.xml").write_text(
        '<drumkit_info xmlns="http://www.hydrogen-music.org/drumkit">'
        + "".join(f"<instrument><name>{name}</name>{files}</instrument>" for name, files in instruments.items())
        + "<instrument><name>Ride</name><filename>gone.flac</filename></instrument></drumkit_info>"
    )
    (tmp_path / "kits" / "Not a Kit").mkdir()
    monkeypatch.setattr(note_bank, "HYDROGEN_KITS", tmp_path / "kits")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Kick Low 2", 36),
        ("Kick Stomp", 36),
        ("c3 - bass drum 1", 36),
        ("Snare Low", 38),
        ("Pearl Snare Rimshot", 38),
        ("Snare Roll", None),
        ("Rim Click (Pearl Free Floating Maple 14x3.5)", 37),
        ("Pearl Side Stick", 37),
        ("Hand Clap", 39),
        ("VariBreaks Hat 1 Cl", 42),
        ("VariBreaks Hat 1 Op", 46),
        ("VariBreaks Hat 1 Pd", 44),
        ("Hi Hat Opened", 46),
        ("Side OHH", 46),
        ('Hi-Hat Semiopen (Paiste Alpha Metal edge 14")', None),
        ("Floor Tom", 43),
        ("Pearl Tom 2", 47),
        ('Tom High (Tama Superstar 12")', 50),
        ('Crash/Ride Bell (Paiste Rude Crash/Ride 18")', 53),
        ('Crash/Ride Bow (Paiste Rude Crash/Ride 18")', 51),
        ('Crash/Ride (Paiste Rude Crash/Ride 18")', 49),
        ("ride-crash20inch", 51),
        ("Paiste Bell", 53),
        ("Cowbell", None),
        ("Agogo Low (Pearl ECB-23)", None),
        ("Tambourine Pedal (Pearl PTM-10GH)", None),
        ("Bongo Lo", None),
        ("Woodblock Hi", None),
    ],
)
def test_hydrogen_names_say_what_is_struck(name: str, key: int | None) -> None:
    assert note_bank._hydrogen_key(name) == key


def test_a_bank_is_built_from_every_source_and_only_once(few_sources: Path) -> None:
    bank = few_sources / "bank"
    built = list(build_bank(bank, few_sources))
    assert built == ["fluid_000", "fluid_kit_000", "salamander", "hydrogen_rockkit_0", "hydrogen_rockkit_1"]
    assert list(build_bank(bank, few_sources)) == []
    voices = open_bank(bank)
    assert voices["fluid_000"].samples.shape == (3, 4, round(0.5 * SAMPLE_RATE_HZ))
    kits = [voices[f"hydrogen_rockkit_{variant}"] for variant in range(2)]
    assert [kit.sheet.pitches for kit in kits] == [(36, 38, 42)] * 2
    assert np.array_equal(kits[0].note(36, 100), kits[1].note(36, 100))
    assert not np.array_equal(kits[0].note(38, 100), kits[1].note(38, 100))
    tone = voices["salamander"].note(72, 65)[2000:9000]
    assert fundamental_hz(tone, 100) == pytest.approx(440 * 2 ** (3 / 12), rel=0.02)


def test_a_missing_salamander_layer_names_its_package(few_sources: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="piano-velocity2"):
        list(build_bank(few_sources / "bank", tmp_path / "kits"))
