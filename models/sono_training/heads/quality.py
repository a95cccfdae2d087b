"""The quality head: clean stills against the same made worse, the wish falling with the severity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from sono_models.heads import probability
from sono_models.resampling import interval
from sono_models.scoring import auroc
from sono_models.table import read_grey
from sono_training.heads.embeddings import Seer, Sights, fit_linear
from sono_training.heads.frames import DEGRADATIONS, WORST, degrade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sono_models.heads import Linear
    from sono_models.table import Row

POOR = 3.0
"""From this severity on a frame should not be judged."""
STRENGTH = 3.0
"""Of the L2 prior: of 0.1 to 100 the rank correlation on training stills that were left out hardly moves."""


@dataclass(frozen=True, slots=True)
class Worsened:
    """Frames of known severity (n,): 0 is the still itself. `groups` are the stills' own."""

    sights: Sights
    severities: NDArray[np.float64]
    kinds: NDArray[np.str_]
    groups: list[str]


def worsened(rows: Sequence[Row], seer: Seer, rng: np.random.Generator, *, each: int) -> Worsened:
    """Every still as it is, and `each` times made worse: ways in turn, severities drawn evenly."""
    severities, kinds, groups = [], [], []
    pictures = []
    ways = list(DEGRADATIONS)
    for number, row in enumerate(rows):
        still = read_grey(row.image)
        for turn in range(each + 1):
            kind = "clean" if turn == 0 else ways[(number * each + turn) % len(ways)]
            severity = 0.0 if turn == 0 else float(rng.uniform(0.0, WORST))
            pictures.append(still if turn == 0 else degrade(still, kind, severity, rng))
            severities.append(severity)
            kinds.append(kind)
            groups.append(row.group)
    return Worsened(seer.see(pictures), np.array(severities), np.array(kinds), groups)


def fit_quality(frames: Worsened) -> Linear:
    """Logistic on the embedding, towards 1 - severity / WORST; stills and worsened frames weigh the same in all."""
    clean = frames.kinds == "clean"
    weights = np.where(clean, 0.5 / max(clean.sum(), 1), 0.5 / max((~clean).sum(), 1)) * len(clean)
    return fit_linear(frames.sights.embeddings, 1.0 - frames.severities / WORST, weights, STRENGTH)


def quality_figures(head: Linear, frames: Worsened) -> dict[str, Any]:
    """How well the head ranks frames that it has not seen: Spearman with severity, clean against poor, by way."""
    said = head.logit(frames.sights.embeddings)
    clean, poor = frames.kinds == "clean", frames.severities >= POOR
    judged = np.flatnonzero(clean | poor)
    truth, scores = clean[judged], said[judged]
    groups = [frames.groups[index] for index in judged]
    by_way = {
        kind: {
            "spearman": _spearman(said, frames.severities, frames.kinds == kind),
            "auroc": auroc(
                clean[one := clean | (poor & (frames.kinds == kind))],
                said[one],
            ),
        }
        for kind in DEGRADATIONS
        if (poor & (frames.kinds == kind)).any()
    }
    return {
        "n": len(said),
        "stills": int(clean.sum()),
        "spearman": _spearman(said, frames.severities, ~clean),
        "auroc_clean_vs_poor": interval(lambda index: auroc(truth[index], scores[index]), truth, groups),
        "poor_from_severity": POOR,
        "threshold_keeping_99": _threshold(said, clean, poor),
        "by_way": by_way,
    }


def _threshold(said: NDArray[np.float64], clean: NDArray[np.bool_], poor: NDArray[np.bool_]) -> dict[str, float]:
    """The quality that 99 % of the clean stills reach, and the share of the poor frames that does not."""
    logit = float(np.quantile(said[clean], 0.01))
    return {
        "quality": round(float(probability(np.asarray(logit))), 6),
        "poor_below": float(np.mean(said[poor] < logit)),
    }


def _spearman(said: NDArray[np.float64], severities: NDArray[np.float64], chosen: NDArray[np.bool_]) -> float:
    """Of the head's quality with how little was done: 1 is a perfect order."""
    return float(spearmanr(said[chosen], -severities[chosen]).statistic)
