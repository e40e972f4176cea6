from __future__ import annotations

import builtins
import hashlib
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from tutti import settings as tutti_settings
from tutti.errors import (
    Cancelled,
    CardError,
    HashMismatchError,
    InputNotFoundError,
    MissingExtraError,
    OptionError,
    OutputError,
    StrictLoadingError,
    WeightsError,
    WeightsMissingError,
)
from tutti.listening import percussive as light
from tutti.listening.htdemucs import DemucsOptions, build, open_demucs, separated
from tutti.listening.spool import Spool
from tutti.listening.stems import BACKING_FILE, DRUMS_FILE, demucs_available, separate
from tutti.weights.cards import find_card
from tutti.weights.loaded import LOADED

RATE_HZ = 44_100
SMALL = {
    "sources": ["drums", "bass", "other", "vocals"],
    "samplerate": RATE_HZ,
    "channels": 8,
    "depth": 4,
    "dconv_mode": 3,
    "bottom_channels": 16,
    "t_layers": 1,
    "t_heads": 2,
}
SEGMENT = 8_192
SMALL_CARD = f"""
name = "small"
capability = "stems"
framework = "torch"
description = "HTDemucs of toy size"
licence = "MIT"
source = "random"
parameters = 1
file = "0badcafe.safetensors"
size_bytes = {{size}}
sha256 = "{{sha256}}"
locations = ["https://example.org/0badcafe.safetensors"]

[config.network]
sources = ["drums", "bass", "other", "vocals"]
samplerate = {RATE_HZ}
segment_samples = {SEGMENT}
channels = 8
depth = 4
dconv_mode = 3
bottom_channels = 16
t_layers = 1
t_heads = 2
"""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    demucs = pytest.importorskip("demucs.htdemucs", reason="the extra demucs is not installed")
    torch.manual_seed(1)
    return demucs.HTDemucs(segment=Fraction(SEGMENT, RATE_HZ), **SMALL).eval()


@pytest.fixture
def small(network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A card "small" with its file fetched; the file's path."""
    made = tmp_path / "0badcafe.safetensors"
    save_file(network.state_dict(), made)
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    home = tmp_path / "home"
    (home / "cards").mkdir(parents=True)
    (home / "cards/small.toml").write_text(SMALL_CARD.format(size=made.stat().st_size, sha256=digest))
    monkeypatch.setenv("TUTTI_CARDS_DIR", str(home / "cards"))
    monkeypatch.setenv("TUTTI_CACHE_DIR", str(home / "cache"))
    tutti_settings.settings.cache_clear()
    fetched = home / "cache/weights" / digest / made.name
    fetched.parent.mkdir(parents=True)
    made.rename(fetched)
    return fetched


@pytest.fixture(autouse=True)
def _fresh_settings() -> Iterator[None]:
    yield
    tutti_settings.settings.cache_clear()
    LOADED.clear()


def noise(samples: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    """(samples, channels) float32 with an offset and a swell, so that normalising matters."""
    rng = np.random.default_rng(seed)
    swell = np.linspace(0.03, 0.15, samples)[:, None]
    return (rng.standard_normal((samples, channels)) * swell + 0.02).astype(np.float32)


def spool(folder: Path, samples: np.ndarray) -> Spool:
    made = Spool(folder, samples.shape[1])
    for block in np.array_split(samples, 3):
        made.append(block)
    made.finish()
    return made


def joined(blocks: Iterator[np.ndarray]) -> np.ndarray:
    return np.concatenate(list(blocks), axis=1)


# --- the recording on disk


@hypothesis_settings(max_examples=30, deadline=None)
@given(start=st.integers(-50, 150), size=st.integers(0, 200), channels=st.integers(1, 2))
def test_a_spool_reads_anywhere_and_is_silent_outside(
    start: int, size: int, channels: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    samples = noise(100, channels)
    with spool(tmp_path_factory.getbasetemp(), samples) as mix:
        padded = np.pad(samples, ((50, 250), (0, 0)))
        np.testing.assert_array_equal(mix.read(start, start + size), padded[start + 50 : start + 50 + size].T)


# --- Demucs


def whole(network: nn.Module, samples: np.ndarray, **options: Any) -> np.ndarray:
    """What demucs itself makes of a recording in memory, normalised as its `Separator` does it."""
    from demucs.apply import apply_model

    mix = torch.from_numpy(samples.T)
    reference = mix.mean(0)
    mean, deviation = reference.mean(), reference.std() + 1e-8
    out = apply_model(network, ((mix - mean) / deviation)[None], **options)[0, 0]
    return (out * deviation + mean).numpy()


@pytest.mark.parametrize(
    ("samples", "overlap"), [(1000, 0.25), (SEGMENT - 1, 0.25), (SEGMENT + 1, 0.6), (3 * SEGMENT, 0.25), (35_001, 0.1)]
)
@pytest.mark.usefixtures("small")
def test_streamed_equals_whole(samples: int, overlap: float, network: nn.Module, tmp_path: Path) -> None:
    song = noise(samples)
    demucs = open_demucs(DemucsOptions(model="small", overlap=overlap))
    with spool(tmp_path, song) as mix:
        streamed = joined(demucs.drums(mix))
    np.testing.assert_allclose(streamed, whole(network, song, shifts=0, overlap=overlap), atol=1e-5)


@pytest.mark.usefixtures("small")
def test_a_shift_is_drawn_by_a_generator_of_its_own(network: nn.Module, tmp_path: Path) -> None:
    song = noise(20_000)
    with spool(tmp_path, song) as mix:
        streamed = joined(open_demucs(DemucsOptions(model="small", shifts=1, seed=7)).drums(mix))
    state = random.getstate()
    random.seed(7)
    expected = whole(network, song, shifts=1)
    random.setstate(state)
    np.testing.assert_allclose(streamed, expected, atol=1e-5)


def test_several_shifts_are_averaged(tmp_path: Path) -> None:
    def separate_somehow(window: Tensor) -> Tensor:
        return window.cumsum(dim=1) / 1000  # what it gives depends on where the window begins

    def heard(shifts: list[int]) -> np.ndarray:
        return joined(separated(mix, separate_somehow, segment=4000, overlap=0.25, shifts=shifts))

    with spool(tmp_path, noise(20_000)) as mix:
        np.testing.assert_allclose(heard([10, 777]), (heard([10]) + heard([777])) / 2, atol=1e-6)
        assert np.abs(heard([10]) - heard([777])).max() > 1e-3


@pytest.mark.usefixtures("small")
def test_shorter_windows(network: nn.Module, tmp_path: Path) -> None:
    song, segment_s = noise(12_000), 0.1
    demucs = open_demucs(DemucsOptions(model="small", segment_s=segment_s))
    with spool(tmp_path, song) as mix:
        streamed = joined(demucs.drums(mix))
    np.testing.assert_allclose(streamed, whole(network, song, shifts=0, segment=segment_s), atol=1e-5)


@pytest.mark.usefixtures("small")
def test_one_channel_is_heard_as_two_equal_ones(network: nn.Module, tmp_path: Path) -> None:
    song = noise(12_000, channels=1)
    with spool(tmp_path, song) as mix:
        streamed = joined(open_demucs(DemucsOptions(model="small")).drums(mix))
    expected = whole(network, np.repeat(song, 2, axis=1), shifts=0).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(streamed, expected, atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_silence_stays_silent(level: float, tmp_path: Path) -> None:
    def never(_segment: Tensor) -> Tensor:
        raise AssertionError("silence was sent through the network")

    with spool(tmp_path, np.full((5000, 2), level, np.float32)) as mix:
        drums = joined(separated(mix, never, segment=2000, overlap=0.25, shifts=None))
    np.testing.assert_array_equal(drums, np.zeros((2, 5000), np.float32))


@hypothesis_settings(max_examples=15, deadline=None)
@given(
    length=st.integers(1, 900), segment=st.integers(2, 200), overlap=st.sampled_from([0, 0.25, 0.5]),
    shifts=st.none() | st.lists(st.integers(0, 120), min_size=1, max_size=3),
)  # fmt: skip
def test_windows_add_up_to_what_went_in(
    length: int, segment: int, overlap: float, shifts: list[int] | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    song = noise(length)
    with spool(tmp_path_factory.getbasetemp(), song) as mix:
        same = joined(separated(mix, lambda window: window, segment=segment, overlap=overlap, shifts=shifts))
    assert same.shape == (2, length)
    if length > 1:  # one sample has no deviation
        np.testing.assert_allclose(same, song.T, atol=1e-5)


def test_the_full_network_is_the_published_one() -> None:
    pytest.importorskip("demucs.htdemucs", reason="the extra demucs is not installed")
    card = find_card("htdemucs")
    with torch.device("meta"):
        network: Any = build(card, None)
    assert sum(parameter.numel() for parameter in network.parameters()) == card.parameters == 41_984_456
    assert len(network.state_dict()) == 533
    assert (network.sources[0], int(network.segment * network.samplerate)) == ("drums", 343_980)
    assert card.sha256.startswith("d9fa1413")


# --- where its weights come from


def test_available_is_when_package_and_weights_are_here(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = DemucsOptions(model="small")
    assert demucs_available(options)
    assert not demucs_available()  # the public weights are not in the test's cache
    assert demucs_available(DemucsOptions(model="small", repository=small.parent))
    assert not demucs_available(DemucsOptions(model="small", repository=small.parent.parent))
    monkeypatch.setitem(sys.modules, "demucs", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert not demucs_available(options)


@pytest.mark.usefixtures("small")
def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    imported: Callable[..., Any] = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("demucs"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'tutti\[demucs\]'"):
        separate((noise(1000), RATE_HZ), tmp_path / "out", "demucs", demucs=DemucsOptions(model="small"))


def test_another_file_than_the_card_names(small: Path) -> None:
    small.write_bytes(small.read_bytes()[:-4] + b"\1\2\3\4")
    with pytest.raises(HashMismatchError):
        open_demucs(DemucsOptions(model="small"))


def test_weights_that_are_not_here(small: Path, tmp_path: Path) -> None:
    small.unlink()
    with pytest.raises(WeightsMissingError, match="tutti models pull small"):
        open_demucs(DemucsOptions(model="small"))
    with pytest.raises(WeightsMissingError, match=r"0badcafe\.safetensors"):
        open_demucs(DemucsOptions(model="small", repository=tmp_path))


@pytest.mark.usefixtures("small")
def test_a_model_for_something_else() -> None:
    with pytest.raises(CardError, match="separates nothing"):
        open_demucs(DemucsOptions(model="tutti-notes"))


def pickled(folder: Path, network: nn.Module, **more: Any) -> Path:
    """The network as the authors publish theirs: class, arguments, half-precision state; a hash in the name."""
    package = {
        "klass": type(network),
        "args": (),
        "kwargs": {"segment": Fraction(39, 5), "sources": ["drums"]},
        "state": {key: value.half() for key, value in network.state_dict().items()},
        "training_args": {"seed": 42, "demucs": {"growth": 2.0}},
        **more,
    }
    path = folder / "made.th"
    torch.save(package, path)
    return path.rename(folder / f"0badcafe-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.th")


@pytest.mark.parametrize("kind", ["safetensors", "pickle"])
def test_weights_from_a_folder(kind: str, small: Path, network: nn.Module, tmp_path: Path) -> None:
    repository = small.parent if kind == "safetensors" else pickled(tmp_path, network).parent
    demucs = open_demucs(DemucsOptions(model="small", repository=repository))
    state = {key: value.half() for key, value in network.state_dict().items()}
    loaded = {key: value.half() for key, value in demucs.network.state_dict().items()}
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    assert not demucs.network.training
    (file,) = repository.glob("0badcafe*")
    assert demucs.detail()["weights_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


class Attack:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('the pickle ran')",)


@pytest.mark.usefixtures("small")
def test_a_pickle_cannot_run_anything(network: nn.Module, tmp_path: Path) -> None:
    path = pickled(tmp_path, network, training_args=Attack())
    with pytest.raises(SystemExit):
        torch.load(path, weights_only=False)
    with pytest.raises(WeightsError, match="is no state of Demucs"):
        open_demucs(DemucsOptions(model="small", repository=tmp_path))


@pytest.mark.usefixtures("small")
def test_a_pickle_must_be_the_one_its_name_says(network: nn.Module, tmp_path: Path) -> None:
    pickled(tmp_path, network).rename(tmp_path / "0badcafe-00000000.th")
    with pytest.raises(HashMismatchError, match="does not begin with the digits"):
        open_demucs(DemucsOptions(model="small", repository=tmp_path))


@pytest.mark.parametrize("content", [b"", b"no archive", pickle.dumps([1, 2], 2), pickle.dumps({"state": {}}, 2)[:-4]])
@pytest.mark.usefixtures("small")
def test_files_that_are_no_state(content: bytes, tmp_path: Path) -> None:
    digits = hashlib.sha256(content).hexdigest()[:8]
    (tmp_path / f"0badcafe-{digits}.th").write_bytes(content)
    with pytest.raises(WeightsError):
        open_demucs(DemucsOptions(model="small", repository=tmp_path))


@pytest.mark.usefixtures("small")
def test_weights_of_another_network(network: nn.Module, tmp_path: Path) -> None:
    state = dict(network.state_dict())
    state.pop("freq_emb.embedding.weight")
    save_file(state, tmp_path / "0badcafe.safetensors")
    with pytest.raises(StrictLoadingError, match=r"missing: freq_emb\.embedding\.weight"):
        open_demucs(DemucsOptions(model="small", repository=tmp_path))


@pytest.mark.parametrize("wrong", [{"shifts": -1}, {"overlap": 1.0}, {"overlap": -0.1}, {"segment_s": 0.0}])
def test_options_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        DemucsOptions(**wrong)


@pytest.mark.usefixtures("small")
def test_windows_longer_than_the_network_hears() -> None:
    with pytest.raises(OptionError, match="too long"):
        open_demucs(DemucsOptions(model="small", segment_s=8.0))


# --- light


def strokes_and_chords(seconds: float = 6.0, channels: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """(drums, rest), each (n, channels): kicks and noise bursts; chords over a bass."""
    rng = np.random.default_rng(3)
    samples = round(seconds * RATE_HZ)
    drums, rest = np.zeros(samples), np.zeros(samples)
    time_s = np.arange(13_000) / RATE_HZ
    kick = np.sin(2 * np.pi * (50 * time_s + 1.5 * (1 - np.exp(-40 * time_s)))) * np.exp(-9 * time_s)
    for at in range(0, samples - 13_000, 11_025):
        drums[at : at + 13_000] += 0.1 * rng.standard_normal(13_000) * np.exp(-40 * time_s)
        if at % 44_100 == 0:
            drums[at : at + 13_000] += 0.8 * kick
    time_s = np.arange(samples) / RATE_HZ
    for pitch_hz in (55.0, 220.0, 277.2, 329.6):
        for harmonic in range(1, 6):
            rest += 0.1 / harmonic * np.sin(2 * np.pi * pitch_hz * harmonic * time_s)
    pan = np.array([0.9, 0.6])[:channels]
    return (drums[:, None] * pan).astype(np.float32), np.repeat(rest[:, None], channels, axis=1).astype(np.float32)


def scale_invariant_db(truth: np.ndarray, estimate: np.ndarray) -> float:
    target = truth * (np.vdot(truth, estimate) / np.vdot(truth, truth))
    return float(10 * np.log10((target**2).sum() / ((target - estimate) ** 2).sum()))


def test_light_separates_strokes_from_tones(tmp_path: Path) -> None:
    drums, rest = strokes_and_chords()
    with spool(tmp_path, drums + rest) as mix:
        heard = joined(light.percussive(mix)).T
    assert scale_invariant_db(drums, drums + rest) < 0
    assert scale_invariant_db(drums, heard) > 5
    assert scale_invariant_db(rest, drums + rest - heard) > 5


@pytest.mark.parametrize("samples", [1, 500, 1024, 2048, 100_000])
def test_light_does_not_depend_on_its_blocks(samples: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with spool(tmp_path, noise(samples)) as mix:
        once = joined(light.percussive(mix))
        monkeypatch.setattr(light, "_BLOCK_FRAMES", 7)
        again = joined(light.percussive(mix))
    assert once.shape == (2, samples)
    np.testing.assert_allclose(again, once, atol=1e-6)


def test_light_gives_all_where_everything_is_struck(tmp_path: Path) -> None:
    """The windows add up: a lone click comes out as it went in."""
    click = np.zeros((30_000, 1), np.float32)
    click[12_345] = 1
    with spool(tmp_path, click) as mix:
        np.testing.assert_allclose(joined(light.percussive(mix)).T, click, atol=1e-5)


# --- files


def read(path: Path | None) -> tuple[np.ndarray, int]:
    assert path is not None
    return soundfile.read(path, dtype="float32", always_2d=True)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_drums_and_the_rest_add_up_to_the_recording(channels: int, tmp_path: Path) -> None:
    song = noise(3 * RATE_HZ, channels)
    stems = separate((song, RATE_HZ), tmp_path / "out" / "deep", "light")
    assert stems.method == "light"
    assert stems.detail == {"method": "light", "asked": "light"}
    (drums, rate_hz), (backing, _) = read(stems.drums), read(stems.backing)
    assert (rate_hz, drums.shape) == (RATE_HZ, (3 * RATE_HZ, min(channels, 2)))
    np.testing.assert_allclose(drums + backing, song[:, :2], atol=1e-6)
    assert {path.name for path in (tmp_path / "out" / "deep").iterdir()} == {DRUMS_FILE, BACKING_FILE}


def test_demucs_from_a_file_to_files(small: Path, network: nn.Module, tmp_path: Path) -> None:
    song = noise(30_000)
    soundfile.write(tmp_path / "song.wav", song, RATE_HZ, subtype="FLOAT")
    steps: list[tuple[str, float, float]] = []
    stems = separate(
        tmp_path / "song.wav",
        tmp_path / "out",
        demucs=DemucsOptions(model="small"),
        on_progress=lambda *step: steps.append(step),
    )
    assert stems.method == "demucs"
    (drums, _), (backing, _) = read(stems.drums), read(stems.backing)
    expected = np.clip(whole(network, song, shifts=0).T, -1, 1)
    np.testing.assert_allclose(drums, expected, atol=1e-5)
    np.testing.assert_allclose(backing, np.clip(song - expected, -1, 1), atol=1e-5)
    assert stems.detail | {"demucs_version": "4"} == {
        "method": "demucs", "asked": "auto", "model": "small", "weights_sha256": small.parent.name, "device": "cpu",
        "shifts": 0, "overlap": 0.25, "segment_s": SEGMENT / RATE_HZ, "seed": 0, "demucs_version": "4",
    }  # fmt: skip
    assert {stage for stage, _, _ in steps} == {"read", "separate"}
    assert steps[-1] == ("separate", 30_000 / RATE_HZ, 30_000 / RATE_HZ)
    assert [done for stage, done, _ in steps if stage == "separate"] == sorted(
        done for stage, done, _ in steps if stage == "separate"
    )


@pytest.mark.parametrize("method", ["auto", "none"])
@pytest.mark.usefixtures("small")
def test_without_separation_nothing_is_touched(method: Any, tmp_path: Path) -> None:
    stems = separate(tmp_path / "no such file", tmp_path / "out", method)
    assert (stems.method, stems.drums, stems.backing) == ("none", None, None)
    assert stems.detail == {"method": "none", "asked": method}
    assert not (tmp_path / "out").exists()


def test_what_is_beyond_full_scale_is_said(tmp_path: Path) -> None:
    song = np.zeros((RATE_HZ, 1), np.float32)
    song[20_000] = 1.5
    stems = separate((song, RATE_HZ), tmp_path, "light")
    assert stems.warnings == ("1 samples of the stems were beyond full scale; they were clipped in the files.",)
    assert read(stems.drums)[0].max() <= 1


@pytest.mark.parametrize("stage", ["read", "separate"])
def test_a_stop_leaves_what_was_there(stage: str, tmp_path: Path) -> None:
    (tmp_path / DRUMS_FILE).write_bytes(b"of before")
    seen: list[str] = []
    with pytest.raises(Cancelled):
        separate(
            (noise(25 * RATE_HZ, 1), RATE_HZ),
            tmp_path,
            "light",
            on_progress=lambda name, _done, _total: seen.append(name),
            cancelled=lambda: stage in seen,
        )
    assert [path.name for path in tmp_path.iterdir()] == [DRUMS_FILE]
    assert (tmp_path / DRUMS_FILE).read_bytes() == b"of before"


def test_a_recording_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError):
        separate(tmp_path / "no such file", tmp_path / "out", "light")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_method_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="auto, demucs, light, none"):
        separate(tmp_path / "song.wav", tmp_path, "best")  # type: ignore[arg-type]


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(OutputError, match="choose another folder"):
        separate((noise(1000), RATE_HZ), tmp_path / "out", "light")


@pytest.mark.parametrize("stage", ["read", "separate"])
def test_a_full_disk(stage: str, tmp_path: Path) -> None:
    """No file may grow beyond what the stage that is named has begun with."""
    resource = pytest.importorskip("resource", reason="the system has no limit for the size of files")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(name: str, _done: float, _total: float) -> None:
        if name == stage:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))

    song = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE_HZ * 25, 1)).astype(np.float32)
    try:
        with pytest.raises(OutputError, match="The stems could not be written"):
            separate((song, RATE_HZ), tmp_path, "light", on_progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
