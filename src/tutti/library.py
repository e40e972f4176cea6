"""The verbs as functions: keyword arguments in, results out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tutti.catalog import capability

if TYPE_CHECKING:
    from tutti.audio.reading import Source
    from tutti.capabilities.drums.types import DrumChart
    from tutti.capabilities.groove.run import Prompt
    from tutti.capabilities.groove.types import Groove
    from tutti.capabilities.transcription.lifecycle import Lifecycle
    from tutti.capabilities.transcription.types import Options, Transcription
    from tutti.music.notes import Note

__all__ = ["LoadedModel", "OnProgress", "drums", "groove", "load_model", "stream_notes", "transcribe"]

OnProgress = Callable[[str, float, float], None]
"""Called as `on_progress(stage, done, total)`."""


def transcribe(
    source: Source,
    model: str = "tutti-notes",
    *,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
    **options: Any,
) -> Transcription:
    """The notes of a recording.

    `source` is a path, bytes, an open binary file, or `(samples, sample_rate_hz)` with samples of shape (n,) or
    (n, channels). `options` are the fields of `tutti.capabilities.transcription.types.Options`. `cancelled` is asked
    between windows; once it says True, Cancelled is raised.

    Raises OptionError, UnknownModelError, InputError, WeightsError, DeviceError (all in `tutti.errors`).
    """
    row = capability("transcribe")
    checked = row.options({"model": model, **options})
    result: Transcription = row.run(source, checked, on_progress=on_progress, cancelled=cancelled)
    return result


def drums(
    source: Source,
    model: str = "tutti-drums",
    *,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
    **options: Any,
) -> DrumChart:
    """The drum chart of a recording.

    `source` is as for `transcribe`, or a link (https://…). `options` are the fields of
    `tutti.capabilities.drums.types.Options`. `cancelled` is asked between windows; once it says True, Cancelled is
    raised.

    Raises OptionError, UnknownModelError, InputError, WeightsError, DeviceError, MissingExtraError (all in
    `tutti.errors`).
    """
    row = capability("drums")
    checked = row.options({"model": model, **options})
    result: DrumChart = row.run(source, checked, on_progress=on_progress, cancelled=cancelled)
    return result


def groove(
    style: str | None = None,
    *,
    bars: int = 4,
    tempo_bpm: float | None = None,
    seed: int | None = None,
    prompt: Prompt | None = None,
    count: int = 1,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
    **options: Any,
) -> Groove:
    """Drum patterns in a style, `count` of them, `bars` long; or what is to be done with a `prompt`.

    `prompt` is the path, bytes or open file of MIDI or of JSON as tutti writes it, or a Pattern. The same `seed` gives
    the same patterns. `options` are the fields of `tutti.capabilities.groove.types.Options`, `task` among them:
    continue, vary, humanise, fill_in, answer. `cancelled` is asked between tokens; once it says True, Cancelled is
    raised.

    Raises OptionError, UnknownStyleError, UnknownModelError, InputError, WeightsError, DeviceError (all in
    `tutti.errors`).
    """
    row = capability("groove")
    own = {"style": style, "bars": bars, "tempo_bpm": tempo_bpm, "seed": seed, "count": count}
    checked = row.options({**own, **options})
    result: Groove = row.run(prompt, checked, on_progress=on_progress, cancelled=cancelled)
    return result


def stream_notes(
    source: Source, model: str, *, cancelled: Callable[[], bool] | None = None, **options: Any
) -> Iterator[Note]:
    """The notes of a recording as they become final, while it is still being read.

    For models of the MT3 family, which write segment by segment. `source` and `options` are as for `transcribe`. A note
    is final when no later segment can change it; notes come roughly by onset, and in order within a segment.

    Raises as `transcribe`, and OptionError for a model that gives its notes at the end, and for options that need all
    notes at once.
    """
    from tutti.capabilities.transcription.run import stream

    return stream(source, cast("Options", capability("transcribe").options({"model": model, **options})), cancelled)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that was loaded, for many calls: it stays in memory as long as few others are used."""

    model: str
    device: str
    precision: str

    def transcribe(self, source: Source, **options: Any) -> Transcription:
        """As `tutti.transcribe`, with this model, device and precision."""
        return transcribe(source, self.model, device=self.device, precision=self.precision, **options)

    def steps(self, **options: Any) -> Lifecycle:
        """The steps of a model of the MT3 family one by one: `preprocess`, `forward`, `decode`.

        `options` are as for `transcribe`. Raises as `load_model`, and OptionError for a model without such steps.
        """
        from tutti.capabilities.transcription.run import lifecycle

        own = {"model": self.model, "device": self.device, "precision": self.precision}
        steps: Lifecycle = lifecycle(cast("Options", capability("transcribe").options({**own, **options})))
        return steps


def load_model(model: str = "tutti-notes", device: str = "auto", precision: str = "auto") -> LoadedModel:
    """Load `model` now, so that the first call is as fast as the next and a missing file is told here.

    Raises OptionError, UnknownModelError, WeightsError, DeviceError.
    """
    from tutti.capabilities.transcription.run import load

    options = capability("transcribe").options({"model": model, "device": device, "precision": precision})
    load(cast("Options", options))
    return LoadedModel(model, device, precision)
