"""What corruptions of the picture cost a bundle: AUROC, decisions, and the score under a pasted caliper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sono_models import resampling
from sono_models.bundle import Bundle
from sono_models.errors import BadBundle
from sono_models.inputs import Box
from sono_models.localisation import bounds
from sono_models.reader import verified_reader
from sono_models.runtime import RuntimeName
from sono_models.saliency import MALIGNANT
from sono_models.scoring import auroc
from sono_models.table import Row, read_grey, read_mask
from sono_training.corruptions import CORRUPTIONS, TWELVE, corrupt

CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class Corrupted:
    """Calibrated malignant scores of every row: clean, and under each corruption of CORRUPTIONS."""

    rows: Sequence[Row]
    scores: dict[str, NDArray[np.float64]]


def read_corrupted(bundle: Bundle, runtime: RuntimeName, rows: Sequence[Row], severity: int) -> Corrupted:
    """Every image is read once and corrupted before the letterbox, as on its way to the device."""
    reader = verified_reader(bundle, bundle.runtime(runtime))
    found: dict[str, list[float]] = {name: [] for name in (CLEAN, *CORRUPTIONS)}
    for row in tqdm(rows, desc="robustness", unit="image", disable=None):
        picture, lesion = read_grey(row.image), _lesion(row)
        found[CLEAN].append(reader.read(picture).malignant)
        for name in CORRUPTIONS:
            # the file's name, not its path: the same draw wherever the data lies
            changed = corrupt(picture, name, severity=severity, image=row.image.name, lesion=lesion)
            found[name].append(reader.read(changed).malignant)
    return Corrupted(rows, {name: np.array(each) for name, each in found.items()})


def _lesion(row: Row) -> Box | None:
    if row.mask is None:
        return None
    mask = read_mask(row.mask)
    return bounds(mask) if mask.any() else None


def report(bundle: Bundle, read: Corrupted, severity: int) -> dict[str, Any]:
    """The figures of `sono model robustness`. A drop is AUROC clean minus AUROC corrupted, on the same draws of groups.

    Raises BadBundle without a frozen threshold, BadManifest when the rows hold one class only.
    """
    label = bundle.manifest.labels[MALIGNANT]
    point = next((point for point in bundle.manifest.operating_points if point.label == label), None)
    if point is None:
        raise BadBundle(str(bundle.path), f"has no operating point for {label}", "Pack it with one")
    truth = np.array([row.label == label for row in read.rows])
    groups = [row.group for row in read.rows]
    drawn = list(resampling.draws(truth, groups))
    clean = read.scores[CLEAN]
    before = _areas(truth, clean, drawn)
    each = {
        name: {**_decided(truth, clean, found, point.threshold), **_dropped(before, _areas(truth, found, drawn))}
        for name, found in read.scores.items()
        if name != CLEAN
    }
    twelve = {name: _worse(ways, each) for name, ways in TWELVE.items()}
    worst = max(twelve, key=lambda name: twelve[name]["drop"]["value"])
    moved = np.abs(read.scores["caliper"] - clean)
    return {
        "n": len(read.rows),
        "groups": len(set(groups)),
        "positives": int(truth.sum()),
        "severity": severity,
        "threshold": point.threshold,
        "auroc": before.whole,
        "corruptions": twelve,
        "both_ways": {way: each[way] for ways in TWELVE.values() if len(ways) > 1 for way in ways},
        "worst": worst,
        "worst_drop": twelve[worst]["drop"],
        "caliper_p95_change": float(np.percentile(moved, 95)),
        "bootstrap": {"resamples": resampling.RESAMPLES, "seed": resampling.SEED, "unit": "group, paired"},
    }


@dataclass(frozen=True, slots=True)
class _Areas:
    """AUROC on all rows, and on each draw of groups."""

    whole: float
    draws: NDArray[np.float64]


def _areas(truth: NDArray[np.bool_], scores: NDArray[np.float64], drawn: Sequence[NDArray[np.int64]]) -> _Areas:
    return _Areas(auroc(truth, scores), np.array([auroc(truth[index], scores[index]) for index in drawn]))


def _dropped(clean: _Areas, corrupted: _Areas) -> dict[str, Any]:
    """Paired: both on the same draws."""
    low, high = np.percentile(clean.draws - corrupted.draws, resampling.LEVEL)
    drop = {"value": clean.whole - corrupted.whole, "lo": float(low), "hi": float(high)}
    return {"auroc": corrupted.whole, "drop": drop}


def _decided(
    truth: NDArray[np.bool_], clean: NDArray[np.float64], corrupted: NDArray[np.float64], threshold: float
) -> dict[str, float]:
    called = corrupted >= threshold
    return {
        "decisions_kept": float((called == (clean >= threshold)).mean()),
        "sens": float(called[truth].mean()),
        "spec": float((~called[~truth]).mean()),
        "p95_change": float(np.percentile(np.abs(corrupted - clean), 95)),
    }


def _worse(ways: Sequence[str], each: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The way that costs more, with its name."""
    way = max(ways, key=lambda name: float(each[name]["drop"]["value"]))
    return {"way": way, **each[way]}
