"""The domain head: pictures of the organ against everything else that may come through a cable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from sono_models.heads import Distance, Domain, Matrix, probability
from sono_models.scoring import auroc
from sono_training.heads.embeddings import fit_linear, rounded

KEPT = 0.99
"""The share of the organ's dev frames that the threshold keeps."""
STRENGTH = 1.0
EVEN = 0.5
PARTS = ("linear", "distance", "both")
AXES = 48
"""Leading axes of the distance; what they leave is one variance."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Embeddings (n, d) of one source: a patient, a clip, a kind of constructed picture, or the organ's stills."""

    name: str
    kind: str
    embeddings: Matrix


def fit_domain(organ: Sequence[Crowd], others: Sequence[Crowd], dev: Matrix, parts: str) -> Domain:
    """`parts`: "linear", "distance" or "both". Every source of a side weighs the same. `dev` freezes the threshold.

    Both parts are shifted so that their even chance lies where each spends its share of what may be refused.
    """
    linear = fit_linear(*_stacked(organ, others), STRENGTH) if parts != "distance" else None
    distance = fit_distance(organ, others) if parts != "linear" else None
    spent = (1.0 - KEPT) / (2 if parts == "both" else 1)
    if linear is not None:
        linear = structs.replace(linear, bias=linear.bias - _lowest(linear.logit(dev), spent))
    if distance is not None:
        distance = structs.replace(distance, bias=distance.bias - _lowest(distance.logit(dev), spent))
    domain = Domain(EVEN, 0.0, linear, distance)
    return structs.replace(domain, kept=round(1.0 - refused_share(domain, dev), 6))


def _lowest(logits: NDArray[np.float64], share: float) -> float:
    """What all but this share of them reach, a hair below so that rounding refuses none."""
    said = np.sort(logits)
    return float(f"{said[int(share * len(said))] - 1e-6:.8g}")


def _stacked(
    organ: Sequence[Crowd], others: Sequence[Crowd]
) -> tuple[Matrix, NDArray[np.float64], NDArray[np.float64]]:
    """Embeddings, what is wanted of each (1: the organ), and weights: both sides the same, their sources the same."""
    both = [*organ, *others]
    total = sum(len(crowd.embeddings) for crowd in both)
    wanted, weights = [], []
    for side, crowds in ((1.0, organ), (0.0, others)):
        for crowd in crowds:
            count = len(crowd.embeddings)
            wanted.append(np.full(count, side))
            weights.append(np.full(count, 0.5 * total / (len(crowds) * count)))
    return np.concatenate([crowd.embeddings for crowd in both]), np.concatenate(wanted), np.concatenate(weights)


def fit_distance(organ: Sequence[Crowd], others: Sequence[Crowd]) -> Distance:
    """Mean and axes from the organ alone; slope and bias of the probability from both sides."""
    seen = np.concatenate([crowd.embeddings for crowd in organ])
    mean = seen.mean(axis=0)
    _, values, axes = np.linalg.svd(seen - mean, full_matrices=False)
    variances = values**2 / max(len(seen) - 1, 1)
    kept = min(AXES, len(variances) - 1)
    rest = float(variances[kept:].sum()) / max(seen.shape[1] - kept, 1)
    plain = Distance(
        mean=rounded(mean),
        axes=tuple(rounded(axis) for axis in axes[:kept]),
        variances=rounded(np.maximum(variances[:kept], 1e-9)),
        rest=max(rest, 1e-9),
        slope=1.0,
        bias=0.0,
    )
    embeddings, wanted, weights = _stacked(organ, others)
    far = np.log(np.maximum(plain.squared(embeddings), 1e-12))
    fitted = LogisticRegression(C=10.0).fit(-far[:, None], wanted > 0.5, sample_weight=weights)
    slope = max(float(fitted.coef_[0, 0]), 1e-3)
    return Distance(
        plain.mean, plain.axes, plain.variances, plain.rest, round(slope, 6), round(float(fitted.intercept_[0]), 6)
    )


def refused_share(domain: Domain, embeddings: Matrix) -> float:
    return float(np.mean(probability(domain.logit(embeddings)) < domain.threshold))


def domain_figures(domain: Domain, dev: Sequence[Crowd], unseen: Sequence[Crowd]) -> dict[str, Any]:
    """Kept of the organ's dev frames, refused of what training has not seen, by kind, and how well both part."""
    ours = np.concatenate([domain.logit(crowd.embeddings) for crowd in dev])
    kinds = sorted({crowd.kind for crowd in unseen})
    return {
        "threshold": domain.threshold,
        "kept": {crowd.name: round(1.0 - refused_share(domain, crowd.embeddings), 6) for crowd in dev},
        "unseen": {kind: _refused(domain, ours, [crowd for crowd in unseen if crowd.kind == kind]) for kind in kinds},
    }


def _refused(domain: Domain, ours: NDArray[np.float64], crowds: Sequence[Crowd]) -> dict[str, Any]:
    """Of one kind: the share of frames refused, the source of which least is refused, and AUROC from the organ."""
    shares = {crowd.name: refused_share(domain, crowd.embeddings) for crowd in crowds}
    theirs = np.concatenate([domain.logit(crowd.embeddings) for crowd in crowds])
    truth = np.repeat([True, False], [len(ours), len(theirs)])
    least = min(shares, key=lambda name: shares[name])
    return {
        "sources": len(crowds),
        "frames": len(theirs),
        "refused": round(float(np.mean(probability(theirs) < domain.threshold)), 6),
        "least": {"source": least, "refused": round(shares[least], 6)},
        "auroc": round(auroc(truth, np.concatenate([ours, theirs])), 6),
    }
