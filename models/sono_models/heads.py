"""Small heads on what the network saw: quality, the bundle's organ or not, and one score for a whole sweep.

Plain numbers in the manifest, evaluated with numpy: no second model file, the same on every runtime. The
embedding is the mean of the network's features over the map (d,); a frame's sights are what a reading of it
says in figures that networks of one kind share (FIGURES), so that a sweep's head may learn from the frames
that several networks had left out of their training.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from sono_models.errors import BadBundle
from sono_models.saliency import MALIGNANT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sono_models.reader import Reading

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Numbers = tuple[float, ...]

FIGURES = ("benign", "malignant", "finding", "area", "spread", "quality")
"""benign, malignant: logits of the calibrated scores. finding: logit of the peak of the lesion map (of the
greater saliency map where there is none). area: log of the share of that map's cells of at least half its peak.
spread: log of the share of cells that hold as much of the alerting map as its strongest would (its
participation ratio). quality: logit of the quality head's probability, 0 without one."""
RANK, EXCESS = "rank", "excess"
"""Of a frame within its sweep: the share of frames whose malignant score is lower (ties half), -0.5 to 0.5; and
how far its malignant logit lies above the sweep's mean."""
LIMIT = 1e-4
"""Probabilities are kept this far from 0 and 1 before their logit is taken."""


class Linear(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """Logistic regression on a standardised vector: sigmoid(weights · (x - mean) / scale + bias)."""

    weights: Numbers
    bias: float
    mean: Numbers
    scale: Numbers

    def __post_init__(self) -> None:
        if not len(self.weights) == len(self.mean) == len(self.scale):
            raise ValueError("weights, mean and scale must have one length")

    @cached_property
    def _slope(self) -> Vector:
        return np.asarray(np.asarray(self.weights) / np.asarray(self.scale))

    @cached_property
    def _offset(self) -> float:
        return self.bias - float(self._slope @ np.asarray(self.mean))

    def logit(self, vector: NDArray[np.floating]) -> Vector:
        """(d,) → (), or (n, d) → (n,). Raises BadBundle when d is not the head's."""
        if vector.shape[-1] != len(self.weights):
            what = f"a head has {len(self.weights)} weights, the network gives {vector.shape[-1]} features"
            raise BadBundle("manifest.json", what, "Pack heads and network of one run")
        return np.asarray(np.asarray(vector, np.float64) @ self._slope + self._offset)

    def apply(self, vector: NDArray[np.floating]) -> float:
        """The probability for one vector (d,)."""
        return float(probability(self.logit(vector)))


class Distance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """Mahalanobis distance to the training embeddings, on their leading axes and the rest as one more.

    (Lee et al., NeurIPS 2018, with probabilistic PCA as the shrinkage: Tipping & Bishop 1999.)
    `axes` (k, d) are divided by the square root of their variances; what they do not explain has the variance
    `rest` per axis. The probability is sigmoid(bias - slope * log distance).
    """

    mean: Numbers
    axes: tuple[Numbers, ...]
    variances: Numbers
    rest: float
    slope: float
    bias: float

    @cached_property
    def _centre(self) -> Vector:
        return np.asarray(self.mean)

    @cached_property
    def _axes(self) -> Matrix:
        return np.asarray(self.axes, np.float64).reshape(len(self.variances), len(self.mean))

    @cached_property
    def _along(self) -> Vector:
        return np.asarray(self.variances)

    def squared(self, embeddings: NDArray[np.floating]) -> Vector:
        """Squared distance over d, about 1 for a training picture: (d,) → (), or (n, d) → (n,)."""
        away = np.asarray(embeddings, np.float64) - self._centre
        along = away @ self._axes.T
        beside = np.maximum(np.sum(away**2, axis=-1) - np.sum(along**2, axis=-1), 0.0)
        total = np.sum(along**2 / self._along, axis=-1) + beside / self.rest
        return np.asarray(total / len(self.mean))

    def logit(self, embeddings: NDArray[np.floating]) -> Vector:
        return np.asarray(self.bias - self.slope * np.log(np.maximum(self.squared(embeddings), 1e-12)))


class Domain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a picture is of the bundle's organ: the less sure of its parts says so.

    `linear` knows the negatives it was shown, `distance` only what the organ looks like. A picture whose
    probability lies below `threshold` is not the organ; `kept` is the share of the organ's frames of the
    dev split that lie above it.
    """

    threshold: float
    kept: float
    linear: Linear | None = None
    distance: Distance | None = None

    def logit(self, embeddings: NDArray[np.floating]) -> Vector:
        """(d,) → (), or (n, d) → (n,)."""
        parts = [part.logit(embeddings) for part in (self.linear, self.distance) if part is not None]
        return np.asarray(np.minimum.reduce(parts)) if parts else np.zeros(embeddings.shape[:-1])

    def apply(self, embedding: NDArray[np.floating]) -> float:
        """The probability that the picture with this embedding (d,) is of the bundle's organ."""
        return float(probability(self.logit(embedding)))

    def admits(self, embedding: NDArray[np.floating]) -> bool:
        return self.apply(embedding) >= self.threshold


@dataclass(frozen=True, slots=True)
class SweepScore:
    """`score`: probability that the sweep shows what alerts. `weights` (n,) sum to 1: what each frame carried."""

    score: float
    weights: Vector

    def best(self, count: int = 1) -> list[int]:
        """The frames that carried most, greatest first."""
        return [int(index) for index in np.argsort(-self.weights, kind="stable")[:count]]


class SweepAttention(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """Gated attention over the frames of a sweep (Ilse et al., ICML 2018, equation 9).

    a = softmax(attend · (tanh(V h) * sigmoid(U h))) over the frames, score = sigmoid(weights · sum(a h) + bias).
    h are the frame's `figures`, standardised by `mean` and `scale`. V and U are (hidden, figures).
    """

    figures: tuple[str, ...]
    mean: Numbers
    scale: Numbers
    tanh: tuple[Numbers, ...]
    gate: tuple[Numbers, ...]
    attend: Numbers
    weights: Numbers
    bias: float

    @cached_property
    def _hidden(self) -> tuple[Matrix, Matrix, Vector]:
        shape = (len(self.attend), len(self.figures))
        return np.reshape(self.tanh, shape), np.reshape(self.gate, shape), np.asarray(self.attend)

    def apply(self, frames: Matrix) -> SweepScore:
        """`frames` (n, len(FIGURES)), n at least 1, from `frame_figures`."""
        told = (within_sweep(frames)[:, columns(self.figures)] - np.asarray(self.mean)) / np.asarray(self.scale)
        tanh, gate, attend = self._hidden
        raised = (np.tanh(told @ tanh.T) * probability(told @ gate.T)) @ attend
        share = np.exp(raised - raised.max())
        share /= share.sum()
        logit = float(np.asarray(self.weights) @ (share @ told)) + self.bias
        return SweepScore(float(probability(np.asarray(logit))), share)


class Heads(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle may carry beside its network; each is left out where it was not shown to help."""

    quality: Linear | None = None
    domain: Domain | None = None
    sweep: SweepAttention | None = None


class LearntHeads(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `sono model heads` writes: heads fit the network they were learnt on and no other."""

    weights_sha256: str
    """The network's, as its run says."""
    heads: Heads


def frame_figures(
    benign: float,
    malignant: float,
    alerting: NDArray[np.floating],
    finding: NDArray[np.floating],
    quality: float | None = None,
) -> Vector:
    """One frame's FIGURES.

    `benign`, `malignant`: calibrated scores. `alerting`: the saliency map (rows, columns) of what alerts, and
    `finding`: the lesion map (or the greater saliency, `either`), probabilities. `quality`: 0 to 1.
    """
    peak = float(finding.max())
    area = float(np.mean(finding >= 0.5 * peak))
    mass = np.asarray(alerting, np.float64).ravel()
    spread = float(mass.sum() ** 2 / (mass.size * float(mass @ mass))) if mass.any() else 1.0
    return np.array(
        [
            _logit(benign),
            _logit(malignant),
            _logit(peak),
            np.log(max(area, 1.0 / finding.size)),
            np.log(spread),
            0.0 if quality is None else _logit(quality),
        ]
    )


def reading_figures(reading: Reading, quality: float | None = None) -> Vector:
    """What the device keeps of a frame until its sweep is scored: len(FIGURES) numbers."""
    finding = either(reading.saliency) if reading.lesion is None else reading.lesion
    return frame_figures(reading.benign, reading.malignant, reading.saliency[MALIGNANT], finding, quality)


def either(saliency: NDArray[np.floating]) -> NDArray[np.floating]:
    """Of saliency maps (classes, rows, columns) the greater at every place: what stands in for a lesion map."""
    return np.asarray(saliency.max(axis=0))


def within_sweep(frames: Matrix) -> Matrix:
    """The frames (n, len(FIGURES)) with RANK and EXCESS as two more columns."""
    scores = frames[:, FIGURES.index("malignant")]
    below = (scores[:, None] > scores[None]).mean(axis=1) + 0.5 * (scores[:, None] == scores[None]).mean(axis=1)
    return np.column_stack([frames, below - 0.5, scores - scores.mean()])


def columns(figures: Sequence[str]) -> list[int]:
    """Where these figures stand in `within_sweep`. Raises BadBundle for one that is not known."""
    known = (*FIGURES, RANK, EXCESS)
    for name in figures:
        if name not in known:
            raise BadBundle("manifest.json", f"its sweep head wants the figure {name!r}", "Update the agent")
    return [known.index(name) for name in figures]


def probability(logits: Vector) -> Vector:
    """The logistic function, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)))


def _logit(value: float) -> float:
    kept = min(max(value, LIMIT), 1.0 - LIMIT)
    return float(np.log(kept / (1.0 - kept)))
