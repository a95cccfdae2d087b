"""Measure a bundle on labelled images, on the device's own path: its letterbox, its runtime, its calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from sono_models.bundle import Bundle
from sono_models.errors import BadManifest
from sono_models.inputs import Box, letterbox
from sono_models.reader import Reader, verified_reader
from sono_models.runtime import RuntimeName
from sono_models.saliency import BENIGN, MALIGNANT, point
from sono_models.table import Row, read_grey, read_mask
from sono_training import statistics as figures


@dataclass(frozen=True, slots=True)
class Read:
    """One image as the bundle read it. `hit`: the peak of the maps lies on the lesion; `iou` of the boxes."""

    row: Row
    benign: float
    malignant: float
    hit: bool | None
    iou: float | None


def read_rows(bundle: Bundle, runtime: RuntimeName, rows: Sequence[Row]) -> list[Read]:
    """Every image once, in order, with a progress bar."""
    reader = verified_reader(bundle, bundle.runtime(runtime))
    return [_read(reader, row) for row in tqdm(rows, desc=runtime, unit="image", disable=None)]


def _read(reader: Reader, row: Row) -> Read:
    boxed, placement = letterbox(read_grey(row.image), reader.spec)
    reading = reader.read_boxed(boxed, placement)
    if row.mask is None or not row.mask.is_file() or not (mask := read_mask(row.mask)).any():
        return Read(row, reading.benign, reading.malignant, None, None)
    lesion = reading.saliency.max(axis=0)
    line, column = divmod(int(lesion.argmax()), lesion.shape[1])
    cell = Box(
        column / lesion.shape[1], line / lesion.shape[0], (column + 1) / lesion.shape[1], (line + 1) / lesion.shape[0]
    )
    x, y = placement.to_picture(cell).centre()
    height, width = mask.shape
    hit = bool(mask[min(int(y * height), height - 1), min(int(x * width), width - 1)])
    box = placement.to_picture(point(lesion))
    return Read(row, reading.benign, reading.malignant, hit, box.iou(_bounds(mask)))


def _bounds(mask: Any) -> Box:
    ys, xs = np.nonzero(mask)
    height, width = mask.shape
    return Box(
        float(xs.min()) / width, float(ys.min()) / height, float(xs.max() + 1) / width, float(ys.max() + 1) / height
    )


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
        "localisation": _localisation(reads),
    }


def _localisation(reads: Sequence[Read]) -> dict[str, float | int] | None:
    """`pointing_hit`: the peak of the maps lies on the lesion; `box_recall_iou50`: their box meets the mask's."""
    hits = [read.hit for read in reads if read.hit is not None]
    ious = [read.iou for read in reads if read.iou is not None]
    if not hits:
        return None
    recall = float(np.mean([iou >= 0.5 for iou in ious]))
    return {"n": len(hits), "pointing_hit": float(np.mean(hits)), "box_recall_iou50": recall}


def check_target(bundle: Bundle, target: str) -> None:
    labels = bundle.manifest.labels
    if target not in (labels[BENIGN], labels[MALIGNANT]):
        raise BadManifest(f"target {target!r}", "the bundle has no such label", f"It has: {', '.join(labels)}")
