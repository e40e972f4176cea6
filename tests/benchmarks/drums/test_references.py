from pathlib import Path

import pytest

from benchmarks.drums.references import AS_SNARE, LEFT_OUT, mdb_tracks, read_beats
from benchmarks.transcription.folders import DATA
from tutti.music.drum_hits import DrumHit, DrumHits


@pytest.fixture
def mdb(tmp_path: Path) -> Path:
    """Two tracks: a side stick is SST in the one set of annotations and OT in the other."""
    folder = tmp_path / "mdb_drums" / "annotations"
    for kind in ("class", "subclass", "beats"):
        (folder / kind).mkdir(parents=True)
    (tmp_path / "mdb_drums" / "tracks.csv").write_text("track,full_mix\nA,1\nB,0\n")
    for track in "AB":
        (folder / "class" / f"{track}_class.txt").write_text("0.5 \t KD \n1.0 \t OT \n1.5 \t CY \n2.0 \t OT \n")
        text = "0.5 \t KD \n1.0 \t SST \n1.5 \t RDB \n2.0 \t TMB \n"
        (folder / "subclass" / f"{track}_subclass.txt").write_text(text)
        (folder / "beats" / f"{track}_MIX.beats").write_text("0.50 \t 4 \n1.00 \t 1 \n1.50 \t 2 \n")
    return tmp_path


def test_the_two_foldings_part_at_the_side_stick(mdb: Path) -> None:
    official, own = mdb_tracks(mdb)
    assert [hit.instrument for hit in official.truth[AS_SNARE]] == ["kick", "side_stick", "ride_bell"]
    assert [hit.instrument for hit in official.truth[LEFT_OUT]] == ["kick", "crash"]
    assert (official.is_official, own.is_official) == (True, False)
    assert official.audio("mixes").name == "A_MIX.flac"
    assert own.audio("mixes").name == "B_RAWMIX.flac"
    assert own.audio("stems").name == "B_Drum.flac"
    assert (official.beats.positions, official.beats.downbeats_s) == ((4, 1, 2), (1.0,))


def test_what_was_heard_is_folded_as_the_truth_is() -> None:
    heard = DrumHits.of([DrumHit(1.0, "side_stick", 90), DrumHit(1.0, "snare", 90)])
    assert AS_SNARE.of(heard) == heard
    assert [hit.instrument for hit in LEFT_OUT.of(heard)] == ["snare"]


def test_beats_may_be_parted_by_anything_blank(tmp_path: Path) -> None:
    (tmp_path / "a.beats").write_text("0.010\t1\n0.57 \t 2\n\n")
    assert list(read_beats(tmp_path / "a.beats")) == [(0.01, 1), (0.57, 2)]


@pytest.mark.skipif(not (DATA / "mdb_drums").is_dir(), reason="the evaluation data is not beside the checkout")
def test_the_given_tracks_fold_to_the_published_counts() -> None:
    tracks = mdb_tracks(DATA)
    assert sum(len(track.truth[AS_SNARE]) for track in tracks) == 746
    assert sum(len(track.truth[LEFT_OUT]) for track in tracks) == 708
    assert sum(track.is_official for track in tracks) == 2
