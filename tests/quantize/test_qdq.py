"""Two files, one set of integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from sono_models.errors import Refused
from sono_models.runtime import LiteRuntime, OnnxRuntime
from sono_quantize import qdq
from sono_quantize.flatbuffer import read_graph
from tests.support.runs import SIZE, Quantized, pictures

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]


def test_both_runtimes_give_the_same_logits(quantized: Quantized) -> None:
    onnx_runtime = OnnxRuntime((quantized.folder / "model.onnx").read_bytes())
    litert = LiteRuntime((quantized.folder / "model.tflite").read_bytes())
    raws = [(onnx_runtime.run(each), litert.run(each)) for each in pictures(24, seed=31)]
    for one, other in raws:
        for name in ("saliency", "features", "lesion"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_the_quantized_input_is_the_raw_pixel(quantized: Quantized) -> None:
    graph = read_graph((quantized.folder / "model.tflite").read_bytes())
    assert qdq.per_tensor(graph.tensors[graph.input]) == (np.float32(1 / 128), -1)
    model = onnx.load_from_string((quantized.folder / "model.onnx").read_bytes())
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    assert (constants["in_scale"], constants["in_zero"]) == (np.float32(1 / 128), 127)
    (entry,), (saliency, features, lesion) = model.graph.input, model.graph.output
    assert entry.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [size.dim_value for size in entry.type.tensor_type.shape.dim] == [1, 1, SIZE, SIZE]
    shapes = [[size.dim_value for size in each.type.tensor_type.shape.dim] for each in (saliency, features, lesion)]
    assert shapes == [[1, 2, SIZE // 16, SIZE // 16], [1, 96, SIZE // 16, SIZE // 16], [1, 1, SIZE // 8, SIZE // 8]]


def test_every_weight_bias_scale_and_zero_point_is_copied(quantized: Quantized) -> None:
    graph = read_graph((quantized.folder / "model.tflite").read_bytes())
    model = onnx.load_from_string((quantized.folder / "model.onnx").read_bytes())
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    convolutions = [each for each in graph.operators if each.kind.endswith("CONV_2D")]
    assert len(convolutions) == 56
    for each in convolutions:
        _, weight, bias = (graph.tensors[index] for index in each.inputs)
        result = each.outputs[0]
        assert weight.data is not None
        assert weight.quantization is not None
        assert np.array_equal(np.sort(weight.data.ravel()), np.sort(constants[f"w{result}"].ravel()))
        assert np.array_equal(weight.quantization.scale, constants[f"w{result}_scale"])
        assert np.array_equal(np.asarray(bias.data), constants[f"b{result}"])
        scale, zero = qdq.per_tensor(graph.tensors[result])
        assert (constants[f"t{result}_scale"], constants[f"t{result}_zero"]) == (scale, zero + 128)


def test_onnx_runtime_runs_integer_kernels(quantized: Quantized, tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    ort.InferenceSession((quantized.folder / "model.onnx").read_bytes(), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(str(tmp_path / "optimised.onnx")).graph.node]
    assert kinds.count("QLinearConv") == 56
    assert "Conv" not in kinds


def test_an_unknown_operator_is_named(quantized: Quantized, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(qdq._WRITERS, "RESIZE_NEAREST_NEIGHBOR")  # type: ignore[arg-type]
    with pytest.raises(Refused, match=r"RESIZE_NEAREST_NEIGHBOR.*does not know"):
        qdq.to_onnx((quantized.folder / "model.tflite").read_bytes(), ("saliency", "features", "lesion"))


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads"),
    [(8, 3, 1, [1, 1, 1, 1]), (8, 3, 2, [0, 0, 1, 1]), (8, 5, 2, [1, 1, 2, 2]), (7, 3, 2, [1, 1, 1, 1])],
)
def test_same_padding_puts_the_odd_one_after(size: int, kernel: int, stride: int, pads: list[int]) -> None:
    assert qdq._pads("SAME", (size, size), (kernel, kernel), (stride, stride)) == pads
    assert qdq._pads("VALID", (size, size), (kernel, kernel), (stride, stride)) == [0, 0, 0, 0]
