"""Whether attention over a sweep beats simpler pooling of the frame scores: nested, by patient, paired."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from sono_models.heads import FIGURES, columns, within_sweep
from sono_models.resampling import LEVEL, draws
from sono_models.scoring import auroc
from sono_training.heads.sweep import Bag, Plan, fit_attention, malignant

Scores = NDArray[np.float64]
TOP = 3
GRID: tuple[Plan, ...] = tuple(
    replace(Plan(), figures=figures, decay=decay)
    for figures in (("malignant", "benign", "finding", "quality", "rank"), Plan().figures)
    for decay in (0.003, 0.03, 0.3)
)
"""What the inner folds choose among."""
INNER, OUTER = 3, 5

POOLS: dict[str, Callable[[Bag], float]] = {
    "maximum": lambda bag: float(malignant(bag).max()),
    "mean": lambda bag: float(malignant(bag).mean()),
    "mean_logit": lambda bag: float(bag.frames[:, FIGURES.index("malignant")].mean()),
    "noisy_or": lambda bag: float(-np.log1p(-malignant(bag)).sum()),
    "top3_mean": lambda bag: float(np.sort(malignant(bag))[-TOP:].mean()),
    "median": lambda bag: float(np.median(malignant(bag))),
}
"""Rankings of sweeps without anything learnt."""
RIVALS = ("maximum", "mean")
"""What attention must beat to be said to help."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Sweeps to learn from, and those to score; no group is in both."""

    learn: NDArray[np.int64]
    score: NDArray[np.int64]


def by_group(bags: Sequence[Bag], count: int, *, seed: int = 0) -> list[Fold]:
    """Folds that keep a group together and the labels in proportion."""
    truth = np.array([bag.positive for bag in bags])
    groups = [bag.group for bag in bags]
    parts = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(truth, truth, groups)
    return [Fold(np.asarray(learn), np.asarray(score)) for learn, score in parts]


def by_name(names: Sequence[str]) -> list[Fold]:
    """The publisher's folds: each scored by what was learnt on the others."""
    fold = np.asarray(names)
    return [Fold(np.flatnonzero(fold != name), np.flatnonzero(fold == name)) for name in sorted(set(names))]


def choose(bags: Sequence[Bag], grid: Sequence[Plan] = GRID) -> Plan:
    """The plan of least log-loss over inner folds of these sweeps."""
    if len(grid) == 1:
        return grid[0]
    folds = by_group(bags, INNER)
    truth = np.array([bag.positive for bag in bags])

    def missed(plan: Plan) -> float:
        scores = np.clip(_learnt(bags, folds, [replace(plan, seeds=1)] * len(folds)), 1e-6, 1 - 1e-6)
        return float(-np.mean(np.log(np.where(truth, scores, 1 - scores))))

    return min(grid, key=missed)


def contest(bags: Sequence[Bag], folds: Sequence[Fold], grid: Sequence[Plan] = GRID) -> dict[str, Any]:
    """AUROC of attention and of every pool on sweeps that neither head nor plan has seen; paired differences."""
    chosen = [choose([bags[index] for index in fold.learn], grid) for fold in folds]
    found: dict[str, Scores] = {name: np.array([pool(bag) for bag in bags]) for name, pool in POOLS.items()}
    found["even"] = _evenly(bags, folds)
    found["attention"] = _learnt(bags, folds, chosen)
    truth = np.array([bag.positive for bag in bags])
    groups = [bag.group for bag in bags]
    figures, against = _compared(truth, groups, found)
    return {
        "sweeps": len(bags),
        "groups": len(set(groups)),
        "positives": int(truth.sum()),
        "frames_median": float(np.median([len(bag.frames) for bag in bags])),
        "auroc": figures,
        "attention_minus": against,
        "beats_maximum_and_mean": all(against[name]["lo"] > 0 for name in RIVALS),
        "plans": [{"figures": list(plan.figures), "decay": plan.decay} for plan in chosen],
    }


def _learnt(bags: Sequence[Bag], folds: Sequence[Fold], plans: Sequence[Plan]) -> Scores:
    scores = np.full(len(bags), np.nan)
    for fold, plan in zip(folds, plans, strict=True):
        head = fit_attention([bags[index] for index in fold.learn], plan)
        scores[fold.score] = [head.apply(bags[index].frames).score for index in fold.score]
    return scores


def _evenly(bags: Sequence[Bag], folds: Sequence[Fold]) -> Scores:
    """All the figures with even attention: what the head would know without attending."""
    chosen = columns(tuple(name for name in Plan().figures if name not in ("rank", "excess")))
    means = np.stack([within_sweep(bag.frames)[:, chosen].mean(axis=0) for bag in bags])
    truth = np.array([bag.positive for bag in bags])
    scores = np.full(len(bags), np.nan)
    for fold in folds:
        mean, scale = means[fold.learn].mean(axis=0), np.maximum(means[fold.learn].std(axis=0), 1e-3)
        fitted = LogisticRegression().fit((means[fold.learn] - mean) / scale, truth[fold.learn])
        scores[fold.score] = fitted.decision_function((means[fold.score] - mean) / scale)
    return scores


def _compared(
    truth: NDArray[np.bool_], groups: Sequence[str], found: dict[str, Scores]
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """{value, lo, hi} of every AUROC, and of attention's minus each other's on the same draws of groups."""

    def areas(index: NDArray[np.int64]) -> list[float]:
        return [auroc(truth[index], scores[index]) for scores in found.values()]

    value = np.array(areas(np.arange(len(truth))))
    drawn = np.array([areas(index) for index in draws(truth, groups)])
    ours = list(found).index("attention")

    def told(value: NDArray[np.float64], drawn: NDArray[np.float64]) -> dict[str, dict[str, float]]:
        low, high = np.percentile(drawn, LEVEL, axis=0)
        figures = zip(found, value, low, high, strict=True)
        return {name: {"value": float(at), "lo": float(lo), "hi": float(hi)} for name, at, lo, hi in figures}

    against = told(value[ours] - value, drawn[:, [ours]] - drawn)
    del against["attention"]
    return told(value, drawn), against
