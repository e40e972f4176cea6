"""Every task through the library, with a network of random weights: what it must do whatever it is told."""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import tutti
from tests.capabilities.groove.small_groove import HAT, KICK, SNARE, TAKES, pattern_of, rock, small_card, take
from tutti.capabilities.groove.models.drum_pattern_transformer import (
    DrumPatternTransformer,
    DrumPatternTransformerConfig,
)
from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.capabilities.groove.styles import list_available_styles
from tutti.capabilities.groove.tokens import tokenizer
from tutti.capabilities.groove.types import Groove
from tutti.errors import (
    Cancelled,
    InputNotFoundError,
    MidiError,
    OptionError,
    UnknownModelError,
    UnknownStyleError,
    WeightsError,
    WeightsMissingError,
)
from tutti.music.drum_kit import class_of_key
from tutti.settings import settings
from tutti.weights import cards

T = tokenizer()


@pytest.fixture
def play(weights: Path) -> Any:
    """`tutti.groove` with the small network, the same seed unless told."""

    def play(style: str | None = None, **options: Any) -> Groove:
        return tutti.groove(style, **{"model": str(weights), "device": "cpu", "seed": 1, **options})

    return play


def strokes(pattern: Pattern) -> Counter[tuple[str | None, int]]:
    """How often each voice is struck on each sixteenth of the whole."""
    return Counter((class_of_key(hit.key), math.floor(hit.beat * 4 + 0.5)) for hit in pattern)


def cells(pattern: Pattern) -> list[tuple[int, int, int]]:
    """(place in the grid of tokens, key, velocity)."""
    return sorted((math.floor(hit.beat * 120 + 0.5), hit.key, hit.velocity) for hit in pattern)


def on_grid(pattern: Pattern) -> Pattern:
    return T.decode(T.encode(pattern), pattern.bpm, pattern.metre)


# new


def test_a_pattern_is_what_was_asked_for(play: Any) -> None:
    made = play("Rock", bars=3, tempo_bpm=111.5, metre="7/8")
    assert (made.pattern.bars, made.pattern.bpm) == (3, 111.5)
    assert (made.pattern.metre.numerator, made.pattern.metre.denominator) == (7, 8)
    assert made.provenance.task == "new"
    assert made.provenance.style == "Rock"
    assert made.provenance.seed == 1
    assert made.provenance.stopped == ("end",)
    assert made.provenance.options["metre"] == "7/8"
    assert made.provenance.device == "cpu"
    assert len(made.provenance.weights_sha256) == 64
    assert any("next to no music in 7/8" in warning for warning in made.warnings)
    assert not [finding for finding in made.findings[0] if finding.code == "outside_bars"]


@pytest.mark.parametrize("style", list_available_styles())
def test_every_style_plays(style: str, play: Any) -> None:
    made = play(style, bars=1)
    assert made.provenance.style == style
    assert made.pattern.bars == 1
    assert len(made.pattern) > 0
    assert not [warning for warning in made.warnings if "outside the" in warning]  # its own tempo is usual
    assert all(-0.25 < hit.beat < made.pattern.beats + 0.2 for hit in made.pattern)


def test_without_a_style_it_is_rock(play: Any) -> None:
    assert play().provenance.style == "Rock"
    assert play("questlove").provenance.style == "Questlove"


@pytest.mark.parametrize(("bars", "tempo"), [(1, 140), (2, 300), (3, 30), (4, 140)])
def test_half_time_styles_have_the_bars_and_tempo_that_were_asked(bars: int, tempo: float, play: Any) -> None:
    # with all ghosts there may be, none of the claps that this network plays softly is taken away as one
    pattern = play("Metro Boomin", bars=bars, tempo_bpm=tempo, ghost_note_prob=1.0).pattern
    assert (pattern.bars, pattern.bpm, pattern.beats) == (bars, tempo, 4 * bars)
    # the clap is on three: on the second and fourth beat of a bar twice as long
    claps = [hit.beat for hit in pattern if hit.key == 39]
    for number in range(bars):
        assert min(abs(beat - 4 * number - 2) for beat in claps) < 0.02


def test_what_a_style_must_and_must_not_play(play: Any) -> None:
    pattern = play("House", bars=2).pattern
    kicks = {round(hit.beat) for hit in pattern if hit.key == KICK and abs(hit.beat - round(hit.beat)) < 0.05}
    assert kicks >= set(range(8))
    dilla = {class_of_key(hit.key) for hit in play("J Dilla", bars=2).pattern}
    assert dilla <= {"kick", "snare", "side_stick", "hihat_closed", "hihat_open", "ride", "crash"}


def test_a_seed_repeats_and_none_is_drawn_and_told(play: Any) -> None:
    assert play("J Dilla").pattern == play("J Dilla").pattern
    assert play("J Dilla", seed=2).pattern != play("J Dilla").pattern
    drawn = play("J Dilla", seed=None)
    again = play("J Dilla", seed=drawn.provenance.seed)
    assert again.patterns == drawn.patterns
    assert play("J Dilla", seed=None).provenance.seed != drawn.provenance.seed
    assert play("J Dilla").pattern != play("Questlove").pattern


def test_several_patterns_are_each_another_and_the_first_is_the_first(play: Any) -> None:
    many = play("Rock", count=3)
    assert len(many) == 3
    assert len(many.findings) == len(many.provenance.stopped) == 3
    assert len({pattern.hits for pattern in many}) == 3
    assert many.pattern == play("Rock").pattern


def test_figures_can_be_asked_for(play: Any) -> None:
    ghosts = {share: play("Boom Bap", bars=8, ghost_note_prob=share).feel["ghost_share"] for share in (None, 0.5)}
    assert ghosts == {None: pytest.approx(0.2, abs=0.1), 0.5: pytest.approx(0.5, abs=0.1)}
    assert play("Rock", bars=4, micro_timing_ms=5.0).feel["residual_sd_ms"] == pytest.approx(5, rel=0.1)
    assert play("Rock", bars=4).feel["residual_sd_ms"] > 10


def test_temperature_matters_and_zero_is_one_answer(play: Any) -> None:
    cold = [play("Rock", temperature=0.0, seed=seed).pattern for seed in (1, 2)]
    assert strokes(cold[0]) == strokes(cold[1])
    assert strokes(play("Rock", temperature=2.0).pattern) != strokes(play("Rock", temperature=0.3).pattern)


def test_guidance_leans_towards_the_style_and_needs_one(play: Any) -> None:
    plain, guided = (play("Rock", guidance=guidance).pattern for guidance in (1.0, 4.0))
    assert strokes(plain) != strokes(guided)
    assert play("Rock", guidance=4.0).pattern == guided
    free = [play(prompt=rock(), task="vary", guidance=guidance).pattern for guidance in (1.0, 4.0)]
    assert free[0] == free[1]


def test_fills_come_where_they_are_asked(monkeypatch: pytest.MonkeyPatch, play: Any) -> None:
    from tutti.capabilities.groove import planning

    asked: list[set[int]] = []
    really = planning.Grammar

    def spy(*given: Any, **named: Any) -> Any:
        asked.append(set(named.get("fills", ())))
        return really(*given, **named)

    def planned(style: str, every: int) -> None:
        with pytest.raises(Cancelled):
            play(style, bars=8, fill_every=every, cancelled=lambda: True)

    monkeypatch.setattr(planning, "Grammar", spy)
    planned("Rock", 4)
    planned("Rock", 0)
    planned("Metro Boomin", 4)  # its network thinks of four bars
    planned("Metro Boomin", 1)
    planned("Metro Boomin", 3)
    assert asked == [{3, 7}, set(), {1, 3}, {0, 1, 2, 3}, {1, 2}]


# with a prompt


def test_to_continue_gives_the_new_bars(play: Any) -> None:
    made = play(prompt=take("funk"), bars=3)
    assert made.provenance.task == "continue"
    assert made.provenance.style is None
    assert made.provenance.source == "Pattern"
    assert (made.pattern.bars, made.pattern.bpm) == (3, 100)
    assert play(prompt=take("funk"), bars=3, tempo_bpm=90).pattern.bpm == 90
    assert made.pattern != play(prompt=take("hiphop"), bars=3).pattern  # it heard the prompt


def test_six_eight_goes_on_in_six_eight(play: Any) -> None:
    made = play(prompt=next(path for path in TAKES if "6-8" in path.name), bars=2)
    assert (made.pattern.metre.numerator, made.pattern.metre.denominator, made.pattern.beats) == (6, 8, 6)
    assert made.provenance.source.endswith("6-8.mid")


def test_half_time_styles_continue_too(play: Any) -> None:
    pattern = play("Metro Boomin", prompt=rock(4, 30), bars=3).pattern
    assert (pattern.bars, pattern.bpm) == (3, 30)


@pytest.mark.parametrize("name", ["funk", "6-8", "jazz", "rock_92"])
@pytest.mark.parametrize("style", [None, "Rock", "Metro Boomin"])
def test_to_humanise_keeps_exactly_the_strokes(name: str, style: str | None, play: Any) -> None:
    if style and name == "6-8":
        style = "Rock"
    prompt = take(name).cut(0, 2)
    plain = {"swing_percent": 50.0, "micro_timing_ms": 0.0} if style else {}
    made = play(style, prompt=prompt, task="humanise", **plain).pattern
    assert made.bars == 2
    assert Counter(hit.key for hit in made) == Counter(hit.key for hit in prompt)
    for key in {hit.key for hit in prompt}:
        pairs = zip(*([hit.beat for hit in each if hit.key == key] for each in (made, prompt)), strict=True)
        assert max(abs(now - before) for now, before in pairs) < 0.25
    assert cells(made) != cells(prompt)


def test_to_humanise_takes_ghosts_only_when_asked(play: Any) -> None:
    count = len(rock())
    assert len(play("J Dilla", prompt=rock(), task="humanise").pattern) == count
    assert len(play("J Dilla", prompt=rock(), task="humanise", ghost_note_prob=0.5).pattern) > count


def test_to_humanise_keeps_keys_layers_and_counts(play: Any) -> None:
    layered = [(0.0, 36, 90), (0.0, 35, 70), (1.0, 38, 90), (1.0, 39, 80), (2.0, 40, 90), (2.5, 41, 60), (3.0, 54, 50)]
    for style in (None, "House", "Metro Boomin"):
        made = play(style, prompt=pattern_of(*layered), task="humanise").pattern
        assert Counter(hit.key for hit in made) == Counter(key for _, key, _ in layered)


@pytest.mark.parametrize("lines", [6, 8, 12])
def test_to_humanise_keeps_rhythms_finer_than_sixteenths(lines: int, play: Any) -> None:
    even = pattern_of(*((place / lines, HAT, 80) for place in range(4 * lines)), bpm=80)
    made = [hit.beat for hit in play(prompt=even, task="humanise").pattern]
    fine = [place for place in range(4 * lines) if 4 * place % lines]  # what lies on a sixteenth may go further
    off = [abs(made[place] - place / lines) for place in fine]
    assert max(off) < 4 / 120
    assert any(distance > 1 / 120 for distance in off)


def test_to_humanise_keeps_swing_and_accents(play: Any) -> None:
    swung = [(half / 2 + (0.12 if half % 2 else 0.0) / 2, HAT, 80 - 50 * (half % 2)) for half in range(16)]
    prompt = pattern_of(*swung, bars=2)
    made = play(prompt=prompt, task="humanise", model="tutti-groove")
    assert made.feel["swing_8th"] == pytest.approx(56, abs=2.5)
    soft = [hit.velocity for hit in made.pattern if round(hit.beat * 2) % 2]
    loud = [hit.velocity for hit in made.pattern if not round(hit.beat * 2) % 2]
    assert max(soft) < min(loud)


def test_to_vary_by_nothing_is_the_prompt(play: Any) -> None:
    for prompt in (take("funk").cut(0, 4), take("6-8").cut(0, 3)):
        assert play(prompt=prompt, task="vary", distance=0.0).pattern == prompt


@pytest.mark.parametrize("distance", [0.05, 0.3, 0.8, 1.0])
def test_to_vary_keeps_about_so_many_strokes_and_puts_no_more_in_their_place(distance: float, play: Any) -> None:
    prompt = take("funk").cut(0, 4)
    made = play(prompt=prompt, task="vary", distance=distance).pattern
    kept = len(set(made.hits) & set(prompt.hits))
    assert kept / len(prompt) == pytest.approx(1 - distance, abs=0.15)
    assert kept <= len(made) <= len(prompt)
    assert made.bars == 4
    assert made != prompt


@pytest.mark.parametrize("task", ["vary", "answer", "fill_in"])
def test_what_is_new_is_of_the_style_and_what_stays_is_not_touched(task: str, play: Any) -> None:
    prompt = rock(4)
    if task == "fill_in":
        prompt = prompt.with_hits(hit for hit in prompt if not 4 <= hit.beat < 8)
    made = play("Trap", prompt=prompt, task=task, distance=0.5, swing_percent=60.0).pattern
    voices = {class_of_key(hit.key) for hit in made if hit not in prompt.hits}
    assert voices
    assert voices <= {"kick", "snare", "hihat_closed", "hihat_open", "crash", "side_stick", "tom_low", "ride"}
    if task != "vary":
        limit = (4, 8) if task == "fill_in" else (14, 16)
        assert all(limit[0] <= hit.beat + 0.125 < limit[1] for hit in made if hit not in prompt.hits)
        assert {hit for hit in prompt if not limit[0] <= hit.beat < limit[1]} <= set(made.hits)


def test_a_stroke_at_a_bar_line_is_not_lost(play: Any) -> None:
    prompt = pattern_of((0.0, KICK, 90), (7.873, KICK, 100), (8.5, SNARE, 90), bars=3)
    made = play(prompt=prompt, task="fill_in").pattern
    assert set(prompt.hits) <= set(made.hits)


def test_swing_that_cannot_be_measured_is_told(play: Any) -> None:
    def told(*beats: float) -> tuple[str, ...]:
        prompt = pattern_of(*((beat, HAT, 80) for beat in beats))
        warnings: tuple[str, ...] = play(prompt=prompt, task="vary", distance=0.0, swing_percent=62.0).warnings
        return warnings  # nothing new is there to swing

    assert "too few second 16ths on hats and rides to measure swing by." in told(0.0, 1.0)
    assert "the swing measures 50.0 %, not 62 %." in told(*(n / 4 for n in range(16)))


def test_what_says_nothing_to_a_task_is_told(play: Any) -> None:
    told = play(prompt=rock(), task="humanise", bars=8, distance=0.9).warnings
    assert "To humanise, bars and distance says nothing." in told
    assert not any("says nothing" in one for one in play(prompt=rock(), task="vary", distance=0.9).warnings)


def test_to_fill_in_writes_empty_bars_and_leaves_the_others(play: Any) -> None:
    whole = take("rock_92").cut(0, 8)
    kept = [hit for hit in whole if not 8 <= hit.beat + 0.125 < 12 and not 16 <= hit.beat + 0.125 < 20]
    prompt = whole.with_hits(kept)
    made = play(prompt=prompt, task="fill_in").pattern
    assert made.bars == 8
    written = [hit for hit in made if hit not in prompt.hits]
    assert len(written) + len(prompt) == len(made)  # to the tick
    assert {int((hit.beat + 0.125) // 4) for hit in written} == {2, 4}


def test_later_bars_stay_as_they_were_played(play: Any) -> None:
    prompt = pattern_of((0.0, KICK, 99), (8.0123, KICK, 98), (9.0, SNARE, 97), (9.5, 54, 60), bars=3)
    made = play(prompt=prompt, task="fill_in").pattern
    assert [hit for hit in made if hit.beat > 7.9] == [hit for hit in prompt if hit.beat > 7.9]


def test_dense_bars_ahead_do_not_outgrow_the_network(play: Any) -> None:
    dense = [(n / 8, key, 90) for n in range(32, 160) for key in (KICK, HAT, SNARE, 51)]
    prompt = pattern_of(*dense, bars=5)
    made = play(prompt=prompt, task="fill_in").pattern
    assert cells(made.cut(1, 4)) == cells(prompt.cut(1, 4))


def test_of_dense_bars_ahead_whole_ones_are_told() -> None:
    from tutti.capabilities.groove.planning import _context

    dense = [(n / 8, key, 90) for n in range(32, 160) for key in (KICK, HAT)]
    told, head, before = _context(T, "fill_in", pattern_of(*dense, bars=5))
    assert told[0] == T.future_id
    assert told[-1] == T.present_id
    assert T.bar_id in told
    assert head == len(told) <= 362
    assert before == 0


def test_to_answer_changes_the_second_half_of_the_last_bar_alone(play: Any) -> None:
    prompt = take("funk").cut(0, 4)
    made = play(prompt=prompt, task="answer", seed=3).pattern
    limit = 12 + 2 - 0.125
    assert [hit for hit in made if hit.beat < limit] == [hit for hit in prompt if hit.beat < limit]  # to the tick
    assert made != prompt
    assert made.bars == 4
    assert play(prompt=rock(1), task="answer").pattern.bars == 1


def test_percussion_is_kept_and_told(play: Any) -> None:
    prompt = rock(2)
    prompt = prompt.with_hits([*prompt, Hit(0.5, 54, 70), Hit(5.0, 69, 60)])
    for task in ("humanise", "vary", "answer"):
        made = play(prompt=prompt, task=task)
        assert {(hit.beat, hit.key) for hit in made.pattern if class_of_key(hit.key) is None} == {(0.5, 54), (5.0, 69)}
        assert any("keys 54, 69; the prompt's strokes there are kept" in warning for warning in made.warnings)
    made = play(prompt=prompt, bars=2)
    assert all(class_of_key(hit.key) for hit in made.pattern)
    assert any("keys 54, 69; the prompt's strokes there are left out" in warning for warning in made.warnings)


def test_prompts_come_as_paths_bytes_and_files(play: Any, tmp_path: Path) -> None:
    path = TAKES[0]
    from_path = play(prompt=path, bars=1)
    assert play(prompt=str(path), bars=1).pattern == from_path.pattern
    assert play(prompt=path.read_bytes(), bars=1).pattern == from_path.pattern
    with path.open("rb") as file:
        assert play(prompt=file, bars=1).pattern == from_path.pattern
    saved = from_path.save(tmp_path / "a.json")
    assert cells(play(prompt=saved[0], task="vary", distance=0.0).pattern) == cells(on_grid(from_path.pattern))


# progress, stopping, errors


def test_progress_is_told_and_a_caller_may_stop_it(play: Any) -> None:
    told: list[tuple[str, float, float]] = []
    play("Rock", bars=4, on_progress=lambda *report: told.append(report))
    assert len(told) > 1
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert all(stage == "playing" and 0 <= done <= total for stage, done, total in told)
    asked = iter([False, False, True])
    with pytest.raises(Cancelled):
        play("Rock", cancelled=lambda: next(asked))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tempo_bpm": 0}, "tempo_bpm"), ({"tempo_bpm": math.nan}, "tempo_bpm"), ({"tempo_bpm": 1000}, "tempo_bpm"),
        ({"tempo_bpm": math.inf}, "tempo_bpm"), ({"bars": 0}, "bars"), ({"bars": 10_000}, "bars"),
        ({"bars": 1.5}, "bars"), ({"temperature": -0.1}, "temperature"), ({"temperature": math.nan}, "temperature"),
        ({"top_p": 0}, "top_p"), ({"top_p": 1.5}, "top_p"), ({"top_k": -1}, "top_k"), ({"seed": -1}, "seed"),
        ({"count": 0}, "count"), ({"count": 65}, "count"), ({"swing_percent": 80}, "swing_percent"),
        ({"metre": "4"}, "metre"), ({"metre": "13/8"}, "no bars of 13/8"), ({"task": "sing"}, "task"),
        ({"device": "tpu"}, "device"), ({"drum_map": "tr808"}, "drum_map"), ({"loudness": 3}, "no option 'loudness'"),
        ({"task": "vary"}, "To vary takes a prompt"), ({"task": "fill_in"}, "To fill in takes a prompt"),
        ({"task": "new", "prompt": rock()}, "there is a prompt"),
        ({"task": "fill_in", "prompt": rock()}, "no empty bar"),
        ({"metre": "3/4", "prompt": rock()}, "The prompt is in 4/4, not in 3/4"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_says_so(options: dict[str, Any], says: str, play: Any) -> None:
    with pytest.raises(OptionError, match=says):
        play(**options)


def test_a_temperature_of_zero_and_a_tiny_one_play(play: Any) -> None:
    cold = play("Rock", temperature=0).pattern
    assert len(cold) > 0
    assert strokes(play("Rock", temperature=1e-320).pattern) == strokes(cold)


def test_an_unknown_style_is_told_the_nearest(play: Any) -> None:
    with pytest.raises(UnknownStyleError, match=r"Did you mean 'Metro Boomin'\?"):
        play("Metro Bomin")


@pytest.mark.parametrize("prompt", [b"", b"MThd", b"not midi", b"{}"])
def test_prompts_that_cannot_be_read_say_so(prompt: bytes, play: Any) -> None:
    with pytest.raises(MidiError):
        play(prompt=prompt)


def test_a_prompt_without_drums_or_file_says_so(play: Any, tmp_path: Path) -> None:
    from tutti.music.midi import write_midi
    from tutti.music.notes import Note, Notes

    write_midi(Notes.of([Note(0.0, 1.0, 60, 90)]), tmp_path / "piano.mid")
    with pytest.raises(MidiError, match="no notes on channel 10"):
        play(prompt=tmp_path / "piano.mid")
    with pytest.raises(InputNotFoundError):
        play(prompt=tmp_path / "none.mid")


def test_an_empty_pattern_is_a_prompt_like_another(play: Any) -> None:
    empty = pattern_of(bars=2)
    assert play(prompt=empty, bars=2).pattern.bars == 2
    assert play(prompt=empty, task="fill_in").pattern.bars == 2
    silent = play(prompt=empty, task="humanise")
    assert [finding.code for finding in silent.findings[0]] == ["empty"]
    assert all(math.isnan(value) or value == 0 for value in silent.feel.values())


def test_checkpoints_that_are_not_there_or_of_other_tokens_say_so(play: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError):
        play(model=str(tmp_path / "none.safetensors"))
    with pytest.raises(UnknownModelError):
        play(model="no-such-model")
    with pytest.raises(OptionError, match="not for groove"):
        play(model="tutti-drums")
    network = DrumPatternTransformer(DrumPatternTransformerConfig(9, 1, 8, 4, 1, 2))
    names = {"embedding": "transformer.transformer.wte", "position": "transformer.transformer.wpe"}
    assert network.embedding.num_embeddings == 9
    path = tmp_path / "other.pt"
    torch.save(_as_checkpoint(network, names), path)
    with pytest.raises(WeightsError, match="vocabulary of 9 tokens; those of tutti are 234"):
        play(model=str(path))


def _as_checkpoint(network: DrumPatternTransformer, names: dict[str, str]) -> dict[str, Any]:
    parts = {"attention_norm": "ln_1", "attention_in": "attn.c_attn", "attention_out": "attn.c_proj"}
    parts |= {"dense_norm": "ln_2", "dense_in": "mlp.c_fc", "dense_out": "mlp.c_proj"}
    found = {}
    for name, tensor in network.state_dict().items():
        first, _, rest = name.partition(".")
        if name.startswith("layers.blocks."):
            _, _, layer, part, kind = name.split(".")
            turned = tensor.T.contiguous() if tensor.ndim == 2 else tensor
            found[f"transformer.transformer.h.{layer}.{parts[part]}.{kind}"] = turned
        elif name.startswith("layers.norm"):
            found[name.replace("layers.norm", "transformer.transformer.ln_f")] = tensor
        elif first == "style":
            found["style_embeddings.weight"] = tensor
        else:
            found[f"{names.get(first, first)}.{rest}"] = tensor
    config = network.config
    sizes = ("vocab_size", "n_styles", "n_positions", "n_embd", "n_layer", "n_head")
    return {"model_state_dict": found, "metadata": {name: getattr(config, name) for name in sizes}}


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = small_card(tmp_path)
    monkeypatch.setattr(cards, "BUNDLED_CARDS", tmp_path / "no cards")
    monkeypatch.setenv("TUTTI_CARDS_DIR", str(folder))
    monkeypatch.setenv("TUTTI_CACHE_DIR", str(folder))
    settings.cache_clear()
    yield folder
    settings.cache_clear()


def test_a_style_brings_its_model(card: Path) -> None:
    made = tutti.groove("J Dilla", seed=1, device="cpu")
    assert made.provenance.model == "tutti-groove"
    (path,) = card.glob("weights/*/*.safetensors")
    assert made.provenance.weights_sha256 == path.parent.name
    assert tutti.groove("J Dilla", seed=1, device="cpu", model=str(path)).patterns == made.patterns
