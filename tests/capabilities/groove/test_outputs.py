import io
import json
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import mido
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.capabilities.groove.small_groove import take
from tutti.capabilities.groove.drum_maps import MAP_NAMES, mapped
from tutti.capabilities.groove.groove_file import read_json
from tutti.capabilities.groove.outputs import json_file, midi, png, quantised_midi, template_midi, wav
from tutti.capabilities.groove.pattern import Hit, Pattern
from tutti.capabilities.groove.prompts import read_pattern
from tutti.capabilities.groove.types import FORMATS, Finding, Groove, Options, Provenance
from tutti.errors import MidiError, OutputError
from tutti.music.timing import TimeSignature

KICK, SNARE, CLAP, HAT, OPEN = 36, 38, 39, 42, 46


def groove_of(pattern: Pattern, style: str | None = "dilla", **options: Any) -> Groove:
    said = Options(**options).model_dump(mode="json")
    made = Provenance("0.1.0", "m", "0" * 64, "cpu", style, 7, "new", "", ("end",), said)
    return Groove((pattern,), ((Finding("warning", "dense", "Much is played.", 1, 2.0, "kick"),),), made)


def pattern_of(hits: Iterable[tuple[float, int, int]], bars: int = 1, bpm: float = 90, metre: str = "4/4") -> Pattern:
    numerator, denominator = map(int, metre.split("/"))
    return Pattern(tuple(Hit(*hit) for hit in hits), bpm, bars, TimeSignature(numerator, denominator))


def beat(bars: int = 2, metre: str = "4/4") -> Pattern:
    """Eighths that swing, a backbeat that is early, a ghost, and a crash ahead of the first bar."""
    eighths = TimeSignature(*map(int, metre.split("/"))).quarters_per_bar * bars * 2
    hits = [(n / 2 + 0.08 * (n % 2), HAT, 90 - 30 * (n % 2)) for n in range(round(eighths))]
    hits += [(n / 2 - 0.03, SNARE, 110) for n in range(2, round(eighths), 4)]
    hits += [(n / 2 + 0.01, KICK, 105) for n in range(0, round(eighths), 4)]
    return pattern_of([*hits, (-0.02, 49, 100), (1.28, SNARE, 31)], bars, metre=metre)


def parsed(data: bytes) -> mido.MidiFile:
    return mido.MidiFile(file=io.BytesIO(data))


def notes(file: mido.MidiFile) -> list[tuple[int, int, int, int]]:
    """(tick, note, velocity, ticks long), by tick; every note is let go before it is struck again."""
    found = []
    for track in file.tracks:
        now, held = 0, {}
        for message in track:
            now += message.time
            if message.type == "note_on":
                assert message.channel == 9
                assert message.note not in held
                held[message.note] = now, message.velocity
            elif message.type == "note_off":
                tick, velocity = held.pop(message.note)
                found.append((tick, message.note, velocity, now - tick))
        assert not held
    return sorted(found)


def ends(file: mido.MidiFile) -> set[int]:
    return {sum(message.time for message in track) for track in file.tracks}


def onsets(data: bytes) -> list[tuple[int, int, int]]:
    return [note[:3] for note in notes(parsed(data))]


def test_the_header_says_tempo_metre_style_and_seed() -> None:
    file = parsed(midi(groove_of(beat(metre="7/8"), style="dilla"), 0))
    assert (file.type, file.ticks_per_beat) == (1, 480)
    said = {message.type: message for message in file.tracks[0]}
    assert said["set_tempo"].tempo == round(60e6 / 90)
    assert (said["time_signature"].numerator, said["time_signature"].denominator) == (7, 8)
    assert said["text"].text == "tutti 0.1.0; style dilla; seed 7"
    assert [track.name for track in file.tracks] == ["dilla 90 bpm", "Kick", "Snare", "Hihat closed", "Crash"]


@pytest.mark.parametrize("ticks", [480, 960])
@pytest.mark.parametrize("lead_in", [0, 2])
@pytest.mark.parametrize(("metre", "quarters"), [("4/4", 4), ("7/8", 3.5), ("6/8", 3)])
def test_the_file_ends_on_the_bar_line(ticks: int, lead_in: int, metre: str, quarters: float) -> None:
    groove = groove_of(beat(3, metre), ticks_per_quarter=ticks, lead_in_bars=lead_in)
    for data in (midi(groove, 0), quantised_midi(groove, 0)):
        assert ends(parsed(data)) == {(3 + lead_in) * quarters * ticks}
    assert ends(parsed(template_midi(groove, 0))) == {quarters * ticks}


@pytest.mark.parametrize("ticks", [480, 960])
@pytest.mark.parametrize(("place", "tick"), [(0.66, 317), (0.33, 158), (0.62, 298), (0.31, 149), (0.5, 240)])
def test_swing_keeps_its_size(ticks: int, place: float, tick: int) -> None:
    data = midi(groove_of(pattern_of([(place, HAT, 80)]), ticks_per_quarter=ticks), 0)
    ((found, *_),) = onsets(data)
    assert found == round(place * ticks)
    assert found / ticks * 480 == pytest.approx(tick, abs=0.5)


def test_strokes_ahead_of_the_first_bar_need_a_lead_in_to_keep_their_place() -> None:
    pattern = pattern_of([(-0.05, 49, 100), (0.0, KICK, 100)])
    assert onsets(midi(groove_of(pattern), 0)) == [(0, KICK, 100), (0, 49, 100)]
    assert onsets(midi(groove_of(pattern, lead_in_bars=1), 0)) == [(1920 - 24, 49, 100), (1920, KICK, 100)]


def test_a_stroke_never_cuts_the_next_nor_passes_the_end() -> None:
    roll = [(n / 32, SNARE, 60 + n) for n in range(16)]
    pattern = pattern_of([*roll, (3.9999, SNARE, 99), (3.99, KICK, 99), (4.0, HAT, 99)])
    found = notes(parsed(midi(groove_of(pattern), 0)))
    assert [note[3] for note in found if note[1] == SNARE][:15] == [15] * 15
    assert all(tick + length <= 1920 for tick, _, _, length in found)
    assert (1919, SNARE, 99, 1) in found
    assert HAT not in {note for _, note, _, _ in found}  # the next bar is not in the file


def test_of_strokes_at_one_tick_the_loudest_sounds() -> None:
    assert onsets(midi(groove_of(pattern_of([(1.0, KICK, 50), (1.0001, KICK, 90)])), 0)) == [(480, KICK, 90)]
    pattern = pattern_of([(1.0, 48, 50), (1.0, 50, 90)])  # one rack tom for both
    assert onsets(midi(groove_of(pattern, drum_map="superior"), 0)) == [(480, 48, 90)]


@st.composite
def patterns(draw: st.DrawFn, ticks: int) -> Pattern:
    metre = draw(st.sampled_from(["4/4", "3/4", "7/8", "6/8"]))
    bars = draw(st.integers(1, 4))
    last = round(TimeSignature(*map(int, metre.split("/"))).quarters_per_bar * bars * ticks) - 1
    keys = st.integers(35, 81).filter(lambda key: key != 58)  # which reads as Roland's rim of the floor tom
    places = st.tuples(st.integers(0, last), keys)
    hits = draw(st.dictionaries(places, st.integers(1, 127), min_size=1, max_size=40))
    bpm = draw(st.one_of(st.integers(20, 400), st.floats(20, 400)))
    return pattern_of([(tick / ticks, key, velocity) for (tick, key), velocity in hits.items()], bars, bpm, metre)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([480, 960]), st.sampled_from(MAP_NAMES))
def test_midi_to_pattern_to_midi_is_the_identity(data: st.DataObject, ticks: int, drum_map: str) -> None:
    pattern = data.draw(patterns(ticks))
    groove = groove_of(pattern, ticks_per_quarter=ticks, drum_map=drum_map)
    first = midi(groove, 0)
    back, warnings = read_pattern(first, drum_map)
    assert not warnings
    assert (back.bars, back.metre) == (pattern.bars, pattern.metre)
    assert back.bpm == pytest.approx(pattern.bpm, rel=1e-4)
    # what the track names say of the tempo is rounded, as the tempo is
    again = midi(replace(groove, patterns=(replace(back, bpm=pattern.bpm),)), 0)
    assert again == first
    if drum_map == "gm":
        written = [(round(hit.beat * ticks), hit.key, hit.velocity) for hit in pattern]
        assert [(round(hit.beat * ticks), hit.key, hit.velocity) for hit in back] == written


def test_the_map_is_used() -> None:
    data = midi(groove_of(beat(), drum_map="addictive"), 0)
    assert {note for _, note, _ in onsets(data)} == {mapped(key, "addictive") for key in (KICK, SNARE, HAT, 49)}


def quantised(hits: Iterable[tuple[float, int, int]], bars: int = 1) -> list[float]:
    return [tick / 480 for tick, _, _ in onsets(quantised_midi(groove_of(pattern_of(hits, bars)), 0))]


@pytest.mark.parametrize(
    ("played", "written"),
    [
        ([0.02, 0.31, 0.48, 0.79], [0, 0.25, 0.5, 0.75]),
        ([0.01, 0.58, 1.02, 1.6], [0, 0.5, 1, 1.5]),  # swing, not triplets
        ([0.01, 0.34, 0.66], [0, 1 / 3, 2 / 3]),
        ([0.0, 0.66, 1.01, 1.67], [0, 2 / 3, 1, 5 / 3]),  # a shuffle
        ([0.01, 0.12, 0.26, 0.37], [0, 0.125, 0.25, 0.375]),
        ([0.01, 0.12], [0, 0]),  # one stroke makes no figure: a flam
        ([0.67], [0.75]),
        ([-0.03, 0.97], [0, 1]),
        ([1.0, 3.97], [0, 1.0]),  # ahead of the bar line at the end: the first beat of the loop
    ],
)
def test_strokes_are_quantised_to_what_they_are_part_of(played: list[float], written: list[float]) -> None:
    expected = sorted({round(place * 480) / 480 for place in written})
    assert quantised([(place, HAT, 80) for place in played]) == expected


def test_quantising_keeps_velocities() -> None:
    data = quantised_midi(groove_of(beat()), 0)
    assert sorted(v for _, _, v in onsets(data)) == sorted(hit.velocity for hit in beat())


def test_the_template_is_what_the_pattern_plays_on_average() -> None:
    pattern = pattern_of([(0.02, KICK, 100), (4.04, KICK, 80), (0.58, HAT, 60), (4.6, HAT, 50)], bars=2)
    found = onsets(template_midi(groove_of(pattern, lead_in_bars=2), 0))
    assert len(found) == 16
    assert len({note for _, note, _ in found}) == 1
    places = [tick for tick, _, _ in found]
    assert places[0] == round(0.03 * 480)
    assert places[2] == round(0.59 * 480)
    assert [place for n, place in enumerate(places) if n not in (0, 2)] == [
        n * 120 for n in range(16) if n not in (0, 2)
    ]
    assert [velocity for _, _, velocity in found[:4]] == [90, 20, 55, 20]
    assert len(onsets(template_midi(groove_of(beat(metre="7/8")), 0))) == 14


def test_json_reads_back() -> None:
    groove = groove_of(beat(3, "7/8"), drum_map="td17")
    data = json_file(groove, 0)
    assert read_json(data) == groove.pattern
    assert read_pattern(data) == (groove.pattern, ())
    document = json.loads(data)
    assert (document["format"], document["version"], document["bars"], document["metre"]) == (
        "tutti-groove",
        1,
        3,
        "7/8",
    )
    assert document["provenance"]["seed"] == 7
    assert document["provenance"]["options"]["drum_map"] == "td17"
    assert document["findings"][0]["code"] == "dense"
    early, *_ = document["hits"]
    assert (early["voice"], early["bar"], early["sixteenth"]) == ("crash", 1, 1)
    assert early["offset_ms"] == pytest.approx(-0.02 * 60_000 / 90)
    second = next(hit for hit in document["hits"] if hit["voice"] == "hihat_closed" and hit["beat"] > 3.49)
    assert (second["bar"], second["sixteenth"]) == (2, 1)
    assert None in document["features"].values()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.builds(Hit, st.floats(-0.125, 8, exclude_max=True), st.integers(0, 127), st.integers(1, 127))),
    st.floats(20, 400),
)
def test_json_is_exact(hits: list[Hit], bpm: float) -> None:
    pattern = Pattern(tuple(hits), bpm, 2)
    assert read_json(json_file(groove_of(pattern), 0)) == pattern


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "tutti-notes"}, {"version": 2}, {"version": True}, {"bpm": "90"}, {"bpm": 5}, {"bpm": None},
        {"bars": 0}, {"bars": 1.5}, {"bars": 10**12}, {"metre": "4"}, {"metre": "a/b"}, {"metre": 44}, {"hits": None},
        {"hits": {}}, {"hits": [1]},
        {"hits": [{"beat": 0, "key": 36}]}, {"hits": [{"beat": math.inf, "key": 36, "velocity": 9}]},
        {"hits": [{"beat": 0, "key": 200, "velocity": 9}]}, {"hits": [{"beat": 0, "key": 36, "velocity": True}]},
    ],
)  # fmt: skip
def test_json_that_is_no_groove_says_what_is_expected(changes: dict[str, Any]) -> None:
    document = json.loads(json_file(groove_of(beat()), 0))
    with pytest.raises(MidiError, match="Expected an object with"):
        read_json(json.dumps(document | changes).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_at_all_is_refused(data: bytes) -> None:
    with pytest.raises(MidiError):
        read_json(data)


def heard(data: bytes) -> np.ndarray:
    samples, rate_hz = soundfile.read(io.BytesIO(data))
    assert rate_hz == 44_100
    return samples


@pytest.mark.parametrize(("bars", "lead_in", "metre"), [(1, 0, "4/4"), (2, 1, "4/4"), (2, 0, "7/8")])
def test_the_wav_is_as_long_as_its_bars_and_does_not_clip(bars: int, lead_in: int, metre: str) -> None:
    pattern = beat(bars, metre)
    data = wav(groove_of(pattern, lead_in_bars=lead_in), 0)
    assert soundfile.info(io.BytesIO(data)).subtype == "PCM_16"
    samples = heard(data)
    assert samples.shape == (round((bars + lead_in) * pattern.bar_beats * 60 / 90 * 44_100), 2)
    assert 0.1 < np.abs(samples).max() <= 10 ** (-1 / 20) + 1e-4
    assert wav(groove_of(pattern, lead_in_bars=lead_in), 0) == data


def test_tails_go_on_at_the_start_of_a_loop_only() -> None:
    pattern = pattern_of([(3.9, 49, 110)])
    loop, led = heard(wav(groove_of(pattern), 0)), heard(wav(groove_of(pattern, lead_in_bars=1), 0))
    assert np.abs(loop[:1000]).max() > 0.01
    assert not led[: len(loop)].any()
    assert np.abs(led[-1]).max() < 1e-3


@pytest.mark.parametrize(("bars", "metre"), [(1, "4/4"), (4, "4/4"), (8, "4/4"), (6, "7/8"), (2, "6/8")])
def test_the_picture_shows_something(bars: int, metre: str) -> None:
    image = matplotlib.image.imread(io.BytesIO(png(groove_of(beat(bars, metre)), 0)))
    height, width, _ = image.shape
    assert 600 < width < 2200
    assert 200 < height < 2000
    colours = {tuple(colour) for colour in (image[::2, ::2, :3].reshape(-1, 3) * 15).astype(int)}
    assert len(colours) > 30


def test_more_bars_take_more_systems() -> None:
    heights = [matplotlib.image.imread(io.BytesIO(png(groove_of(beat(n)), 0))).shape[0] for n in (4, 5, 9)]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=2)
    assert heights[1] > 1.5 * heights[0]


def test_a_pattern_of_nothing_is_written_all_the_same() -> None:
    groove = groove_of(pattern_of([], bars=2), style=None)
    assert ends(parsed(midi(groove, 0))) == {2 * 1920}
    assert not heard(wav(groove, 0)).any()
    assert png(groove, 0).startswith(b"\x89PNG")
    assert len(onsets(template_midi(groove, 0))) == 16
    assert read_json(json_file(groove, 0)) == groove.pattern


def test_claps_and_percussion_have_tracks_sounds_and_rows() -> None:
    pattern = pattern_of([(0, CLAP, 90), (1, 70, 90), (2, 56, 90)])
    file = parsed(midi(groove_of(pattern), 0))
    assert [track.name for track in file.tracks[1:]] == ["Clap", "Percussion 56", "Percussion 70"]
    assert png(groove_of(pattern), 0) != png(groove_of(pattern_of([(0, SNARE, 90)])), 0)


def test_every_format_is_saved(tmp_path: Path) -> None:
    for name in FORMATS:
        (path,) = groove_of(beat(1)).save(tmp_path / f"beat.{name}")
        assert path.stat().st_size > 100


def test_any_pattern_is_a_midi_file(tmp_path: Path) -> None:
    pattern = take("funk").cut(0, 2)
    pattern.save(tmp_path / "take.mid")
    again, _ = read_pattern(tmp_path / "take.mid")
    assert (again.bars, again.bpm, len(again)) == (2, pattern.bpm, len(pattern))
    assert all(abs(a.beat - max(0.0, b.beat)) < 1 / 480 for a, b in zip(again, pattern, strict=True))
    with pytest.raises(OutputError):
        pattern.save(tmp_path / "nowhere" / "take.mid")


@pytest.mark.parametrize("beat", [-5.0, 20.0, 1e9, 1e300])
def test_hits_far_from_the_bars_are_no_groove(beat: float) -> None:
    document = json.loads(json_file(groove_of(pattern_of([(0.0, KICK, 90)], bars=2)), 0))
    document["hits"][0]["beat"] = beat
    with pytest.raises(MidiError, match="is not in its 2 bars"):
        read_json(json.dumps(document).encode())
