"""The beats that notes are quantised to: heard in the recording, or steady at the tempo its user gives."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import numpy as np

from tutti.audio.reading import Source, open_stream
from tutti.capabilities.transcription.finishing import anchored, steady_beats
from tutti.capabilities.transcription.types import Options
from tutti.errors import Cancelled, OutputError
from tutti.music.beats import Beats
from tutti.music.notes import Notes

__all__ = ["find_beats", "readable_twice"]

OnProgress = Callable[[str, float, float], None]


@contextmanager
def readable_twice(source: Source, options: Options) -> Iterator[Source]:
    """`source`, or a copy of it on disk where it is a stream, which gives its sound once, and beats are to be heard."""
    hears_once = options.quantise is None or options.tempo_bpm is not None
    if hears_once or isinstance(source, str | PathLike | bytes | bytearray | memoryview | tuple):
        yield source
        return
    name = getattr(source, "name", None)
    with tempfile.TemporaryDirectory(prefix="tutti-") as folder:
        copy = Path(folder) / (Path(name).name if isinstance(name, str) else "the given stream")
        try:
            with copy.open("wb") as file:
                shutil.copyfileobj(source, file)
        except OSError as error:
            raise OutputError(f"The stream cannot be copied to {folder} ({error.strerror}). Set TMPDIR.") from error
        yield copy


def find_beats(
    source: Source,
    notes: Notes,
    duration_s: float,
    options: Options,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[Beats | None, tuple[str, ...]]:
    """The beats for `options.quantise`, and what is to be said of them; None where it is not asked for or none beat.

    To hear them the recording is read a second time; `on_progress("beats", done_s, total_s)` follows. Raises
    InputError, WeightsError, DeviceError, Cancelled.
    """
    if options.quantise is None:
        return None, ()
    if options.tempo_bpm is not None:
        return steady_beats(notes, options.tempo_bpm, options.quantise, duration_s), ()
    beats, warnings = _heard(source, options, on_progress, cancelled)
    beats = anchored(beats, options.quantise)
    if len(beats.grid) < 2:
        return None, (*warnings, "no beats were heard; nothing was quantised. Give the tempo with tempo_bpm.")
    if beats.bpm_unreliable:
        doubt = f"the tempo, {beats.bpm:.0f} bpm, is uncertain, and with it the grid. If you know it, give tempo_bpm."
        return beats, (*warnings, doubt)
    return beats, warnings


def _heard(
    source: Source, options: Options, on_progress: OnProgress | None, cancelled: Callable[[], bool] | None
) -> tuple[Beats, tuple[str, ...]]:
    # hearing needs a framework, a steady tempo does not
    from tutti.audio.bands import DRUMS_FRONT_END, stored_levels
    from tutti.listening.beats import hear_beats

    levels = []
    frames = 0
    with open_stream(source, sample_rate_hz=DRUMS_FRONT_END.sample_rate_hz) as stream:
        for part in stored_levels(stream):
            if cancelled is not None and cancelled():
                raise Cancelled("Stopped on request; nothing was written.")
            levels.append(part)
            frames += part.shape[1]
            if on_progress is not None:
                on_progress("beats", frames * DRUMS_FRONT_END.frame_s, stream.duration_s or 0)
    return hear_beats(np.concatenate(levels, axis=1), device=options.device, precision=options.precision)
