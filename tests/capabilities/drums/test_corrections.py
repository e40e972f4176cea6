import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutti.capabilities.drums.chart_file import read_chart
from tutti.capabilities.drums.corrections import AddedHit, ChangedHit, Corrections, read_corrections
from tutti.capabilities.drums.types import DrumChart, Options, Provenance
from tutti.capabilities.drums.writing_down import write_down
from tutti.errors import CorrectionError, InputAccessError, InputNotFoundError
from tutti.music.beats import Beats
from tutti.music.drum_hits import DrumHit, DrumHits

HITS = DrumHits.of(
    [
        *(DrumHit(0.5 * row, "hihat_closed", 70, 0.9) for row in range(1, 33)),
        *(DrumHit(0.5 + 2 * row, "kick", 100, 0.4) for row in range(8)),
        *(DrumHit(1.5 + 2 * row, "snare", 110, 0.9) for row in range(8)),
    ]
)
BEATS = replace(Beats.at_bpm(120, 0.5, 16.5), method="tutti", confidence=0.8)
PROVENANCE = Provenance("0.1.0", "m", "0" * 64, "cpu", "fp32", "a.wav", {}, "tutti", Options().model_dump(mode="json"))
CHART = DrumChart(HITS, BEATS, write_down(HITS, BEATS, Options(), "Song"), 17.0, PROVENANCE)


def test_hits_are_dropped_added_and_changed_by_the_ids_of_the_chart() -> None:
    assert (HITS[0].instrument, HITS[1].instrument, HITS[4].instrument) == ("kick", "hihat_closed", "hihat_closed")
    made = CHART.edited(
        Corrections(
            drop=("h1", "h0"),
            add=(AddedHit(time_s=0.5, instrument="crash", velocity=120),),
            change={"h4": ChangedHit(instrument="ride")},
        )
    )
    assert len(made.hits) == len(HITS) - 1
    assert made.hits[0] == DrumHit(0.5, "crash", 120)
    before = [hit for index, hit in enumerate(HITS) if index not in (0, 1, 4)]
    assert [hit for hit in made.hits if hit.instrument not in ("ride", "crash")] == before
    assert [hit for hit in made.hits if hit.instrument == "ride"] == [DrumHit(HITS[4].time_s, "ride", 70, 1.0)]
    assert next(s.instrument for bar in made.sheet.bars for s in bar.strokes) == "crash"


def test_what_is_changed_may_be_one_thing_only() -> None:
    made = CHART.edited(Corrections(change={"h0": ChangedHit(velocity=30), "h1": ChangedHit(time_s=0.52)}))
    assert made.hits[0] == DrumHit(0.5, "kick", 30)
    assert made.hits[1] == DrumHit(0.52, "hihat_closed", 70)


def test_the_sheet_is_that_of_a_chart_heard_so_in_the_first_place() -> None:
    made = CHART.edited(Corrections(drop=("h0",), shift_downbeat=1))
    assert made.sheet == write_down(made.hits, BEATS.shifted(1), Options(), "Song")


@pytest.mark.parametrize(("tempo", "bpm"), [("half", 60), ("double", 240)])
def test_the_tempo_is_halved_or_doubled(tempo: str, bpm: float) -> None:
    made = CHART.edited(Corrections.model_validate({"tempo": tempo}))
    assert made.bpm == pytest.approx(bpm)
    assert made.sheet.bars[0].bpm == pytest.approx(bpm, abs=0.01)
    assert made.hits == HITS
    assert made.beats.confidence == 0.8


def test_bpm_metre_and_downbeat_are_as_told() -> None:
    made = CHART.edited(Corrections(bpm=90, metre="3/4", first_downbeat_s=1.0))
    assert made.bpm == pytest.approx(90)
    assert 1.0 in made.beats.grid.downbeats_s
    assert {(bar.numerator, bar.denominator) for bar in made.sheet.bars} == {(3, 4)}
    assert made.beats.method == "user"


def test_a_compound_metre_changes_what_a_beat_is_worth() -> None:
    made = CHART.edited(Corrections(metre="6/8"))
    assert made.beats.beat_quarters == Fraction(3, 2)
    assert made.sheet.bars[0].numerator == 6


@pytest.mark.parametrize("time_s", [1.5, 1.3, 1.7])
def test_a_bar_begins_at_the_beat_nearest_to_what_was_said(time_s: float) -> None:
    made = CHART.edited(Corrections(first_downbeat_s=time_s))
    assert made.beats.grid.times_s == BEATS.grid.times_s
    assert made.beats.grid.downbeats_s[0] == 1.5
    assert [bar.start_s for bar in made.sheet.bars][1:] == pytest.approx([1.5 + 2 * row for row in range(8)])


def test_the_title_and_only_the_title_changes() -> None:
    made = CHART.edited(Corrections(title="Näher — 歌 \U0001f941"))
    assert made.sheet == replace(CHART.sheet, title="Näher — 歌 \U0001f941")
    assert (made.hits, made.beats) == (HITS, BEATS)
    assert read_chart(made.to_json().encode()) == made


def test_no_corrections_change_nothing_but_the_record() -> None:
    made = CHART.edited(Corrections())
    assert replace(made, provenance=PROVENANCE) == CHART


def test_the_result_says_what_was_corrected() -> None:
    made = CHART.edited(Corrections(drop=("h3",))).edited(Corrections(title="B"))
    assert made.provenance.options["corrections"] == [{"drop": ["h3"]}, {"title": "B"}]
    assert read_chart(made.to_json().encode()) == made


@pytest.mark.parametrize(
    ("corrections", "said"),
    [
        ({"drop": ["h99"]}, r"no hit 'h99' in this chart, which has h0 to h47; nearest: h46 \(.*\), h47 \(.* s\)"),
        ({"change": {"h48": {"velocity": 3}}}, "no hit 'h48'.*h47"),
        ({"drop": ["12"]}, r"no hit '12'.*h11 \(.*h12 \(.*h13 \("),
        ({"drop": ["h01", "kick", "h-1", "h1 "]}, "'h01', 'kick', 'h-1', 'h1 '"),
        ({"drop": [f"x{n}" for n in range(20)]}, "and 15 more"),
        ({"drop": ["h3"], "change": {"h3": {"velocity": 3}}}, "'h3' is both dropped and changed"),
        ({"change": {"h3": {"instrument": "cowbell"}}}, "change.h3: There is no drum 'cowbell'"),
        ({"add": [{"time_s": 1, "instrument": "kick"}, {"time_s": -1, "instrument": "kick"}]}, "add, entry 2: .*-1"),
        ({"add": [{"time_s": 1e9, "instrument": "kick"}]}, "entry 1: .*after the end of the recording at 17.000 s"),
        ({"add": [{"time_s": 1, "instrument": "kick", "velocity": 200}]}, "velocity is 1-127; got 200"),
        ({"tempo": "half", "bpm": 100}, "Both bpm and tempo"),
        ({"shift_downbeat": 1, "first_downbeat_s": 1}, "Both first_downbeat_s and shift_downbeat"),
        ({"metre": "0/4"}, "0/4 is no metre"),
        ({"metre": "99/8"}, "99/8 is no metre"),
        ({"first_downbeat_s": 300}, "No bar can begin at 300.0 s: beats were heard from 0.000 to 16.500 s"),
    ],
)
def test_a_correction_that_cannot_be_made_is_named_and_nothing_changes(corrections: object, said: str) -> None:
    with pytest.raises(CorrectionError, match=rf"{said}.*Nothing was changed\.$"):
        CHART.edited(Corrections.model_validate(corrections))


def test_a_chart_without_hits_has_none_to_drop() -> None:
    empty = replace(CHART, hits=DrumHits())
    with pytest.raises(CorrectionError, match="the chart has no hits"):
        empty.edited(Corrections(drop=("h0",)))


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, 47)), st.sets(st.integers(0, 47)), st.integers(-9, 9))
def test_any_hits_may_go_and_the_others_stay(drop: set[int], change: set[int], shift: int) -> None:
    changes = {f"h{row}": ChangedHit(instrument="tom_low") for row in change - drop}
    made = CHART.edited(Corrections(drop=tuple(f"h{row}" for row in drop), change=changes, shift_downbeat=shift))
    kept = [hit for row, hit in enumerate(HITS) if row not in drop | change]
    assert [hit for hit in made.hits if hit.instrument != "tom_low"] == kept
    assert len(made.hits) == len(HITS) - len(drop)
    ids = [name for bar in made.sheet.bars for stroke in bar.strokes for name in (stroke.id, *stroke.also)]
    assert sorted(ids) == sorted(f"h{row}" for row in range(len(made.hits)))


TOML = """
tempo = "half"
metre = "3/4"
shift_downbeat = -1
title = "Título"
drop = ["h3", "h17"]

[[add]]
time_s = 2.5
instrument = "crash"
velocity = 100

[[add]]
time_s = 3
instrument = "china"

[change.h12]
instrument = "ride"
"""
READ = Corrections(
    tempo="half",
    metre="3/4",
    shift_downbeat=-1,
    title="Título",
    drop=("h3", "h17"),
    add=(AddedHit(time_s=2.5, instrument="crash", velocity=100), AddedHit(time_s=3, instrument="china")),
    change={"h12": ChangedHit(instrument="ride")},
)


def test_a_file_is_toml_or_json(tmp_path: Path) -> None:
    (tmp_path / "fix.toml").write_text(TOML, encoding="utf-8")
    (tmp_path / "fix.JSON").write_text(json.dumps(READ.model_dump(mode="json")))
    assert read_corrections(tmp_path / "fix.toml") == READ
    assert read_corrections(tmp_path / "fix.JSON") == READ


def test_a_chart_file_is_corrected_as_it_is_read() -> None:
    assert read_chart(CHART.to_json().encode(), READ) == CHART.edited(READ)
    with pytest.raises(CorrectionError, match="no hit 'h99'"):
        read_chart(CHART.to_json().encode(), Corrections(drop=("h99",)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("drop = [", "not readable TOML or JSON"),
        ("drop = 3", "drop: Input should be a valid tuple"),
        ("remove = ['h3']", "remove: Extra inputs are not permitted.*It may hold: drop, add, change"),
        ("bpm = 1000", "bpm: .*400"),
        ("bpm = nan", "bpm: .*finite"),
        ("tempo = 'slower'", "tempo: Input should be 'half' or 'double'"),
        ("[[add]]\ntime_s = 3", r"add\.0\.instrument: Field required"),
        ("[change.h1]\npiece = 'ride'", r"change\.h1\.piece"),
        ("a = " + "[" * 100_000, "not readable"),
        ("\n".join(f"x{n} = 1" for n in range(9)), "and 4 more"),
    ],
)
def test_a_file_that_makes_no_sense_says_where(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "fix.toml").write_text(text)
    with pytest.raises(CorrectionError, match=f"fix.toml.*{said}"):
        read_corrections(tmp_path / "fix.toml")


def test_files_that_are_no_text_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "fix.toml").write_bytes(b"title = '\xff'")
    with pytest.raises(CorrectionError, match="not readable"):
        read_corrections(tmp_path / "fix.toml")
    (tmp_path / "fix.json").write_text("[]")
    with pytest.raises(CorrectionError, match="make no sense"):
        read_corrections(tmp_path / "fix.json")
    with pytest.raises(InputNotFoundError):
        read_corrections(tmp_path / "none.toml")
    with pytest.raises(InputAccessError):
        read_corrections(tmp_path)
