"""A note bank of sines and two tiny MIDI data sets, so that no sound font is needed."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from tutti.datasets.note_bank import SAMPLE_RATE_HZ, VoiceSheet, write_voice
from tutti.music.midi import write_midi
from tutti.music.notes import Note, Notes, PedalEvent

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
