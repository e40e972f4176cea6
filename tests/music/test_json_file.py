import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.errors import MidiError
from tutti.music.json_file import from_json, to_json
from tutti.music.notes import Note, Notes, PedalEvent

NOTE: dict[str, Any] = {
    "onset_s": 0.1, "offset_s": 0.3, "pitch": 60, "velocity": 80, "program": 4, "is_drum": False,
}  # fmt: skip


@given(st.from_type(Notes))
def test_json_reads_back_to_equality(notes: Notes) -> None:
    assert from_json(to_json(notes)) == notes


def test_the_document_is_as_documented() -> None:
    notes = Notes.of([Note(0.1, 0.3, 60, 80, 4)], [PedalEvent(0.25, 1.0, 4)])
    assert json.loads(to_json(notes)) == {
        "notes": [NOTE],
        "pedal": [{"onset_s": 0.25, "offset_s": 1.0, "program": 4}],
    }


def test_pedal_may_be_missing_and_other_keys_are_passed_over() -> None:
    text = json.dumps({"notes": [NOTE | {"colour": "red"}], "warnings": ["w"], "duration_s": 3})
    assert from_json(text) == from_json(text.encode()) == Notes.of([Note(0.1, 0.3, 60, 80, 4)])


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[]", "3", "null", '{"notes": 3}', '{"notes": [3]}', '{"notes": [{"pitch": 60}]}', "[" * 100_000,
        '{"notes": [], "pedal": [{}]}', b"\xff\xfe\xfa",
    ],
)  # fmt: skip
def test_other_json_is_an_error_that_says_what_was_expected(text: str | bytes) -> None:
    with pytest.raises(MidiError, match=r"not a JSON file of notes \(.*Expected .*onset_s"):
        from_json(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("onset_s", "0.1"), ("onset_s", None), ("onset_s", True), ("onset_s", -1), ("onset_s", float("nan")),
        ("offset_s", float("inf")), ("offset_s", 10**400), ("offset_s", 0.1), ("pitch", 60.5), ("pitch", 60.0),
        ("pitch", 128), ("velocity", True), ("velocity", 0), ("program", "piano"), ("program", -1), ("is_drum", 1),
    ],
)  # fmt: skip
def test_a_note_with_a_wrong_value_is_refused_not_rounded(key: str, value: object) -> None:
    with pytest.raises(MidiError):
        from_json(json.dumps({"notes": [NOTE | {key: value}]}))


@pytest.mark.parametrize(("key", "value"), [("onset_s", "0"), ("offset_s", 0.0), ("program", 1.5), ("program", 128)])
def test_a_pedal_with_a_wrong_value_is_refused(key: str, value: object) -> None:
    event = {"onset_s": 0.0, "offset_s": 1.0, "program": 0} | {key: value}
    with pytest.raises(MidiError):
        from_json(json.dumps({"notes": [], "pedal": [event]}))


def test_the_message_stays_short_whatever_the_value() -> None:
    with pytest.raises(MidiError) as caught:
        from_json(json.dumps({"notes": [NOTE | {"pitch": "x" * 100_000}]}))
    assert len(str(caught.value)) < 400


def test_confidence_is_written_where_it_is_known_and_reads_back() -> None:
    text = to_json(Notes.of([Note(0.1, 0.3, 60, 80, 4, confidence=0.25), Note(0.2, 0.3, 60, 80, 4)]))
    assert [note.get("confidence", "none") for note in json.loads(text)["notes"]] == [0.25, "none"]
    assert [note.confidence for note in from_json(text)] == [0.25, None]
    assert from_json(json.dumps({"notes": [NOTE | {"confidence": None}]}))[0].confidence is None


@pytest.mark.parametrize("confidence", ["sure", True, 2, -1, float("nan")])
def test_a_confidence_that_is_none_is_refused(confidence: object) -> None:
    with pytest.raises(MidiError):
        from_json(json.dumps({"notes": [NOTE | {"confidence": confidence}]}))
