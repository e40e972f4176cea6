"""The stem of `note_stem` as a part of an ONNX graph; names of weights are those there, batch norms folded away."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from tutti.audio.segment_features import SegmentFrontEnd
from tutti.capabilities.transcription.families import FAMILIES
from tutti.capabilities.transcription.models.next_events import (
    BEGINS_FROM,
    PEAK_FRAMES,
    SOUNDS_FROM,
    codes_of_frames,
)
from tutti.capabilities.transcription.models.note_stem import (
    LATE_FRAMES,
    LEAST_SHARP,
    LEVEL_SCALE,
    LEVEL_SHIFT,
    NOTE_FEATURES,
    SHARPNESS,
    bands_to_bins,
)
from tutti.capabilities.transcription.models.tutti_notes import HARMONICS, OCTAVES, PITCHES, STEP, NotesNetConfig
from tutti.music.drum_kit import DRUM_CLASSES
from tutti.nets.onnx_graph import Graph

__all__ = ["add_note_stem"]

_NOTES = "stem.hearing.notes"


def add_note_stem(graph: Graph, frames: str, front_end: SegmentFrontEnd) -> str:
    """`frames` (rows, frames, 2 · bands) to what the stem hears, (rows, frames / STEP, STEM_FEATURES)."""
    return _Writer(graph, front_end, NotesNetConfig()).whole(frames)


class _Writer:
    def __init__(self, graph: Graph, front_end: SegmentFrontEnd, config: NotesNetConfig) -> None:
        self.graph, self.front_end, self.config = graph, front_end, config

    def whole(self, frames: str) -> str:
        config, graph = self.config, self.graph
        levels = self._levels(frames)
        columns = self._relu_convolution(levels, "stem.0", pads=[1, 2, 1, 2])
        per = graph.weights[f"{_NOTES}.fold.0.weight"].shape[3]
        columns = self._relu_convolution(columns, "fold.0", pads=[1, 0, 1, 0], strides=[STEP, per])
        spectrum = self._spectrum(columns)
        pitches = graph.add(
            "Add", self._gathered(columns, "harmonics", HARMONICS), graph.weight(self._of("register_of_pitch"))
        )
        pitches = graph.add("Add", pitches, self._convolution(spectrum, "context"))
        half = config.blocks // 2
        for index in range(half):
            pitches = self._block(pitches, f"early.{index}", (3, 1))
        pitches = graph.add(
            "Add", pitches, self._gathered(self._convolution(pitches, "octaves.squeeze"), "octaves", OCTAVES)
        )
        for index in range(config.blocks - half):
            pitches = self._block(pitches, f"late.{index}", (3, 1))
        return self._features(self._convolution(pitches, "head"), self._convolution(spectrum, "drum_head"))

    def _of(self, name: str) -> str:
        return f"{_NOTES}.{name}"

    def _levels(self, frames: str) -> str:
        """(rows, 2, frames, bins)."""
        graph, front_end = self.graph, self.front_end
        pairs = graph.add("Reshape", frames, graph.constant([0, 0, 2, front_end.bands]))
        pairs = graph.add("Transpose", pairs, perm=[0, 2, 1, 3])
        # what is cut off at the end comes in at the beginning, as silence
        late = graph.add("Pad", pairs, graph.constant([0, 0, LATE_FRAMES, 0, 0, 0, -LATE_FRAMES, 0]))
        bins = graph.add("MatMul", late, graph.constant(bands_to_bins(front_end)))
        scaled = graph.add("Mul", bins, graph.constant(np.float32(LEVEL_SCALE)))
        return graph.add("Relu", graph.add("Add", scaled, graph.constant(np.float32(LEVEL_SHIFT))))

    def _convolution(self, x: str, name: str, **attributes: Any) -> str:
        parts = (self.graph.weight(self._of(f"{name}.{part}")) for part in ("weight", "bias"))
        return self.graph.add("Conv", x, *parts, **attributes)

    def _relu_convolution(self, x: str, name: str, **attributes: Any) -> str:
        return self.graph.add("Relu", self._convolution(x, name, **attributes))

    def _block(self, x: str, name: str, padding: tuple[int, int]) -> str:
        groups = len(self.graph.weights[self._of(f"{name}.body.0.weight")])
        inner = self._convolution(x, f"{name}.body.0", pads=[*padding, *padding], group=groups)
        inner = self._convolution(self._relu_convolution(inner, f"{name}.body.2"), f"{name}.body.4")
        return self.graph.add("Add", x, inner)

    def _gathered(self, columns: str, name: str, intervals: tuple[int, ...]) -> str:
        """Each pitch and the columns at `intervals` from it, mixed; see `tutti_notes`."""
        graph = self.graph
        below = -min(intervals)
        width = PITCHES + below + max(intervals)
        padded = graph.add("Pad", columns, graph.constant([0, 0, 0, below, 0, 0, 0, width]))  # zeros, more than enough
        taps = [self._slice(padded, below + interval, PITCHES) for interval in intervals]
        return self._relu_convolution(graph.add("Concat", *taps, axis=1), f"{name}.mix.0")

    def _slice(self, x: str, first: int, count: int, axis: int = 3) -> str:
        constant = self.graph.constant
        return self.graph.add("Slice", x, constant([first]), constant([first + count]), constant([axis]))

    def _spectrum(self, columns: str) -> str:
        """(rows, spectrum width, steps, 1)."""
        graph = self.graph
        bands = self._relu_convolution(columns, "spectrum.reduce.0", strides=[1, 4])
        size = graph.weights[self._of("spectrum.join.weight")].shape[1]
        stacked = graph.add("Transpose", bands, perm=[0, 1, 3, 2])
        stacked = graph.add("Reshape", stacked, graph.constant([0, size, -1, 1]))
        x = self._convolution(stacked, "spectrum.join")
        for index in range(self.config.spectrum_blocks):
            x = self._block(x, f"spectrum.body.{index}", (4, 0))
        return x

    def _features(self, out: str, drums: str) -> str:
        """`out` (rows, channels, steps, 88) and `drums` (rows, 2 · STEP · classes, steps, 1); see `note_features`."""
        graph = self.graph
        onset = graph.add("Sigmoid", self._slice(out, 0, STEP, axis=1))
        frame = graph.add("Sigmoid", self._slice(out, 2 * STEP, STEP, axis=1))
        sounds = graph.add("ReduceMax", graph.add("Max", onset, frame), graph.constant([1]), keepdims=1)
        family = graph.add("Softmax", self._slice(out, 3 * STEP + 1, len(FAMILIES), axis=1), axis=1)
        settled = self._decided(graph.add("Mul", family, sounds))
        by_pitch = graph.add("Concat", onset, frame, settled, axis=1)  # (rows, 2 · STEP + families, steps, 88)
        by_step = graph.add("Transpose", by_pitch, perm=[0, 2, 1, 3])
        drum_features = STEP * len(DRUM_CLASSES)
        flat = graph.add("Reshape", by_step, graph.constant([0, 0, NOTE_FEATURES - drum_features]))
        hits = graph.add("Sigmoid", self._slice(drums, 0, drum_features, axis=1))
        hits = graph.add("Squeeze", hits, graph.constant([3]))  # (rows, STEP · classes, steps)
        flat_hits = graph.add("Transpose", hits, perm=[0, 2, 1])
        hits = graph.add("Reshape", hits, graph.constant([0, STEP, len(DRUM_CLASSES), -1]))
        hits = graph.add("Transpose", hits, perm=[0, 1, 3, 2])
        strikes = graph.add("Concat", self._by_frame(onset), self._by_frame(hits), axis=1)
        return graph.add("Concat", flat, flat_hits, *self._next_events(strikes, self._by_frame(frame)), axis=2)

    def _decided(self, family: str) -> str:
        """`family` (rows, families, steps, 88) as `decided` leaves it."""
        graph, axis = self.graph, self.graph.constant([1])
        sharp = graph.add("Pow", family, graph.constant(np.float32(SHARPNESS)))
        total = graph.add("Max", graph.add("ReduceSum", sharp, axis), graph.constant(np.float32(LEAST_SHARP)))
        return graph.add("Mul", graph.add("Div", sharp, total), graph.add("ReduceSum", family, axis))

    def _by_frame(self, x: str) -> str:
        """(rows, STEP, steps, n) to (rows, n, frames)."""
        turned = self.graph.add("Transpose", x, perm=[0, 3, 2, 1])
        return self.graph.add("Reshape", turned, self.graph.constant([0, 0, self.front_end.frames]))

    def _next_events(self, strikes: str, sounds: str) -> tuple[str, str]:
        """As `next_events` has it: codes of the next begins, and of the next ends."""
        graph, half = self.graph, PEAK_FRAMES // 2
        likeliest = graph.add("MaxPool", strikes, kernel_shape=[PEAK_FRAMES], pads=[half, half])
        is_peak = graph.add(
            "And", graph.add("Equal", strikes, likeliest), graph.add("Greater", strikes, self._before(strikes))
        )
        is_begin = graph.add("And", is_peak, self._is_from(BEGINS_FROM, strikes))
        was_held = self._is_from(SOUNDS_FROM, self._before(sounds))
        is_end = graph.add("And", was_held, graph.add("Not", self._is_from(SOUNDS_FROM, sounds)))
        return self._next_codes(is_begin), self._next_codes(is_end)

    def _before(self, x: str) -> str:
        """What was a frame earlier; 0 at first."""
        return self.graph.add("Pad", x, self.graph.constant([0, 0, 1, 0, 0, -1]))

    def _is_from(self, least: float, x: str) -> str:
        return self.graph.add("GreaterOrEqual", x, self.graph.constant(np.float32(least)))

    def _next_codes(self, happens: str) -> str:
        """Of what `happens` (rows, n, frames), the code of the first time from each step on."""
        graph, count = self.graph, self.front_end.frames
        frames = np.arange(count, dtype=np.float32)
        to_come = np.where(frames >= frames[::STEP, None], frames, count)  # (steps, frames)
        somewhere = graph.add("ReduceMax", graph.add("Cast", happens, to=TensorProto.FLOAT), graph.constant([1]))
        somewhere = graph.add("Cast", somewhere, to=TensorProto.BOOL)  # (rows, 1, frames)
        coming = graph.add("Where", somewhere, graph.constant(to_come), graph.constant(np.float32(count)))
        number = graph.add(
            "Cast", graph.add("ReduceMin", coming, graph.constant([2]), keepdims=0), to=TensorProto.INT64
        )
        return graph.add("Gather", graph.constant(codes_of_frames(count)), number)
