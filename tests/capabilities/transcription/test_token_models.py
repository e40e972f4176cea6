"""`tutti-mt3-tiny`, a real checkpoint, through the same door as users; nothing here depends on how well it hears."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import tutti
from tutti.capabilities.transcription import token_models
from tutti.capabilities.transcription.codec import CODECS
from tutti.capabilities.transcription.hearing_tokens import Settings
from tutti.capabilities.transcription.models import mt3_pytorch, ymt3_plus
from tutti.capabilities.transcription.run import hears_many, lifecycle, run, run_many, stream
from tutti.capabilities.transcription.token_rows import TokenNote
from tutti.capabilities.transcription.types import Options, Transcription
from tutti.errors import AudioFormatError, Cancelled, CardError, DeviceError, InputNotFoundError, OptionError
from tutti.music.json_file import from_json
from tutti.music.midi import read_midi
from tutti.weights.cards import find_card

ROOT = Path(__file__).parents[3]
TINY = Options(model="tutti-mt3-tiny", device="cpu", batch=8)
Sound = tuple[np.ndarray[Any, Any], int]


@pytest.fixture(scope="module")
def sound() -> Sound:
    """Nine seconds of a guitar: four and a half segments."""
    samples, rate_hz = soundfile.read(ROOT / "examples" / "guitar_solo.flac", dtype="float32", frames=9 * 44_100)
    return samples, rate_hz


@pytest.fixture(scope="module")
def heard(sound: Sound) -> Transcription:
    return run(sound, TINY)


def test_a_recording_becomes_notes_that_say_where_they_come_from(heard: Transcription) -> None:
    assert len(heard.notes)
    assert heard.duration_s == pytest.approx(9)
    assert heard.provenance.model == "tutti-mt3-tiny"
    assert heard.provenance.weights_sha256 == find_card("tutti-mt3-tiny").sha256
    rules = heard.provenance.options["rules"]
    assert (rules["variant"], rules["quirks"], rules["decoding"]) == ("corrected", [], "ordered")
    assert heard.provenance.options["tokens"]["rows"] == 5
    assert all(note.confidence is not None and 0 < note.confidence <= 1 for note in heard.notes)
    assert all(note.offset_s <= heard.duration_s + 2.1 for note in heard.notes)


def test_the_same_call_gives_the_same_notes_whatever_the_batch(sound: Sound, heard: Transcription) -> None:
    assert run(sound, TINY).notes == heard.notes
    assert run(sound, TINY.model_copy(update={"batch": 1})).notes == heard.notes


def test_the_steps_one_by_one_are_the_whole(sound: Sound, heard: Transcription) -> None:
    steps = tutti.load_model("tutti-mt3-tiny", device="cpu").steps()
    frames = steps.preprocess(sound)
    assert frames.values.shape == (5, 128, 1024)
    rows = steps.forward(frames.values)
    assert [len(segment) for segment in rows] == [1] * 5
    assert steps.decode(rows, frames.duration_s) == heard.notes


def test_notes_are_streamed_as_they_become_final(sound: Sound, heard: Transcription) -> None:
    streamed = tutti.stream_notes(sound, "tutti-mt3-tiny", device="cpu", batch=1)
    assert isinstance(streamed, Iterator)
    assert sorted(streamed) == list(heard.notes)
    for needy in ({"quantise": 4}, {"filter_leakage": True}):
        with pytest.raises(OptionError, match="when all notes are known"):
            list(stream(sound, TINY.model_copy(update=needy)))
    with pytest.raises(OptionError, match="gives its notes at the end"):
        list(stream(sound, Options()))


def test_many_recordings_at_once(sound: Sound, heard: Transcription) -> None:
    samples, rate_hz = sound
    short = (samples[: 3 * rate_hz], rate_hz)
    results = dict(run_many([short, ROOT / "gone.wav", sound, b"no audio"], TINY))
    assert set(results) == {0, 1, 2, 3}
    assert isinstance(results[1], InputNotFoundError)
    assert isinstance(results[3], AudioFormatError)
    alone = run(short, TINY)
    for number, expected in ((0, alone), (2, heard)):
        result = results[number]
        assert isinstance(result, Transcription)
        assert result.notes == expected.notes
    assert hears_many(TINY)
    assert not hears_many(Options())


def test_other_models_are_heard_one_after_another(sound: Sound) -> None:
    samples, rate_hz = sound
    short = (samples[:rate_hz], rate_hz)
    first, second = run_many([short, ROOT / "gone.wav"], Options(device="cpu"))
    assert first[0] == 0
    assert isinstance(first[1], Transcription)
    assert isinstance(second[1], InputNotFoundError)


def test_files_shorter_than_a_segment_and_silence_are_heard() -> None:
    for seconds in (0.05, 1.0):
        result = run((np.zeros(round(seconds * 16_000), np.float32), 16_000), TINY)
        assert result.duration_s == pytest.approx(seconds)
        assert result.provenance.options["tokens"]["rows"] == 1


def test_progress_and_stopping(sound: Sound) -> None:
    told: list[tuple[str, float, float]] = []
    run(sound, TINY, lambda *each: told.append(each))
    assert told[-1][:2] == ("transcribe", pytest.approx(9))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    with pytest.raises(Cancelled):
        run(sound, TINY, cancelled=lambda: True)


def test_programs_that_are_not_allowed_do_not_come(sound: Sound) -> None:
    result = run(sound, TINY.model_copy(update={"programs": (40,)}))
    assert {note.program for note in result.notes.pitched} <= {40}
    assert not result.notes.drums


def test_int8_and_bf16_hear_alike(sound: Sound) -> None:
    """Other numbers, nearly the same tokens."""
    steps = lifecycle(TINY)
    frames = steps.preprocess(sound).values
    exact = [row.tokens for (row,) in steps.forward(frames)]
    for precision in ("int8", "bf16"):
        rounded = lifecycle(TINY.model_copy(update={"precision": precision}))
        assert rounded.model.backend.precision == precision
        near = [row.tokens for (row,) in rounded.forward(frames)]
        assert np.mean([a[0] == b[0] for a, b in zip(exact, near, strict=True)]) >= 0.8
        first = [np.mean(a[:5] == b[:5]) for a, b in zip(exact, near, strict=True) if min(len(a), len(b)) >= 5]
        assert np.mean(first) > 0.6


def test_results_can_be_saved_and_read_back(heard: Transcription, tmp_path: Path) -> None:
    heard.save(tmp_path / "song.mid")
    heard.save(tmp_path / "song.json")
    assert len(read_midi(tmp_path / "song.mid")) > 0
    assert from_json((tmp_path / "song.json").read_text()) == heard.notes


def test_options_without_use_are_refused(sound: Sound) -> None:
    with pytest.raises(OptionError, match="no onset threshold"):
        run(sound, TINY.model_copy(update={"onset_threshold": 0.4}))
    with pytest.raises(OptionError, match="has no quirk float_start"):
        run(sound, TINY.model_copy(update={"except_quirks": ("float_start",)}))
    with pytest.raises(OptionError, match="has no such steps"):
        lifecycle(Options())


def test_int8_is_for_the_cpu_and_for_the_family() -> None:
    import torch

    from tutti.capabilities.transcription.torch_backend import _step_precision

    with pytest.raises(DeviceError, match="int8 is for the CPU"):
        _step_precision("int8", torch.device("cuda:0"))
    with pytest.raises(OptionError, match="does not compute in int8"):
        run((np.zeros(1600, np.float32), 16_000), Options(precision="int8", device="cpu"))


def test_the_card_says_the_variant_and_nothing_else_will_do() -> None:
    card = find_card("tutti-mt3-tiny")
    odd = card.model_copy(update={"config": {**card.config, "variant": "improved"}})
    with pytest.raises(CardError, match="variant = 'improved'"):
        token_models.open_model(odd, TINY)


def banned(adapter: Any, **options: Any) -> set[int]:
    kept = options.pop("kept", frozenset())
    tokens = token_models._banned(adapter, Options(**options), kept)
    events = [adapter.codec.decode(token) for token in tokens]
    assert all(event.kind == "program" for event in events)
    return {event.value for event in events}


def test_allow_lists_ban_program_tokens() -> None:
    everything = set(range(128))
    assert banned(mt3_pytorch.ADAPTER) == set()
    assert banned(mt3_pytorch.ADAPTER, programs=(0, 33)) == everything - {0, 33}
    assert banned(mt3_pytorch.ADAPTER, programs=(0,), instruments=("bass",)) == everything - {0, *range(32, 40)}


def test_upstream_never_bans_the_last_program() -> None:
    kept = frozenset({"allow_list_off_by_one"})
    assert banned(mt3_pytorch.ADAPTER, programs=(0,), kept=kept) == set(range(1, 127))


def test_yourmt3_sings_in_programs_of_its_own() -> None:
    assert {0, 100} == set(range(128)) - banned(ymt3_plus.ADAPTER, programs=(0, 53)) - {53}


def test_yourmt3_writes_one_program_for_a_group() -> None:
    adapter = ymt3_plus.ADAPTER
    written = []
    for kept in (frozenset(), frozenset({"grouped_programs"})):
        notes = [TokenNote(0.0, 1.0, 60, program, False, 100, None, 0) for program in (0, 40, 53, 100, 101)]
        written.append([note.program for note in token_models.to_notes(notes, Settings(adapter, "greedy", kept, 1))])
    assert written == [[0, 40, 53, 53, 52], [0, 48, 48, 65, 53]]
    kept_groups = frozenset({"grouped_programs"})
    assert banned(adapter, programs=(65,), kept=kept_groups) == set(range(128)) - {100}
    assert banned(adapter, programs=(64,), kept=kept_groups) == set(range(128)) - set(range(64, 72))


def test_notes_that_the_network_doubts_are_dropped_where_the_model_says_so() -> None:
    notes = [TokenNote(0.0, 1.0, 60 + n, 0, False, 100, sure, 0) for n, sure in enumerate((0.1, 0.3, 0.31, None))]
    for least, kept in ((0.0, [60, 61, 62, 63]), (0.3, [61, 62, 63])):
        settings = Settings(replace(mt3_pytorch.ADAPTER, least_confidence=least), "greedy", frozenset(), 1)
        assert [note.pitch for note in token_models.to_notes(notes, settings)] == kept


def test_the_corrected_position_table_is_magentas() -> None:
    adapter = mt3_pytorch.ADAPTER
    options = Options(model="mt3_pytorch")
    assert token_models._as_variant(adapter, "faithful", options).network.positions == "stored"
    assert token_models._as_variant(adapter, "corrected", options).network.positions == "magenta"
    one = Options(model="mt3_pytorch", except_quirks=("position_table",))
    assert token_models._as_variant(adapter, "faithful", one).network.positions == "magenta"
    assert (
        token_models._as_variant(replace(adapter, quirks=frozenset()), "corrected", options).network == adapter.network
    )


def test_every_adapter_writes_what_its_codec_knows() -> None:
    for codec in CODECS.values():
        assert codec.count("program") == 128
