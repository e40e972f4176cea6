import json
from pathlib import Path
from typing import Any

import jams
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tutti.music.jams_file import to_jams
from tutti.music.notes import Note, Notes, PedalEvent

pytestmark = pytest.mark.filterwarnings("ignore:Passing a schema:DeprecationWarning")  # inside jams


def opened(document: dict[str, Any], folder: Path) -> jams.JAMS:
    path = folder / "a.jams"
    path.write_text(json.dumps(document))
    return jams.load(str(path), validate=True, strict=True)


def test_jams_is_valid_and_keeps_instruments_apart(tmp_path: Path) -> None:
    notes = Notes.of(
        [Note(0, 1, 60, 127, 40), Note(1, 2, 62, 64, 40), Note(0.5, 0.6, 36, 90, 0, True)], [PedalEvent(0.5, 1.5, 40)]
    )
    document = opened(to_jams(notes, 3.0), tmp_path)
    assert document.file_metadata.duration == 3.0
    assert [(a.sandbox.program, a.sandbox.is_drum, len(a.data)) for a in document.annotations] == [
        (40, False, 2),
        (0, True, 1),
    ]
    second = document.annotations[0].data[1]
    assert (second.time, second.duration, second.value, second.confidence) == (1, 1, 62, 64 / 127)
    assert document.sandbox.pedal == [{"onset_s": 0.5, "offset_s": 1.5, "program": 40}]


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.from_type(Notes), st.floats(0, 1e5))
def test_every_piece_is_valid_and_whole(tmp_path: Path, notes: Notes, duration_s: float) -> None:
    document = opened(to_jams(notes, duration_s), tmp_path)
    assert sum(len(annotation.data) for annotation in document.annotations) == len(notes)
    assert document.file_metadata.duration == max(duration_s, notes.end_s)


def test_silence_is_valid(tmp_path: Path) -> None:
    document = opened(to_jams(Notes(), 2.0), tmp_path)
    assert (document.file_metadata.duration, len(document.annotations)) == (2.0, 0)
