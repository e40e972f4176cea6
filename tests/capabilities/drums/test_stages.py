import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tutti.capabilities.drums.hearing import Heard
from tutti.capabilities.drums.stages import Stages, recording_digest
from tutti.listening.stems import Stems
from tutti.music.beats import Beats
from tutti.music.drum_hits import DrumHit, DrumHits
from tutti.music.timing import BeatGrid

HEARD = Heard(
    DrumHits.of([DrumHit(0.123456, "kick", 99, 0.8765), DrumHit(1 / 3, "china", 1, 0.1)]),
    "cpu",
    "fp32",
    ("a",),
    "f" * 64,
)
BEATS = Beats(BeatGrid((0.1, 0.1 + 1 / 3, 0.9), (6, 7, 1)), 0.7, True, "madmom", Fraction(1, 2), 0.42)


def never() -> Any:
    raise AssertionError("found anew")


@pytest.fixture
def stages(tmp_path: Path) -> Callable[..., Stages]:
    return lambda digest="r": Stages(tmp_path, lambda: digest)


def test_answers_are_read_back_as_they_were(stages: Callable[..., Stages], tmp_path: Path) -> None:
    (tmp_path / "drums.flac").touch()
    stems = Stems("light", tmp_path / "drums.flac", None, {"method": "light"}, ("clipped",))
    assert stages().hits({"model": "m"}, lambda: HEARD) == HEARD
    assert stages().hits({"model": "m"}, never) == HEARD
    assert stages().beats({"bpm": None}, lambda: (BEATS, ("w",))) == (BEATS, ("w",))
    assert stages().beats({"bpm": None}, never) == (BEATS, ("w",))
    assert stages().stems({"stems": "light"}, lambda: stems) == stems
    assert stages().stems({"stems": "light"}, never) == stems


@pytest.mark.parametrize(
    ("depends", "digest"), [({"model": "n"}, "r"), ({"model": "m", "more": 1}, "r"), ({"model": "m"}, "s")]
)
def test_another_question_or_recording_is_answered_anew(
    stages: Callable[..., Stages], depends: dict[str, Any], digest: str
) -> None:
    other = Heard(DrumHits(), "cpu", "fp32")
    stages().hits({"model": "m"}, lambda: HEARD)
    assert stages(digest).hits(depends, lambda: other) == other
    assert stages(digest).hits(depends, never) == other


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda _: "",
        lambda _: "[]",
        lambda text: text.replace('"hits"', '"hats"'),
        lambda text: text.replace('"kick"', '"knock"'),
        lambda text: text.replace('"time_s"', '"when"'),
        lambda text: json.dumps({**json.loads(text), "answer": None}),
    ],
)
def test_a_damaged_file_is_no_answer(
    stages: Callable[..., Stages], tmp_path: Path, damage: Callable[[str], str]
) -> None:
    stages().hits({}, lambda: HEARD)
    path = tmp_path / "hits.json"
    path.write_text(damage(path.read_text()))
    assert stages().hits({}, lambda: HEARD) == HEARD
    assert stages().hits({}, never) == HEARD


def test_stems_whose_files_are_gone_are_separated_again(stages: Callable[..., Stages], tmp_path: Path) -> None:
    (tmp_path / "drums.flac").touch()
    stems = Stems("light", tmp_path / "drums.flac", None)
    stages().stems({}, lambda: stems)
    (tmp_path / "drums.flac").unlink()
    found: list[int] = []
    stages().stems({}, lambda: found.append(1) or stems)
    assert found == [1]


def test_a_stage_that_fails_leaves_the_one_before_and_nothing_half_written(
    stages: Callable[..., Stages], tmp_path: Path
) -> None:
    stages().beats({}, lambda: (BEATS, ()))
    with pytest.raises(AssertionError):
        stages().hits({}, never)
    assert [path.name for path in tmp_path.iterdir()] == ["beats.json"]


def test_without_a_folder_nothing_is_kept_and_the_recording_not_read() -> None:
    stages = Stages(None, never)
    assert stages.hits({}, lambda: HEARD) == HEARD
    assert stages.hits({}, lambda: HEARD) == HEARD


def test_a_recording_is_told_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"sound")
    (tmp_path / "b.wav").write_bytes(b"sound")
    same = {recording_digest(tmp_path / "a.wav"), recording_digest(str(tmp_path / "b.wav")), recording_digest(b"sound")}
    assert len(same) == 1
    samples = np.zeros((100, 2), np.float32)
    arrays = [(samples, 44_100), (samples, 48_000), (samples.reshape(-1), 44_100), (samples.view(np.int32), 44_100)]
    assert len({recording_digest(array) for array in arrays} | same) == 5
    assert recording_digest((samples[::2], 1)) == recording_digest((samples[:50].copy(), 1))
