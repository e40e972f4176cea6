"""A recording → its drums, and the recording without them, as files.

    demucs   HTDemucs, where its package and its weights are here (`htdemucs`)
    light    harmonic-percussive separation, which needs neither (`percussive`)
    none     nothing is separated: the recording itself is what is listened to

`auto` is demucs where it can be had and none elsewhere.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
import soundfile

from tutti.audio.reading import AudioLimits, Source, open_stream
from tutti.errors import Cancelled, OptionError, OutputError
from tutti.listening import htdemucs
from tutti.listening.htdemucs import DemucsOptions
from tutti.listening.spool import FloatArray, Spool

__all__ = ["BACKING_FILE", "DRUMS_FILE", "METHODS", "Method", "Stems", "demucs_available", "separate"]

Method = Literal["auto", "demucs", "light", "none"]
METHODS: Final[tuple[Method, ...]] = ("auto", "demucs", "light", "none")

DRUMS_FILE: Final = "drums.flac"
BACKING_FILE: Final = "drumless.flac"

OnProgress = Callable[[str, float, float], None]

_CHANNELS: Final = 2


@dataclass(frozen=True)
class Stems:
    """What was separated. Both files are FLAC of 24 bits with the channels of the recording, two at most."""

    method: Literal["demucs", "light", "none"]
    drums: Path | None = None
    """None when nothing was separated: listen to the recording itself."""
    backing: Path | None = None
    """The recording less its drums, sample by sample."""
    detail: dict[str, Any] = field(default_factory=dict)
    """What was used, for the provenance of what is heard in the drums."""
    warnings: tuple[str, ...] = ()


def demucs_available(options: DemucsOptions | None = None) -> bool:
    """Whether `separate` can use Demucs: its package is installed and the model's file is here."""
    return htdemucs.is_available(options or DemucsOptions())


def separate(
    source: Source,
    folder: Path,
    method: Method = "auto",
    *,
    demucs: DemucsOptions | None = None,
    limits: AudioLimits | None = None,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Stems:
    """Writes the drums of `source`, and the rest, into `folder`; nothing is read or written when nothing is separated.

    Files of their names are replaced, the drums last: where they lie, both are complete. Memory does not depend on
    the length of the recording; `folder` needs room for 21 MB a minute beside the files while it works.

    `on_progress("read", …)` and then `on_progress("separate", done_s, total_s)` follow along; `total_s` is 0 while it
    is unknown. Raises InputError, OutputError, OptionError, DeviceError, Cancelled once `cancelled()` says True, and
    for method demucs MissingExtraError and WeightsError.
    """
    demucs = demucs or DemucsOptions()
    chosen = _chosen(method, demucs)
    if chosen == "none":
        return Stems("none", detail={"method": "none", "asked": method})
    from tutti.listening.percussive import SAMPLE_RATE_HZ, percussive  # scipy is for those who separate

    separator = htdemucs.open_demucs(demucs) if chosen == "demucs" else None
    rate_hz = separator.sample_rate_hz if separator else SAMPLE_RATE_HZ
    watch = _Watch(rate_hz, on_progress, cancelled)
    with _writing(folder), contextlib.ExitStack() as stack:
        mix, heard = _spooled(source, folder, rate_hz, limits, watch)
        stack.enter_context(mix)
        files = stack.enter_context(_Files(folder, rate_hz, mix.channels))
        done = 0
        for drums in separator.drums(mix) if separator else percussive(mix):
            whole = mix.read(done, done + drums.shape[1])
            files.write(drums, whole - drums)
            done += drums.shape[1]
            watch.report("separate", done, mix.length)
        files.land()
    return Stems(
        chosen,
        drums=folder / DRUMS_FILE,
        backing=folder / BACKING_FILE,
        detail={"method": chosen, "asked": method} | (_detail(separator) if separator else {}),
        warnings=(*heard, *(separator.warnings if separator else ()), *files.warnings),
    )


def _chosen(method: Method, demucs: DemucsOptions) -> Literal["demucs", "light", "none"]:
    if method not in METHODS:
        raise OptionError(f"There are no stems {method!r}. Use one of: {', '.join(METHODS)}.")
    if method == "auto":
        return "demucs" if htdemucs.is_available(demucs) else "none"
    return method


def _detail(separator: htdemucs.Demucs) -> dict[str, Any]:
    return {**separator.detail(), "demucs_version": importlib.metadata.version("demucs")}


class _Watch:
    """Tells how far the work is, and whether it is still wanted."""

    def __init__(self, rate_hz: int, on_progress: OnProgress | None, cancelled: Callable[[], bool] | None) -> None:
        self._rate_hz, self._on_progress, self._cancelled = rate_hz, on_progress, cancelled

    def report(self, stage: str, done: int, total: float) -> None:
        """`done` and `total` in samples. Raises Cancelled."""
        if self._cancelled is not None and self._cancelled():
            raise Cancelled("Stopped on request; no stems were written.")
        if self._on_progress is not None:
            self._on_progress(stage, done / self._rate_hz, total / self._rate_hz)


def _spooled(
    source: Source, folder: Path, rate_hz: int, limits: AudioLimits | None, watch: _Watch
) -> tuple[Spool, list[str]]:
    """The recording on disk, its first two channels at most, and what its decoder warns of."""
    with open_stream(source, sample_rate_hz=rate_hz, mono=False, limits=limits) as stream:
        mix = Spool(folder, min(stream.native_channels, _CHANNELS))
        try:
            for block in stream:
                mix.append(block[:, :_CHANNELS])
                watch.report("read", mix.length, (stream.duration_s or 0) * rate_hz)
            mix.finish()
        except BaseException:
            mix.close()
            raise
        return mix, stream.warnings


class _Files:
    """Both stems under temporary names until `land`; leaving without it removes them."""

    def __init__(self, folder: Path, rate_hz: int, channels: int) -> None:
        self.clipped = 0
        self._open: list[tuple[soundfile.SoundFile, Path, Path]] = []
        try:
            for name in (DRUMS_FILE, BACKING_FILE):
                part = folder / f".tutti-{secrets.token_hex(8)}.part"
                file = soundfile.SoundFile(part, "x", rate_hz, channels, format="FLAC", subtype="PCM_24")
                self._open.append((file, part, folder / name))
        except BaseException:
            self._remove()
            raise

    def write(self, drums: FloatArray, backing: FloatArray) -> None:
        """One block (channels, n) of each."""
        for (file, _, _), block in zip(self._open, (drums, backing), strict=True):
            self.clipped += int(np.count_nonzero(np.abs(block) > 1))
            file.write(block.T)

    @property
    def warnings(self) -> list[str]:
        if not self.clipped:
            return []
        return [f"{self.clipped} samples of the stems were beyond full scale; they were clipped in the files."]

    def land(self) -> None:
        """Gives the files their names, the drums last."""
        for file, part, _ in self._open:
            file.close()
            with part.open("rb") as written:
                os.fsync(written.fileno())
        for _, part, path in reversed(self._open):
            part.replace(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _remove(self) -> None:
        for file, part, _ in self._open:
            with contextlib.suppress(soundfile.SoundFileError):  # the disk is full, and what is left goes anyway
                file.close()
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Makes the folder, and turns what the file system refuses into OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, soundfile.SoundFileError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"The stems could not be written to {folder} ({reason}). Free some space there or choose another folder."
        ) from error
