"""Residual adds that every runtime rounds alike: the scale of each sum is moved until no sum lies near a tie.

A quantized add is round(a * ra + b * rb), its ratios ra and rb the operands' scales over the sum's. LiteRT (XNNPACK)
holds the ratios as integers of 21 bits and rounds ties upward; ONNX Runtime computes in float32 and rounds ties to
even. Both are right to a 4096th of a step, so they differ only where the exact sum comes that close to a tie, and one
such pair of integers in an early layer is enough to move a score by 0.04. There are 65,536 pairs, so all can be looked
at. To move the sum's scale by 0.05 % (on average; 0.5 % at most so far) takes every sum off the ties, for these
kernels and for any other that is as exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sono_models.errors import Refused
from sono_quantize.flatbuffer import Graph, Tensor, read_graph

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ERROR = 2.0**-12
"""How far a kernel's sum may be off, in steps of the result: two ratios of 21 bits, half a unit each, 255 steps."""
_STEP, _TRIES = 2.0**-18, 4096
_INTEGERS = np.arange(-128, 128)
_LOW, _HIGH = -128, 127
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def settle_sums(model: bytes) -> bytes:
    """The int8 .tflite with the scales of its sums moved, and the biases that stand on those scales rounded anew.

    Changed in place: every other byte stays. Raises Refused when a sum cannot be settled.
    """
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415  (train extra)

    graph, content = read_graph(model), bytearray(model)
    root = schema.Model.GetRootAs(content, 0)
    for operator in graph.operators:
        if operator.kind != "ADD":
            continue
        (index,) = operator.outputs
        first, second, result = (_Number(root, graph, each) for each in (*operator.inputs, index))
        scale = _settled(first, second, result, clamped=bool(operator.options.fusedActivationFunction))
        if scale != result.scale:
            result.scale = scale
            _rescale_biases(content, root, graph, index)
    return bytes(content)


def spare(first: Any, second: Any, result: Any) -> float:
    """How near a tie the nearest sum of two integers comes, as a multiple of a kernel's error: above 1 all agree.

    Each is a (scale, zero point). A sum that is clamped counts not.
    """
    scale, zero = float(result[0]), int(result[1])
    (left, right) = ((_INTEGERS - int(each[1])) * (float(each[0]) / scale) for each in (first, second))
    exact = np.add.outer(left, right) + zero
    reached = exact[(exact >= _LOW) & (exact <= _HIGH)]
    error = ERROR * max(1.0, float(first[0]) / scale, float(second[0]) / scale)
    return float(np.abs(reached - np.floor(reached) - 0.5).min()) / error


class _Number:
    """A tensor's scale and zero point where they stand in the file."""

    def __init__(self, root: Any, graph: Graph, index: int) -> None:
        self.tensor: Tensor = graph.tensors[index]
        table = root.Subgraphs(0).Tensors(index).Quantization()
        self._scale: NDArray[np.float32] = table.ScaleAsNumpy()
        self.zero = int(table.ZeroPoint(0))

    @property
    def scale(self) -> np.float32:
        return np.float32(self._scale[0])

    @scale.setter
    def scale(self, value: np.float32) -> None:
        self._scale[0] = value


def _settled(first: _Number, second: _Number, result: _Number, *, clamped: bool) -> np.float32:
    """The nearest scale to the sum's own that leaves no near tie; a `clamped` one is not to reach past its ReLU6."""
    for scale in _nearby(result.scale, upward=not clamped):
        if spare((first.scale, first.zero), (second.scale, second.zero), (scale, result.zero)) > 1:
            return scale
    raise Refused(
        result.tensor.name,
        "no scale near its own keeps its sums off the ties",
        "Calibrate on other pictures, or allow more tries in sono_quantize.sums",
    )


def _nearby(scale: np.float32, *, upward: bool) -> Iterator[np.float32]:
    """Itself, then 2^-18 less, 2^-18 more (if `upward`), and so on to 1.6 %."""
    yield scale
    for number in range(1, _TRIES + 1):
        yield np.float32(float(scale) * (1 - number * _STEP))
        if upward:
            yield np.float32(float(scale) * (1 + number * _STEP))


def _rescale_biases(content: bytearray, root: Any, graph: Graph, index: int) -> None:
    """A bias is in steps of its convolution's input scale times the weight's: follow the input's new scale."""
    scale, limits = _Number(root, graph, index).scale, np.iinfo(np.int32)
    for operator in graph.operators:
        if index not in operator.inputs or operator.kind == "ADD":
            continue
        if operator.kind not in _CONVOLUTIONS:
            raise Refused(operator.kind, "takes a sum, and shares its scale", "Put a convolution between them")
        weight, bias = (graph.tensors[each] for each in operator.inputs[1:])
        assert weight.quantization is not None
        table = root.Subgraphs(0).Tensors(operator.inputs[2])
        scales, integers = table.Quantization().ScaleAsNumpy(), _integers(content, root.Buffers(table.Buffer()))
        assert len(integers) == len(scales) == bias.shape[0], f"{bias.name}: not one scale for each bias"
        values = integers * scales.astype(np.float64)
        scales[:] = scale * weight.quantization.scale
        # a channel whose weights are all but zero has a bias at the end of int32 already: it stays there
        integers[:] = np.clip(np.rint(values / scales), limits.min, limits.max)


def _integers(content: bytearray, buffer: Any) -> NDArray[np.int32]:
    """A buffer of int32 where it stands, inside the flatbuffer or behind it."""
    if buffer.Offset() > 1:
        return np.frombuffer(content, np.int32, buffer.Size() // 4, buffer.Offset())
    return np.asarray(buffer.DataAsNumpy()).view(np.int32)
