"""How sure a score is, and "can't say" where the evidence is thin. Plain numbers in the manifest, applied with numpy.

Three things make a frame's evidence thin: its score lies where the interval spans the threshold, both findings
stand out at once, or its embedding lies far from the training's. Neither finding standing out is no reason: so
looks a picture without a lesion. Every measure is over its own limit; the limits were frozen together, so that a
stated share of the dev split's pictures abstains.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from sono_models.errors import BadBundle
from sono_models.saliency import Calibration

if TYPE_CHECKING:
    from sono_models.reader import Reading

Vector = NDArray[np.float64]
Numbers = tuple[float, ...]

CLOSE = "can't say: too near the threshold for what is known of the score"
TORN = "can't say: benign and malignant signs both stand out"
FAR = "can't say: unlike the pictures it learned from"
REASONS = (CLOSE, TORN, FAR)
"""In the order of `Uncertainty.doubts`."""
KEPT_FROM_ENDS = 1e-6
"""Probabilities are kept this far from 0 and 1 before their logit is taken, as `Calibration` does."""


def logit(probability: Vector) -> Vector:
    # np.clip takes four times as long on the single number of a frame
    clipped = np.minimum(np.maximum(np.asarray(probability, np.float64), KEPT_FROM_ENDS), 1.0 - KEPT_FROM_ENDS)
    return np.asarray(np.log(clipped / (1.0 - clipped)))


def expit(logits: Vector) -> Vector:
    return np.asarray(1.0 / (1.0 + np.exp(-np.asarray(logits, np.float64))))


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """The 95 % interval of the calibration map: a table from the pooled raw score to the calibrated one.

    Group bootstrap of the dev split; between knots linear in logits, beyond them the end's value.
    """

    raw: Numbers
    lo: Numbers
    hi: Numbers

    def __post_init__(self) -> None:
        if not len(self.raw) == len(self.lo) == len(self.hi) >= 2:
            raise ValueError("raw, lo and hi must have one length, at least 2")
        if any(np.any(np.diff(column) < 0) for column in (self.raw, self.lo, self.hi)):
            raise ValueError("raw, lo and hi must not fall")
        if any(low > high for low, high in zip(self.lo, self.hi, strict=True)):
            raise ValueError("lo must not exceed hi")

    @cached_property
    def _logits(self) -> tuple[Vector, Vector, Vector]:
        return logit(np.array(self.raw)), logit(np.array(self.lo)), logit(np.array(self.hi))

    def at(self, raw: Vector) -> tuple[Vector, Vector]:
        """(lo, hi) of raw scores of any shape."""
        knots, low, high = self._logits
        place = logit(raw)
        return expit(np.interp(place, knots, low)), expit(np.interp(place, knots, high))


class Learned(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """What training embeddings look like: mean and inverse covariance of their square roots.

    A Mahalanobis distance (Lee et al., NeurIPS 2018); the root makes the skewed channels nearly normal.
    """

    mean: Numbers
    root: tuple[Numbers, ...]
    """The lower triangle L, row by row (1, 2 … d numbers), of L Lᵀ = the inverse covariance."""
    limit: float
    """The distance beyond which a picture is unlike them."""

    def __post_init__(self) -> None:
        if [len(row) for row in self.root] != list(range(1, len(self.mean) + 1)):
            raise ValueError("root must be a lower triangle of the mean's length")

    @cached_property
    def _mean(self) -> Vector:
        return np.asarray(self.mean)

    @cached_property
    def _root(self) -> Vector:
        full = np.zeros((len(self.mean), len(self.mean)))
        for number, row in enumerate(self.root):
            full[number, : number + 1] = row
        return full

    def distance(self, embeddings: NDArray[np.floating]) -> Vector:
        """Per channel, about 1 for a training picture: (d,) → (), (n, d) → (n,). Embeddings are 0 or more.

        Raises BadBundle when d is not that of the training.
        """
        if embeddings.shape[-1] != len(self.mean):
            what = f"uncertainty knows {len(self.mean)} features, the network gives {embeddings.shape[-1]}"
            raise BadBundle("manifest.json", what, "Pack uncertainty and network of one run")
        away = roots(embeddings) - self._mean
        return np.asarray(np.sqrt(np.mean((away @ self._root) ** 2, axis=-1)))


def roots(embeddings: NDArray[np.floating]) -> Vector:
    return np.asarray(np.sqrt(np.maximum(np.asarray(embeddings, np.float64), 0.0)))


class Uncertainty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Frozen on the dev split, before any test set was opened."""

    band: Band
    threshold: float
    """Of the calibrated malignant score: the operating point that `close` is measured from."""
    close: float
    """A score whose logit lies at most this far from the threshold's is too near it; its interval spans it."""
    torn: float
    """Both pooled scores at least this high before calibration: the maps disagree with themselves."""
    benign: Calibration
    """What takes a benign score back to what was pooled."""
    share: float
    """Of the dev split's pictures that abstain."""
    frozen_on: str
    learned: Learned | None = None

    def interval(self, raw: float) -> tuple[float, float]:
        """(lo, hi) of the calibrated malignant score, from the pooled score before calibration."""
        low, high = self.band.at(np.asarray(raw))
        return float(low), float(high)

    def around(self, score: float, calibration: Calibration) -> tuple[float, float]:
        """(lo, hi) of a score that `calibration` made; it holds the score, whatever rounding did."""
        low, high = self.interval(uncalibrated(score, calibration))
        return min(low, score), max(high, score)

    def doubts(self, raw: Vector, malignant: Vector, embeddings: NDArray[np.floating] | None = None) -> Vector:
        """(…, 3) in the order of REASONS: a doubt of 1 or more is one too many.

        `raw` (…, 2): both scores before calibration; `malignant` (…): calibrated; `embeddings` (…, d).

        Distance is doubtful only beyond its limit: among familiar pictures it says nothing about errors.
        """
        margin = np.abs(logit(malignant) - logit(np.asarray(self.threshold)))
        close = self.close / np.maximum(margin, KEPT_FROM_ENDS)
        torn = raw.min(axis=-1) / self.torn
        far = np.zeros_like(margin)
        if self.learned is not None and embeddings is not None:
            ratio = self.learned.distance(embeddings) / self.learned.limit
            far = np.where(ratio > 1.0, ratio, 0.0)
        return np.stack([close, torn, far], axis=-1)

    def doubt(self, reading: Reading) -> float:
        """The greatest doubt of a reading; from 1 on it is thin. Minus this is its confidence."""
        return float(self._doubts(reading).max())

    def thin(self, reading: Reading) -> str | None:
        """Why nothing can be said of this frame, in words; None where something can."""
        doubts = self._doubts(reading)
        # a picture of another kind makes the other two meaningless
        order = (FAR, TORN, CLOSE)
        return next((reason for reason in order if doubts[REASONS.index(reason)] >= 1.0), None)

    def recalibrated(
        self, old: Calibration, new: Calibration, threshold: float, benign: Calibration | None = None
    ) -> Uncertainty:
        """For a site that calibrates anew: the band of the malignant score moves with it, in logits."""

        def move(values: Numbers) -> Numbers:
            raw = (logit(np.array(values)) - old.offset) / old.slope
            return tuple(round(float(value), 6) for value in expit(new.slope * raw + new.offset))

        band = Band(self.band.raw, move(self.band.lo), move(self.band.hi))
        close = self.close * new.slope / old.slope
        return msgspec.structs.replace(
            self, band=band, threshold=threshold, close=close, benign=self.benign if benign is None else benign
        )

    def _doubts(self, reading: Reading) -> Vector:
        raw = np.array([uncalibrated(reading.benign, self.benign), reading.pooled])
        return self.doubts(raw, np.asarray(reading.malignant), reading.embedding)


def uncalibrated(score: float, calibration: Calibration) -> float:
    """The pooled score that `calibration` made this one of."""
    return float(expit((logit(np.asarray(score)) - calibration.offset) / calibration.slope))
