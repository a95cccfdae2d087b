"""Figures with intervals: group bootstrap, so that a patient's images stand or fall together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from sono_models import resampling
from sono_models.scoring import Scores, Truth, at_threshold, ece

__all__ = [
    "Scores",
    "Truth",
    "at_threshold",
    "auprc",
    "auroc",
    "ece",
    "interval",
    "sensitivity_at",
    "specificity_at",
]


def interval(
    figure: Callable[[Truth, Scores], float], truth: Truth, scores: Scores, groups: Sequence[str]
) -> dict[str, float]:
    """{value, lo, hi}: 95 % percentile bootstrap over groups (patients): see sono_models.resampling."""
    return resampling.interval(lambda index: figure(truth[index], scores[index]), truth, groups)


def auroc(truth: Truth, scores: Scores) -> float:
    return float(roc_auc_score(truth, scores))


def auprc(truth: Truth, scores: Scores) -> float:
    return float(average_precision_score(truth, scores))


def sensitivity_at(specificity: float, truth: Truth, scores: Scores) -> float:
    false_positive, true_positive, _ = roc_curve(truth, scores)
    return float(true_positive[false_positive <= 1.0 - specificity + 1e-12].max())


def specificity_at(sensitivity: float, truth: Truth, scores: Scores) -> float:
    false_positive, true_positive, _ = roc_curve(truth, scores)
    return float(1.0 - false_positive[true_positive >= sensitivity - 1e-12].min())
