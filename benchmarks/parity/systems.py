"""The models that are compared, and one comparison: upstream's answers beside ours on the same file of weights."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.parity.asking import ask
from benchmarks.parity.ours import Ours, export, load, timed
from benchmarks.parity.random_weights import RandomModel, random_tensors
from benchmarks.parity.signals import synthetic_recording
from benchmarks.parity.upstream_files import Setup, read_shapes, repeats_of, write_upstream
from tutti.capabilities.transcription.codec import EOS
from tutti.capabilities.transcription.conversion import convert
from tutti.capabilities.transcription.models.adapter import configured, find_adapter
from tutti.weights.cards import find_card

__all__ = [
    "ROWS",
    "SYSTEMS",
    "Answers",
    "Checkout",
    "Comparison",
    "Gaps",
    "Speed",
    "System",
    "compare",
    "compared",
    "teacher_tokens",
]

Checkout = Literal["mt3", "t5x", "mt3_pytorch", "mr_mt3", "yourmt3"]
Answers = Mapping[str, NDArray[Any]]

KEYS = Path(__file__).parents[2] / "tests/data/mt3"
SEED = 3
READ = 24
"""Ids per row that are read for the logits."""
_FEW = 4
ROWS = 32
"""Rows that we write at a time."""


@dataclass(frozen=True)
class System:
    """One model in one setting."""

    title: str
    model: str
    keys: str
    checkouts: tuple[Checkout, ...]
    settings: tuple[tuple[str, str], ...] = ()
    segments_per_song: int | None = None
    """Where songs matter to the model; else all segments are of one."""
    row_length: int = 300
    is_encoder_timed: bool = True
    """Whether upstream's loop, as it is timed, encodes as well."""
    hears_single_bins: bool = False
    """Whether frames are single bins of a spectrum, whose rounding shows where they are near 0. The network is then
    compared on upstream's features: behind a mixture of experts the last digit may choose another expert."""


SYSTEMS = (
    System("Magenta MT3", "mt3", "mt3_pytorch", ("mt3", "t5x")),
    System("MT3-PyTorch", "mt3_pytorch", "mt3_pytorch", ("mt3_pytorch",)),
    System(
        "MR-MT3, memory 64",
        "mr_mt3",
        "mr_mt3",
        ("mr_mt3",),
        (("memory_rows", "64"), ("mel_bank", "linear_in_hz")),
        segments_per_song=5,
    ),
    System(
        "MR-MT3, no memory",
        "mr_mt3",
        "mr_mt3",
        ("mr_mt3",),
        (("memory_rows", "0"), ("mel_bank", "linear_in_mel")),
    ),
    System("YMT3+", "ymt3_plus", "ymt3plus", ("yourmt3",), is_encoder_timed=False),
    System("YPTF single", "yptf_single", "yptf_single", ("yourmt3",), is_encoder_timed=False, hears_single_bins=True),
    System(
        "YPTF multi",
        "yptf_multi",
        "yptf_multi",
        ("yourmt3",),
        row_length=60,
        is_encoder_timed=False,
        hears_single_bins=True,
    ),
    System(
        "YPTF.MoE multi",
        "yptf_moe_multi",
        "yptf_moe",
        ("yourmt3",),
        row_length=60,
        is_encoder_timed=False,
        hears_single_bins=True,
    ),
)


@dataclass(frozen=True)
class Speed:
    """Tokens per second."""

    by_clock: float
    by_processor: float
    """Of processor time: what else the machine does counts less."""


@dataclass(frozen=True)
class Gaps:
    """The largest differences, absolute."""

    features: float
    states: float
    logits: float


@dataclass(frozen=True)
class Comparison:
    """What came out."""

    title: str
    gaps: Gaps
    segments: int
    equal_segments: int
    """Whose tokens are the same in every channel."""
    tokens: int
    rows: int
    margin: float
    """Of log-probability, between the likeliest token and the next where it was narrowest."""
    notes: int
    are_notes_equal: bool | None
    """None where upstream's were not asked for."""
    upstream: Speed
    ours: Speed
    alone: Speed
    """Ours with rows written one at a time."""
    onnx: Speed
    """Ours in onnxruntime."""
    onnx_equal_rows: int
    """Rows for which onnxruntime writes the tokens that torch writes."""


def compare(
    system: System, python: Path, checkouts: Mapping[Checkout, Path], segments: int, threads: int
) -> Comparison:
    """Write a file of random weights, convert it, and have both hear the same segments."""
    adapter = configured(find_adapter(system.model), dict(system.settings))
    random = RandomModel(
        adapter.codec, SEED, adapter.network.width, adapter.network.decoder_layers,
        adapter.network.logit_scale, system.row_length,
    )  # fmt: skip
    shapes = read_shapes(KEYS / f"keys_{system.keys}.txt")
    tensors = random_tensors(random, shapes, repeats_of(shapes))
    songs = _songs(segments, system.segments_per_song)
    heard = _recordings(songs, adapter.front_end.segment_samples)
    teacher = teacher_tokens(adapter.codec.size, (segments, adapter.channels, READ))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = write_upstream(Path(folder), Setup(system.model, adapter), tensors)
        settings = dict(system.settings)
        native = convert(checkpoint, find_card(system.model), settings=settings, is_any_file=True).tensors
        ours = load(adapter, native)
        places = [checkouts[name] for name in system.checkouts]
        spoken = songs if system.segments_per_song else ()
        theirs = ask(python, places, system.model, checkpoint, heard, teacher, threads, spoken)
        features = theirs["features"] if system.hears_single_bins else None
        own = ours.answers(heard, teacher, adapter.max_tokens, ROWS, songs, features)
        exported = export(ours, find_card(system.model), settings, Path(folder) / "onnx")
        heard_features = own["features"] if features is None else features
        onnx, *_ = exported.written(heard_features, adapter.max_tokens, ROWS, songs)
    return compared(system, theirs, own, _alone(ours, own, songs), onnx)


def _songs(segments: int, per_song: int | None) -> list[int]:
    if per_song is None:
        return [segments]
    return [min(per_song, segments - begin) for begin in range(0, segments, per_song)]


def _recordings(songs: Sequence[int], segment_samples: int) -> NDArray[np.float32]:
    parts = [synthetic_recording(SEED + song, count * segment_samples) for song, count in enumerate(songs)]
    return np.concatenate(parts).reshape(-1, segment_samples)


def teacher_tokens(size: int, shape: tuple[int, int, int]) -> NDArray[np.int64]:
    """(segments, channels, length) ids below `size`, ever others; each row begins with 0."""
    tokens = np.arange(np.prod(shape)).reshape(shape) * 37 % size
    tokens[:, :, 0] = 0
    return tokens


def _alone(ours: Ours, own: Answers, songs: Sequence[int]) -> Speed:
    """Of the first segments of the first song, rows one at a time."""
    few = own["features"][: min(songs[0], _FEW)]

    def work() -> int:
        states = ours.encode(few)
        return sum(map(len, ours.write(states, ours.adapter.max_tokens, 1, [len(few)])))

    seconds, tokens = timed(work)
    return _speed(tokens, seconds)


def compared(system: System, theirs: Answers, own: Answers, alone: Speed, onnx: Answers) -> Comparison:
    """Upstream's answers beside ours. Raises ValueError when they have other shapes."""
    pairs = zip(_flat(theirs["tokens"]), _flat(own["tokens"]), strict=True)
    rows = [(_row(upstream), _row(ours)) for upstream, ours in pairs]
    are_equal = np.array([np.array_equal(*pair) for pair in rows]).reshape(len(own["tokens"]), -1)
    tokens = int(own["tokens_decoded"])
    return Comparison(
        title=system.title,
        gaps=Gaps(*(_gap(theirs[part], own[part]) for part in ("features", "states", "logits"))),
        segments=len(are_equal),
        equal_segments=int(np.all(are_equal, axis=1).sum()),
        tokens=tokens,
        rows=len(rows),
        margin=float(own["margin"]),
        notes=len(own["notes"]),
        are_notes_equal=_same_notes(theirs["notes"], own["notes"]) if "notes" in theirs else None,
        upstream=_speed(sum(len(upstream) for upstream, _ in rows), theirs["seconds_decode"]),
        ours=_timed(system, own),
        alone=alone,
        onnx=_timed(system, onnx),
        onnx_equal_rows=sum(map(np.array_equal, map(_row, _flat(onnx["tokens"])), (ours for _, ours in rows))),
    )


def _timed(system: System, own: Answers) -> Speed:
    seconds = own["seconds_decode"] + system.is_encoder_timed * own["seconds_encode"]
    return _speed(int(own["tokens_decoded"]), seconds)


def _speed(tokens: int, seconds: NDArray[Any]) -> Speed:
    return Speed(*(tokens / seconds).tolist())


def _flat(tokens: NDArray[Any]) -> NDArray[Any]:
    return tokens.reshape(-1, tokens.shape[-1])


def _row(padded: NDArray[Any]) -> NDArray[Any]:
    """Without the padding behind it; a first EOS that does not end the row stays."""
    ends = np.flatnonzero(padded[1:] == EOS)
    return padded[: ends[0] + 2] if len(ends) else padded[: np.flatnonzero(padded)[-1] + 1 if padded.any() else 0]


def _gap(theirs: NDArray[Any], own: NDArray[Any]) -> float:
    if theirs.shape != own.shape:
        raise ValueError(f"upstream gave {theirs.shape}, we {own.shape}")
    return float(np.abs(theirs - own).max())


def _same_notes(theirs: NDArray[Any], own: NDArray[Any]) -> bool:
    """To the microsecond, in whatever order."""
    first, second = (notes[np.lexsort(notes.round(6).T)].round(6) for notes in (theirs, own))
    return np.array_equal(first, second)
