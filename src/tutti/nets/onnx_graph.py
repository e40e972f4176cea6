"""ONNX graphs written node by node, from weights by name.

Written out rather than traced from torch: a trace cannot keep keys and values where they are, and torch's exporter
needs another package. Besides ONNX's own operators a few of onnxruntime's are used (domain com.microsoft), all there
since onnxruntime 1.19.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["MICROSOFT", "OPSET", "Graph", "OnnxPrecision", "Weights"]

OPSET = 18
_IR_VERSION = 9
"""What onnxruntime reads since 1.15; onnx itself would write the newest."""
MICROSOFT = "com.microsoft"

Weights = Mapping[str, NDArray[Any]]
OnnxPrecision = Literal["fp32", "int8"]
"""`int8`: matrices in 8 bits, one scale per output; what goes in is quantised on the way, one scale per row, so that
what a row gives does not depend on the others. On x86 CPUs without VNNI, sums of two products may saturate."""
Kind = Literal["float32", "int32", "int64", "uint8"]

_SMALLEST_SCALE = np.float32(1e-12)
_ZERO_POINT = np.uint8(128)
_ROW_ZERO_POINTS = "row_zero_points"


class Graph:
    """Nodes on the way to a file; values are known by their names."""

    def __init__(self, name: str, weights: Weights, precision: OnnxPrecision = "fp32") -> None:
        self.name, self.weights, self.precision = name, weights, precision
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str, kind: Kind, *sizes: int | str) -> str:
        """A value the caller gives; a size that is a word may vary."""
        self._inputs.append(helper.make_tensor_value_info(name, _element(kind), sizes))
        return name

    def output(self, name: str, kind: Kind, *sizes: int | str) -> None:
        """Declare the value `name` to be an answer."""
        self._outputs.append(helper.make_tensor_value_info(name, _element(kind), sizes))

    def constant(self, value: NDArray[Any] | np.generic | Sequence[int]) -> str:
        """A tensor; sequences of integers are int64."""
        name = self._new_name("constant")
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name))
        return name

    def weight(self, name: str) -> str:
        return self.constant(self.weights[name])

    def add(self, operator: str, *inputs: str, name: str = "", domain: str = "", **attributes: Any) -> str:
        """A node with one output, called `name` or something new; an empty input is left out."""
        return self.add_many(operator, inputs, [name or self._new_name(operator)], domain, **attributes)[0]

    def add_many(
        self, operator: str, inputs: Sequence[str], outputs: int | Sequence[str], domain: str = "", **attributes: Any
    ) -> Sequence[str]:
        """A node with several outputs: so many new ones, or those named; an empty name is one not wanted."""
        names = [self._new_name(operator) for _ in range(outputs)] if isinstance(outputs, int) else outputs
        self._nodes.append(helper.make_node(operator, inputs, names, domain=domain, **attributes))
        return names

    def _new_name(self, of: str) -> str:
        self._count += 1
        return f"{of}.{self._count}"

    def linear(self, x: str, *names: str) -> str:
        """`x` (..., inputs) times the weights `names`, (outputs, inputs) each: all outputs side by side.

        In int8, `x` is (rows, 1, inputs), and there must be `row_zero_points`.
        """
        matrix = np.concatenate([self.weights[name] for name in names]).T
        return self.add("MatMul", x, self.constant(matrix)) if self.precision == "fp32" else self._int8(x, matrix)

    def row_zero_points(self, like: str) -> None:
        """Make what int8 products need, for as many rows as the value `like` (rows,) has."""
        if self.precision == "int8":
            self.add("Expand", self.constant(_ZERO_POINT), self.add("Shape", like), name=_ROW_ZERO_POINTS)

    def _int8(self, x: str, matrix: NDArray[np.float32]) -> str:
        scales = np.maximum(np.abs(matrix).max(axis=0) / np.float32(127), _SMALLEST_SCALE)
        weight = np.round(matrix / scales).astype(np.int8)
        largest = self.add("ReduceMax", self.add("Abs", x), self.constant([1, 2]), keepdims=0)
        row_scales = self.add("Max", self.add("Mul", largest, self.constant(np.float32(1 / 127))), self._smallest)
        rounded = self.add("QuantizeLinear", x, row_scales, _ROW_ZERO_POINTS, axis=0)
        parts = (weight, np.float32(1), scales, _ZERO_POINT)
        product = self.add("MatMulIntegerToFloat", rounded, *map(self.constant, parts), domain=MICROSOFT)
        return self.add("Mul", product, self.add("Unsqueeze", row_scales, self.constant([1, 2])))

    @property
    def _smallest(self) -> str:
        return self.constant(_SMALLEST_SCALE)

    def to_bytes(self) -> bytes:
        """The graph as an ONNX file."""
        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, self._constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="tutti")
        return model.SerializeToString()  # type: ignore[no-any-return]


def _element(kind: Kind) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(kind))
