"""Hearing with a model of the MT3 family: which network computes where, by which rules, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib import import_module

from tutti import __version__
from tutti.audio.reading import Source
from tutti.audio.resampling import QUALITY
from tutti.capabilities.transcription.families import family_of_program
from tutti.capabilities.transcription.hearing_tokens import Backend, Ended, Failed, NewNotes, Settings
from tutti.capabilities.transcription.hearing_tokens import hear as hear_all
from tutti.capabilities.transcription.models.adapter import Adapter, DecodingRule
from tutti.capabilities.transcription.quirks import Quirk, Variant, kept_quirks
from tutti.capabilities.transcription.token_rows import DecodingReport, TokenNote
from tutti.capabilities.transcription.types import Options, Provenance, Transcription
from tutti.capabilities.transcription.ymt3_programs import general_midi_program, upstream_midi_program
from tutti.errors import Cancelled, CardError, InputError, OptionError
from tutti.music.notes import Note, Notes
from tutti.weights.cards import Card, find_card

__all__ = ["MIN_NOTE_S", "TokenModel", "hear", "hear_many", "hear_notes", "open_model", "prepare", "to_notes"]

MIN_NOTE_S = 0.0
"""The shortest note of these models is 10 ms, by their own rules."""

_SEGMENTS_AT_ONCE = 32
_SEGMENTS_AT_ONCE_IN_CHANNELS = 8
"""Fewer: each is a row in every channel."""
_LAST_PROGRAM = 127

OnProgress = Callable[[str, float, float], None]
IsCancelled = Callable[[], bool]


@dataclass(frozen=True)
class TokenModel:
    """A network where it computes, and the rules it is used by."""

    card: Card
    """Its sha256 is that of the weights in use."""
    backend: Backend
    settings: Settings
    variant: Variant
    warnings: tuple[str, ...] = ()


def prepare(options: Options) -> TokenModel:
    """The model of `options`, from memory when it was used before.

    Raises WeightsError, DeviceError, MissingExtraError, OptionError for options the model has no use for.
    """
    return open_model(find_card(options.model), options)


def open_model(card: Card, options: Options) -> TokenModel:
    """As `prepare`, for a card that has been found."""
    if options.onset_threshold is not None:
        raise OptionError(f"{card.name} has no onset threshold: it writes tokens. Leave onset_threshold out.")
    variant = options.variant or _default_variant(card)
    opened = import_module(f"tutti.capabilities.transcription.{_OPENERS[options.backend]}").open_backend(
        card, options.device, options.precision, lambda adapter: _as_variant(adapter, variant, options)
    )
    adapter: Adapter = opened.adapter
    unknown = set(options.except_quirks) - adapter.quirks
    if unknown:
        raise OptionError(
            f"{card.name} has no quirk {' and '.join(sorted(unknown))}. It has: {', '.join(sorted(adapter.quirks))}."
        )
    kept = kept_quirks(adapter.quirks, variant, options.except_quirks)
    per_segment = _SEGMENTS_AT_ONCE if adapter.channels == 1 else _SEGMENTS_AT_ONCE_IN_CHANNELS
    settings = Settings(
        adapter=adapter,
        decoding=_decoding(adapter, kept),
        kept=kept,
        rows=(options.batch or per_segment) * adapter.channels,
        banned=_banned(adapter, options, kept),
    )
    return TokenModel(opened.card, opened.backend, settings, variant, opened.warnings)


def _decoding(adapter: Adapter, kept: frozenset[Quirk]) -> DecodingRule:
    if adapter.decoding == "t5x_beam1" and "eos_when_second" not in kept:
        return "greedy"
    return adapter.decoding


_OPENERS = {"auto": "torch_backend", "torch": "torch_backend", "onnx": "onnx_backend", "jax": "jax_backend"}


def _default_variant(card: Card) -> Variant:
    variant = card.config.get("variant", "faithful")
    if variant not in ("faithful", "corrected"):
        raise CardError(f"The card of {card.name} says variant = {variant!r}. Use faithful or corrected.")
    return variant  # type: ignore[no-any-return]


def _as_variant(adapter: Adapter, variant: Variant, options: Options) -> Adapter:
    """The one quirk that is in the network itself."""
    kept = kept_quirks(adapter.quirks, variant, options.except_quirks)
    if "position_table" in adapter.quirks and "position_table" not in kept:
        return replace(adapter, network=replace(adapter.network, positions="magenta"))
    return adapter


def _banned(adapter: Adapter, options: Options, kept: frozenset[Quirk]) -> tuple[int, ...]:
    """Tokens of the programs that are not allowed, so that their notes go to those that are."""
    if not options.programs:
        return ()
    to_program = _to_program(adapter, kept)
    allowed = {*options.programs, *(p for p in range(128) if family_of_program(p) in options.instruments)}
    last = _LAST_PROGRAM if "allow_list_off_by_one" in kept else _LAST_PROGRAM + 1
    return tuple(adapter.codec.encode("program", p) for p in range(last) if to_program(p) not in allowed)


def _to_program(adapter: Adapter, kept: frozenset[Quirk]) -> Callable[[int], int]:
    if adapter.notes != "ymt3":
        return int
    return upstream_midi_program if "grouped_programs" in kept else general_midi_program


def hear(
    source: Source, options: Options, on_progress: OnProgress | None, cancelled: IsCancelled | None
) -> Transcription:
    """Every note of `source` that the model of `options` finds, as yet unfinished.

    `on_progress("transcribe", done_s, total_s)` follows along. Raises InputError, Cancelled, and as `prepare`.
    """
    for _, heard in hear_many([source], options, on_progress, cancelled):
        if isinstance(heard, InputError):
            raise heard
        return heard
    raise AssertionError("one recording gives one answer")


def hear_many(
    sources: Iterable[Source], options: Options, on_progress: OnProgress | None, cancelled: IsCancelled | None
) -> Iterator[tuple[int, Transcription | InputError]]:
    """As `hear` for recordings numbered from 0, several at once; what cannot be read gives its error."""
    model = prepare(options)
    notes: dict[int, list[Note]] = {}
    written_s: dict[int, float] = {}
    for event in hear_all(sources, model.backend, model.settings, _check(cancelled)):
        if isinstance(event, NewNotes):
            notes.setdefault(event.number, []).extend(to_notes(event.notes, model.settings))
            written_s[event.number] = event.written_s
            if on_progress is not None:
                total_s = event.duration_s if len(written_s) == 1 else 0.0
                on_progress("transcribe", sum(written_s.values()), total_s)
        elif isinstance(event, Failed):
            notes.pop(event.number, None)
            yield event.number, event.error
        else:
            yield event.number, _transcription(model, options, event, notes.pop(event.number, []))


def hear_notes(source: Source, options: Options, cancelled: IsCancelled | None) -> Iterator[Notes]:
    """The notes of `source` in parts, each as soon as no later segment can change it."""
    model = prepare(options)
    for event in hear_all([source], model.backend, model.settings, _check(cancelled)):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, NewNotes) and (notes := to_notes(event.notes, model.settings)):
            yield Notes.of(notes)


def _check(cancelled: IsCancelled | None) -> Callable[[], None]:
    def check() -> None:
        if cancelled is not None and cancelled():
            raise Cancelled("Stopped on request; nothing was written.")

    return check


def to_notes(written: Iterable[TokenNote], settings: Settings) -> list[Note]:
    """Notes with General MIDI programs of a model's, without those that it was not sure enough of."""
    to_program = _to_program(settings.adapter, settings.kept)
    least = settings.adapter.least_confidence
    return [
        replace(note.to_note(), program=0 if note.is_drum else to_program(note.program))
        for note in written
        if note.confidence is None or note.confidence >= least
    ]


def _transcription(model: TokenModel, options: Options, ended: Ended, notes: list[Note]) -> Transcription:
    return Transcription(
        notes=Notes.of(notes),
        duration_s=ended.duration_s,
        provenance=_provenance(model, options, ended),
        warnings=(*ended.warnings, *model.warnings, *_doubts(ended.report)),
    )


def _doubts(report: DecodingReport) -> Iterator[str]:
    """What in the tokens speaks against the notes."""
    if report.unended_rows:
        yield (
            f"{report.unended_rows} of {report.rows} segments ran out of tokens before their end; notes at their ends "
            "may be missing."
        )
    if report.discarded_rows:
        yield f"{report.discarded_rows} of {report.rows} segments were dropped, as upstream drops them; see variant."
    if report.cut_notes:
        yield f"{report.cut_notes} long notes were cut to 10 ms, as upstream cuts them; see variant."


def _provenance(model: TokenModel, options: Options, ended: Ended) -> Provenance:
    adapter, settings = model.settings.adapter, model.settings
    rules = {
        "variant": model.variant,
        "quirks": sorted(settings.kept),
        "decoding": settings.decoding,
        "rows": settings.rows,
        "codec": adapter.codec.name,
        "front_end": asdict(adapter.front_end),
        "position_table": adapter.network.positions,
        "memory_rows": adapter.memory_rows,
        "least_confidence": adapter.least_confidence,
        "velocities": "heard" if adapter.codec.velocity_bins > 1 else "unknown, the same for all",
        "resampler": f"soxr {QUALITY}",
    }
    return Provenance(
        tutti_version=__version__,
        model=model.card.name,
        weights_sha256=model.card.sha256,
        device=model.backend.device,
        precision=model.backend.precision,
        source=ended.name,
        options={**options.model_dump(mode="json"), "rules": rules, "tokens": asdict(ended.report)},
    )
