"""Figures with intervals: group bootstrap, so that a patient's images stand or fall together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

Scores = NDArray[np.float64]
Truth = NDArray[np.bool_]
RESAMPLES = 1000
SEED = 12645


def interval(
    figure: Callable[[Truth, Scores], float], truth: Truth, scores: Scores, groups: Sequence[str]
) -> dict[str, float]:
    """{value, lo, hi}: 95 % percentile bootstrap over groups (patients), RESAMPLES draws, seed SEED."""
    members = _members(groups)
    rng = np.random.default_rng(SEED)
    draws: list[float] = []
    while len(draws) < RESAMPLES:
        chosen = rng.integers(0, len(members), len(members))
        index = np.concatenate([members[i] for i in chosen])
        if truth[index].all() or not truth[index].any():
            continue
        draws.append(figure(truth[index], scores[index]))
    low, high = np.percentile(draws, [2.5, 97.5])
    return {"value": figure(truth, scores), "lo": float(low), "hi": float(high)}


def _members(groups: Sequence[str]) -> list[NDArray[np.int64]]:
    order: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        order.setdefault(group, []).append(index)
    return [np.asarray(rows, np.int64) for rows in order.values()]


def auroc(truth: Truth, scores: Scores) -> float:
    return float(roc_auc_score(truth, scores))


def auprc(truth: Truth, scores: Scores) -> float:
    return float(average_precision_score(truth, scores))


def ece(truth: Truth, scores: Scores, *, bins: int = 15) -> float:
    """Expected calibration error over equal-mass bins (Nixon et al. 2019)."""
    order = np.argsort(scores, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    gaps = [abs(float(scores[part].mean()) - float(truth[part].mean())) * len(part) for part in parts]
    return float(sum(gaps) / len(order))


def sensitivity_at(specificity: float, truth: Truth, scores: Scores) -> float:
    false_positive, true_positive, _ = roc_curve(truth, scores)
    return float(true_positive[false_positive <= 1.0 - specificity + 1e-12].max())


def specificity_at(sensitivity: float, truth: Truth, scores: Scores) -> float:
    false_positive, true_positive, _ = roc_curve(truth, scores)
    return float(1.0 - false_positive[true_positive >= sensitivity - 1e-12].min())


def at_threshold(threshold: float, truth: Truth, scores: Scores) -> dict[str, float]:
    """{threshold, sens, spec} of a threshold that was frozen elsewhere."""
    called = scores >= threshold
    sens, spec = float(called[truth].mean()), float((~called[~truth]).mean())
    return {"threshold": threshold, "sens": sens, "spec": spec}
