"""A note bank of sines and two tiny MIDI data sets, so that no sound font is needed."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tutti.datasets.note_bank import SAMPLE_RATE_HZ, VoiceSheet, write_voice
from tutti.music.drum_kit import DRUM_CLASSES, key_of_class
from tutti.music.midi import write_midi
from tutti.music.notes import Note, Notes, PedalEvent
from tutti.settings import settings
from tutti.weights import cards

KIT = (36, 38, 42, 46, 49, 51)


@pytest.fixture(scope="session")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decaying sine for every program and pitch, and a kit of clicks."""
    folder = tmp_path_factory.mktemp("bank")
    time_s = np.arange(round(0.6 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    pitches = tuple(range(21, 109))
    frequency_hz = 440 * 2 ** ((np.array(pitches) - 69) / 12)
    tones = np.sin(2 * np.pi * frequency_hz[:, None] * time_s) * np.exp(-2 * time_s)
    samples = np.stack([tones * 0.2, tones * 0.8], axis=1).astype(np.float32)
    sheet = VoiceSheet("sine_000", 0, False, pitches, (45, 90), 0.6, 0.05, "t", "t")
    write_voice(folder, sheet, samples)
    for program in range(1, 96):
        name = f"sine_{program:03d}"
        (folder / f"{name}.npy").hardlink_to(folder / "sine_000.npy")
        (folder / f"{name}.json").write_text(json.dumps({**asdict(sheet), "name": name, "program": program}))
    rng = np.random.default_rng(0)
    clicks = rng.normal(0, 0.3, (len(KIT), 1, 4000)) * np.exp(-np.arange(4000) / 400)
    write_voice(folder, VoiceSheet("kit", 0, True, KIT, (100,), 0.1, 0.1, "t", "t"), clicks.astype(np.float32))
    return folder


@pytest.fixture(scope="session")
def percepiano_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("percepiano")
    (root / "midi").mkdir()
    for name, low in (("train", 50), ("held", 70)):
        notes = [Note(0.3 * i, 0.3 * i + 0.2, low + i % 12, 60 + i) for i in range(40)]
        write_midi(Notes.of(notes, [PedalEvent(1.0, 2.0)]), root / "midi" / f"{name}.mid")
    (root / "groups.csv").write_text("segment_id,group_id,score_family\ns1,g1,F01\ns2,g2,F04\n")
    (root / "clips.csv").write_text("clip_id,segment_id,midi\na,s1,midi/train.mid\nb,s2,midi/held.mid\n")
    return root


@pytest.fixture(scope="session")
def groove_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("gmd")
    (root / "midi" / "d1").mkdir(parents=True)
    rows = ["midi_filename,split,beat_type"]
    for name, split, keys in (("one", "train", (36, 22, 38, 26)), ("two", "validation", (36, 75))):
        notes = [Note(0.25 * i, 0.25 * i + 0.1, keys[i % len(keys)], 90, 0, True) for i in range(60)]
        write_midi(Notes.of(notes), root / "midi" / "d1" / f"{name}.mid")
        rows.append(f"d1/{name}.mid,{split},beat")
    (root / "info.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="session")
def drum_bank(bank: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bank with two kits of all fourteen pieces besides, clicks that sound from their first sample on."""
    folder = tmp_path_factory.mktemp("drum_bank")
    for path in bank.iterdir():
        (folder / path.name).hardlink_to(path)
    keys = tuple(key_of_class(name) for name in DRUM_CLASSES)
    for seed, name in enumerate(("whole_kit", "held_kit")):
        rng = np.random.default_rng(seed)
        clicks = rng.normal(0, 0.3, (len(keys), 2, 2400)) * np.exp(-np.arange(2400) / 200)
        clicks[:, :, 0] = 0.5
        write_voice(folder, VoiceSheet(name, 0, True, keys, (40, 100), 0.1, 0.1, "t", "t"), clicks.astype(np.float32))
    return folder


CLICK_RATE_HZ = 24_000
TINY_DRUMS = {"stem": 2, "column": 2, "width": 8, "dilations": (1, 2), "kernel": 3}
TINY_STROKE_BEATS = {"width": 4, "dilations": (1,), "kernel": 3}
TINY_BEATS = {"stem": 2, "column": 2, "width": 8, "dilations": (1, 2), "kernel": 3}


def clicks(times_s: Any, duration_s: float) -> NDArray[np.float32]:
    """A burst of noise at each of `times_s`, at CLICK_RATE_HZ."""
    burst = np.random.default_rng(0).normal(0, 0.2, 480) * np.exp(-np.arange(480) / 100)
    samples = np.zeros(round(duration_s * CLICK_RATE_HZ) + 480, np.float32)
    for time_s in times_s:
        begin = round(time_s * CLICK_RATE_HZ)
        samples[begin : begin + 480] += burst.astype(np.float32)
    return samples[:-480]


@pytest.fixture(scope="session")
def tiny_cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cards and weights of two small random networks, whose last layers are set to answer to clicks and to nothing
    else: tutti-drums hears a kick and a closed hi-hat in each, tutti-beats a beat."""
    import torch
    from safetensors.torch import save

    from tutti.audio.bands import STEPS_PER_UNIT, stored_levels
    from tutti.capabilities.drums.models.tutti_drums import DrumsNet, DrumsNetConfig
    from tutti.listening.beat_net import BeatNet, BeatNetConfig, StrokeBeatNet, StrokeBeatNetConfig

    folder = tmp_path_factory.mktemp("tiny_cards")
    (levels,) = stored_levels([clicks([2.0], 4.0)])
    units = torch.from_numpy(levels).float()[None] / STEPS_PER_UNIT

    @torch.no_grad()
    def answering(network: torch.nn.Module, row: int, heads: dict[str, list[float]]) -> torch.nn.Module:
        """Each head answers -6 to silence and -6 plus its strength to the click at `row`."""
        found: list[torch.Tensor] = []
        network.eval()
        hook = network.context.register_forward_hook(lambda *call: found.append(call[2][0]))  # type: ignore[union-attr, operator]
        network(units)
        hook.remove()
        (vectors,) = found
        silence = vectors[:, vectors.shape[1] // 4]
        toward = vectors[:, row] - silence
        toward /= toward.square().sum()
        for name, strengths in heads.items():
            head = getattr(network, name)
            weight = torch.tensor(strengths)[:, None] * toward
            head.weight.copy_(weight[..., None])
            head.bias.copy_(-6 - weight @ silence)
        return network

    def write(name: str, capability: str, network: torch.nn.Module, config: str) -> None:
        data = save({key: value.contiguous() for key, value in network.state_dict().items()})
        path = folder / "weights" / sha256(data).hexdigest() / f"{name}.safetensors"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        parameters = sum(value.numel() for value in network.parameters())
        (folder / f"{name}.toml").write_text(
            f'name = "{name}"\ncapability = "{capability}"\nframework = "torch"\ndescription = "of the tests"\n'
            f'licence = "Apache-2.0"\nsource = "the tests"\nparameters = {parameters}\nfile = "{path.name}"\n'
            f'size_bytes = {len(data)}\nsha256 = "{sha256(data).hexdigest()}"\n'
            f'locations = ["{path.as_uri()}"]\n{config}'
        )

    def table(name: str, values: dict[str, Any]) -> str:
        rows = (f"{key} = {list(value) if isinstance(value, tuple) else value}\n" for key, value in values.items())
        return f"[config.{name}]\n" + "".join(rows)

    torch.manual_seed(1)
    strengths = [10.0 if name in ("kick", "hihat_closed") else 1.0 for name in DRUM_CLASSES]
    drums = answering(DrumsNet(DrumsNetConfig(**TINY_DRUMS)), 200, {"onset": strengths, "velocity": [6.5] * 14})  # type: ignore[arg-type]
    thresholds = dict.fromkeys(("kick", "snare", "hihat", "tom", "cymbal"), 0.5)
    config = '[config]\nkind = "frames"\n' + table("network", TINY_DRUMS) + table("thresholds", thresholds)
    config += table("calibration", {"slope": (10.0,) * 5, "middle": (0.3,) * 5})
    write("tutti-drums", "drums", drums, config)
    beats = answering(BeatNet(BeatNetConfig(**TINY_BEATS)), 100, {"heads": [10.0, 7.0]})  # type: ignore[arg-type]
    tracking = table("tracking", {"metres": (3, 4), "strokes_share": 0.0})
    write("tutti-beats", "beats", beats, table("network", TINY_BEATS) + tracking)
    reader = StrokeBeatNet(StrokeBeatNetConfig(**TINY_STROKE_BEATS))  # type: ignore[arg-type]
    write("tutti-stroke-beats", "beats", reader, '[config]\nhears = "strokes"\n' + table("network", TINY_STROKE_BEATS))
    return folder


@pytest.fixture
def tiny_models(tiny_cards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No models but those of `tiny_cards`."""
    monkeypatch.setattr(cards, "BUNDLED_CARDS", tmp_path / "no cards")
    monkeypatch.setenv("TUTTI_CARDS_DIR", str(tiny_cards))
    monkeypatch.setenv("TUTTI_CACHE_DIR", str(tiny_cards))
    settings.cache_clear()
    yield tiny_cards
    settings.cache_clear()
