"""int8 against float, and runtime against runtime, on labelled images and the device's own path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from sono_models import localisation, resampling
from sono_models.bundle import Bundle
from sono_models.errors import BadBundle, BadManifest
from sono_models.inputs import Grey, letterbox
from sono_models.localisation import Localised, localised
from sono_models.manifest import Manifest
from sono_models.reader import Reader, Reading, verified_reader
from sono_models.runtime import RUNTIMES, Raw
from sono_models.saliency import MALIGNANT
from sono_models.scoring import at_threshold, auroc, ece
from sono_models.table import Row, read_grey
from sono_models.uncertainty import Uncertainty
from sono_quantize.network import load_network, predict_all
from sono_quantize.parameters import bundle_differences

FLOAT = "float"
SHIPPED = "onnx"
"""The runtime whose map, box and raw score stand for the int8 model."""

Scores = NDArray[np.float64]
"""(n, 2): calibrated benign and malignant scores."""


@dataclass(frozen=True, slots=True)
class Sureness:
    """How sure the shipped runtime is of one row: see `sono_models.uncertainty`."""

    lo: float
    hi: float
    doubt: float
    thin: str | None


@dataclass(frozen=True, slots=True)
class Compared:
    """What each reader said of each row. `scores` has "onnx", "litert" and, with a run, "float"."""

    rows: Sequence[Row]
    truth: NDArray[np.bool_]
    scores: Mapping[str, Scores]
    raw: NDArray[np.float64]
    """(n,): the shipped runtime's malignant scores before calibration."""
    places: Sequence[Localised | None]
    """Of the shipped runtime, against the row's mask."""
    sureness: Sequence[Sureness | None]
    """Of the shipped runtime; None for a bundle that does not know."""
    threshold: float
    """Of the bundle, on calibrated malignant scores."""

    def malignant(self, reader: str) -> NDArray[np.float64]:
        return self.scores[reader][:, MALIGNANT]

    def reference(self) -> str:
        """What int8 is held against: the float network, else ONNX."""
        return FLOAT if FLOAT in self.scores else SHIPPED


@dataclass(frozen=True, slots=True)
class _FloatRuntime:
    """The float network behind the seam of a runtime, so that it takes the very same path."""

    network: Any

    def run(self, picture: Grey) -> Raw:
        return Raw.of([output[0] for output in predict_all(self.network, [picture])])


def read_all(bundle: Bundle, rows: Sequence[Row], run: Path | None) -> Compared:
    """Every row once by every reader. Without a run folder there is no float reader."""
    manifest = bundle.manifest
    readers = {name: verified_reader(bundle, bundle.runtime(name)) for name in RUNTIMES}
    if run is not None:
        readers[FLOAT] = _float_reader(run, manifest)  # type: ignore[index]
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
    raw: list[float] = []
    places: list[Localised | None] = []
    sureness: list[Sureness | None] = []
    for row in tqdm(rows, desc="compare", unit="image", disable=None):
        boxed, placement = letterbox(read_grey(row.image), manifest.input)
        for name, reader in readers.items():
            reading = reader.read_boxed(boxed, placement)
            scores[name].append((reading.benign, reading.malignant))
            if name == SHIPPED:
                raw.append(reading.pooled)
                places.append(localised(reading, placement, row))
                sureness.append(_sureness(manifest.uncertainty, reading))
    truth = np.array([row.label == manifest.labels[MALIGNANT] for row in rows])
    found = {name: np.array(each) for name, each in scores.items()}
    return Compared(rows, truth, found, np.array(raw), places, sureness, _threshold(bundle))


def _sureness(known: Uncertainty | None, reading: Reading) -> Sureness | None:
    if known is None:
        return None
    low, high = known.interval(reading.pooled)
    return Sureness(low, high, known.doubt(reading), known.thin(reading))


def figures(bundle: Bundle, compared: Compared) -> dict[str, Any]:
    """What `sono model compare --json` tells. Raises BadManifest when float has only one class to be judged on."""
    apart = np.abs(compared.scores["onnx"] - compared.scores["litert"]).max(axis=1)
    found: dict[str, Any] = {
        "n": len(compared.rows),
        "groups": len({row.group for row in compared.rows}),
        "positives": int(compared.truth.sum()),
        **_provenance(bundle),
        "threshold": compared.threshold,
        "same_parameters": not bundle_differences(bundle),
        "runtimes_max_diff": float(apart.max()),
        "runtimes_identical": int((apart == 0).sum()),
        "decision_agreement": _agreement(compared),
        "localisation": localisation.summary(compared.places),
        **_judged(compared),
        "float_auroc": None,
        "delta_auroc": None,
        "bootstrap": {"resamples": resampling.RESAMPLES, "seed": resampling.SEED, "unit": "group, paired"},
    }
    if FLOAT in compared.scores:
        _need_both_classes(compared)
        exact, ours = compared.malignant(FLOAT), compared.malignant(SHIPPED)
        found["float_auroc"] = found["auroc"][FLOAT]["value"]
        found["delta_auroc"] = paired_interval(compared.truth, exact, ours, _groups(compared))
        found["decisions"] = decisions(exact, ours, compared.threshold)
        found["score_moved_max"] = float(np.abs(exact - ours).max())
        found["score_moved_mean"] = float(np.abs(exact - ours).mean())
    return found


def paired_interval(
    truth: NDArray[np.bool_], exact: NDArray[np.float64], ours: NDArray[np.float64], groups: Sequence[str]
) -> dict[str, float]:
    """AUROC of ours minus that of exact, {value, lo, hi}: both on the same resampled groups, 95 % percentiles."""

    def delta(index: NDArray[np.int64]) -> float:
        return auroc(truth[index], ours[index]) - auroc(truth[index], exact[index])

    return resampling.interval(delta, truth, groups)


def decisions(exact: NDArray[np.float64], ours: NDArray[np.float64], threshold: float) -> dict[str, int]:
    """How often float and int8 call an image (score >= threshold): {both, neither, only_float, only_int8}."""
    before, after = exact >= threshold, ours >= threshold
    return {
        "both": int((before & after).sum()),
        "neither": int((~before & ~after).sum()),
        "only_float": int((before & ~after).sum()),
        "only_int8": int((~before & after).sum()),
    }


def _judged(compared: Compared) -> dict[str, Any]:
    """Of each reader: AUROC with its interval, sensitivity and specificity at the threshold, calibration error."""
    truth, groups = compared.truth, _groups(compared)
    names = list(compared.scores)
    if truth.all() or not truth.any():
        nothing = dict.fromkeys(names)
        return {"auroc": nothing, "int8_auroc": dict.fromkeys(RUNTIMES), "operating_point": nothing, "ece": nothing}
    areas: dict[str, dict[str, float]] = {}
    for name in names:
        ours = compared.malignant(name)
        areas[name] = resampling.interval(lambda index, ours=ours: auroc(truth[index], ours[index]), truth, groups)  # type: ignore[misc]
    return {
        "auroc": areas,
        "int8_auroc": {name: areas[name]["value"] for name in RUNTIMES},
        "operating_point": {name: at_threshold(compared.threshold, truth, compared.malignant(name)) for name in names},
        "ece": {name: ece(truth, compared.malignant(name)) for name in names},
    }


def _provenance(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "bundle": bundle.sha256,
        "name": manifest.name,
        "version": manifest.version,
        "recipe": manifest.provenance.recipe,
        "weights_sha256": manifest.provenance.weights_sha256,
        "calibration": msgspec.to_builtins(manifest.calibration),
    }


def _float_reader(run: Path, manifest: Manifest) -> Reader:
    torch.set_num_threads(1)
    network, handover = load_network(run)
    if handover.weights_sha256 != manifest.provenance.weights_sha256:
        raise BadBundle(
            f"{manifest.name} {manifest.version}", "was not made from this run's network", f"Name its run, not {run}"
        )
    return Reader(manifest, _FloatRuntime(network))  # type: ignore[arg-type]


def _groups(compared: Compared) -> list[str]:
    return [row.group for row in compared.rows]


def _threshold(bundle: Bundle) -> float:
    label = bundle.manifest.labels[MALIGNANT]
    point = next((point for point in bundle.manifest.operating_points if point.label == label), None)
    if point is None:
        raise BadBundle(str(bundle.path), f"has no operating point for {label}", "Pack it with one")
    return point.threshold


def _agreement(compared: Compared) -> float:
    """The lowest share of images on which a runtime decides as the reference."""
    called = {name: compared.malignant(name) >= compared.threshold for name in compared.scores}
    reference = called[compared.reference()]
    return min(float((called[name] == reference).mean()) for name in RUNTIMES)


def _need_both_classes(compared: Compared) -> None:
    if compared.truth.all() or not compared.truth.any():
        have = ", ".join(sorted({row.label for row in compared.rows}))
        raise BadManifest("the rows", f"must hold malignant and something else, they hold: {have}", "Choose others")
