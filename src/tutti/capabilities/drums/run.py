"""A recording to a drum chart: separate → hear hits and beats → write down.

Each stage is a function of what the one before found. Where the caller keeps a folder, each leaves its answer there and
takes it up again when nothing it depends on has changed.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutti import __version__
from tutti.audio.bands import DRUMS_FRONT_END, stored_levels
from tutti.audio.links import fetch_link, is_link
from tutti.audio.reading import Source, open_stream, read_audio
from tutti.capabilities.drums.hearing import Heard, hear_clips, hear_hits, hear_user_weights
from tutti.capabilities.drums.stages import Stages, recording_digest
from tutti.capabilities.drums.types import LOW_CONFIDENCE, DrumChart, Options, Provenance
from tutti.capabilities.drums.writing_down import write_down
from tutti.errors import Cancelled, CardError, OutputError
from tutti.listening.beats import hear_beats, last_resort, librosa_beats, madmom_beats
from tutti.listening.htdemucs import DemucsOptions
from tutti.listening.stems import Stems, demucs_available, separate
from tutti.music.beats import Beats, beats_of_metre
from tutti.music.drum_hits import DrumHits
from tutti.weights.cards import Card, find_card

__all__ = ["run"]

OnProgress = Callable[[str, float, float], None]

_FOREIGN_RATE_HZ = 44_100
_SPARSE_PER_MINUTE = 20
"""A tenth of what the sparsest of Groove MIDI's longer takes has."""


def run(
    source: Source,
    options: Options,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> DrumChart:
    """The drum chart of `source`, which may also be a link (https://…).

    `on_progress(stage, done, total)` follows along in seconds, or in what the stage counts. Raises InputError,
    WeightsError, DeviceError, MissingExtraError, or Cancelled once `cancelled()` says True.
    """
    card = _card(options)
    with _folder(options.keep) as folder:
        job = _Job(source, options, card, folder, _Watch(on_progress, cancelled))
        stems = job.stems
        heard = job.hits
        beats = job.beats
        if len(heard.hits) and len(beats.beats.grid) < 2:
            beats = replace(beats, beats=last_resort(job.duration_s, options.bpm, job.metre))
        job.watch("write", 0, 1)
        title = job.title if options.title is None else options.title
        sheet = write_down(heard.hits, beats.beats, options, title)
        job.watch("write", 1, 1)
        kept = options.keep is not None
        return DrumChart(
            hits=heard.hits,
            beats=beats.beats,
            sheet=sheet,
            duration_s=job.duration_s,
            provenance=Provenance(
                tutti_version=__version__,
                model=card.name,
                weights_sha256=heard.weights_sha256 or card.sha256,
                device=heard.device,
                precision=heard.precision,
                source=job.name,
                stems=stems.detail,
                beats=beats.beats.method,
                options=options.model_dump(mode="json"),
            ),
            warnings=(
                *job.warnings,
                *stems.warnings,
                *heard.warnings,
                *beats.warnings,
                *_doubts(heard.hits, beats.beats, job.duration_s),
            ),
            recording=job.file if kept or job.is_users else None,
            backing=stems.backing if kept else None,
        )


def _card(options: Options) -> Card:
    card = find_card(options.model)
    if (card.capability, card.framework) != ("drums", "torch"):
        raise CardError(
            f"{card.name} is a model for {card.capability} in {card.framework}; choose another with --model."
        )
    return card


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        try:
            keep.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"The folder {str(keep)!r} cannot be made: {error.strerror}. Keep another.") from error
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="tutti-") as folder:
        yield Path(folder)


@dataclass(frozen=True, slots=True)
class _Found:
    """Beats, and what is to be said of how they were found."""

    beats: Beats
    warnings: tuple[str, ...] = ()


class _Watch:
    """Reports progress and stops when asked to."""

    def __init__(self, on_progress: OnProgress | None, cancelled: Callable[[], bool] | None) -> None:
        self.on_progress, self.cancelled = on_progress, cancelled

    def __call__(self, stage: str, done: float, total: float) -> None:
        if self.cancelled is not None and self.cancelled():
            raise Cancelled("Stopped on request; what was kept of finished stages stays.")
        if self.on_progress is not None:
            self.on_progress(stage, done, total)


class _Job:
    """One recording on its way through the stages; each is computed when it is first asked for."""

    def __init__(self, source: Source, options: Options, card: Card, folder: Path, watch: _Watch) -> None:
        self.options, self.card, self.folder, self.watch = options, card, folder, watch
        self.warnings: list[str] = []
        self.is_users = False
        self.name, self.source = self._recording(source)
        self.stages = Stages(folder if options.keep is not None else None, lambda: recording_digest(self.source))
        self._levels: dict[Path | None, NDArray[np.uint8]] = {}
        self._duration_s: float | None = None

    @property
    def title(self) -> str:
        return Path(self.name).stem

    @property
    def metre(self) -> tuple[int, int] | None:
        """(3, 4) for "3/4"."""
        if self.options.metre is None:
            return None
        numerator, denominator = self.options.metre.split("/")
        return int(numerator), int(denominator)

    @property
    def file(self) -> Path | None:
        return Path(self.source) if isinstance(self.source, str | Path) else None

    def _recording(self, source: Source) -> tuple[str, Source]:
        """Its name, and something that can be read more than once."""
        if isinstance(source, str) and is_link(source):
            self.watch("fetch", 0, 0)
            linked = fetch_link(source, self.folder, on_bytes=lambda done, total: self.watch("fetch", done, total or 0))
            return linked.title, linked.path
        if isinstance(source, str | Path):
            self.is_users = True
            return Path(source).name, source
        if isinstance(source, bytes | tuple):
            return "recording", source
        if isinstance(source, PathLike):
            return self._recording(Path(source))
        spooled = self.folder / "input.audio"
        with spooled.open("wb") as file:
            shutil.copyfileobj(source, file)
        return "recording", spooled

    @cached_property
    def stems(self) -> Stems:
        options = self.options
        demucs = DemucsOptions(
            shifts=options.shifts,
            overlap=options.overlap,
            segment_s=options.segment_s,
            repository=options.demucs_repository,
            device=options.device,
        )
        depends = self._asked("stems", "shifts", "overlap", "segment_s", "demucs_repository")
        depends["demucs_is_here"] = options.stems == "auto" and demucs_available(demucs)
        return self.stages.stems(
            depends,
            lambda: separate(
                self.source,
                self.folder,
                options.stems,
                demucs=demucs,
                on_progress=self.watch.on_progress,
                cancelled=self.watch.cancelled,
            ),
        )

    @cached_property
    def hits(self) -> Heard:
        return self.stages.hits(self._hits_depend_on(), self._hear_hits)

    def _hits_depend_on(self) -> dict[str, Any]:
        depends = self._asked("model", "onset_threshold", "clip", "bpm")
        return depends | {"weights": self.card.sha256, "config": self.card.config, "stems": self.stems.detail}

    def _hear_hits(self) -> Heard:
        options, drums = self.options, self.stems.drums or self.source
        match self.card.config.get("kind", "frames"):
            case "frames":
                return hear_hits(
                    self.card,
                    self.levels(self.stems.drums),
                    onset_threshold=options.onset_threshold,
                    device=options.device,
                    precision=options.precision,
                    on_window=lambda done, total: self.watch(
                        "hits", done * DRUMS_FRONT_END.frame_s, total * DRUMS_FRONT_END.frame_s
                    ),
                )
            case "clips":
                samples = self._samples(drums)
                return hear_clips(self.card, samples, options.bpm, options.clip, lambda d, t: self.watch("hits", d, t))
            case "adtof":
                samples = self._samples(drums)
                return hear_user_weights(self.card, samples, lambda done, total: self.watch("hits", done, total))
            case name:
                raise CardError(
                    f"The card of {self.card.name} says [config] kind = {name!r}. Use frames, clips or adtof."
                )

    @cached_property
    def beats(self) -> _Found:
        depends = self._asked("beats", "bpm", "metre", "first_downbeat_s")
        if self.options.beats in ("auto", "tutti"):
            cards = [find_card(name) for name in ("tutti-beats", "tutti-stroke-beats")]
            depends["models"] = [[card.sha256, card.config] for card in cards]
            depends["hits"] = self._hits_depend_on()
        beats, warnings = self.stages.beats(depends, self._hear_beats)
        return _Found(beats, warnings)

    def _hear_beats(self) -> tuple[Beats, tuple[str, ...]]:
        """Beats of the whole recording, not of the drums alone: the band knows where a bar begins. The hits do too."""
        options, metre = self.options, self.metre
        self.watch("beats", 0, 1)
        if options.beats in ("auto", "tutti"):
            beats, warnings = hear_beats(
                self.levels(None),
                self.hits.hits,
                bpm=options.bpm,
                metre=metre,
                device=options.device,
                precision=options.precision,
            )
        else:
            samples = self._samples(self.source)
            beats, warnings = (
                (madmom_beats(samples), ())
                if options.beats == "madmom"
                else (librosa_beats(samples, _FOREIGN_RATE_HZ), ())
            )
            if options.bpm is not None and len(beats.grid):
                per_bar, worth = beats_of_metre(*(metre or (4, 4)))
                first_s, duration_s = beats.grid.times_s[0], len(samples) / _FOREIGN_RATE_HZ
                beats = Beats.at_bpm(options.bpm, first_s, duration_s, per_bar, worth)
            elif metre is not None and len(beats.grid):
                beats = beats.with_metre(*metre)
        if options.first_downbeat_s is not None:
            beats = beats.with_downbeat_near(options.first_downbeat_s)
        self.watch("beats", 1, 1)
        return beats, warnings

    def _samples(self, source: Source) -> NDArray[np.float32]:
        """All of it at the rate that foreign models hear, mono."""
        audio = read_audio(source, sample_rate_hz=_FOREIGN_RATE_HZ, mono=True)
        self._duration_s = audio.duration_s
        self.warnings += [warning for warning in audio.warnings if warning not in self.warnings]
        return audio.samples

    def levels(self, drums: Path | None) -> NDArray[np.uint8]:
        """Stored levels of the separated drums, or of the recording; each is decoded once."""
        if drums not in self._levels:
            with open_stream(drums or self.source, sample_rate_hz=DRUMS_FRONT_END.sample_rate_hz) as stream:
                heard = _Counted(stream)
                parts = []
                for part in stored_levels(heard):
                    parts.append(part)
                    self.watch("listen", heard.seconds, stream.duration_s or 0)
                if drums is None:
                    self.warnings += [warning for warning in stream.warnings if warning not in self.warnings]
            self._duration_s = heard.seconds
            self._levels[drums] = np.concatenate(parts, axis=1)
        return self._levels[drums]

    @property
    def duration_s(self) -> float:
        if self._duration_s is None:
            self.levels(None)
        return float(self._duration_s or 0)

    def _asked(self, *names: str) -> dict[str, Any]:
        values = self.options.model_dump(mode="json")
        return {"tutti": __version__, **{name: values[name] for name in names}}


class _Counted:
    """Passes blocks through and knows how much audio went by."""

    def __init__(self, blocks: Any) -> None:
        self.blocks, self.samples = blocks, 0

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for block in self.blocks:
            self.samples += len(block)
            yield block

    @property
    def seconds(self) -> float:
        return self.samples / DRUMS_FRONT_END.sample_rate_hz


def _doubts(hits: DrumHits, beats: Beats, duration_s: float) -> Iterator[str]:
    if not len(hits):
        yield "no drums were heard; the chart is empty."
        return
    if len(hits) < _SPARSE_PER_MINUTE * duration_s / 60:
        yield f"few hits, {len(hits)} in {duration_s:.0f} s: what was taken for drums may be something else."
    confidence = sum(hit.confidence for hit in hits) / len(hits)
    if confidence < LOW_CONFIDENCE:
        yield f"low confidence: the hits were heard with {confidence:.2f} on average; check them by ear."
    if beats.bpm_unreliable:
        others = " or ".join(f"{bpm:.0f}" for bpm in beats.alternatives_bpm)
        yield f"the tempo, {beats.bpm:.0f} bpm, is uncertain; it may be {others}. Set it with --bpm."
