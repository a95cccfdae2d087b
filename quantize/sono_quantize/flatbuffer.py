"""A .tflite file as plain values: its tensors and operators, in the order they run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Quantization:
    """value = (integer - zero_point) * scale; one scale, or one an index of `axis`."""

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor; `data` is set for constants, `quantization` for integers that stand for numbers."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    data: NDArray[Any] | None
    quantization: Quantization | None


@dataclass(frozen=True, slots=True)
class Operator:
    """`kind` is the name in TFLite's schema; `options` its table of options (None where it has none)."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any


@dataclass(frozen=True, slots=True)
class Graph:
    """The only subgraph of a model with one input; `outputs` in the file's order."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    input: int
    outputs: tuple[int, ...]


def read_graph(model: bytes) -> Graph:
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415  (train extra)

    parsed = schema.ModelT.InitFromPackedBuf(model, 0)
    (subgraph,) = parsed.subgraphs
    kinds = _names(schema.BuiltinOperator)
    dtypes = {
        getattr(schema.TensorType, name.upper()): np.dtype(name) for name in ("float32", "int8", "int32", "int64")
    }
    contents = [_content(buffer, model) for buffer in parsed.buffers]
    tensors = tuple(_tensor(tensor, contents[tensor.buffer], dtypes) for tensor in subgraph.tensors)
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in parsed.operatorCodes]
    operators = tuple(
        Operator(
            kinds[codes[operator.opcodeIndex]],
            tuple(int(index) for index in operator.inputs),
            tuple(int(index) for index in operator.outputs),
            operator.builtinOptions,
        )
        for operator in subgraph.operators
    )
    (entry,) = subgraph.inputs
    return Graph(tensors, operators, int(entry), tuple(int(index) for index in subgraph.outputs))


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _content(buffer: Any, model: bytes) -> NDArray[np.uint8] | None:
    """A buffer's bytes: inside the flatbuffer, or behind it at an offset (how litert-quantizer writes them)."""
    if buffer.offset > 1:
        return np.frombuffer(model, np.uint8, buffer.size, buffer.offset)
    return None if buffer.data is None or len(buffer.data) == 0 else np.asarray(buffer.data, np.uint8)


def _tensor(raw: Any, content: NDArray[np.uint8] | None, dtypes: dict[int, np.dtype[Any]]) -> Tensor:
    dtype = dtypes[raw.type]
    shape = tuple(int(size) for size in raw.shape)
    data = None if content is None else content.view(dtype).reshape(shape)
    quantization = None
    if raw.quantization is not None and raw.quantization.scale is not None:
        quantization = Quantization(
            np.asarray(raw.quantization.scale, np.float32),
            np.asarray(raw.quantization.zeroPoint, np.int64),
            int(raw.quantization.quantizedDimension),
        )
    return Tensor(raw.name.decode(), shape, dtype, data, quantization)
