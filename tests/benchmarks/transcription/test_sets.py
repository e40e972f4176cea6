import subprocess
from pathlib import Path

import pytest
import symusic

from benchmarks.transcription import render as rendering
from benchmarks.transcription import sets
from benchmarks.transcription.references import DrumReference, PitchedReference


def save(path: Path, notes: list[tuple[float, float, int]], pedal: tuple[float, float] | None = None) -> None:
    """A MIDI file of one tick per 0.5 ms; `notes` are (onset_s, duration_s, pitch)."""
    score = symusic.Score(1000)
    track = symusic.Track("", 0, False)
    for onset_s, duration_s, pitch in notes:
        track.notes.append(symusic.Note(round(2000 * onset_s), round(2000 * duration_s), pitch, 80))
    for value, time_s in zip((127, 0), pedal or (), strict=False):
        track.controls.append(symusic.ControlChange(round(2000 * time_s), 64, value))
    score.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    score.dump_midi(path)


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, str, float]]:
    """What would be rendered."""
    calls: list[tuple[bytes, str, float]] = []

    def note_down(midi: bytes, name: str, end_s: float) -> Path:
        calls.append((midi, name, end_s))
        return Path(f"{name}.flac")

    monkeypatch.setattr(sets, "render", note_down)
    return calls


def test_the_piano_recording_is_shifted_against_its_midi(tmp_path: Path) -> None:
    folder = tmp_path / "percepiano"
    save(folder / "midi" / "c.mid", [(0.1, 0.2, 60), (0.5, 0.25, 62)], pedal=(0.6, 1.5))
    (folder / "audio").mkdir()
    (folder / "audio" / "audio.csv").write_text("clip_id,file,audio_time_minus_midi_time_s\nc,audio/c.flac,-0.25\n")

    (piece,) = sets.piano_recording(tmp_path)

    (reference,) = piece.references
    assert isinstance(reference, PitchedReference)
    assert piece.audio == folder / "audio" / "c.flac"
    assert [(n.onset_s, n.offset_s, n.pitch) for n in reference.notes] == [
        (pytest.approx(0.25), pytest.approx(1.25), 62.0)
    ]


def test_groove_takes_are_cut_folded_and_moved_to_general_midi(
    tmp_path: Path, rendered: list[tuple[bytes, str, float]]
) -> None:
    folder = tmp_path / "gmd"
    save(folder / "midi" / "a.mid", [(0.0, 0.1, 36), (1.25, 0.1, 22), (2.5, 0.1, 58), (61.0, 0.1, 38)])
    header = "id,split,beat_type,duration,midi_filename"
    takes = [f"d/{number},validation,beat,61,a.mid" for number in range(40)]
    others = ["x,train,beat,61,no.mid", "y,validation,fill,61,no.mid", "z,validation,beat,2,no.mid"]
    (folder / "info.csv").write_text("\n".join([header, *takes, *others]))

    pieces = sets.drums_rendered(tmp_path)

    assert len(pieces) == sets.RENDERED_PIECES == len({piece.name for piece in pieces})
    (reference,) = pieces[0].references
    assert isinstance(reference, DrumReference)
    assert [name for _, name in reference.onsets] == ["KD", "HH", "TT"]
    midi, _, end_s = rendered[0]
    score = symusic.Score.from_midi(midi, ttype="second")
    assert score.tracks[0].is_drum
    assert sorted((round(n.time, 4), n.pitch) for n in score.tracks[0].notes) == [(0.0, 36), (1.25, 42), (2.5, 43)]
    assert end_s == pytest.approx(2.5)


def test_rendered_clips_are_human_and_of_every_held_out_family(
    tmp_path: Path, rendered: list[tuple[bytes, str, float]]
) -> None:
    folder = tmp_path / "percepiano"
    families = [*sorted(sets.VALIDATION_FAMILIES), "F01"]
    clips = [(f"{family}_{number}", family, int(number == 0)) for family in families for number in range(5)]
    for name, _, _ in clips:
        save(folder / "midi" / f"{name}.mid", [(0.0, 0.5, 60)])
    (folder / "groups.csv").write_text("segment_id,score_family\n" + "\n".join(f"s{f},{f}" for f in families))
    rows = "\n".join(f"{name},{deadpan},s{family},midi/{name}.mid" for name, family, deadpan in clips)
    (folder / "clips.csv").write_text(f"clip_id,is_deadpan,segment_id,midi\n{rows}\n")
    (folder / "audio").mkdir()
    (folder / "audio" / "audio.csv").write_text("clip_id\nF09_1\n")

    names = [piece.name for piece in sets.piano_rendered(tmp_path)]

    assert len(names) == sets.RENDERED_PIECES == len(rendered)
    assert {name.split("_")[0] for name in names} == sets.VALIDATION_FAMILIES
    assert "F09_1" not in names
    assert not any(name.endswith("_0") for name in names)


def test_mixes_take_the_official_mix_where_there_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "mdb_drums"
    (folder / "annotations" / "class").mkdir(parents=True)
    (folder / "tracks.csv").write_text("track,full_mix,mix_from_raw\nA,1,0\nB,0,1\n")
    for track in "AB":
        (folder / "annotations" / "class" / f"{track}_class.txt").write_text("0.500000 \t KD \n1.0 \t OT \n")

    official, own = sets.drums_in_mixes(tmp_path)

    assert official.audio == folder / "audio" / "full_mix" / "A_MIX.flac"
    assert own.audio == folder / "audio" / "mix_from_raw" / "B_RAWMIX.flac"
    assert own.references == (DrumReference("MDB Drums", ((0.5, "KD"), (1.0, "OT"))),)


def test_voice_has_two_annotators(tmp_path: Path) -> None:
    folder = tmp_path / "transcription_audio"
    folder.mkdir()
    for annotator in ("A1", "A2"):
        (folder / f"vocadito_1_notes{annotator}_midi.csv").write_text("onset_s,offset_s,midi_pitch\n0.5,1.0,60.25\n")

    (piece,) = sets.voice(tmp_path)

    assert [reference.annotator for reference in piece.references] == ["A1", "A2"]
    assert isinstance(piece.references[0], PitchedReference)
    assert piece.references[0].pitches.tolist() == [60.25]


def test_a_missing_renderer_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "CACHE", tmp_path)
    monkeypatch.setattr(rendering, "FONT", tmp_path / "none.sf3")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("must not be started"))

    with pytest.raises(SystemExit, match="apt-get install fluidsynth musescore-general-soundfont"):
        rendering.render(b"MThd", "piece", 1.0)
