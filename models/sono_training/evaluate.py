"""Measure a bundle on labelled images, on the device's own path: its letterbox, its runtime, its calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from sono_models import localisation
from sono_models.bundle import Bundle
from sono_models.errors import BadManifest
from sono_models.inputs import letterbox
from sono_models.localisation import Localised, localised
from sono_models.reader import Reader, verified_reader
from sono_models.runtime import RuntimeName
from sono_models.saliency import BENIGN, MALIGNANT
from sono_models.table import Row, read_grey
from sono_training import statistics as figures


@dataclass(frozen=True, slots=True)
class Read:
    """One image as the bundle read it, and how well it pointed at the lesion, when there is a mask."""

    row: Row
    benign: float
    malignant: float
    place: Localised | None


def open_readers(bundle: Bundle, runtimes: Sequence[RuntimeName]) -> dict[RuntimeName, Reader]:
    """All of them before any image is read: raises BadConfig for one that is not installed, BadBundle."""
    return {name: verified_reader(bundle, bundle.runtime(name)) for name in runtimes}


def read_rows(readers: Mapping[RuntimeName, Reader], rows: Sequence[Row]) -> dict[RuntimeName, list[Read]]:
    """Every image once, in order, by every reader, with a progress bar."""
    reads: dict[RuntimeName, list[Read]] = {name: [] for name in readers}
    for row in tqdm(rows, desc="evaluate", unit="image", disable=None):
        picture = read_grey(row.image)
        for name, reader in readers.items():
            boxed, placement = letterbox(picture, reader.spec)
            reading = reader.read_boxed(boxed, placement)
            place = localised(reading, placement, row)
            reads[name].append(Read(row, reading.benign, reading.malignant, place))
    return reads


def report(bundle: Bundle, reads: Sequence[Read], target: str) -> dict[str, Any]:
    """The figures of one runtime. Raises BadManifest when the table lacks the target or its opposite."""
    truth = np.array([read.row.label == target for read in reads])
    if truth.all() or not truth.any():
        have = ", ".join(sorted({read.row.label for read in reads}))
        raise BadManifest(
            f"target {target!r}", f"the rows must hold it and something else, they hold: {have}", "Choose other rows"
        )
    scores = np.array(
        [read.malignant if target == bundle.manifest.labels[MALIGNANT] else read.benign for read in reads]
    )
    groups = [read.row.group for read in reads]
    point = next((p for p in bundle.manifest.operating_points if p.label == target), None)
    return {
        "n": len(reads),
        "groups": len(set(groups)),
        "positives": int(truth.sum()),
        "auroc": figures.interval(figures.auroc, truth, scores, groups),
        "auprc": figures.interval(figures.auprc, truth, scores, groups),
        "ece": figures.ece(truth, scores),
        "sens_at_spec90": figures.sensitivity_at(0.9, truth, scores),
        "spec_at_sens90": figures.specificity_at(0.9, truth, scores),
        "operating_point": figures.at_threshold(point.threshold, truth, scores) if point else None,
        "localisation": localisation.summary([read.place for read in reads]),
    }


def check_target(bundle: Bundle, target: str) -> None:
    labels = bundle.manifest.labels
    if target not in (labels[BENIGN], labels[MALIGNANT]):
        raise BadManifest(f"target {target!r}", "the bundle has no such label", f"It has: {', '.join(labels)}")
