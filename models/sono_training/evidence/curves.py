"""What the plots show, as numbers: curves with bands over the draws of a group bootstrap. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from sono_models.resampling import LEVEL, draws
from sono_training import selective
from sono_training.evidence.tables import ScoreTable

Numbers = NDArray[np.float64]
Index = NDArray[np.int64]
RESAMPLES = 400
"""Enough for a band; the headline takes 1,000."""
GRID: Numbers = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, slots=True)
class Curve:
    """y over x, and the 95 % band of y at each x."""

    x: Numbers
    y: Numbers
    lo: Numbers
    hi: Numbers


def _banded(table: ScoreTable, x: Numbers, figure: Callable[[Index], Numbers]) -> Curve:
    drawn = [figure(index) for index in draws(table.truth, table.group, resamples=RESAMPLES)]
    low, high = np.nanpercentile(np.array(drawn), LEVEL, axis=0)
    return Curve(x, figure(np.arange(len(table))), low, high)


def roc(table: ScoreTable) -> Curve:
    """Sensitivity over 1 - specificity; the band is vertical."""
    truth, scores = table.truth, table.scores

    def at(index: Index) -> Numbers:
        return _roc(truth[index], scores[index])

    return _banded(table, GRID, at)


def _roc(truth: NDArray[np.bool_], scores: Numbers) -> Numbers:
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # ties are one step
    positive = np.cumsum(truth[order])[last]
    negative = np.cumsum(~truth[order])[last]
    x, y = np.append(0.0, negative / negative[-1]), np.append(0.0, positive / positive[-1])
    return np.interp(GRID, *_highest(x, y))


def _highest(x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    """Where several steps share an x, only the highest: np.interp wants rising x."""
    keep = np.append(np.diff(x) > 0, True)
    return x[keep], y[keep]


@dataclass(frozen=True, slots=True)
class Bins:
    """Equal-mass bins: mean score, share malignant with its 95 % interval, images."""

    score: Numbers
    share: Numbers
    lo: Numbers
    hi: Numbers
    n: NDArray[np.int64]


def reliability(table: ScoreTable, *, bins: int = 15) -> Bins:
    """The bins of the ECE. Intervals are Wilson's (1927): a bin has a hundred images, and shares near 0 or 1."""
    parts = np.array_split(np.argsort(table.scores, kind="stable"), min(bins, len(table)))
    truth = table.truth
    share = np.array([truth[part].mean() for part in parts])
    sizes = np.array([len(part) for part in parts])
    low, high = wilson(share, sizes.astype(np.float64))
    return Bins(np.array([table.scores[part].mean() for part in parts]), share, low, high, sizes)


def wilson(share: Numbers, n: Numbers) -> tuple[Numbers, Numbers]:
    """95 % score interval of a share (Wilson 1927)."""
    z = float(norm.ppf(0.975))
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


@dataclass(frozen=True, slots=True)
class Decision:
    """Net benefit over the threshold probability: of the model, and of calling everything malignant."""

    model: Curve
    everyone: Numbers
    prevalence: float


def decision(table: ScoreTable, *, most: float = 0.8) -> Decision:
    """Net benefit = TP/n - FP/n · p/(1-p) (Vickers and Elkin, Med Decis Making 2006), p from 0.01 to `most`."""
    probability = np.linspace(0.01, most, 80)
    odds = probability / (1 - probability)
    truth, scores = table.truth, table.scores

    def benefit(index: Index) -> Numbers:
        positive, negative = np.sort(scores[index][truth[index]]), np.sort(scores[index][~truth[index]])
        hits = len(positive) - np.searchsorted(positive, probability, side="left")
        alarms = len(negative) - np.searchsorted(negative, probability, side="left")
        return np.asarray((hits - alarms * odds) / len(index), np.float64)

    prevalence = float(truth.mean())
    return Decision(_banded(table, probability, benefit), prevalence - (1 - prevalence) * odds, prevalence)


def froc(table: ScoreTable, *, by: str) -> Curve:
    """Malignant lesions found over false marks a picture, one mark a picture: at its score, where the map points.

    `by` "hit": a mark is true when the peak lies on a malignant lesion; "iou": when the boxes meet by half. A
    mark on a benign or normal picture is false, and so is one beside a malignant lesion.
    """
    ready = table.take(np.flatnonzero(~(table.truth & np.isnan(table.numbers[by]))))
    right = np.nan_to_num(ready.numbers[by]) >= (0.5 if by == "iou" else 1.0)
    true_mark = ready.truth & right
    grid: Numbers = np.linspace(0.0, 0.7, 141)

    def found(index: Index) -> Numbers:
        return _froc(ready.scores[index], true_mark[index], int(ready.truth[index].sum()), grid)

    return _banded(ready, grid, found)


def _froc(scores: Numbers, true_mark: NDArray[np.bool_], lesions: int, grid: Numbers) -> Numbers:
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    x = np.append(0.0, np.cumsum(~true_mark[order])[last] / len(scores))
    y = np.append(0.0, np.cumsum(true_mark[order])[last] / lesions)
    return np.interp(grid, *_highest(x, y))


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """Share of wrong decisions among the images that are answered, the surest first; `rules`: (coverage, risk)."""

    curve: Curve
    overall: float
    aurc: dict[str, float]
    """{value, lo, hi}: the mean risk over all coverages."""
    rules: dict[str, tuple[float, float]]


def risk_coverage(table: ScoreTable, threshold: float) -> RiskCoverage:
    """Decisions at the frozen threshold. `thin` lines are "can't say"; sure is little doubt, or far from it."""
    found = selective.risk_coverage(table.truth, table.scores, _sureness(table, threshold), threshold, table.group)
    x, y, low, high = (
        np.array([point["coverage"] if name == "coverage" else point["risk"][name] for point in found["points"]])
        for name in ("coverage", "value", "lo", "hi")
    )
    wrong = (table.scores >= threshold) != table.truth
    rules: dict[str, tuple[float, float]] = {}
    for name, said in _answered(table, threshold).items():
        if said.any():
            rules[name] = (float(said.mean()), float(wrong[said].mean()))
    return RiskCoverage(Curve(x, y, low, high), found["risk"], found["aurc"], rules)


def _sureness(table: ScoreTable, threshold: float) -> Numbers:
    if table.has("doubt"):
        return np.asarray(-table.numbers["doubt"])
    scores = np.clip(table.scores, 1e-6, 1 - 1e-6)
    return np.asarray(np.abs(np.log(scores / (1 - scores)) - np.log(threshold / (1 - threshold))))


def _answered(table: ScoreTable, threshold: float) -> dict[str, NDArray[np.bool_]]:
    """Which images a rule answers: not thin, and not with an interval across the threshold."""
    found: dict[str, NDArray[np.bool_]] = {}
    if table.has("thin"):
        found["“can't say” left out"] = table.numbers["thin"] == 0
    if table.has("lo") and table.has("hi"):
        lower, upper = table.numbers["lo"], table.numbers["hi"]
        found["interval clear of the threshold"] = (lower >= threshold) | (upper < threshold)
    return found
