import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tutti.capabilities.transcription import train_mt3 as recipe_module
from tutti.capabilities.transcription.codec import EOS, PAD
from tutti.capabilities.transcription.families import FAMILIES, program_of_family
from tutti.capabilities.transcription.models.mt3_network import Mt3Network, build_network
from tutti.capabilities.transcription.models.note_stem import NOTE_FEATURES, STEM_FEATURES, as_read
from tutti.capabilities.transcription.models.tutti_mt3_tiny import ADAPTER
from tutti.capabilities.transcription.mt3_head_start import begin_well
from tutti.capabilities.transcription.train_mt3 import CODEC, FRONT_END, Recipe, train
from tutti.datasets.audio_shards import AudioShards
from tutti.errors import TrainingError
from tutti.training import material
from tutti.training.recipes import read_recipe
from tutti.weights.opening import open_strict, read_safetensors

ROOT = Path(__file__).parents[3]
STATES_PER_S = 64 / 2.048


@pytest.fixture
def recipe(
    tmp_path: Path, bank: Path, percepiano_root: Path, groove_root: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(
        f'seed = 3\nmixed = 0.3\n[material]\npercepiano = "{percepiano_root}"\ngroove_midi = "{groove_root}"\n'
        f'bank = "{bank}"\ncorpus = "corpus"\nshards = 1\npieces_per_shard = 3\npiece_s = 5.984\nprocesses = 1\n'
        "plucked_guitars = 0\n[hearing]\nsteps = 2\nbatch = 2\n"
        "[network]\nwidth = 192\nheads = 3\nhead_width = 64\nfeed_forward = 16\nencoder_layers = 1\n"
        "decoder_layers = 1\n[writing]\nsteps = 3\nsegments = 5\nshortest = 320\nbatch = 2\n"
    )
    monkeypatch.setattr(material, "build_bank", lambda *_: iter(()))  # the bank of sines is already there
    return path


def draw_of(recipe: Path, tmp_path: Path) -> recipe_module._Draw:
    train(recipe, tmp_path / "run", device="cpu", max_minutes=0)
    return recipe_module._Draw(read_recipe(recipe, Recipe), AudioShards(tmp_path / "corpus", 1))


def losses_in(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]


def test_a_recipe_makes_its_material_and_trains_in_two_stages(recipe: Path, tmp_path: Path) -> None:
    run, checkpoint = tmp_path / "run", tmp_path / "run" / "checkpoint.ckpt"
    assert train(recipe, run, device="cpu", max_minutes=0) == run / "hearing.safetensors"  # one step of two
    train(recipe, run, device="cpu", max_minutes=0, resume=checkpoint)  # its second, and one of writing
    heard = np.load(run / "segments" / "heard.npy")
    weights = train(recipe, run, device="cpu", resume=checkpoint)
    assert [line["step"] for line in losses_in(run)] == [1, 2, 1, 2, 3]
    assert ["tokens" in line for line in losses_in(run)] == [False, False, True, True, True]
    assert heard.shape == (5, 64, NOTE_FEATURES)
    assert heard.max() > 0
    network = build_network(replace(ADAPTER, network=read_recipe(recipe, Recipe).network))
    open_strict(network, weights, "tiny")  # ships as it is
    assert {tensor.dtype for tensor in read_safetensors(weights)[0].values()} == {torch.float16}


def test_what_was_stopped_goes_on_as_if_it_had_not_been(recipe: Path, tmp_path: Path) -> None:
    whole = train(recipe, tmp_path / "whole", device="cpu")
    train(recipe, tmp_path / "run", device="cpu", max_minutes=0)
    for _ in range(4):
        parted = train(
            recipe, tmp_path / "run", device="cpu", max_minutes=0, resume=tmp_path / "run" / "checkpoint.ckpt"
        )
    first, second = (read_safetensors(path)[0] for path in (whole, parted))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=0, atol=0)


def test_a_new_run_hears_anew(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run", device="cpu")
    recipe.write_text(recipe.read_text().replace("segments = 5", "segments = 4"))
    with pytest.raises(TrainingError, match="has 5 segments, the recipe wants 4"):
        train(recipe, tmp_path / "run", device="cpu", resume=tmp_path / "run" / "checkpoint.ckpt")
    train(recipe, tmp_path / "run", device="cpu")
    assert len(np.load(tmp_path / "run" / "segments" / "heard.npy")) == 4


def test_a_corpus_of_something_else_is_refused(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run", device="cpu", max_minutes=0)
    recipe.write_text(recipe.read_text().replace("piece_s = 5.984", "piece_s = 6.5"))
    with pytest.raises(TrainingError, match="drawn with another piece_s"):
        train(recipe, tmp_path / "run", device="cpu")


def test_what_is_heard_and_what_is_to_be_written_belong_together(recipe: Path, tmp_path: Path) -> None:
    draw = draw_of(recipe, tmp_path)
    items = [draw(np.random.default_rng(seed)) for seed in range(6)]
    for item in items:
        assert item.samples.shape == (FRONT_END.segment_samples,)
        assert item.tokens[-1] == EOS
        assert all(CODEC.decode(token) is not None for token in item.tokens[:-1])
    batch = recipe_module._to_hear(items)
    assert batch["frames"].shape == (6, FRONT_END.frames, FRONT_END.features)
    onsets = {
        round((note.onset_s - item.begin_s) / 0.016): note.pitch - 21
        for item in items[:1]
        for note in item.notes
        if not note.is_drum and 0 <= note.onset_s - item.begin_s < 2.0
    }
    for frame, pitch in onsets.items():
        assert batch["onset"][0, frame, pitch] > 0.5


def test_batches_hold_segments_of_like_length() -> None:
    heard = np.zeros((40, 2, NOTE_FEATURES), np.uint8)
    heard[:, 0, -1] = np.arange(40)
    tokens = [[5] * number + [EOS] for number in range(40)]
    segments = recipe_module._Segments(heard, tokens)
    writing = recipe_module.Writing(steps=100, segments=40, batch=4, shortest=30)
    batch = segments.batch(1, writing, 9)
    for features, given, wanted in zip(batch["features"], batch["tokens"], batch["targets"], strict=True):
        number = round(float(features[0, NOTE_FEATURES - 1]) * 255)
        said = wanted[wanted >= 0].tolist()
        assert said == tokens[number]
        assert given.tolist() == [PAD, *said[:-1], *[PAD] * (len(given) - len(said))]
    lengths = [(segments.batch(1, writing, step)["targets"] >= 0).sum(1) for step in range(8)]
    drawn = sorted(int(length) for each in lengths for length in each)
    assert sorted(sorted(each.tolist()) for each in lengths) == [drawn[i : i + 4] for i in range(0, 32, 4)]


def test_segments_may_be_longer_and_longer() -> None:
    heard = np.zeros((40, 1, NOTE_FEATURES), np.uint8)
    segments = recipe_module._Segments(heard, [[5] * number + [EOS] for number in range(40)])
    writing = recipe_module.Writing(steps=400, segments=40, batch=8, shortest=10, longest=40, transpose=0)
    longest = [segments.batch(2, writing, step)["targets"].shape[1] for step in range(400)]
    assert max(longest[:8]) <= 10
    assert 10 < max(longest[150:160]) <= 21  # half of the way by ratio
    assert max(longest[300:]) == 40


@pytest.mark.parametrize("semitones", [-5, 0, 7])
def test_what_is_heard_and_written_moves_together(semitones: int) -> None:
    """Every pitch by as much, in every row of pitches; drums, times and programs stay."""
    rng = np.random.default_rng(2)
    heard = np.zeros((3, NOTE_FEATURES), np.uint8)
    rows = 4 + len(FAMILIES)
    heard[:, : rows * 88].reshape(3, rows, 88)[..., 10:70] = rng.integers(1, 255, (3, rows, 60))
    heard[:, rows * 88 :] = 7
    tokens = [CODEC.encode("program", 3), CODEC.encode("pitch", 31), CODEC.encode("drum", 38), EOS]
    moved, written = recipe_module._transposed(heard, tokens, semitones)
    np.testing.assert_array_equal(moved[:, rows * 88 :], 7)
    before, after = (each[:, : rows * 88].reshape(3, rows, 88) for each in (heard, moved))
    np.testing.assert_array_equal(after[..., 10 + semitones : 70 + semitones], before[..., 10:70])
    assert (after != 0).sum() == (before != 0).sum()
    assert written == [tokens[0], CODEC.encode("pitch", 31 + semitones), *tokens[2:]]


def test_what_would_leave_the_keyboard_stays() -> None:
    heard = np.zeros((1, NOTE_FEATURES), np.uint8)
    tokens = [CODEC.encode("pitch", 24), EOS]
    assert recipe_module._transposed(heard, tokens, -4)[1] == tokens
    assert recipe_module._transposed(heard, tokens, -3)[1] == [CODEC.encode("pitch", 21), EOS]


def test_a_second_piece_keeps_its_own_time(recipe: Path, tmp_path: Path) -> None:
    draw = draw_of(recipe, tmp_path)
    first = draw._crop(np.random.default_rng(5))
    moved = draw._crop(np.random.default_rng(5), 0)
    np.testing.assert_array_equal(first[0], moved[0])
    shift_s = first[2] / 100
    kept = [note for note in first[1] if note.offset_s - shift_s > 0]
    assert [note.pitch for note in moved[1]] == [note.pitch for note in kept]
    for before, after in zip(kept, moved[1], strict=True):
        assert after.offset_s == pytest.approx(before.offset_s - shift_s)


def test_one_program_per_family_and_one_key_per_drum(recipe: Path, tmp_path: Path) -> None:
    shards = draw_of(recipe, tmp_path).shards
    plain = [recipe_module._simplified(note) for piece in shards.notes[0] for note in piece]
    programs = {note.program for note in plain if note is not None and not note.is_drum}
    assert programs <= {program_of_family(name) for name in FAMILIES}


@torch.inference_mode()
def test_the_head_start_finds_what_begins_now_and_when_the_next_note_does() -> None:
    """Before anything is learnt, with what is not wired at random."""
    torch.manual_seed(0)
    network = Mt3Network(ADAPTER.network, STEM_FEATURES)
    begin_well(network, ADAPTER.network, CODEC, STATES_PER_S)
    features = torch.zeros(1, 64, NOTE_FEATURES)
    for step, pitch in ((6, 40), (25, 62), (47, 85)):
        features[0, step, pitch - 21] = 1  # begins in the first frame of this step
    states, of_silence = (network.encode(as_read(each))[:, 0] for each in (features, torch.zeros_like(features)))
    times, pitches = (slice(CODEC.encode(kind), CODEC.encode(kind) + CODEC.count(kind)) for kind in ("shift", "pitch"))
    for at, pitch, coming in ((19, 40, 80), (80, 62, 150)):
        said = [CODEC.encode("shift", at), CODEC.encode("program", 0), CODEC.encode("velocity", 1)]
        tokens = torch.tensor([[PAD, CODEC.encode("tie"), *said]])
        logits, without = (network.decoder(tokens, each)[0, -1] for each in (states, of_silence))
        assert abs(int(logits[times].argmax()) - coming) <= 2
        assert int((logits - without)[pitches].argmax()) == pitch


def test_the_shipped_recipe_is_that_of_the_shipped_network() -> None:
    recipe = read_recipe(ROOT / "recipes" / "tutti-mt3-tiny.toml", Recipe)
    assert replace(recipe.network, choices=ADAPTER.network.choices) == ADAPTER.network
    parameters = sum(p.numel() for p in build_network(ADAPTER).parameters())
    assert parameters * 2 < 8e6  # bytes, in half precision
