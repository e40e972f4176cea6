"""A recording to notes: hear → find beats, where notes are to be put on them → finish.

What hears is the card's affair: a network that answers frame by frame (`hearing_frames`), or one of the MT3 family
(`token_models`), in torch, JAX or onnxruntime. Only the framework that computes is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any

from tutti.audio.reading import Source
from tutti.capabilities.transcription.finishing import finish
from tutti.capabilities.transcription.types import Options, Transcription
from tutti.errors import CardError, InputError, OptionError
from tutti.music.notes import Note
from tutti.weights.cards import Card, find_card

__all__ = ["hears_many", "lifecycle", "load", "run", "run_many", "stream"]

OnProgress = Callable[[str, float, float], None]
IsCancelled = Callable[[], bool]


def run(
    source: Source,
    options: Options,
    on_progress: OnProgress | None = None,
    cancelled: IsCancelled | None = None,
) -> Transcription:
    """The notes of `source`.

    `on_progress("transcribe", done_s, total_s)` follows along (`total_s` is 0 while the length is unknown). Raises
    InputError, WeightsError, DeviceError, MissingExtraError, or Cancelled once `cancelled()` says True.
    """
    listener, options = _listener(options)
    if options.quantise is None:
        return _finished(listener.hear(source, options, on_progress, cancelled), options)
    beats = import_module("tutti.capabilities.transcription.beats")
    with beats.readable_twice(source, options) as recording:
        heard: Transcription = listener.hear(recording, options, on_progress, cancelled)
        found, doubts = beats.find_beats(recording, heard.notes, heard.duration_s, options, on_progress, cancelled)
    return _finished(replace(heard, beats=found, warnings=(*heard.warnings, *doubts)), options)


def run_many(
    sources: Iterable[Source],
    options: Options,
    on_progress: OnProgress | None = None,
    cancelled: IsCancelled | None = None,
) -> Iterator[tuple[int, Transcription | InputError]]:
    """The notes of many recordings, numbered from 0, each as soon as it is done, in whatever order that is.

    Models of the MT3 family hear several at once, so that their batch is full; with `quantise`, and with other models,
    it is one after another. What cannot be read gives its error instead, and the rest goes on.
    `on_progress("transcribe", done_s, 0)` counts seconds of all of them. Raises as `run`, but for InputError.
    """
    listener, options = _listener(options)
    if hears_many(options):
        for number, heard in listener.hear_many(sources, options, on_progress, cancelled):
            yield number, _finished(heard, options) if isinstance(heard, Transcription) else heard
        return
    for number, source in enumerate(sources):
        try:
            yield number, run(source, options, on_progress, cancelled)
        except InputError as error:
            yield number, error


def hears_many(options: Options) -> bool:
    """Whether `run_many` is faster than `run` on one recording after another."""
    listener, _ = _listener(options)
    return options.quantise is None and hasattr(listener, "hear_many")


def stream(source: Source, options: Options, cancelled: IsCancelled | None = None) -> Iterator[Note]:
    """The notes of `source` as they become final, segment by segment, with models of the MT3 family.

    Within a segment they come by onset. Raises as `run`, and OptionError for another model, or for options that
    need all notes first.
    """
    listener, options = _listener(options)
    if not hasattr(listener, "hear_notes"):
        raise OptionError(f"{options.model} gives its notes at the end. Choose a model of the MT3 family, or run it.")
    if needy := [name for name in ("quantise", "filter_leakage") if getattr(options, name)]:
        raise OptionError(f"{' and '.join(needy)} can only be done when all notes are known. Leave it out.")
    return _streamed(listener.hear_notes(source, options, cancelled), options)


def _streamed(parts: Iterator[Any], options: Options) -> Iterator[Note]:
    for part in parts:
        yield from finish(part, options)


def lifecycle(options: Options) -> Any:
    """The steps of the model of `options`, a `lifecycle.Lifecycle`. Raises as `load`, and OptionError without any."""
    listener, options = _listener(options)
    if not hasattr(listener, "hear_notes"):
        raise OptionError(f"{options.model} has no such steps. Choose a model of the MT3 family, or call transcribe.")
    steps = import_module("tutti.capabilities.transcription.lifecycle")
    return steps.Lifecycle(listener.prepare(options))


def load(options: Options) -> None:
    """Have the model of `options` in memory. Raises WeightsError, DeviceError, MissingExtraError."""
    listener, options = _listener(options)
    listener.prepare(options)


def _listener(options: Options) -> tuple[Any, Options]:
    """The module that hears with the model of `options`, and the options with its defaults."""
    card = find_card(options.model)
    _check_purpose(card)
    name = "token_models" if "adapter" in card.config else "hearing_frames"
    listener = import_module(f"tutti.capabilities.transcription.{name}")
    if options.min_note_s is None:
        options = options.model_copy(update={"min_note_s": listener.MIN_NOTE_S})
    return listener, options


def _check_purpose(card: Card) -> None:
    if card.capability != "transcription":
        raise CardError(
            f"{card.name} is a model for {card.capability} in {card.framework}; choose another with --model."
        )


def _finished(heard: Transcription, options: Options) -> Transcription:
    notes = finish(heard.notes, options, heard.beats)
    warnings = heard.warnings if len(notes) else (*heard.warnings, _why_nothing(len(heard.notes)))
    return replace(heard, notes=notes, warnings=warnings)


def _why_nothing(found: int) -> str:
    if not found:
        return "no notes were found."
    return f"of {found} notes that were found, none was left by the options instruments, programs and min_note_s."
