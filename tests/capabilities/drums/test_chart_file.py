import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutti.capabilities.drums.chart_file import read_chart, to_compatible_json, to_json
from tutti.capabilities.drums.types import DrumChart, Options, Provenance
from tutti.capabilities.drums.writing_down import Draft, options_of, write_down
from tutti.errors import ChartFileError, InputAccessError, InputNotFoundError
from tutti.music.beats import Beats
from tutti.music.drum_hits import DrumHit, DrumHits
from tutti.music.drum_kit import DRUM_CLASSES
from tutti.music.sections import Sections
from tutti.music.timing import BeatGrid

HITS = DrumHits.of(
    [
        *(DrumHit(0.25 + 0.25 * row + 0.001 * (row % 3), "hihat_closed", 60 + row % 20, 0.9) for row in range(64)),
        *(DrumHit(0.25 + row, "kick", 100, 0.97) for row in range(16)),
        *(DrumHit(0.75 + row, "snare", 110, 1 / 3) for row in range(16)),
    ]
)
BEATS = Beats.at_bpm(120, 0.25, 17)


def provenance(**options: Any) -> Provenance:
    options = Options(**options).model_dump(mode="json")
    return Provenance("0.1.0", "tutti-drums", "0" * 64, "cpu", "fp32", "歌.wav", {"method": "none"}, "user", options)


def chart_of(hits: DrumHits, beats: Beats, title: str = "Song", **options: Any) -> DrumChart:
    made = provenance(**options)
    return DrumChart(hits, beats, write_down(hits, beats, options_of(made), title), 17.5, made, ("one warning.",))


CHART = chart_of(HITS, BEATS)


def document(**changes: Any) -> dict[str, Any]:
    return {**json.loads(CHART.to_json()), **changes}


def read_document(said: Any) -> DrumChart:
    return read_chart(json.dumps(said).encode())


@st.composite
def _beats(draw: st.DrawFn) -> Beats:
    gaps = draw(st.lists(st.floats(0.2, 1.5), min_size=2, max_size=20))
    first_s = draw(st.floats(0, 3))
    times_s = [first_s]
    for gap in gaps:
        times_s.append(times_s[-1] + gap)
    per_bar, shift = draw(st.integers(2, 7)), draw(st.integers(0, 6))
    positions = tuple((row + shift) % per_bar + 1 for row in range(len(times_s)))
    worth = draw(st.sampled_from([Fraction(1), Fraction(3, 2), Fraction(1, 2)]))
    trust = draw(st.floats(0, 1)), draw(st.booleans())
    return Beats(BeatGrid(tuple(times_s), positions), *trust, "tutti", worth, draw(st.none() | st.floats(0, 1)))


_hits = st.lists(
    st.builds(DrumHit, st.floats(0, 17), st.sampled_from(DRUM_CLASSES), st.integers(1, 127), st.floats(0, 1)),
    max_size=30,
).map(DrumHits.of)
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=25, deadline=None)
@given(_hits, _beats(), _text, st.sampled_from(["bars", "signs", "none"]), _text)
def test_any_chart_reads_back_equal(hits: DrumHits, beats: Beats, title: str, repeats: str, note: str) -> None:
    chart = chart_of(hits, beats, title, repeats=repeats)
    chart = replace(chart, sheet=replace(chart.sheet, note=note))
    assert read_chart(chart.to_json().encode()) == chart


def test_rehearsal_marks_survive() -> None:
    sections = Sections.between([0.25, 4.25, 8.25, 17], ["Intro", "Vers ü", "Chorus"])
    chart = replace(CHART, sheet=write_down(HITS, BEATS, Options(), "Song", sections=sections))
    assert [bar.rehearsal for bar in chart.sheet.bars if bar.rehearsal] == ["Intro", "Vers ü", "Chorus"]
    again = read_chart(chart.to_json().encode())
    assert again.sheet == chart.sheet
    assert [section.label for section in Draft.of(again).sections] == ["Intro", "Vers ü", "Chorus"]


def test_the_required_fields_are_there() -> None:
    said = document()
    assert said["detected_bpm"] == 120
    assert said["bpm_alternatives"] == [60, 240]
    assert said["bpm_unreliable"] is False
    assert said["duration_seconds"] == 17.5
    assert said["confidence_score"] == round((64 * 0.9 + 16 * 0.97 + 16 / 3) / 96, 4)
    assert said["low_confidence"] is False
    assert said["hit_summary"] == {"kick": 16, "snare": 16, "hihat_closed": 64}
    assert said["hits"][1] == {
        "id": "h1", "time": 0.25, "instrument": "hihat_closed", "velocity": 60, "confidence": 0.9
    }  # fmt: skip
    assert said["provenance"]["source"] == "歌.wav"


def test_an_empty_chart_has_no_confidence_rather_than_none() -> None:
    empty = chart_of(DrumHits(), Beats(BeatGrid(), 0, True, "none"))
    said = json.loads(empty.to_json())
    assert said["confidence_score"] is None
    assert said["detected_bpm"] is None
    assert said["low_confidence"] is False
    assert read_chart(empty.to_json().encode()) == empty


def test_low_confidence_is_said() -> None:
    unsure = chart_of(DrumHits.of([DrumHit(1.0, "kick", 90, 0.4)]), BEATS)
    assert json.loads(unsure.to_json())["low_confidence"] is True


@pytest.mark.parametrize(("strength", "literal"), [(0.4, True), (0.5, False), (None, False)])
def test_both_flags_of_the_tempo_are_kept_apart(strength: float | None, literal: bool) -> None:
    chart = chart_of(HITS, replace(BEATS, literal_strength=strength))
    said = json.loads(chart.to_json())
    assert (said["bpm_unreliable"], said["bpm_unreliable_literal"]) == (False, literal)
    assert json.loads(to_compatible_json(chart))["bpm_unreliable"] is literal


def test_the_compatible_file_has_the_required_fields_only(tmp_path: Path) -> None:
    said = json.loads(CHART.save(tmp_path / "song.hits.json").read_text())
    assert list(said) == [
        "detected_bpm", "bpm_unreliable", "duration_seconds", "confidence_score", "hit_summary", "hits"
    ]  # fmt: skip
    assert len(said["hits"]) == 96
    snare = next(hit for hit in said["hits"] if hit["instrument"] == "snare")
    assert snare == {"time": 0.75, "instrument": "snare", "velocity": 0.3333}


def test_where_the_recording_lies_stays_out_of_the_file() -> None:
    chart = replace(CHART, recording=Path("someone/secret.wav"), backing=Path("someone/rest.flac"))
    assert "someone" not in chart.to_json()
    assert read_chart(chart.to_json().encode()) == CHART


def test_a_file_name_that_is_no_text_is_written_all_the_same() -> None:
    odd = replace(CHART, provenance=replace(CHART.provenance, source="latin-\udce9.wav"))
    assert read_chart(odd.to_json().encode()).provenance.source == "latin-?.wav"


def test_files_are_read_from_a_path(tmp_path: Path) -> None:
    assert read_chart(CHART.save(tmp_path / "song.json")) == CHART
    with pytest.raises(InputNotFoundError, match="nowhere"):
        read_chart(tmp_path / "nowhere.json")
    with pytest.raises(InputAccessError):
        read_chart(tmp_path)


BROKEN: dict[str, Any] = {
    "empty": b"",
    "text": b"hello",
    "not utf-8": b'{"title": "\xff"}',
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "cut": to_json(CHART).encode()[:-200],
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "without hits": {"hits": None},
    "hits as numbers": {"hits": [1, 2]},
    "unknown piece": {"hits": [{"id": "h0", "time": 1.0, "instrument": "cowbell", "velocity": 90, "confidence": 1.0}]},
    "velocity 0": {"hits": [{"id": "h0", "time": 1.0, "instrument": "kick", "velocity": 0, "confidence": 1.0}]},
    "velocity true": {"hits": [{"id": "h0", "time": 1.0, "instrument": "kick", "velocity": True, "confidence": 1.0}]},
    "confidence 2": {"hits": [{"id": "h0", "time": 1.0, "instrument": "kick", "velocity": 90, "confidence": 2.0}]},
    "time as text": {"hits": [{"id": "h0", "time": "1", "instrument": "kick", "velocity": 90, "confidence": 1.0}]},
    "a hit in another century": {
        "hits": [{"id": "h0", "time": 1e12, "instrument": "kick", "velocity": 90, "confidence": 1.0}]
    },
    "infinite": {"duration_seconds": float("inf")},
    "negative": {"duration_seconds": -1.0},
    "a year": {"duration_seconds": 3e7},
    "hits renumbered": {"hits": document()["hits"][1:]},
    "hits out of order": {"hits": document()["hits"][::-1]},
    "beats too near": {"beats": {**document()["beats"], "times_s": [10.0, 10.000001], "positions": [1, 2]}},
    "beats falling": {"beats": {**document()["beats"], "times_s": [2.0, 1.0], "positions": [1, 2]}},
    "no beats for hits": {"beats": {**document()["beats"], "times_s": [], "positions": []}},
    "long bars": {"beats": {**document()["beats"], "times_s": list(range(90)), "positions": list(range(1, 91))}},
    "odd beat": {"beats": {**document()["beats"], "beat_quarters": "0"}},
    "sections apart": {
        "sections": [{"start_s": 0.0, "end_s": 1.0, "label": "A"}, {"start_s": 2.0, "end_s": 3.0, "label": "B"}]
    },
    "odd repeats": {"provenance": {**document()["provenance"], "options": {"repeats": "often"}}},
    "odd corrections": {"provenance": {**document()["provenance"], "options": {"corrections": 5}}},
    "an option that is no number": {"provenance": {**document()["provenance"], "options": {"x": float("nan")}}},
    "other JSON": b'{"notes": []}',
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_chart_is_refused_saying_so(case: str) -> None:
    said = BROKEN[case]
    data = said if isinstance(said, bytes) else json.dumps(document(**said)).encode()
    with pytest.raises(ChartFileError, match=r"The data is not a drum chart of tutti: .+"):
        read_chart(data)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_file_with_anything_anywhere_is_a_chart_or_refused(data: st.DataObject) -> None:
    said = document(hits=document()["hits"][:3])
    place: Any = said
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
        else:
            break
    place[key] = data.draw(_json)
    try:
        chart = read_document(said)
    except ChartFileError:
        return
    assert read_chart(chart.to_json().encode()) == chart
