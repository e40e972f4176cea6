import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tutti.capabilities.transcription import train_mt3 as recipe_module
from tutti.capabilities.transcription.codec import EOS, PAD
from tutti.capabilities.transcription.families import FAMILIES, program_of_family
from tutti.capabilities.transcription.models.mt3_network import Mt3Network
from tutti.capabilities.transcription.mt3_head_start import begin_well, harmonic_templates
from tutti.capabilities.transcription.train_mt3 import CODEC, FRONT_END, Recipe, train
from tutti.datasets.audio_shards import AudioShards
from tutti.errors import TrainingError
from tutti.nets.t5_config import T5Config
from tutti.training import material
from tutti.training.recipes import read_recipe
from tutti.weights.opening import open_strict

ROOT = Path(__file__).parents[3]


@pytest.fixture
def recipe(
    tmp_path: Path, bank: Path, percepiano_root: Path, groove_root: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(
        f'seed = 3\n[material]\npercepiano = "{percepiano_root}"\ngroove_midi = "{groove_root}"\nbank = "{bank}"\n'
        'corpus = "corpus"\nshards = 1\npieces_per_shard = 3\npiece_s = 5.984\nprocesses = 1\nplucked_guitars = 0\n'
        "[network]\nwidth = 192\nheads = 2\nhead_width = 8\nfeed_forward = 16\nencoder_layers = 1\n"
        "decoder_layers = 1\n[learning]\nsteps = 3\nbatch = 2\nlearning_rate = 1e-3\n"
    )
    monkeypatch.setattr(material, "build_bank", lambda *_: iter(()))  # the bank of sines is already there
    return path


def test_a_recipe_makes_its_material_and_trains(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run", device="cpu", max_minutes=0)
    train(recipe, tmp_path / "run", device="cpu", resume=tmp_path / "run" / "checkpoint.ckpt")
    lines = [json.loads(line) for line in (tmp_path / "run" / "losses.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert all(set(line) == {"step", "tokens", "hearing"} for line in lines)
    network = read_recipe(recipe, Recipe).network
    weights = tmp_path / "run" / "tutti-mt3-tiny.safetensors"
    open_strict(Mt3Network(network, FRONT_END.features), weights, "tiny")  # ships as it is


def test_a_corpus_of_something_else_is_refused(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run", device="cpu", max_minutes=0)
    recipe.write_text(recipe.read_text().replace("piece_s = 5.984", "piece_s = 6.5"))
    with pytest.raises(TrainingError, match="drawn with another piece_s"):
        train(recipe, tmp_path / "run", device="cpu")


def test_a_stretch_and_its_tokens_belong_together(recipe: Path, tmp_path: Path) -> None:
    """What is written down is what sounds: the pitch at each onset is the loudest that begins there."""
    train(recipe, tmp_path / "run", device="cpu", max_minutes=0)
    settings = read_recipe(recipe, Recipe)
    batches = recipe_module._Batches(settings, AudioShards(tmp_path / "corpus", 1))
    batch = batches(0)
    assert batch["frames"].shape == (2, FRONT_END.frames, FRONT_END.features)
    assert batch["tokens"].shape == batch["targets"].shape
    assert (batch["tokens"][:, 0] == PAD).all()
    for tokens, targets in zip(batch["tokens"], batch["targets"], strict=True):
        said = targets[targets >= 0]
        assert said[-1] == EOS
        torch.testing.assert_close(tokens[1 : len(said)], said[:-1])
        assert all(CODEC.decode(int(token)) is not None for token in said[:-1])
    torch.testing.assert_close(batches(0)["frames"], batch["frames"])


def test_a_second_piece_keeps_its_own_time(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run", device="cpu", max_minutes=0)
    batches = recipe_module._Batches(read_recipe(recipe, Recipe), AudioShards(tmp_path / "corpus", 1))
    first = batches._crop(np.random.default_rng(5))
    moved = batches._crop(np.random.default_rng(5), 0)
    np.testing.assert_array_equal(first[0], moved[0])
    shift_s = first[2] / 100
    kept = [note for note in first[1] if note.offset_s - shift_s > 0]
    assert [note.pitch for note in moved[1]] == [note.pitch for note in kept]
    for before, after in zip(kept, moved[1], strict=True):
        assert after.offset_s == pytest.approx(before.offset_s - shift_s)


def test_one_program_per_family_and_one_key_per_drum(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run", device="cpu", max_minutes=0)
    shards = AudioShards(tmp_path / "corpus", 1)
    plain = [recipe_module._simplified(note) for piece in shards.notes[0] for note in piece]
    programs = {note.program for note in plain if note is not None and not note.is_drum}
    assert programs <= {program_of_family(name) for name in FAMILIES}


def test_templates_hear_their_own_pitch() -> None:
    """Of a harmonic tone in every octave the template of its pitch answers most, next to octaves none."""
    templates = harmonic_templates(replace(FRONT_END, stack=1))
    times = np.arange(FRONT_END.segment_samples) / FRONT_END.sample_rate_hz
    for pitch in (48, 55, 60, 67, 72, 79):
        tone = sum(np.sin(2 * np.pi * h * 440 * 2 ** ((pitch - 69) / 12) * times) / h for h in range(1, 7))
        frames = replace(FRONT_END, stack=1)((0.1 * tone).astype(np.float32)[None])[0]
        heard = frames[40] @ templates.T
        assert int(heard.argmax()) + 21 == pitch


def test_the_head_start_points_times_at_frames() -> None:
    """Right after a token of time, attention of the first layer is strongest at that moment of the sound."""
    torch.manual_seed(0)
    config = T5Config(width=192, heads=3, feed_forward=32, encoder_layers=0, decoder_layers=1)
    network = Mt3Network(config, FRONT_END.features)
    begin_well(network, config, CODEC, FRONT_END)
    states = network.encode(torch.zeros(1, FRONT_END.frames, FRONT_END.features))[0, 0]
    block = network.decoder.blocks[0]
    at = []
    for steps in (20, 60, 100, 150, 190):
        asked = block.cross.q(block.cross_norm(network.decoder.embedding(torch.tensor(CODEC.encode("shift", steps)))))
        scores = block.cross.k(states) @ asked
        at.append(abs(int(scores.argmax()) - steps / 100 / FRONT_END.segment_s * FRONT_END.frames))
    assert max(at) < 4


def test_the_shipped_recipe_reads() -> None:
    recipe = read_recipe(ROOT / "recipes" / "tutti-mt3-tiny.toml", Recipe)
    parameters = sum(p.numel() for p in Mt3Network(recipe.network, FRONT_END.features).parameters())
    assert parameters * 2 < 8e6  # bytes, in half precision


def test_the_encoder_may_begin_alone_with_medleys(recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(recipe.read_text() + "hearing_steps = 2\n")
    train(recipe, tmp_path / "run", device="cpu")
    lines = [json.loads(line) for line in (tmp_path / "run" / "losses.jsonl").read_text().splitlines()]
    assert [set(line) - {"step"} for line in lines] == [{"hearing"}, {"hearing"}, {"tokens", "hearing"}]
    batches = recipe_module._Batches(read_recipe(recipe, Recipe), AudioShards(tmp_path / "corpus", 1))
    medley = batches(1)
    assert medley["frames"].shape == (2, FRONT_END.frames, FRONT_END.features)
    assert medley["rolls"].shape == (2, FRONT_END.frames, 2, recipe_module._ROWS)
