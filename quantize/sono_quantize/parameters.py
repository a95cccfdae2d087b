"""Whether model.onnx and model.tflite carry the same integers: read from both files, by neither's writer.

The operators are walked in the order they run. What each takes and gives (weights, biases, scales, zero points) is
brought to one form, int8 with TFLite's layout, and compared number by number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from sono_models.bundle import Bundle
from sono_models.runtime import MODEL_FILE
from sono_quantize.flatbuffer import Graph, Operator, Tensor, read_graph

KINDS = {"CONV_2D": "Conv", "DEPTHWISE_CONV_2D": "Conv", "ADD": "Sum", "RESIZE_NEAREST_NEIGHBOR": "Resize"}
"""Operators of the .tflite, and what they are in the .onnx."""
OUTPUT = "output"
_LAYOUT = {"CONV_2D": (0, 2, 3, 1), "DEPTHWISE_CONV_2D": (1, 2, 3, 0)}
"""From ONNX's (out, in / groups, h, w) to TFLite's weights."""
_NUMBERS = ("DequantizeLinear", "QuantizeLinear")
_UNSIGNED = 128


@dataclass(frozen=True, slots=True)
class _Values:
    """One operand: its integers where they are stored, and what they stand for, (integer - zero) * scale."""

    name: str
    integers: NDArray[Any] | None
    scale: NDArray[np.float32]
    zero: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Step:
    """One operator with its operands, the result last."""

    name: str
    kind: str
    operands: tuple[_Values, ...]


def parameters_equal(model_onnx: bytes, model_tflite: bytes) -> list[str]:
    """What differs between the files' integers, a line each; empty when every one is the same."""
    ours, theirs = list(_onnx_steps(onnx.load_from_string(model_onnx))), list(_tflite_steps(read_graph(model_tflite)))
    if [step.kind for step in ours] != [KINDS.get(step.kind, step.kind) for step in theirs]:
        return [f"the operators differ: {len(ours)} in model.onnx, {len(theirs)} in model.tflite"]
    found: list[str] = []
    for mine, other in zip(ours, theirs, strict=True):
        found += _step_differences(mine, other)
    return found


def bundle_differences(bundle: Bundle) -> list[str]:
    """The same for a bundle's two models: a check of `sono model verify`."""
    return parameters_equal(bundle.content(MODEL_FILE["onnx"]), bundle.content(MODEL_FILE["litert"]))


def _step_differences(ours: _Step, theirs: _Step) -> list[str]:
    where = f"{theirs.kind} {theirs.name}"
    if len(ours.operands) != len(theirs.operands):
        return [f"{where}: {len(ours.operands)} operands against {len(theirs.operands)}"]
    found: list[str] = []
    for mine, other in zip(ours.operands, theirs.operands, strict=True):
        integers = mine.integers
        if integers is not None and integers.ndim == 4:
            integers = integers.transpose(_LAYOUT[theirs.kind])
        found += [
            f"{where}: {differing} of {other.name}"
            for differing in (
                _differing("integers", integers, other.integers),
                _differing("scales", mine.scale, other.scale),
                _differing("zero points", mine.zero, other.zero),
            )
            if differing
        ]
    return found


def _differing(what: str, ours: NDArray[Any] | None, theirs: NDArray[Any] | None) -> str | None:
    if ours is None and theirs is None:
        return None
    if ours is None or theirs is None or ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return f"the {what} are of another shape or type"
    count = int((ours != theirs).sum())
    return f"{count} of {ours.size} {what} differ" if count else None


def _tflite_steps(graph: Graph) -> Iterator[_Step]:
    for operator in graph.operators:
        result = graph.tensors[operator.outputs[0]]
        yield _Step(result.name, operator.kind, tuple(_tflite_values(each) for each in _operands(graph, operator)))
    for index in graph.outputs:
        yield _Step(graph.tensors[index].name, OUTPUT, (_tflite_values(graph.tensors[index]),))


def _operands(graph: Graph, operator: Operator) -> list[Tensor]:
    tensors = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
    return [tensor for tensor in tensors if tensor.quantization is not None]


def _tflite_values(tensor: Tensor) -> _Values:
    assert tensor.quantization is not None
    return _Values(tensor.name, tensor.data, tensor.quantization.scale, tensor.quantization.zero_point)


def _onnx_steps(model: onnx.ModelProto) -> Iterator[_Step]:
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    from_integers = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    to_integers = {node.input[0]: node for node in model.graph.node if node.op_type == "QuantizeLinear"}
    for node in model.graph.node:
        if node.op_type in _NUMBERS:
            continue
        numbered = [from_integers[name] for name in node.input if name in from_integers]
        numbered += [to_integers[name] for name in node.output if name in to_integers]
        yield _Step(node.name, node.op_type, tuple(_onnx_values(each, constants) for each in numbered))
    for output in model.graph.output:
        yield _Step(output.name, OUTPUT, (_onnx_values(from_integers[output.name], constants),))


def _onnx_values(node: Any, constants: Mapping[str, NDArray[Any]]) -> _Values:
    """The operand that a (de)quantizing node stands beside, uint8 shifted to int8."""
    entry, scale, zero = node.input
    shift = _UNSIGNED if constants[zero].dtype == np.uint8 else 0
    return _Values(
        entry,
        constants.get(entry),
        np.atleast_1d(constants[scale]),
        np.atleast_1d(constants[zero]).astype(np.int64) - shift,
    )
