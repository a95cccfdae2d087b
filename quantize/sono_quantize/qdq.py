"""The int8 TFLite model as an ONNX one with the same integers, its activations uint8.

ONNX Runtime's fast kernels on x86 take uint8 activations and int8 weights; a shift of 128 in every
activation's zero point gives them without changing a number. Weights, biases, scales and zero points are
copied, never computed again. Operators that are not listed in `_WRITERS` are refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sono_models.errors import Refused
from sono_quantize.flatbuffer import Graph, Operator, Tensor, read_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

OPSET, IR_VERSION = 18, 8
INPUT = "picture"
UNSIGNED = 128
"""From an int8 zero point to the uint8 one of the same number."""
_PADDING = ("SAME", "VALID")  # in the order of TFLite's schema
_FUSED = {0: None, 1: None, 3: 6.0}  # NONE, RELU (to no upper bound), RELU6
_NCHW = (0, 3, 1, 2)


def to_onnx(model: bytes, outputs: Sequence[str]) -> bytes:
    """int8 .tflite → .onnx: "picture" uint8 (1, 1, h, w) → float32 (1, channels, rows, columns) by these names."""
    graph = read_graph(model)
    writer = _Writer(graph)
    writer.number_input()
    for operator in graph.operators:
        write = _WRITERS.get(operator.kind)
        if write is None:
            known = ", ".join(sorted(_WRITERS))
            raise Refused(f"operator {operator.kind}", "the converter does not know it", f"It knows: {known}")
        write(writer, operator)
    writer.name_outputs(outputs)
    return bytes(writer.finish(outputs).SerializeToString())


@dataclass(slots=True)
class _Writer:
    """The ONNX graph while it grows. `values` maps a tensor of the .tflite to its float value's name."""

    graph: Graph
    nodes: list[Any] = field(default_factory=list)
    initializers: list[Any] = field(default_factory=list)
    values: dict[int, str] = field(default_factory=dict)

    def number_input(self) -> None:
        self.values[self.graph.input] = self._dequantize(INPUT, self._scale(self.graph.input, "in"))

    def name_outputs(self, names: Sequence[str]) -> None:
        """Each output is a value of its own: ONNX Runtime fuses a DequantizeLinear only when one node takes it."""
        for index, name in zip(self.graph.outputs, names, strict=True):
            value = self.values[index]
            (made,) = [node for node in self.nodes if value in node.output]
            if any(value in node.input for node in self.nodes):
                self.nodes.append(helper.make_node("DequantizeLinear", list(made.input), [name]))
            else:
                made.output[0] = name

    def constant(self, name: str, data: NDArray[Any]) -> str:
        self.initializers.append(numpy_helper.from_array(np.array(data, order="C"), name))
        return name

    def weight(self, index: int, name: str, data: NDArray[Any], *, source: Tensor) -> str:
        """A constant with its own scales, one an output channel, as the dequantized value's name."""
        assert source.quantization is not None
        scale, zero = source.quantization.scale, source.quantization.zero_point
        assert not zero.any(), f"{source.name} is not symmetric"
        assert len(scale) == data.shape[0], f"{source.name}: {len(scale)} scales for {data.shape[0]} channels"
        inputs = [self.constant(f"{name}{index}", data), self.constant(f"{name}{index}_scale", scale)]
        inputs.append(self.constant(f"{name}{index}_zero", np.zeros(len(scale), data.dtype)))
        output = f"{name}{index}_value"
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [output], f"{name}{index}", axis=0))
        return output

    def result(self, kind: str, inputs: list[str], operator: Operator, **attributes: Any) -> None:
        """One float operator, its output rounded to the integers that the .tflite gives it."""
        (index,) = operator.outputs
        self.nodes.append(helper.make_node(kind, inputs, [f"t{index}_float"], f"{kind}_{index}", **attributes))
        scale = self._scale(index, f"t{index}")
        self.nodes.append(helper.make_node("QuantizeLinear", [f"t{index}_float", *scale], [f"t{index}"]))
        self.values[index] = self._dequantize(f"t{index}", scale)

    def _dequantize(self, name: str, scale: tuple[str, str]) -> str:
        self.nodes.append(helper.make_node("DequantizeLinear", [name, *scale], [f"{name}_value"]))
        return f"{name}_value"

    def _scale(self, index: int, name: str) -> tuple[str, str]:
        scale, zero = per_tensor(self.graph.tensors[index])
        return (
            self.constant(f"{name}_scale", np.array(scale, np.float32)),
            self.constant(f"{name}_zero", np.array(zero + UNSIGNED, np.uint8)),
        )

    def finish(self, outputs: Sequence[str]) -> onnx.ModelProto:
        tensors = self.graph.tensors
        entry, *results = (
            [tensors[index].shape[axis] for axis in _NCHW] for index in (self.graph.input, *self.graph.outputs)
        )
        graph = helper.make_graph(
            self.nodes,
            "sonoedge",
            [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, entry)],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in zip(outputs, results, strict=True)
            ],
            self.initializers,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="sono_quantize")
        onnx.checker.check_model(model, full_check=True)
        return model


def per_tensor(tensor: Tensor) -> tuple[np.float32, int]:
    """(scale, int8 zero point) of an activation. Raises Refused when it is not int8."""
    if tensor.quantization is None or tensor.dtype != np.int8:
        raise Refused(tensor.name, f"an activation of type {tensor.dtype}", "Quantize the whole model to int8")
    (scale,), (zero,) = tensor.quantization.scale, tensor.quantization.zero_point
    return scale, int(zero)


def _convolution(writer: _Writer, operator: Operator) -> None:
    entry, weight, bias = (writer.graph.tensors[index] for index in operator.inputs)
    assert weight.data is not None
    assert bias.data is not None
    depthwise = operator.kind == "DEPTHWISE_CONV_2D"
    # TFLite: (1, h, w, out) depthwise, (out, h, w, in) else; ONNX: (out, in / groups, h, w)
    data = weight.data.transpose(3, 0, 1, 2) if depthwise else weight.data.transpose(0, 3, 1, 2)
    options = operator.options
    strides = (options.strideH, options.strideW)
    dilations = (options.dilationHFactor, options.dilationWFactor)
    if dilations != (1, 1):
        raise Refused(operator.kind, f"dilation {dilations}", "The converter knows dilation 1 only")
    _check_clamp(writer.graph.tensors[operator.outputs[0]], options.fusedActivationFunction)
    index = operator.outputs[0]
    inputs = [
        writer.values[operator.inputs[0]],
        writer.weight(index, "w", data, source=weight),
        writer.weight(index, "b", bias.data, source=bias),
    ]
    pads = _pads(_PADDING[options.padding], entry.shape[1:3], data.shape[2:4], strides)
    group = entry.shape[3] if depthwise else 1
    kernel = list(data.shape[2:4])
    writer.result("Conv", inputs, operator, kernel_shape=kernel, strides=strides, pads=pads, group=group)


def _pads(padding: str, size: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, int]) -> list[int]:
    """ONNX pads (top, left, bottom, right). SAME: enough for ceil(size / stride), the odd one after."""
    if padding == "VALID":
        return [0, 0, 0, 0]
    total = [
        max((-(-length // stride) - 1) * stride + window - length, 0)
        for length, window, stride in zip(size, kernel, strides, strict=True)
    ]
    before = [pad // 2 for pad in total]
    return before + [pad - half for pad, half in zip(total, before, strict=True)]


def _addition(writer: _Writer, operator: Operator) -> None:
    _check_clamp(writer.graph.tensors[operator.outputs[0]], operator.options.fusedActivationFunction)
    # ONNX Runtime fuses Add into a kernel whose rounding depends on the processor. Sum says the same and is left in
    # float32, the same on all. That TFLite, which adds integers, rounds it alike too is due to the scales (`sums`).
    writer.result("Sum", [writer.values[index] for index in operator.inputs], operator)


def _nearest(writer: _Writer, operator: Operator) -> None:
    source, result = (writer.graph.tensors[index] for index in (operator.inputs[0], operator.outputs[0]))
    # with whole factors, half pixel centres or not, every pixel is just repeated
    whole = all(after % before == 0 for before, after in zip(source.shape, result.shape, strict=True))
    if operator.options.alignCorners or not whole:
        raise Refused(operator.kind, f"from {source.shape} to {result.shape}", "The converter knows whole factors only")
    assert per_tensor(source) == per_tensor(result), "resizing changes no value, so no scale"
    sizes = np.array([result.shape[axis] for axis in _NCHW], np.int64)
    index = operator.outputs[0]
    inputs = [writer.values[operator.inputs[0]], "", "", writer.constant(f"t{index}_sizes", sizes)]
    writer.result(
        "Resize",
        inputs,
        operator,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _check_clamp(result: Tensor, activation: int) -> None:
    """A fused ReLU or ReLU6 must be what the output's integers clamp to anyway: then QDQ needs no operator for it."""
    if activation not in _FUSED:
        raise Refused(result.name, f"fused activation {activation}", "The converter knows none, ReLU and ReLU6")
    if activation == 0:
        return
    scale, zero = per_tensor(result)
    upper = _FUSED[activation]
    if zero != -UNSIGNED or (upper is not None and (127 - zero) * scale > upper + scale / 2):
        raise Refused(result.name, "its integers reach past its fused activation", "Calibrate it within 0 to 6")


_WRITERS: Mapping[str, Callable[[_Writer, Operator], None]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "ADD": _addition,
    "RESIZE_NEAREST_NEIGHBOR": _nearest,
}
