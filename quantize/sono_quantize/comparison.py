"""int8 against float, and runtime against runtime, on labelled images and the device's own path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from tqdm import tqdm

from sono_models.bundle import Bundle
from sono_models.errors import BadBundle, BadManifest
from sono_models.inputs import Grey
from sono_models.manifest import Manifest
from sono_models.reader import Reader, verified_reader
from sono_models.runtime import RUNTIMES
from sono_models.saliency import MALIGNANT
from sono_models.table import Row, read_grey
from sono_quantize.network import load_network, predict

RESAMPLES = 1000
SEED = 12645
FLOAT = "float"

Scores = NDArray[np.float64]
"""(n, 2): calibrated benign and malignant scores."""


@dataclass(frozen=True, slots=True)
class _FloatRuntime:
    """The float network behind the seam of a runtime, so that it takes the very same path."""

    network: Any

    def saliency(self, picture: Grey) -> NDArray[np.float32]:
        return np.asarray(predict(self.network, [picture])[0], np.float32)


def compare_bundle(bundle: Bundle, rows: Sequence[Row], run: Path | None) -> dict[str, Any]:
    """The figures of `sono model compare`. Without a run folder the two runtimes are compared with each other."""
    manifest = bundle.manifest
    readers = {name: verified_reader(bundle, bundle.runtime(name)) for name in RUNTIMES}
    if run is not None:
        readers[FLOAT] = _float_reader(run, manifest)  # type: ignore[index]
    scores = _read(readers, rows)
    truth = np.array([row.label == manifest.labels[MALIGNANT] for row in rows])
    threshold = _threshold(bundle)
    found: dict[str, Any] = {
        "n": len(rows),
        "groups": len({row.group for row in rows}),
        "bundle": bundle.sha256,
        "runtimes_max_diff": float(np.abs(scores["onnx"] - scores["litert"]).max()),
        "decision_agreement": _agreement(scores, threshold),
        "int8_auroc": {name: _auroc_or_none(truth, scores[name]) for name in RUNTIMES},
        "float_auroc": None,
        "delta_auroc": None,
        "bootstrap": {"resamples": RESAMPLES, "seed": SEED, "unit": "group, paired"},
    }
    if FLOAT in scores:
        _need_both_classes(truth, rows)
        exact, ours = scores[FLOAT][:, MALIGNANT], scores["onnx"][:, MALIGNANT]
        found["float_auroc"] = _auroc_or_none(truth, scores[FLOAT])
        found["delta_auroc"] = paired_interval(truth, exact, ours, [row.group for row in rows])
        found["score_moved_max"] = float(np.abs(exact - ours).max())
        found["score_moved_mean"] = float(np.abs(exact - ours).mean())
    return found


def paired_interval(
    truth: NDArray[np.bool_], exact: NDArray[np.float64], ours: NDArray[np.float64], groups: Sequence[str]
) -> dict[str, float]:
    """AUROC of ours minus that of exact, {value, lo, hi}: both on the same resampled groups, 95 % percentiles."""

    def delta(index: NDArray[np.int64]) -> float:
        return auroc(truth[index], ours[index]) - auroc(truth[index], exact[index])

    low, high = np.percentile(_resample(delta, truth, groups), [2.5, 97.5])
    return {"value": delta(np.arange(len(truth))), "lo": float(low), "hi": float(high)}


def auroc(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """By ranks (Mann and Whitney 1947), ties count half: the figure of scikit-learn in a fiftieth of the time."""
    positives = int(truth.sum())
    pairs = positives * (len(truth) - positives)
    return float((rankdata(scores)[truth].sum() - positives * (positives + 1) / 2) / pairs)


def _resample(
    figure: Callable[[NDArray[np.int64]], float], truth: NDArray[np.bool_], groups: Sequence[str]
) -> list[float]:
    """The figure on RESAMPLES draws of groups with replacement; a draw of one class only is drawn again."""
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(numbers == number) for number in range(int(numbers.max()) + 1)]
    rng = np.random.default_rng(SEED)
    draws: list[float] = []
    while len(draws) < RESAMPLES:
        index = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        if truth[index].any() and not truth[index].all():
            draws.append(figure(index))
    return draws


def _float_reader(run: Path, manifest: Manifest) -> Reader:
    torch.set_num_threads(1)
    network, handover = load_network(run)
    if handover.weights_sha256 != manifest.provenance.weights_sha256:
        raise BadBundle(
            f"{manifest.name} {manifest.version}", "was not made from this run's network", f"Name its run, not {run}"
        )
    return Reader(manifest, _FloatRuntime(network))  # type: ignore[arg-type]


def _read(readers: Mapping[Any, Reader], rows: Sequence[Row]) -> dict[str, Scores]:
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
    for row in tqdm(rows, desc="compare", unit="image", disable=None):
        picture = read_grey(row.image)
        for name, reader in readers.items():
            reading = reader.read(picture)
            scores[name].append((reading.benign, reading.malignant))
    return {name: np.array(found) for name, found in scores.items()}


def _threshold(bundle: Bundle) -> float:
    label = bundle.manifest.labels[MALIGNANT]
    point = next((point for point in bundle.manifest.operating_points if point.label == label), None)
    if point is None:
        raise BadBundle(str(bundle.path), f"has no operating point for {label}", "Pack it with one")
    return point.threshold


def _agreement(scores: Mapping[str, Scores], threshold: float) -> float:
    """The lowest share of images on which a runtime decides as the reference: the float network, else ONNX."""
    decisions = {name: found[:, MALIGNANT] >= threshold for name, found in scores.items()}
    reference = decisions.get(FLOAT, decisions["onnx"])
    return min(float((decisions[name] == reference).mean()) for name in RUNTIMES)


def _auroc_or_none(truth: NDArray[np.bool_], scores: Scores) -> float | None:
    if truth.all() or not truth.any():
        return None
    return auroc(truth, scores[:, MALIGNANT])


def _need_both_classes(truth: NDArray[np.bool_], rows: Sequence[Row]) -> None:
    if truth.all() or not truth.any():
        have = ", ".join(sorted({row.label for row in rows}))
        raise BadManifest("the rows", f"must hold malignant and something else, they hold: {have}", "Choose others")
