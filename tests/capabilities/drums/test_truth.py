"""What files say was played, whoever wrote them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.capabilities.drums.truth import SUFFIXES, VELOCITY, find_truth, read_hits
from tutti.errors import ChartFileError, InputNotFoundError, MidiError, UnknownFormatError
from tutti.music.drum_hits import DrumHit
from tutti.music.drum_kit import DRUM_CLASSES
from tutti.music.midi import write_midi
from tutti.music.notes import Note, Notes


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def heard(path: Path) -> list[tuple[float, str, int]]:
    return [(round(hit.time_s, 3), hit.instrument, hit.velocity) for hit in read_hits(path)]


def test_midi_gives_its_drums_and_leaves_hand_percussion_out(tmp_path: Path) -> None:
    drums = [Note(0.5, 0.6, 36, 100, 0, True), Note(1.0, 1.1, 22, 50, 0, True), Note(1.5, 1.6, 54, 50, 0, True)]
    write_midi(Notes.of([*drums, Note(0.0, 1.0, 36, 90)]), tmp_path / "song.mid")
    assert heard(tmp_path / "song.mid") == [(0.5, "kick", 100), (1.0, "hihat_closed", 50)]


def test_midi_without_drums_is_told(tmp_path: Path) -> None:
    write_midi(Notes.of([Note(0.0, 1.0, 36, 90)]), tmp_path / "song.mid")
    with pytest.raises(MidiError, match="none on channel 10"):
        read_hits(tmp_path / "song.mid")
    write_midi(Notes.of([]), tmp_path / "silence.mid")
    assert len(read_hits(tmp_path / "silence.mid")) == 0


@pytest.mark.parametrize(
    ("labels", "instrument"),
    [
        (("KD",), "kick"),
        (("SD", "SDB", "SDD", "SDF", "SDG", "SDNS"), "snare"),
        (("SST",), "side_stick"),
        (("CHH", "HH"), "hihat_closed"),
        (("OHH",), "hihat_open"),
        (("PHH",), "hihat_pedal"),
        (("HIT",), "tom_high"),
        (("MHT", "TT"), "tom_mid"),
        (("HFT", "LFT"), "tom_low"),
        (("RDC",), "ride"),
        (("RDB",), "ride_bell"),
        (("CRC", "CY"), "crash"),
        (("SPC",), "splash"),
        (("CHC",), "china"),
        (DRUM_CLASSES[:1], "kick"),
        (DRUM_CLASSES[-1:], "china"),
    ],
)
def test_labels_of_mdb_drums_and_our_own_are_known(tmp_path: Path, labels: tuple[str, ...], instrument: str) -> None:
    text = "".join(f"{row}.500000 \t {label} \n" for row, label in enumerate(labels))  # as MDB separates them
    assert heard(write(tmp_path / "a.txt", text)) == [(row + 0.5, instrument, VELOCITY) for row in range(len(labels))]


def test_other_percussion_of_mdb_drums_is_left_out(tmp_path: Path) -> None:
    assert heard(write(tmp_path / "a.txt", "0.1 OT\n0.2 TMB\n\n0.3 KD\n")) == [(0.3, "kick", VELOCITY)]


def test_audacity_labels_of_a_chart_read_back(tmp_path: Path) -> None:
    text = "0.250000\t0.250000\tkick h0\n1.500000\t1.600000\tsnare\n"
    assert heard(write(tmp_path / "a.txt", text)) == [(0.25, "kick", VELOCITY), (1.5, "snare", VELOCITY)]


def test_a_table_may_tell_velocities_and_more(tmp_path: Path) -> None:
    text = "\ufefftime_s,instrument,velocity,bar\n0.5,snare,33,1\n0.25,KD,,1\n0.6,OT,9,1\n"
    assert heard(write(tmp_path / "a.csv", text)) == [(0.25, "kick", VELOCITY), (0.5, "snare", 33)]


@given(
    st.lists(
        st.builds(
            DrumHit,
            st.floats(0, 1e4).map(lambda time_s: round(time_s, 6)),
            st.sampled_from(DRUM_CLASSES),
            st.integers(1, 127),
        ),
        max_size=20,
    )
)
def test_a_table_says_every_hit_exactly(tmp_path_factory: pytest.TempPathFactory, hits: list[DrumHit]) -> None:
    rows = "".join(f"{hit.time_s},{hit.instrument},{hit.velocity}\n" for hit in hits)
    path = write(tmp_path_factory.mktemp("t") / "a.csv", f"time_s,instrument,velocity\n{rows}")
    known = sorted((hit.time_s, hit.instrument, hit.velocity) for hit in hits)
    assert sorted((hit.time_s, hit.instrument, hit.velocity) for hit in read_hits(path)) == known


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.txt", "0.5 KD\n0.7 cowbell\n", "a.txt, line 2: 'cowbell' is no drum. Use one of: kick"),
        ("a.txt", "0.5\n", "line 1: expected a time in seconds and a label; got '0.5'"),
        ("a.txt", "soon KD\n", "line 1 says no hit: could not convert"),
        ("a.txt", "-1 KD\n", "line 1 says no hit: A hit needs"),
        ("a.txt", "nan KD\n", "line 1 says no hit: A hit needs"),
        ("a.csv", "time,drum\n1,KD\n", "no columns time_s and instrument"),
        ("a.csv", "", "no columns time_s and instrument"),
        ("a.csv", "time_s,instrument\n1\n", "line 2: '' is no drum"),
        ("a.csv", "time_s,instrument,velocity\n1,KD,0\n", "line 2 says no hit: A hit's velocity"),
    ],
)
def test_what_says_no_hit_is_told_with_its_line(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    with pytest.raises(MidiError) as caught:
        read_hits(write(tmp_path / name, text))
    assert complaint in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe0")
    with pytest.raises(MidiError, match="not text in UTF-8"):
        read_hits(tmp_path / "a.txt")
    with pytest.raises(ChartFileError):
        read_hits(write(tmp_path / "a.json", "{}"))
    with pytest.raises(UnknownFormatError, match=r"Give one of: \.mid"):
        read_hits(write(tmp_path / "a.xml", ""))
    with pytest.raises(InputNotFoundError):
        read_hits(tmp_path / "gone.csv")


def test_truth_is_found_by_the_name_of_the_recording(tmp_path: Path) -> None:
    write(tmp_path / "song.txt", "0.5 KD\n")
    assert find_truth(tmp_path, "song") == tmp_path / "song.txt"
    write(tmp_path / "song.csv", "")
    assert find_truth(tmp_path, "song") == tmp_path / "song.csv"
    with pytest.raises(InputNotFoundError) as caught:
        find_truth(tmp_path, "other")
    for suffix in SUFFIXES:
        assert f"other{suffix}" in str(caught.value)
