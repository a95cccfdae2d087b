"""What the dev split fixes of the bundle's uncertainty: the calibration's interval, and where nothing can be said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from sono_models import resampling
from sono_models.inputs import Grey
from sono_models.runtime import Runtime
from sono_models.saliency import BENIGN, MALIGNANT, Calibration
from sono_models.table import Row
from sono_models.uncertainty import Band, Learned, Uncertainty, expit, logit, roots

SHARE = 0.10
"""Of the dev split's pictures that abstain."""
FAR_SHARE = 0.01
"""Of them, those that are unlike the training's: a guard against other pictures, which the dev split has none of."""
TORN_SHARE = 0.01
"""Of them, those where both findings stand out most."""
LEARNED_FROM = 1024
"""Pictures of the training that say what its embeddings look like."""
KNOTS = np.linspace(-8.0, 8.0, 33)
"""Logits of the raw score at which the interval is stored."""
RIDGE = 1e-3
"""Share of the channels' mean variance that is added to every channel's: some hardly move."""
PENALTY, TINY = 1e-4, 1e-9
"""The penalty of `platt` on its slope; what keeps a separable draw's curvature from vanishing."""
NEWTON_STEPS = 40
NUDGE = 1.0001
"""Limits are this much wider, so that rounding leaves their own pictures on their side."""

Scores = NDArray[np.float64]
Truth = NDArray[np.bool_]


def freeze_uncertainty(
    scores_raw: Scores,
    embeddings: NDArray[np.floating] | None,
    rows: Sequence[Row],
    calibration: Mapping[str, Calibration],
    threshold: float,
    *,
    disturbed: Sequence[Scores] = (),
    learned_from: NDArray[np.floating] | None = None,
) -> Uncertainty:
    """Of the dev split: pooled int8 scores (n, 2) before calibration, embeddings (n, d), and their rows.

    `calibration` is keyed by the labels in the order of the maps; `disturbed` (n, 2) are the scores of the
    same rows that it was fitted on beside `scores_raw`; `learned_from` (m, d) are embeddings of pictures that were
    trained on, without which the dev split's own stand for them.
    """
    labels = tuple(calibration)
    truth = np.array([row.label == labels[MALIGNANT] for row in rows])
    map_of = calibration[labels[MALIGNANT]]
    malignant = calibrated(scores_raw[:, MALIGNANT], map_of)
    every, copies = np.concatenate([scores_raw, *disturbed]), 1 + len(disturbed)
    groups = [row.group for row in rows] * copies
    band = calibration_band(every[:, MALIGNANT], np.tile(truth, copies), groups, map_of)
    learned = None
    far = np.zeros(len(rows), np.bool_)
    if embeddings is not None:
        learned = what_was_learned(embeddings if learned_from is None else learned_from, embeddings)
        far = learned.distance(embeddings) > learned.limit
    margin = np.abs(logit(malignant) - logit(np.asarray(threshold)))
    close, torn = limits(margin, scores_raw.min(axis=1), far, reach=span(band, threshold))
    benign = calibration[labels[BENIGN]]
    frozen = Uncertainty(
        band, threshold, _short(close * NUDGE), _short(torn / NUDGE), benign, 0.0, _where_from(rows), learned
    )
    thin = frozen.doubts(scores_raw, malignant, embeddings).max(axis=1) >= 1.0
    return msgspec.structs.replace(frozen, share=round(float(thin.mean()), 4))


def seen_by(runtime: Runtime, pictures: Sequence[Grey]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Saliency logits (n, findings, rows, columns) and embeddings (n, d), None for a network without features."""
    raws = [runtime.run(picture) for picture in pictures]
    embeddings = [raw.features.mean(axis=(1, 2)) for raw in raws if raw.features is not None]
    return np.stack([raw.saliency for raw in raws]), np.stack(embeddings) if embeddings else None


def calibrated(raw: Scores, calibration: Calibration) -> Scores:
    return np.array([calibration.apply(float(score)) for score in raw])


def calibration_band(raw: Scores, truth: Truth, groups: Sequence[str], calibration: Calibration) -> Band:
    """The 95 % percentiles of the Platt maps of a group bootstrap, widened to hold `calibration` itself.

    Measured against inductive Venn-Abers on halves of a dev split and on simulated ones of known truth: its pair
    is half as wide and held the true probability in 37 to 50 of 100, this band in 74 to 94.
    """
    counts = np.array([np.bincount(index, minlength=len(raw)) for index in resampling.draws(truth, groups)])
    slopes, offsets = platt_maps(logit(raw), truth, counts)
    maps = slopes[:, None] * KNOTS + offsets[:, None]
    low, high = expit(np.percentile(maps, resampling.LEVEL, axis=0))
    knots = expit(KNOTS)
    point = calibrated(knots, calibration)
    low, high = np.minimum(low, point), np.maximum(high, point)
    return Band(_column(knots), _column(np.maximum.accumulate(low)), _column(np.maximum.accumulate(high)))


def platt_maps(logits: Scores, truth: Truth, counts: NDArray[np.integer]) -> tuple[Scores, Scores]:
    """(slopes, offsets), one a row of `counts` (draws, n): `operating.platt` of every draw, by Newton, side by side."""
    slopes, offsets = np.zeros(len(counts)), np.zeros(len(counts))
    for _ in range(NEWTON_STEPS):
        fitted = expit(slopes[:, None] * logits + offsets[:, None])
        residue, weight = counts * (fitted - truth), counts * fitted * (1.0 - fitted) + TINY
        by_slope, by_offset = residue @ logits + PENALTY * slopes, residue.sum(axis=1)
        a, b, c = weight @ logits**2 + PENALTY, weight @ logits, weight.sum(axis=1)
        determinant = a * c - b * b
        step = np.stack([c * by_slope - b * by_offset, a * by_offset - b * by_slope]) / determinant
        step /= np.maximum(1.0, np.abs(step).max(axis=0))  # far from the optimum Newton overshoots
        slopes, offsets = slopes - step[0], offsets - step[1]
    return slopes, offsets


def what_was_learned(embeddings: NDArray[np.floating], dev: NDArray[np.floating]) -> Learned:
    """Mean and covariance of the training's embeddings; the limit leaves FAR_SHARE of the dev split's beyond it.

    With that limit the whole covariance found every noisy, blurred and turned and 57 of 100 negative pictures of a
    dev split (3 of 100 upside down); the diagonal alone none of the noisy and negative.
    """
    seen = roots(embeddings)
    covariance = np.atleast_2d(np.cov(seen.T))
    covariance += RIDGE * max(float(np.trace(covariance)) / len(covariance), 1e-6) * np.eye(len(covariance))
    triangle = np.linalg.cholesky(np.linalg.inv(covariance))
    root = tuple(tuple(_short(value) for value in row[: number + 1]) for number, row in enumerate(triangle))
    mean = tuple(_short(value) for value in seen.mean(axis=0))
    limit = np.quantile(Learned(mean, root, 1.0).distance(dev), 1.0 - FAR_SHARE)
    return Learned(mean, root, _short(limit))


def limits(margin: Scores, both: Scores, far: Truth, *, reach: float) -> tuple[float, float]:
    """(close, torn): TORN_SHARE is torn, and `close` fills SHARE, no further than `reach`.

    Frozen on halves of a dev split and measured on the others (60 times), nearness to the threshold ordered the
    pictures best: AURC 0.27, of the cost 0.052, 2 % of the cancers abstained on. By both maps standing out it was
    0.34, 0.079 and 18 %: that is kept for the extreme.
    """
    torn = float(np.sort(both)[::-1][max(0, round(TORN_SHARE * len(both)) - 1)])
    others = far | (both >= torn)
    close = 0.0
    for nearest in np.sort(margin):
        if (others | (margin <= nearest)).mean() > SHARE or nearest > reach:
            break
        close = float(nearest)
    return close, torn


def span(band: Band, threshold: float) -> float:
    """How far, in logits, a score may lie from the threshold so that its interval still spans it."""
    low, high = band.at(expit(np.linspace(KNOTS[0], KNOTS[-1], 1601)))
    spans = (low <= threshold) & (high >= threshold)
    middle = (logit(low[spans]) + logit(high[spans])) / 2
    return float(np.abs(middle - logit(np.asarray(threshold))).max(initial=0.0))


def _where_from(rows: Sequence[Row]) -> str:
    groups = len({row.group for row in rows})
    return f"dev split of the training groups, {len(rows)} images of {groups} groups"


def _column(values: Scores) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)


def _short(value: float | np.floating) -> float:
    """Five digits: what a manifest holds of it."""
    return float(f"{float(value):.5g}")
