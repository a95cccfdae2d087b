"""Risk and coverage: what is won by saying nothing where the evidence is thin. Statistics only; the plots are others'.

Coverage is the share of pictures that are answered, the surest first; the risk of an answer is the share of wrong
decisions at the frozen threshold among them (El-Yaniv & Wiener, JMLR 11, 2010). AURC is the risk's mean over all
coverages (Geifman, Uziel & El-Yaniv, ICLR 2019). A threshold t on a calibrated score is the right one when a missed
cancer costs (1 - t) / t false alerts (Elkan, IJCAI 2001): `cost` weighs the two kinds of error so, scaled to be 1 on
average where every decision is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sono_models import resampling

Truth = NDArray[np.bool_]
Scores = NDArray[np.float64]
RESAMPLES = 300
"""Of a curve's band and of AURC's interval; a seed of its own draws the same groups each time."""
COVERAGES = np.round(np.arange(0.05, 1.0001, 0.05), 2)
"""Of the curve's points."""


def risk_coverage(
    truth: Truth, scores: Scores, confidence: Scores, threshold: float, groups: Sequence[str]
) -> dict[str, Any]:
    """{n, threshold, risk, cost, aurc, cost_aurc, random, points}; everything (n,).

    `confidence` is any figure that is greater where the answer is surer. risk, cost: of all pictures, no picture
    left out. aurc, cost_aurc: {value, lo, hi}, 95 % group bootstrap. `best_aurc`: of an order that leaves out every
    wrong answer first. A point: {coverage, risk: {value, lo, hi}, cost, sens, spec, answered_positives}, sens and
    spec of what is answered (None without any), answered_positives the share of the positives that are answered.
    Pictures of equal confidence are answered together or not at all: a point's coverage is what was reached.
    """
    wrong = (scores >= threshold) != truth
    costs = np.where(wrong, _costs(truth, threshold), 0.0)
    found: dict[str, Any] = {"n": len(truth), "threshold": threshold, "points": []}
    found["risk"], found["cost"] = float(wrong.mean()), float(costs.mean())
    for name, errors in (("aurc", wrong.astype(np.float64)), ("cost_aurc", costs)):
        found[name] = resampling.interval(
            lambda index, errors=errors: aurc(errors[index], confidence[index]),  # type: ignore[misc]
            truth,
            groups,
            resamples=RESAMPLES,
        )
    found["best_aurc"] = aurc(wrong.astype(np.float64), -wrong.astype(np.float64))
    called = scores >= threshold
    bands = _bands(wrong.astype(np.float64), confidence, truth, groups)
    for coverage, band in zip(COVERAGES, bands, strict=True):
        point = _point(keep(confidence, coverage), called, truth, costs)
        found["points"].append({**point, "risk": {"value": point["risk"], **band}})
    return found


def abstention(truth: Truth, scores: Scores, thin: Truth, threshold: float) -> dict[str, Any]:
    """{coverage, answered, all, sens_of_all}: points of what the device answers, and of all pictures.

    `thin`: it says "can't say". `sens_of_all` counts an abstention on a positive as missed, as no alert comes of it.
    """
    called = scores >= threshold
    costs = np.where(called != truth, _costs(truth, threshold), 0.0)
    return {
        "coverage": float((~thin).mean()),
        "answered": _point(~thin, called, truth, costs),
        "all": _point(np.ones(len(truth), np.bool_), called, truth, costs),
        "sens_of_all": _share(called & ~thin, truth),
    }


def aurc(errors: Scores, confidence: Scores) -> float:
    """The mean of the risk over all coverages 1/n … 1; equal confidences share their errors evenly."""
    _, places = np.unique(-confidence, return_inverse=True)
    shared = np.bincount(places, errors) / np.bincount(places)
    ordered = shared[np.sort(places)]
    return float((np.cumsum(ordered) / np.arange(1, len(errors) + 1)).mean())


def keep(confidence: Scores, coverage: float) -> Truth:
    """The surest `coverage` of the pictures, with those as sure as the last of them."""
    count = max(1, round(coverage * len(confidence)))
    return np.asarray(confidence >= np.sort(confidence)[::-1][count - 1], np.bool_)


def _costs(truth: Truth, threshold: float) -> Scores:
    weights = np.where(truth, 1.0 - threshold, threshold)
    return np.asarray(weights / weights.mean(), np.float64)


def _bands(errors: Scores, confidence: Scores, truth: Truth, groups: Sequence[str]) -> list[dict[str, float]]:
    draws = [
        [float(errors[index][keep(confidence[index], coverage)].mean()) for coverage in COVERAGES]
        for index in resampling.draws(truth, groups, resamples=RESAMPLES)
    ]
    low, high = np.percentile(draws, resampling.LEVEL, axis=0)
    return [{"lo": float(a), "hi": float(b)} for a, b in zip(low, high, strict=True)]


def _point(kept: Truth, called: Truth, truth: Truth, costs: Scores) -> dict[str, Any]:
    return {
        "coverage": float(kept.mean()),
        "risk": _share(called != truth, kept),
        "cost": float(costs[kept].mean()) if kept.any() else None,
        "sens": _share(called, kept & truth),
        "spec": _share(~called, kept & ~truth),
        "answered_positives": _share(kept, truth),
    }


def _share(what: Truth, among: Truth) -> float | None:
    return float(what[among].mean()) if among.any() else None
