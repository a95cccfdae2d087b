"""Calibration and the operating point, from the int8 model's own scores on the dev split. Tests stay unopened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from sono_models.errors import Refused
from sono_models.handover import Handover
from sono_models.law import AlertLaw
from sono_models.manifest import OperatingPoint
from sono_models.saliency import MALIGNANT, Calibration
from sono_models.table import Row
from sono_quantize.figures import Scores, threshold_at

SENSITIVITY = 0.90
LOW_SHARE = 0.6
"""An alert ends below this share of the threshold that raises it."""


@dataclass(frozen=True, slots=True)
class Operating:
    """What the dev split fixes."""

    calibration: dict[str, Calibration]
    point: OperatingPoint
    law: AlertLaw
    dev: dict[str, float]
    """{images, malignant, sens, spec} at the threshold, on the dev split."""


def freeze(scores: Scores, rows: Sequence[Row], handover: Handover) -> Operating:
    """`scores` (n, 2): the int8 model's pooled scores of the rows, before calibration."""
    truth = {label: np.array([row.label == label for row in rows]) for label in handover.labels}
    calibration = {label: platt(scores[:, index], truth[label]) for index, label in enumerate(handover.labels)}
    label = handover.labels[MALIGNANT]
    positive = truth[label]
    ours = np.array([calibration[label].apply(float(score)) for score in scores[:, MALIGNANT]])
    threshold = round(threshold_at(SENSITIVITY, ours, positive) - 5e-5, 4)  # down, so that none is lost by rounding
    called = ours >= threshold
    point = OperatingPoint(
        label=label,
        threshold=threshold,
        frozen_for_sensitivity=SENSITIVITY,
        frozen_on=f"dev split of the training groups, {len(rows)} images, {int(positive.sum())} {label}",
        assumed_prevalence=round(float(positive.mean()), 4),
    )
    dev = {
        "images": len(rows),
        label: int(positive.sum()),
        "sens": float(called[positive].mean()),
        "spec": float((~called[~positive]).mean()),
    }
    return Operating(calibration, point, AlertLaw(t_hi=threshold, t_lo=round(LOW_SHARE * threshold, 4)), dev)


def platt(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> Calibration:
    """Platt scaling on the score's logit. Raises Refused when the score does not rise with the finding."""
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    logits = np.log(clipped / (1 - clipped))[:, None]
    fitted = LogisticRegression(C=1e4).fit(logits, positive)
    slope, offset = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope <= 0:
        raise Refused(
            "calibration", "the score does not rise with the finding on the dev split", "Train a better network"
        )
    return Calibration(slope=round(slope, 6), offset=round(offset, 6))
