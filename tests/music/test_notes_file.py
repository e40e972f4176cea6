from pathlib import Path

import pytest

from tutti.errors import InputAccessError, InputNotFoundError, MidiError
from tutti.music import notes_file
from tutti.music.json_file import to_json
from tutti.music.midi import write_midi
from tutti.music.notes import Note, Notes
from tutti.music.notes_file import NOTES_SUFFIXES, read_notes

NOTES = Notes.of([Note(0.5, 1.0, 60, 80, 4), Note(1.0, 1.5, 38, 90, 0, True)])


@pytest.mark.parametrize("suffix", [*NOTES_SUFFIXES, ".MID", ".Json"])
def test_notes_are_read_by_suffix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"song{suffix}"
    path.write_text(to_json(NOTES)) if "j" in suffix.lower() else write_midi(NOTES, path)
    assert read_notes(path) == read_notes(str(path)) == NOTES


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "broken.json").write_text("{")
    for name, error in (
        ("gone.json", InputNotFoundError),
        ("nul\0.json", InputNotFoundError),
        ("gone.mid", InputNotFoundError),
        ("folder.json", InputAccessError),
        ("broken.json", MidiError),
    ):
        with pytest.raises(error):
            read_notes(tmp_path / name)
    with pytest.raises(MidiError, match=r"'song.wav' is no file of notes. Give one of: .json, .mid, .midi."):
        read_notes("song.wav")


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes_file, "MAX_FILE_BYTES", 10)
    (tmp_path / "song.json").write_text(to_json(NOTES))
    with pytest.raises(MidiError, match="more than 10 bytes"):
        read_notes(tmp_path / "song.json")
