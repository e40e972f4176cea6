import csv
import io
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tutti.capabilities.drums.outputs import played_midi, quantised_midi
from tutti.capabilities.drums.quantise import score_positions
from tutti.capabilities.drums.types import DrumChart, Options, Provenance
from tutti.capabilities.drums.writing_down import options_of, write_down, written_out
from tutti.errors import AudioFormatError, InputNotFoundError, OptionError
from tutti.music.beats import Beats
from tutti.music.drum_hits import DrumHit, DrumHits
from tutti.music.drum_kit import DRUM_CLASSES, class_of_key
from tutti.music.midi import MidiScore, read_midi_score
from tutti.music.timing import BeatGrid

RATE_HZ = 44_100


def chart_of(hits: DrumHits, beats: Beats, title: str = "Song", **options: Any) -> DrumChart:
    said = Options(**options).model_dump(mode="json")
    made = Provenance("0.1.0", "m", "0" * 64, "cpu", "fp32", "song.wav", {}, "tutti", said)
    return DrumChart(hits, beats, write_down(hits, beats, options_of(made), title), 20.0, made)


def unsteady(first_s: float = 1.3, first_position: int = 1, beats: int = 32, per_bar: int = 4) -> Beats:
    """Beats that breathe as a band does."""
    gaps = 0.5 + 0.03 * np.sin(np.arange(beats - 1) / 3)
    times_s = first_s + np.concatenate([[0.0], np.cumsum(gaps)])
    positions = tuple((row + first_position - 1) % per_bar + 1 for row in range(beats))
    return Beats(BeatGrid(tuple(map(float, times_s)), positions), 0.9, False, "tutti")


def groove(beats: Beats, late_s: float = 0.0) -> DrumHits:
    """Eighths on the hat, kick on 1 and 3, snare on 2 and 4."""
    hits = []
    for (time_s, position), (after_s, _) in pairwise(beats.grid):
        hits.append(DrumHit(time_s + late_s, "hihat_closed", 70, 0.9))
        hits.append(DrumHit((time_s + after_s) / 2 + late_s, "hihat_closed", 60, 0.8))
        hits.append(DrumHit(time_s + late_s, "kick" if position % 2 else "snare", 100, 0.95))
    return DrumHits.of(hits)


BEATS = unsteady()
CHART = chart_of(groove(BEATS), BEATS)


def bar_lines_s(score: MidiScore, count: int) -> list[float]:
    """When the first bars of a MIDI file begin, by its time signatures and tempi."""
    lines, beat = [], 0.0
    for _ in range(count):
        lines.append(score.tempo_map.to_seconds(beat))
        current = [s for s in score.time_signatures if s.beat <= beat + 1e-6][-1]
        beat += current.quarters_per_bar
    return lines


def near(time_s: float, times_s: list[float]) -> bool:
    return min(abs(time_s - other) for other in times_s) <= 1e-3


@pytest.mark.parametrize(
    "beats",
    [
        BEATS,
        unsteady(first_s=0.0),
        unsteady(first_s=0.0004),
        unsteady(first_s=0.02),
        unsteady(first_s=0.3, first_position=3),
        unsteady(first_s=9.87, first_position=2),
        unsteady(per_bar=3, first_position=3),
        replace(unsteady(per_bar=2), beat_quarters=Fraction(3, 2)),
        replace(unsteady(per_bar=7), beat_quarters=Fraction(1, 2)),
    ],
)
def test_bars_and_beats_of_the_midi_line_up_with_the_recording(beats: Beats) -> None:
    for data in (quantised_midi(chart_of(groove(beats), beats)), played_midi(chart_of(groove(beats), beats))):
        score = read_midi_score(data)
        lines_s = bar_lines_s(score, 60)
        assert all(near(time_s, lines_s) for time_s in beats.grid.downbeats_s)
        places = [score.tempo_map.to_beat(time_s) for time_s in beats.grid.times_s[1:]]
        assert np.diff(places) == pytest.approx(float(beats.beat_quarters), abs=1e-2)
        assert max(tempo.bpm for tempo in score.tempo_map.tempi) < 1600


def test_metre_changes_are_bars_of_the_midi() -> None:
    times_s = tuple(0.5 + 0.5 * row for row in range(22))
    beats = Beats(BeatGrid(times_s, (1, 2, 3, 4) * 2 + (1, 2, 3) * 2 + (1, 2, 3, 4) * 2), 0.9, False, "tutti")
    score = read_midi_score(quantised_midi(chart_of(groove(beats), beats)))
    assert [(s.numerator, s.denominator, s.beat) for s in score.time_signatures] == [
        (1, 4, 0), (4, 4, 1), (3, 4, 9), (4, 4, 15)
    ]  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 17), st.sampled_from(DRUM_CLASSES), st.integers(1, 127)), max_size=40),
    st.floats(0, 4),
    st.integers(1, 4),
)
def test_played_midi_is_what_was_played(
    struck: list[tuple[float, str, int]], first_s: float, first_position: int
) -> None:
    apart = {(round(one[0], 2), one[1]): DrumHit(*one) for one in struck}  # not two in one tick
    hits = DrumHits.of(apart.values())
    score = read_midi_score(played_midi(chart_of(hits, unsteady(first_s, first_position))))
    assert all(note.is_drum for note in score.notes)
    found = sorted((class_of_key(note.pitch) or "", note.onset_s, note.velocity) for note in score.notes)
    wanted = sorted((hit.instrument, hit.time_s, hit.velocity) for hit in hits)
    assert [(name, velocity) for name, _, velocity in found] == [(name, velocity) for name, _, velocity in wanted]
    assert [time_s for _, time_s, _ in found] == pytest.approx([time_s for _, time_s, _ in wanted], abs=1e-3)


@pytest.mark.parametrize("repeats", ["bars", "signs", "none"])
def test_quantised_midi_has_every_hit_where_the_sheet_has_it(repeats: str) -> None:
    rng = np.random.default_rng(4)
    hits = DrumHits.of(replace(hit, time_s=hit.time_s + float(rng.normal(0, 0.008))) for hit in groove(BEATS))
    chart = chart_of(hits, BEATS, repeats=repeats)
    score = read_midi_score(quantised_midi(chart))
    exact = groove(BEATS)
    found = sorted((class_of_key(note.pitch) or "", note.onset_s) for note in score.notes)
    wanted = sorted((hit.instrument, hit.time_s) for hit in exact)
    assert [name for name, _ in found] == [name for name, _ in wanted]
    assert [time_s for _, time_s in found] == pytest.approx([time_s for _, time_s in wanted], abs=1e-3)
    places = [one.quarters for one in score_positions(written_out(chart))]
    begin = score.tempo_map.to_beat(BEATS.grid.times_s[0])
    beats_found = sorted(score.tempo_map.to_beat(note.onset_s) - begin for note in score.notes)
    assert beats_found == pytest.approx([float(place) for place in places], abs=2e-3)


def test_swing_is_played_out() -> None:
    beats = unsteady()
    swung = []
    for (time_s, position), (after_s, _) in pairwise(beats.grid):
        swung.append(DrumHit(time_s, "ride", 80))
        if position % 2 == 0:
            swung.append(DrumHit(time_s + (after_s - time_s) * 2 / 3, "ride", 70))
    chart = chart_of(DrumHits.of(swung), beats)
    onsets_s = sorted(note.onset_s for note in read_midi_score(quantised_midi(chart)).notes)
    assert onsets_s == pytest.approx([hit.time_s for hit in chart.hits], abs=1e-3)


def test_strokes_on_one_key_at_once_sound_once_and_the_loudest() -> None:
    hits = DrumHits.of([*CHART.hits, replace(CHART.hits[0], velocity=127)])
    notes = read_midi_score(played_midi(chart_of(hits, BEATS))).notes
    assert len(notes) == len(CHART.hits)
    assert max(note.velocity for note in notes) == 127


def test_no_note_reaches_into_the_next_of_its_key() -> None:
    hits = DrumHits.of(DrumHit(1.3 + 0.04 * row, "snare", 90) for row in range(50))
    notes = read_midi_score(played_midi(chart_of(hits, BEATS))).notes
    assert len(notes) == 50
    assert all(before.offset_s <= after.onset_s + 1e-3 for before, after in pairwise(notes))


@pytest.mark.parametrize("beats", [BEATS, Beats(BeatGrid(), 0.0, True, "none")])
def test_an_empty_chart_gives_empty_files(beats: Beats) -> None:
    empty = chart_of(DrumHits(), beats)
    for data in (quantised_midi(empty), played_midi(empty)):
        assert len(read_midi_score(data).notes) == 0


@pytest.mark.parametrize("format_name", ["csv", "txt", "musicxml", "json", "hits.json"])
def test_an_empty_chart_can_be_saved(tmp_path: Path, format_name: str) -> None:
    empty = chart_of(DrumHits(), BEATS)
    assert empty.save(tmp_path / f"song.{format_name}").exists()


def test_the_table_says_where_every_hit_is_written(tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(CHART.save(tmp_path / "song.csv").read_text())))
    assert list(rows[0]) == ["time_s", "instrument", "velocity", "confidence", "bar", "beat", "id"]
    assert [row["id"] for row in rows] == [f"h{n}" for n in range(len(CHART.hits))]
    assert [float(row["time_s"]) for row in rows] == pytest.approx([hit.time_s for hit in CHART.hits], abs=1e-6)
    snares = [(row["bar"], row["beat"]) for row in rows if row["instrument"] == "snare"]
    assert snares == [(str(1 + n // 2), "2" if n % 2 == 0 else "4") for n in range(len(snares))]
    assert [row["beat"] for row in rows if row["instrument"] == "hihat_closed"][:4] == ["1", "1.5", "2", "2.5"]
    assert rows[0]["confidence"] == "0.9500"


def test_the_table_of_a_sheet_with_repeat_signs_has_every_bar() -> None:
    signs = chart_of(CHART.hits, BEATS, repeats="signs")
    from tutti.capabilities.drums.outputs import csv_table

    assert csv_table(signs) == csv_table(CHART)


def test_labels_are_points_that_name_the_hit(tmp_path: Path) -> None:
    lines = CHART.save(tmp_path / "song.txt").read_text().splitlines()
    assert len(lines) == len(CHART.hits)
    assert lines[0] == "1.300000\t1.300000\tkick h0"


def test_musicxml_has_every_hit_and_the_title(tmp_path: Path) -> None:
    chart = chart_of(CHART.hits, BEATS, "Größe & <歌> \U0001f941")
    root = ET.fromstring(chart.save(tmp_path / "song.musicxml").read_bytes())
    assert root.findtext("work/work-title") == "Größe & <歌> \U0001f941"
    assert len(root.findall(".//unpitched")) == len(CHART.hits)


def tone(path: Path, channels: int, seconds: float = 7.0, rate_hz: int = RATE_HZ) -> Path:
    at_s = np.arange(round(seconds * rate_hz)) / rate_hz
    one = (0.1 * np.sin(2 * np.pi * 440 * at_s)).astype(np.float32)
    soundfile.write(path, np.stack([one * 0.5**n for n in range(channels)], axis=1), rate_hz)
    return path


@pytest.mark.parametrize(("channels", "rate_hz"), [(1, 22_050), (2, RATE_HZ), (4, RATE_HZ)])
def test_the_preview_is_the_recording_with_every_hit_and_click(tmp_path: Path, channels: int, rate_hz: int) -> None:
    beats = unsteady(beats=10)
    chart = replace(chart_of(groove(beats), beats), recording=tone(tmp_path / "song.wav", channels, rate_hz=rate_hz))
    samples, made_hz = soundfile.read(chart.save(tmp_path / "song.preview.flac"), dtype="float32")
    assert made_hz == RATE_HZ
    assert samples.shape == pytest.approx((7 * RATE_HZ, 2), abs=2)
    assert np.abs(samples).max() <= 1

    plain = replace(chart, hits=DrumHits(), beats=Beats(BeatGrid(), 0.0, True, "none"))
    silent, _ = soundfile.read(plain.save(tmp_path / "plain.preview.flac"), dtype="float32")
    assert np.abs(silent).max() == pytest.approx(0.035, abs=2e-3)
    added = np.abs(samples - silent)

    def loud(time_s: float, ear: int) -> bool:
        begin = round(time_s * RATE_HZ)
        before, after = added[max(0, begin - 400) : begin - 2, ear], added[begin : begin + 400, ear]
        return bool(after.max() > 2 * before.max() and after.max() > 0.02)

    assert all(loud(time_s, 0) for time_s in beats.grid.times_s)
    assert all(loud(hit.time_s, 1) for hit in chart.hits)
    assert added[: round(1.29 * RATE_HZ)].max() < 1e-3


def test_sounds_ring_on_over_the_edges_of_blocks(tmp_path: Path) -> None:
    """A crash right before 10 s, where blocks meet, sounds as one elsewhere."""
    recording = tmp_path / "song.wav"
    soundfile.write(recording, np.zeros((12 * RATE_HZ, 2)), RATE_HZ)
    rung = []
    for time_s in (4.0, 9.9):
        hits = DrumHits.of([DrumHit(time_s, "crash", 100)])
        chart = replace(chart_of(hits, BEATS), recording=recording)
        samples, _ = soundfile.read(chart.save(tmp_path / "a.preview.flac"))
        begin = round(time_s * RATE_HZ)
        rung.append(samples[begin : begin + 2 * RATE_HZ, 1])
    assert np.abs(rung[0]).max() > 0.2
    assert np.array_equal(rung[0], rung[1])


def test_a_preview_without_a_recording_says_why(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="does not know where it lies"):
        CHART.save(tmp_path / "song.preview.flac")
    with pytest.raises(InputNotFoundError):
        replace(CHART, recording=tmp_path / "gone.wav").save(tmp_path / "song.preview.flac")
    (tmp_path / "text.wav").write_text("hello")
    with pytest.raises(AudioFormatError):
        replace(CHART, recording=tmp_path / "text.wav").save(tmp_path / "song.preview.flac")
    assert not list(tmp_path.glob("*.flac"))


def test_the_drumless_file_is_the_one_that_was_separated(tmp_path: Path) -> None:
    backing = tmp_path / "kept.flac"
    backing.write_bytes(b"fLaC and so on")
    made = replace(CHART, backing=backing).save(tmp_path / "song.drumless.flac")
    assert made.read_bytes() == b"fLaC and so on"
    with pytest.raises(OptionError, match="--stems light"):
        CHART.save(tmp_path / "b.drumless.flac")
    with pytest.raises(InputNotFoundError, match="no longer there"):
        replace(CHART, backing=tmp_path / "gone.flac").save(tmp_path / "b.drumless.flac")


def long_chart() -> DrumChart:
    beats = unsteady(beats=250)
    return chart_of(groove(beats), beats, "Größe — 歌", repeats="none")


def test_a_chart_is_printed_as_pdf_svg_and_png(tmp_path: Path) -> None:
    pytest.importorskip("verovio")
    chart = long_chart()
    assert chart.save(tmp_path / "song.pdf").read_bytes().startswith(b"%PDF-")
    assert chart.save(tmp_path / "song.png").read_bytes().startswith(b"\x89PNG\r\n")
    root = ET.parse(chart.save(tmp_path / "song.svg")).getroot()
    pages = root.findall("{http://www.w3.org/2000/svg}svg")
    assert len(pages) > 1
    assert [page.get("y") for page in pages] == [f"{297 * row}mm" for row in range(len(pages))]
    assert root.get("height") == f"{297 * len(pages)}mm"
    ids = {element.get("id") for element in root.iter()}
    assert ids >= {f"h{row}" for row in range(len(chart.hits))}


def test_one_page_is_the_drawing_itself(tmp_path: Path) -> None:
    pytest.importorskip("verovio")
    root = ET.parse(CHART.save(tmp_path / "song.svg")).getroot()
    assert (root.get("width"), root.get("height")) == ("210mm", "297mm")
    assert root.find("{http://www.w3.org/2000/svg}svg") is None or root.get("viewBox")


def test_paper_is_as_asked(tmp_path: Path) -> None:
    pytest.importorskip("verovio")
    letter = chart_of(CHART.hits, BEATS, paper="letter")
    width = ET.parse(letter.save(tmp_path / "song.svg")).getroot().get("width") or ""
    assert float(width.removesuffix("mm")) == pytest.approx(215.9, abs=0.1)


@pytest.mark.parametrize("format_name", ["pdf", "svg", "png"])
def test_no_engraver_prints_nothing_and_says_so(tmp_path: Path, format_name: str) -> None:
    chart = chart_of(CHART.hits, BEATS, engraver="none")
    with pytest.raises(OptionError, match="choose --engraver"):
        chart.save(tmp_path / f"song.{format_name}")
    assert chart.save(tmp_path / "song.musicxml").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["song.musicxml"]
