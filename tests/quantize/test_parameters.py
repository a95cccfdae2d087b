"""Whether two files carry the same integers, told by reading both."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sono_models.bundle import default_path, read
from sono_models.runtime import MODEL_FILE
from sono_quantize.parameters import parameters_equal

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def models() -> tuple[bytes, bytes]:
    bundle = read(default_path())
    return bundle.content(MODEL_FILE["onnx"]), bundle.content(MODEL_FILE["litert"])


def altered(model: bytes, kind: str, place: int, *, by: float) -> bytes:
    """The model with one number changed: of the `place`-th input of its first node of this kind that stores one."""
    parsed = onnx.load_from_string(model)
    constants = {each.name: each for each in parsed.graph.initializer}
    name = next(
        node.input[place] for node in parsed.graph.node if node.op_type == kind and node.input[place] in constants
    )
    values = numpy_helper.to_array(constants[name]).copy()
    values.reshape(-1)[0] += np.asarray(by, values.dtype)
    constants[name].CopyFrom(numpy_helper.from_array(values, name))
    return bytes(parsed.SerializeToString())


def test_the_bundle_that_ships_has_one_set(models: tuple[bytes, bytes]) -> None:
    assert parameters_equal(*models) == []


@pytest.mark.parametrize(
    ("kind", "place", "by", "what"),
    [
        ("DequantizeLinear", 0, 1, r"1 of \d+ integers differ"),  # a weight
        ("DequantizeLinear", 1, 1e-6, r"1 of \d+ scales differ"),  # the input's or a weight's
        ("DequantizeLinear", 2, 1, r"1 of \d+ zero points differ"),
        ("QuantizeLinear", 1, 1e-6, "1 of 1 scales differ"),  # an activation's
        ("QuantizeLinear", 2, 1, "1 of 1 zero points differ"),
    ],
)
def test_one_changed_number_is_told(models: tuple[bytes, bytes], kind: str, place: int, by: float, what: str) -> None:
    ours, theirs = models
    differences = parameters_equal(altered(ours, kind, place, by=by), theirs)
    assert any(re.search(what, line) for line in differences)


def test_a_missing_operator_is_told(models: tuple[bytes, bytes]) -> None:
    ours, theirs = models
    parsed = onnx.load_from_string(ours)
    last = next(node for node in reversed(parsed.graph.node) if node.op_type == "Conv")
    parsed.graph.node.remove(last)
    (line,) = parameters_equal(bytes(parsed.SerializeToString()), theirs)
    assert "operators differ" in line
