"""What was really played on the evaluation tracks. MDB Drums is only ever measured with, never trained or tuned on."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tutti.capabilities.drums.truth import read_hits
from tutti.music.drum_hits import DrumHits
from tutti.music.timing import BeatGrid


@dataclass(frozen=True)
class Folding:
    """How annotations of MDB Drums become five families; the same is done to what a system heard."""

    name: str
    annotations: str
    """The folder of annotations that is read."""
    left_out: frozenset[str]
    """Pieces that do not count on either side."""

    def of(self, hits: DrumHits) -> DrumHits:
        return DrumHits.of(hit for hit in hits if hit.instrument not in self.left_out)


AS_SNARE = Folding("side stick as snare", "subclass", frozenset())
LEFT_OUT = Folding("side stick left out", "class", frozenset({"side_stick"}))
"""The class files call a side stick "other". A system that does not tell it from a snare gives it as a wrong snare."""
FOLDINGS = (AS_SNARE, LEFT_OUT)


@dataclass(frozen=True)
class Track:
    """One song of MDB Drums."""

    name: str
    drums: Path
    mix: Path
    is_official: bool
    """The mix is the released one, not a sum of raw tracks."""
    truth: Mapping[Folding, DrumHits]
    beats: BeatGrid

    def audio(self, of: str) -> Path:
        """`of` is "stems" or "mixes"."""
        return {"stems": self.drums, "mixes": self.mix}[of]


def mdb_tracks(data: Path) -> list[Track]:
    """The tracks of MDB Drums that are given, in the order of `tracks.csv`."""
    folder = data / "mdb_drums"
    with (folder / "tracks.csv").open(newline="") as file:
        return [_track(folder, row["track"], row["full_mix"] == "1") for row in csv.DictReader(file)]


def _track(folder: Path, name: str, is_official: bool) -> Track:
    mix = f"full_mix/{name}_MIX.flac" if is_official else f"mix_from_raw/{name}_RAWMIX.flac"
    annotations = folder / "annotations"
    truth = {
        folding: folding.of(read_hits(annotations / folding.annotations / f"{name}_{folding.annotations}.txt"))
        for folding in FOLDINGS
    }
    return Track(
        name=name,
        drums=folder / "audio" / "drum_only" / f"{name}_Drum.flac",
        mix=folder / "audio" / mix,
        is_official=is_official,
        truth=truth,
        beats=read_beats(annotations / "beats" / f"{name}_MIX.beats"),
    )


def read_beats(path: Path) -> BeatGrid:
    """A line a beat: seconds and place in the bar."""
    rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
    return BeatGrid(tuple(float(time_s) for time_s, _ in rows), tuple(int(place) for _, place in rows))
