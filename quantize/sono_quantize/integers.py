"""From the float TFLite model to the int8 one: this is where the one set of integers is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sono_quantize.sums import settle_sums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sono_models.inputs import Grey

INPUT_RANGE = (-127 / 128, 128 / 128)
"""Gives scale 1/128 and zero point -1, so that the quantized input is the pixel XOR 0x80."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """How the ranges of the activations are chosen from what calibration saw."""

    widen_output: float = 1.6
    """A logit's range is stretched about its middle: calibration pictures do not reach the extremes."""


def int8_tflite(model: bytes, pictures: Sequence[Grey], logits: Sequence[int], ranges: Ranges = Ranges()) -> bytes:
    """Static int8: weights per output channel, activations by the smallest and largest value calibration saw.

    The scales of residual sums are then moved a little, so that every runtime rounds them alike (`sums`).
    `logits` are the numbers of the outputs whose range is widened.
    """
    from litert_quantizer import Quantizer, recipe  # noqa: PLC0415  (heavy)

    quantizer = Quantizer(bytearray(model), recipe.static_wi8_ai8())
    seen = _calibrate(model, pictures)
    entry, results = _ends(model)
    seen[entry] = _range(*INPUT_RANGE)
    for number in logits:
        found = seen[results[number]]
        low, high = float(found["min"].min()), float(found["max"].max())
        middle, half = (low + high) / 2, (high - low) / 2 * ranges.widen_output
        seen[results[number]] = _range(middle - half, middle + half)
    result = quantizer.quantize(seen, enable_progress_bar=False, enable_progress_report=False)
    assert result.quantized_model is not None
    return settle_sums(bytes(result.quantized_model))


def _calibrate(model: bytes, pictures: Sequence[Grey]) -> dict[str, Any]:
    from litert_quantizer import calibrator, recipe, recipe_manager  # noqa: PLC0415
    from litert_quantizer.utils.qsv_utils import min_max_update  # noqa: PLC0415

    wanted = recipe_manager.RecipeManager()
    wanted.load_quantization_recipe(recipe.static_wi8_ai8())
    calibration = calibrator.Calibrator(bytearray(model), num_threads=1, qsv_update_func=min_max_update)
    (signature,) = calibration.get_signature_list()
    calibration.calibrate({signature: [{"args_0": _as_input(picture)} for picture in pictures]}, wanted)
    return dict(calibration.get_model_qsvs())


def _as_input(picture: Grey) -> NDArray[np.float32]:
    return ((picture.astype(np.float32) - 127.0) / 128.0)[None, :, :, None]


def _range(low: float, high: float) -> dict[str, NDArray[np.float32]]:
    return {"min": np.full((1, 1, 1, 1), low, np.float32), "max": np.full((1, 1, 1, 1), high, np.float32)}


def _ends(model: bytes) -> tuple[str, tuple[str, ...]]:
    """The names of the model's input and output tensors."""
    from sono_quantize.flatbuffer import read_graph  # noqa: PLC0415

    graph = read_graph(model)
    return graph.tensors[graph.input].name, tuple(graph.tensors[index].name for index in graph.outputs)
