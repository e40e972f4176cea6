"""What each stage found, in a folder the user keeps, so that the next run goes on from there.

A stage's answer is taken up again only when the recording and everything else it depends on are the same; otherwise it
is found anew and replaced. Files land whole or not at all, so a run that was stopped leaves what it had finished.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tutti.audio.reading import Source
from tutti.capabilities.drums.hearing import Heard
from tutti.errors import OptionError
from tutti.listening.stems import Stems
from tutti.music.beats import Beats
from tutti.music.drum_hits import DrumHit, DrumHits
from tutti.music.files import write_atomic
from tutti.music.timing import BeatGrid

__all__ = ["Stages", "recording_digest"]

T = TypeVar("T")


def recording_digest(source: Source) -> str:
    """sha256 of a recording: of the file's bytes, or of the samples."""
    if isinstance(source, str | Path):
        with Path(source).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    samples, rate_hz = source  # type: ignore[misc]
    array = np.ascontiguousarray(samples)
    shape = f"{int(rate_hz)} {array.dtype.str} {array.shape}"
    return hashlib.sha256(array.tobytes() + shape.encode()).hexdigest()


class Stages:
    """Answers in `folder`; without one everything is found anew."""

    def __init__(self, folder: Path | None, digest: Callable[[], str]) -> None:
        self.folder, self._digest = folder, digest

    @cached_property
    def _recording(self) -> str:
        return self._digest()

    def stems(self, depends: dict[str, Any], find: Callable[[], Stems]) -> Stems:
        known = self._known("stems", depends, self._read_stems)
        if known is not None:
            return known
        found = find()
        names = {"drums": found.drums and found.drums.name, "backing": found.backing and found.backing.name}
        self._keep(
            "stems", depends, {"method": found.method, **names, "detail": found.detail, "warnings": found.warnings}
        )
        return found

    def hits(self, depends: dict[str, Any], find: Callable[[], Heard]) -> Heard:
        known = self._known("hits", depends, _read_hits)
        if known is not None:
            return known
        found = find()
        self._keep(
            "hits",
            depends,
            {
                "hits": [asdict(hit) for hit in found.hits],
                "device": found.device,
                "precision": found.precision,
                "warnings": found.warnings,
                "weights_sha256": found.weights_sha256,
            },
        )
        return found

    def beats(
        self, depends: dict[str, Any], find: Callable[[], tuple[Beats, tuple[str, ...]]]
    ) -> tuple[Beats, tuple[str, ...]]:
        known = self._known("beats", depends, _read_beats)
        if known is not None:
            return known
        beats, warnings = find()
        fields = {name: value for name, value in asdict(beats).items() if name not in ("grid", "beat_quarters")}
        answer = {
            "times_s": beats.grid.times_s,
            "positions": beats.grid.positions,
            "beat_quarters": str(beats.beat_quarters),
            **fields,
            "warnings": warnings,
        }
        self._keep("beats", depends, answer)
        return beats, warnings

    def _known(self, stage: str, depends: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> T | None:
        """A kept answer to the same question; one that cannot be read is no answer."""
        if self.folder is None:
            return None
        try:
            kept = json.loads((self.folder / f"{stage}.json").read_text())
            return read(kept["answer"]) if kept["question"] == self._question(depends) else None
        except (OSError, ValueError, KeyError, TypeError, OptionError):
            return None

    def _read_stems(self, kept: dict[str, Any]) -> Stems:
        """Raises FileNotFoundError where one of the files is gone."""
        if self.folder is None:
            raise FileNotFoundError
        files = {name: kept[name] and self.folder / kept[name] for name in ("drums", "backing")}
        for path in filter(None, files.values()):
            path.stat()
        return Stems(kept["method"], **files, detail=kept["detail"], warnings=tuple(kept["warnings"]))

    def _keep(self, stage: str, depends: dict[str, Any], answer: dict[str, Any]) -> None:
        if self.folder is not None:
            document = {"question": self._question(depends), "answer": answer}
            write_atomic(self.folder / f"{stage}.json", json.dumps(document, indent=1).encode())

    def _question(self, depends: dict[str, Any]) -> dict[str, Any]:
        question = {"recording_sha256": self._recording, **depends}
        return dict(json.loads(json.dumps(question)))


def _read_hits(kept: dict[str, Any]) -> Heard:
    hits = DrumHits.of(DrumHit(**hit) for hit in kept["hits"])
    return Heard(hits, kept["device"], kept["precision"], tuple(kept["warnings"]), kept["weights_sha256"])


def _read_beats(kept: dict[str, Any]) -> tuple[Beats, tuple[str, ...]]:
    rest = dict(kept)
    grid = BeatGrid(tuple(rest.pop("times_s")), tuple(rest.pop("positions")))
    worth, warnings = Fraction(rest.pop("beat_quarters")), tuple(rest.pop("warnings"))
    return Beats(grid, beat_quarters=worth, **rest), warnings
