from dataclasses import replace

import pytest

from benchmarks.transcription.references import DrumReference, PitchedReference, PlayedNote
from benchmarks.transcription.report import SetResult, SystemResult, render_report, replace_section, table
from benchmarks.transcription.scores import score_piece
from benchmarks.transcription.systems import Measurement
from benchmarks.transcription.workers.protocol import FileReport
from tutti.music.notes import Note, Notes

HALF = Notes.of([Note(0.0, 1.0, 60, 80)])
BOTH = Notes.of([Note(0.0, 1.0, 60, 80), Note(1.0, 2.0, 62, 80)])
TRUTH = (PitchedReference("A1", (PlayedNote(0.0, 1.0, 60), PlayedNote(1.0, 2.0, 62))),)


def measured(wall_s: float) -> Measurement:
    return Measurement((FileReport("a.wav", wall_s, []),), {"system": "1.0"}, 1.5, 2.5, 4.0, 300_000_000)


def pitched(reused: bool = False) -> SetResult:
    peer = SystemResult((score_piece("one", TRUTH, HALF, False),), measured(4.0), reused=reused)
    ours = SystemResult((score_piece("one", TRUTH, BOTH, True),), measured(1.0), console_s=(3.0, 5.0))
    return SetResult("Piano", False, 20.0, {"Basic Pitch": peer, "tutti": ours})


def row_of(text: str, *starts: str) -> list[str]:
    """Cells of the first table row whose first cells are `starts`."""
    rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|"))
    return next(row for row in rows if tuple(row[: len(starts)]) == starts)


def test_accuracy_gives_difference_and_ratio() -> None:
    text = render_report([pitched()], "Measured.\n")

    assert row_of(text, "Piano", "1") == ["Piano", "1", "0.667", "1.000", "+0.333", "1.50"]


def test_detail_gives_precision_recall_and_note_count() -> None:
    row = row_of(render_report([pitched()], ""), "Piano", "Basic Pitch")

    assert row == ["Piano", "Basic Pitch", "1.000", "0.500", "0.667", "0.50", "+0"]


def test_time_gives_ratio_to_the_peer_and_real_time_factor() -> None:
    text = render_report([pitched()], "")

    assert row_of(text, "Piano", "20", "tutti") == (
        ["Piano", "20", "tutti", "1.50", "2.50", "4.00", "1.00", "20.0", "300", "4.00", "0.25"]
    )
    assert row_of(text, "Piano", "20", "Basic Pitch")[-2:] == ["–", "–"]


def test_times_of_an_earlier_run_are_marked_and_not_compared() -> None:
    text = render_report([pitched(reused=True)], "")

    assert row_of(text, "Piano", "20", "Basic Pitch (earlier run)")
    assert row_of(text, "Piano", "20", "tutti")[-1] == "–"


def test_one_system_alone_is_not_compared() -> None:
    alone = replace(pitched(), systems={"Basic Pitch": pitched().systems["Basic Pitch"]})

    assert row_of(render_report([alone], ""), "Piano", "1") == ["Piano", "1", "0.667"]


def test_every_annotator_has_a_row_and_so_has_their_mean() -> None:
    truth = (*TRUTH, PitchedReference("A2", TRUTH[0].notes[:1]))
    result = SetResult("Voice", False, 1.0, {"S": SystemResult((score_piece("v", truth, HALF, False),), measured(1.0))})
    text = render_report([result], "")

    assert row_of(text, "v", "Voice", "A1")[-1] == "0.667"
    assert row_of(text, "v", "Voice", "A2")[-1] == "1.000"
    assert row_of(text, "v", "Voice", "mean")[-1] == "0.833"


def test_drum_classes_are_pooled_over_the_pieces() -> None:
    truth = (DrumReference("X", ((0.0, "KD"), (1.0, "SD"))),)
    kick = Notes.of([Note(0.0, 0.1, 36, 80, is_drum=True)])
    pieces = (score_piece("a", truth, kick, True), score_piece("b", truth, Notes(), True))
    text = render_report([SetResult("Drums", True, 1.0, {"tutti": SystemResult(pieces, measured(1.0))})], "")

    assert row_of(text, "Drums", "tutti", "0.667 (2)") == (
        ["Drums", "tutti", "0.667 (2)", "0.000 (2)", "0.000 (0)", "0.000 (0)", "0.000 (0)"]
    )


def test_table_aligns_numbers_to_the_right() -> None:
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n|---|---:|\n| x | 1 |"


def test_a_section_is_replaced_between_its_markers() -> None:
    document = "head\n<!-- generated: x -->\nold\n<!-- end: x -->\ntail\n"

    once = replace_section(document, "x", "new\n")

    assert once == "head\n<!-- generated: x -->\nnew\n<!-- end: x -->\ntail\n"
    assert replace_section(once, "x", "new") == once


@pytest.mark.parametrize("document", ["", "<!-- end: x --><!-- generated: x -->", "<!-- generated: x -->" * 2])
def test_missing_or_crossed_markers_are_an_error(document: str) -> None:
    with pytest.raises(ValueError, match="needs the line <!-- generated: x -->"):
        replace_section(document, "x", "new")
