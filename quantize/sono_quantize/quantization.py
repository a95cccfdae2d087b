"""From a finished run to model.tflite, model.onnx and quantize.json."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from torch import fx

from sono_models.errors import BadConfig
from sono_models.handover import DEV, FIT, Handover, read_rows
from sono_models.inputs import Grey
from sono_models.runtime import MODEL_FILE, open_runtime
from sono_models.saliency import MALIGNANT
from sono_quantize.bias_correction import correct_biases, lift_weak_channels, with_grid_weights
from sono_quantize.distil import Schedule, distil
from sono_quantize.export import float_tflite
from sono_quantize.figures import Logits, change, logits_of, pooled, threshold_at
from sono_quantize.integers import int8_tflite
from sono_quantize.network import load_network, predict
from sono_quantize.pictures import choose, letterboxed, names_digest
from sono_quantize.qdq import to_onnx
from sono_quantize.recipe import DEFAULT, Plan

log = logging.getLogger(__name__)

REPORT = "quantize.json"
LOGITS = {"saliency", "lesion"}
SENSITIVITY = 0.90
"""Decisions are compared where the float network finds this share of the malignant pictures of the dev split."""
_PARTS = ("torch", "litert-torch", "litert-quantizer", "ai-edge-litert", "onnx", "onnxruntime")


@dataclass(frozen=True, slots=True)
class Measured:
    """The dev pictures, what the float network says of them, and the threshold decisions are compared at."""

    pictures: Sequence[Grey]
    exact: Logits
    threshold: float


def quantize_run(run: Path, roots: Mapping[str, Path], out: Path, plan: Plan = DEFAULT) -> dict[str, Any]:
    """Write the two models and their report into `out`; returns the report."""
    network, handover = load_network(run)
    log.info("%d channels are all but dead and were lifted for their bias's sake", lift_weak_channels(network))
    rows = choose(read_rows(run / FIT, roots), max(plan.calibration, plan.finetune), seed=handover.seed)
    every = letterboxed(rows, handover.input, title="training images")
    rows, pictures = rows[: plan.calibration], every[: plan.calibration]
    measured = _measure(run, roots, network, handover)
    log.info("correcting the biases on %d pictures", min(plan.correction, len(pictures)))
    corrected = correct_biases(network, pictures[: plan.correction])
    ways: dict[str, fx.GraphModule] = {"corrected": corrected}
    if plan.finetune:
        schedule = Schedule(plan.epochs, plan.batch, plan.rate, handover.seed)
        ways["finetuned"] = distil(network, corrected, every[: plan.finetune], schedule)
    if plan.plain:
        ways["plain"] = with_grid_weights(network)
    models = _models(ways["finetuned" if plan.finetune else "corrected"], handover, pictures)
    report = {
        "weights_sha256": handover.weights_sha256,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in models.items()},
        "bytes": {name: len(content) for name, content in models.items()},
        "calibration": {"images": len(rows), "names_sha256": names_digest(rows), "corrected_on": plan.correction},
        "finetuned_on": min(plan.finetune, len(every)),
        "recipe": msgspec.to_builtins(plan),
        "dev_images": len(measured.pictures),
        "threshold": measured.threshold,
        "weights_only": {
            "plain": _change(measured, predict(with_grid_weights(network), measured.pictures), handover),
            "corrected": _change(measured, predict(corrected, measured.pictures), handover),
        },
        "int8": _int8(ways, models, handover, pictures, measured, lesser=plan.plain),
        "made_with": {name: version(name) for name in _PARTS},
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, content in models.items():
        (out / name).write_bytes(content)
    (out / REPORT).write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return report


def _measure(run: Path, roots: Mapping[str, Path], network: fx.GraphModule, handover: Handover) -> Measured:
    rows = read_rows(run / DEV, roots)
    positive = np.array([row.label == handover.labels[MALIGNANT] for row in rows])
    if not positive.any():
        raise BadConfig(str(run / DEV), "holds no malignant image", "Train with a larger dev_share")
    pictures = letterboxed(rows, handover.input, title="dev split")
    exact = predict(network, pictures)
    scores = pooled(exact, handover.pooling)[:, MALIGNANT]
    return Measured(pictures, exact, threshold_at(SENSITIVITY, scores, positive))


def _models(network: Any, handover: Handover, pictures: Sequence[Grey]) -> dict[str, bytes]:
    exact = float_tflite(network, handover.input, len(handover.outputs))
    logits = [number for number, name in enumerate(handover.outputs) if name in LOGITS]
    tflite = int8_tflite(exact, pictures, logits)
    return {MODEL_FILE["litert"]: tflite, MODEL_FILE["onnx"]: to_onnx(tflite, handover.outputs)}


def _int8(
    ways: Mapping[str, fx.GraphModule],
    models: Mapping[str, bytes],
    handover: Handover,
    pictures: Sequence[Grey],
    measured: Measured,
    *,
    lesser: bool,
) -> dict[str, Any]:
    """The figures of the way to int8 that ships, of the `lesser` ones if asked, and how far the two files are apart."""
    litert = logits_of(open_runtime("litert", models[MODEL_FILE["litert"]]), measured.pictures)
    onnx = logits_of(open_runtime("onnx", models[MODEL_FILE["onnx"]]), measured.pictures)
    difference = np.abs(pooled(litert, handover.pooling) - pooled(onnx, handover.pooling))
    shipped = "finetuned" if "finetuned" in ways else "corrected"
    found: dict[str, Any] = {
        "shipped": shipped,
        shipped: _change(measured, onnx, handover),
        "runtimes_max_diff": float(difference.max()),
        "runtimes_equal_maps": int((litert == onnx).all(axis=(1, 2, 3)).sum()),
    }
    for name in sorted(ways.keys() - {shipped}) if lesser else ():
        other = _models(ways[name], handover, pictures)[MODEL_FILE["onnx"]]
        found[name] = _change(measured, logits_of(open_runtime("onnx", other), measured.pictures), handover)
    return found


def _change(measured: Measured, ours: Logits, handover: Handover) -> dict[str, Any]:
    return change(measured.exact, ours, handover.pooling, measured.threshold)
