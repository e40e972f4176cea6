from pathlib import Path

import numpy as np
import pytest

from benchmarks.drums import hits
from benchmarks.drums.hits import OFFICIAL, STEMS, SUMMED, UNHEARD, lags, mdb_goals, pieces_f1, score, together
from benchmarks.drums.references import AS_SNARE, LEFT_OUT, Track
from benchmarks.drums.systems import OURS, PEER, HitSystem
from tutti.music.drum_hits import DrumHit, DrumHits
from tutti.music.timing import BeatGrid

TRUTH = DrumHits.of([DrumHit(1.0, "kick", 30), DrumHit(2.0, "side_stick", 60), DrumHit(3.0, "ride", 90)])


def moved(found: DrumHits, by_s: float) -> DrumHits:
    return DrumHits.of(DrumHit(hit.time_s + by_s, hit.instrument, hit.velocity) for hit in found)


@pytest.fixture
def tracks(monkeypatch: pytest.MonkeyPatch) -> None:
    def track(name: str, official: bool) -> Track:
        truth = {AS_SNARE: TRUTH, LEFT_OUT: LEFT_OUT.of(TRUTH)}
        return Track(name, Path(f"{name}.stem"), Path(f"{name}.mix"), official, truth, BeatGrid())

    monkeypatch.setattr(hits, "mdb_tracks", lambda _: [track("A", True), track("B", False)])


def system(name: str, heard: DrumHits, instruments: int = 14) -> HitSystem:
    return HitSystem(name, lambda _: heard, instruments)


def test_offsets_are_of_matches_of_one_family() -> None:
    heard = DrumHits.of([DrumHit(0.99, "kick", 90), DrumHit(2.02, "snare", 90), DrumHit(3.0, "tom_low", 90)])
    np.testing.assert_allclose(sorted(lags(TRUTH, heard)), [-0.01, 0.02], atol=1e-9)
    assert len(lags(TRUTH, DrumHits())) == 0


def test_pooling_is_over_hits_at_both_windows() -> None:
    scored = [score("A", TRUTH, moved(TRUTH, 0.03)), score("B", TRUTH, DrumHits())]
    assert together(scored).f1 == pytest.approx(2 * 3 / 9)
    assert together(scored, 0.02).f1 == 0
    assert pieces_f1(scored[:1]) == 1
    assert hits.velocity_r(scored) == pytest.approx(1)


@pytest.mark.usefixtures("tracks")
def test_a_folding_holds_for_truth_and_answer() -> None:
    snares = DrumHits.of(
        DrumHit(h.time_s, "snare" if h.instrument == "side_stick" else h.instrument, 90) for h in TRUTH
    )
    systems = [system(OURS, TRUTH), system(PEER, snares, 5)]
    as_snare = hits.measure_mdb(systems, Path(), AS_SNARE)
    left_out = hits.measure_mdb(systems, Path(), LEFT_OUT)
    assert [len(as_snare[title][OURS]) for title in (STEMS, OFFICIAL, SUMMED)] == [2, 1, 1]
    assert {together(scores[name]).f1 for scores in as_snare.values() for name in (OURS, PEER)} == {1.0}
    assert together(left_out[STEMS][OURS]).f1 == 1
    assert together(left_out[STEMS][PEER]).precision == pytest.approx(2 / 3)


@pytest.mark.usefixtures("tracks")
def test_the_report_says_goals_beside_the_peer_of_the_same_run() -> None:
    systems = [
        system(OURS, TRUTH),
        system("annoteator, fixed", moved(TRUTH, 1), 6),
        system(PEER, moved(TRUTH, 0.03), 5),
    ]
    folded = {folding: hits.measure_mdb(systems, Path(), folding) for folding in (AS_SNARE, LEFT_OUT)}
    rendered = {UNHEARD: {one.name: [score("T", TRUTH, one.hear(Path()))] for one in systems}}
    text = hits.render(folded, rendered, {one.name: one.instruments for one in systems})
    assert f"| {STEMS}, side stick as snare, F1 50 ms | 1.000 | > 1.000 ({PEER}) | **no** |" in text
    assert f"| {STEMS}, side stick as snare, above annoteator, fixed | +1.000 | >= +0.3 | yes |" in text
    assert f"| {SUMMED} | {PEER} | 1.000 | 0.000 | 1.000 | 1.000 | 1.000 | +30 |" in text
    assert f"| {UNHEARD} | {OURS} | 1.000 | 1.000 | 1.000 | 1.000 | +0 |" in text
    assert f"| {UNHEARD} | {PEER} | 1.000 | 0.000 | – | 1.000 | +30 |" in text
    assert "| side_stick | 1.000 (1.00 / 1.00), 1 true |" in text
    without = {folding: {t: {PEER: s[PEER]} for t, s in sets.items()} for folding, sets in folded.items()}
    assert "Goals" not in hits.render(without, {UNHEARD: {PEER: rendered[UNHEARD][PEER]}}, {PEER: 5})


@pytest.mark.usefixtures("tracks")
def test_the_worst_track_counts() -> None:
    sets = hits.measure_mdb([HitSystem(OURS, lambda p: TRUTH if "A" in p.name else DrumHits(), 14)], Path(), AS_SNARE)
    worst = {figure.name: figure for figure in mdb_goals(AS_SNARE, sets) if "worst" in figure.name}
    assert worst[f"{OFFICIAL}, side stick as snare, worst track"].met is True
    assert (worst[f"{SUMMED}, side stick as snare, worst track"].measured) == "0.000"


def test_each_file_is_heard_once() -> None:
    heard: list[Path] = []
    once = HitSystem("x", lambda path: heard.append(path) or TRUTH, 5).remembering()  # type: ignore[func-returns-value]
    assert once.hear(Path("a")) is once.hear(Path("a"))
    assert heard == [Path("a")]
