from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from benchmarks.drums import speed
from benchmarks.drums.__main__ import DOCUMENT, SECTIONS
from benchmarks.drums.references import Track
from benchmarks.drums.speed import Edit, Run, Speeds, goals
from benchmarks.drums.systems import OURS, PEER
from benchmarks.transcription.report import replace_section
from tutti.music.timing import BeatGrid


def test_the_song_goes_round_to_its_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sf.write(tmp_path / "mono.flac", np.full(speed.RATE_HZ, 0.25), speed.RATE_HZ)
    sf.write(tmp_path / "stereo.flac", np.full((speed.RATE_HZ, 2), 0.5), speed.RATE_HZ)
    tracks = [Track("", Path(), tmp_path / f"{name}.flac", True, {}, BeatGrid()) for name in ("mono", "stereo")]
    monkeypatch.setattr(speed, "mdb_tracks", lambda _: tracks)
    monkeypatch.setattr(speed, "CACHE", tmp_path)
    samples = sf.read(speed.song(Path(), 2.5), always_2d=True)[0]
    assert samples.shape == (round(2.5 * speed.RATE_HZ), 2)
    np.testing.assert_allclose(samples[:: speed.RATE_HZ // 2, 1], [0.25, 0.25, 0.5, 0.5, 0.25], atol=1e-4)


def test_goals_are_met_or_not() -> None:
    speeds = Speeds(240.0, Run(8.0, 1_200_000_000), Edit(1.1, 0.6), {OURS: 2.0, PEER: 5.0})
    assert [(figure.measured, figure.met) for figure in goals(speeds)] == [
        ("8.0 s (30 × real time)", True),
        ("1200 MB", False),
        ("0.60 s", True),
        ("1.10 s", False),
        ("120 × real time", True),
    ]
    assert goals(Speeds(240.0, Run(8.0, None), None, {OURS: 5.0}))[1].met is None
    text = speed.render(Speeds(240.0, None, None, {PEER: 5.0}))
    assert f"| {PEER} | 5.00 | 48 |" in text
    assert "goal" not in text


def test_a_command_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"tutti drums .* failed"):
        speed.run(["drums", str(tmp_path / "gone.flac")], 1)


def test_the_document_has_a_place_for_every_section() -> None:
    document = DOCUMENT.read_text()
    for name in SECTIONS:
        assert "measured here" in replace_section(document, name, "measured here")
