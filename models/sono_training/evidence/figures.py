"""Figures with intervals from one pass over the draws, and the figures of a whole protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sono_models.resampling import LEVEL, RESAMPLES, SEED, draws
from sono_models.scoring import auroc, ece
from sono_training.evidence.tables import ScoreTable

Index = NDArray[np.int64]
Figure = Callable[[Index], float]
Interval = dict[str, float]
BINS = 15
IOU = 0.5


SHIFTED = "ece"


def intervals(figures: Mapping[str, Figure], table: ScoreTable, *, resamples: int = RESAMPLES) -> dict[str, Interval]:
    """{value, lo, hi} of every figure, all on the same draws of groups (patients): pairs stay pairs.

    The figure named "ece" grows in every draw, because repeated images add noise to its bins; its draws are
    shifted by their mean difference from the value (the bootstrap's own estimate of the bias: Efron and
    Tibshirani 1993, chapter 10), so that the interval lies about the value.
    """
    sampled = draws(table.truth, table.group, resamples=resamples)
    drawn = np.array([[figure(index) for figure in figures.values()] for index in sampled])
    every = np.arange(len(table))
    found: dict[str, Interval] = {}
    for at, (name, figure) in enumerate(figures.items()):
        value = figure(every)
        column = drawn[:, at]
        if name == SHIFTED:
            column = np.maximum(column - np.nanmean(column) + value, 0.0)
        low, high = np.nanpercentile(column, LEVEL)
        found[name] = {"value": value, "lo": float(low), "hi": float(high)}
    return found


def mean_over(tables: Sequence[ScoreTable], *, resamples: int = RESAMPLES) -> Interval:
    """The mean of the tables' AUROC. Groups are drawn within each table; table k has the seed SEED + k."""
    parts = [_drawn_auroc(table, SEED + number, resamples) for number, table in enumerate(tables)]
    low, high = np.percentile(np.mean(parts, axis=0), LEVEL)
    value = float(np.mean([auroc(table.truth, table.scores) for table in tables]))
    return {"value": value, "lo": float(low), "hi": float(high)}


def _drawn_auroc(table: ScoreTable, seed: int, resamples: int) -> list[float]:
    truth, scores = table.truth, table.scores
    drawn = draws(truth, table.group, resamples=resamples, seed=seed)
    return [auroc(truth[index], scores[index]) for index in drawn]


def auroc_of(table: ScoreTable, column: str = "onnx") -> Figure:
    truth, scores = table.truth, table.numbers[column]
    return lambda index: auroc(truth[index], scores[index])


def delta_auroc(table: ScoreTable) -> Figure:
    """int8 (ONNX Runtime) minus float, on the same images."""
    ours, exact = auroc_of(table, "onnx"), auroc_of(table, "float")
    return lambda index: ours(index) - exact(index)


def ece_of(table: ScoreTable) -> Figure:
    truth, scores = table.truth, table.scores
    return lambda index: ece(truth[index], scores[index], bins=BINS)


def share(values: NDArray[Any]) -> Figure:
    """The mean of a column; lines without a value (NaN) are left out."""
    numbers = np.asarray(values, np.float64)
    return lambda index: float(np.nanmean(numbers[index]))


def sensitivity(table: ScoreTable, threshold: NDArray[np.float64] | float) -> Figure:
    return share(np.where(table.truth, table.scores >= threshold, np.nan))


def specificity(table: ScoreTable, threshold: NDArray[np.float64] | float) -> Figure:
    return share(np.where(table.truth, np.nan, table.scores < threshold))


def decisions_equal(table: ScoreTable, threshold: NDArray[np.float64] | float) -> Figure:
    """The share of images on which both int8 runtimes decide as the float network does."""
    exact = table.numbers["float"] >= threshold
    same = [(table.numbers[name] >= threshold) == exact for name in ("onnx", "litert")]
    return share(same[0] & same[1])


def ece_floor(table: ScoreTable, *, repeats: int = 200) -> float:
    """The mean ECE that perfectly calibrated scores would show on this many images: labels drawn from the scores."""
    rng = np.random.default_rng(SEED)
    scores = table.scores
    return float(np.mean([ece(rng.random(len(scores)) < scores, scores, bins=BINS) for _ in range(repeats)]))


def of_protocol(table: ScoreTable, *, resamples: int = RESAMPLES) -> dict[str, Any]:
    """All figures of one table as it lies: n, groups, malignant, and those with an interval that it allows."""
    wanted: dict[str, Figure] = {"auroc": auroc_of(table), "ece": ece_of(table)}
    if table.threshold is not None:
        wanted["sens"] = sensitivity(table, table.threshold)
        wanted["spec"] = specificity(table, table.threshold)
    if table.has("hit"):
        wanted["pointing_hit"] = share(table.numbers["hit"])
    if table.has("iou"):
        wanted["box_recall_iou50"] = share(at_least(table.numbers["iou"], IOU))
    if table.has("float"):
        wanted["delta_auroc"] = delta_auroc(table)
    counts = {"n": len(table), "groups": len(set(table.group)), "malignant": int(table.truth.sum())}
    return {**counts, "threshold": table.threshold, **intervals(wanted, table, resamples=resamples)}


def at_least(values: NDArray[np.float64], bound: float) -> NDArray[np.float64]:
    """1 or 0, NaN where there is no value."""
    return np.where(np.isnan(values), np.nan, values >= bound)
