"""No sum near a tie: both runtimes' arithmetic, over every pair of integers."""

from __future__ import annotations

import numpy as np
import pytest

from sono_models.errors import Refused
from sono_quantize import sums
from sono_quantize.flatbuffer import Graph, read_graph
from tests.support.runs import Quantized

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]

_SEEN = ((0.3263569, -15), (0.22146446, 20), (0.37109095, -2))
"""The add that made six of 780 images differ."""


def _additions(graph: Graph) -> list[list[tuple[np.float32, int]]]:
    found = []
    for operator in graph.operators:
        if operator.kind == "ADD":
            each = [graph.tensors[index].quantization for index in (*operator.inputs, *operator.outputs)]
            found.append([(one.scale[0], int(one.zero_point[0])) for one in each if one is not None])
    return found


def _differing(first: tuple[float, int], second: tuple[float, int], result: tuple[float, int]) -> int:
    """Pairs that ONNX Runtime's float32 and XNNPACK's 21 bits round to different integers."""
    left, right = ((np.arange(-128, 128) - each[1]) for each in (first, second))
    scales = [np.float32(each[0]) for each in (first, second, result)]
    single = np.add.outer(left.astype(np.float32) * scales[0], right.astype(np.float32) * scales[1]) / scales[2]
    ratios = [float(scale / scales[2]) for scale in scales[:2]]
    shift = 20 - int(np.floor(np.log2(max(ratios))))
    held = [round(ratio * 2**shift) for ratio in ratios]
    fixed = (np.add.outer(left * held[0], right * held[1]) + (1 << (shift - 1))) >> shift
    one, other = (np.clip(each + result[1], -128, 127) for each in (np.rint(single).astype(int), fixed))
    return int((one != other).sum())


def test_the_runtimes_differ_where_a_sum_lies_near_a_tie() -> None:
    assert _differing(*_SEEN) == 3
    assert sums.spare(*_SEEN) < 0.02


def test_every_sum_is_off_the_ties(quantized: Quantized) -> None:
    found = _additions(read_graph((quantized.folder / "model.tflite").read_bytes()))
    assert len(found) == 11
    for each in found:
        assert sums.spare(*each) > 1
        assert _differing(*each) == 0


def test_settled_sums_stay_as_they_are(quantized: Quantized) -> None:
    model = (quantized.folder / "model.tflite").read_bytes()
    assert sums.settle_sums(model) == model


def test_biases_follow_the_scale_of_their_input(quantized: Quantized) -> None:
    graph = read_graph((quantized.folder / "model.tflite").read_bytes())
    for operator in graph.operators:
        if operator.kind.endswith("CONV_2D"):
            entry, weight, bias = (graph.tensors[index].quantization for index in operator.inputs)
            assert entry is not None
            assert weight is not None
            assert bias is not None
            assert np.array_equal(bias.scale, entry.scale * weight.scale)


def test_a_sum_that_cannot_be_settled_is_refused(quantized: Quantized, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "ERROR", 1.0)
    with pytest.raises(Refused, match="off the ties"):
        sums.settle_sums((quantized.folder / "model.tflite").read_bytes())
