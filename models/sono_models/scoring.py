"""Figures of scores against truth that training's evaluation and the comparison of quantization share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Truth = NDArray[np.bool_]


def auroc(truth: Truth, scores: Scores) -> float:
    """By ranks (Mann and Whitney 1947), ties count half: the figure of scikit-learn in a fraction of the time."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    positives = int(truth.sum())
    pairs = positives * (len(truth) - positives)
    return float((ranks[places][truth].sum() - positives * (positives + 1) / 2) / pairs)


def ece(truth: Truth, scores: Scores, *, bins: int = 15) -> float:
    """Expected calibration error over equal-mass bins (Nixon et al. 2019)."""
    order = np.argsort(scores, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    gaps = [abs(float(scores[part].mean()) - float(truth[part].mean())) * len(part) for part in parts]
    return float(sum(gaps) / len(order))


def at_threshold(threshold: float, truth: Truth, scores: Scores) -> dict[str, float]:
    """{threshold, sens, spec} of a threshold that was frozen elsewhere."""
    called = scores >= threshold
    sens, spec = float(called[truth].mean()), float((~called[~truth]).mean())
    return {"threshold": threshold, "sens": sens, "spec": spec}
