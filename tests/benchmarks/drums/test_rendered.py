import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile as sf

from benchmarks.drums import rendered
from benchmarks.drums.charts import Take
from benchmarks.drums.rendered import FontKit, HydrogenKit, cut, rendered_takes
from tutti.music.drum_hits import DrumHit, DrumHits
from tutti.music.midi import read_midi

RATE_HZ = rendered.SAMPLE_RATE_HZ


def take(hits: list[DrumHit], bars: int = 2, bpm: float = 120.0) -> Take:
    return Take("d1/s1/1", "rock", False, DrumHits.of(hits), bpm, Fraction(1), 4, bars)


@pytest.fixture
def kit(tmp_path: Path) -> HydrogenKit:
    """A kick, a snare, an open hat that rings and a closed one, each a block at one level."""
    instruments = []
    for row, (name, seconds) in enumerate({"Kick": 0.1, "Snare": 0.1, "Closed HH": 0.1, "Open HH": 2.0}.items()):
        for layer, level in enumerate((0.25, 0.5)):
            sf.write(tmp_path / f"{row}{layer}.wav", np.full(round(seconds * RATE_HZ), level), RATE_HZ, "FLOAT")
        layers = "".join(
            f"<layer><filename>{row}{layer}.wav</filename><max>{(layer + 1) / 2}</max></layer>" for layer in range(2)
        )
        instruments.append(f"<instrument><name>{name}</name>{layers}</instrument>")
    (tmp_path / "drumkit.xml").write_text(f"<drumkit_info>{''.join(instruments)}</drumkit_info>")
    return HydrogenKit("blocks", tmp_path)


def test_a_take_is_cut_to_whole_bars_and_its_crash_edges_are_crashes() -> None:
    bar_s = 2.0
    hits = [DrumHit(0.0, "splash", 90), DrumHit(1.0, "china", 90), DrumHit(59.98, "kick", 90), DrumHit(70, "snare", 90)]
    short = cut(take(hits, bars=36))
    assert short.bars == 30 == rendered.MAX_TAKE_S / bar_s
    assert [(hit.time_s, hit.instrument) for hit in short.hits] == [(0.0, "crash"), (1.0, "crash")]
    whole = cut(take(hits[:1], bars=1))
    assert (whole.bars, len(whole.hits)) == (1, 1)


def test_a_font_renders_what_the_truth_says(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def note_down(midi: bytes, name: str, end_s: float, font: Path) -> Path:
        changes = [
            message.program for message in mido.MidiFile(file=io.BytesIO(midi)) if message.type == "program_change"
        ]
        calls.append((read_midi(midi), changes, name, end_s, font))
        return Path(f"{name}.flac")

    monkeypatch.setattr(rendered, "render", note_down)
    kits = [FontKit("one", Path("one.sf2"), 8), FontKit("other", Path("other.sf2"))]
    played = take([DrumHit(0.5, "kick", 90), DrumHit(1.25, "hihat_pedal", 30)])
    takes = rendered_takes([played, played, played], kits)
    assert [one.kit for one in takes] == ["one", "other", "one"]
    notes, changes, name, end_s, font = calls[0]
    assert changes == [8]
    assert (name, end_s, font) == ("d1-s1-1-one", 1.25, Path("one.sf2"))
    assert [(round(n.onset_s, 3), n.pitch, n.velocity) for n in notes.drums] == [
        (0.5, 36, 90),
        (1.25, 44, 30),
    ]


def test_one_shots_lie_at_their_hits_at_levels_by_velocity(kit: HydrogenKit) -> None:
    samples = kit.play(DrumHits.of([DrumHit(0.0, "kick", 127), DrumHit(0.5, "snare", 64)]), 1.0)
    loud, soft = samples[RATE_HZ // 20], samples[RATE_HZ // 2 + RATE_HZ // 20]
    assert loud == pytest.approx(rendered.PEAK)
    assert soft / loud == pytest.approx((64 / 127) ** 2)
    assert not samples[round(0.11 * RATE_HZ) : RATE_HZ // 2].any()


def test_a_closed_hat_stops_an_open_one(kit: HydrogenKit) -> None:
    hits = [DrumHit(0.0, "hihat_open", 100)]
    at_s = round(0.8 * RATE_HZ)
    assert kit.play(DrumHits.of(hits), 1.0)[at_s] > 0.1
    assert kit.play(DrumHits.of([*hits, DrumHit(0.5, "hihat_closed", 100)]), 1.0)[at_s] == 0


def test_the_truth_is_what_the_kit_could_play(
    kit: HydrogenKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendered, "CACHE", tmp_path)
    played = take([DrumHit(0.25, "side_stick", 90), DrumHit(0.5, "hihat_pedal", 90)])
    (one,) = rendered_takes([played], [kit])
    assert [hit.instrument for hit in one.take.hits] == ["snare", "hihat_closed"]
    assert sf.info(one.audio).duration == pytest.approx(0.5 + rendered.TAIL_S, abs=0.01)
    with pytest.raises(SystemExit, match="lacks one of"):
        rendered_takes([replace(played, hits=DrumHits.of([DrumHit(0.0, "tom_low", 90)]))], [kit])
